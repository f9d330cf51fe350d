/** The dashboard with admin endpoints behind it that say what a test wants them to say: thousands of apps, troubles. */

import type { AppDetails, AppSummary, Savings, ShownPhase } from "../../src/admin/views.ts";
import { DASHBOARD_FILES, DASHBOARD_PAGE } from "../../src/dashboard/page.ts";

export interface DashboardStub extends AsyncDisposable {
  readonly url: string;
  readonly apps: Map<string, AppSummary>;
  /** Answers of `GET /__status?details=1`. */
  status: Readonly<Record<string, unknown>>;
  savings: Savings;
  /** Left out of `details`: what `detailsOf` makes of the row. */
  readonly details: Map<string, Partial<AppDetails>>;
  /** What becomes of the next orders; `null`: they are carried out. */
  refusal: {
    readonly status: number;
    readonly body: unknown;
    readonly headers?: Readonly<Record<string, string>>;
  } | null;
  /** `POST`s that came, as `path?query`. */
  readonly orders: string[];
  /** Says that these rows are as they are now. */
  change(...apps: readonly AppSummary[]): void;
  /** Cuts all streams; while `isDown` new ones are refused. */
  cut(): void;
  isDown: boolean;
  /** Nobody is logged in: everything but the page answers 401. */
  isLocked: boolean;
}

export function appRow(key: string, more: Partial<AppSummary> = {}): AppSummary {
  return {
    key,
    provider: "process",
    id: key,
    phase: "asleep",
    since: ago(3 * HOUR_MS),
    failure: null,
    pause: null,
    leases: 0,
    waiting: 0,
    leasesElsewhere: 0,
    idleSince: ago(3 * HOUR_MS),
    lastUsed: ago(3 * HOUR_MS),
    next: { sleep: false, why: "is asleep", sleepsAt: null },
    keptAwakeUntil: null,
    sleepsByItself: false,
    target: null,
    lastWake: null,
    activity: Array.from({ length: 48 }, () => 0),
    ...more,
  };
}

const HOUR_MS = 3_600_000;

/** ISO 8601. */
export function ago(ms: number): string {
  return new Date(Date.now() - ms).toISOString();
}

export function startDashboardStub(apps: readonly AppSummary[]): DashboardStub {
  const streams = new Set<ReadableStreamDefaultController<string>>();
  const send = (
    to: Iterable<ReadableStreamDefaultController<string>>,
    name: string,
    some: unknown,
  ) => {
    for (const one of to)
      one.enqueue(`event: ${name}\ndata: ${JSON.stringify({ apps: some, gone: [] })}\n\n`);
  };
  const stub: Omit<DashboardStub, "url" | typeof Symbol.asyncDispose> = {
    apps: new Map(apps.map((app) => [app.key, app])),
    status: {},
    savings: {
      since: ago(40 * 24 * HOUR_MS),
      asleepHours: 1204.3,
      awakeHours: 341,
      share: 0.78,
      money: null,
    },
    details: new Map(),
    refusal: null,
    orders: [],
    change(...some) {
      for (const app of some) stub.apps.set(app.key, app);
      send(streams, "apps", some);
    },
    cut() {
      for (const one of streams) one.close();
      streams.clear();
    },
    isDown: false,
    isLocked: false,
  };
  const answer = (request: Request): Response => {
    const { pathname, search } = new URL(request.url);
    const file = DASHBOARD_FILES.find(({ path }) => path === pathname);
    if (file !== undefined) return new Response(file.body, { headers: file.headers });
    if (pathname === "/__/" || pathname.startsWith("/__/apps/")) {
      return new Response(DASHBOARD_PAGE.body, { headers: DASHBOARD_PAGE.headers });
    }
    if (pathname === "/__/login") {
      stub.isLocked = false;
      const next = new URLSearchParams(search).get("next") ?? "/__/";
      return new Response(`<!doctype html><title>Log in</title><a href="${next}">Log in</a>`, {
        headers: { "content-type": "text/html" },
      });
    }
    if (stub.isLocked)
      return Response.json({ error: "Unauthorized", message: "Log in" }, { status: 401 });
    if (stub.isDown)
      return Response.json({ error: "Down", message: "Paastis stops" }, { status: 503 });
    if (request.method === "POST") return ordered(stub, pathname, search);
    if (pathname === "/__status") return Response.json(stub.status);
    if (pathname === "/__savings") return Response.json(stub.savings);
    if (pathname === "/__apps/stream") {
      let mine: ReadableStreamDefaultController<string>;
      const body = new ReadableStream<string>({
        start(controller) {
          mine = controller;
          streams.add(controller);
          send([controller], "snapshot", [...stub.apps.values()]);
        },
        cancel: () => void streams.delete(mine),
      });
      return new Response(body.pipeThrough(new TextEncoderStream()), {
        headers: { "content-type": "text/event-stream" },
      });
    }
    const app = stub.apps.get(decodeURIComponent(pathname.split("/")[2] ?? ""));
    if (app === undefined) {
      return Response.json(
        { detail: "There is no such app", remedy: "", code: "unknown_app" },
        { status: 404 },
      );
    }
    return Response.json({ ...detailsOf(app), ...stub.details.get(app.key) });
  };
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch: answer });
  return Object.assign(stub, {
    url: `http://127.0.0.1:${server.port}/__/`,
    [Symbol.asyncDispose]: () => server.stop(true),
  });
}

function ordered(
  stub: Omit<DashboardStub, "url" | typeof Symbol.asyncDispose>,
  pathname: string,
  search: string,
): Response {
  stub.orders.push(pathname + (search === "?" ? "" : search));
  if (stub.refusal !== null) {
    const { body, headers = {}, status } = stub.refusal;
    return Response.json(body, { status, headers });
  }
  const [, , key = "", verb = ""] = pathname.split("/");
  const app = stub.apps.get(decodeURIComponent(key)) ?? appRow(key);
  const phases: Readonly<Record<string, ShownPhase>> = { wake: "waking", sleep: "asleep" };
  const until = new Date(Date.now() + HOUR_MS).toISOString();
  const next: AppSummary = {
    ...app,
    phase: phases[verb] ?? app.phase,
    since: new Date().toISOString(),
    pause:
      verb === "pause"
        ? { kind: "paused", since: ago(0), until: null, message: null }
        : verb === "resume"
          ? null
          : app.pause,
    keptAwakeUntil:
      verb === "keep-awake" ? (search === "?for=0" ? null : until) : app.keptAwakeUntil,
  };
  stub.change(next);
  return Response.json({
    app: next.key,
    phase: next.phase,
    message: `${next.key}: ${verb}`,
    keptAwakeUntil: next.keptAwakeUntil,
    pause: next.pause,
  });
}

function detailsOf(app: AppSummary): AppDetails {
  return {
    ...app,
    holders: [],
    settings: [],
    snapshot: null,
    targets: { active: app.target, draining: [], rollback: null },
    lastSwitch: null,
    wakes: { historyMs: [], medianMs: null, p95Ms: null },
    links: [],
    linkedFrom: [],
    runsAt: null,
    requests: 0,
    statuses: { "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0 },
    events: [],
  };
}
