/** What would become of a request, and why: decided by the very functions that decide about real ones. Changes nothing. */

import { type Way, wayOf } from "../admission.ts";
import { isNavigation } from "../answers.ts";
import type { App } from "../app.ts";
import { createSchedules, forcedSleep, type ScheduleAt } from "../app-schedule.ts";
import type { HoldLimits } from "../config.ts";
import { durationText } from "../durations.ts";
import type { RequestHead } from "../engines/engine.ts";
import { createRouter, type Host, type Route, readHost } from "../router.ts";
import { appliesTo, resolveLabel } from "../rules.ts";
import { type TurnedAway, turnedAway } from "../turned-away.ts";
import { type IgnoreRule, ignoredBy, ignoreText } from "../wake-policy.ts";
import { type AppsDeps, explainedPolicyOf } from "./apps-context.ts";
import { nextDecision } from "./apps-decision.ts";
import { shownSettings } from "./apps-settings.ts";
import { claimOf } from "./own-hosts.ts";
import type { Explained } from "./views.ts";

/** The request that is asked about. */
export interface ExplainedRequest {
  readonly method: string;
  readonly url: URL;
  readonly userAgent: string;
  /** The header `Accept`. */
  readonly accept: string;
  /** Whether a browser asks ahead of its user. */
  readonly isPrefetch: boolean;
  /** Path and query as they stand in the request. */
  readonly target: string;
}

type Fate = Pick<Explained, "code" | "countsAsUse" | "outcome" | "status" | "wakes" | "why">;

/** Says what becomes of requests. */
export type Explain = (request: ExplainedRequest) => Explained;

/** As the apps are now. */
export function createExplain(deps: AppsDeps): Explain {
  const scheduleAt = createSchedules();
  return (request) => {
    const { config, core, live } = deps;
    const head = headOf(request);
    const host = readHost(head.host);
    const keyOf = (label: string) => resolveLabel(label, live.apps.rules);
    const router = createRouter<App>({
      find: core.table.byKey,
      keyOf,
      defaultKey: config.defaultApp,
    });
    const route = router.match(head.host);
    const label = host.kind === "label" ? host.label : null;
    const shown = {
      request: { method: head.method, host: head.host ?? "", path: pathOf(head.target) },
      label,
      rules: rulesFor(deps, label === null ? null : keyOf(label)),
    };
    const isOurs = isForUs(deps, head);
    const nobody = { app: null, settings: [], next: null };
    if (isOurs) return { ...shown, ...nobody, ...OURS };
    if (route.kind !== "app") return { ...shown, ...nobody, ...withoutApp(route, host) };
    const { app } = route;
    const decision = { ...deps, sweeper: core.sweeper, scheduleAt };
    return {
      ...shown,
      app: app.key,
      rules: rulesFor(deps, app.key),
      ...fateOf(deps, { app, head, scheduleAt }),
      settings: shownSettings(explainedPolicyOf(deps, app)),
      next: nextDecision(app, decision),
    };
  };
}

function headOf(request: ExplainedRequest): RequestHead {
  const { accept, isPrefetch, method, target, url, userAgent } = request;
  const headers: Readonly<Record<string, string>> = {
    ...{ accept, "user-agent": userAgent },
    ...(isPrefetch && { "sec-purpose": "prefetch" }),
  };
  return {
    method,
    target,
    host: url.host,
    clientAddress: "",
    header: (name) => (Object.hasOwn(headers, name) ? (headers[name] ?? null) : null),
  };
}

/** Without the query: it may hold secrets. */
function pathOf(target: string): string {
  const query = target.indexOf("?");
  return query === -1 ? target : target.slice(0, query);
}

const OURS: Fate = {
  outcome: "admin",
  status: null,
  code: null,
  wakes: false,
  countsAsUse: false,
  why: "It is for Paastis itself: on this host its admin endpoints answer",
};

/** What needs a credential is an app's for everybody else. */
function isForUs({ config, core, live }: AppsDeps, { host, target }: RequestHead): boolean {
  const isAppLabel = (label: string) =>
    core.table.byKey(resolveLabel(label, live.apps.rules)) !== null;
  const hasDefaultApp = config.defaultApp !== null;
  const facts = { config: config.admin, hasDefaultApp, isAppLabel, isSettled: () => true };
  return claimOf(facts, target, host) === "always";
}

function withoutApp(route: Exclude<Route<App>, { kind: "app" }>, host: Host): Fate {
  const nobody = { wakes: false, countsAsUse: false } as const;
  if (route.kind === "invalid") {
    return { ...nobody, outcome: "refused", status: 400, code: "invalid_host", why: route.why };
  }
  const what =
    host.kind === "label" ? `no app has the key ${JSON.stringify(host.label)}` : "it is an address";
  const why = `No app answers for this host: ${what}, and DEFAULT_APP names none that there is`;
  return { ...nobody, outcome: "refused", status: 404, code: "unknown_app", why };
}

