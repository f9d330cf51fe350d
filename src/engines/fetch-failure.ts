/** What went wrong between us and a target, in the words of the seam. */

import { messageOf } from "../errors.ts";
import type { ForwardFailure } from "./engine.ts";

/** The connection was never made; whatever is not in here happened after that. */
const UNREACHABLE_CODES: ReadonlySet<string> = new Set([
  "ConnectionRefused",
  "EACCES",
  "EADDRNOTAVAIL",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "EMFILE",
  "ENETDOWN",
  "ENETUNREACH",
  "ENFILE",
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
  const unreachable = UNREACHABLE_CODES.has(code) || TLS_CODE.test(code);
  return { kind: unreachable ? "unreachable" : "broken", message: shortMessage(thrown, code) };
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
