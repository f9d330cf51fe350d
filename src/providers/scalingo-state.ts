/** What Scalingo's answers say, taken from JSON of which nothing is certain. Pure. */

import { type Target, targetOf } from "../app.ts";
import { safeText } from "./platform-quote.ts";
import { type Facts, type Observation, ProviderError } from "./provider.ts";

/** An app as the list and the app's own resource show it. */
export interface ScalingoApp {
  readonly id: string;
  readonly name: string;
  /** `new`, `running`, `stopped`, `crashed`, `restarting`, `scaling`, `booting`; or a word of tomorrow. */
  readonly status: string;
  /** Where it answers; `null`: the answer does not say. */
  readonly target: Target | null;
  /** The name of who owns it; `null`: the answer does not say. */
  readonly owner: string | null;
  readonly facts: Omit<Facts, "region">;
}

/** How many containers of one process type there are to be. */
export interface ScalingoType {
  readonly name: string;
  readonly amount: number;
  /** Empty: the answer does not say. */
  readonly size: string;
}

/** How far an operation is. A word that we do not know is one that goes on. */
export interface ScalingoOperation {
  readonly progress: "going-on" | "done" | "error";
  /** Why it failed, in the platform's words; empty: it does not say. */
  readonly error: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws ProviderError `protocol` when there is no list in it; entries that make no sense are left out */
export function readApps(body: unknown): readonly ScalingoApp[] {
  return listIn(body, "apps").flatMap((entry) => appOf(entry) ?? []);
}

/** @throws ProviderError `protocol` when there is no app in it */
export function readApp(body: unknown): ScalingoApp {
  const app = appOf(fieldsOf(body)?.app);
  if (app === null) throw missing("app");
  return app;
}

/** @throws ProviderError `protocol` when there is no list in it */
export function readFormation(body: unknown): readonly ScalingoType[] {
  return listIn(body, "containers").flatMap((entry) => {
    const { name, amount, size } = fieldsOf(entry) ?? {};
    if (typeof name !== "string" || typeof amount !== "number") return [];
    return [{ name, amount, size: textOf(size) }];
  });
}

/** @throws ProviderError `protocol` when there is no operation in it */
export function readOperation(body: unknown): ScalingoOperation {
  const operation = fieldsOf(fieldsOf(body)?.operation);
  if (operation === null) throw missing("operation");
  const { status, error } = operation;
  const isOver = status === "done" || status === "error";
  return { progress: isOver ? status : "going-on", error: safeText(textOf(error)) };
}

const DEPLOYING = ["queued", "building", "pushing", "starting"];

/** The status of the newest deployment, where that is still going on; `null` otherwise. */
export function readRunningDeployment(body: unknown): string | null {
  const status = fieldsOf(listIn(body, "deployments")[0])?.status;
  return typeof status === "string" && DEPLOYING.includes(status) ? status : null;
}

/** Process types that an autoscaler looks after. One that does not say whether it is disabled is not. */
export function readAutoscaledTypes(body: unknown): readonly string[] {
  return listIn(body, "autoscalers").flatMap((entry) => {
    const { container_type: type, disabled } = fieldsOf(entry) ?? {};
    return disabled === true || typeof type !== "string" ? [] : [type];
  });
}

/** Statuses in which the platform does nothing else with the app: it has to be waited for. */
export function isBusy(status: string): boolean {
  return status === "scaling" || status === "restarting" || status === "booting";
}

/**
 * What an app's status means.
 * @param formation `null`: not asked for. `running` means any container: only the formation tells whether one of
 *   them serves requests
 * Source: Scalingo's API documentation, "Applications", `status`.
 */
export function observationOf(
  { status, target }: ScalingoApp,
  formation: readonly ScalingoType[] | null,
): Observation {
  switch (status) {
    case "running":
      return runningAs(target, formation);
    case "stopped":
      return { phase: "asleep", target };
    case "crashed":
      return { phase: "failed", target, reason: "it has crashed more than 12 times in a row" };
    case "booting":
      return { phase: "deploying", target, reason: "a deployment of it is starting" };
    case "restarting":
      return { phase: "waking", target, reason: "it is restarting" };
    case "scaling":
      return scalingAs(target, formation);
    case "new":
      return nothingThere("it was never deployed");
    default:
      return { phase: "unknown", target, reason: `Scalingo says that it is "${safeText(status)}"` };
  }
}

function runningAs(target: Target | null, formation: readonly ScalingoType[] | null): Observation {
  if (formation === null) return { phase: "awake", target };
  const web = formation.find(({ name }) => name === "web");
  if (web !== undefined && web.amount > 0) return { phase: "awake", target };
  // A worker that somebody runs meanwhile, or a one-off container, answers no request: web can be woken.
  if (web !== undefined || formation.every(({ amount }) => amount === 0)) {
    return { phase: "asleep", target };
  }
  return nothingThere("it runs, but has no container of the type web, which alone gets requests");
}

/** Its address is known, but only the platform's own page answers there: whoever asks is told why at once. */
function nothingThere(reason: string): Observation {
  return { phase: "unmanaged", target: null, reason };
}

function scalingAs(target: Target | null, formation: readonly ScalingoType[] | null): Observation {
  if (formation === null) return { phase: "unknown", target, reason: "it is being scaled" };
  const isStopping = formation.every(({ amount }) => amount === 0);
  return { phase: isStopping ? "stopping" : "waking", target, reason: "it is being scaled" };
}

function appOf(entry: unknown): ScalingoApp | null {
  const fields = fieldsOf(entry);
  const { id, name, status } = fields ?? {};
  if (fields === null || typeof id !== "string" || typeof name !== "string") return null;
  if (id === "" || name === "") return null;
  const owner = textOf(fieldsOf(fields.owner)?.username);
  return {
    id,
    name,
    status: textOf(status),
    target: addressIn(fields.base_url) ?? addressIn(fields.url),
    owner: owner === "" ? null : owner,
    facts: factsOf(id, fields),
  };
}

function factsOf(id: string, fields: Fields): ScalingoApp["facts"] {
  return {
    id,
    status: wordOf(fields.status),
    url: wordOf(fields.url),
    gitUrl: wordOf(fields.git_url),
    createdMs: timeOf(fields.created_at),
    updatedMs: timeOf(fields.updated_at),
    deployedMs: timeOf(fields.last_deployed_at),
    forceHttps: switchOf(fields.force_https),
    stickySession: switchOf(fields.sticky_session),
  };
}

function wordOf(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? safeText(value) : null;
}

function timeOf(value: unknown): number | null {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

function switchOf(value: unknown): boolean | null {
  return typeof value === "boolean" ? value : null;
}

function addressIn(value: unknown): Target | null {
  const url = typeof value === "string" ? URL.parse(value) : null;
  return url !== null && /^https?:$/.test(url.protocol) ? targetOf(url.href) : null;
}

function listIn(body: unknown, name: string): readonly unknown[] {
  const list = fieldsOf(body)?.[name];
  if (Array.isArray(list)) return list;
  throw missing(name);
}

function missing(name: string): ProviderError {
  return new ProviderError("protocol", `Scalingo's answer has no "${name}" in it`);
}

function fieldsOf(value: unknown): Fields | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  return value as Fields; // An object that came out of JSON: its fields may be anything.
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
