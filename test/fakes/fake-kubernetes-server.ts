/**
 * What carries the fake cluster's API: HTTPS as the API server speaks it, HTTP as `kubectl proxy` does, and answers without
 * an end. Journal, violations and faults are those of every fake platform.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { CancelTimer, Clock } from "../../src/clock.ts";
import { type FakeAnswer, toWire } from "./fake-answer.ts";
import type { Fault } from "./fake-faults.ts";
import { callsOf, type JournalEntry, matchesKind } from "./fake-journal.ts";
import { API_CERTIFICATE, API_KEY, CLUSTER_CA } from "./fake-kubernetes-certificates.ts";
import type { Call } from "./fake-platform.ts";
import { makeStrange, NOT_STRANGE, type Strangeness } from "./fake-strangeness.ts";

/** One call to the API. */
export interface KubeCall extends Call {
  /** It came over TLS, not through `kubectl proxy`. */
  readonly isTls: boolean;
  /** The client has shown a certificate that the cluster's CA vouches for. */
  readonly hasCertificate: boolean;
}

/** The writing end of an answer without an end. */
export interface LineStream {
  /** A line of JSON; does nothing when nobody reads any more. */
  write(value: unknown): void;
  /** Text as it is. */
  writeText(text: string): void;
  /** A proper end. */
  end(): void;
  /** The connection breaks. */
  cut(): void;
  readonly isOpen: boolean;
  /** Calls back once when it is over, whoever ended it. */
  onOver(callback: () => void): void;
}

/** What a call is answered with. */
export type Reply = FakeAnswer | { readonly stream: (lines: LineStream) => void };

export interface KubernetesServerOptions {
  readonly clock: Clock;
  /** For TLS and for plain HTTP. */
  readonly ports: { readonly tls: number; readonly plain: number };
  /** For the journal and for faults: `deployments.list`. */
  readonly kindOf: (method: string, path: string, query: URLSearchParams) => string;
  /** Runs to its end before the next call is looked at. */
  readonly answer: (call: KubeCall) => Reply;
  /** Of every answer that the API server itself makes. */
  readonly headersOf: () => Readonly<Record<string, string>>;
  /** Fields of answers that are maps: they get no unknown fields. */
  readonly maps: readonly string[];
}

/** Everything a test may do to the connections. */
export interface KubernetesServer extends AsyncDisposable {
  /** Every call since the start or since `forgetCalls`, oldest first. */
  readonly journal: readonly JournalEntry[];
  count(pattern?: string): number;
  forgetCalls(): void;
  /** Calls that have come and are not answered to the end; watches too. */
  readonly inFlight: number;
  readonly violations: readonly string[];
  violation(what: string): void;
  /** As `FakeApi.fail`. On a watch `cut` breaks it right after its head, `stall` keeps it silent. */
  fail(which: string | ((call: Call) => boolean), fault: Fault, times?: number): void;
  heal(): void;
  /** Something happens right before the next call of this kind is looked at. See `matchesKind`. */
  beforeNext(pattern: string, action: () => void): void;
  /** `refuse`: nobody listens, and what was connected is not; `hang`: no call is answered; or every call is, with this. */
  goDown(how: "refuse" | "hang" | FakeAnswer): Promise<void>;
  /** Ends `goDown`, on the same ports. */
  comeUp(): Promise<void>;
  beStrange(how: Partial<Strangeness>): void;
  /** Every piece of a stream from now on comes in two, cut anywhere, in letters of several bytes too. */
  splitPieces(areSplit: boolean): void;
}

interface Planned {
  readonly matches: (call: Call) => boolean;
  readonly fault: Fault;
  left: number;
}

interface Awaited {
  readonly pattern: string;
  readonly action: () => void;
}

interface State {
  readonly options: KubernetesServerOptions;
  readonly awaited: Set<Awaited>;
  readonly journal: JournalEntry[];
  readonly violations: string[];
  readonly timers: Set<CancelTimer>;
  readonly sockets: Set<{ destroy(): unknown }>;
  planned: Planned[];
  down: FakeAnswer | "hang" | null;
  strangeness: Strangeness;
  inFlight: number;
  areSplit: boolean;
}

