/** Why a message is refused rather than guessed at. */

import type { RefusalCode } from "./engine.ts";

/** What was wrong with a message. After one, nothing more can be read from its connection. */
export interface Refusal {
  /** For `RequestHandler.refuse`; `upstream_broken` when the message is a response. */
  readonly code: RefusalCode | "upstream_broken";
  /** Status of the answer to the client; 502 when the message is a response. */
  readonly status: 400 | 413 | 414 | 431 | 501 | 502 | 505;
  /** For people, the rest of the sentence "refused because". Holds at most one byte of the message. */
  readonly why: string;
}

const CODES = {
  400: "invalid_request",
  413: "body_too_large",
  414: "target_too_long",
  431: "head_too_large",
  501: "not_implemented",
  505: "version_refused",
} as const satisfies Readonly<Record<number, RefusalCode>>;

/** Refuses a request. */
export function refuse(status: keyof typeof CODES, why: string): Refusal {
  return { code: CODES[status], status, why };
}

/** Refuses a request for what it says about its host. */
export function refuseHost(why: string): Refusal {
  return { code: "invalid_host", status: 400, why };
}

/** The same finding in a response: whatever is wrong there, the client is told 502. */
export function asResponseRefusal({ why }: Refusal): Refusal {
  return { code: "upstream_broken", status: 502, why };
}
