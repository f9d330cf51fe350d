/** What went wrong between us and a target, in the words of the seam. */

import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import { messageOf } from "../errors.ts";
import type { ForwardFailure } from "./engine.ts";

/** We have no descriptors, ports or memory left: nothing was even tried. */
const EXHAUSTED_CODES: ReadonlySet<string> = new Set([
  "EADDRNOTAVAIL",
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  "ENOMEM",
]);

/** The connection was never made; whatever is not in here happened after that. */
const UNREACHABLE_CODES: ReadonlySet<string> = new Set([
  "ConnectionRefused",
  "EACCES",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EPERM",
  "ETIMEDOUT",
  "FailedToOpenSocket",
]);

/** Certificates that were not accepted: nothing was sent. */
const TLS_CODE = /^(?:ERR_TLS_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH)/;

/**
 * Doing one of these twice is like doing it once (RFC 9110, section 9.2.2, and the WebDAV
 * registry).
 */
const IDEMPOTENT: ReadonlySet<string> = new Set([
  "DELETE",
  "GET",
  "HEAD",
  "OPTIONS",
  "PROPFIND",
  "PUT",
  "QUERY",
  "REPORT",
  "SEARCH",
]);

export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}

/** Reads what `fetch`, or `ws`, threw. */
export function failureOf(thrown: unknown): Pick<ForwardFailure, "kind" | "message"> {
  const code = codeOf(thrown);
  if (EXHAUSTED_CODES.has(code)) return exhaustedBy(code);
  if (!UNREACHABLE_CODES.has(code) && !TLS_CODE.test(code)) {
    return { kind: "broken", message: shortMessage(thrown, code) };
  }
  const shortage = shortageHere();
  if (shortage !== null) return exhaustedBy(shortage);
  return { kind: "unreachable", message: shortMessage(thrown, code) };
}

function exhaustedBy(code: string): Pick<ForwardFailure, "kind" | "message"> {
  return { kind: "exhausted", message: `nothing left here to open a connection with (${code})` };
}

/**
 * For a target with a name Bun says "refused" or "not found" when it has no descriptors left (seen
 * in 1.4.5), so we look whether one can be had.
 */
function shortageHere(): string | null {
  try {
    closeSync(openSync(devNull, "r"));
    return null;
  } catch (error) {
    const code = codeOf(error);
    return EXHAUSTED_CODES.has(code) ? code : null;
  }
}

function codeOf(thrown: unknown): string {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  return typeof code === "string" ? code : "";
}

/** Bun's messages end in advice for people who program with it. */
function shortMessage(thrown: unknown, code: string): string {
  switch (code) {
    case "ECONNREFUSED":
      return "the connection was refused (ECONNREFUSED)";
    case "ECONNRESET":
      return "the connection ended before an answer was complete (ECONNRESET)";
    default:
      return messageOf(thrown).split(". For more information")[0] ?? code;
  }
}
