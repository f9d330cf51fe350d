/** Wakes, sleeps and crashes of apps, counted by what events say. */

import type { App, AppRef } from "../app.ts";
import type { Cause, EventName, PaastisEvent } from "../events.ts";
import { createTimings, type Timings } from "./timings.ts";

/** What can become of a wake, or of a sleep. */
export type WakeEnd = "started" | "failed";
export type SleepEnd = "stopped" | "failed" | "cancelled" | "vetoed";

/** One kind of end, of wakes or of sleeps, from one kind of cause. */
export interface EndCount {
  readonly what: "wake" | "sleep";
  readonly outcome: WakeEnd | SleepEnd;
  readonly cause: Cause["kind"];
  count: number;
}

/** One app's, since the program started. */
export interface AppEnds {
  readonly ends: readonly EndCount[];
  readonly crashes: number;
}

/** Counts what is told. */
export interface LifecycleCounts {
  hear(event: PaastisEvent): void;
  /** `null`: nothing has happened to it. */
  of(app: App): AppEnds | null;
  /** How long wakes took that ended well, by provider. */
  readonly wakes: ReadonlyMap<string, Timings>;
}

const BOUNDS_MS = [250, 500, 1000, 2500, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000];

type Ending = Pick<EndCount, "what" | "outcome">;

const ENDINGS: Readonly<Partial<Record<EventName, Ending>>> = {
  APP_STARTED: { what: "wake", outcome: "started" },
  APP_START_FAILED: { what: "wake", outcome: "failed" },
  APP_STOPPED: { what: "sleep", outcome: "stopped" },
  APP_STOP_FAILED: { what: "sleep", outcome: "failed" },
  APP_STOP_CANCELLED: { what: "sleep", outcome: "cancelled" },
  APP_STOP_VETOED: { what: "sleep", outcome: "vetoed" },
};

interface Counted {
  readonly ends: EndCount[];
  crashes: number;
}

/** @param appOf `null`: there is no such app any more, and nothing is counted for it */
export function createLifecycleCounts(appOf: (ref: AppRef) => App | null): LifecycleCounts {
  // An app that is gone takes its counts with it.
  const counts = new WeakMap<App, Counted>();
  const wakes = new Map<string, Timings>();
  return {
    wakes,
    of: (app) => counts.get(app) ?? null,
    hear(event) {
      const ending = ENDINGS[event.name];
      const hasCrashed = event.name === "APP_CRASHED";
      if (ending === undefined && !hasCrashed) return;
      const app = appOf(event.ref);
      if (app === null) return;
      const counted = counts.get(app) ?? { ends: [], crashes: 0 };
      counts.set(app, counted);
      if (hasCrashed) counted.crashes += 1;
      if (ending !== undefined) noteEnd(counted, ending, event.cause.kind);
      if (event.name === "APP_STARTED") noteWake(wakes, event);
    },
  };
}

function noteEnd({ ends }: Counted, { what, outcome }: Ending, cause: Cause["kind"]): void {
  const known = ends.find(
    (one) => one.outcome === outcome && one.what === what && one.cause === cause,
  );
  if (known === undefined) ends.push({ what, outcome, cause, count: 1 });
  else known.count += 1;
}

/** One that came up by itself took nobody's time. */
function noteWake(wakes: Map<string, Timings>, { details, ref }: PaastisEvent): void {
  const { durationMs } = details;
  if (typeof durationMs !== "number") return;
  const timings = wakes.get(ref.provider) ?? createTimings(BOUNDS_MS);
  wakes.set(ref.provider, timings);
  timings.note(durationMs);
}