/** Starts both servers. */
export async function startKubernetesServer(
  options: KubernetesServerOptions,
): Promise<KubernetesServer> {
  const state: State = {
    options,
    awaited: new Set(),
    journal: [],
    violations: [],
    timers: new Set(),
    sockets: new Set(),
    planned: [],
    down: null,
    strangeness: NOT_STRANGE,
    inFlight: 0,
    areSplit: false,
  };
  let servers: readonly Server[] = await listenTwice(state);
  async function close() {
    const closing = servers;
    servers = [];
    await Promise.all(closing.map((server) => closed(state, server)));
  }
  return {
    journal: state.journal,
    violations: state.violations,
    violation: (what) => void state.violations.push(`Kubernetes API: ${what}`),
    count: (pattern = "*") => callsOf(state.journal, pattern).length,
    forgetCalls: () => void state.journal.splice(0),
    get inFlight() {
      return state.inFlight;
    },
    fail(which, fault, times = 1) {
      const matches =
        typeof which === "string" ? (call: Call) => matchesKind(which, call.kind) : which;
      state.planned.push({ matches, fault, left: times });
    },
    heal() {
      state.planned = [];
    },
    beforeNext: (pattern, action) => void state.awaited.add({ pattern, action }),
    async goDown(how) {
      if (how === "refuse") await close();
      else state.down = how;
    },
    async comeUp() {
      state.down = null;
      if (servers.length === 0) servers = await listenTwice(state);
    },
    beStrange(how) {
      state.strangeness = { ...NOT_STRANGE, ...how };
    },
    splitPieces(areSplit) {
      state.areSplit = areSplit;
    },
    async [Symbol.asyncDispose]() {
      for (const cancel of state.timers) cancel();
      await close();
    },
  };
}

