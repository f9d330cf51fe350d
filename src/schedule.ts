/** When a cron expression is due, and calling something then. */

import { CronTime } from "cron";
import type { Clock } from "./clock.ts";

/**
 * The next time an expression is due, in ms since the epoch, local time zone.
 * @param expression five fields, or six with seconds first
 * @throws Error when the expression is not valid, or is never due
 */
export function nextDueMs(expression: string, afterMs: number): number {
  return new CronTime(expression).getNextDateFrom(new Date(afterMs)).toMillis();
}

/**
 * Calls `work` whenever `expression` is due, until the returned function is called. A clock that jumps back or
 * forth delays one call at most: the next one is reckoned from the clock each time.
 */
export function onSchedule(options: {
  readonly expression: string;
  readonly clock: Clock;
  readonly work: () => void;
}): () => void {
  const { clock, expression, work } = options;
  let cancel = plan();
  function plan() {
    const nowMs = clock.now();
    const dueMs = nextDueMs(expression, nowMs);
    return clock.after(dueMs - nowMs, () => {
      // Timers end a little early at times, and weeks early where the wait is longer than they can be.
      const isDue = clock.now() >= dueMs;
      cancel = plan();
      if (isDue) work();
    });
  }
  return () => cancel();
}
