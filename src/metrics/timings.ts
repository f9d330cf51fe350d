/** Durations as they happen, counted by length. */

import type { Durations } from "./family.ts";

/** Counts durations. */
export interface Timings extends Durations {
  /** @param tookMs below 0: it counts as 0 */
  note(tookMs: number): void;
}

/** @param boundsMs upper bounds, ms, ascending */
export function createTimings(boundsMs: readonly number[]): Timings {
  const counts = new Array<number>(boundsMs.length + 1).fill(0);
  let sumMs = 0;
  return {
    boundsMs,
    counts,
    get sumMs() {
      return sumMs;
    },
    note(tookMs) {
      const ms = Math.max(0, tookMs);
      const within = boundsMs.findIndex((boundMs) => ms <= boundMs);
      const slot = within === -1 ? boundsMs.length : within;
      counts[slot] = (counts[slot] ?? 0) + 1;
      sumMs += ms;
    },
  };
}