async function listenTwice(state: State): Promise<readonly Server[]> {
  const { ports } = state.options;
  const onRequest = (isTls: boolean) => (request: IncomingMessage, response: ServerResponse) =>
    void receive({ state, request, response, isTls });
  const plain = createServer(onRequest(false));
  const tls = createTlsServer(
    {
      ...{ cert: API_CERTIFICATE, key: API_KEY, ca: CLUSTER_CA },
      // As the API server does: who shows none may have a token.
      ...{ requestCert: true, rejectUnauthorized: false },
    },
    onRequest(true),
  );
  for (const server of [plain, tls]) {
    server.on("connection", (socket) => {
      state.sockets.add(socket);
      socket.on("close", () => state.sockets.delete(socket));
      // A client that goes away in the middle is its own business.
      socket.on("error", () => undefined);
    });
  }
  tls.on("tlsClientError", () => undefined);
  await Promise.all([listening(plain, ports.plain), listening(tls, ports.tls)]);
  return [plain, tls];
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function closed(state: State, server: Server): Promise<void> {
  let isClosed = false;
  server.close(() => {
    isClosed = true;
  });
  // Handshakes that are under way become connections after this: those are cut as well.
  while (!isClosed) {
    server.closeAllConnections();
    for (const socket of [...state.sockets]) socket.destroy();
    await Bun.sleep(1);
  }
}

interface Arrived {
  readonly state: State;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly isTls: boolean;
}

async function receive(arrived: Arrived): Promise<void> {
  const { state, request, response } = arrived;
  state.inFlight += 1;
  response.once("close", () => {
    state.inFlight -= 1;
  });
  const text = await textOf(request);
  if (text === null || state.down === "hang") return;
  const call = callOf(arrived, text);
  const entry = entryOf(call);
  state.journal.push(entry);
  for (const one of [...state.awaited]) {
    if (!matchesKind(one.pattern, call.kind)) continue;
    state.awaited.delete(one);
    one.action();
  }
  const fault = takeFault(state, call);
  const exchange: Exchange = { ...arrived, call, entry, fault };
  const mayApply = fault === null || !("isApplied" in fault) || fault.isApplied;
  if (!mayApply) {
    respond(exchange, null);
    return;
  }
  const reply = decide(state, call);
  if ("stream" in reply) openStream(exchange, reply.stream);
  else respond(exchange, strangely(state, reply));
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

function callOf({ state, request, isTls }: Arrived, text: string): KubeCall {
  const method = request.method ?? "";
  const target = request.url ?? "";
  const [path = "", search = ""] = target.split(/\?(.*)/s);
  const query = new URLSearchParams(search);
  return {
    kind: state.options.kindOf(method, path, query),
    method,
    host: (request.headers.host ?? "").replace(/:\d+$/, "").toLowerCase(),
    path,
    params: {},
    query,
    headers: headersOf(request),
    text,
    json: parsed(text),
    atMs: state.options.clock.now(),
    url: `${isTls ? "https" : "http"}://${request.headers.host ?? ""}${target}`,
    isTls,
    // Bun does not tell whose certificate it is.
    hasCertificate: isTls && Reflect.get(request.socket, "authorized") === true,
    violation: (what) => void state.violations.push(`Kubernetes API: ${method} ${target}: ${what}`),
  };
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
    return undefined; // Not JSON: who answers says what they think of that.
  }
}

function entryOf(call: KubeCall): JournalEntry {
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

function decide(state: State, call: KubeCall): Reply {
  try {
    return state.options.answer(call);
  } catch (error) {
    call.violation(`the fake itself failed: ${error instanceof Error ? error.stack : error}`);
    return { status: 500, body: "the fake failed" };
  }
}

interface Exchange extends Arrived {
  readonly call: KubeCall;
  readonly entry: JournalEntry;
  readonly fault: Fault | null;
}

function strangely(state: State, answer: FakeAnswer): FakeAnswer {
  const body = typeof answer.body === "object" ? strange(state, answer.body) : answer.body;
  return { ...answer, body, headers: { ...state.options.headersOf(), ...answer.headers } };
}

function strange({ strangeness, options }: State, value: unknown): unknown {
  const isStrange = strangeness.hasUnknownFields || Object.keys(strangeness.words).length > 0;
  return isStrange ? makeStrange(value, strangeness, options.maps) : value;
}

function respond(exchange: Exchange, right: FakeAnswer | null): void {
  const { state, response, fault, isTls } = exchange;
  if (fault?.kind === "never") return;
  if (fault?.kind === "reset") {
    // Below TLS there is no reset to be had.
    if (isTls) response.socket?.destroy();
    else response.socket?.resetAndDestroy();
    return;
  }
  if (fault?.kind === "answer") {
    send(exchange, fault.answer);
    return;
  }
  if (right === null) throw new Error("a call that was not carried out has no right answer");
  if (fault?.kind === "slow") later(state, fault.delayMs, () => send(exchange, right));
  else if (fault?.kind === "half") {
    const { headers, text } = toWire(right);
    send(exchange, { ...right, headers, body: half(text) });
  } else if (fault !== null) sendPart(exchange, right, fault.kind === "cut");
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

/** From this size on answers are compressed for who can read that. Source: `apiserver`, defaultGzipThresholdBytes. */
const GZIP_FROM_BYTES = 128 * 1024;

function send({ state, call, response, entry }: Exchange, answer: FakeAnswer): void {
  if (response.destroyed || response.writableEnded) return; // The client did not wait.
  entry.status = answer.status;
  entry.answeredAtMs = state.options.clock.now();
  const { headers, text } = toWire(answer);
  const bytes = Buffer.from(text);
  const takesGzip = (call.headers.get("accept-encoding") ?? "").includes("gzip");
  if (bytes.length < GZIP_FROM_BYTES || !takesGzip) {
    response.writeHead(answer.status, headers);
    response.end(bytes);
    return;
  }
  const zipped = { "content-encoding": "gzip", vary: "Accept-Encoding" };
  response.writeHead(answer.status, { ...headers, ...zipped });
  response.end(Bun.gzipSync(bytes));
}

function sendPart({ response, entry }: Exchange, answer: FakeAnswer, isCut: boolean): void {
  if (response.destroyed) return;
  entry.status = answer.status;
  const { headers, text } = toWire(answer);
  const length = String(Buffer.byteLength(text));
  response.writeHead(answer.status, { ...headers, "content-length": length });
  response.write(half(text), () => {
    if (isCut) response.socket?.destroy();
  });
}

function openStream(exchange: Exchange, play: (lines: LineStream) => void): void {
  const { state, response, entry, fault } = exchange;
  if (fault?.kind === "never" || fault?.kind === "reset" || fault?.kind === "answer") {
    respond(exchange, null);
    return;
  }
  const open = () => {
    if (response.destroyed) return;
    entry.status = 200;
    response.writeHead(200, { ...state.options.headersOf(), "content-type": "application/json" });
    response.flushHeaders();
    if (fault?.kind === "cut" || fault?.kind === "half") {
      response.write('{"type":"ADD', () => response.socket?.destroy());
    } else if (fault?.kind !== "stall") {
      play(linesOf(state, response));
    }
  };
  if (fault?.kind === "slow") later(state, fault.delayMs, open);
  else open();
}

function linesOf(state: State, response: ServerResponse): LineStream {
  let held: Buffer | null = null;
  const isOpen = () => !response.destroyed && !response.writableEnded;
  const flush = () => {
    if (held !== null && isOpen()) response.write(held);
    held = null;
  };
  const writeText = (text: string) => {
    if (!isOpen()) return;
    flush();
    const bytes = Buffer.from(text);
    const cutAt = state.areSplit ? splitOf(bytes) : bytes.length;
    response.write(bytes.subarray(0, cutAt));
    if (cutAt === bytes.length) return;
    held = bytes.subarray(cutAt);
    // By the real clock: it is the wire that is slow here.
    setTimeout(flush, 1).unref();
  };
  return {
    get isOpen() {
      return isOpen();
    },
    writeText,
    write: (value) => writeText(`${JSON.stringify(strange(state, value))}\n`),
    end() {
      flush();
      if (isOpen()) response.end();
    },
    cut: () => void response.socket?.destroy(),
    onOver: (callback) => void response.once("close", callback),
  };
}

/** In the middle of a letter where there is one of several bytes, else in the middle. */
function splitOf(bytes: Buffer): number {
  const continuation = bytes.findIndex((byte) => (byte & 0b1100_0000) === 0b1000_0000);
  return continuation === -1 ? Math.floor(bytes.length / 2) : continuation;
}
