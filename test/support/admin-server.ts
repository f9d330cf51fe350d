/** A small stateful server that behaves like the admin endpoints of a running Paastis, and can fail like one. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { until } from "./until.ts";

/** One request that it got. */
export interface AdminVisit {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface AdminServer extends AsyncDisposable {
  /** Empty when it listens on a socket. */
  readonly origin: string;
  readonly port: number;
  /** Everything it was asked, oldest first. */
  readonly visits: readonly AdminVisit[];
  /** Switches that were done, oldest first. */
  readonly switches: readonly number[];
}

export interface AdminServerOptions {
  /** `null`: none is asked for. */
  readonly token?: string | null;
  readonly apps?: readonly string[];
  /** Instead of a port: a unix socket. */
  readonly socketPath?: string;
  readonly port?: number;
  /** So many answers are lost: what was asked for is done, and the connection then broken. */
  readonly lost?: number;
  /** Answers before anything else is looked at; `null`: as usual. */
  readonly instead?: (
    visit: AdminVisit,
  ) => readonly [status: number, headers: object, body: string] | null;
}

interface AppState {
  active: number;
  pause: object | null;
  last: object | null;
}

/** Nobody is healthy on these. */
export const SICK_PORT = 8999;
/** Another switch is always under way to this one. */
export const BUSY_PORT = 8998;

const AT = "2024-01-15T10:30:00.000Z";

export async function startAdminServer(options: AdminServerOptions = {}): Promise<AdminServer> {
  const { token = null, apps = ["shop"], socketPath } = options;
  const visits: AdminVisit[] = [];
  const switches: number[] = [];
  const states = new Map(
    apps.map((key): [string, AppState] => [key, { active: 8080, pause: null, last: null }]),
  );
  const known = new Map<string, Reply>();
  let lost = options.lost ?? 0;

  function replyTo({ method, url, headers, body }: AdminVisit): Reply {
    const { pathname, searchParams } = new URL(url, "http://x");
    if (token !== null && headers["x-admin-token"] !== token) {
      return refusal(401, "Unauthorized", "The token is wrong or missing");
    }
    const key = searchParams.get("app");
    if (key === null && apps.length > 1) {
      if (pathname === "/__status") return [200, { apps: apps.map((app) => status(app)) }];
      return refusal(400, "Which app?", `Name one with ?app=<key>: there are ${apps.join(", ")}`);
    }
    const app = key ?? apps[0] ?? "";
    const state = states.get(app);
    if (state === undefined)
      return refusal(404, "Unknown app", `There is no app with the key "${app}"`);
    switch (`${method} ${pathname}`) {
      case "GET /__status":
        return [200, status(app)];
      case "GET /__metrics":
        return [200, METRICS];
      case "GET /__health":
        return health(state);
      case "POST /__pause":
        state.pause = { kind: "paused", since: AT };
        return [200, { success: true, app, paused: "paused" }];
      case "POST /__resume":
        state.pause = null;
        return [200, { success: true, app, paused: null }];
      case "POST /__maintenance":
        state.pause = { kind: "maintenance", since: AT, ...JSON.parse(body) };
        return [200, { success: true, app, paused: "maintenance" }];
      case "POST /__switch":
        return once(headers["idempotency-key"], () =>
          move(state, Number(searchParams.get("port"))),
        );
      case "POST /__deploy":
        return app === "broken"
          ? [
              409,
              {
                error: "Start failed",
                message: `${app} ended with status 3`,
                output: ["boot", "no \u001b[31mdatabase"],
              },
            ]
          : once(headers["idempotency-key"], () => move(state, state.active + 1));
      default:
        return refusal(404, "Not found", `There is no admin endpoint ${pathname}`);
    }
  }

  function status(app: string) {
    const { active, pause, last } = states.get(app)!;
    const drain =
      last === null
        ? { drainUntil: null, rollback: null }
        : {
            drainUntil: "2024-01-15T10:30:30.000Z",
            rollback: { to: 8080, until: "2024-01-15T10:31:00.000Z" },
          };
    return {
      activePort: active,
      ...drain,
      lastSwitch: last,
      app,
      state: "awake",
      pause,
      switching: null,
    };
  }

  function once(key: string | string[] | undefined, work: () => Reply): Reply {
    const found = known.get(String(key));
    if (found !== undefined) return found;
    const reply = work();
    known.set(String(key), reply);
    return reply;
  }

  function move(state: AppState, port: number): Reply {
    if (port === SICK_PORT) {
      return [
        409,
        {
          error: "Health check failed",
          message: `Port ${port} did not respond with 2xx at /health`,
          health: { status: 503, body: "migrating", ms: 4, attempts: 12 },
        },
      ];
    }
    if (port === BUSY_PORT)
      return refusal(409, "Switch in progress", "A switch to port 8082 (x) is under way");
    const last = {
      from: state.active,
      to: port,
      at: AT,
      reason: "manual",
      id: crypto.randomUUID(),
    };
    Object.assign(state, { active: port, last });
    switches.push(port);
    return [
      200,
      {
        success: true,
        message: `Switched to port ${port}`,
        switch: last,
        health: { status: 200, body: "ok", ms: 3 },
      },
    ];
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const visit = {
      method: request.method ?? "",
      url: request.url ?? "",
      headers: request.headers,
      body: await text(request),
    };
    visits.push(visit);
    const instead = options.instead?.(visit) ?? null;
    if (instead !== null) {
      const [code, headers, body] = instead;
      response.writeHead(code, { ...headers }).end(body);
      return;
    }
    const [code, body] = replyTo(visit);
    if (lost > 0) {
      lost -= 1;
      request.socket.destroy();
      return;
    }
    response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(body));
  }

  const server = createServer((request, response) => void answer(request, response));
  server.listen(
    socketPath === undefined
      ? { port: options.port ?? 0, host: "127.0.0.1" }
      : { path: socketPath },
  );
  await until(() => server.listening);
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    origin: socketPath === undefined ? `http://127.0.0.1:${port}` : "",
    port,
    visits,
    switches,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type Reply = readonly [status: number, body: object];

function refusal(status: number, error: string, message: string): Reply {
  return [status, { error, message }];
}

function health({ active }: AppState): Reply {
  const isSick = active === 8500;
  const body = {
    status: isSick ? "unhealthy" : "healthy",
    activePort: active,
    checkedAt: AT,
    consecutiveFails: isSick ? 2 : 0,
    seen: { status: isSick ? 500 : 200, body: isSick ? "no database" : "ok", why: null, ms: 2 },
  };
  return [isSick ? 503 : 200, body];
}

const METRICS = {
  startedAt: AT,
  inflight: 2,
  inflightMax: 17,
  totalRequests: 1234,
  totalProxyErrors: 3,
  statusCounters: { "2xx": 1200, "3xx": 20, "4xx": 10, "5xx": 4 },
  rollingRps60: 0.52,
  health: { activePortOk: true, lastCheckedAt: AT, consecutiveFails: 0 },
  lastProxyError: { code: "ECONNREFUSED", message: "connection refused", target: 8080, at: AT },
  upstreamSocketsCreated: 5,
};
