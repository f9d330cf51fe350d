/** The one door to an app's state: wake, sleep, and what was seen from outside. */

import { isInUseHere } from "./activity.ts";
import type { App, Target } from "./app.ts";
import { addressOf } from "./app.ts";
import { sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import { whyLeftAlone } from "./last-word.ts";
import { abandoned, hear, isForeign, mayStop, recallHalfDone } from "./lifecycle-adopt.ts";
import { runsElsewhere } from "./lifecycle-claim.ts";
import type {
  HalfDone,
  LifecycleContext,
  LifecycleDeps,
  SleepOutcome,
  WakeOutcome,
} from "./lifecycle-context.ts";
import { apply, cancelDrain, remember, runOf, tell } from "./lifecycle-context.ts";
import { observe, type Seen } from "./lifecycle-observe.ts";
import type { SleepOrder } from "./lifecycle-sleep.ts";
import { runSleep } from "./lifecycle-sleep.ts";
import { runWake } from "./lifecycle-wake.ts";
import type { StopQuestion } from "./peers.ts";
import type { AppRecord } from "./registry/registry.ts";

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
  /**
   * The app must stay up after all: a sleep that has not yet reached the platform is called off, at once.
   * @param why for people; left out: a request arrived
   */
  cancelDrain(app: App, why?: string): void;
  /** Puts an awake app to sleep, unless it is in use or a hook says no. Joins a sleep under way. Never rejects. */
  sleep(app: App, order: SleepOrder): Promise<SleepOutcome>;
  /**
   * Corrects what we hold by what was seen.
   * @param seen.since the app's state when the look began: a look that a change has overtaken is dropped. Left
   *   out for what a provider reports by itself, as it happens.
   */
  observe(app: App, seen: Seen): void;
  /**
   * From here on requests go to `target`, which has proved to be healthy. A wake or a drain under way ends with that;
   * who waits for the app goes on to the new target.
   * @returns false, and nothing changes, while the app is being stopped
   */
  swap(app: App, target: Target): boolean;
  /** Its provider's list says where the app answers when it is up, and not whether it is. */
  locate(app: App, target: Target): void;
  /** The app is gone from its provider: ends what still runs for it, once nobody uses it. Never rejects. */
  retire(app: App, cause: Cause): Promise<void>;
  /** Another instance has stored this. What is older than what is known here is passed over. */
  adopt(app: App, record: AppRecord): void;
  /**
   * Another instance is about to stop the app.
   * @returns why it must not; `null`: from here on requests for it wait, until a record says what has become of it
   */
  mayStop(app: App, question: StopQuestion): string | null;
  /** An earlier run has ended in the middle of this, so that nobody has told what came of it. */
  recallHalfDone(app: App, halfDone: HalfDone): void;
  /** An instance is gone that may have been about to change the app. */
  abandoned(app: App): void;
  /** Whether it is in the middle of something that another instance does, or did. */
  isForeign(app: App): boolean;
  /** Whether what it is now could not be stored. */
  isUnsaved(app: App): boolean;
  /** Stores the app as it is now, without anybody waiting for it. */
  save(app: App): void;
  /** When the wake under way was asked for, ms since the epoch; `null` when none is. */
  wakeAskedMs(app: App): number | null;
  /** Where the newest wake last looked for an answer, and what it saw: for operators. `null`: nowhere yet. */
  lastProbeOf(app: App): string | null;
  /** What the newest call of the wake under way failed of, which is made again; `null`: nothing is in its way. */
  obstacleOf(app: App): unknown;
  /** When a wake of the app last ended well, ms since the epoch; `null`: never. */
  wokenMs(app: App): number | null;
  /** Why its platform's last word keeps it from being put to sleep, for people; `null`: it does not. */
  whyLeftAlone(app: App): string | null;
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
    cancelDrain: (app, why = "a request arrived") => cancelDrain(context, app, why),
    sleep: (app, order) => putToSleep(context, app, order),
    observe: (app, seen) => observe(context, app, seen),
    swap: (app, target) => swap(context, app, target),
    locate(app, target) {
      // Of an app that is up only a look can tell that it has moved.
      if (app.state.kind !== "awake" && app.state.kind !== "draining") app.lastTarget = target;
    },
    retire: (app, cause) => track(context, retire(context, app, cause)),
    adopt: (app, record) => hear(context, app, record),
    mayStop: (app, question) => mayStop(context, app, question),
    recallHalfDone: (app, halfDone) => recallHalfDone(context, app, halfDone),
    abandoned: (app) => abandoned(context, app),
    isForeign: (app) => isForeign(context, app),
    isUnsaved: (app) => runOf(context, app).isUnsaved,
    save: context.rememberLater,
    wakeAskedMs(app) {
      const run = runOf(context, app);
      return run.wake === null ? null : run.wakeAskedMs;
    },
    lastProbeOf: (app) => runOf(context, app).lastProbe,
    obstacleOf: (app) => runOf(context, app).obstacle,
    wokenMs: (app) => runOf(context, app).wokenMs,
    whyLeftAlone: (app) => whyLeftAlone(runOf(context, app).lastWord, context.clock.now()),
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
  cancelDrain(context, app, "it was asked for");
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
  run.obstacle = null;
  run.wake = track(context, wakeAfterSleep(context, app, cause));
  for (const link of app.links) {
    if (!isPausing(context, link)) void wake(context, link, linkedFrom(app));
  }
  return run.wake;
}

