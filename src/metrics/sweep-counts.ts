/** What sweeps come to, counted. */

import type { Clock } from "../clock.ts";
import type { Sweeper } from "../idle.ts";
import { createTimings, type Timings } from "./timings.ts";

/** Since the program started. */
export interface SweepCounts {
  /** From the question to the providers until all is decided. */
  readonly durations: Timings;
  /** Sweeps that did nothing, as another one was under way. */
  skipped: number;
  /** Apps that were to be put to sleep, and that were not, sweep by sweep. */
  sleeps: number;
  keeps: number;
  /** When the newest one ended, ms since the epoch, by the wall clock; `null`: none has. */
  endedMs: number | null;
}

const BOUNDS_MS = [10, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000];

/** The same sweeper, counted. */
export function countedSweeper(
  sweeper: Sweeper,
  clock: Pick<Clock, "now" | "wallMs">,
): { readonly sweeper: Sweeper; readonly sweeps: SweepCounts } {
  const durations = createTimings(BOUNDS_MS);
  const counts: SweepCounts = { durations, skipped: 0, sleeps: 0, keeps: 0, endedMs: null };
  let isRunning = false;
  const sweep: Sweeper["sweep"] = async () => {
    if (isRunning) {
      counts.skipped += 1;
      return await sweeper.sweep();
    }
    isRunning = true;
    const begunMs = clock.now();
    try {
      const swept = await sweeper.sweep();
      const sleeps = swept.entries.filter((entry) => entry.sleep).length;
      counts.sleeps += sleeps;
      counts.keeps += swept.entries.length - sleeps;
      counts.endedMs = clock.wallMs();
      durations.note(clock.now() - begunMs);
      return swept;
    } finally {
      isRunning = false;
    }
  };
  return { sweeper: { ...sweeper, sweep }, sweeps: counts };
}
