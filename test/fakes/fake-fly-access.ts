/** Who may call the fake Fly.io, and how often: one token, one call a second of a kind for a machine or an app. */

import type { FakeAnswer } from "./fake-answer.ts";
import { refused } from "./fake-fly-json.ts";
import type { Call } from "./fake-platform.ts";
import { checkHeader, checkNoBody } from "./request-checks.ts";

/** State of the one organization. */
export interface Access {
  /** As it stands behind its scheme. */
  readonly token: string;
  /** `FlyV1` for tokens of the newer kinds, `Bearer` for others. */
  readonly scheme: "FlyV1" | "Bearer";
  isAccepted: boolean;
  /** No call at all is let through. */
  isFull: boolean;
  readonly isLimited: boolean;
  /** Seconds that a 429 tells; `null`: it does not, as no document says that it would. */
  readonly retryAfterSeconds: number | null;
  readonly buckets: Map<string, { level: number; atMs: number }>;
  refused: number;
}

/** Source: the documentation's page on the Machines API, "Rate limits". */
const USUAL = { perSecond: 1, burst: 3 } as const;
const GET_MACHINE = { perSecond: 5, burst: 10 } as const;

/** `null`: the call goes on. */
export function admit(access: Access, call: Call): FakeAnswer | null {
  checkHeader(call, "accept", /^application\/json\b/);
  if (call.method === "GET") checkNoBody(call);
  checkHeader(call, "authorization", new RegExp(`^${access.scheme} \\S+$`));
  const isGood = call.headers.get("authorization") === `${access.scheme} ${access.token}`;
  if (!access.isAccepted || !isGood) return refused(401, "unauthenticated");
  return access.isFull || !hasRoom(access, call) ? tooMany(access) : null;
}

function tooMany(access: Access): FakeAnswer {
  access.refused += 1;
  const { retryAfterSeconds } = access;
  const answer = refused(429, "rate limit exceeded");
  if (retryAfterSeconds === null) return answer;
  return { ...answer, headers: { "Retry-After": String(retryAfterSeconds) } };
}

function hasRoom({ buckets, isLimited }: Access, call: Call): boolean {
  if (!isLimited) return true;
  const { perSecond, burst } = call.kind === "machines.read" ? GET_MACHINE : USUAL;
  const key = `${call.kind} ${call.params.machine ?? call.params.app ?? ""}`;
  const before = buckets.get(key) ?? { level: burst, atMs: call.atMs };
  const gained = ((call.atMs - before.atMs) / 1000) * perSecond;
  const level = Math.min(burst, before.level + gained);
  const isRoom = level >= 1;
  buckets.set(key, { level: isRoom ? level - 1 : level, atMs: call.atMs });
  return isRoom;
}
