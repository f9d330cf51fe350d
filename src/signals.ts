/** What the operating system tells us: stop, hurry, read the configuration again, give way to a new process. */

/** Signals, listened for until `end`. */
export interface Signals {
  /** Resolves with the first SIGTERM or SIGINT. */
  readonly toldToStop: Promise<void>;
  /** Resolves with the second. */
  readonly toldTwice: Promise<void>;
  isToldToStop(): boolean;
  /** Calls back for each SIGHUP. @returns how to stop that */
  onHangup(callback: () => void): () => void;
  /** Calls back for each SIGUSR2. @returns how to stop that */
  onRestart(callback: () => void): () => void;
  end(): void;
}

/** Until somebody listens with `onHangup`, a SIGHUP does nothing: it must not end the program. */
export function listenForSignals(): Signals {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  const hangups = new Set<() => void>();
  const restarts = new Set<() => void>();
  let count = 0;
  const onStop = () => {
    count += 1;
    (count === 1 ? first : second).resolve();
  };
  const onHangup = () => {
    for (const callback of hangups) callback();
  };
  const onRestart = () => {
    for (const callback of restarts) callback();
  };
  process.on("SIGTERM", onStop);
  process.on("SIGINT", onStop);
  process.on("SIGHUP", onHangup);
  // Windows has no such signal, and may refuse to listen for it.
  if (process.platform !== "win32") process.on("SIGUSR2", onRestart);
  return {
    toldToStop: first.promise,
    toldTwice: second.promise,
    isToldToStop: () => count > 0,
    onHangup(callback) {
      hangups.add(callback);
      return () => hangups.delete(callback);
    },
    onRestart(callback) {
      restarts.add(callback);
      return () => restarts.delete(callback);
    },
    end() {
      process.off("SIGTERM", onStop);
      process.off("SIGINT", onStop);
      process.off("SIGHUP", onHangup);
      process.off("SIGUSR2", onRestart);
    },
  };
}
