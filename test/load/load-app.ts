/**
 * The app under load: written on sockets, so that it costs little and no runtime hides what arrives. Every answer
 * repeats the request's target and `x-tag`, and gives the app's own `x-pid`.
 *
 * - `GET /blob?seed=&bytes=&framing=length|chunked|until-close&close=1`: bytes that can be recomputed
 * - `POST /sum?seed=`: how many bytes came, their CRC-32, and whether they were those of the seed
 * - `POST /sip?firstMs=&every=&ms=`: the same, but it rests at the beginning and after each so many bytes
 * - `GET /status?status=`: an answer without a body; `GET /late?ms=`: an answer after a while
 * - `GET /hang`: no answer; `GET /drip`: one that goes on and on
 * - `GET /events?count=&gapMs=`: server-sent events with the time of their sending
 * - `GET /socket`: a WebSocket that greets with the tag, then echoes
 * - `GET /state`: its connections and requests now
 */

import { crc32 } from "node:zlib";
import { createFrameReader, type FrameHead, frameHead } from "./frame-reader.ts";
import { createLine, type Line } from "./line.ts";
import {
  announcedFraming,
  chunkOf,
  createMessageReader,
  LAST_CHUNK,
  type MessageHead,
  type MessageReader,
} from "./message-reader.ts";
import { createNoise, firstWrongByte, type Noise, pieceOf } from "./noise.ts";

/** From so many unsent bytes on it makes no more. */
const HIGH_WATER_BYTES = 131_072;

/** What all connections share. */
interface App {
  readonly noise: Noise;
  readonly peers: Set<Peer>;
  requests: number;
}

/** One request. */
interface Task {
  readonly method: string;
  readonly target: string;
  readonly query: URLSearchParams;
  readonly path: string;
  readonly tag: string;
  readonly hasChunks: boolean;
  bytes: number;
  crc: number;
  wrongAt: number | null;
  /** It rests when so many bytes have come. */
  restAt: number;
}

interface Peer {
  readonly line: Line;
  task: Task | null;
  /** The body of the last request is complete. */
  isRead: boolean;
  /** Makes the next piece of the answer; `null`: there is nothing to make. */
  next: (() => Buffer | null) | null;
  pushFrames: ((bytes: Buffer) => void) | null;
}

function startApp(port: number): void {
  const app: App = { noise: createNoise(), peers: new Set(), requests: 0 };
  process.on("SIGTERM", () => process.exit(0));
  Bun.listen<ReturnType<typeof accept>>({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        socket.data = accept(app);
        socket.data.open(socket);
      },
      data: (socket, bytes) => socket.data.data(bytes),
      drain: (socket) => socket.data.drain(),
      end: (socket) => void socket.end(),
      close: (socket) => socket.data.over(),
      error: (socket) => socket.data.over(),
    },
  });
}

function accept(app: App) {
  const { line, handler } = createLine({
    onBytes: (bytes) => take(app, peer, reader, bytes),
    onOver() {
      app.peers.delete(peer);
      peer.next = null;
    },
  });
  const peer: Peer = { line, task: null, isRead: true, next: null, pushFrames: null };
  line.onEmpty = () => pump(peer);
  const reader = createMessageReader({
    onHead: (head) => begin(app, peer, head),
    onBody: (piece) => onBody(app, peer, piece),
    onEnd: () => finish(app, peer),
  });
  app.peers.add(peer);
  return handler;
}

/** Paastis must send nothing that is odd: whoever reads the log sees it. */
function take(app: App, peer: Peer, reader: MessageReader, bytes: Buffer): void {
  try {
    reader.push(bytes);
  } catch (error) {
    console.error(`WRONG: the app got something odd: ${String(error)}`);
    app.peers.delete(peer);
    peer.line.cut();
  }
}

