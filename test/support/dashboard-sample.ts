/** A day in the life of a team with twelve apps: what the dashboard is photographed with. */

import type { AppDetails, AppSummary, LastWake, ShownEvent } from "../../src/admin/views.ts";
import { ago, appRow } from "./dashboard-stub.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

const inMs = (ms: number) => ago(-ms);

/** Two waves, by day and by evening, different for each seed. */
function day(seed: number, peak: number): readonly number[] {
  return Array.from({ length: 48 }, (_, index) => {
    const wave = Math.sin((index + seed) / 5) * 0.6 + Math.sin((index * seed) / 3) * 0.4;
    return Math.max(0, Math.round(peak * wave));
  });
}

function wake(agoMs: number, cause: string, durationMs: number | null): LastWake {
  return { at: ago(agoMs), cause, durationMs, failure: null };
}

function awake(key: string, forMs: number, more: Partial<AppSummary>): AppSummary {
  return appRow(key, { phase: "awake", since: ago(forMs), ...more });
}

/** `idleForMs` of an hour. */
function idle(
  key: string,
  forMs: number,
  idleForMs: number,
  more: Partial<AppSummary>,
): AppSummary {
  const used = Math.round(idleForMs / MINUTE_MS);
  return awake(key, forMs, {
    idleSince: ago(idleForMs),
    lastUsed: ago(idleForMs),
    next: {
      sleep: false,
      why: `was used ${used} min ago, and may idle for ${60 - used} min more`,
      sleepsAt: inMs(HOUR_MS - idleForMs),
    },
    ...more,
  });
}

const asleep = (key: string, forMs: number, more: Partial<AppSummary>) =>
  appRow(key, { since: ago(forMs), lastUsed: ago(forMs + HOUR_MS), ...more });

/** One app in each state, and some more. */
export function sampleApps(): readonly AppSummary[] {
  return [
    idle("analytics", 1.1 * HOUR_MS, 58.8 * MINUTE_MS, {
      activity: day(11, 80),
      lastWake: wake(1.1 * HOUR_MS, "POST /track from 203.0.113.50", 640),
    }),
    awake("billing", 30 * HOUR_MS, {
      provider: "docker",
      idleSince: ago(40 * MINUTE_MS),
      keptAwakeUntil: inMs(7.4 * HOUR_MS),
      activity: day(9, 60),
      lastWake: wake(30 * HOUR_MS, "an operator", 5400),
      next: { sleep: false, why: "is kept awake by an operator", sleepsAt: inMs(7.4 * HOUR_MS) },
    }),
    appRow("crm", {
      provider: "kubernetes",
      id: "sales/crm",
      phase: "draining",
      since: ago(3 * SECOND_MS),
      activity: day(6, 22),
      lastWake: wake(9 * HOUR_MS, "GET /login from 10.0.0.12", 8800),
    }),
    idle("docs", 24 * MINUTE_MS, 8.8 * MINUTE_MS, {
      activity: day(7, 40),
      lastWake: wake(24 * MINUTE_MS, "GET / from 198.51.100.23 (Chrome)", 812),
    }),
    awake("grafana", 5 * HOUR_MS, {
      provider: "docker",
      pause: {
        kind: "paused",
        since: ago(12 * MINUTE_MS),
        until: inMs(48 * MINUTE_MS),
        message: null,
      },
      activity: day(8, 31),
      lastWake: wake(5 * HOUR_MS, "linked from shop", 1900),
    }),
    appRow("legacy-reports", {
      provider: "kubernetes",
      id: "finance/legacy-reports",
      phase: "unknown",
      since: ago(MINUTE_MS),
      lastUsed: null,
    }),
    asleep("mailcatcher", 2 * HOUR_MS, { provider: "docker", activity: day(1, 2) }),
    appRow("pr-198-api", {
      provider: "scalingo",
      id: "acme-api-pr-198",
      phase: "failed",
      since: ago(4 * MINUTE_MS),
      failure: "exited with status 3; last output: cannot open the database",
      lastWake: {
        ...wake(4 * MINUTE_MS, "GET /v1/orders from 203.0.113.4 (curl)", null),
        failure: "exited with status 3",
      },
      activity: day(13, 3),
    }),
    asleep("pr-209-storefront", 22 * HOUR_MS, {
      provider: "scalingo",
      id: "acme-storefront-pr-209",
      activity: day(5, 4),
      lastWake: wake(26 * HOUR_MS, "GET / from 203.0.113.77", 14_300),
    }),
    appRow("pr-214-storefront", {
      provider: "scalingo",
      id: "acme-storefront-pr-214",
      phase: "waking",
      since: ago(7 * SECOND_MS),
      leases: 2,
      waiting: 2,
      idleSince: null,
      activity: day(2, 12),
      lastWake: wake(7 * SECOND_MS, "GET /checkout from 203.0.113.9 (Safari)", null),
    }),
    awake("shop", 2.2 * HOUR_MS, {
      leases: 3,
      idleSince: null,
      lastUsed: ago(200),
      activity: day(3, 120),
      target: "http://127.0.0.1:41021",
      lastWake: wake(2.2 * HOUR_MS, "GET /cart from 192.0.2.1 (Firefox)", 2130),
      next: { sleep: false, why: "is in use", sleepsAt: null },
    }),
    asleep("wiki", 3 * HOUR_MS, {
      provider: "docker",
      activity: day(4, 8),
      lastWake: wake(50 * HOUR_MS, "GET /Main from 10.0.0.7", 3100),
    }),
  ];
}

