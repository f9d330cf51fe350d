/** Requests that do not wake their app: which they are, and what they are told. */

import type { Answers } from "./answers.ts";
import type { App, Failure } from "./app.ts";
import type { ForcedSleep } from "./app-schedule.ts";
import type { Clock } from "./clock.ts";
import type { Answer, Exchange } from "./engines/engine.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { ignoreText } from "./wake-policy.ts";

/** Why a request is turned away. */
export type TurnedAway =
  /** It is one of those that its app is not woken for. */
  | { readonly kind: "ignored"; readonly why: string; readonly status: number }
  /** Nobody wakes the app now. */
  | { readonly kind: "forced"; readonly why: string; readonly untilMs: number }
  /** It is ignored, and its app has failed: whoever watches over it is told so. */
  | { readonly kind: "failed"; readonly failure: Failure };

/** What the decision is made from, besides the request and its app. */
export interface TurnedAwayFacts {
  readonly nowMs: number;
  /** A wake of the app is under way, or about to be. */
  readonly isWaking: boolean;
  /** Asked only where it matters. */
  readonly forced: () => ForcedSleep | null;
}

/** Somebody who wants something of an app. */
export type Caller = Pick<Exchange, "app" | "head" | "admittedMs" | "failures" | "ignored">;

/** Pure. For requests whose app is not simply awake. @returns `null`: it is like any other */
export function turnedAway(
  caller: Pick<Caller, "app" | "failures" | "ignored"> & { readonly head: { method: string } },
  facts: TurnedAwayFacts,
): TurnedAway | null {
  const { app, failures, head, ignored } = caller;
  const { state } = app;
  // Nobody can say that it is down: what does no harm may try where it was last.
  const mayTry = state.kind === "unknown" && app.lastTarget !== null && isSafe(head.method);
  if (mayTry && failures === 0) return null;
  if (ignored !== null) {
    if (state.kind === "awake" && !facts.isWaking) return null;
    return state.kind === "failed" ? { kind: "failed", failure: state } : ignoredAway(ignored);
  }
  if (facts.isWaking || !needsWake(app, facts.nowMs)) return null;
  const forced = facts.forced();
  return forced === null ? null : { kind: "forced", ...forced };
}

/** Asks for nothing to be done (RFC 9110, section 9.2.1), so that it can be asked again elsewhere. */
export function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}

function ignoredAway(ignored: NonNullable<Caller["ignored"]>): TurnedAway {
  const why = `such requests do not wake it (${ignoreText(ignored)})`;
  return { kind: "ignored", why, status: ignored.status };
}

/** Only a wake can serve its requests. Why one has failed is said first. */
function needsWake({ state }: App, nowMs: number): boolean {
  if (state.kind === "failed") return nowMs >= state.retryAtMs;
  return state.kind === "asleep" || state.kind === "stopping" || state.kind === "unknown";
}

/** Knows who is not let in while an app is down. */
export interface Doorkeeper {
  /** @returns the answer for a request that does not wake its app; `null`: it is like any other */
  refusal(caller: Caller): Answer | null;
  /** The same when the app was taken to be up, and is not. */
  foundDown(caller: Caller): Answer | null;
}

/** Everything it needs from outside. */
export interface DoorkeeperDeps {
  readonly answers: Answers;
  readonly clock: Clock;
  readonly lifecycle: Pick<Lifecycle, "wakeAskedMs">;
  /** Why nobody wakes an app now. Left out: nothing of the kind is known. */
  readonly forcedSleep?: (app: App) => ForcedSleep | null;
  /** What anybody is told of an app that has failed. */
  readonly failedAnswer: (caller: Caller, failure: Failure) => Answer;
}

/** A doorkeeper who asks for the schedule only where there is one. */
export function createDoorkeeper(deps: DoorkeeperDeps): Doorkeeper {
  const forced = (app: App) =>
    app.policy.forceSleep === null ? null : (deps.forcedSleep?.(app) ?? null);
  return {
    refusal(caller) {
      const { app } = caller;
      const away = turnedAway(caller, {
        nowMs: deps.clock.now(),
        isWaking: deps.lifecycle.wakeAskedMs(app) !== null,
        forced: () => forced(app),
      });
      return away === null ? null : answerFor(deps, caller, away);
    },
    foundDown(caller) {
      if (caller.ignored !== null) return answerFor(deps, caller, ignoredAway(caller.ignored));
      const why = forced(caller.app);
      return why === null ? null : answerFor(deps, caller, { kind: "forced", ...why });
    },
  };
}

/** When who is ignored may look again: nothing will happen because of them, ms. */
const LOOK_AGAIN_MS = 3_600_000;
/** Longest that anybody is told to wait, ms. */
const RETRY_MAX_MS = 86_400_000;

function answerFor(deps: DoorkeeperDeps, caller: Caller, away: TurnedAway): Answer {
  const { app, head } = caller;
  if (away.kind === "failed") {
    return withState(deps.failedAnswer(caller, away.failure), "failed");
  }
  const state = app.state.kind === "waking" ? "waking" : "asleep";
  const untilMs = away.kind === "forced" ? away.untilMs - deps.clock.wallMs() : LOOK_AGAIN_MS;
  const retryAfterMs = Math.min(RETRY_MAX_MS, untilMs);
  const said = deps.answers.error({
    code: "app_asleep",
    app: app.key,
    why: away.why,
    retryAfterMs,
    head,
  });
  const own = away.kind === "ignored" ? withStatus(said, away.status) : said;
  return withState(own, state);
}

/** Who is told that all is well has nothing to try again. */
function withStatus(own: Answer, status: number): Answer {
  const isWell = status < 400;
  const headers = isWell ? own.headers.filter(([name]) => name !== "Retry-After") : own.headers;
  return { ...own, status, headers };
}

/** How the app is, for programs. */
function withState(own: Answer, state: "asleep" | "waking" | "failed"): Answer {
  return { ...own, headers: [...own.headers, ["paastis-state", state]] };
}
