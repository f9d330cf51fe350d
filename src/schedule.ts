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
 * Calls `work` whenever `expression` is due by the wall clock, until the returned function is called.
 *
 * A wall clock that jumps back by more than the wait makes the call that was planned come when its wait is over,
 * and the next ones by the new time; one that jumps back by less, when its time comes again. So no call is more
 * than one interval of the expression late. One that jumps forth, over however many due times, causes one call,
 * at the end of the wait that was planned.
 */
export function onSchedule(options: {
  readonly expression: string;
  readonly clock: Clock;
  readonly work: () => void;
}): () => void {
  const { clock, expression, work } = options;
  let cancel = plan();
  function plan() {
    const nowMs = clock.wallMs();
    const dueMs = nextDueMs(expression, nowMs);
    return clock.after(dueMs - nowMs, () => {
      const endMs = clock.wallMs();
      // Timers end a little early at times, and weeks early where the wait is longer than they can be: the same
      // time is next then. An earlier one is next only after the clock was set back.
      const isDue = endMs >= dueMs || nextDueMs(expression, endMs) < dueMs;
      cancel = plan();
      if (isDue) work();
    });
  }
  return () => cancel();
}
