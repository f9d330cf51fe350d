/** How forwarding fails, in the words of the seam, and what may be tried twice. */

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
  // A socket's queue of those to be accepted is full.
  "EAGAIN",
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

/** Whether a request may be sent again without knowing what became of the first time. */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}

/** Reads what `fetch`, `ws` or a socket of Bun's threw. */
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

/** The system's or the runtime's name for what went wrong, such as `ENOENT`; empty when it has none. */
export function codeOf(thrown: unknown): string {
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
    case "ENOENT":
      return "there is no such socket (ENOENT)";
    default:
      return messageOf(thrown).split(/\. For more information|: Was there a typo/)[0] ?? code;
  }
}
