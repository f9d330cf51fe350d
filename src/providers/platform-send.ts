/** The story of one call to a platform: its turn, its attempts, and how it ends. */

import { deadline, sleep } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { unlessAborted } from "./abortable.ts";
import {
  type Broken,
  judge,
  type Outcome,
  type RawAnswer,
  type Refused,
  retryAfterMsOf,
} from "./platform-answer.ts";
import type { ApiAnswer, ApiCall } from "./platform-api.ts";
import { attempt } from "./platform-attempt.ts";
import type { Entry } from "./platform-budget.ts";
import { addressOf, backoffMs, headersOf, mayTryAgain, payloadOf } from "./platform-call.ts";
import type { CallContext, Running } from "./platform-context.ts";
import {
  endTurn,
  learn,
  learnNoToken,
  type Turn,
  takeTurn,
  turnAway,
  withTrouble,
} from "./platform-lessons.ts";
import { safeText, secretsOf } from "./platform-quote.ts";
import { ProviderError } from "./provider.ts";

/** For one attempt, in ms. */
const TIMEOUT_MS = 30_000;

/** `PlatformApi.send`. */
export async function sendCall(context: CallContext, call: ApiCall): Promise<ApiAnswer> {
  if (context.isClosed) throw closedError(call);
  const running: Running = {
    call,
    url: addressOf(context.base, call),
    payload: payloadOf(call),
    life: new AbortController(),
    isWaiting: true,
    tries: 0,
    hasRenewed: false,
    limits: 0,
    spared: 0,
    isUncertain: false,
    secrets: [],
  };
  const onAbort = () => running.life.abort(abandonedError(context, running));
  if (call.signal.aborted) throw givenUpError(call);
  call.signal.addEventListener("abort", onAbort, { once: true });
  context.running.add(running);
  try {
    return await untilSettled(context, running);
  } catch (error) {
    throw withTrouble(context, withDoubt(error, running));
  } finally {
    context.running.delete(running);
    call.signal.removeEventListener("abort", onAbort);
  }
}

/** `PlatformApi.close`. */
export function closeCalls(context: CallContext): void {
  context.isClosed = true;
  for (const { life, call } of context.running) life.abort(closedError(call));
  if (context.ownsBudget) context.budget.close();
}

async function untilSettled(context: CallContext, running: Running): Promise<ApiAnswer> {
  for (;;) {
    running.isWaiting = true;
    const outcome = await nextTry(context, running);
    if (outcome === "renewed") continue;
    if (outcome.kind === "answered") return outcome.answer;
    const delayMs = delayBeforeNext(context, running, outcome);
    if (delayMs === null) throw failureOf(context, running, outcome);
    running.isWaiting = true;
    if (delayMs > 0) await sleep(context.options.clock, delayMs, running.life.signal);
  }
}

/** Waits for its turn and uses it. */
async function nextTry(context: CallContext, running: Running): Promise<Outcome | "renewed"> {
  const { call, life } = running;
  turnAway(context, running);
  const entry = await enterInTime(context, running);
  if (entry.kind === "paused") throw pausedError(context, running, entry.restMs);
  const { place } = entry;
  try {
    // While it waited, others may have found out.
    turnAway(context, running);
    call.callOff?.throwIfAborted();
    life.signal.throwIfAborted();
  } catch (error) {
    place.giveBack();
    throw error;
  }
  running.isWaiting = false;
  const turn = takeTurn(context, place, call.urgency);
  try {
    return await useTurn(context, running, turn);
  } finally {
    endTurn(turn);
  }
}

async function enterInTime(context: CallContext, running: Running): Promise<Entry> {
  const { call, life } = running;
  const { callOff, urgency, waitMaxMs, what } = call;
  const signal = callOff === undefined ? life.signal : AbortSignal.any([life.signal, callOff]);
  const entrant = { urgency, obeys: running.limits > 1, signal };
  if (waitMaxMs === undefined) return await context.budget.enter(entrant);
  const limit = deadline(context.options.clock, waitMaxMs, {
    reason: new ProviderError("rate-limited", `could not ${what}: its turn did not come in time`),
    parent: signal,
  });
  try {
    return await context.budget.enter({ ...entrant, signal: limit.signal, isAhead: true });
  } finally {
    limit.end();
  }
}

