/** One sleep, from the before-stop hook to "really asleep". Called by the lifecycle alone. */

import { isInUse, unusedSinceMs } from "./activity.ts";
import { type App, addressOf, type Snapshot, type Target } from "./app.ts";
import { deadline, sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import { leftAloneBecause } from "./last-word.ts";
import { adopt, leaveUnknown } from "./lifecycle-adopt.ts";
import type { AppClaim } from "./lifecycle-claim.ts";
import { claimApp, runsElsewhere } from "./lifecycle-claim.ts";
import type { LifecycleContext, SleepOutcome } from "./lifecycle-context.ts";
import {
  apply,
  follow,
  isSaidAlready,
  look,
  noteMissing,
  observeNow,
  recordOf,
  remember,
  runOf,
  tell,
} from "./lifecycle-context.ts";
import { sentenceOf } from "./provider-retry.ts";
import { type Provider, ProviderError } from "./providers/provider.ts";

/** How often an app that is still in use is looked at while it drains, ms. */
const DRAIN_LOOK_EVERY_MS = 50;
/** How often it is looked whether the app is really asleep, ms. */
const ASLEEP_LOOK_EVERY_MS = 500;
/** The same where each look is a call to a platform, ms: at first, and at most, as it takes half longer each time. */
const ASLEEP_ASK_FIRST_MS = 2_000;
const ASLEEP_ASK_LAST_MS = 10_000;

/** What a sleep is asked for with. */
export interface SleepOrder {
  readonly cause: Cause;
  /** How long to wait for the last lease, ms; 0: not at all. */
  readonly drainMs: number;
  /** Since when the app was unused as the sleep was decided; a use since then calls it off. `null`: never mind. */
  readonly unusedSinceMs: number | null;
}

/** Everything one sleep works with. */
interface Sleep extends SleepOrder {
  readonly context: LifecycleContext;
  readonly app: App;
  readonly fence: number;
  readonly claim: AppClaim;
  readonly target: Target;
  /** Ms since the epoch. */
  readonly awakeSinceMs: number;
  readonly signal: AbortSignal;
  /** When the signal aborts, ms since the epoch. */
  readonly untilMs: number;
  /** Aborted as soon as the app is to stay up. */
  readonly callOff: AbortSignal;
}

/** Puts an awake app to sleep, unless somebody needs it or a hook says no. Never rejects. */
export async function runSleep(
  context: LifecycleContext,
  app: App,
  order: SleepOrder & Pick<Sleep, "callOff">,
): Promise<SleepOutcome> {
  const run = runOf(context, app);
  const hook = await context.hooks.run("beforeStop", {
    app,
    reason: order.cause.detail,
    upstream: app.lastTarget === null ? "" : addressOf(app.lastTarget),
    signal: context.closing.signal,
  });
  if (context.closing.signal.aborted) return { kind: "kept", why: "Paastis is shutting down" };
  if (!hook.ok) {
    const { isBusy = false } = hook;
    const why = isBusy ? hook.why : `the before-stop hook said no: ${hook.why}`;
    const event = { name: "APP_STOP_VETOED", cause: order.cause, reason: why } as const;
    // Asked again and again, it says so once.
    tell(context, app, { ...event, ...(isBusy && run.isBusy && { isQuiet: true }) });
    run.isBusy = isBusy;
    return { kind: "kept", why };
  }
  run.isBusy = false;
  const claim = await claimApp(context, app);
  if (claim === null) return { kind: "kept", why: "another instance is changing it" };
  if (!claim.isStored) return { kind: "kept", why: "the registry cannot be reached" };
  run.claim = claim;
  try {
    return await sleepUnder(context, app, { ...order, claim });
  } finally {
    run.claim = null;
    context.later(claim.release());
  }
}

async function sleepUnder(
  context: LifecycleContext,
  app: App,
  order: SleepOrder & Pick<Sleep, "callOff" | "claim">,
): Promise<SleepOutcome> {
  const { record, lost, fence } = order.claim;
  // It may have been changed elsewhere the moment before.
  if (record !== null) adopt(context, app, record);
  if (runsElsewhere(context, app)) return { kind: "kept", why: "another instance runs it" };
  const timeoutMs = order.drainMs + context.providerOf(app).capabilities.sleepTimeoutMs;
  const untilMs = context.clock.now() + timeoutMs;
  const limit = deadline(context.clock, timeoutMs, {
    reason: new Error("it took too long to stop"),
    parent: lost,
  });
  try {
    const { signal } = limit;
    return await sleepClaimed(context, app, { ...order, fence, signal, untilMs });
  } finally {
    limit.end();
  }
}

async function sleepClaimed(
  context: LifecycleContext,
  app: App,
  order: SleepOrder & Pick<Sleep, "callOff" | "claim" | "fence" | "signal" | "untilMs">,
): Promise<SleepOutcome> {
  if (app.state.kind !== "awake") return { kind: "kept", why: `it is ${app.state.kind}` };
  const { target, sinceMs: awakeSinceMs } = app.state;
  app.fence = order.fence;
  apply(context, app, { kind: "drain-begun", fence: order.fence });
  return await drainThenStop({ ...order, context, app, target, awakeSinceMs });
}

async function drainThenStop(run: Sleep): Promise<SleepOutcome> {
  const { context, app, fence } = run;
  let kept: string | null;
  let isQuiet = false;
  try {
    kept =
      (await drain(run)) ??
      (await checkAgain(run)) ??
      (await storeSnapshot(run)) ??
      (await othersLetGo(run));
  } catch (error) {
    noteMissing(context, app, error);
    kept = unlessCalledOff(run).aborted ? whyNotNow(run) : null;
    kept ??= sentenceOf(app.ref.provider, error);
    isQuiet = isSaidAlready(error);
  }
  // From here to the provider call nothing is awaited: a request either cancelled by now, or waits for the end.
  kept ??= whyNotNow(run);
  if (kept !== null || !apply(context, app, { kind: "stop-begun", fence })) {
    return await keep(run, kept ?? "a request arrived", isQuiet);
  }
  return await stop(run);
}

function whyNotNow(run: Sleep): string | null {
  const { context, app, fence, callOff, unusedSinceMs: decidedMs } = run;
  if (context.closing.signal.aborted) return "Paastis is shutting down";
  if (app.state.kind !== "draining" && app.state.kind !== "awake") return `it is ${app.state.kind}`;
  if (callOff.aborted) return messageOf(callOff.reason);
  if (!run.claim.isHeld()) return OVERTAKEN;
  if (!context.isReachable(app)) return "another app has its key now";
  if (app.state.kind !== "draining" || app.state.fence !== fence) return "a request arrived";
  if (isInUse(app)) return "it is in use";
  return decidedMs !== null && unusedSinceMs(app) > decidedMs ? "it was used meanwhile" : null;
}

/** Why a decision that came too late comes to nothing. */
const OVERTAKEN = "another instance may have taken over";

async function drain(run: Sleep): Promise<string | null> {
  const { clock, closing } = run.context;
  const untilMs = clock.now() + run.drainMs;
  while (isInUse(run.app) && clock.now() < untilMs && !closing.signal.aborted) {
    await sleep(clock, DRAIN_LOOK_EVERY_MS, run.signal);
    if (run.app.state.kind !== "draining") break;
  }
  return whyNotNow(run);
}

/** Asks the platform once more: the app must not be stopped under a deployment, nor what is down already. */
async function checkAgain(run: Sleep): Promise<string | null> {
  const { context, app } = run;
  if (context.providerOf(app).capabilities.snapshotLooks === true) return null;
  const seen = await observeNow(context, app, unlessCalledOff(run));
  const isFree = seen.phase === "awake" || seen.phase === "asleep" || seen.phase === "stopping";
  return isFree ? null : leftAloneBecause(seen);
}

/** What only a stop needs is not waited for once there will be none. */
function unlessCalledOff({ context, callOff, signal }: Sleep): AbortSignal {
  return AbortSignal.any([callOff, context.closing.signal, signal]);
}

function unlessClosing({ context, signal }: Sleep): AbortSignal {
  return AbortSignal.any([context.closing.signal, signal]);
}

/** The snapshot is durable before the stop; one that says "nothing ran" never replaces a better one. */
async function storeSnapshot(run: Sleep): Promise<string | null> {
  const { app, context, fence } = run;
  const snapshot = await context.providerOf(app).takeSnapshot(app.ref.id, unlessCalledOff(run));
  if (!isEmpty(snapshot)) app.snapshot = snapshot;
  const sinceMs = context.clock.now();
  const isStored = await context.registry.save({
    ...recordOf(app),
    phase: "stopping",
    sinceMs,
    fence,
  });
  return isStored ? null : "another instance has changed it";
}

/** Nobody else uses it: from here on requests wait for it at every instance. */
async function othersLetGo(run: Sleep): Promise<string | null> {
  const { context, app, fence, unusedSinceMs: decidedMs } = run;
  const why = whyNotNow(run);
  if (why !== null) return why;
  const unusedMs = decidedMs === null ? null : context.clock.now() - decidedMs;
  const question = { ref: app.ref, fence, unusedMs };
  return await context.peers.askToLetGo(question, unlessCalledOff(run));
}

/** Whether a snapshot would bring nothing back. */
export function isEmpty(snapshot: Snapshot): boolean {
  switch (snapshot.kind) {
    case "none":
      return false;
    case "quantities":
      return snapshot.processes.every((process) => process.quantity === 0);
    case "replicas":
      return snapshot.workloads.every((workload) => workload.replicas === 0);
    case "members":
      return snapshot.ids.length === 0;
  }
}

async function keep(run: Sleep, why: string, isQuiet: boolean): Promise<SleepOutcome> {
  const { context, app, fence, cause } = run;
  context.providerOf(app).callOff?.(app.ref.id);
  apply(context, app, { kind: "drain-cancelled", fence });
  await remember(context, app);
  tell(context, app, { name: "APP_STOP_CANCELLED", cause, reason: why, isQuiet });
  return { kind: "kept", why };
}

async function stop(run: Sleep): Promise<SleepOutcome> {
  const { context, app, fence, cause, signal } = run;
  const begunMs = context.clock.now();
  let isTaken = false;
  tell(context, app, { name: "APP_STOPPING", cause });
  const provider = context.providerOf(app);
  const onWanted = () => provider.callOff?.(app.ref.id);
  run.callOff.addEventListener("abort", onWanted, { once: true });
  try {
    const first = await provider.sleep(app.ref.id, app.snapshot ?? { kind: "none" }, signal);
    isTaken = true;
    // What the platform goes on with needs nobody who waits for it.
    const patience = isPolledPlatform(provider) ? unlessClosing(run) : signal;
    await follow(context, app, { first, signal: patience, untilMs: run.untilMs });
    await untilAsleep(run);
  } catch (error) {
    noteMissing(context, app, error);
    if (!run.claim.isHeld()) return overtaken(run);
    if (!isTaken && isUnsent(error)) return await stillUp(run, error);
    // What was sent goes on without us: the next run finds out how it ends.
    if (context.closing.signal.aborted) return { kind: "failed", why: "Paastis is shutting down" };
    return await stopFailed(run, sentenceOf(app.ref.provider, error));
  }
  apply(context, app, { kind: "stop-done", fence });
  runOf(context, app).failures = 0;
  await remember(context, app);
  const details = { durationMs: context.clock.now() - begunMs };
  tell(context, app, { name: "APP_STOPPED", cause, details });
  context.hooks.runLater("afterStop", {
    app,
    reason: cause.detail,
    upstream: addressOf(run.target),
  });
  return { kind: "asleep" };
}

/** What has become of it is somebody else's to find out. */
function overtaken({ context, app, fence, cause }: Sleep): SleepOutcome {
  if (app.state.kind === "stopping" && app.state.fence === fence) leaveUnknown(context, app);
  tell(context, app, { name: "APP_STOP_CANCELLED", cause, reason: OVERTAKEN });
  return { kind: "failed", why: OVERTAKEN };
}

async function untilAsleep(run: Sleep): Promise<void> {
  const { app, context } = run;
  const stoppedMs = context.clock.now();
  const isPolled = isPolledPlatform(context.providerOf(app));
  const firstMs = isPolled ? ASLEEP_ASK_FIRST_MS : ASLEEP_LOOK_EVERY_MS;
  for (let delayMs = firstMs; ; ) {
    const seen = await observeNow(context, app, run.signal);
    if (seen.phase === "asleep" || seen.phase === "failed") return;
    const isWanted = runOf(context, app).wake !== null;
    const graceMs = isWanted ? UP_AGAIN_WANTED_MS : UP_AGAIN_MS;
    if (seen.phase === "awake" && context.clock.now() - stoppedMs >= graceMs) {
      throw new Error(
        "it is up although the platform has stopped it: somebody has started it anew",
      );
    }
    await sleep(context.clock, isWanted ? firstMs : delayMs, unlessClosing(run));
    if (isPolled) delayMs = Math.min(ASLEEP_ASK_LAST_MS, delayMs * 1.5);
  }
}

/** Whether changes on it are only seen by asking, each time by a call of which there are few. */
export function isPolledPlatform({ capabilities, watch }: Provider): boolean {
  return watch === undefined && !capabilities.listsDeclaredApps;
}

/** So long after a stop an app that is still shown as up may only be shown so, ms; less where somebody waits. */
const UP_AGAIN_MS = 30_000;
const UP_AGAIN_WANTED_MS = 2_000;

/** The platform had no time for the call, so that nothing was done, and nothing has to be looked at. */
function isUnsent(error: unknown): error is ProviderError {
  return error instanceof ProviderError && error.kind === "rate-limited" && !error.isUncertain;
}

async function stillUp(run: Sleep, error: ProviderError): Promise<SleepOutcome> {
  const { context, app, fence, cause, target, awakeSinceMs } = run;
  const why = sentenceOf(app.ref.provider, error);
  apply(context, app, { kind: "stop-failed", fence, target, awakeSinceMs });
  await remember(context, app);
  tell(context, app, { name: "APP_STOP_CANCELLED", cause, reason: why });
  if (run.callOff.aborted) return { kind: "failed", why };
  const retryAfterMs = Math.max(UNSENT_PAUSE_MS, error.retryAfterMs ?? 0);
  return { kind: "failed", why, retryAfterMs };
}

/** So long at least before a stop for which the platform had no time is asked for again, ms. */
const UNSENT_PAUSE_MS = 15_000;

/** What the app is now decides what it becomes: awake again, or unknown where nobody can say. */
async function stopFailed(run: Sleep, why: string): Promise<SleepOutcome> {
  const { context, app, fence, cause } = run;
  const limit = deadline(context.clock, STOP_FAILED_LOOK_MS, {
    reason: new Error("the platform does not answer"),
  });
  // Aborted, it has come to nothing like any other.
  const seen = await look(context, app, limit.signal).catch(() => null);
  limit.end();
  if (seen?.phase === "asleep") {
    apply(context, app, { kind: "stop-done", fence });
    await remember(context, app);
    tell(context, app, { name: "APP_STOPPED", cause, reason: `although the call failed: ${why}` });
    return { kind: "asleep" };
  }
  const target = seen?.phase === "awake" ? (seen.target ?? run.target) : null;
  apply(context, app, { kind: "stop-failed", fence, target });
  await remember(context, app);
  const reason = seen === null ? `${why}; how it is now could not be found out` : why;
  tell(context, app, { name: "APP_STOP_FAILED", cause, reason });
  return { kind: "failed", why };
}

/** How long the look after a failed stop may take, ms. */
const STOP_FAILED_LOOK_MS = 10_000;
