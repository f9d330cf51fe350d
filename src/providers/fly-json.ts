/** What the answers of Fly.io's Machines API say, taken from JSON of which nothing is certain. Pure. */

import { ProviderError } from "./provider.ts";

/** An app in the list of an organization. */
export interface FlyApp {
  readonly name: string;
  readonly machines: number;
}

/** A machine of an app. */
export interface FlyMachine {
  readonly id: string;
  /** It takes requests; one that does not is a worker, which sleeps and wakes with the others. */
  readonly isServed: boolean;
  /** The platform's own word, such as `started`. */
  readonly state: string;
  readonly region: string;
  /** Its process group; empty: it has none. */
  readonly group: string;
  /** Fly's proxy stops it when nobody uses it, and starts it for a request. */
  readonly sleepsByItself: boolean;
  /** Its host answers, as far as the platform says. */
  readonly isReachable: boolean;
  /** How it last ended; `null`: it has not, or the answer does not say. */
  readonly exit: FlyExit | null;
  /** Its health checks, without those of a deployment. */
  readonly checks: readonly { readonly name: string; readonly status: string }[];
}

/** The end of a machine. */
export interface FlyExit {
  /** By the platform's clock, ms; 0: the answer does not say. */
  readonly atMs: number;
  /** Nobody asked for it. */
  readonly isByItself: boolean;
  readonly exitCode: number;
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws ProviderError `protocol` when there is no list in it; entries that make no sense are left out */
export function readApps(body: unknown): readonly FlyApp[] {
  const { apps } = fieldsOf(body);
  if (!Array.isArray(apps)) throw unreadable("a list of apps");
  return apps.map(fieldsOf).flatMap(({ name, machine_count: machines }) => {
    if (typeof name !== "string" || name === "") return [];
    return [{ name, machines: typeof machines === "number" ? machines : Number.NaN }];
  });
}

/** Machines of these groups run for a moment and serve nobody. Source: superfly/fly-go, `machine_types.go`. */
const PASSING_GROUPS: readonly string[] = [
  "fly_app_release_command",
  "fly_app_console",
  "fly_app_test_machine_command",
];
const GONE: readonly string[] = ["destroyed", "destroying", "replaced", "migrated"];
/** Checks that a deployment adds for its own use. Source: superfly/fly-go. */
const DEPLOYMENT_CHECK = "bg_deployments_compat";

/**
 * Those that are still there, and do not just run for a moment: what takes requests first, then the workers.
 * @throws ProviderError `protocol` when it is no list
 */
export function readMachines(body: unknown): readonly FlyMachine[] {
  if (!Array.isArray(body)) throw unreadable("a list of machines");
  const machines = body.map(fieldsOf).flatMap((entry) => machineOf(entry) ?? []);
  return machines.toSorted((one, other) => Number(other.isServed) - Number(one.isServed));
}

/** The platform's own word for what went wrong, such as `insufficient_capacity`; empty: none. */
export function readErrorStatus(body: unknown): string {
  return textOf(fieldsOf(body).status);
}

function machineOf(entry: Fields): FlyMachine | null {
  const { id, state, region, host_status: hostStatus } = entry;
  if (typeof id !== "string" || typeof state !== "string" || GONE.includes(state)) return null;
  // Of a host that cannot be reached only half of the configuration is known.
  const config = fieldsOf(entry.config ?? entry.incomplete_config);
  const group = textOf(fieldsOf(config.metadata).fly_process_group);
  if (PASSING_GROUPS.includes(group)) return null;
  const served = listOf(config.services);
  if (served.length === 0 && isOnItsOwn(config)) return null;
  return {
    id,
    state,
    isServed: served.length > 0,
    region: textOf(region),
    group,
    sleepsByItself: served.some(isAutomatic),
    isReachable: hostStatus !== "unreachable",
    exit: exitOf(entry.events),
    checks: listOf(entry.checks)
      .map(({ name, status }) => ({ name: textOf(name), status: textOf(status) }))
      .filter(({ name }) => !name.startsWith(DEPLOYMENT_CHECK)),
  };
}

/** It runs when its schedule says so, or is destroyed when it ends. Source: superfly/fly-go, `machine_types.go`. */
function isOnItsOwn({ schedule, auto_destroy: isDestroyed }: Fields): boolean {
  return textOf(schedule) !== "" || isDestroyed === true;
}

/** The newest exit. Source: superfly/fly-go, `machine_types.go`, `MachineExitEvent`. */
function exitOf(events: unknown): FlyExit | null {
  const exits = listOf(events)
    .filter(({ type }) => type === "exit")
    .map(({ timestamp, request }) => {
      const { exit_code: code, requested_stop: isRequested } = fieldsOf(
        fieldsOf(request).exit_event,
      );
      return {
        atMs: typeof timestamp === "number" ? timestamp : 0,
        isByItself: isRequested === false,
        exitCode: typeof code === "number" ? code : 0,
      };
    });
  return exits.toSorted((one, other) => other.atMs - one.atMs)[0] ?? null;
}

/** Stopped by the proxy when idle; older configurations say so with `true`. Started by it unless that is off. */
function isAutomatic({ autostop, autostart }: Fields): boolean {
  const stops = autostop === true || autostop === "stop" || autostop === "suspend";
  return stops && autostart !== false;
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

function unreadable(what: string): ProviderError {
  return new ProviderError("protocol", `Fly.io's answer is not ${what}`);
}

function fieldsOf(value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return value as Fields; // An object that came out of JSON: its fields may be anything.
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