async function useTurn(
  context: CallContext,
  running: Running,
  turn: Turn,
): Promise<Outcome | "renewed"> {
  const credentials = await authorize(context, running, turn);
  running.secrets = secretsOf({ ...running.call.form, ...credentials });
  const wasUncertain = running.isUncertain;
  // From here until an answer says otherwise.
  running.isUncertain ||= running.call.method !== "GET";
  const raw = await tryOnce(context, running, credentials);
  const outcome = raw.kind === "answer" ? understood(context, running, raw) : raw;
  running.isUncertain = wasUncertain || (running.isUncertain && leavesDoubt(outcome));
  if (isRenewable(context, running, outcome) && context.options.credentials.renew?.(credentials)) {
    running.hasRenewed = true;
    return "renewed";
  }
  countTry(running, raw, outcome);
  learn(context, { running, raw, outcome, turn });
  return outcome;
}

/** How often a wake is sent away by a rate limit of unknown length before that counts. */
const SPARED_MAX = 2;

/** A limit without a word about its length may be over in a moment, and somebody waits: the budget spaces the tries. */
function countTry(running: Running, raw: RawAnswer | Refused | Broken, outcome: Outcome): void {
  const isLimit = outcome.kind === "refused" && outcome.refusal.kind === "rate-limited";
  const isUntold = raw.kind === "answer" && raw.header("retry-after") === null;
  if (isLimit && isUntold && running.call.urgency === "wake" && running.spared < SPARED_MAX) {
    running.spared += 1;
    return;
  }
  running.tries += 1;
  if (isLimit) running.limits += 1;
}

function leavesDoubt(outcome: Outcome): boolean {
  return outcome.kind !== "answered" && outcome.isUncertain;
}

function isRenewable(context: CallContext, running: Running, outcome: Outcome): boolean {
  if (running.hasRenewed || context.options.credentials.renew === undefined) return false;
  return outcome.kind === "refused" && outcome.refusal.kind === "auth";
}

function understood(context: CallContext, { call }: Running, raw: RawAnswer): Outcome {
  const { clock, understand } = context.options;
  const retryAfterMs = retryAfterMsOf(raw.header, clock.wallMs());
  return judge(raw, call, { ...(understand === undefined ? {} : { understand }), retryAfterMs });
}

/** @throws ProviderError of the credentials, in the words of this call; nothing has been sent then */
async function authorize(
  context: CallContext,
  running: Running,
  turn: Turn,
): Promise<Readonly<Record<string, string>>> {
  const { call, url, life } = running;
  const { method, urgency, what } = call;
  const { signal } = life;
  try {
    const asked = context.options.credentials.headers({ method, url, urgency, signal });
    return await unlessAborted(asked, signal, what);
  } catch (error) {
    turn.place.giveBack();
    signal.throwIfAborted();
    if (!(error instanceof ProviderError)) throw error;
    if (error.kind === "auth") learnNoToken(context, error, turn);
    throw new ProviderError(error.kind, `could not ${what}: ${error.message}`, {
      cause: error,
      ...inTime(error.retryAfterMs),
    });
  }
}

async function tryOnce(
  context: CallContext,
  running: Running,
  credentials: Readonly<Record<string, string>>,
): Promise<RawAnswer | Refused | Broken> {
  const { fetch, clock, timeoutMs = TIMEOUT_MS } = context.options;
  const { call, url, payload, secrets, life } = running;
  const headers = headersOf(call, credentials);
  if (headers === null) return UNUSABLE_CREDENTIAL;
  const { method } = call;
  const { signal } = life;
  return attempt({ fetch, clock, url, method, headers, payload, secrets, timeoutMs, signal });
}

