/** One wake, from the claim to a healthy answer. Called by the lifecycle alone. */

import type { App, AppState, Target } from "./app.ts";
import { addressOf, isInTransit, WAKE_HISTORY_MAX } from "./app.ts";
import { deadline, sleep } from "./clock.ts";
import { durationText } from "./durations.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import { asksForLook, blockedBecause, nothingToWake } from "./last-word.ts";
import { adopt, halfDoneOf, leaveUnknown, recall } from "./lifecycle-adopt.ts";
import type { AppClaim } from "./lifecycle-claim.ts";
import { claimApp, isOvertaken, overtaken, runsElsewhere } from "./lifecycle-claim.ts";
import type { LifecycleContext, WakeOutcome } from "./lifecycle-context.ts";
import {
  apply,
  follow,
  look,
  noteMissing,
  observeNow,
  persistFor,
  retryAtMs,
  runOf,
  tell,
} from "./lifecycle-context.ts";
import { tellEnd, tellUp } from "./lifecycle-observe.ts";
import type { Leftover, Wake } from "./lifecycle-wake-answer.ts";
import {
  answersNow,
  hasFailed,
  listen,
  stillAnswers,
  tellWaking,
  untilAnswers,
} from "./lifecycle-wake-answer.ts";
import { sentenceOf } from "./provider-retry.ts";
import type { Observation, Phase, Step } from "./providers/provider.ts";
import { ProviderError } from "./providers/provider.ts";
import { publicWhyOf } from "./public-why.ts";
import type { AppRecord } from "./registry/registry.ts";

/** How often a claim that another instance holds is asked for again, ms. */
const CLAIM_EVERY_MS = 200;

/** Wakes an app, or finds out that it is awake already. Never rejects. */
export async function runWake(
  context: LifecycleContext,
  app: App,
  cause: Cause,
): Promise<WakeOutcome> {
  const timeoutMs = wakeTimeoutMs(context, app);
  const untilMs = context.clock.now() + timeoutMs;
  const run = runOf(context, app);
  const overtake = new AbortController();
  run.overtake = overtake;
  const limit = deadline(context.clock, timeoutMs, {
    reason: new Error(`it did not answer within ${durationText(timeoutMs)}`),
    parent: AbortSignal.any([context.closing.signal, overtake.signal]),
  });
  const { signal } = limit;
  const leftover: Leftover = { isPossible: false, mayBeUsed: false };
  const wake = { context, app, cause, leftover, signal, untilMs };
  try {
    run.claim = await untilClaimed(wake);
    signal.throwIfAborted();
    return await wakeUnder(run.claim, wake);
  } catch (error) {
    const isTold = overtake.signal.aborted;
    const taken = outcomeOfOthers(wake, { isTold, claim: run.claim });
    if (taken !== null) return taken;
    // What others were said to have done has been overtaken by something newer: nothing was tried yet.
    if (isTold && run.claim === null) return await runWake(context, app, cause);
    return await giveUp({ ...wake, fence: run.claim?.fence ?? null, error });
  } finally {
    run.overtake = null;
    limit.end();
    const { claim } = run;
    run.claim = null;
    // Nobody who waits for the app waits for this; the store sees it before the next claim.
    if (claim !== null) context.later(claim.release());
  }
}

/** A wake that has no claim yet. */
type Unclaimed = Pick<Wake, "app" | "cause" | "context" | "leftover" | "signal" | "untilMs">;

async function untilClaimed({ context, app, signal }: Unclaimed): Promise<AppClaim> {
  for (;;) {
    const claim = await claimApp(context, app);
    if (claim !== null) return claim;
    await sleep(context.clock, CLAIM_EVERY_MS, signal);
  }
}

async function wakeUnder(claim: AppClaim, unclaimed: Unclaimed): Promise<WakeOutcome> {
  const { context, app } = unclaimed;
  const { fence, record } = claim;
  const seenTo = record === null ? null : takeOver(context, app, record);
  if (seenTo !== null) return seenTo;
  // What another instance has left half done has to be looked at.
  const before: AppState = isInTransit(app.state)
    ? { kind: "unknown", sinceMs: app.state.sinceMs }
    : app.state;
  const halfDone = halfDoneOf(context, app);
  app.fence = fence;
  if (!apply(context, app, { kind: "wake-begun", fence })) throw new Error("it is in transit");
  const signal = AbortSignal.any([unclaimed.signal, overtaken(context, claim)]);
  const isHeld = () => !isOvertaken(context, claim);
  const claimed = { fence, isHeld, before, halfDone, toldMs: null };
  return await wakeClaimed({ ...unclaimed, ...claimed, signal });
}

