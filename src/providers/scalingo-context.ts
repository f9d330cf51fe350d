/** What the calls for one app on Scalingo share: its identity, the reads they are made of, and what was seen before. */

import type { Clock } from "../clock.ts";
import type { ScalingoConfig } from "../config.ts";
import type { ApiAnswer, ApiCall, Urgency } from "./platform-api.ts";
import type { Sleeping } from "./platform-sleeping.ts";
import { type Observation, type Phase, ProviderError } from "./provider.ts";
import type { ScalingoApi } from "./scalingo-api.ts";
import {
  readApp,
  readAutoscaledTypes,
  readFormation,
  readRunningDeployment,
  type ScalingoApp,
  type ScalingoType,
} from "./scalingo-state.ts";
import type { ScaleTurns } from "./scalingo-turns.ts";

/** Everything that the provider's functions work with. */
export interface ScalingoContext {
  readonly config: ScalingoConfig;
  readonly clock: Clock;
  readonly api: ScalingoApi;
  readonly turns: ScaleTurns;
  /** Apps that were seen, by id. */
  readonly known: Map<string, KnownApp>;
  /** Apps that are being put to sleep. */
  readonly sleeping: Sleeping;
  /** Apps that are not put to sleep, by id: found out when somebody wanted to, and believed for a while. */
  readonly unmanaged: Map<string, { readonly why: string; readonly untilMs: number }>;
}

/** What is remembered of an app for the next call about it. */
export interface KnownApp {
  readonly name: string;
  readonly phase: Phase;
}

/** An app, and how urgent a call about it is. */
export interface AppOrder {
  readonly id: string;
  readonly urgency: Urgency;
  readonly signal: AbortSignal;
}

/** Our id of an app: names may be the same in two regions. */
export function idOf(region: string, app: ScalingoApp): string {
  return `${region}/${app.id}`;
}

/** The region that an app's id names; whether we look after it is another matter. */
export function regionIn(id: string): string {
  return id.split("/", 1)[0] ?? "";
}

/** @throws ProviderError `not-found` when it is no id of ours */
export function placeOf(id: string): { readonly region: string; readonly appId: string } {
  const [, region, appId] = /^([^/]+)\/([^/]+)$/.exec(id) ?? [];
  if (region !== undefined && appId !== undefined) return { region, appId };
  throw new ProviderError("not-found", `there is no app ${id} on Scalingo`);
}

/** What the app is called in messages. */
export function nameOf(context: ScalingoContext, id: string): string {
  return context.known.get(id)?.name ?? id;
}

/** What runs, but must be left alone, is shown so, until it is time to look again. */
export function withUnmanaged(
  context: ScalingoContext,
  id: string,
  seen: Observation,
): Observation {
  const found = context.unmanaged.get(id);
  if (found === undefined || seen.phase !== "awake") return seen;
  if (context.clock.now() < found.untilMs) {
    return { phase: "unmanaged", target: seen.target, reason: found.why };
  }
  context.unmanaged.delete(id);
  return seen;
}

/** A call about one app; `path` counts from the app's own resource. */
export function sendFor(
  context: ScalingoContext,
  order: AppOrder,
  call: Pick<ApiCall, "method" | "path" | "body" | "what" | "waitMaxMs" | "callOff">,
): Promise<ApiAnswer> {
  const { region, appId } = placeOf(order.id);
  const { urgency, signal } = order;
  const path = `/v1/apps/${encodeURIComponent(appId)}${call.path}`;
  return context.api.send(region, { ...call, path, urgency, signal });
}

function read(
  context: ScalingoContext,
  order: AppOrder,
  { path, what }: { readonly path: string; readonly what: string },
): Promise<ApiAnswer> {
  const name = nameOf(context, order.id);
  return sendFor(context, order, { method: "GET", path, what: `read ${what} ${name}` });
}

/** The app as it is now. */
export async function fetchApp(context: ScalingoContext, order: AppOrder): Promise<ScalingoApp> {
  return readApp((await read(context, order, { path: "", what: "the app" })).body);
}

/** Every process type, those at 0 included. */
export async function fetchFormation(
  context: ScalingoContext,
  order: AppOrder,
): Promise<readonly ScalingoType[]> {
  const answer = await read(context, order, { path: "/containers", what: "the formation of" });
  return readFormation(answer.body);
}

/** The status of a deployment that goes on; `null`: none does. */
export async function fetchRunningDeployment(
  context: ScalingoContext,
  order: AppOrder,
): Promise<string | null> {
  const path = "/deployments?page=1&per_page=1";
  const answer = await read(context, order, { path, what: "the newest deployment of" });
  return readRunningDeployment(answer.body);
}

/** Process types with an autoscaler that is enabled. */
export async function fetchAutoscaledTypes(
  context: ScalingoContext,
  order: AppOrder,
): Promise<readonly string[]> {
  const answer = await read(context, order, { path: "/autoscalers", what: "the autoscalers of" });
  return readAutoscaledTypes(answer.body);
}
