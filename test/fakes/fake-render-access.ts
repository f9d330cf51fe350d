/** Who may call the fake Render, and how often: one key, reads by the account, changes by the service. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import type { Call } from "./fake-platform.ts";
import { refused } from "./fake-render-json.ts";
import { checkHeader, checkNoBody } from "./request-checks.ts";

const MINUTE_MS = 60_000;

/** State of the one account. */
export interface Access {
  /** `null`: revoked. */
  token: string | null;
  readsPerMinute: number;
  readonly changesPerMinute: number;
  /** `seconds` until the reset, or `epoch` seconds: documents show both. */
  readonly resetIs: "seconds" | "epoch";
  readonly saysRetryAfter: boolean;
  /** When calls were let through, by what counts them together. */
  readonly times: Map<string, number[]>;
  refused: number;
}

/** Whether the key is good and the limit not reached; `null`: the call goes on. Fixed windows, as they are told. */
export function admit(access: Access, call: Call): FakeAnswer | null {
  if (!checkHeader(call, "accept", /^application\/json\b/)) return refused(406, "not acceptable");
  if (call.method === "GET") checkNoBody(call);
  checkHeader(call, "authorization", /^Bearer \S+$/);
  if (access.token === null || call.headers.get("authorization") !== `Bearer ${access.token}`) {
    return refused(401, "Unauthorized");
  }
  const { times, max } = bucketOf(access, call);
  if (times.length < max) {
    times.push(call.atMs);
    return null;
  }
  access.refused += 1;
  const retryAfter = access.saysRetryAfter
    ? { "Retry-After": String(restSeconds(times, call)) }
    : {};
  return json({ message: "rate limit exceeded" }, 429, retryAfter);
}

/** The headers that every answer has. */
export function limitHeaders(access: Access, call: Call): Record<string, string> {
  const { times, max } = bucketOf(access, call);
  const rest = restSeconds(times, call);
  const reset = access.resetIs === "seconds" ? rest : Math.floor(call.atMs / 1000) + rest;
  return {
    "RateLimit-Limit": String(max),
    "RateLimit-Remaining": String(Math.max(0, max - times.length)),
    "RateLimit-Reset": String(reset),
  };
}

function restSeconds(times: readonly number[], call: Call): number {
  return Math.ceil(((times[0] ?? call.atMs) + MINUTE_MS - call.atMs) / 1000);
}

function bucketOf(access: Access, call: Call): { readonly times: number[]; readonly max: number } {
  const isRead = call.method === "GET";
  const key = isRead ? "reads" : `changes of ${call.params.service ?? ""}`;
  const fresh = (access.times.get(key) ?? []).filter((atMs) => call.atMs - atMs < MINUTE_MS);
  access.times.set(key, fresh);
  return { times: fresh, max: isRead ? access.readsPerMinute : access.changesPerMinute };
}