/** What is known of `shop` beyond its row. */
export function sampleDetails(): Partial<AppDetails> {
  return {
    holders: [
      { kind: "request", count: 2 },
      { kind: "WebSocket or event stream", count: 1 },
      { kind: "linked from billing", count: 1 },
    ],
    requests: 18_234,
    statuses: { "2xx": 17_900, "3xx": 210, "4xx": 120, "5xx": 4 },
    links: ["postgres"],
    linkedFrom: ["billing"],
    wakes: {
      historyMs: [2400, 2100, 2130, 3900, 2050, 2200, 1990, 2300, 2130],
      medianMs: 2130,
      p95Ms: 3900,
    },
    targets: {
      active: "http://127.0.0.1:41021",
      draining: [{ address: "http://127.0.0.1:41007", until: inMs(41 * SECOND_MS) }],
      rollback: { to: "http://127.0.0.1:41007", until: inMs(252 * SECOND_MS) },
    },
    lastSwitch: { from: 41_007, to: 41_021, at: ago(48 * SECOND_MS), reason: "manual", id: "1" },
    snapshot: { web: 2, worker: 1 },
    settings: [
      { name: "app_max_idle_time", value: 60, from: "rules[2] (^shop)" },
      { name: "linked_apps", value: ["postgres"], from: "apps" },
      { name: "health", value: "/healthz", from: "apps" },
      { name: "wake_timeout", value: 120, from: "default" },
      { name: "preserve_host", value: false, from: "default" },
      { name: "wake.ignore", value: ["bots: status 503"], from: "rules[0] (.*)" },
      { name: "keep_awake", value: ["mon-fri 08:00-18:00 Europe/Paris"], from: "rules[0] (.*)" },
      { name: "busy.url", value: null, from: "default" },
    ],
    events: sampleEvents(),
  };
}

function sampleEvents(): readonly ShownEvent[] {
  const visitor = "GET /cart from 192.0.2.1 (Firefox)";
  const early = "GET / from 192.0.2.1 (Firefox)";
  const rows: readonly (readonly [
    agoMs: number,
    name: string,
    cause: string,
    reason?: string,
    durationMs?: number,
  ])[] = [
    [48 * SECOND_MS, "APP_SWITCHED", "an admin endpoint", "from port 41007 to port 41021"],
    [2.2 * HOUR_MS, "APP_STARTED", visitor, "", 2130],
    [2.2 * HOUR_MS + 2130, "APP_WAKING", visitor],
    [9 * HOUR_MS, "APP_STOPPED", "idle for 1 h"],
    [9 * HOUR_MS + 4000, "APP_STOPPING", "idle for 1 h"],
    [11 * HOUR_MS, "APP_STOP_CANCELLED", "a sweep", "a request came"],
    [25 * HOUR_MS, "APP_STARTED", early, "", 2300],
    [26 * HOUR_MS, "APP_START_FAILED", early, "exited with status 1; last output: EADDRINUSE"],
    [26 * HOUR_MS + 3000, "APP_WAKING", early],
  ];
  return rows.map(([agoMs, name, cause, reason = "", durationMs], index) => ({
    id: String(index),
    at: ago(agoMs),
    name,
    app: "shop",
    cause,
    reason: reason === "" ? null : reason,
    details: durationMs === undefined ? {} : { durationMs },
  }));
}
