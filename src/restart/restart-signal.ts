/** Being told to give way to another process, which may be before we can. */

import type { Signals } from "../signals.ts";

/** What was heard. */
export interface Restarts {
  /** Fulfilled once we were told to, since the start or since `forget`; never rejects. */
  told(): Promise<"restart">;
  /** It is done, or cannot be: what was said meanwhile meant the same. */
  forget(): void;
}

/** Hears from now on, for as long as the signals are listened for. */
export function hearRestarts(signals: Pick<Signals, "onRestart">): Restarts {
  let told = Promise.withResolvers<"restart">();
  signals.onRestart(() => told.resolve("restart"));
  return {
    told: () => told.promise,
    forget() {
      told = Promise.withResolvers();
    },
  };
}
