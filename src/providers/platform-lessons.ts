/** What each attempt teaches about the API, its token and its limits, and whom that turns away. */

import type { Broken, RawAnswer, Refused } from "./platform-answer.ts";
import { bodyOf, type Outcome, PAUSE_MS_MAX, retryAfterMsOf } from "./platform-answer.ts";
import type { Urgency } from "./platform-api.ts";
import type { Pass, Verdict } from "./platform-breaker.ts";
import type { Place } from "./platform-budget.ts";
import type { Condition } from "./platform-condition.ts";
import type { CallContext, Obstacle, Running } from "./platform-context.ts";
import { safeText } from "./platform-quote.ts";
import { ProviderError, type ProviderErrorKind } from "./provider.ts";

/** What one attempt holds while it is made. */
export interface Turn {
  readonly place: Place;
  readonly outage: Pass;
  readonly token: Pass;
}

/** One attempt that has come to its end. */
export interface Lesson {
  readonly running: Running;
  readonly raw: RawAnswer | Refused | Broken;
  readonly outcome: Outcome;
  readonly turn: Turn;
}

/** A rate limit without a word about its length, in ms. */
const PAUSE_MS = 60_000;
const PAUSE_MS_MIN = 1_000;

/** Begins an attempt. */
export function takeTurn(context: CallContext, place: Place, urgency: Urgency): Turn {
  return {
    place,
    outage: context.outage.breaker.enter(urgency),
    token: context.token.breaker.enter(urgency),
  };
}

/** Ends an attempt. One that was given up, or never sent, has shown nothing. */
export function endTurn({ outage, place, token }: Turn): void {
  outage.settle("none");
  token.settle("none");
  place.leave();
}

/** @throws ProviderError when what is known about the API leaves this call no chance */
export function turnAway(context: CallContext, { call }: Running): void {
  for (const obstacle of [context.token, context.outage]) {
    const restMs = obstacle.breaker.restMs(call.urgency);
    if (restMs > 0) throw turnedAwayError(obstacle, call.what, restMs);
  }
}

function turnedAwayError(obstacle: Obstacle, what: string, restMs: number): ProviderError {
  const { kind, trouble, why } = obstacle;
  const again = `it is not asked again for ${Math.ceil(restMs / 1000)} s`;
  const message = `could not ${what}: ${why}; ${again}`;
  return new ProviderError(kind, message, { retryAfterMs: restMs, trouble });
}

/** The same failure, and which trouble of the whole API it comes from, so that the log is not told of it by each call. */
export function withTrouble(context: CallContext, error: unknown): unknown {
  if (!(error instanceof ProviderError) || error.trouble !== null) return error;
  const trouble = conditionFor(context, error.kind);
  if (trouble === null) return error;
  const { cause, isUncertain, kind, message, retryAfterMs } = error;
  const inTime = retryAfterMs === null ? {} : { retryAfterMs };
  return new ProviderError(kind, message, { cause, isUncertain, trouble, ...inTime });
}

function conditionFor(
  { limit, outage, token }: CallContext,
  kind: ProviderErrorKind,
): Condition | null {
  switch (kind) {
    case "auth":
      return token.condition;
    case "rate-limited":
      return limit.condition;
    // A call that was given up was given up for want of an answer.
    case "failed":
    case "network":
    case "protocol":
    case "unavailable":
      return outage.condition;
    default:
      return null;
  }
}

/** Takes what an attempt showed into account, for itself and for all calls after it. */
export function learn(context: CallContext, lesson: Lesson): void {
  const { outcome, raw, running, turn } = lesson;
  const why = whyOf(running, outcome);
  note(context, lesson, why);
  learnLimits(context, lesson);
  judgeObstacle(context, context.outage, {
    turn: turn.outage,
    verdict: raw.kind === "refused" ? "none" : outageVerdict(outcome),
    why,
    bad: `the platform's API gives no usable answer: ${why}; wakes are still tried, all else waits`,
    good: "the platform's API answers again",
  });
  judgeObstacle(context, context.token, {
    turn: turn.token,
    verdict: tokenVerdict(outcome),
    why,
    bad: `${why}; apps that are up stay reachable, but none is put to sleep until the token is replaced`,
    good: "the token works again",
  });
}

/** By these the platforms find a call again when they are asked about it. */
const REQUEST_IDS = ["request-id", "x-request-id", "sozu-id", "fly-request-id"];

