/** A clock on which time flies, so that waits of seconds last as many hundredths. */

import { type Clock, createSystemClock } from "../../src/clock.ts";

/** Pause between two looks at the real time while somebody waits, ms; nobody is waited for longer than that in vain. */
const TICK_MS = 3;
/** Real time that counts at most between two looks, ms: what is more, this process was kept from running. */
const COUNTED_MS_MAX = 2 * TICK_MS;
/** So many ticks on which nobody waits or asks until it stops looking. */
const UNUSED_MAX = 100;

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/**
 * It stands still while this process is kept from running: on a busy machine what is done here would otherwise take
 * many times its time.
 * @param times how much faster it is than the real one
 */
export function createFastClock(times: number): Clock {
  const real = createSystemClock();
  const timers = new Set<Timer>();
  let [nowMs, lookedMs, order, unused] = [real.now(), performance.now(), 0, 0];
  let isTicking = false;

  function look(): number {
    const passedMs = performance.now() - lookedMs;
    nowMs += (isTicking ? Math.min(passedMs, COUNTED_MS_MAX) : passedMs) * times;
    lookedMs += passedMs;
    return nowMs;
  }
  function fire(): void {
    const untilMs = look();
    const due = [...timers].filter(({ dueMs }) => dueMs <= untilMs);
    due.sort((one, other) => one.dueMs - other.dueMs || one.order - other.order);
    // One may cancel another.
    for (const timer of due) if (timers.delete(timer)) timer.callback();
    unused = timers.size > 0 ? 0 : unused + 1;
    isTicking = unused < UNUSED_MAX;
    if (isTicking) tickLater();
  }
  function tickLater(): void {
    const nextMs = Math.min(...[...timers].map(({ dueMs }) => (dueMs - nowMs) / times));
    // What has arrived goes first.
    const tick = () => setImmediate(fire);
    setTimeout(tick, Math.max(0, Math.min(TICK_MS, nextMs))).unref();
  }
  function use(): void {
    unused = 0;
    if (isTicking) return;
    look();
    isTicking = true;
    tickLater();
  }
  return {
    now() {
      use();
      return Math.floor(look());
    },
    wallMs: () => real.wallMs(),
    after(delayMs, callback) {
      use();
      order += 1;
      const timer = { dueMs: look() + Math.max(0, delayMs), order, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
  };
}
