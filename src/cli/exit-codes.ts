/** Every exit status of the command line, in the one place where they are documented. */

import { EXIT_CONFIG } from "../errors.ts";

/** It could not be done, or what was asked about is not in order. */
export const EXIT_FAILURE = 1;
/** The command line cannot be understood (`EX_USAGE`). */
export const EXIT_USAGE = 64;
/** What it needs is not there or does not answer, such as systemd (`EX_UNAVAILABLE`). */
export const EXIT_UNAVAILABLE = 69;
/** Whoever ran it may not do it (`EX_NOPERM`). */
export const EXIT_NO_PERMISSION = 77;

/** For the help and the README. Numbers from 64 on: sysexits.h. */
export const EXIT_CODES: readonly (readonly [status: number, meaning: string])[] = [
  [0, "done, or everything is in order"],
  [EXIT_FAILURE, "it could not be done, or something is not in order"],
  [EXIT_USAGE, "the command line is wrong"],
  [EXIT_UNAVAILABLE, "what it needs is not there, such as systemd or a running instance"],
  [EXIT_NO_PERMISSION, "this user may not do it"],
  [EXIT_CONFIG, "the configuration cannot be used"],
];

/** The section of the help. */
export function describeExitCodes(): string {
  const rows = EXIT_CODES.map(([status, meaning]) => `  ${String(status).padEnd(4)}${meaning}`);
  return ["", "Exit status:", ...rows].join("\n");
}
