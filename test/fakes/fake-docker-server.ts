/**
 * What carries the fake Docker engine: one HTTP server on a unix socket and one on TCP, with versions in paths, answers
 * that wait, and streams. Journal, violations and faults are those of every fake platform.
 */

import { renameSync, unlinkSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { CancelTimer, Clock } from "../../src/clock.ts";
import { quietPort } from "../support/quiet-port.ts";
import type { FakeAnswer } from "./fake-answer.ts";
import {
  type DockerReply,
  type Exchange,
  openStream,
  respond,
  toRight,
} from "./fake-docker-exchange.ts";
import {
  type ApiVersion,
  parseVersion,
  type VersionRange,
  versionRefusal,
} from "./fake-docker-version.ts";
import type { Fault } from "./fake-faults.ts";
import { callsOf, type JournalEntry, matchesKind } from "./fake-journal.ts";
import type { Call } from "./fake-platform.ts";
import { NOT_STRANGE, type Strangeness } from "./fake-strangeness.ts";

/** One call to the engine. `path` has no version. */
export interface DockerCall extends Call {
  /** What stands before the path, else the newest. */
  readonly version: ApiVersion;
  /** Calls `forget` when the client has gone before it was answered. */
  onGone(forget: () => void): void;
}

/** One endpoint. Runs to its end before the next call is looked at. */
export interface DockerRoute {
  readonly kind: string;
  readonly method: string;
  /** `/containers/:id/start`. */
  readonly path: string;
  /** Query parameters that the engine knows. */
  readonly query: readonly string[];
  readonly answer: (call: DockerCall) => DockerReply;
}

export interface DockerServerOptions {
  readonly clock: Clock;
  /** Where the unix socket is made. */
  readonly socketPath: string;
  /** PEM texts: then TCP is TLS, and clients must show a certificate of this CA. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string } | null;
  readonly routes: readonly DockerRoute[];
  /** May change while it runs: the engine was updated. */
  readonly versions: () => VersionRange;
  /** Fields of answers that are maps: they get no unknown fields. */
  readonly maps: readonly string[];
}

/** Everything a test may do to the connections. */
export interface DockerServer extends AsyncDisposable {
  readonly socketPath: string;
  /** `http://127.0.0.1:<port>`, or `https://localhost:<port>`. */
  readonly origin: string;
  /** Every call since the start or since `forgetCalls`, oldest first. */
  readonly journal: readonly JournalEntry[];
  count(pattern?: string): number;
  forgetCalls(): void;
  /** Calls that have come and are not answered to the end; open streams too. */
  readonly inFlight: number;
  /** Connections that clients hold. */
  readonly connections: number;
  readonly violations: readonly string[];
  /** As `FakeApi.fail`. */
  fail(which: string | ((call: Call) => boolean), fault: Fault, times?: number): void;
  heal(): void;
  /**
   * `gone`: the socket file is not there; `refuse`: it is, and nobody listens; `hang`: connections are accepted and
   * never answered; an answer: every call gets it, as from a proxy in front.
   */
  goDown(how: "gone" | "refuse" | "hang" | FakeAnswer): Promise<void>;
  /** Ends `goDown`; on the same socket and port. */
  comeUp(): Promise<void>;
  beStrange(how: Partial<Strangeness>): void;
}

interface Planned {
  readonly matches: (call: Call) => boolean;
  readonly fault: Fault;
  left: number;
}

interface State {
  readonly options: DockerServerOptions;
  readonly journal: JournalEntry[];
  readonly violations: string[];
  readonly timers: Set<CancelTimer>;
  readonly sockets: Set<{ destroy(): unknown }>;
  planned: Planned[];
  down: FakeAnswer | "hang" | null;
  strangeness: Strangeness;
  inFlight: number;
}

/** Starts both servers. */
export async function startDockerServer(options: DockerServerOptions): Promise<DockerServer> {
  const state: State = {
    options,
    journal: [],
    violations: [],
    timers: new Set(),
    sockets: new Set(),
    planned: [],
    down: null,
    strangeness: NOT_STRANGE,
    inFlight: 0,
  };
  // It listens there again after each time that it was away.
  let servers = await listenTwice(state, quietPort());
  const { port } = servers;
  return {
    socketPath: options.socketPath,
    origin: options.tls === null ? `http://127.0.0.1:${port}` : `https://localhost:${port}`,
    journal: state.journal,
    violations: state.violations,
    count: (pattern = "*") => callsOf(state.journal, pattern).length,
    forgetCalls: () => void state.journal.splice(0),
    get inFlight() {
      return state.inFlight;
    },
    get connections() {
      return state.sockets.size;
    },
    fail(which, fault, times = 1) {
      const matches =
        typeof which === "string" ? (call: Call) => matchesKind(which, call.kind) : which;
      state.planned.push({ matches, fault, left: times });
    },
    heal() {
      state.planned = [];
    },
    async goDown(how) {
      if (how === "gone" || how === "refuse") await servers.close(how === "gone");
      else state.down = how;
    },
    async comeUp() {
      state.down = null;
      if (!servers.isClosed()) return;
      servers = await listenTwice(state, port);
    },
    beStrange(how) {
      state.strangeness = { ...NOT_STRANGE, ...how };
    },
    async [Symbol.asyncDispose]() {
      for (const cancel of state.timers) cancel();
      await servers.close(true);
    },
  };
}

interface TwoServers {
  readonly port: number;
  isClosed(): boolean;
  close(andRemove: boolean): Promise<void>;
}

async function listenTwice(state: State, wantedPort: number): Promise<TwoServers> {
  const { socketPath, tls } = state.options;
  const onRequest = (request: IncomingMessage, response: ServerResponse) =>
    void receive(state, request, response);
  const local = createServer(onRequest);
  const remote =
    tls === null
      ? createServer(onRequest)
      : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: true }, onRequest);
  for (const server of [local, remote]) {
    server.on("connection", (socket) => {
      state.sockets.add(socket);
      socket.on("close", () => state.sockets.delete(socket));
      // A client that goes away in the middle is its own business.
      socket.on("error", () => undefined);
    });
    if (tls !== null) server.on("tlsClientError", () => undefined);
  }
  removeFile(socketPath);
  await listening(local, (server) => server.listen(socketPath));
  await listening(remote, (server) => server.listen(wantedPort, "127.0.0.1"));
  const address = remote.address();
  if (address === null || typeof address === "string") throw new Error("not a TCP server");
  let isClosed = false;
  return {
    port: address.port,
    isClosed: () => isClosed,
    async close(andRemove) {
      if (isClosed) {
        if (andRemove) removeFile(socketPath);
        return;
      }
      isClosed = true;
      // Closing removes the file. An engine that was killed leaves it behind.
      const aside = `${socketPath}.aside`;
      if (!andRemove) renameSync(socketPath, aside);
      await Promise.all([closed(state, local), closed(state, remote)]);
      if (!andRemove) renameSync(aside, socketPath);
    },
  };
}

