/** The program's log: JSON lines, or something pleasant to read when a person watches. */

import { pino } from "pino";
import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { LineSink } from "./log-backlog.ts";
import { createBacklog } from "./log-backlog.ts";
import { cleanFields, cleanText } from "./log-safety.ts";
import { createTerminalFormat } from "./terminal.ts";

/** Fields of a log line. `app` is the app's key and is shown first. */
export type LogFields = Readonly<Record<string, unknown>>;

/** What the rest of the program may say to the log. */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

/** Where lines go. `process.stdout` fits. */
export interface LogStream extends LineSink {
  readonly isTTY: boolean;
  /** Width of the terminal; 80 when it does not say. */
  readonly columns?: number;
  /** Bits of colour; the runtime's own answer respects `NO_COLOR`, `FORCE_COLOR` and `TERM`. */
  getColorDepth?(): number;
}

export interface LogOptions {
  /** Lines below this level are dropped before anything is made of them. */
  readonly level: Config["logLevel"];
  readonly stream: LogStream;
  readonly clock: Pick<Clock, "wallMs">;
}

const COLUMNS_DEFAULT = 80;

/**
 * Makes the log. Lines are written at once and in order; escape sequences, control characters and secrets are
 * taken out of every text. While more than 8 MiB wait because nobody reads, lines of all levels are dropped, and
 * their number is said, as a warning, as soon as there is room. Costs about 5 ms at the start of the executable and starts no thread.
 */
export function createLog(options: LogOptions): Log {
  const { stream } = options;
  const write = createBacklog(stream, (dropped) =>
    logger.warn({ dropped }, "lines of this log were dropped: nobody read them fast enough"),
  );
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date(options.clock.wallMs()).toISOString()}"`,
      formatters: { level: (level) => ({ level }), log: cleanFields },
    },
    { write: stream.isTTY ? terminalWriter(stream, write) : write },
  );
  return {
    debug: (fields, message) => logger.debug(fields, cleanText(message)),
    info: (fields, message) => logger.info(fields, cleanText(message)),
    warn: (fields, message) => logger.warn(fields, cleanText(message)),
    error: (fields, message) => logger.error(fields, cleanText(message)),
  };
}

/** A person reads far slower than a line is parsed, so there is one way for a line: through pino. */
function terminalWriter(stream: LogStream, write: (text: string) => void): (line: string) => void {
  const format = createTerminalFormat({
    columns: () => stream.columns || COLUMNS_DEFAULT,
    colorDepth: stream.getColorDepth?.() ?? 1,
  });
  return (json) => {
    // pino has just written it: an object with these three and the line's own fields.
    const { level, time, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
    const timeMs = Date.parse(String(time));
    write(format({ level: String(level), timeMs, message: String(msg), fields }));
  };
}
