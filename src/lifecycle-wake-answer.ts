/** Waiting for an app's first answer while it wakes, and noticing that there will be none. */

import type { App, AppState, Target } from "./app.ts";
import { addressOf, LAST_PROBE } from "./app.ts";
import { deadline, sleep } from "./clock.ts";
import { durationText } from "./durations.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import type { ProbeResult } from "./health.ts";
import { untilHealthy } from "./health.ts";
import { blockedBecause } from "./last-word.ts";
import type { HalfDone, LifecycleContext } from "./lifecycle-context.ts";
import { look, runOf, tell } from "./lifecycle-context.ts";
import type { Observation } from "./providers/provider.ts";
import { ProviderError } from "./providers/provider.ts";

/** Everything one wake works with. */
export interface Wake {
  readonly context: LifecycleContext;
  readonly app: App;
  readonly cause: Cause;
  readonly fence: number;
  /** Whether the right to change the app still counts. */
  readonly isHeld: () => boolean;
  /** The state the wake began from. */
  readonly before: AppState;
  /** What of it nobody has told the end of; `null`: nothing. */
  readonly halfDone: HalfDone | null;
  readonly leftover: Leftover;
  readonly signal: AbortSignal;
  /** When the signal aborts, ms since the epoch. */
  readonly untilMs: number;
  /** When it was told that the app wakes, ms since the epoch; `null`: it was not, as nobody had to wait so far. */
  toldMs: number | null;
}

/** Whether something may run that is not worth keeping should the wake fail. What nobody began is not ours to end. */
export interface Leftover {
  isPossible: boolean;
  /** It ran before: it takes no new connections, but somebody may still talk to it over an old one. */
  mayBeUsed: boolean;
}

/** How long an app has to show that it is up where nobody can say, or do anything about it, ms. */
const UNASKED_MS = 5_000;
/** Whoever waits longer for an app that was thought to be up waits for a wake, ms. */
const UNTOLD_MS = 1_000;
/** How often a provider that does not report by itself is asked whether the app failed while it boots, ms. */
const LOOK_EVERY_MS = 5000;
/**
 * An app that its own platform wakes is not about to come up when no connection could be made for so long, ms: the
 * routers of such platforms accept them always, and a server that is restarted is back by then.
 */
const UNREACHABLE_MS = 10_000;

/** Says that the app wakes, unless that was said. */
export function tellWaking(wake: Wake): void {
  if (wake.toldMs !== null) return;
  const { context, app, cause } = wake;
  wake.toldMs = context.clock.now();
  tell(context, app, { name: "APP_WAKING", cause });
}

/** Whether an app answers now, without anybody doing anything about it. */
export async function answersNow(wake: Wake, target: Target): Promise<boolean> {
  const { context, app, signal } = wake;
  const limit = deadline(context.clock, UNASKED_MS, { reason: "no answer", parent: signal });
  try {
    const probe = context.probe(app, target, limit.signal);
    return (await toldWhenSlow(wake, probe)).healthy;
  } catch {
    // The probe was given up; when the wake was, too, that ends it here.
    signal.throwIfAborted();
    return false;
  } finally {
    limit.end();
  }
}

/**
 * Waits for an app that its platform says is up.
 * @returns where it answers; `null` when the provider reports, while we wait, that it has ended after all
 */
export async function stillAnswers(wake: Wake, target: Target): Promise<Target | null> {
  const notices = listen(wake);
  // It may have moved, which for some platforms only their list says.
  const cancel = wake.context.clock.after(UNTOLD_MS, () => wake.context.onMissing(wake.app));
  try {
    return await toldWhenSlow(wake, untilAnswers(wake, { target, signal: notices.signal }));
  } catch (error) {
    if (wake.signal.aborted || !notices.signal.aborted) throw error;
    return null;
  } finally {
    cancel();
    notices.end();
  }
}

/** Most apps that are thought to be up are: nothing is told of those. */
async function toldWhenSlow<T>(wake: Wake, work: Promise<T>): Promise<T> {
  const cancel = wake.context.clock.after(UNTOLD_MS, () => tellWaking(wake));
  try {
    return await work;
  } finally {
    cancel();
  }
}

