/** What a program brings along that Paastis is a part of. */

import type { Provider } from "./providers/provider.ts";
import type { Signals } from "./signals.ts";

/** Where there is one, Paastis is a guest in the process: signals and rejections are its host's. */
export interface Embedding {
  /** Providers of its own; they come before all others. */
  readonly providers: readonly Provider[];
  /** Instead of the operating system's. */
  readonly signals: Signals;
  /** Called once, when it listens and every provider was asked. */
  readonly onReady: (port: number) => void;
}