function listening(server: Server, listen: (server: Server) => void): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve();
    });
    listen(server);
  });
}

async function closed(state: State, server: Server): Promise<void> {
  const done = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  for (const socket of [...state.sockets]) socket.destroy();
  await done;
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It is not there.
  }
}

async function receive(
  state: State,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  state.inFlight += 1;
  const goners: (() => void)[] = [];
  response.once("close", () => {
    state.inFlight -= 1;
    for (const forget of goners) forget();
  });
  const text = await textOf(request);
  if (text === null || state.down === "hang") return;
  const { call, route, refusal } = callOf(state, request, { text, goners });
  const entry = entryOf(call);
  state.journal.push(entry);
  const fault = takeFault(state, call);
  const exchange = exchangeOf(state, response, entry);
  const mayApply = fault === null || !("isApplied" in fault) || fault.isApplied;
  if (!mayApply) {
    respond(exchange, null, fault);
    return;
  }
  const reply = refusal ?? decide(call, route);
  if ("later" in reply)
    reply.later((answer) => respond(exchange, toRight(exchange, answer), fault));
  else if ("stream" in reply) openStream(exchange, reply, fault);
  else respond(exchange, toRight(exchange, reply), fault);
}

/** `null`: the client broke off. */
async function textOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk);
  } catch {
    return null; // A request that never came whole is none.
  }
  return Buffer.concat(chunks).toString("utf8");
}

interface Received {
  readonly call: DockerCall;
  readonly route: DockerRoute | null;
  /** An answer to a call without a good version. */
  readonly refusal: FakeAnswer | null;
}

