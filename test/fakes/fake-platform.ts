/**
 * What every fake platform API is made of: a real HTTP server on a free port whose routes a fake describes, and
 * which keeps a journal, notes violations, and goes wrong on demand.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { CancelTimer, Clock } from "../../src/clock.ts";
import { type FakeAnswer, toWire, type WireAnswer } from "./fake-answer.ts";
import type { Fault } from "./fake-faults.ts";
import { callsOf, type JournalEntry, matchesKind } from "./fake-journal.ts";
import { findRoute } from "./fake-route-match.ts";
import { makeStrange, NOT_STRANGE, type Strangeness } from "./fake-strangeness.ts";
import { type HeldPort, holdPort } from "./held-port.ts";

/** One call, as a route sees it. */
export interface Call {
  /** The route's; `unknown` when there is none for it. */
  readonly kind: string;
  readonly method: string;
  /** Name of the host that was called, in lower case, without the port. */
  readonly host: string;
  /** As sent, without the query. */
  readonly path: string;
  /** What stands for `:name` in the route's path, percent-decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Case of names does not matter. */
  readonly headers: Headers;
  /** The body as text; empty when there is none. */
  readonly text: string;
  /** The body as JSON; `undefined` when it is none. */
  readonly json: unknown;
  /** When it arrived, by the fake's clock, in ms. */
  readonly atMs: number;
  /** The whole URL as the client wrote it. */
  readonly url: string;
  /** Notes something that the real API would reject, or that a well-behaved client must not do. */
  violation(what: string): void;
}

/** One endpoint. */
export interface Route {
  /** For the journal and for faults: `apps.list`. Any text without `*`; dots make families. */
  readonly kind: string;
  readonly method: string;
  /** `/v1/apps/:app/ps`. A `:name` is one segment. The first route that matches counts. */
  readonly path: string;
  /** Settles when the call may be answered, for those that wait for something; left out: at once. Never rejects. */
  readonly hold?: (call: Call) => Promise<void>;
  /** Reads and changes the fake's state. Runs to its end before the next call is looked at: no `await`. */
  readonly answer: (call: Call) => FakeAnswer;
}

/** What makes one API of one platform. */
export interface FakeApiOptions {
  /** Real, or virtual: then a test advances it. */
  readonly clock: Clock;
  /** How violations and errors call it: `scalingo auth API`. */
  readonly name: string;
  readonly routes: readonly Route[];
  /** Credentials, headers, rate limits: an answer ends the call, `null` lets the route answer. Runs for unknown paths too. */
  readonly before?: (call: Call) => FakeAnswer | null;
  /** To a path or method that is no route; a violation is noted already. */
  readonly notFound: (call: Call) => FakeAnswer;
  /** Headers of every answer that the platform itself makes: request id, rate limit. Those of the answer are stronger. */
  readonly headersOf?: (call: Call, status: number) => Readonly<Record<string, string>>;
  /** Fields of answers that are maps (ids -> things): they get no unknown fields. */
  readonly maps?: readonly string[];
  /** Given: violations go here, so that several servers of one fake share a list. */
  readonly violations?: string[];
}

/** A running fake API, and everything a test may do to it. Ends with `await using`. */
export interface FakeApi extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`; `http://<anything>.localhost:<port>` leads here as well. */
  readonly origin: string;
  readonly port: number;
  /** Every call since the start or since `forgetCalls`, oldest first. */
  readonly journal: readonly JournalEntry[];
  /** How many calls there were of this kind; patterns as in `matchesKind`; default all. */
  count(pattern?: string): number;
  /** Calls that have come and are not answered yet, those that never will be included. */
  readonly inFlight: number;
  /** Empties the journal. */
  forgetCalls(): void;
  /** What a well-behaved client would not have done, in sentences. Tests assert that it is empty. */
  readonly violations: readonly string[];
  /**
   * Makes calls go wrong: the next `times` (default 1; `Infinity` until `heal`) that match. The oldest fault
   * that matches is used up first. Faults come before everything: a call that is not applied costs no rate limit.
   * @param which a pattern as in `matchesKind`, or a look at the call
   */
  fail(which: string | ((call: Call) => boolean), fault: Fault, times?: number): void;
  /** Ends all faults that are left. */
  heal(): void;
  /** The whole API is away: connections are refused, or every call gets this answer and does nothing. */
  goDown(how: "refuse" | FakeAnswer): Promise<void>;
  /** Ends `goDown`; on the same port. */
  comeUp(): Promise<void>;
  /** Adds unknown fields, or puts unknown words; what is left out is as it should be. Until the next call of this. */
  beStrange(how: Partial<Strangeness>): void;
}

interface Planned {
  readonly matches: (call: Call) => boolean;
  readonly fault: Fault;
  left: number;
}

interface State {
  readonly options: FakeApiOptions;
  readonly journal: JournalEntry[];
  readonly violations: string[];
  readonly timers: Set<CancelTimer>;
  planned: Planned[];
  down: FakeAnswer | null;
  /** Its port, while connections are refused there. */
  held: HeldPort | null;
  strangeness: Strangeness;
  inFlight: number;
}

