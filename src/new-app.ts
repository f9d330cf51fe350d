/** An app as we hold it from the moment we know of it. Pure. */

import type { App, Policy } from "./app.ts";
import type { AppRecord } from "./registry/registry.ts";
import { createTraffic } from "./traffic.ts";

/** What is known of an app when it is found: all that an earlier run stored, or its names alone. */
export type Known = Pick<AppRecord, "ref" | "key"> & Partial<AppRecord>;

/**
 * Of what an earlier run knew only "asleep" is believed: what ran may have ended, or been stopped. The idle clock
 * starts afresh, so that nothing is stopped right after a restart.
 */
export function newApp(
  known: Known,
  context: {
    readonly nowMs: number;
    readonly sleepsByItself: boolean;
    readonly policyOf: (app: Pick<App, "key" | "ref" | "settings">) => Policy;
  },
): App {
  const { nowMs, sleepsByItself, policyOf } = context;
  // Not stored: the first list says it.
  const identity = { ref: known.ref, key: known.key, settings: null };
  return {
    ...identity,
    sleepsByItself,
    firstSeenMs: known.firstSeenMs ?? nowMs,
    policy: policyOf(identity),
    state:
      known.phase === "asleep"
        ? { kind: "asleep", sinceMs: known.sinceMs ?? nowMs }
        : { kind: "unknown", sinceMs: nowMs },
    pause: null,
    keepAwake: null,
    ownWord: null,
    traffic: createTraffic(),
    fence: known.fence ?? 0,
    snapshot: known.snapshot ?? null,
    lastTarget: known.target ?? null,
    runsAt: known.runsAt ?? null,
    leases: 0,
    leasesElsewhere: 0,
    waiting: 0,
    idleSinceMs: nowMs,
    lastUsedMs: known.lastUsedMs ?? null,
    wakeHistoryMs: known.wakeHistoryMs ?? [],
    links: [],
    linkedFrom: [],
  };
}
