/** What an environment variable of ours is: a row of the tables. */

import type { Parser } from "./setting-parsers.ts";

/** One environment variable. */
export interface Variable<T> {
  readonly name: string;
  /** Other names it may be given by. */
  readonly aliases: readonly string[];
  /** The flag that wins over it; `null`: none. */
  readonly flag: string | null;
  readonly parser: Parser<T>;
  /** The value when it is not set. */
  readonly fallback: T;
  /** The default as the README shows it. */
  readonly defaultText: string;
  /** It must be set. */
  readonly required: boolean;
  /** The variable that makes it needless; `null`: none. */
  readonly unless: string | null;
  /** Its value may hold a secret and never appears in a message. */
  readonly secret: boolean;
  /** Other programs know it too: commands that Paastis runs inherit it, and only a named provider needs it right. */
  readonly isShared: boolean;
  /** One sentence: what for, in which unit. */
  readonly doc: string;
}

/** A row, with what most rows have in common filled in. */
export function variable<T>(
  row: Pick<Variable<T>, "name" | "parser" | "fallback" | "doc"> & Partial<Variable<T>>,
): Variable<T> {
  return {
    aliases: [],
    flag: null,
    required: false,
    unless: null,
    secret: false,
    isShared: false,
    defaultText: row.fallback === null ? "none" : `\`${String(row.fallback)}\``,
    ...row,
  };
}