function begin(app: App, peer: Peer, head: MessageHead) {
  if (peer.task !== null) throw new Error("a second request before the first was answered");
  const [method = "", target = "", version] = head.first.split(" ");
  if (version !== "HTTP/1.1") throw new Error(`the request line "${head.first}"`);
  const url = new URL(target, "http://app");
  app.requests += 1;
  peer.isRead = false;
  peer.task = {
    method,
    target,
    query: url.searchParams,
    path: url.pathname,
    tag: head.fields.get("x-tag") ?? "",
    hasChunks: head.fields.has("transfer-encoding"),
    bytes: 0,
    crc: 0,
    wrongAt: null,
    restAt: 0,
  };
  if (url.pathname === "/socket" && head.fields.has("sec-websocket-key")) {
    upgrade(peer, peer.task, head.fields.get("sec-websocket-key") ?? "");
    return { kind: "raw" } as const;
  }
  return announcedFraming(head) ?? ({ kind: "length", bytes: 0 } as const);
}

function onBody(app: App, peer: Peer, piece: Buffer): unknown {
  if (peer.pushFrames !== null) return peer.pushFrames(piece);
  const { task } = peer;
  if (task === null) throw new Error("a body without a request");
  const seed = task.query.get("seed");
  if (seed !== null && task.wrongAt === null) {
    task.wrongAt = firstWrongByte(app.noise, Number(seed), task.bytes, piece);
  }
  task.bytes += piece.length;
  task.crc = crc32(piece, task.crc);
  if (task.path === "/sip" && task.bytes >= task.restAt) rest(peer, task);
}

function rest(peer: Peer, task: Task): void {
  const pauseMs = number(task, task.restAt === 0 ? "firstMs" : "ms", 0);
  task.restAt = task.bytes + number(task, "every", 65_536);
  peer.line.pause();
  setTimeout(() => peer.line.resume(), pauseMs);
}

function number({ query }: Task, name: string, fallback: number): number {
  return Number(query.get(name) ?? fallback);
}

function finish(app: App, peer: Peer): void {
  const { task } = peer;
  peer.isRead = true;
  if (task !== null) answer(app, peer, task);
}

function answer(app: App, peer: Peer, task: Task): unknown {
  switch (task.path) {
    case "/blob":
      return sendBlob(app, peer, task);
    case "/sum":
    case "/sip":
      return sendJson(peer, task, sumOf(task));
    case "/status":
      return sendText(peer, task, "", number(task, "status", 200));
    case "/late":
      setTimeout(() => sendText(peer, task, "late"), number(task, "ms", 0));
      return;
    case "/hang":
      return;
    case "/drip":
      return drip(peer, task);
    case "/events":
      return sendEvents(peer, task).catch((error) => console.error(`WRONG: ${error}`));
    case "/state":
      return sendJson(peer, task, { peers: app.peers.size, requests: app.requests });
    default:
      return sendText(peer, task, "", 404);
  }
}

function sumOf({ method, bytes, crc, wrongAt, hasChunks }: Task) {
  return { method, bytes, crc, wrongAt, hasChunks };
}

function headOf(task: Task, status: number, fields: readonly string[]): string {
  return [
    `HTTP/1.1 ${status} Whatever`,
    `X-Tag: ${task.tag}`,
    `X-Target: ${task.target}`,
    `X-Pid: ${process.pid}`,
    ...fields,
    "\r\n",
  ].join("\r\n");
}

function sendJson(peer: Peer, task: Task, value: unknown): void {
  sendText(peer, task, JSON.stringify(value));
}

function sendText(peer: Peer, task: Task, text: string, status = 200): void {
  if (peer.line.isOver) return;
  const hasNoBody = status === 204 || status === 304;
  const fields = hasNoBody ? [] : [`Content-Length: ${text.length}`];
  peer.task = null;
  peer.line.send(headOf(task, status, fields) + (task.method === "HEAD" ? "" : text));
}

