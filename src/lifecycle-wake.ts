/** One wake, from the claim to a healthy answer. Called by the lifecycle alone. */

import type { App, AppState, Target } from "./app.ts";
import { addressOf, LAST_PROBE, WAKE_HISTORY_MAX } from "./app.ts";
import { deadline, sleep } from "./clock.ts";
import { durationText } from "./durations.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import { untilHealthy } from "./health.ts";
import { asksForLook, blockedBecause, nothingToWake } from "./last-word.ts";
import type { Claim, LifecycleContext, WakeOutcome } from "./lifecycle-context.ts";
import {
  apply,
  claimApp,
  follow,
  look,
  noteMissing,
  observeNow,
  retryAtMs,
  runOf,
  tell,
} from "./lifecycle-context.ts";
import { persist, sentenceOf } from "./provider-retry.ts";
import type { Observation, Phase, Step } from "./providers/provider.ts";
import { ProviderError } from "./providers/provider.ts";

/** How often a claim that another instance holds is asked for again, ms. */
const CLAIM_EVERY_MS = 200;
/** How often a provider that does not report by itself is asked whether the app failed while it boots, ms. */
const LOOK_EVERY_MS = 5000;

/** Wakes an app, or finds out that it is awake already. Never rejects. */
export async function runWake(
  context: LifecycleContext,
  app: App,
  cause: Cause,
): Promise<WakeOutcome> {
  const timeoutMs = wakeTimeoutMs(context, app);
  const untilMs = context.clock.now() + timeoutMs;
  const limit = deadline(context.clock, timeoutMs, {
    reason: new Error(`it did not answer within ${durationText(timeoutMs)}`),
    parent: context.closing.signal,
  });
  const { signal } = limit;
  const leftover: Leftover = { isPossible: false, mayBeUsed: false };
  let claim: Claim | null = null;
  try {
    claim = await untilClaimed(context, app, signal);
    const { fence } = claim;
    app.fence = fence;
    const before = app.state;
    if (!apply(context, app, { kind: "wake-begun", fence })) throw new Error("it is in transit");
    return await wakeClaimed({ context, app, cause, fence, before, leftover, signal, untilMs });
  } catch (error) {
    return await giveUp({ context, app, cause, fence: claim?.fence ?? null, leftover, error });
  } finally {
    limit.end();
    // Nobody who waits for the app waits for this; the store sees it before the next claim.
    if (claim !== null) context.later(claim.release());
  }
}

/** Everything one wake works with. */
interface Wake {
  readonly context: LifecycleContext;
  readonly app: App;
  readonly cause: Cause;
  readonly fence: number;
  /** The state the wake began from. */
  readonly before: AppState;
  readonly leftover: Leftover;
  readonly signal: AbortSignal;
  /** When the signal aborts, ms since the epoch. */
  readonly untilMs: number;
}

/** Whether something may run that is not worth keeping should the wake fail. What nobody began is not ours to end. */
interface Leftover {
  isPossible: boolean;
  /** It ran before: it takes no new connections, but somebody may still talk to it over an old one. */
  mayBeUsed: boolean;
}

async function untilClaimed(
  context: LifecycleContext,
  app: App,
  signal: AbortSignal,
): Promise<Claim> {
  for (;;) {
    const claim = await claimApp(context, app);
    if (claim !== null) return claim;
    await sleep(context.clock, CLAIM_EVERY_MS, signal);
  }
}

