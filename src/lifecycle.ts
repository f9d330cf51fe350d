/** The one door to an app's state: wake, sleep, and what was seen from outside. */

import { isInUse } from "./activity.ts";
import type { App, AppState, Target } from "./app.ts";
import { addressOf, isInTransit } from "./app.ts";
import { sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import { blockedBecause, whyLeftAlone } from "./last-word.ts";
import type {
  LifecycleContext,
  LifecycleDeps,
  SleepOutcome,
  WakeOutcome,
} from "./lifecycle-context.ts";
import {
  apply,
  hasLivedLong,
  noteWord,
  remember,
  retryAtMs,
  runOf,
  tell,
} from "./lifecycle-context.ts";
import type { SleepOrder } from "./lifecycle-sleep.ts";
import { runSleep } from "./lifecycle-sleep.ts";
import { runWake } from "./lifecycle-wake.ts";
import type { Observation } from "./providers/provider.ts";
import { ProviderError } from "./providers/provider.ts";
import { publicWhyOf } from "./public-why.ts";

/** What was seen of an app, and which state it was in as the look began. */
export interface Seen {
  readonly observation: Observation;
  readonly since?: AppState;
}

/** Everything that may change an app's state. */
export interface Lifecycle {
  /**
   * Wakes an app, or joins the wake under way: however many ask, there is one. A sleep that has not yet
   * reached the platform is cancelled; one that has is waited for. Never rejects.
   */
  wake(app: App, cause: Cause): Promise<WakeOutcome>;
  /**
   * A connection to `target` could not be made. Starts a wake that first looks whether the app is up, unless
   * the app has moved on to another target or another state since.
   */
  targetIsDown(app: App, target: Target, cause: Cause): void;
  /** The app must stay up after all: a sleep that has not yet reached the platform is called off, at once. */
  cancelDrain(app: App): void;
  /** Puts an awake app to sleep, unless it is in use or a hook says no. Joins a sleep under way. Never rejects. */
  sleep(app: App, order: SleepOrder): Promise<SleepOutcome>;
  /**
   * Corrects what we hold by what was seen.
   * @param seen.since the app's state when the look began: a look that a change has overtaken is dropped. Left
   *   out for what a provider reports by itself, as it happens.
   */
  observe(app: App, seen: Seen): void;
  /** Its provider's list says where the app answers when it is up, and not whether it is. */
  locate(app: App, target: Target): void;
  /** The app is gone from its provider: ends what still runs for it, once nobody uses it. Never rejects. */
  retire(app: App, cause: Cause): Promise<void>;
  /** When the wake under way was asked for, ms since the epoch; `null` when none is. */
  wakeAskedMs(app: App): number | null;
  /** Where the newest wake last looked for an answer, and what it saw: for operators. `null`: nowhere yet. */
  lastProbeOf(app: App): string | null;
  /** Ends all waiting, lets provider calls under way come back, and settles everything. */
  close(): Promise<void>;
}

/** The lifecycle of all apps. It owns `state`, `fence`, `snapshot`, `lastTarget` and `wakeHistoryMs` of each. */
export function createLifecycle(deps: LifecycleDeps): Lifecycle {
  const context: LifecycleContext = {
    ...deps,
    async probe(app, target, signal) {
      const result = await deps.probe(app, target, signal);
      runOf(context, app).lastProbe = `${addressOf(target)}: ${result.saw}`;
      return result;
    },
    runs: new WeakMap(),
    pending: new Set(),
    closing: new AbortController(),
    later: (work) => void track(context, work),
    rememberLater: (app) => void track(context, remember(context, app)),
  };
  return {
    wake: (app, cause) => wake(context, app, cause),
    targetIsDown: (app, target, cause) => targetIsDown(context, app, { target, cause }),
    cancelDrain(app) {
      cancelDrain(context, app);
      // A stop may still wait for its turn.
      runOf(context, app).callOff?.abort(new Error("it is to stay up"));
    },
    sleep: (app, order) => putToSleep(context, app, order),
    observe: (app, seen) => observe(context, app, seen),
    locate(app, target) {
      // Of an app that is up only a look can tell that it has moved.
      if (app.state.kind !== "awake" && app.state.kind !== "draining") app.lastTarget = target;
    },
    retire: (app, cause) => track(context, retire(context, app, cause)),
    wakeAskedMs(app) {
      const run = runOf(context, app);
      return run.wake === null ? null : run.wakeAskedMs;
    },
    lastProbeOf: (app) => runOf(context, app).lastProbe,
    async close() {
      context.closing.abort(new Error("Paastis is shutting down"));
      while (context.pending.size > 0) await Promise.allSettled(context.pending);
    },
  };
}

/** Keeps a promise in sight until it has settled, so that `close` can wait for it. */
function track<T>(context: LifecycleContext, work: Promise<T>): Promise<T> {
  context.pending.add(work);
  const done = () => context.pending.delete(work);
  work.then(done, done);
  return work;
}

function wake(context: LifecycleContext, app: App, cause: Cause): Promise<WakeOutcome> {
  const run = runOf(context, app);
  if (run.wake !== null) return run.wake;
  run.isWanted = true;
  run.callOff?.abort(new Error("a request arrived"));
  if (app.state.kind === "draining") cancelDrain(context, app);
  if (app.state.kind === "awake") {
    return Promise.resolve({ kind: "awake", target: app.state.target });
  }
  if (context.closing.signal.aborted) return Promise.resolve(tooLate(context));
  return beginWake(context, app, cause);
}

function tooLate(context: LifecycleContext): WakeOutcome {
  const why = "Paastis is shutting down";
  return { kind: "failed", why, publicWhy: why, retryAtMs: context.clock.now() };
}

/** Notes the wake before anything is awaited: whoever asks from now on joins it. */
function beginWake(context: LifecycleContext, app: App, cause: Cause): Promise<WakeOutcome> {
  const run = runOf(context, app);
  run.wakeAskedMs = context.clock.now();
  run.lastProbe = null;
  run.wake = track(context, wakeAfterSleep(context, app, cause));
  for (const link of app.links) {
    if (!isPausing(context, link)) void wake(context, link, linkedFrom(app));
  }
  return run.wake;
}

/** What failed is not tried again before its time, unless somebody asks for the app itself. */
function isPausing(context: LifecycleContext, { state }: App): boolean {
  return state.kind === "failed" && context.clock.now() < state.retryAtMs;
}

function linkedFrom(app: App): Cause {
  return { kind: "linked", detail: `linked from ${app.key}` };
}

async function wakeAfterSleep(
  context: LifecycleContext,
  app: App,
  cause: Cause,
): Promise<WakeOutcome> {
  const run = runOf(context, app);
  try {
    const slept = run.sleep === null ? null : await run.sleep;
    // A stop that failed has just found the app up. One that was called off has not looked where it answers.
    if (slept?.kind === "failed" && app.state.kind === "awake") {
      return { kind: "awake", target: app.state.target };
    }
    if (context.closing.signal.aborted) return tooLate(context);
    return await runWake(context, app, cause);
  } catch (error) {
    context.log.error({ app: app.key, reason: messageOf(error) }, "a wake broke: please report it");
    return { kind: "failed", why: messageOf(error), retryAtMs: context.clock.now() };
  } finally {
    run.wake = null;
  }
}

function targetIsDown(
  context: LifecycleContext,
  app: App,
  down: { readonly target: Target; readonly cause: Cause },
): void {
  const run = runOf(context, app);
  if (run.wake !== null || context.closing.signal.aborted) return;
  if (app.state.kind === "unknown") void beginWake(context, app, down.cause);
  if (app.state.kind !== "awake" || addressOf(app.state.target) !== addressOf(down.target)) return;
  void beginWake(context, app, down.cause);
}

function cancelDrain(context: LifecycleContext, app: App): void {
  if (app.state.kind !== "draining") return;
  apply(context, app, { kind: "drain-cancelled", fence: app.state.fence });
}

function putToSleep(context: LifecycleContext, app: App, order: SleepOrder): Promise<SleepOutcome> {
  const run = runOf(context, app);
  if (run.sleep !== null) return run.sleep;
  const obstacle = whyNotSleep(context, app);
  if (obstacle !== null) return Promise.resolve({ kind: "kept", why: obstacle });
  run.isWanted = false;
  run.sleep = track(context, sleepGuarded(context, app, order));
  return run.sleep;
}

function whyNotSleep(context: LifecycleContext, app: App): string | null {
  if (runOf(context, app).wake !== null) return "it is waking";
  if (app.state.kind !== "awake") return `it is ${app.state.kind}`;
  if (app.sleepsByItself) return "its platform puts it to sleep by itself";
  const leftAlone = whyLeftAlone(runOf(context, app).lastWord, context.clock.now());
  if (leftAlone !== null) return leftAlone;
  return context.closing.signal.aborted ? "Paastis is shutting down" : null;
}

async function sleepGuarded(
  context: LifecycleContext,
  app: App,
  order: SleepOrder,
): Promise<SleepOutcome> {
  const run = runOf(context, app);
  const begunMs = context.clock.now();
  try {
    const outcome = await runSleep(context, app, order);
    // What a sleep that was called off has seen counts like any look: the app may have ended by itself.
    const { lastWord } = run;
    if (outcome.kind === "kept" && lastWord !== null && lastWord.atMs >= begunMs) {
      observe(context, app, { observation: lastWord.observation });
    }
    return outcome;
  } catch (error) {
    context.log.error(
      { app: app.key, reason: messageOf(error) },
      "a sleep broke: please report it",
    );
    return { kind: "failed", why: messageOf(error) };
  } finally {
    run.sleep = null;
  }
}

function observe(context: LifecycleContext, app: App, seen: Seen): void {
  const { observation, since } = seen;
  // States are replaced, never changed: another object means that something happened since.
  if (since !== undefined && since !== app.state) return;
  noteWord(context, app, observation);
  if (app.state.kind === "waking" && since === undefined) endWakeEarly(context, app, observation);
  // What ended by itself while it drains needs no stop: the sleep finds that out, and gives up.
  if (hasEnded(observation)) cancelDrain(context, app);
  if (isInTransit(app.state)) return;
  // Its address is all that the list knows of such an app: that it answers must be seen by a wake.
  if (app.sleepsByItself && app.state.kind === "failed") return;
  const before = app.state;
  if (!applyObservation(context, app, observation)) return;
  context.rememberLater(app);
  tellOutsideChange(context, app, { before: before.kind, observation });
}

function hasEnded({ phase }: Observation): boolean {
  return phase === "failed" || phase === "asleep" || phase === "blocked";
}

/** The provider reports that what we wait for has ended: no need to wait for the time-out. */
function endWakeEarly(context: LifecycleContext, app: App, observation: Observation): void {
  if (!hasEnded(observation)) return;
  // The end of a stop that somebody else had begun: the wake comes after it.
  if (observation.phase === "asleep" && !runOf(context, app).isOrdered) return;
  const isOver = observation.phase === "asleep" ? " before it answered" : "";
  const why =
    observation.phase === "blocked"
      ? blockedBecause(observation)
      : `${observation.reason ?? `it is ${observation.phase}`}${isOver}`;
  runOf(context, app).abort?.abort(failureOf(context, app, why));
}

/** What we run ourselves ends for a reason that is the app's own; a platform's words are for the log. */
function failureOf(context: LifecycleContext, app: App, why: string): Error {
  const isOurs = context.providerOf(app).capabilities.listsDeclaredApps;
  return isOurs ? new Error(why) : new ProviderError("failed", why);
}

function applyObservation(context: LifecycleContext, app: App, observation: Observation): boolean {
  switch (observation.phase) {
    case "asleep":
    // Somebody else stops it: what is sent there now is lost, and a wake waits for the end of that.
    case "stopping":
      return apply(context, app, { kind: "observed", as: "asleep" });
    case "awake": {
      const target = observation.target ?? app.lastTarget;
      return target !== null && apply(context, app, { kind: "observed", as: "awake", target });
    }
    case "unmanaged": {
      // Requests go to it as it is; there is nothing to wake or to put to sleep.
      const { target } = observation;
      return target !== null && apply(context, app, { kind: "observed", as: "awake", target });
    }
    case "failed":
    case "blocked":
      return applyFailure(context, app, observation);
    default:
      return false;
  }
}

/** An app that lived long before it crashed is woken again without a pause. */
function applyFailure(context: LifecycleContext, app: App, observation: Observation): boolean {
  const run = runOf(context, app);
  const hasCrashed = observation.phase === "failed";
  const why = hasCrashed
    ? (observation.reason ?? "the platform says it failed")
    : blockedBecause(observation);
  const publicWhy = publicWhyOf(failureOf(context, app, why));
  const livedLong = hasLivedLong(context, app.state);
  const failures = livedLong ? 0 : run.failures + 1;
  const retryAt = livedLong ? context.clock.now() : retryAtMs(context, failures);
  const failure = { why, publicWhy, hasCrashed, retryAtMs: retryAt };
  if (!apply(context, app, { kind: "observed", as: "failed", ...failure })) return false;
  run.failures = failures;
  return true;
}

function tellOutsideChange(
  context: LifecycleContext,
  app: App,
  change: { readonly before: App["state"]["kind"]; readonly observation: Observation },
): void {
  const { before, observation } = change;
  // The first look after a start is not a change.
  if (before === "unknown") return;
  const reason = observation.reason ?? "";
  const cause: Cause = { kind: "outside", detail: noticedOf(context, app) };
  if (app.state.kind === "asleep") tell(context, app, { name: "APP_STOPPED", cause, reason });
  if (app.state.kind === "failed") {
    const name = observation.phase === "blocked" ? "APP_STOPPED" : "APP_CRASHED";
    tell(context, app, { name, cause, reason });
  }
  if (app.state.kind !== "awake") return;
  const details = { target: addressOf(app.state.target) };
  tell(context, app, {
    name: before === "awake" ? "APP_SWITCHED" : "APP_STARTED",
    cause,
    reason,
    details,
  });
}

/** What was seen of an app that changed without us, and by whom. */
function noticedOf(context: LifecycleContext, app: App): string {
  const isUp = app.state.kind === "awake";
  if (context.providerOf(app).capabilities.listsDeclaredApps) {
    return isUp ? "noticed: it runs" : "noticed: its process ended";
  }
  return `noticed on ${app.ref.provider}: it is ${isUp ? "up" : "not up any more"}`;
}

/** How often an app that is to be given up is looked at while somebody still uses it, ms. */
const RETIRE_LOOK_EVERY_MS = 250;

async function retire(context: LifecycleContext, app: App, cause: Cause): Promise<void> {
  const run = runOf(context, app);
  try {
    while (isInUse(app) || run.wake !== null || run.sleep !== null) {
      await sleep(context.clock, RETIRE_LOOK_EVERY_MS, context.closing.signal);
    }
    // It may have come back while somebody still used it: then it belongs to its successor.
    if (context.isListed(app)) return;
    await context.providerOf(app).forget?.(app.ref.id);
    if (context.isListed(app)) return;
    await context.registry.remove(app.ref);
    tell(context, app, { name: "APP_UNREGISTERED", cause });
  } catch (error) {
    if (context.closing.signal.aborted) return;
    context.log.error({ app: app.key, reason: messageOf(error) }, "could not be given up");
  }
}
