/** The program's log: JSON lines, or something pleasant to read when a person watches. */

/** Fields of a log line. `app` is the app's key and is shown first. */
export type LogFields = Readonly<Record<string, unknown>>;

/** What the rest of the program may say to the log. */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}
