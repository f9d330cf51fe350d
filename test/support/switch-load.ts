/** Clients that use an app all the time while its target is switched, and know who may answer them. */

import { Agent, request as httpRequest } from "node:http";

/** Which versions may answer: those that were active at some time between a request and its answer. */
export interface Timeline {
  /** A switch to this version was asked for. */
  asked(version: string): void;
  /** It was answered with yes: what comes from now on must go there. */
  done(version: string): void;
  /** Called as a request begins. @returns whether this version may answer it now */
  begin(): (version: string) => boolean;
}

/** @param first the version that is active at first */
export function createTimeline(first: string): Timeline {
  const versions: string[] = [first];
  let settled = 0;
  return {
    asked: (version) => versions.push(version),
    done(version) {
      settled = versions.lastIndexOf(version);
    },
    begin() {
      const from = settled;
      return (version) => versions.indexOf(version, from) !== -1;
    },
  };
}

/** What the clients saw. */
export interface LoadTally {
  right: number;
  messages: number;
  uploads: number;
  /** Close codes of WebSockets, and how often. */
  readonly closes: Map<number, number>;
  /** What must not be, one line each. */
  readonly faults: string[];
}

export interface SwitchLoad {
  readonly tally: LoadTally;
  /** Lets what is under way finish, and ends. */
  stop(): Promise<void>;
}

/** How long a client thinks between two requests, ms. */
const THINK_MS = 25;
const UPLOAD_BYTES = 200_000;
/** After so many messages a WebSocket closes by itself. */
const MESSAGES_MAX = 100;

/** `clients` keep-alive clients, some of which upload, and WebSockets besides. */
export function startLoad(options: {
  readonly port: number;
  readonly timeline: Timeline;
  readonly clients: number;
  readonly uploaders: number;
  readonly websockets: number;
}): SwitchLoad {
  const { port, timeline, clients, uploaders, websockets } = options;
  const tally: LoadTally = { right: 0, messages: 0, uploads: 0, closes: new Map(), faults: [] };
  const world = { port, timeline, tally, isOver: false };
  const agent = new Agent({ keepAlive: true, maxSockets: clients + uploaders });
  const loops = [
    ...Array.from({ length: clients }, () => loop(world, () => ask(world, agent))),
    ...Array.from({ length: uploaders }, () => loop(world, () => upload(world, agent))),
    ...Array.from({ length: websockets }, () => loop(world, () => talk(world))),
  ];
  return {
    tally,
    async stop() {
      world.isOver = true;
      await Promise.all(loops);
      agent.destroy();
    },
  };
}

interface World {
  readonly port: number;
  readonly timeline: Timeline;
  readonly tally: LoadTally;
  isOver: boolean;
}

async function loop(world: World, work: () => Promise<void>): Promise<void> {
  while (!world.isOver) {
    try {
      await work();
    } catch (error) {
      world.tally.faults.push(String(error));
    }
    await Bun.sleep(THINK_MS * (0.5 + Math.random()));
  }
}

async function ask(world: World, agent: Agent): Promise<void> {
  const mayAnswer = world.timeline.begin();
  const { status, body } = await send(world.port, agent, { method: "GET", body: null });
  if (status !== 200) throw new Error(`GET: ${status} ${body}`);
  if (!mayAnswer(body)) throw new Error(`GET was answered by ${body}, which was not active`);
  world.tally.right += 1;
}

async function upload(world: World, agent: Agent): Promise<void> {
  const mayAnswer = world.timeline.begin();
  const { status, body } = await send(world.port, agent, {
    method: "POST",
    body: Buffer.alloc(UPLOAD_BYTES, 7),
  });
  const [version = "", bytes] = body.split(" ");
  if (status !== 200 || Number(bytes) !== UPLOAD_BYTES) throw new Error(`POST: ${status} ${body}`);
  if (!mayAnswer(version)) throw new Error(`POST was answered by ${version}, which was not active`);
  world.tally.uploads += 1;
}

function send(
  port: number,
  agent: Agent,
  what: { readonly method: string; readonly body: Buffer | null },
): Promise<{ readonly status: number; readonly body: string }> {
  const { method, body } = what;
  return new Promise((resolve, reject) => {
    const headers = body === null ? {} : { "content-length": body.length };
    const path = body === null ? "/" : "/sum";
    const call = httpRequest({ port, host: "127.0.0.1", method, path, agent, headers });
    call.on("error", reject);
    call.on("response", (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces).toString() }),
      );
    });
    if (body === null) return void call.end();
    // In pieces, so that switches happen while it is under way.
    const half = Math.floor(body.length / 2);
    call.write(body.subarray(0, half));
    setTimeout(() => call.end(body.subarray(half)), 30);
  });
}

/** Says something until the connection is closed. */
function talk({ port, timeline, tally }: World): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const mayAnswer = timeline.begin();
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
  let version: string | null = null;
  let said = 0;
  let heard = 0;
  const timer = setInterval(() => {
    if (socket.readyState !== WebSocket.OPEN) return;
    said += 1;
    if (said <= MESSAGES_MAX) socket.send(String(said));
    else socket.close(1000);
  }, 20);
  socket.onmessage = ({ data }) => {
    const [from = "", text] = String(data).split(" ");
    if (version === null && !mayAnswer(from))
      tally.faults.push(`WebSocket: ${from} was not active`);
    version ??= from;
    heard += 1;
    tally.messages += 1;
    if (Number(text) !== heard) tally.faults.push(`WebSocket: ${text} instead of ${heard}`);
    if (from !== version) tally.faults.push(`WebSocket: ${from} speaks on a line of ${version}`);
  };
  socket.onerror = () => reject(new Error("a WebSocket failed"));
  socket.onclose = ({ code }) => {
    clearInterval(timer);
    tally.closes.set(code, (tally.closes.get(code) ?? 0) + 1);
    resolve();
  };
  return promise;
}
