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
  /** Calls `callback` once, `delayMs` from now. The timer does not keep the process alive. */
  after(delayMs: number, callback: () => void): CancelTimer;
}

/** The machine's own clock. Make one for the whole program: two of them may differ when the wall clock was set. */
export function createSystemClock(): Clock {
  const originMs = Date.now() - performance.now();
  return {
    // Whole, as stored times and references made of it must be.
    now: () => Math.floor(originMs + performance.now()),
    wallMs: () => Date.now(),
    after(delayMs, callback) {
      // Longer delays would overflow the runtime's 32-bit timer and fire at once.
      const timer = setTimeout(callback, Math.min(delayMs, 0x7fffffff));
      timer.unref();
      return () => clearTimeout(timer);
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