/** @returns how the app is when another instance has seen to it the moment before; `null`: that is left to us */
function takeOver(context: LifecycleContext, app: App, record: AppRecord): WakeOutcome | null {
  const isNews = adopt(context, app, record);
  const { state } = app;
  if (isNews && state.kind === "awake") return { kind: "awake", target: state.target };
  if (isNews && state.kind === "failed" && context.clock.now() < state.retryAtMs) return state;
  recall(context, app, record);
  return null;
}

/** What one wake came to because of somebody else; `null`: nothing of that kind. */
function outcomeOfOthers(
  { context, app }: Unclaimed,
  { isTold, claim }: { readonly isTold: boolean; readonly claim: AppClaim | null },
): WakeOutcome | null {
  const isLost = claim !== null && isOvertaken(context, claim);
  if (!isTold && !isLost) return null;
  const { state } = app;
  if (state.kind === "awake") return { kind: "awake", target: state.target };
  if (state.kind === "failed" && (isLost || context.clock.now() < state.retryAtMs)) return state;
  if (!isLost) return null;
  if (state.kind === "waking" && state.fence === claim.fence) leaveUnknown(context, app);
  const why = "another instance may have taken over";
  return { kind: "failed", why, publicWhy: why, retryAtMs: context.clock.now() };
}

async function wakeClaimed(wake: Wake): Promise<WakeOutcome> {
  const { context, app } = wake;
  const found = await lookFirst(wake);
  if (found === null && (await answersUnasked(wake))) return finishFound(wake, lastTargetOf(wake));
  const wasUp = wake.before.kind === "awake" || wake.halfDone === "stopping";
  if (found !== null && wasUp) tellEnd(context, app, found);
  if (found?.phase === "blocked") throw new Error(blockedBecause(found));
  if (found?.phase === "unmanaged") return await findUnmanaged(wake, found);
  if (found?.phase === "awake" && found.target !== null) {
    wake.leftover.isPossible = true;
    wake.leftover.mayBeUsed = true;
    const target = await stillAnswers(wake, found.target);
    if (target !== null) return finishFound(wake, target);
  }
  return await bringUp(wake, found);
}

/**
 * Only an app that may be up (also after a wake that failed, of which the platform may have heard all the same), or that
 * the platform said something about, is looked at first: calling the platform for it could change it, or is not allowed. When it cannot be asked, what it said before still holds.
 */
async function lookFirst({ context, app, before, signal }: Wake): Promise<Observation | null> {
  const { lastWord } = runOf(context, app);
  const isHindered = asksForLook(lastWord);
  const mayBeUp = before.kind === "awake" || before.kind === "unknown" || before.kind === "failed";
  if (!mayBeUp && !isHindered) return null;
  return (
    (await look(context, app, signal)) ?? (isHindered ? (lastWord?.observation ?? null) : null)
  );
}

/**
 * Whether an app of which nobody can say how it is answers where it was last: then it needs no wake. One whose wake
 * failed may have come up since.
 */
async function answersUnasked(wake: Wake): Promise<boolean> {
  const { app, before } = wake;
  const isOpen = before.kind === "unknown" || before.kind === "failed";
  if (!isOpen || app.lastTarget === null) return false;
  return await answersNow(wake, app.lastTarget);
}

function lastTargetOf({ app }: Wake): Target {
  if (app.lastTarget === null) throw new Error("the provider does not say where it answers");
  return app.lastTarget;
}

/** Nothing can be woken, but it may answer all the same; when it does not, waiting will not change that. */
async function findUnmanaged(wake: Wake, found: Observation): Promise<WakeOutcome> {
  const { target } = found;
  if (target !== null && (await answersNow(wake, target))) return finishFound(wake, target);
  throw new Error(nothingToWake(found));
}

