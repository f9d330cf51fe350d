/** How a wake goes, for those who look on: the waiting page, and whoever is told why it takes so long. */

import type { WakeProgress } from "./answers.ts";
import type { App, Failure } from "./app.ts";
import type { Clock } from "./clock.ts";
import { sleep } from "./clock.ts";
import type { Config } from "./config.ts";
import type { RequestHead } from "./engines/engine.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import type { FailureReferences } from "./failure-references.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { WakeOutcome } from "./lifecycle-context.ts";
import type { WakeStep } from "./pages/texts.ts";
import { PUBLIC_WHY_DEFAULT, publicWhyOf, seesDetails } from "./public-why.ts";
import type { WaitingRoom } from "./waiting-room.ts";

/** What looking on needs. */
export interface Onlooking {
  readonly room: WaitingRoom;
  readonly lifecycle: Lifecycle;
  readonly clock: Clock;
  readonly showAppOutput: Config["showAppOutput"];
  readonly references: FailureReferences;
}

/** Who looks on, and at which app. */
export interface Onlooker {
  readonly app: App;
  readonly head: RequestHead;
}

/** What a client is told to wait when the program stops under it, ms. */
export const RESTART_MS = 2000;

/** What an onlooker is, for the limits. */
export const ONLOOKER = { isRequest: false, isUpload: false };

/** How often the waiting page is told how far the wake is, ms. */
const PROGRESS_EVERY_MS = 500;

/** How the wake goes, from now until it is over, or until the program stops. */
export async function* progressOf(
  context: Onlooking,
  onlooker: Onlooker & { readonly cause: Cause },
): AsyncGenerator<WakeProgress> {
  const { app, cause } = onlooker;
  const refused = failedNow(context, onlooker);
  if (refused !== null) {
    yield refused;
    return;
  }
  const { promise, resolve } = Promise.withResolvers<WakeProgress | null>();
  const leave = context.room.enter(app, {
    ...ONLOOKER,
    cause,
    waiter: {
      onWakeOver: (outcome) => resolve(lastProgress(context, onlooker, outcome)),
      // Nothing has failed: whoever looks on asks again, and the program that follows this one goes on.
      onSentAway: () => resolve(null),
    },
  });
  try {
    for (;;) {
      const { elapsedMs, estimateMs: estimate } = wakeTimes(context, app);
      const obstacle = obstacleOf(context, onlooker);
      const step = stepOf(context, app, obstacle);
      const trying = step === "trying" && obstacle !== null ? { obstacle } : {};
      yield { kind: "waking", elapsedMs, estimateMs: estimate, step, ...trying };
      const last = await Promise.race([promise, sleep(context.clock, PROGRESS_EVERY_MS)]);
      if (last === undefined) continue;
      if (last !== null) yield last;
      return;
    }
  } finally {
    leave();
  }
}

function lastProgress(context: Onlooking, onlooker: Onlooker, outcome: WakeOutcome): WakeProgress {
  if (outcome.kind === "awake") return { kind: "ready" };
  return failedProgress(context, onlooker, outcome);
}

function failedNow(context: Onlooking, onlooker: Onlooker): WakeProgress | null {
  const { state } = onlooker.app;
  if (state.kind !== "failed" || context.clock.now() >= state.retryAtMs) return null;
  return failedProgress(context, onlooker, state);
}

function failedProgress(
  context: Onlooking,
  { app, head }: Onlooker,
  failure: Failure,
): WakeProgress {
  return {
    kind: "failed",
    why: whyFor(context, head, failure),
    hasCrashed: failure.hasCrashed === true,
    retryAfterMs: untilMs(context, failure.retryAtMs),
    reference: context.references.of(app, failure),
  };
}

/** All of the reason, or what this visitor may read of it. */
export function whyFor(context: Onlooking, head: RequestHead, failure: Failure): string {
  const { why, publicWhy = PUBLIC_WHY_DEFAULT } = failure;
  return seesDetails(context.showAppOutput, head) ? why : publicWhy;
}

function untilMs(context: Onlooking, timeMs: number): number {
  return Math.max(0, timeMs - context.clock.now());
}

function stepOf(context: Onlooking, app: App, obstacle: string | null): WakeStep {
  if (app.state.kind === "stopping") return "stopping";
  if (obstacle !== null) return "trying";
  return context.lifecycle.lastProbeOf(app) === null ? "starting" : "answering";
}

/** What keeps a wake from going on now, as far as this visitor may read it; `null`: nothing that is known. */
export function obstacleOf(context: Onlooking, { app, head }: Onlooker): string | null {
  const error = context.lifecycle.obstacleOf(app);
  if (error === null) return null;
  return seesDetails(context.showAppOutput, head) ? messageOf(error) : publicWhyOf(error);
}

/** How long the wake of an app has gone on, and usually takes; ms. */
export function wakeTimes(
  context: Onlooking,
  app: App,
): { readonly elapsedMs: number; readonly estimateMs: number | null } {
  const askedMs = context.lifecycle.wakeAskedMs(app);
  const elapsedMs = askedMs === null ? 0 : context.clock.now() - askedMs;
  return { elapsedMs, estimateMs: estimateMs(app.wakeHistoryMs) };
}

/** The median of the past wakes, ms; `null` without any. */
export function estimateMs(historyMs: readonly number[]): number | null {
  const sorted = [...historyMs].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
}
