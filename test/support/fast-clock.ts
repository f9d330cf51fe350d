/** A clock on which time flies, so that waits of seconds last as many hundredths. */

import { type Clock, createSystemClock } from "../../src/clock.ts";

/** @param times how much faster it is than the real one */
export function createFastClock(times: number): Clock {
  const real = createSystemClock();
  const beganMs = real.now();
  const began = performance.now();
  return {
    now: () => Math.floor(beganMs + (performance.now() - began) * times),
    wallMs: () => real.wallMs(),
    after: (delayMs, callback) => real.after(delayMs / times, callback),
  };
}