function rulesFor({ live }: AppsDeps, key: string | null): Explained["rules"] {
  if (key === null) return [];
  return live.apps.rules.flatMap((rule, index) =>
    appliesTo(rule, key) ? [{ index, pattern: rule.pattern.source }] : [],
  );
}

/** In the order of the gate: what it is refused for first is said. */
function fateOf(
  { clock, config, core }: AppsDeps,
  { app, head, scheduleAt }: { app: App; head: RequestHead; scheduleAt: ScheduleAt },
): Fate {
  if (head.method === "CONNECT" || head.method === "TRACE") {
    const why = `${head.method} is not forwarded`;
    return { ...refused("method_refused", 405, why), countsAsUse: false };
  }
  const ignored = app.policy.ignore === null ? null : ignoredBy(app.policy.ignore, head);
  const countsAsUse = ignored === null;
  const { pause } = app;
  if (pause !== null) return { ...pausedFate(pause, config.hold.maxMs), countsAsUse };
  const nowMs = clock.now();
  const caller = { app, failures: 0, head, ignored };
  const wallMs = clock.wallMs();
  const away = turnedAway(caller, {
    nowMs,
    isWaking: core.lifecycle.wakeAskedMs(app) !== null,
    forced: () => forcedSleep(app, { scheduleAt, wallMs }),
  });
  if (app.state.kind !== "awake" && away !== null) return { ...turnedFate(away), countsAsUse };
  const going = goingFate({ app, head, hold: config.hold, way: wayOf(caller, clock) });
  return { ...going, why: going.why + usedText(ignored), countsAsUse };
}

function usedText(ignored: IgnoreRule | null): string {
  return ignored === null ? "" : `; it is no use of the app (${ignoreText(ignored)})`;
}

function refused(code: NonNullable<Fate["code"]>, status: number, why: string) {
  return { outcome: "refused", status, code, wakes: false, why } as const;
}

function pausedFate(pause: NonNullable<App["pause"]>, maxMs: number): Omit<Fate, "countsAsUse"> {
  if (pause.kind === "maintenance") {
    return refused("app_maintenance", 503, pause.message || "It is in maintenance");
  }
  const why = `It is paused: the request waits for at most ${durationText(maxMs)}, then it is told to come back`;
  return { outcome: "hold", status: null, code: "app_paused", wakes: false, why };
}

function turnedFate(away: TurnedAway): Omit<Fate, "countsAsUse"> {
  const nobody = { wakes: false } as const;
  switch (away.kind) {
    case "ignored":
      return {
        ...nobody,
        outcome: "ignored",
        status: away.status,
        code: "app_asleep",
        why: `It is not awake, and ${away.why}`,
      };
    case "forced":
      return refused("app_asleep", 503, `Nobody wakes it now: ${away.why}`);
    case "failed":
      return refused("app_failed", 503, `It has failed: ${away.failure.why}`);
  }
}

function goingFate({
  app,
  head,
  hold,
  way,
}: {
  readonly app: App;
  readonly head: RequestHead;
  readonly hold: HoldLimits;
  readonly way: Way;
}): Omit<Fate, "countsAsUse"> {
  const { state } = app;
  switch (way) {
    case "go":
      return forwarded("It is awake");
    case "stay":
      return forwarded("It is awake; the sleep that is about to begin is called off");
    case "try":
      return forwarded("Nobody knows how it is: it is tried where it was last, then woken");
    case "refuse":
      return refused(
        "app_failed",
        503,
        state.kind === "failed" ? `It has failed: ${state.why}` : "It has failed",
      );
    case "wait":
      return waiting(app, head, hold);
  }
}

function forwarded(why: string): Omit<Fate, "countsAsUse"> {
  return { outcome: "forward", status: null, code: null, wakes: false, why };
}

function waiting(
  { state }: App,
  head: RequestHead,
  { graceMs, maxMs }: HoldLimits,
): Omit<Fate, "countsAsUse"> {
  const isPage = isNavigation(head) && graceMs < maxMs;
  const how =
    state.kind === "waking" ? "It is waking" : `It is ${state.kind}: the request wakes it`;
  const then = isPage
    ? `a browser's navigation gets the waiting page after ${durationText(graceMs)}`
    : `the request waits for at most ${durationText(maxMs)}, then it is told to come back`;
  return {
    outcome: isPage ? "page" : "hold",
    status: isPage ? 503 : null,
    code: "app_waking",
    wakes: state.kind !== "waking",
    why: `${how}, and ${then}`,
  };
}
