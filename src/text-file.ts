/** Reads text files that people write. */

import { readFileSync, statSync } from "node:fs";
import { messageOf } from "./errors.ts";

/** A file's text, or why there is none: a sentence that goes on after the file's name. */
export type TextFileReading =
  | { readonly text: string }
  | { readonly why: string; readonly isMissing: boolean };

/** Longer ones are refused: nobody writes so much by hand. */
const BYTES_MAX = 1024 * 1024;

/** Never throws. */
export function readTextFile(path: string): TextFileReading {
  try {
    const { size } = statSync(path);
    if (size > BYTES_MAX) {
      const why = `is too large: ${size} bytes, at most ${BYTES_MAX}`;
      return { why, isMissing: false };
    }
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path)) };
  } catch (error) {
    return { why: whyUnreadable(error), isMissing: codeOf(error) === "ENOENT" };
  }
}

/** The same for what reading a file threw. */
export function whyUnreadable(error: unknown): string {
  const code = codeOf(error);
  // Asked for by name, or there when the program was started.
  if (code === "ENOENT" || code === "ENOTDIR") return "must be a file that exists";
  if (code === "EISDIR") return "must be a file: it is a folder";
  if (code === "EACCES" || code === "EPERM") return "cannot be read: permission denied";
  if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") return "is not UTF-8 text";
  return `cannot be read: ${messageOf(error)}`;
}

/** `ENOENT` and the like. */
export function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