/** Hook, provider call, and waiting for the first answer. */
async function bringUp(wake: Wake, found: Observation | null): Promise<WakeOutcome> {
  const { context, app, cause } = wake;
  tellWaking(wake);
  const ranAt = runsElsewhere(context, app) ? app.runsAt : null;
  if (context.providerOf(app).capabilities.runsApps === true) app.runsAt = context.peers.self;
  context.rememberLater(app);
  const hook = await context.hooks.run("beforeStart", {
    app,
    reason: cause.detail,
    upstream: app.lastTarget === null ? "" : addressOf(app.lastTarget),
    signal: wake.signal,
  });
  if (!hook.ok) throw new Error(`the before-start hook failed: ${hook.why}`);
  if (ranAt !== null) await context.providerOf(app).takeOver?.(app.ref.id, ranAt);
  wake.leftover.isPossible = found?.phase !== "deploying";
  wake.leftover.mayBeUsed = false;
  for (let stops = 0; ; stops += 1) {
    const mayBeStopped = stops < STOPS_MAX;
    const outcome = await comeUp(wake, { found: stops === 0 ? found : null, mayBeStopped });
    if (outcome !== null) return outcome;
  }
}

/** So often what is stopped under a wake, as by an engine that is restarted, is brought up again. */
const STOPS_MAX = 1;

/** @returns `null` when somebody has stopped it before it answered, and it may be brought up again */
async function comeUp(
  wake: Wake,
  options: { readonly found: Observation | null; readonly mayBeStopped: boolean },
): Promise<WakeOutcome | null> {
  const { context, app, cause } = wake;
  const { found, mayBeStopped } = options;
  const notices = listen(wake);
  const { signal } = notices;
  try {
    const target = await untilAnswers(wake, {
      target: await callProvider(wake, { found, signal }),
      signal,
    });
    const outcome = finish(wake, target);
    tellStarted(wake, target);
    const upstream = addressOf(target);
    context.hooks.runLater("afterStart", { app, reason: cause.detail, upstream });
    return outcome;
  } catch (error) {
    const isSeenToEnd = error === signal.reason && !wake.signal.aborted;
    const isStopped = runOf(context, app).lastWord?.observation.phase === "asleep";
    if (mayBeStopped && isSeenToEnd && isStopped) return null;
    throw error;
  } finally {
    notices.end();
  }
}

/** The provider call, followed until the platform is through with it. */
async function callProvider(
  wake: Wake,
  options: { readonly found: Observation | null; readonly signal: AbortSignal },
): Promise<Target> {
  const { context, app, untilMs } = wake;
  const { found, signal } = options;
  signal.throwIfAborted();
  const { wakeJoins = false } = context.providerOf(app).capabilities;
  const isComing = found?.phase === "deploying" || (found?.phase === "waking" && !wakeJoins);
  const first = isComing
    ? ({ done: true, target: found.target } as const)
    : await callUntilTaken(wake, signal);
  const followed = await follow(context, app, { first, signal, untilMs });
  const seen = followed === null ? await look(context, app, signal) : null;
  const target = followed ?? seen?.target ?? app.lastTarget;
  if (target !== null) return target;
  const why = seen?.reason === undefined ? "" : `: ${seen.reason}`;
  throw new Error(`the provider does not say where it answers${why}`);
}

/** A call that fails in passing is made again; one that may have been applied only when it was not. */
async function callUntilTaken(wake: Wake, signal: AbortSignal): Promise<Step> {
  const { context, app, untilMs } = wake;
  const run = runOf(context, app);
  const call = () => {
    if (!wake.isHeld()) throw new Error("another instance may have taken over");
    return context.providerOf(app).wake(app.ref.id, app.snapshot, signal);
  };
  run.isOrdered = false;
  const step = await persistFor<Step>(context, app, {
    work: call,
    signal,
    untilMs,
    async reread() {
      const seen = await observeNow(context, app, signal);
      if (seen.phase === "blocked") throw new Error(blockedBecause(seen));
      if (seen.phase === "failed") throw hasFailed(seen);
      return IS_COMING.has(seen.phase) ? { done: true, target: seen.target } : null;
    },
  });
  run.isOrdered = true;
  return step;
}

/** What an app is that a wake has brought up, or is about to. */
const IS_COMING: ReadonlySet<Phase> = new Set<Phase>(["awake", "deploying", "waking"]);

/** It came up without us: that is told where somebody had to wait for it, and where it was known to be down. */
function finishFound(wake: Wake, target: Target): WakeOutcome {
  const { context, app, before, halfDone, toldMs } = wake;
  const wasDown = before.kind === "failed" || before.kind === "asleep" || halfDone === "waking";
  const outcome = finish(wake, target);
  if (toldMs !== null) tellStarted(wake, target);
  else if (wasDown) tellUp(context, app, target);
  return outcome;
}