/** Starts the server. */
export async function startFakeApi(options: FakeApiOptions): Promise<FakeApi> {
  const state: State = {
    options,
    journal: [],
    violations: options.violations ?? [],
    timers: new Set(),
    planned: [],
    down: null,
    held: null,
    strangeness: NOT_STRANGE,
    inFlight: 0,
  };
  const server = createServer((request, response) => void receive(state, request, response));
  // A client that goes away in the middle is its own business.
  server.on("connection", (socket) => socket.on("error", () => undefined));
  const port = await listen(server, 0);
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    journal: state.journal,
    violations: state.violations,
    get inFlight() {
      return state.inFlight;
    },
    count: (pattern = "*") => callsOf(state.journal, pattern).length,
    forgetCalls: () => void state.journal.splice(0),
    fail: (which, fault, times = 1) => plan(state, which, { fault, left: times }),
    heal() {
      state.planned = [];
    },
    async goDown(how) {
      if (how !== "refuse") state.down = how;
      else if (server.listening) {
        await close(server);
        state.held = await holdPort(port);
      }
    },
    async comeUp() {
      state.down = null;
      await letGo(state);
      if (!server.listening) await listen(server, port);
    },
    beStrange(how) {
      state.strangeness = { ...NOT_STRANGE, ...how };
    },
    async [Symbol.asyncDispose]() {
      for (const cancel of state.timers) cancel();
      await letGo(state);
      await close(server);
    },
  };
}

function plan(
  state: State,
  which: string | ((call: Call) => boolean),
  { fault, left }: { readonly fault: Fault; readonly left: number },
): void {
  const matches = typeof which === "string" ? (call: Call) => matchesKind(which, call.kind) : which;
  state.planned.push({ matches, fault, left });
}

async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not a TCP server");
  return address.port;
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}

async function letGo(state: State): Promise<void> {
  await state.held?.letGo();
  state.held = null;
}

async function receive(
  state: State,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  state.inFlight += 1;
  response.once("close", () => {
    state.inFlight -= 1;
  });
  const text = await textOf(request);
  if (text === null) return;
  const { call, route } = callOf(state, request, text);
  const entry = entryOf(call);
  state.journal.push(entry);
  const fault = takeFault(state, call);
  if (fault === null && route?.hold !== undefined) await route.hold(call);
  const mayApply = fault === null || !("isApplied" in fault) || fault.isApplied;
  const right = mayApply ? process(state, call, route) : null;
  respond({ state, response, entry }, right, fault);
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

function callOf(
  state: State,
  request: IncomingMessage,
  text: string,
): { call: Call; route: Route | null } {
  const method = request.method ?? "";
  const url = `http://${request.headers.host ?? ""}${request.url ?? ""}`;
  const [path = "", search = ""] = (request.url ?? "").split(/\?(.*)/s);
  const found = findRoute(state.options.routes, method, path);
  const call: Call = {
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
    url,
    violation: (what) =>
      void state.violations.push(`${state.options.name}: ${method} ${request.url}: ${what}`),
  };
  return { call, route: found?.route ?? null };
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

function entryOf(call: Call): JournalEntry {
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
  if (state.down !== null) return { kind: "answer", answer: state.down, isApplied: false };
  const planned = state.planned.find(({ matches }) => matches(call));
  if (planned === undefined) return null;
  planned.left -= 1;
  if (planned.left <= 0) state.planned = state.planned.filter((other) => other !== planned);
  return planned.fault;
}

/** The answer of a healthy API. */
function process(state: State, call: Call, route: Route | null): WireAnswer {
  const answer = decide(state, call, route);
  const { hasUnknownFields, words } = state.strangeness;
  const isStrange = hasUnknownFields || Object.keys(words).length > 0;
  const body =
    isStrange && typeof answer.body === "object"
      ? makeStrange(answer.body, state.strangeness, state.options.maps ?? [])
      : answer.body;
  const headers = { ...state.options.headersOf?.(call, answer.status), ...answer.headers };
  return toWire({ status: answer.status, headers, body });
}

function decide(state: State, call: Call, route: Route | null): FakeAnswer {
  const { options } = state;
  if (route === null) call.violation("there is no such endpoint");
  try {
    return options.before?.(call) ?? route?.answer(call) ?? options.notFound(call);
  } catch (error) {
    call.violation(`the fake itself failed: ${error instanceof Error ? error.stack : error}`);
    return { status: 500, body: "the fake failed" };
  }
}

interface Exchange {
  readonly state: State;
  readonly response: ServerResponse;
  readonly entry: JournalEntry;
}

function respond(exchange: Exchange, right: WireAnswer | null, fault: Fault | null): void {
  const { state, response } = exchange;
  if (fault?.kind === "never") return;
  if (fault?.kind === "reset") {
    response.socket?.resetAndDestroy();
    return;
  }
  if (fault?.kind === "answer") {
    send(exchange, toWire(fault.answer));
    return;
  }
  if (right === null) throw new Error("a call that was not carried out has no right answer");
  if (fault?.kind === "slow") later(state, fault.delayMs, () => send(exchange, right));
  else if (fault?.kind === "half") send(exchange, { ...right, text: half(right.text) });
  else if (fault !== null) sendPart(exchange, right, fault.kind === "cut");
  else send(exchange, right);
}

function later(state: State, delayMs: number, action: () => void): void {
  const cancel = state.options.clock.after(delayMs, () => {
    state.timers.delete(cancel);
    action();
  });
  state.timers.add(cancel);
}

function half(text: string): string {
  return text.slice(0, Math.floor(text.length / 2));
}

function send({ state, response, entry }: Exchange, answer: WireAnswer): void {
  if (response.destroyed) return; // The client did not wait.
  entry.status = answer.status;
  entry.answeredAtMs = state.options.clock.now();
  response.writeHead(answer.status, answer.headers);
  response.end(answer.text);
}

function sendPart({ response, entry }: Exchange, answer: WireAnswer, isCut: boolean): void {
  if (response.destroyed) return;
  entry.status = answer.status;
  const length = String(Buffer.byteLength(answer.text));
  response.writeHead(answer.status, { ...answer.headers, "content-length": length });
  // Closed, not reset: a reset would take away what the client has not read yet, head included.
  response.write(half(answer.text), () => {
    if (isCut) response.socket?.destroy();
  });
}
