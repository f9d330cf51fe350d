/** A clock that stands still until it is told to go on. */

import type { Clock } from "../../src/clock.ts";

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

export interface VirtualClock extends Clock {
  /** Lets `durationMs` pass: fires what falls due, in order, and lets all that follows from it happen. */
  advance(durationMs: number): Promise<void>;
  /** Sets the wall clock, and nothing else, forth by `byMs`; back when negative. */
  setWall(byMs: number): void;
  /** Timers that are set. */
  pending(): number;
}

/** @param happened when this resolves, everything has happened that needs no timer */
export function createVirtualClock(
  startMs = 1_700_000_000_000,
  happened: () => Promise<void> = settled,
): VirtualClock {
  let nowMs = startMs;
  let wallAheadMs = 0;
  let order = 0;
  const timers = new Set<Timer>();
  function next(untilMs: number): Timer | null {
    let first: Timer | null = null;
    for (const timer of timers) {
      if (timer.dueMs > untilMs) continue;
      const isEarlier =
        first === null ||
        timer.dueMs < first.dueMs ||
        (timer.dueMs === first.dueMs && timer.order < first.order);
      if (isEarlier) first = timer;
    }
    return first;
  }
  return {
    now: () => nowMs,
    wallMs: () => nowMs + wallAheadMs,
    setWall(byMs) {
      wallAheadMs += byMs;
    },
    after(delayMs, callback) {
      order += 1;
      const timer = { dueMs: nowMs + Math.max(0, delayMs), order, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(durationMs) {
      const untilMs = nowMs + durationMs;
      await happened();
      for (let timer = next(untilMs); timer !== null; timer = next(untilMs)) {
        timers.delete(timer);
        nowMs = Math.max(nowMs, timer.dueMs);
        timer.callback();
        await happened();
      }
      nowMs = untilMs;
    },
    pending: () => timers.size,
  };
}

/** Everything that needs no timer has happened when this resolves. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
