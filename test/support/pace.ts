/** How busy this machine is now, for tests that bound a real time. */

import { readFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";

/** What a bound is multiplied with when processes waited for a core all the time of late. */
const PRESSED = 10;
/** And at most, however busy: a bound is to say something. */
const FACTOR_MAX = 20;

/**
 * What `ms` on a free machine may become on this one as it is now, in ms: `ms` itself unless there is more
 * to run than there are cores. To be asked after the work that is measured, since its load comes with it.
 */
export function within(ms: number): number {
  const queue = (2 * (loadavg()[0] ?? 0)) / availableParallelism();
  return ms * Math.min(FACTOR_MAX, Math.max(1, queue, PRESSED * pressure() ** 2));
}

/**
 * The share of the last 10 s in which a process waited for a core; 0 where the system does not tell. The load
 * is a mean over a minute, so it says too little in the first minute of a run.
 * Source: Linux, Documentation/accounting/psi.rst.
 */
function pressure(): number {
  try {
    const told = readFileSync("/proc/pressure/cpu", "utf8");
    return Number(/^some avg10=([\d.]+)/m.exec(told)?.[1] ?? 0) / 100;
  } catch {
    return 0;
  }
}