/** What failed is not tried again before its time, nor what is paused, unless somebody asks for the app itself. */
function isPausing(context: LifecycleContext, { state, pause }: App): boolean {
  if (pause !== null) return true;
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
  // Somebody works on it: the first request after that finds out how it is.
  if (app.pause !== null) return;
  if (app.state.kind === "unknown") void beginWake(context, app, down.cause);
  if (app.state.kind !== "awake" || addressOf(app.state.target) !== addressOf(down.target)) return;
  void beginWake(context, app, down.cause);
}

function swap(context: LifecycleContext, app: App, target: Target): boolean {
  const run = runOf(context, app);
  if (!apply(context, app, { kind: "swapped", target })) return false;
  // What is in flight can no longer land.
  app.fence += 1;
  const overtaken = new Error("a switch has overtaken it");
  run.callOff?.abort(overtaken);
  run.overtake?.abort(overtaken);
  // It was about the old target.
  run.lastWord = null;
  context.rememberLater(app);
  return true;
}

function putToSleep(context: LifecycleContext, app: App, order: SleepOrder): Promise<SleepOutcome> {
  const run = runOf(context, app);
  if (run.sleep !== null) return run.sleep;
  const obstacle = whyNotSleep(context, app);
  if (obstacle !== null) return Promise.resolve({ kind: "kept", why: obstacle });
  run.callOff = new AbortController();
  run.sleep = track(context, sleepGuarded(context, app, { ...order, callOff: run.callOff.signal }));
  return run.sleep;
}

function whyNotSleep(context: LifecycleContext, app: App): string | null {
  if (runOf(context, app).wake !== null) return "it is waking";
  if (app.state.kind !== "awake") return `it is ${app.state.kind}`;
  if (app.sleepsByItself) return "its platform puts it to sleep by itself";
  if (runsElsewhere(context, app)) return "another instance runs it";
  const leftAlone = whyLeftAlone(runOf(context, app).lastWord, context.clock.now());
  if (leftAlone !== null) return leftAlone;
  return context.closing.signal.aborted ? "Paastis is shutting down" : null;
}

async function sleepGuarded(
  context: LifecycleContext,
  app: App,
  order: Parameters<typeof runSleep>[2],
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
    run.callOff = null;
  }
}

/** How often an app that is to be given up is looked at while somebody still uses it, ms. */
const RETIRE_LOOK_EVERY_MS = 250;

async function retire(context: LifecycleContext, app: App, cause: Cause): Promise<void> {
  const run = runOf(context, app);
  try {
    while (isInUseHere(app) || run.wake !== null || run.sleep !== null) {
      await sleep(context.clock, RETIRE_LOOK_EVERY_MS, context.closing.signal);
    }
    // It may have come back while somebody still used it: then it belongs to its successor.
    if (context.isListed(app)) return;
    await context.providerOf(app).forget?.(app.ref.id);
    if (context.isListed(app)) return;
    if (!context.peers.isLeader()) return;
    await context.registry.remove(app.ref);
    tell(context, app, { name: "APP_UNREGISTERED", cause });
  } catch (error) {
    if (context.closing.signal.aborted) return;
    context.log.error({ app: app.key, reason: messageOf(error) }, "could not be given up");
  }
}
