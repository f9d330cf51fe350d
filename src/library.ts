/** The package's entry for programs: Paastis as a part of one, with providers of its own. */

import { configInvalid, type Environment, loadConfig } from "./load-config.ts";
import type { Provider } from "./providers/provider.ts";
import { serve } from "./serve.ts";
import type { Signals } from "./signals.ts";

/** How to start it. */
export interface PaastisOptions {
  /**
   * The variables of the README's table, by name; `process.env` is not read. Apps of the provider `process` and hooks
   * inherit what is in it. `PROVIDER_NAME` is not needed.
   */
  readonly environment?: Environment;
  /** Absolute: where `.env` and `paastis.yml` are looked for. Left out: the working directory. */
  readonly workingDirectory?: string;
  /**
   * Providers besides those of `PROVIDER_NAME`; of apps with the same key, theirs come first. Each needs a name that
   * no other has. They are closed when Paastis stops.
   */
  readonly providers?: readonly Provider[];
  /** Stops it, as `stop` does. */
  readonly signal?: AbortSignal;
}

/** One that is running. */
export interface Paastis extends AsyncDisposable {
  /** Where it listens. */
  readonly port: number;
  /** What is probably not meant in the configuration, but does no harm. */
  readonly warnings: readonly string[];
  /** Fulfilled when it has stopped; rejected when it ended otherwise. */
  readonly stopped: Promise<void>;
  /**
   * Requests under way may finish within `SHUTDOWN_TIMEOUT_MS`. Safe to repeat: the second time what is left is cut.
   * @returns `stopped`
   */
  stop(): Promise<void>;
}

/**
 * Starts Paastis in this process, which must be one of Bun: it listens when this is fulfilled, and the providers were
 * asked for their apps. The log goes to the standard output; `LOGGING_LEVEL=silent` keeps it quiet. Several may run at
 * once, each with a `DATA_DIR` and a port of its own.
 * @throws PaastisError `config_invalid`, `listen_failed`, `data_dir_in_use`, `certificate_invalid`
 */
export async function startPaastis(options: PaastisOptions = {}): Promise<Paastis> {
  const { environment = {}, workingDirectory = process.cwd(), providers = [], signal } = options;
  // Apps of `paastis.yml` bring their provider along; this one lists no others.
  const variables = { PROVIDER_NAME: "http", ...environment };
  const loaded = loadConfig({ environment: variables, flags: {}, workingDirectory });
  if (loaded.kind === "invalid") throw configInvalid(loaded.problems);
  const { signals, tell } = createSwitch();
  const ready = Promise.withResolvers<number>();
  const onReady = ready.resolve;
  const stopped = serve({ ...loaded, embedding: { providers, signals, onReady } });
  // Whoever looks at it sees how it ended; nobody has to.
  stopped.catch(() => undefined);
  if (signal?.aborted) tell();
  signal?.addEventListener("abort", tell, { once: true });
  const forget = () => signal?.removeEventListener("abort", tell);
  stopped.then(forget, forget);
  const ended = stopped.then(() => {
    throw new Error("Paastis was stopped before it was ready");
  });
  const port = await Promise.race([ready.promise, ended]);
  const stop = () => {
    tell();
    return stopped;
  };
  return { port, warnings: loaded.warnings, stopped, stop, [Symbol.asyncDispose]: stop };
}

/** Signals that come from this program rather than from outside. */
function createSwitch(): { readonly signals: Signals; readonly tell: () => void } {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let count = 0;
  const signals: Signals = {
    toldToStop: first.promise,
    toldTwice: second.promise,
    isToldToStop: () => count > 0,
    // The file is watched: nobody has to say that it changed.
    onHangup: () => () => undefined,
    onRestart: () => () => undefined,
    end: () => undefined,
  };
  const tell = () => {
    count += 1;
    (count === 1 ? first : second).resolve();
  };
  return { signals, tell };
}
