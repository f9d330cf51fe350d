/** Time as an argument: the only place that reads a clock or sets a timer. */

/** Ends a timer that was set; harmless when it has already fired. */
export type CancelTimer = () => void;

/** What the rest of the program may know about time. Tests hand in one that they advance themselves. */
export interface Clock {
  /**
   * Steady time, for everything that is reckoned: waits, idle times, limits, and times that are stored. What the
   * wall clock said when the clock was made, in whole milliseconds since the Unix epoch, counted on by a monotonic
   * clock: it never jumps and never goes back, whatever is done to the wall clock. It may therefore differ from
   * `wallMs` by as much as the wall clock was set since the start, and by the time the machine was suspended.
   */
  now(): number;
  /**
   * What the wall clock says at this moment, in whole milliseconds since the Unix epoch. It jumps, back as well,
   * when somebody sets it. Only for what people and cron see: times of log lines and events, cron schedules,
   * names of files. Never compare it with `now()`, and never reckon a duration with it.
   */
  wallMs(): number;
  /**
   * Calls `callback` once, `delayMs` from now. The timer does not keep the process alive. One that is late, as the
   * process was stopped, lets what arrived meanwhile go first: a request that waits for us keeps its app in use, and
   * an answer that is there is not missing.
   */
  after(delayMs: number, callback: () => void): CancelTimer;
  /**
   * Calls `listener` whenever the process is seen to have stood still, before any timer that fell due meanwhile and any
   * answer that came, until the returned function is called. Left out: this clock never stands still.
   */
  onStandstill?(listener: () => void): () => void;
}

/** A timer is late that comes so long after its time, ms. */
const LATE_MS = 500;
/** How long a late timer leaves to what has arrived, ms: the runtime reads no socket before timers that are due. */
const CATCH_UP_MS = 50;

/** The machine's own clock. Make one for the whole program: two of them may differ when the wall clock was set. */
export function createSystemClock(): Clock {
  const originMs = Date.now() - performance.now();
  const listeners = new Set<() => void>();
  return {
    // Whole, as stored times and references made of it must be.
    now: () => Math.floor(originMs + performance.now()),
    wallMs: () => Date.now(),
    after(delayMs, callback) {
      // Longer delays would overflow the runtime's 32-bit timer and fire at once.
      const waitMs = Math.min(delayMs, 0x7fffffff);
      const lateMs = performance.now() + Math.max(0, waitMs) + LATE_MS;
      let timer = setTimeout(() => {
        if (performance.now() < lateMs) return callback();
        for (const listener of [...listeners]) listener();
        timer = setTimeout(callback, CATCH_UP_MS);
        timer.unref();
      }, waitMs);
      timer.unref();
      return () => clearTimeout(timer);
    },
    onStandstill(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Keeps the process alive, which the clock's timers do not, until the returned function is called. */
export function keepAlive(): () => void {
  const timer = setInterval(() => undefined, 0x7fffffff);
  return () => clearInterval(timer);
}

/**
 * Waits `delayMs`, or less when `signal` is aborted: then it rejects with the signal's reason.
 * Nothing stays behind either way.
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.after(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * A signal that aborts with `reason` after `delayMs`, or with `parent`'s reason as soon as `parent` does.
 * Call `end` when it is no longer needed: it frees the timer and the listener.
 */
export function deadline(
  clock: Clock,
  delayMs: number,
  options: { readonly reason: unknown; readonly parent?: AbortSignal },
): { readonly signal: AbortSignal; readonly end: () => void } {
  const controller = new AbortController();
  const { parent, reason } = options;
  const onParentAbort = () => controller.abort(parent?.reason);
  const cancel = clock.after(delayMs, () => controller.abort(reason));
  if (parent?.aborted) onParentAbort();
  else parent?.addEventListener("abort", onParentAbort, { once: true });
  return {
    signal: controller.signal,
    end() {
      cancel();
      parent?.removeEventListener("abort", onParentAbort);
    },
  };
}
