/** A platform's public router: one server for all of its apps, that answers by Host as the platform does. */

import type { CancelTimer, Clock } from "../../src/clock.ts";
import { type FakeAnswer, toWire } from "./fake-answer.ts";

/** What the router does with a request for one host at one moment. */
export type Routing =
  /** The app answers: see `AppAnswer`. `delayMs`: it takes this long, by the fake's clock. */
  | {
      readonly kind: "app";
      readonly name: string;
      readonly instances: number;
      readonly delayMs?: number;
      /** The app's own answer, a crashing one's 500 say; left out: 200 and an `AppAnswer`. */
      readonly answer?: FakeAnswer;
    }
  /** The platform's own page: down, crashed, billing, no such app. */
  | { readonly kind: "page"; readonly answer: FakeAnswer }
  /** Held until the route is another one (tell with `changed`), or `timeoutMs` have passed: then `onTimeout`. */
  | { readonly kind: "queue"; readonly timeoutMs: number; readonly onTimeout: FakeAnswer };

/** The JSON that the built-in app answers to every HTTP request; status 200, header `x-fake-app: <name>`. */
export interface AppAnswer {
  readonly app: string;
  readonly instances: number;
  /** 1 for the first that this app has answered. */
  readonly request: number;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** The Host header as it came. */
  readonly host: string;
  readonly bodyBytes: number;
}

export interface FakeRouterOptions {
  /** Real, or virtual: then a test advances it. */
  readonly clock: Clock;
  /** Asked at each request. `host` is in lower case and has no port; `null`: no app is called like this. */
  readonly routeOf: (host: string) => Routing | null;
  /** What the platform says to a host that it does not know. */
  readonly unknownHost: FakeAnswer;
  /**
   * What addresses of apps look like. `name` (default): `http://<label>.localhost:<port>`, one port for all; for
   * Bun's `fetch`, `WebSocket` and `Bun.connect`, which know such names. `port`: `http://127.0.0.1:<its own port>`; for
   * clients on `node:net`, `node:http` and `ws`, which do not. Names work as well then, where they are known.
   */
  readonly addressing?: "name" | "port";
}

/** A running router. Ends with `await using`. */
export interface FakeRouter extends AsyncDisposable {
  readonly port: number;
  /** What the API reports as the app's address: see `addressing`. Dots in `label` are fine. */
  addressOf(label: string): string;
  /** The same without scheme and port, as `routeOf` gets it. */
  hostOf(label: string): string;
  /** Requests that the app of this host has answered itself; WebSockets count when they open. */
  appRequests(host: string): number;
  /** Requests for this host that the platform answered with a page of its own, queues that timed out included. */
  pages(host: string): number;
  /** Requests that are held in a queue now. */
  readonly queued: number;
  /** Hosts that were asked for and do not exist, one entry a request. A faithful proxy leaves it empty. */
  readonly unknownHosts: readonly string[];
  /** Looks again at `routeOf` for everything that is queued. Call it after every change of state. */
  changed(): void;
}

interface State {
  readonly options: FakeRouterOptions;
  readonly appRequests: Map<string, number>;
  readonly pages: Map<string, number>;
  readonly unknownHosts: string[];
  readonly queue: Set<() => void>;
  readonly timers: Set<CancelTimer>;
  /** Servers of apps with a port of their own, by the host that they stand for. */
  readonly ownServers: Map<string, Bun.Server<SocketData>>;
}

interface SocketData {
  readonly name: string;
  readonly instances: number;
}

/** The built-in app echoes every WebSocket message; the first thing it says is `hello from <name>`. */
export function startFakeRouter(options: FakeRouterOptions): FakeRouter {
  const state: State = {
    options,
    appRequests: new Map(),
    pages: new Map(),
    unknownHosts: [],
    queue: new Set(),
    timers: new Set(),
    ownServers: new Map(),
  };
  const server = listen(state, null);
  const port = server.port ?? 0; // It listens on TCP, so there is one.
  const hostOf = (label: string) => `${label.toLowerCase()}.localhost`;
  return {
    port,
    hostOf,
    addressOf: (label) =>
      options.addressing === "port"
        ? ownAddressOf(state, hostOf(label))
        : `http://${hostOf(label)}:${port}`,
    appRequests: (host) => state.appRequests.get(host) ?? 0,
    pages: (host) => state.pages.get(host) ?? 0,
    get queued() {
      return state.queue.size;
    },
    unknownHosts: state.unknownHosts,
    changed: () => lookAgain(state),
    async [Symbol.asyncDispose]() {
      for (const cancel of state.timers) cancel();
      for (const own of state.ownServers.values()) await own.stop(true);
      await server.stop(true);
    },
  };
}

