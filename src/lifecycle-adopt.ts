/** What other instances have done to an app, against the state we hold. Called by the lifecycle alone. */

import { isInUseHere, lastUseMs } from "./activity.ts";
import type { App, Failure, Happening } from "./app.ts";
import { isInTransit } from "./app.ts";
import { sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import { runsElsewhere } from "./lifecycle-claim.ts";
import type { HalfDone, LifecycleContext } from "./lifecycle-context.ts";
import { apply, cancelDrain, runOf } from "./lifecycle-context.ts";
import { whyKeptAwake } from "./overrides.ts";
import type { StopQuestion } from "./peers.ts";
import type { AppRecord } from "./registry/registry.ts";

/** Another instance has stored this. What we do under a newer claim of our own is nobody else's to tell. Never throws. */
export function hear(context: LifecycleContext, app: App, record: AppRecord): void {
  const { claim, overtake } = runOf(context, app);
  // Also of a claim that Redis has lost since: whoever has taken over has a greater fence.
  if (claim !== null && record.fence <= claim.fence) return;
  const isNews = adopt(context, app, record);
  const { state } = app;
  // A failure whose time is over is tried again, which may be what goes on.
  const hasFailed = state.kind === "failed" && context.clock.now() < state.retryAtMs;
  const isOver = state.kind === "awake" || hasFailed;
  // Whoever waits for the app need not wait for their turn to change it.
  if (isNews && isOver) overtake?.abort(new Error("another instance has seen to it"));
}

/**
 * This is what is stored: what is older than what is known here is passed over. Never throws.
 * @returns whether it is newer than what was known here
 */
export function adopt(context: LifecycleContext, app: App, record: AppRecord): boolean {
  // What brings it back as it was is worth more than nothing, however old it is.
  app.snapshot ??= record.snapshot;
  if (record.fence < app.fence) return false;
  const isNews = record.fence > app.fence;
  const ranHere = app.runsAt === context.peers.self;
  app.fence = record.fence;
  app.snapshot = record.snapshot ?? app.snapshot;
  app.lastTarget = record.target ?? app.lastTarget;
  app.runsAt = record.runsAt ?? null;
  app.wakeHistoryMs = record.wakeHistoryMs;
  if (ranHere && runsElsewhere(context, app)) context.later(yieldTo(context, app));
  const happening = toldBy(app, record);
  if (happening === null) return isNews;
  const hasChanged = apply(context, app, happening);
  if (hasChanged && happening.kind === "told" && happening.as === "asleep") {
    recall(context, app, record);
  }
  if (hasChanged && app.state.kind === "awake") {
    runOf(context, app).wokenMs = context.clock.now();
  }
  return hasChanged || isNews;
}

/** `null`: nothing that changes a state. */
function toldBy({ state, lastTarget }: App, record: AppRecord): Happening | null {
  switch (record.phase) {
    case "awake":
      return lastTarget === null ? null : { kind: "told", as: "awake", target: lastTarget };
    case "asleep":
      return { kind: "told", as: "asleep" };
    case "waking":
      return { kind: "told", as: "waking", fence: record.fence };
    case "failed":
      return { kind: "told", as: "failed", ...failureIn(record) };
    case "stopping":
      // It may still be called off: before it is stopped everybody is asked.
      return null;
    case "unknown":
      return isInTransit(state) ? { kind: "told", as: "unknown" } : null;
  }
}

function failureIn({ failure, sinceMs }: AppRecord): Failure {
  return failure ?? { why: "another instance could not wake it", retryAtMs: sinceMs };
}

/** What another run or instance has left half done, or has put to sleep: its platform may not say who that was. */
export function recall({ providerOf }: LifecycleContext, app: App, record: AppRecord): void {
  const provider = providerOf(app);
  const { phase, sinceMs, snapshot, ref } = record;
  if (phase === "waking") provider.recallWake?.(ref.id, sinceMs);
  if (phase === "asleep") provider.recallSleep?.(ref.id, sinceMs);
  if (phase === "stopping") provider.recallSleep?.(ref.id, sinceMs, snapshot ?? undefined);
}

/** Two ages of one moment, told by different clocks, may differ by so much, ms. */
const AGE_SLACK_MS = 250;

/**
 * Another instance is about to stop the app.
 * @returns why it must not; `null`: from here on requests for it wait, until a record says what has become of it
 */
export function mayStop(
  context: LifecycleContext,
  app: App,
  question: StopQuestion,
): string | null {
  const run = runOf(context, app);
  if (question.fence < app.fence) return "it was changed meanwhile";
  if (isInUseHere(app)) return "it is in use";
  if (run.wake !== null || run.claim !== null) return "it is asked for";
  const times = { nowMs: context.clock.now(), wallMs: context.clock.wallMs() };
  const whyKept = whyKeptAwake(app, times);
  if (whyKept !== null) return `it ${whyKept}`;
  const usedMsAgo = context.clock.now() - lastUseMs(app);
  const { unusedMs } = question;
  if (unusedMs !== null && usedMsAgo < unusedMs - AGE_SLACK_MS) return "it was used meanwhile";
  cancelDrain(context, app, "another instance puts it to sleep");
  app.fence = question.fence;
  apply(context, app, { kind: "told", as: "stopping", fence: question.fence });
  return null;
}

/** What goes to a child of ours when another instance has taken over has so long to finish, ms. */
const YIELD_MS = 10_000;
const YIELD_LOOK_EVERY_MS = 250;

/** Another instance runs the app now: what runs of it here ends, once nobody may use it any more. */
async function yieldTo(context: LifecycleContext, app: App): Promise<void> {
  const { clock, closing, log, providerOf } = context;
  const untilMs = clock.now() + YIELD_MS;
  try {
    while (app.leases > 0 && clock.now() < untilMs) {
      await sleep(clock, YIELD_LOOK_EVERY_MS, closing.signal);
    }
    if (!runsElsewhere(context, app)) return;
    await providerOf(app).sleep(app.ref.id, { kind: "none" }, closing.signal);
  } catch (error) {
    if (closing.signal.aborted) return;
    log.warn(
      { app: app.key, reason: messageOf(error) },
      "another instance runs it now, but it could not be ended here",
    );
  }
}

/**
 * The right to change the app was lost halfway. Whoever waits for what comes of it hears that nobody knows, unless somebody
 * has taken over: then that is not stored.
 */
export function leaveUnknown(context: LifecycleContext, app: App): void {
  apply(context, app, { kind: "told", as: "unknown" });
  context.rememberLater(app);
}

/** Whether it is in the middle of something that another instance does, or did. */
export function isForeign(context: LifecycleContext, app: App): boolean {
  const { wake, sleep, claim } = runOf(context, app);
  return wake === null && sleep === null && claim === null && isInTransit(app.state);
}

/** An earlier run has ended in the middle of something. */
export function recallHalfDone(context: LifecycleContext, app: App, halfDone: HalfDone): void {
  if (app.state.kind === "unknown") runOf(context, app).halfDone = halfDone;
}

/** What of a wake or a stop nobody has told the end of, as far as its record and its state say; `null`: nothing. */
export function halfDoneOf(context: LifecycleContext, app: App): HalfDone | null {
  const { kind } = app.state;
  return kind === "waking" || kind === "stopping" ? kind : runOf(context, app).halfDone;
}

/** An instance is gone: what it was about to do to the app, nobody does any more. */
export function abandoned(context: LifecycleContext, app: App): void {
  const run = runOf(context, app);
  if (run.claim !== null || !isInTransit(app.state)) return;
  const halfDone = halfDoneOf(context, app);
  apply(context, app, { kind: "told", as: "unknown" });
  run.halfDone = halfDone;
}
