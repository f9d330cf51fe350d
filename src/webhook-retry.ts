/** When a delivery that failed is tried again. Pure. */

/** How long an event is worth sending after it has happened, ms. */
export const WORTH_SENDING_MS = 60 * 60_000;

const PAUSE_FIRST_MS = 1000;
const PAUSE_LAST_MS = 5 * 60_000;
/** Longest that a receiver may ask us to wait, ms. */
const PAUSE_WISHED_MAX_MS = 15 * 60_000;

/** Request Timeout, Too Early, Too Many Requests: the same request may do later. Source: RFC 9110, 8470, 6585. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429]);

/** What a status says of the delivery: done, to be tried again, or never to be taken. */
export type Verdict = "delivered" | "again" | "refused";

/** A redirect is none of our business: it could lead what is signed, or in the URL, to somebody else. */
export function verdictOn(status: number): Verdict {
  if (status >= 200 && status < 300) return "delivered";
  return status >= 500 || PASSING.has(status) ? "again" : "refused";
}

/**
 * How long to wait before the next try, ms: doubling pauses of up to five minutes, spread by chance between half and
 * all, and no shorter than the receiver wishes.
 * @param failures how many there were in a row, at least 1
 * @param wishedMs what the receiver asked for; `null`: nothing. At most a quarter of an hour is heeded
 * @param chance 0 to 1, exclusive
 */
export function webhookPauseMs(failures: number, wishedMs: number | null, chance: number): number {
  const wholeMs = Math.min(PAUSE_LAST_MS, PAUSE_FIRST_MS * 2 ** Math.min(failures - 1, 20));
  const ownMs = wholeMs * (0.5 + chance / 2);
  if (wishedMs === null) return Math.round(ownMs);
  return Math.round(Math.max(ownMs, Math.min(wishedMs, PAUSE_WISHED_MAX_MS)));
}