/** @param ownHost who is meant by the server's bare address; `null`: nobody */
function listen(state: State, ownHost: string | null): Bun.Server<SocketData> {
  return Bun.serve<SocketData>({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch(request, server) {
      const named = request.headers.get("host") ?? "";
      const isOwn = ownHost !== null && named === `127.0.0.1:${server.port}`;
      const host = isOwn ? ownHost : named.replace(/:\d+$/, "").toLowerCase();
      return answer(state, { request, server, host });
    },
    websocket: {
      open: (socket) => void socket.send(`hello from ${socket.data.name}`),
      message: (socket, message) => void socket.send(message),
    },
  });
}

function ownAddressOf(state: State, host: string): string {
  const server = state.ownServers.get(host) ?? listen(state, host);
  state.ownServers.set(host, server);
  return `http://127.0.0.1:${server.port}`;
}

interface Asked {
  readonly request: Request;
  readonly server: Bun.Server<SocketData>;
  readonly host: string;
}

function lookAgain(state: State): void {
  for (const look of [...state.queue]) look();
}

async function answer(state: State, asked: Asked): Promise<Response | undefined> {
  const { host } = asked;
  const route = await settledRouting(state, host);
  if (route === null) {
    state.unknownHosts.push(host);
    return toResponse(state.options.unknownHost);
  }
  if (route.kind === "page") {
    add(state.pages, host);
    return toResponse(route.answer);
  }
  return answerAsApp(state, route, asked);
}

type SettledRouting = Exclude<Routing, { kind: "queue" }>;

async function settledRouting(state: State, host: string): Promise<SettledRouting | null> {
  const route = state.options.routeOf(host);
  return route?.kind === "queue" ? leaveQueue(state, host, route) : route;
}

/** Waits until the host's route is no queue any more. The time of the first look counts. */
function leaveQueue(
  state: State,
  host: string,
  { timeoutMs, onTimeout }: Extract<Routing, { kind: "queue" }>,
): Promise<SettledRouting | null> {
  return new Promise((resolve) => {
    const look = () => {
      const route = state.options.routeOf(host);
      if (route?.kind !== "queue") leave(route);
    };
    const leave = (route: SettledRouting | null) => {
      state.queue.delete(look);
      state.timers.delete(cancel);
      cancel();
      resolve(route);
    };
    const cancel = state.options.clock.after(timeoutMs, () =>
      leave({ kind: "page", answer: onTimeout }),
    );
    state.timers.add(cancel);
    state.queue.add(look);
  });
}

async function answerAsApp(
  state: State,
  route: Extract<Routing, { kind: "app" }>,
  { request, server, host }: Asked,
): Promise<Response | undefined> {
  const { name, instances, delayMs = 0 } = route;
  const number = add(state.appRequests, host);
  if (server.upgrade(request, { data: { name, instances } })) return undefined;
  const bodyBytes = (await request.arrayBuffer()).byteLength;
  if (delayMs > 0) await pause(state, delayMs);
  const url = new URL(request.url);
  const body: AppAnswer = {
    app: name,
    instances,
    request: number,
    method: request.method,
    path: url.pathname + url.search,
    host: request.headers.get("host") ?? "",
    bodyBytes,
  };
  const own = route.answer ?? { status: 200, body };
  return toResponse({ ...own, headers: { "x-fake-app": name, ...own.headers } });
}

function pause(state: State, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cancel = state.options.clock.after(delayMs, () => {
      state.timers.delete(cancel);
      resolve();
    });
    state.timers.add(cancel);
  });
}

function add(counts: Map<string, number>, host: string): number {
  const count = (counts.get(host) ?? 0) + 1;
  counts.set(host, count);
  return count;
}

function toResponse(answer: FakeAnswer): Response {
  const { status, headers, text } = toWire(answer);
  return new Response(text === "" ? null : text, { status, headers });
}
