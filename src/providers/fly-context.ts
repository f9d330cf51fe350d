/** What the calls for one app on Fly.io share: the look they are made of, and what was seen before. */

import type { Clock } from "../clock.ts";
import type { FlyConfig } from "../config.ts";
import type { AppOrder, FlyApi } from "./fly-api.ts";
import type { FlyMachine } from "./fly-json.ts";
import { observationOf, targetOfApp } from "./fly-state.ts";
import type { Sleeping } from "./platform-sleeping.ts";
import type { Observation } from "./provider.ts";

/** Everything that the provider's functions work with. What is kept by name goes with the app. */
export interface FlyContext {
  readonly config: FlyConfig;
  readonly clock: Clock;
  readonly api: FlyApi;
  readonly sleeping: Sleeping;
  /** What the last look has shown. */
  readonly seen: Map<string, Seen>;
  /** By name: a sleep has just come to its end, and what it saw then is what the next look would see. */
  readonly ended: Set<string>;
  /** Machines that a sleep may have taken down, although it did not come to its end: the next snapshot has them, too. */
  readonly owed: Map<string, ReadonlySet<string>>;
}

/** What a look has shown, and when. */
export interface Seen {
  readonly machines: readonly FlyMachine[];
  readonly observation: Observation;
  readonly sleepsByItself: boolean;
  readonly atMs: number;
  /** Since when looks have shown that it is up, ms; 0: since the first one; `null`: it is not. */
  readonly upSinceMs: number | null;
}

/** One fresh look, in one call. */
export async function lookAt(context: FlyContext, order: AppOrder): Promise<Seen> {
  const { api, clock, config, seen } = context;
  const machines = await api.fetchMachines(order);
  const observation = observationOf(targetOfApp(config.appUrl, order.name), machines);
  const before = seen.get(order.name);
  const sinceMs = before === undefined ? 0 : (before.upSinceMs ?? clock.now());
  const look: Seen = {
    machines,
    observation,
    sleepsByItself: machines.some((machine) => machine.sleepsByItself),
    atMs: clock.now(),
    upSinceMs: observation.phase === "awake" ? sinceMs : null,
  };
  seen.set(order.name, look);
  return look;
}

/** So long after a start the nodes of Fly.io's proxy may not know of it yet, ms. */
const SETTLED_MS = 5_000;

/** Whether an app was up when it was last looked at, and not just started then. */
export function isKnownUp({ seen, clock }: FlyContext, name: string): boolean {
  const upSinceMs = seen.get(name)?.upSinceMs ?? null;
  return upSinceMs !== null && clock.now() - upSinceMs >= SETTLED_MS;
}

/** Of a kind and an app the platform takes one call a second: what was seen so shortly before will do, ms. */
const FRESH_MS = 2_000;

/** Something was changed: what was seen before does not hold any more. */
export function spoil({ seen }: FlyContext, name: string): void {
  const last = seen.get(name);
  if (last !== undefined) seen.set(name, { ...last, atMs: 0 });
}

/** What was seen right before, or what a look shows now. */
export async function freshLook(context: FlyContext, order: AppOrder): Promise<Seen> {
  const last = context.seen.get(order.name);
  const isFresh = last !== undefined && context.clock.now() - last.atMs < FRESH_MS;
  return isFresh ? last : await lookAt(context, order);
}