/** The state changes before anything else is awaited: who waited for the wake must find the app awake. */
function finish(wake: Wake, target: Target): WakeOutcome {
  const { context, app, fence, toldMs } = wake;
  if (toldMs !== null) {
    const durationMs = context.clock.now() - toldMs;
    app.wakeHistoryMs = [...app.wakeHistoryMs, durationMs].slice(-WAKE_HISTORY_MAX);
  }
  if (!apply(context, app, { kind: "wake-done", fence, target })) {
    throw new Error("another transition has overtaken this wake");
  }
  runOf(context, app).wokenMs = context.clock.now();
  context.rememberLater(app);
  return { kind: "awake", target };
}

function tellStarted({ context, app, cause, toldMs }: Wake, target: Target): void {
  if (toldMs === null) return;
  const details = { durationMs: context.clock.now() - toldMs, target: addressOf(target) };
  tell(context, app, { name: "APP_STARTED", cause, details });
}

/** Leaves the app failed, with its reason, and nothing half-started where the provider wants that. */
async function giveUp(end: {
  readonly context: LifecycleContext;
  readonly app: App;
  readonly cause: Cause;
  readonly fence: number | null;
  readonly leftover: Leftover;
  readonly error: unknown;
}): Promise<WakeOutcome> {
  const { context, app, fence } = end;
  const run = runOf(context, app);
  const why = sentenceOf(app.ref.provider, end.error);
  noteMissing(context, app, end.error);
  run.failures += 1;
  const isSpared = end.leftover.mayBeUsed && isTalkedTo(app);
  if (end.leftover.isPossible && !isSpared) await endHalfStarted(context, app);
  const hintMs = end.error instanceof ProviderError ? (end.error.retryAfterMs ?? 0) : 0;
  const retryAt = Math.max(retryAtMs(context, run.failures), context.clock.now() + hintMs);
  const gone = context.isListed(app) ? {} : { isGone: true };
  const failure = { why, publicWhy: publicWhyOf(end.error), ...gone, retryAtMs: retryAt };
  if (fence !== null) apply(context, app, { kind: "wake-failed", fence, ...failure });
  const isClosing = context.closing.signal.aborted;
  if (!isClosing) tell(context, app, { name: "APP_START_FAILED", cause: end.cause, reason: why });
  // What the platform may have heard of goes on without us: the next run must find that a wake was begun.
  if (!isClosing || !end.leftover.isPossible) context.rememberLater(app);
  return { kind: "failed", ...failure };
}

/** Whether somebody uses the app who does not just wait for it. */
function isTalkedTo(app: App): boolean {
  return [app, ...app.linkedFrom].some((user) => user.leases > user.waiting);
}

/** Without a right that the store knows of, another instance may wake it by now; a child of ours is nobody else's. */
function mayEnd(context: LifecycleContext, app: App): boolean {
  const { claim } = runOf(context, app);
  if (context.providerOf(app).capabilities.runsApps === true || !context.peers.isShared)
    return true;
  return claim?.isStored === true && claim.isHeld();
}

async function endHalfStarted(context: LifecycleContext, app: App): Promise<void> {
  const provider = context.providerOf(app);
  if (!provider.capabilities.sleepAfterFailedWake || context.closing.signal.aborted) return;
  if (!mayEnd(context, app)) return;
  const { sleepTimeoutMs } = provider.capabilities;
  const untilMs = context.clock.now() + sleepTimeoutMs;
  const limit = deadline(context.clock, sleepTimeoutMs, {
    reason: new Error("stopping it took too long"),
  });
  const { signal } = limit;
  try {
    const first = await provider.sleep(app.ref.id, app.snapshot ?? { kind: "none" }, signal);
    await follow(context, app, { first, signal, untilMs });
  } catch (error) {
    context.log.warn(
      { app: app.key, reason: messageOf(error) },
      "could not be stopped after its wake failed",
    );
  } finally {
    limit.end();
  }
}

function wakeTimeoutMs(context: LifecycleContext, app: App): number {
  return app.policy.wakeTimeoutMs ?? context.providerOf(app).capabilities.wakeTimeoutMs;
}
