/** Which fields may come after a chunked body. */

import { CLIENT_CLAIMS, HOP_BY_HOP } from "../headers.ts";

/**
 * Names of trailer fields that are refused. RFC 9110, section 6.5.1, forbids to send in a trailer
 * what concerns framing, routing, authentication or the reading of the content: programs that add
 * trailers to the headers would see such a field after everybody in front of them has decided.
 */
const FORBIDDEN: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  ...CLIENT_CLAIMS,
  "authorization",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "cookie",
  "host",
  "set-cookie",
  "via",
  "www-authenticate",
]);

/** @param name in lower case */
export function mayBeTrailer(name: string): boolean {
  return !FORBIDDEN.has(name);
}
