/** What operators can do with one app: wake it, put it to sleep, keep it awake, pause it. */

import type { App } from "../app.ts";
import { sleep } from "../clock.ts";
import { durationText } from "../durations.ts";
import { messageOf } from "../errors.ts";
import type { Cause } from "../events.ts";
import { isOrderedAwake, type KeepAwakeOrder, orderedAwake } from "../overrides.ts";
import type { AppsDeps } from "./apps-context.ts";
import { found, problem } from "./apps-problem.ts";
import { type Span, timeText } from "./apps-times.ts";
import type { AppViews } from "./apps-views.ts";
import type { ActionAnswer } from "./views.ts";

/** What actions are made of. */
export interface ActionDeps extends AppsDeps {
  readonly views: AppViews;
}

const CAUSE: Cause = { kind: "command", detail: "an operator" };

/** Longest that somebody may wait for a wake, or for the last request before a sleep, ms. */
export const WAIT_MAX_MS = 15 * 60_000;

/** @param waitMs how long to wait for the app to be awake; the wake goes on after it */
export async function wakeApp(deps: ActionDeps, app: App, waitMs: number): Promise<Response> {
  if (app.state.kind === "awake") return done(deps, app, "is awake already");
  const wake = deps.core.lifecycle.wake(app, CAUSE);
  if (waitMs === 0) return done(deps, app, "is waking", 202);
  const over = new AbortController();
  const outcome = await Promise.race([
    wake,
    sleep(deps.clock, Math.min(waitMs, WAIT_MAX_MS), over.signal).catch(() => null),
  ]);
  over.abort();
  if (outcome === null || outcome === undefined) return done(deps, app, "is waking", 202);
  if (outcome.kind === "awake") return done(deps, app, "is awake");
  const detail = `${app.key} could not be woken: ${outcome.why}`;
  return problem("app_failed", { detail, app: app.key });
}

/** The newest word counts: an order to keep it awake is over. @param drainMs how long to wait for the last request */
export async function sleepApp(deps: ActionDeps, app: App, drainMs: number): Promise<Response> {
  const { lifecycle } = deps.core;
  if (app.state.kind === "asleep") return done(deps, app, "is asleep already");
  const switching = app.pause === null ? deps.switchboard.whyAwake(app) : null;
  if (switching !== null) return kept(app, `it ${switching}`);
  const unstored = await stored(deps, app, () => ordered(deps, app, null));
  if (unstored !== null) return unstored;
  const order = { cause: CAUSE, drainMs: Math.min(drainMs, WAIT_MAX_MS), unusedSinceMs: null };
  const outcome = await lifecycle.sleep(app, order);
  return outcome.kind === "asleep" ? done(deps, app, "is asleep") : kept(app, outcome.why);
}

function kept(app: App, why: string): Response {
  return problem("app_kept", { detail: `${app.key} stays as it is: ${why}`, app: app.key });
}

/** An app that is asleep is woken: kept awake is what it is to be. 0 as the duration takes an earlier order back. */
export async function keepAppAwake(deps: ActionDeps, app: App, span: Span): Promise<Response> {
  const { clock, core } = deps;
  const order = orderedAwake(span, clock.wallMs());
  if (order !== null && "why" in order) {
    const detail = `${app.key} cannot be kept awake so long: ${order.why}`;
    return problem("admin_invalid", { detail, app: app.key });
  }
  const unstored = await stored(deps, app, () => ordered(deps, app, order));
  if (unstored !== null) return unstored;
  if (order === null) return done(deps, app, "is no longer kept awake by an operator");
  core.lifecycle.cancelDrain(app, "an operator keeps it awake");
  if (app.state.kind !== "awake") void core.lifecycle.wake(app, CAUSE);
  const until = timeText(order.untilWallMs);
  return done(deps, app, `is kept awake until ${until}`);
}

/** Tells everybody, unless nothing has changed. @throws Error when it cannot be stored */
async function ordered(
  { clock, events, watch }: ActionDeps,
  app: App,
  order: KeepAwakeOrder | null,
): Promise<void> {
  const was = isOrderedAwake(app, clock.wallMs());
  await watch.orders.keepAwake(app, order);
  const who = { app: app.key, ref: app.ref, cause: CAUSE };
  if (order !== null) {
    const details = { until: timeText(order.untilWallMs) };
    events.emit({ ...who, name: "APP_KEPT_AWAKE", details });
  } else if (was) events.emit({ ...who, name: "APP_KEPT_AWAKE_ENDED" });
}

/** @param span how long; `null`: until somebody says so */
export async function pauseApp(deps: ActionDeps, app: App, span: Span | null): Promise<Response> {
  const { clock, switchboard, watch } = deps;
  const untilWallMs = endOf(span, clock.wallMs());
  if (untilWallMs !== null && untilWallMs <= clock.wallMs()) {
    const detail = "The pause would be over already: for and until must be in the future";
    return problem("admin_invalid", { detail, app: app.key });
  }
  const unstored = await stored(deps, app, async () => {
    await switchboard.setPause(app, { kind: "paused", sinceMs: clock.now() }, CAUSE);
    await watch.orders.endPause(app, untilWallMs);
  });
  if (unstored !== null) return unstored;
  const end = untilWallMs === null ? "until it is resumed" : `until ${timeText(untilWallMs)}`;
  return done(deps, app, `is paused ${end}: its requests wait`);
}

function endOf(span: Span | null, wallMs: number): number | null {
  if (span === null) return null;
  return "forMs" in span ? wallMs + span.forMs : span.untilWallMs;
}

/** Ends a pause, and maintenance. */
export async function resumeApp(deps: ActionDeps, app: App): Promise<Response> {
  const { clock, switchboard, watch } = deps;
  const { pause } = app;
  const unstored = await stored(deps, app, async () => {
    await switchboard.setPause(app, null, CAUSE);
    await watch.orders.endPause(app, null);
  });
  if (unstored !== null) return unstored;
  if (pause === null) return done(deps, app, "was not paused");
  return done(
    deps,
    app,
    `takes requests again, after ${durationText(clock.now() - pause.sinceMs)}`,
  );
}

/** @returns `null`: it is done */
async function stored(
  { log }: AppsDeps,
  app: App,
  work: () => Promise<void>,
): Promise<Response | null> {
  try {
    await work();
    return null;
  } catch (error) {
    const reason = messageOf(error);
    log.warn({ app: app.key, reason }, "what an operator ordered could not be stored");
    return problem("admin_not_saved", { detail: reason, app: app.key });
  }
}

function done({ views }: ActionDeps, app: App, message: string, status = 200): Response {
  const { key, keptAwakeUntil, pause, phase } = views.summaryOf(app);
  const answer: ActionAnswer = {
    app: key,
    phase,
    message: `${key} ${message}`,
    keptAwakeUntil,
    pause,
  };
  return found(answer, status);
}