function callOf(
  state: State,
  request: IncomingMessage,
  { text, goners }: { readonly text: string; readonly goners: (() => void)[] },
): Received {
  const method = request.method ?? "";
  const target = request.url ?? "";
  const [whole = "", search = ""] = target.split(/\?(.*)/s);
  const { prefix, path } = splitPath(whole);
  const found = findRoute(state.options.routes, method, path);
  const versions = state.options.versions();
  const violation = (what: string) =>
    void state.violations.push(`Docker engine: ${method} ${target}: ${what}`);
  const call: DockerCall = {
    kind: found?.route.kind ?? "unknown",
    method,
    host: (request.headers.host ?? "").replace(/:\d+$/, "").toLowerCase(),
    path,
    params: found?.params ?? {},
    query: new URLSearchParams(search),
    headers: headersOf(request),
    text,
    json: parsed(text),
    atMs: state.options.clock.now(),
    url: `http://${request.headers.host ?? ""}${target}`,
    version: prefix ?? versions.max,
    violation,
    onGone: (forget) => void goners.push(forget),
  };
  const mayBeBare = call.kind === "ping" || call.kind === "version";
  if (prefix === null && !mayBeBare) violation("without a version before the path");
  if (found === null) violation("there is no such endpoint");
  const refusal = prefix === null ? null : versionRefusal(prefix, versions);
  if (refusal !== null && versions.isTold) violation(`the version is not one of the engine's`);
  return { call, route: found?.route ?? null, refusal };
}

function splitPath(whole: string): { prefix: ApiVersion | null; path: string } {
  const [, version, path] = /^\/v(\d+\.\d+)(\/.*)$/.exec(whole) ?? [];
  if (version === undefined || path === undefined) return { prefix: null, path: whole };
  return { prefix: parseVersion(version), path };
}

/** The first route that matches, with what stands for its `:names`. Names of containers need no escaping. */
function findRoute(
  routes: readonly DockerRoute[],
  method: string,
  path: string,
): { route: DockerRoute; params: Record<string, string> } | null {
  for (const route of routes) {
    if (route.method !== method) continue;
    const pattern = new RegExp(`^${route.path.replaceAll(/:(\w+)/g, "(?<$1>[^/]+)")}$`);
    const match = pattern.exec(path);
    if (match !== null) return { route, params: decodedAll(match.groups ?? {}) };
  }
  return null;
}

function decodedAll(groups: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(groups).map(([name, value]) => [name, decodeURIComponent(value)]),
  );
}

function headersOf(request: IncomingMessage): Headers {
  const headers = new Headers();
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    headers.append(request.rawHeaders[index] ?? "", request.rawHeaders[index + 1] ?? "");
  }
  return headers;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Not JSON: the routes say what they think of that.
  }
}

function entryOf(call: DockerCall): JournalEntry {
  const { kind, method, host, path, text, atMs } = call;
  return {
    kind,
    method,
    host,
    path,
    query: Object.fromEntries(call.query),
    headers: Object.fromEntries(call.headers),
    body: text === "" ? null : (call.json ?? text),
    atMs,
    status: null,
    answeredAtMs: null,
  };
}

function takeFault(state: State, call: Call): Fault | null {
  const { down } = state;
  if (down !== null && down !== "hang") return { kind: "answer", answer: down, isApplied: false };
  const planned = state.planned.find(({ matches }) => matches(call));
  if (planned === undefined) return null;
  planned.left -= 1;
  if (planned.left <= 0) state.planned = state.planned.filter((other) => other !== planned);
  return planned.fault;
}

function decide(call: DockerCall, route: DockerRoute | null): DockerReply {
  // Source: an engine 20.10, which says the same to a wrong method.
  if (route === null) return { status: 404, body: { message: "page not found" } };
  for (const name of call.query.keys()) {
    if (!route.query.includes(name)) call.violation(`unknown query parameter "${name}"`);
  }
  try {
    return route.answer(call);
  } catch (error) {
    call.violation(`the fake itself failed: ${error instanceof Error ? error.stack : error}`);
    return { status: 500, body: { message: "the fake failed" } };
  }
}

function exchangeOf(state: State, response: ServerResponse, entry: JournalEntry): Exchange {
  const { clock, maps, versions } = state.options;
  return {
    ...{ response, entry, maps, newest: versions().max, strangeness: state.strangeness },
    now: () => clock.now(),
    later(delayMs, action) {
      const cancel = clock.after(delayMs, () => {
        state.timers.delete(cancel);
        action();
      });
      state.timers.add(cancel);
    },
  };
}