function note({ options, base }: CallContext, { raw, running }: Lesson, why: string): void {
  const { method, what, urgency } = running.call;
  const header = raw.kind === "answer" ? raw.header : () => null;
  const requestId = REQUEST_IDS.map(header).find((id) => id !== null);
  options.log.debug(
    {
      provider: options.provider,
      api: base.host,
      method,
      path: running.url.pathname,
      urgency,
      status: raw.kind === "answer" ? raw.status : undefined,
      requestId: requestId === undefined ? undefined : safeText(requestId ?? "", running.secrets),
      why: why || undefined,
    },
    `called the platform to ${what}`,
  );
}

/** There was no token to call with. Whoever tried to get one has said so in the log. */
export function learnNoToken(context: CallContext, error: ProviderError, turn: Turn): void {
  if (turn.token.settle("bad") === null) return;
  context.token.trouble = error.trouble ?? context.token.condition;
  turnAllAway(context, context.token, error.message);
}

function judgeObstacle(
  context: CallContext,
  obstacle: Obstacle,
  news: {
    readonly turn: Pass;
    readonly verdict: Verdict;
    readonly why: string;
    readonly bad: string;
    readonly good: string;
  },
): void {
  const change = news.turn.settle(news.verdict);
  // Also what others have said before it was bad enough for the breaker is over then.
  if (news.verdict === "good") obstacle.condition.end(news.good);
  if (change !== "opened" && change !== "still-open") return;
  obstacle.trouble = obstacle.condition;
  obstacle.condition.begin(news.bad);
  turnAllAway(context, obstacle, news.why);
}

/** Calls that wait for their turn would find out one by one. */
function turnAllAway(context: CallContext, obstacle: Obstacle, why: string): void {
  obstacle.why = why;
  for (const { call, isWaiting, life } of context.running) {
    const restMs = obstacle.breaker.restMs(call.urgency);
    if (isWaiting && restMs > 0) life.abort(turnedAwayError(obstacle, call.what, restMs));
  }
}

function whyOf({ secrets }: Running, outcome: Outcome): string {
  if (outcome.kind === "answered") return "";
  return safeText(outcome.kind === "refused" ? outcome.refusal.message : outcome.message, secrets);
}

function outageVerdict(outcome: Outcome): Verdict {
  if (outcome.kind === "broken") return outcome.isFinal ? "none" : "bad";
  if (outcome.kind === "answered") return "good";
  return outcome.refusal.kind === "unavailable" ? "bad" : "good";
}

/** An answer to a call that is refused for another reason may have come before the token was looked at. */
function tokenVerdict(outcome: Outcome): Verdict {
  if (outcome.kind === "answered") return "good";
  return outcome.kind === "refused" && outcome.refusal.kind === "auth" ? "bad" : "none";
}

function learnLimits(context: CallContext, { outcome, raw, running, turn }: Lesson): void {
  if (raw.kind !== "answer") return;
  const { options, limit, budget } = context;
  const told = options.limitsOf?.(raw.status, raw.header, bodyOf(raw.read)) ?? {};
  const remaining = saneNumber(told.remaining);
  if (remaining !== null) {
    context.remaining = remaining;
    turn.place.told(remaining);
  }
  const pauseMs = pauseOf(context, { raw, outcome, toldMs: saneNumber(told.pauseMs) });
  if (pauseMs > 0) {
    const forMs = Math.min(pauseMs, PAUSE_MS_MAX);
    limit.why = whyOf(running, outcome) || "the platform wants fewer calls";
    limit.condition.begin(`${limit.why}; no calls for ${Math.ceil(forMs / 1000)} s, but for wakes`);
    turn.place.limited(forMs);
  } else if (outcome.kind === "answered" && budget.pauseRestMs === 0) {
    limit.condition.end("the platform allows calls again");
  }
}

/** A header that was missing or nonsense may come as NaN. */
function saneNumber(told: number | undefined): number | null {
  return told !== undefined && told >= 0 ? told : null;
}

/** For how long the platform wants no calls because of this answer, in ms; 0: it did not say so. */
function pauseOf(
  context: CallContext,
  answer: { readonly raw: RawAnswer; readonly outcome: Outcome; readonly toldMs: number | null },
): number {
  const { raw, outcome, toldMs } = answer;
  if (outcome.kind !== "refused" || outcome.refusal.kind !== "rate-limited") return toldMs ?? 0;
  const headerMs = retryAfterMsOf(raw.header, context.options.clock.wallMs());
  const saidMs = toldMs ?? headerMs ?? outcome.refusal.retryAfterMs ?? PAUSE_MS;
  return Math.max(saidMs, PAUSE_MS_MIN);
}
