/** Apps as the admin endpoints show them: made from what is held in memory, and the newest events. */

import { isInUse, unusedSinceMs } from "../activity.ts";
import { type App, addressOf, type Target } from "../app.ts";
import { createSchedules } from "../app-schedule.ts";
import { messageOf } from "../errors.ts";
import { isOrderedAwake, whyKeptAwake } from "../overrides.ts";
import { switchAnswer } from "../switch-answers.ts";
import { activeAddress, type Desk } from "../switch-context.ts";
import { type AppsDeps, explainedPolicyOf } from "./apps-context.ts";
import { type DecisionDeps, nextDecision } from "./apps-decision.ts";
import { shownEvent } from "./apps-event-shape.ts";
import { shownSettings } from "./apps-settings.ts";
import { timeText, timeTextOrNull } from "./apps-times.ts";
import type { AppDetails, AppSummary, ShownEvent } from "./views.ts";

/** Makes what is shown of apps. */
export interface AppViews {
  /** One row. Synchronous, and cheap enough for thousands. */
  summaryOf(app: App): AppSummary;
  /** Everything. Never rejects: events that cannot be read are left out. */
  detailsOf(app: App): Promise<AppDetails>;
}

/** Newest events of an app that are shown with it. */
const EVENTS_SHOWN = 50;

/** Views of what `deps` holds. */
export function createAppViews(deps: AppsDeps): AppViews {
  const decision = { ...deps, sweeper: deps.core.sweeper, scheduleAt: createSchedules() };
  return {
    summaryOf: (app) => summaryOf(deps, decision, app),
    async detailsOf(app) {
      const events = await newestEvents(deps, app);
      return { ...summaryOf(deps, decision, app), ...detailsOf(deps, app), events };
    },
  };
}

function summaryOf(deps: AppsDeps, decision: DecisionDeps, app: App): AppSummary {
  const { clock, watch } = deps;
  const { failure, phase, since } = phaseOf(app);
  return {
    key: app.key,
    provider: app.ref.provider,
    id: app.ref.id,
    phase,
    since,
    failure,
    pause: pauseOf(deps, app),
    leases: app.leases,
    waiting: app.waiting,
    leasesElsewhere: app.leasesElsewhere,
    idleSince: isInUse(app) ? null : timeText(unusedSinceMs(app)),
    lastUsed: timeTextOrNull(app.lastUsedMs),
    next: nextDecision(app, decision),
    keptAwakeUntil: isOrderedAwake(app, clock.wallMs())
      ? timeTextOrNull(app.keepAwake?.untilWallMs ?? null)
      : null,
    sleepsByItself: app.sleepsByItself,
    target: targetText(targetNow(app)),
    lastWake: watch.wakes.of(app),
    activity: watch.charts.of(app),
  };
}

function phaseOf({ state }: App): Pick<AppSummary, "failure" | "phase" | "since"> {
  const failure = state.kind === "failed" ? state.why : null;
  return { phase: state.kind, since: timeText(state.sinceMs), failure };
}

function pauseOf({ watch }: AppsDeps, app: App): AppSummary["pause"] {
  const { pause } = app;
  if (pause === null) return null;
  const { kind, sinceMs } = pause;
  return {
    kind,
    since: timeText(sinceMs),
    until: timeTextOrNull(watch.orders.pausedUntil(app)),
    message: kind === "maintenance" ? pause.message : null,
  };
}

function targetNow({ state, lastTarget }: App): Target | null {
  return state.kind === "awake" || state.kind === "draining" ? state.target : lastTarget;
}

function targetText(target: Target | null): string | null {
  return target === null ? null : addressOf(target);
}

function detailsOf(deps: AppsDeps, app: App): Omit<AppDetails, keyof AppSummary | "events"> {
  const desk = deps.switchboard.deskOf(app);
  const { lastSwitch } = desk.record;
  const [, , s2 = 0, s3 = 0, s4 = 0, s5 = 0] = app.traffic.statuses;
  return {
    holders: holdersOf(deps, app),
    settings: shownSettings(explainedPolicyOf(deps, app)),
    snapshot: app.snapshot,
    targets: targetsOf(desk),
    lastSwitch: lastSwitch === null ? null : switchAnswer(lastSwitch),
    wakes: wakesOf(app.wakeHistoryMs),
    links: app.links.map(({ key }) => key),
    linkedFrom: app.linkedFrom.map(({ key }) => key),
    runsAt: app.runsAt,
    requests: app.traffic.requests,
    statuses: { "2xx": s2, "3xx": s3, "4xx": s4, "5xx": s5 },
  };
}

/** Who keeps it awake, requests and sockets first. */
function holdersOf(deps: AppsDeps, app: App): AppDetails["holders"] {
  const { clock } = deps;
  const { leases, leasesElsewhere, waiting } = app;
  const kept = whyKeptAwake(app, { nowMs: clock.now(), wallMs: clock.wallMs() });
  const served = Math.max(0, leases - waiting);
  const sockets = socketsAmong(served, deps, app);
  return [
    { kind: "request", count: served - sockets },
    { kind: "WebSocket or event stream", count: sockets },
    { kind: "held", count: Math.min(waiting, leases) },
    { kind: "at another instance", count: leasesElsewhere },
    ...app.linkedFrom.map((user) => ({
      kind: `linked from ${user.key}`,
      count: user.leases + user.leasesElsewhere,
    })),
    { kind: kept ?? "", count: kept === null ? 0 : 1 },
  ].filter(({ count }) => count > 0);
}

/** Of connections that are open, those that say nothing may hold nothing. */
function socketsAmong(served: number, { carried }: AppsDeps, app: App): number {
  const target = targetNow(app);
  const now = target === null ? null : (carried?.(app, target) ?? null);
  if (now === null) return 0;
  return Math.min(Math.max(0, served - now.requests), now.sockets + now.closing);
}

function targetsOf(desk: Desk): AppDetails["targets"] {
  const { drains, window } = desk.record;
  return {
    active: activeAddress(desk),
    draining: drains.map(({ address, untilMs }) => ({ address, until: timeText(untilMs) })),
    rollback: window === null ? null : { to: window.back, until: timeText(window.untilMs) },
  };
}

/** By the nearest rank: of few wakes the slowest one is the 95th percentile. */
function wakesOf(historyMs: readonly number[]): AppDetails["wakes"] {
  const sorted = historyMs.toSorted((a, b) => a - b);
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
  return { historyMs, medianMs: rank(0.5), p95Ms: rank(0.95) };
}

async function newestEvents(deps: AppsDeps, app: App): Promise<readonly ShownEvent[]> {
  try {
    const filter = { app: app.key, limit: EVENTS_SHOWN };
    const events = await deps.eventStore.list(filter);
    return events.toReversed().map(shownEvent);
  } catch (error) {
    deps.log.debug({ app: app.key, reason: messageOf(error) }, "its events cannot be read");
    return [];
  }
}
