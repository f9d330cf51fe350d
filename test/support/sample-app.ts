/** Apps to hand in: complete, and like no special case unless a test says so. */

import type { App, Policy } from "../../src/app.ts";
import { targetOf } from "../../src/app.ts";
import { createTraffic } from "../../src/traffic.ts";

/** What apps are said to have been seen first, and to be as they are since; ms since the epoch. */
export const SAMPLE_START_MS = 1_700_000_000_000;

export function samplePolicy(changes: Partial<Policy> = {}): Policy {
  return {
    maxIdleMs: 60_000,
    linkedKeys: [],
    health: { path: null },
    wakeTimeoutMs: null,
    preserveHost: false,
    tlsVerify: true,
    tlsCa: null,
    ignored: false,
    ignore: null,
    keepAwake: null,
    forceSleep: null,
    busyUrl: null,
    keepAwakeHeaderMaxMs: null,
    websocketMaxQuietMs: null,
    hooks: null,
    ...changes,
  };
}

/** Where an app with this key answers. */
export function sampleTarget(key: string, port = 8080): ReturnType<typeof targetOf> {
  return targetOf(`http://${key}.test:${port}`);
}

/** An app of provider `stub`, asleep since `SAMPLE_START_MS`, whose id is its key. */
export function sampleApp(key = "shop", changes: Partial<App> = {}): App {
  return {
    ref: { provider: "stub", id: key },
    key,
    sleepsByItself: false,
    settings: null,
    firstSeenMs: SAMPLE_START_MS,
    policy: samplePolicy(),
    state: { kind: "asleep", sinceMs: SAMPLE_START_MS },
    fence: 0,
    snapshot: null,
    lastTarget: null,
    runsAt: null,
    leases: 0,
    leasesElsewhere: 0,
    waiting: 0,
    idleSinceMs: SAMPLE_START_MS,
    lastUsedMs: null,
    wakeHistoryMs: [],
    pause: null,
    keepAwake: null,
    ownWord: null,
    traffic: createTraffic(),
    links: [],
    linkedFrom: [],
    ...changes,
  };
}

/** The state of an app that is up. */
export function awakeAt(key: string, sinceMs = SAMPLE_START_MS): App["state"] {
  return { kind: "awake", sinceMs, target: sampleTarget(key) };
}