const UNUSABLE_CREDENTIAL: Refused = {
  kind: "refused",
  refusal: {
    kind: "auth",
    message: "the token, or a header of the call, holds a character that no header may hold",
  },
  isUncertain: false,
};

/** How long to wait before the next try; `null` when there must be none. */
function delayBeforeNext(context: CallContext, running: Running, outcome: Outcome): number | null {
  const { call, tries } = running;
  if (outcome.kind === "answered" || !mayTryAgain(call, tries, outcome)) return null;
  if (context.outage.breaker.restMs(call.urgency) > 0) return null;
  // The budget knows how long a rate limit lasts.
  if (outcome.kind === "refused" && outcome.refusal.kind === "rate-limited") return 0;
  const askedMs = outcome.kind === "refused" ? (outcome.refusal.retryAfterMs ?? 0) : 0;
  return backoffMs(call, tries, { chance: context.options.random(), askedMs });
}

function failureOf(
  context: CallContext,
  running: Running,
  outcome: Refused | Broken,
): ProviderError {
  const { call, secrets } = running;
  const isRefused = outcome.kind === "refused";
  const kind = isRefused ? outcome.refusal.kind : outcome.error;
  const why = safeText(isRefused ? outcome.refusal.message : outcome.message, secrets);
  const askedMs = isRefused ? (outcome.refusal.retryAfterMs ?? null) : null;
  const retryAfterMs = kind === "rate-limited" ? context.budget.pauseRestMs : askedMs;
  return new ProviderError(kind, `could not ${call.what}: ${why}`, {
    ...(isRefused ? {} : { cause: outcome.cause }),
    ...inTime(retryAfterMs),
  });
}

/** The same failure, and that the call may have been applied nevertheless. */
function withDoubt(error: unknown, running: Running): unknown {
  if (!running.isUncertain || !(error instanceof ProviderError) || error.isUncertain) return error;
  const { cause, kind, message, retryAfterMs, trouble } = error;
  const options = { cause, isUncertain: true, trouble, ...inTime(retryAfterMs) };
  return new ProviderError(kind, message, options);
}

function inTime(retryAfterMs: number | null): { readonly retryAfterMs?: number } {
  return retryAfterMs === null ? {} : { retryAfterMs };
}

/** Whoever gave it up while it waited for its turn has not waited for the platform, but for us. */
function abandonedError(context: CallContext, running: Running): ProviderError {
  const { call, isWaiting, tries } = running;
  if (!isWaiting || tries > 0) return givenUpError(call);
  const why = `${messageOf(call.signal.reason)}; it was not sent, as ${obstructionOf(context)}`;
  const { reason: cause } = call.signal;
  return new ProviderError("rate-limited", `could not ${call.what}: ${why}`, { cause });
}

function obstructionOf({ budget, limit, options }: CallContext): string {
  if (budget.pauseRestMs > 0) return pauseOf(limit.why, budget.pauseRestMs);
  if (budget.isCrowded) return "the calls before it were not answered yet";
  const { budgetVariable } = options;
  const which = budgetVariable === undefined ? "" : ` (${budgetVariable})`;
  return `Paastis itself makes at most ${budget.limits.perMinute} calls a minute there${which}`;
}

function givenUpError({ signal, what }: ApiCall): ProviderError {
  const message = `could not ${what}: it was given up: ${messageOf(signal.reason)}`;
  return new ProviderError("failed", message, { cause: signal.reason });
}

function closedError({ what }: ApiCall): ProviderError {
  return new ProviderError("failed", `could not ${what}: Paastis no longer calls this platform`);
}

function pauseOf(why: string, restMs: number): string {
  return `${why || "too many calls were made"}; no calls for ${Math.ceil(restMs / 1000)} s`;
}

function pausedError(context: CallContext, { call }: Running, restMs: number): ProviderError {
  const message = `could not ${call.what}: ${pauseOf(context.limit.why, restMs)}`;
  return new ProviderError("rate-limited", message, { retryAfterMs: restMs });
}