async function wakeClaimed(wake: Wake): Promise<WakeOutcome> {
  const found = await lookFirst(wake);
  if (found === null && (await answersUnasked(wake))) return finish(wake, lastTargetOf(wake));
  if (found?.phase === "blocked") throw new Error(blockedBecause(found));
  if (found?.phase === "unmanaged") return await findUnmanaged(wake, found);
  if (found?.phase === "awake" && found.target !== null) {
    wake.leftover.isPossible = true;
    wake.leftover.mayBeUsed = true;
    if (await stillAnswers(wake, found.target)) return finish(wake, found.target);
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

/** How long an app has to show that it is up while its platform cannot be asked, ms. */
const UNASKED_MS = 5_000;

/** Whether an app of which nobody can say how it is answers where it was last: then it needs no wake. */
async function answersUnasked({ context, app, before, signal }: Wake): Promise<boolean> {
  if (before.kind !== "unknown" || app.lastTarget === null) return false;
  const limit = deadline(context.clock, UNASKED_MS, { reason: "no answer", parent: signal });
  try {
    return (await context.probe(app, app.lastTarget, limit.signal)).healthy;
  } catch {
    // The probe was given up; when the wake was, too, that ends it here.
    signal.throwIfAborted();
    return false;
  } finally {
    limit.end();
  }
}

function lastTargetOf({ app }: Wake): Target {
  if (app.lastTarget === null) throw new Error("the provider does not say where it answers");
  return app.lastTarget;
}

/** Nothing can be woken, but it may answer all the same. */
async function findUnmanaged(wake: Wake, found: Observation): Promise<WakeOutcome> {
  if (found.target === null) throw new Error(nothingToWake(found));
  if (await stillAnswers(wake, found.target)) return finish(wake, found.target);
  throw new Error(nothingToWake(found));
}

/** @returns false when the provider reports, while we wait, that the app has ended after all */
async function stillAnswers(wake: Wake, target: Target): Promise<boolean> {
  const notices = listen(wake);
  try {
    await untilAnswers(wake, { target, signal: notices.signal });
    return true;
  } catch (error) {
    if (wake.signal.aborted || !notices.signal.aborted) throw error;
    return false;
  } finally {
    notices.end();
  }
}

/** Hook, provider call, and waiting for the first answer. */
async function bringUp(wake: Wake, found: Observation | null): Promise<WakeOutcome> {
  const { context, app, cause } = wake;
  const startedMs = context.clock.now();
  tell(context, app, { name: "APP_WAKING", cause });
  context.rememberLater(app);
  const hook = await context.hooks.run("beforeStart", {
    app,
    reason: cause.detail,
    upstream: app.lastTarget === null ? "" : addressOf(app.lastTarget),
    signal: wake.signal,
  });
  if (!hook.ok) throw new Error(`the before-start hook failed: ${hook.why}`);
  const notices = listen(wake);
  wake.leftover.isPossible = found?.phase !== "deploying";
  wake.leftover.mayBeUsed = false;
  try {
    const target = await callProvider(wake, { found, signal: notices.signal });
    await untilAnswers(wake, { target, signal: notices.signal });
    const durationMs = context.clock.now() - startedMs;
    app.wakeHistoryMs = [...app.wakeHistoryMs, durationMs].slice(-WAKE_HISTORY_MAX);
    const outcome = finish(wake, target);
    announce(wake, target, durationMs);
    return outcome;
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
  const isComing = found?.phase === "waking" || found?.phase === "deploying";
  const first = isComing
    ? ({ done: true, target: found.target } as const)
    : await callUntilTaken(wake, signal);
  const target =
    (await follow(context, app, { first, signal, untilMs })) ??
    (await look(context, app, signal))?.target ??
    app.lastTarget;
  if (target === null) throw new Error("the provider does not say where it answers");
  return target;
}

/** A call that fails in passing is made again; one that may have been applied only when it was not. */
function callUntilTaken(wake: Wake, signal: AbortSignal): Promise<Step> {
  const { context, app, untilMs } = wake;
  const call = () => context.providerOf(app).wake(app.ref.id, app.snapshot, signal);
  return persist(call, {
    ...context,
    signal,
    untilMs,
    async reread() {
      const seen = await observeNow(context, app, signal);
      if (seen.phase === "blocked") throw new Error(blockedBecause(seen));
      if (seen.phase === "failed") throw new Error(seen.reason ?? "the platform says it failed");
      return IS_COMING.has(seen.phase) ? { done: true, target: seen.target } : null;
    },
  });
}

/** What an app is that a wake has brought up, or is about to. */
const IS_COMING: ReadonlySet<Phase> = new Set<Phase>(["awake", "deploying", "waking"]);

/** The state changes before anything else is awaited: who waited for the wake must find the app awake. */
function finish(wake: Wake, target: Target): WakeOutcome {
  const { context, app, fence } = wake;
  if (!apply(context, app, { kind: "wake-done", fence, target })) {
    throw new Error("another transition has overtaken this wake");
  }
  context.rememberLater(app);
  return { kind: "awake", target };
}

function announce(wake: Wake, target: Target, durationMs: number): void {
  const { context, app, cause } = wake;
  const upstream = addressOf(target);
  const details = { durationMs, target: upstream };
  tell(context, app, { name: "APP_STARTED", cause, details });
  context.hooks.runLater("afterStart", { app, reason: cause.detail, upstream });
}

/** Aborts with the wake, and when the provider reports that the app has ended. */
function listen(wake: Wake): { readonly signal: AbortSignal; readonly end: () => void } {
  const run = runOf(wake.context, wake.app);
  const controller = new AbortController();
  const onAbort = () => controller.abort(wake.signal.reason);
  if (wake.signal.aborted) onAbort();
  else wake.signal.addEventListener("abort", onAbort, { once: true });
  run.abort = controller;
  return {
    signal: controller.signal,
    end() {
      run.abort = null;
      wake.signal.removeEventListener("abort", onAbort);
    },
  };
}

/** Probes until the app answers, or until it is seen to have failed. */
async function untilAnswers(
  wake: Wake,
  options: { readonly target: Target; readonly signal: AbortSignal },
): Promise<void> {
  const { context, app } = wake;
  const { target, signal } = options;
  const over = new AbortController();
  let saw = "no answer";
  const watching = watchForFailure(wake, over.signal);
  try {
    await untilHealthy({
      probe: (probeSignal) => context.probe(app, target, probeSignal),
      clock: context.clock,
      signal,
      onProbe: (result) => {
        saw = result.saw;
      },
    });
  } catch (error) {
    if (!wake.signal.aborted) throw error;
    throw new Error(`${messageOf(error)}${LAST_PROBE}${addressOf(target)}: ${saw}`, {
      cause: error,
    });
  } finally {
    over.abort(new Error("the wake is over"));
    await watching;
  }
}

/** Providers without a `watch` are asked now and then, so that a crash at boot is known before the time-out. */
async function watchForFailure(wake: Wake, over: AbortSignal): Promise<void> {
  const { context, app } = wake;
  if (context.providerOf(app).watch !== undefined) return;
  while (!over.aborted) {
    try {
      await sleep(context.clock, LOOK_EVERY_MS, over);
      const seen = await look(context, app, over);
      if (seen?.phase !== "failed" && seen?.phase !== "blocked") continue;
      const why =
        seen.phase === "blocked"
          ? blockedBecause(seen)
          : (seen.reason ?? "the platform says it failed");
      runOf(context, app).abort?.abort(new Error(why));
    } catch (error) {
      if (!over.aborted) throw error;
    }
  }
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
  if (fence !== null) apply(context, app, { kind: "wake-failed", fence, why, retryAtMs: retryAt });
  if (!context.closing.signal.aborted) {
    tell(context, app, { name: "APP_START_FAILED", cause: end.cause, reason: why });
  }
  context.rememberLater(app);
  return { kind: "failed", why, retryAtMs: retryAt };
}

/** Whether somebody uses the app who does not just wait for it. */
function isTalkedTo(app: App): boolean {
  return [app, ...app.linkedFrom].some((user) => user.leases > user.waiting);
}

async function endHalfStarted(context: LifecycleContext, app: App): Promise<void> {
  const provider = context.providerOf(app);
  if (!provider.capabilities.sleepAfterFailedWake || context.closing.signal.aborted) return;
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
