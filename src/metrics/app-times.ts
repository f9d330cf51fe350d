/** How long each app was awake and asleep since the program started, or since the app was found. */

import type { App, AppState } from "../app.ts";

/** One app's, ms. */
export interface AppTime {
  readonly awakeMs: number;
  readonly asleepMs: number;
}

/** Adds up what apps are. */
export interface AppTimes {
  /** Something may have changed about an app. What changed twice between two looks is known from its last change on. */
  look(app: App): void;
  /** Up to now. */
  of(app: App): AppTime;
}

interface Counted {
  atMs: number;
  kind: AppState["kind"];
  awakeMs: number;
  asleepMs: number;
}

/** Of an app that failed, or that nobody can ask about, nobody knows which it is. */
const FIELDS: Readonly<Record<AppState["kind"], "asleepMs" | "awakeMs" | null>> = {
  unknown: null,
  asleep: "asleepMs",
  waking: "awakeMs",
  awake: "awakeMs",
  draining: "awakeMs",
  stopping: "awakeMs",
  failed: null,
};

/** @param now ms since the epoch; from now on it counts */
export function createAppTimes(now: () => number): AppTimes {
  const startedMs = now();
  const seen = new WeakMap<App, Counted>();
  const look = (app: App): Counted => {
    const nowMs = now();
    const { kind } = app.state;
    const sinceMs = Math.min(nowMs, Math.max(startedMs, app.state.sinceMs));
    const counted = seen.get(app) ?? { atMs: sinceMs, kind, awakeMs: 0, asleepMs: 0 };
    seen.set(app, counted);
    // Until its last change it was what it was before.
    if (counted.kind !== kind && sinceMs > counted.atMs) addUntil(counted, sinceMs);
    counted.kind = kind;
    addUntil(counted, nowMs);
    return counted;
  };
  return { look, of: look };
}

function addUntil(counted: Counted, untilMs: number): void {
  const field = FIELDS[counted.kind];
  if (field !== null) counted[field] += Math.max(0, untilMs - counted.atMs);
  counted.atMs = Math.max(counted.atMs, untilMs);
}