function sendBlob(app: App, peer: Peer, task: Task): void {
  const seed = number(task, "seed", 0);
  const bytes = number(task, "bytes", 0);
  const framing = task.query.get("framing") ?? "length";
  const closes = task.query.has("close") || framing === "until-close";
  const fields = closes ? ["Connection: close"] : [];
  if (framing === "length") fields.push(`Content-Length: ${bytes}`);
  if (framing === "chunked") fields.push("Transfer-Encoding: chunked");
  const head = Buffer.from(headOf(task, 200, fields), "latin1");
  let at = 0;
  let isHeadDue = true;
  let isEndDue = framing === "chunked" && task.method !== "HEAD";
  const end = task.method === "HEAD" ? 0 : bytes;
  peer.next = () => {
    if (isHeadDue) {
      isHeadDue = false;
      // Small bodies go out with their heads, as most apps do it.
      const first =
        framing === "length" ? pieceOf(app.noise, seed, 0, Math.min(end, 16_384)) : null;
      at = first?.length ?? 0;
      return first === null ? head : Buffer.concat([head, first]);
    }
    if (at < end) {
      const piece = pieceOf(app.noise, seed, at, end - at);
      at += piece.length;
      return framing === "chunked" ? chunkOf(piece) : piece;
    }
    if (isEndDue) {
      isEndDue = false;
      return LAST_CHUNK;
    }
    peer.task = null;
    if (closes) peer.line.halfClose();
    return null;
  };
  pump(peer);
}

/** Sends as much as the socket takes. */
function pump(peer: Peer): void {
  while (peer.next !== null && peer.line.unsentBytes < HIGH_WATER_BYTES) {
    const piece = peer.next();
    if (piece === null) peer.next = null;
    else peer.line.send(piece);
  }
}

function drip(peer: Peer, task: Task): void {
  peer.line.send(headOf(task, 200, ["Transfer-Encoding: chunked"]));
  const timer = setInterval(() => {
    if (peer.line.isOver) clearInterval(timer);
    else peer.line.send(chunkOf(Buffer.alloc(1_000, "d")));
  }, 20);
}

/** The time of the whole machine, ms. */
function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

async function sendEvents(peer: Peer, task: Task): Promise<void> {
  const fields = ["Content-Type: text/event-stream", "Transfer-Encoding: chunked"];
  peer.line.send(headOf(task, 200, fields));
  for (let id = 0; id < number(task, "count", 10) && !peer.line.isOver; id += 1) {
    await Bun.sleep(number(task, "gapMs", 0));
    const data = JSON.stringify({ id, tag: task.tag, sentMs: nowMs() });
    peer.line.send(chunkOf(Buffer.from(`data: ${data}\n\n`)));
  }
  peer.task = null;
  peer.line.send(LAST_CHUNK);
}

function upgrade(peer: Peer, task: Task, key: string): void {
  const hash = new Bun.CryptoHasher("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  const fields = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${hash.digest("base64")}`,
  ];
  const greeting = Buffer.from(task.tag);
  peer.line.send(
    Buffer.concat([
      Buffer.from(headOf(task, 101, fields), "latin1"),
      frameHead({ opcode: 1, bytes: greeting.length }),
      greeting,
    ]),
  );
  peer.pushFrames = createFrameReader({
    onFrame: (frame) => echoHead(peer, frame),
    onPayload: (piece) => peer.line.send(piece),
    onEnd(frame) {
      if (frame.opcode === 8) peer.line.halfClose();
    },
  });
  // Whoever does not read is not read.
  peer.line.onEmpty = () => peer.line.resume();
}

function echoHead(peer: Peer, { opcode, bytes, isFinal }: FrameHead): void {
  const answer = opcode === 9 ? 10 : opcode;
  peer.line.send(frameHead({ opcode: answer, bytes, isFinal }));
  if (peer.line.unsentBytes > HIGH_WATER_BYTES) peer.line.pause();
}

startApp(Number(process.env.PORT));