/** Aborts with the wake, and when the provider reports that the app has ended. */
export function listen(wake: Wake): { readonly signal: AbortSignal; readonly end: () => void } {
  const run = runOf(wake.context, wake.app);
  const controller = new AbortController();
  const onAbort = () => controller.abort(wake.signal.reason);
  if (wake.signal.aborted) onAbort();
  else wake.signal.addEventListener("abort", onAbort, { once: true });
  run.abort = controller;
  run.isOrdered = true;
  return {
    signal: controller.signal,
    end() {
      run.abort = null;
      wake.signal.removeEventListener("abort", onAbort);
    },
  };
}

/**
 * Probes until the app answers, or until it is seen to have failed. One that moves meanwhile is looked for where it is.
 * @returns where it answers
 */
export async function untilAnswers(
  wake: Wake,
  options: { readonly target: Target; readonly signal: AbortSignal },
): Promise<Target> {
  const { context, app } = wake;
  const whereNow = followMoves(wake, options.target);
  let { target } = options;
  const over = new AbortController();
  const absence = watchAbsence(wake);
  const signal = AbortSignal.any([options.signal, absence.signal]);
  let saw = "no answer";
  const watching = watchForFailure(wake, over.signal, whereNow.onLook);
  try {
    await untilHealthy({
      probe(probeSignal) {
        target = whereNow.target();
        return context.probe(app, target, probeSignal);
      },
      clock: context.clock,
      signal,
      onProbe(result) {
        saw = result.saw;
        absence.onProbe(result);
      },
    });
    return target;
  } catch (error) {
    // What a platform said meanwhile must stay what it is: visitors may read sentences of ours.
    if (error !== wake.signal.reason && error !== absence.signal.reason) throw error;
    throw new Error(`${messageOf(error)}${LAST_PROBE}${addressOf(target)}: ${saw}`, {
      cause: error,
    });
  } finally {
    over.abort(new Error("the wake is over"));
    await watching;
  }
}

/** Where an app is that is waited for: where it was at first, or what a look or a list has said since, the newer one. */
function followMoves(
  { app }: Wake,
  first: Target,
): { readonly target: () => Target; readonly onLook: (seen: Target) => void } {
  const listedNow = () => (app.lastTarget === null ? null : addressOf(app.lastTarget));
  let listed = listedNow();
  let target = first;
  function newest() {
    if (app.lastTarget !== null && listedNow() !== listed) target = app.lastTarget;
    listed = listedNow();
    return target;
  }
  return {
    target: newest,
    onLook(seen) {
      newest();
      target = seen;
    },
  };
}

/** Aborts when for long no connection could be made to an app that nobody here brings up. */
function watchAbsence({ app, context: { clock } }: Wake): {
  readonly signal: AbortSignal;
  readonly onProbe: (result: ProbeResult) => void;
} {
  const controller = new AbortController();
  const why = `no connection could be made for ${durationText(UNREACHABLE_MS)}`;
  let sinceMs: number | null = null;
  return {
    signal: controller.signal,
    onProbe({ isUnreachable = false }) {
      sinceMs = isUnreachable ? (sinceMs ?? clock.now()) : null;
      if (sinceMs === null || !app.sleepsByItself) return;
      if (clock.now() - sinceMs >= UNREACHABLE_MS) controller.abort(new Error(why));
    },
  };
}

/** Providers without a `watch` are asked now and then, so that a crash at boot is known before the time-out. */
async function watchForFailure(
  wake: Wake,
  over: AbortSignal,
  onTarget: (target: Target) => void,
): Promise<void> {
  const { context, app } = wake;
  if (context.providerOf(app).watch !== undefined) return;
  while (!over.aborted) {
    try {
      await sleep(context.clock, LOOK_EVERY_MS, over);
      const seen = await look(context, app, over);
      if (seen !== null && seen.target !== null) onTarget(seen.target);
      if (seen?.phase !== "failed" && seen?.phase !== "blocked") continue;
      const failure = seen.phase === "blocked" ? new Error(blockedBecause(seen)) : hasFailed(seen);
      runOf(context, app).abort?.abort(failure);
    } catch (error) {
      if (!over.aborted) throw error;
    }
  }
}

/** The platform's words, which are not for visitors. */
export function hasFailed({ reason = "the platform says it failed" }: Observation): ProviderError {
  return new ProviderError("failed", reason);
}
