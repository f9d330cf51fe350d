/** What the operating system tells us: stop, hurry, read the configuration again. */

/** Signals, listened for until `end`. */
export interface Signals {
  /** Resolves with the first SIGTERM or SIGINT. */
  readonly toldToStop: Promise<void>;
  /** Resolves with the second. */
  readonly toldTwice: Promise<void>;
  isToldToStop(): boolean;
  /** Calls back for each SIGHUP. @returns how to stop that */
  onHangup(callback: () => void): () => void;
  end(): void;
}

/** Until somebody listens with `onHangup`, a SIGHUP does nothing: it must not end the program. */
export function listenForSignals(): Signals {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  const hangups = new Set<() => void>();
  let count = 0;
  const onStop = () => {
    count += 1;
    (count === 1 ? first : second).resolve();
  };
  const onHangup = () => {
    for (const callback of hangups) callback();
  };
  process.on("SIGTERM", onStop);
  process.on("SIGINT", onStop);
  process.on("SIGHUP", onHangup);
  return {
    toldToStop: first.promise,
    toldTwice: second.promise,
    isToldToStop: () => count > 0,
    onHangup(callback) {
      hangups.add(callback);
      return () => hangups.delete(callback);
    },
    end() {
      process.off("SIGTERM", onStop);
      process.off("SIGINT", onStop);
      process.off("SIGHUP", onHangup);
    },
  };
}
