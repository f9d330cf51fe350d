/** What a sweep would do with an app now, and when it may put it to sleep if nobody uses it until then. */

import { isInUse, unusedSinceMs } from "../activity.ts";
import type { App } from "../app.ts";
import type { ScheduleAt } from "../app-schedule.ts";
import type { Clock } from "../clock.ts";
import { type Sweeper, WELCOME_MS } from "../idle.ts";
import { exceptionText } from "./apps-plan.ts";
import { timeTextOrNull } from "./apps-times.ts";
import type { NextDecision } from "./views.ts";

/** What the decision is made from. */
export interface DecisionDeps {
  readonly clock: Pick<Clock, "now" | "wallMs">;
  readonly sweeper: Pick<Sweeper, "verdictOf">;
  readonly scheduleAt: ScheduleAt;
}

/** So many changes of the decision are looked at. */
const CHANGES_MAX = 8;

/** The very decision of sweeps, now and at the next moments at which it can change. Changes nothing. */
export function nextDecision(app: App, deps: DecisionDeps): NextDecision {
  const { sleep, why } = deps.sweeper.verdictOf(app, 0);
  const exception = sleep ? exceptionText(app) : "";
  return { sleep, why: why + exception, sleepsAt: timeTextOrNull(sleepsAtMs(app, sleep, deps)) };
}

/** By the wall clock. */
function sleepsAtMs(app: App, isNow: boolean, deps: DecisionDeps): number | null {
  const wallMs = deps.clock.wallMs();
  if (isNow) return wallMs;
  if (app.state.kind !== "awake" || app.sleepsByItself || isInUse(app)) return null;
  const changes = changesAhead(app, deps).slice(0, CHANGES_MAX);
  const aheadMs = changes.find((one) => deps.sweeper.verdictOf(app, one).sleep);
  return aheadMs === undefined ? null : wallMs + aheadMs;
}

/** When the decision may become another one, ms from now, sooner ones first. */
function changesAhead(app: App, { clock, scheduleAt }: DecisionDeps): number[] {
  const nowMs = clock.now();
  const wallMs = clock.wallMs();
  const { keepAwake, ownWord, policy } = app;
  const windows = [app, ...app.linkedFrom].flatMap((user) => {
    const { keepAwake: kept, forceSleep: forced } = scheduleAt(user, wallMs);
    return [kept, forced].flatMap((state) => {
      if (state === null) return [];
      return [(state.kind === "open" ? state.untilMs : (state.opensMs ?? wallMs)) - wallMs];
    });
  });
  const changes = [
    ...(policy.maxIdleMs === null ? [] : [unusedSinceMs(app) + policy.maxIdleMs - nowMs]),
    ...(keepAwake === null ? [] : [keepAwake.untilWallMs - wallMs]),
    ...(ownWord === null ? [] : [ownWord.untilMs - nowMs]),
    ...(app.state.kind === "awake" ? [app.state.sinceMs + WELCOME_MS - nowMs] : []),
    ...windows,
  ];
  // Of what was found since the last sweep it is decided with the next one.
  return [...new Set([1, ...changes])].filter((one) => one > 0).toSorted((a, b) => a - b);
}
