/** Who may call the fake Heroku, how, and how often: version, token, token bucket. */

import type { FakeAnswer } from "./fake-answer.ts";
import { notAcceptable, rateLimited, refused, unauthorized } from "./fake-heroku-json.ts";
import type { RefusalId } from "./fake-heroku-model.ts";
import type { Call } from "./fake-platform.ts";
import { checkHeader, checkNoBody } from "./request-checks.ts";

const MINUTE_MS = 60_000;
const ACCEPT = /^application\/vnd\.heroku\+json; ?version=3$/;

/** State of the one account. */
export interface Access {
  readonly bucketMax: number;
  /** More calls a minute than this that get 401, or 429, are a violation. */
  readonly refusedPerMinuteMax: number;
  /** `null`: revoked. */
  token: string | null;
  /** Every call is refused like this. */
  refusal: RefusalId | null;
  perMinute: number;
  /** Calls that are left, at `filledAtMs`; may be a fraction. */
  left: number;
  filledAtMs: number;
  rateLimited: number;
  unauthorizedTimes: number[];
  limitedTimes: number[];
}

export function createAccess(options: {
  readonly token: string;
  readonly bucketMax: number;
  readonly perMinute: number;
  readonly refusedPerMinuteMax: number;
  readonly nowMs: number;
}): Access {
  const { nowMs, ...given } = options;
  return {
    ...given,
    refusal: null,
    left: options.bucketMax,
    filledAtMs: nowMs,
    rateLimited: 0,
    unauthorizedTimes: [],
    limitedTimes: [],
  };
}

/** Calls that are left now. */
export function remaining(access: Access, nowMs: number): number {
  return Math.floor(levelOf(access, nowMs));
}

/** From now on so many are left, and so many come back a minute. */
export function setQuota(
  access: Access,
  quota: { readonly left: number; readonly perMinute: number; readonly nowMs: number },
): void {
  access.left = quota.left;
  access.perMinute = quota.perMinute;
  access.filledAtMs = quota.nowMs;
}

function levelOf(access: Access, nowMs: number): number {
  const minutes = (nowMs - access.filledAtMs) / MINUTE_MS;
  return Math.max(
    access.left,
    Math.min(access.bucketMax, access.left + minutes * access.perMinute),
  );
}

/**
 * The checks that every call must pass, in the order of the platform: version, token, limit,
 * account.
 */
export function admit(access: Access, call: Call): FakeAnswer | null {
  if (call.method === "GET") checkNoBody(call);
  if (!checkHeader(call, "accept", ACCEPT)) return notAcceptable();
  const refusal = authenticate(access, call) ?? limit(access, call);
  if (refusal !== null) return refusal;
  return access.refusal === null ? null : refused(access.refusal);
}

function authenticate(access: Access, call: Call): FakeAnswer | null {
  const isBearer = checkHeader(call, "authorization", /^Bearer \S+$/);
  const isGood = call.headers.get("authorization") === `Bearer ${access.token}`;
  if (isGood && access.token !== null) return null;
  access.unauthorizedTimes.push(call.atMs);
  if (isBearer) noteObstinacy(access, call, { times: access.unauthorizedTimes, status: 401 });
  return unauthorized();
}

function limit(access: Access, call: Call): FakeAnswer | null {
  if (call.kind === "limits.read") return null;
  const level = levelOf(access, call.atMs);
  access.left = level;
  access.filledAtMs = call.atMs;
  if (level >= 1) {
    access.left = level - 1;
    return null;
  }
  access.rateLimited += 1;
  access.limitedTimes.push(call.atMs);
  noteObstinacy(access, call, { times: access.limitedTimes, status: 429 });
  return rateLimited();
}

function noteObstinacy(
  { refusedPerMinuteMax }: Access,
  call: Call,
  { times, status }: { readonly times: number[]; readonly status: number },
): void {
  while ((times[0] ?? call.atMs) <= call.atMs - MINUTE_MS) times.shift();
  if (times.length <= refusedPerMinuteMax) return;
  call.violation(`goes on after ${refusedPerMinuteMax} answers of ${status} within a minute`);
}
