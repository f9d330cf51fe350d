/** Where a call goes, what it carries, and whether and when it may be made once more. */

import type { Outcome } from "./platform-answer.ts";
import type { ApiCall, Urgency } from "./platform-api.ts";
import { ProviderError } from "./provider.ts";

/**
 * Pure. The whole URL of a call.
 * @throws ProviderError `protocol` when `path` leads to another origin, or is neither a path nor a URL
 */
export function addressOf(base: URL, call: ApiCall): URL {
  const { path } = call;
  const below = base.href.replace(/[?#].*$/, "").replace(/\/$/, "");
  // Never resolved against the base: `//host/` and `/\host/` would lead elsewhere.
  const url = URL.parse(path.startsWith("/") ? below + path : path);
  const hasUser =
    url !== null && (url.username !== base.username || url.password !== base.password);
  if (url === null || url.origin !== base.origin || hasUser) {
    const where = url === null ? "no address" : `an address of ${url.origin}`;
    throw new ProviderError(
      "protocol",
      `could not ${call.what}: the platform gave ${where}, and calls go to ${base.origin} only`,
    );
  }
  url.hash = "";
  return url;
}

/** Pure. What the call carries; `null`: nothing. */
export function payloadOf({ body, form }: ApiCall): string | null {
  if (form !== undefined) return new URLSearchParams(form).toString();
  return body === undefined ? null : JSON.stringify(body);
}

/** Pure. The headers of one attempt, later ones replacing earlier ones; `null` when one cannot be sent. */
export function headersOf(
  call: ApiCall,
  credentials: Readonly<Record<string, string>>,
): Headers | null {
  const headers = new Headers({ accept: "application/json", "user-agent": "paastis" });
  if (call.form !== undefined) headers.set("content-type", "application/x-www-form-urlencoded");
  else if (call.body !== undefined) headers.set("content-type", "application/json");
  try {
    for (const [name, value] of Object.entries({ ...call.headers })) headers.set(name, value);
    for (const [name, value] of Object.entries(credentials)) headers.set(name, value);
    return headers;
  } catch {
    return null; // The message of what was thrown holds the value, which may be a token.
  }
}

/** Attempts at one call; the one with a renewed token is not counted. */
export const TRIES_MAX = 3;

/** Pure. Whether doing the call once more can do no harm and may help. */
export function mayTryAgain(call: ApiCall, tries: number, outcome: Outcome): boolean {
  if (tries >= TRIES_MAX || outcome.kind === "answered") return false;
  const isRepeatable = call.method === "GET" || call.isRepeatable === true;
  if (outcome.kind === "broken") return !outcome.isFinal && (isRepeatable || !outcome.isUncertain);
  if (outcome.refusal.kind === "rate-limited") return true;
  return outcome.refusal.kind === "unavailable" && isRepeatable;
}

/** Before the second try at most the first, then twice that, in ms. */
const BACKOFF_FIRST_MS = 500;
const BACKOFF_LAST_MS = 10_000;
/** A platform that says "unavailable" with a longer `Retry-After` is left alone instead, in ms. */
const WAIT_MS_MAX: Readonly<Record<Urgency, number>> = {
  wake: 60_000,
  sleep: 60_000,
  sweep: 5_000,
};

/**
 * Pure. How long to wait before the next try: anything between nothing and all of a doubling time, so that many
 * who failed together do not come back together; never less than the platform asks for.
 * @param chance 0 to 1, exclusive
 * @returns `null` when the platform asks for more than a call of this urgency waits
 */
export function backoffMs(
  call: ApiCall,
  tries: number,
  retry: {
    readonly chance: number;
    readonly askedMs: number;
  },
): number | null {
  if (retry.askedMs > WAIT_MS_MAX[call.urgency]) return null;
  const most = Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** (tries - 1));
  return Math.max(retry.askedMs, Math.round(most * retry.chance));
}
