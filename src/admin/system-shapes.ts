/** What the system API says of apps and events: the shapes of Paastis 0.1, which scripts rely on. Pure. */

import { type App, type AppState, addressOf } from "../app.ts";
import type { PaastisEvent } from "../events.ts";
import type { Facts } from "../providers/provider.ts";

type Fields = Readonly<Record<string, string | number | boolean | null>>;

/** What an app's shape is made of besides the app. */
export interface SystemView {
  /** What its platform's list says of it; `null`: nothing. */
  readonly facts: Facts | null;
  /** A key leads to it. */
  readonly isReachable: boolean;
  /** ms since the epoch. */
  readonly nowMs: number;
}

/** One app of `GET /apps`. Times are ISO 8601 in UTC; what its platform does not say is `null`. */
export function systemApp(app: App, { facts, isReachable, nowMs }: SystemView): Fields {
  const isMonitored = isReachable && !app.policy.ignored;
  return {
    created_at: timeOf(facts?.createdMs),
    force_https: facts?.forceHttps ?? null,
    git_url: facts?.gitUrl ?? null,
    id: facts?.id ?? app.ref.id,
    last_deployed_at: timeOf(facts?.deployedMs),
    name: app.key,
    region: facts?.region ?? null,
    status: STATUSES[app.state.kind] ?? facts?.status ?? null,
    sticky_session: facts?.stickySession ?? null,
    updated_at: timeOf(facts?.updatedMs),
    url: facts?.url ?? addressNow(app),
    is_monitored: isMonitored,
    ...(isMonitored ? monitored(app, nowMs) : {}),
  };
}

/** One event of `GET /events`; `oid` is the key that its app had. */
export function systemEvent({ app, name, atMs }: PaastisEvent): Fields {
  return { oid: app, name, date: timeOf(atMs) };
}

/**
 * Our states in the words of Scalingo, whose apps the shape was made for; `null`: we do not know, and its platform's
 * own word is the best there is.
 * Source: Scalingo's API documentation, "Applications", `status`.
 */
const STATUSES: Readonly<Record<AppState["kind"], string | null>> = {
  unknown: null,
  asleep: "stopped",
  waking: "scaling",
  awake: "running",
  draining: "running",
  stopping: "scaling",
  failed: "crashed",
};

function monitored(app: App, nowMs: number): Fields {
  const { maxIdleMs } = app.policy;
  const isNeverStopped = app.sleepsByItself || maxIdleMs === null;
  return {
    provider: app.ref.provider,
    max_idle_time: isNeverStopped ? null : maxIdleMs / 60_000,
    last_accessed_at: timeOf(app.leases > 0 ? nowMs : app.lastUsedMs),
  };
}

function addressNow({ state, lastTarget }: App): string | null {
  const target = state.kind === "awake" || state.kind === "draining" ? state.target : lastTarget;
  return target === null ? null : addressOf(target);
}

function timeOf(ms: number | null | undefined): string | null {
  return ms === null || ms === undefined ? null : new Date(ms).toISOString();
}
