/** Time as an argument: the only place that reads the wall clock or sets a timer. */

/** Ends a timer that was set; harmless when it has already fired. */
export type CancelTimer = () => void;

/** What the rest of the program may know about time. Tests hand in one that they advance themselves. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Calls `callback` once, `delayMs` from now. The timer does not keep the process alive. */
  after(delayMs: number, callback: () => void): CancelTimer;
}

/** The machine's own clock. */
export function createSystemClock(): Clock {
  return {
    now: () => Date.now(),
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
