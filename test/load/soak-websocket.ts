/** WebSocket clients of a soak: they check every byte of the echo, and some of them vanish. */

import { createFrameReader, type FrameHead, frameHead } from "./frame-reader.ts";
import { connectLine, type Line } from "./line.ts";
import { createMessageReader } from "./message-reader.ts";
import { firstWrongByte, pieceOf } from "./noise.ts";
import { HANG_MS, isMortal, type World } from "./soak-world.ts";

/** One connection. */
interface Talk {
  readonly tag: string;
  line: Line | null;
  pushFrames: ((bytes: Buffer) => void) | null;
  ownAnswer: string | null;
  /** What the present message is made of. */
  seed: number;
  bytes: number;
  at: number;
  greeting: string;
  isGreeted: boolean;
  isOver: boolean;
  hasClosed: boolean;
  fault: string | null;
  onStep: (() => void) | null;
}

/** Talks for a while, then closes as it should, or vanishes. */
export async function talks(world: World, app: string): Promise<void> {
  const { chance, tally } = world;
  world.requests += 1;
  const sinceMs = performance.now();
  const talk = await open(world, app, `${app}-ws-${world.requests}`);
  const { line } = talk;
  if (line === null) return;
  await step(world, talk, () => talk.isGreeted);
  for (let n = chance.between(0, 30); n > 0 && isWell(world, talk); n -= 1) {
    sendMessage(world, talk);
    // Some vanish while a message is on its way.
    if (chance.happens(0.02)) break;
    await step(world, talk, () => talk.at >= talk.bytes);
    tally.bytes += talk.at;
    tally.count("WebSocket: messages");
    if (chance.happens(0.1)) await Bun.sleep(chance.between(0, 200));
  }
  if (
    talk.isOver &&
    talk.ownAnswer === null &&
    talk.fault === null &&
    !wasKilled(world, app, sinceMs)
  ) {
    tally.fault(`WebSocket ${talk.tag}: it ended by itself; ${JSON.stringify(talk)}`);
  }
  if (!talk.isOver) await part(world, talk);
  verdict(world, app, talk, sinceMs);
}

function isWell(world: World, talk: Talk): boolean {
  return !world.isOver && !talk.isOver && talk.fault === null;
}

function wasKilled({ killedMs }: World, app: string, sinceMs: number): boolean {
  return isMortal(app) && (killedMs.get(app) ?? 0) >= sinceMs;
}

async function open(world: World, app: string, tag: string): Promise<Talk> {
  const talk: Talk = {
    tag,
    line: null,
    pushFrames: null,
    ownAnswer: null,
    seed: 0,
    bytes: 0,
    at: 0,
    greeting: "",
    isGreeted: false,
    isOver: false,
    hasClosed: false,
    fault: null,
    onStep: null,
  };
  const guard = (work: () => void) => {
    try {
      work();
    } catch (error) {
      talk.fault = error instanceof Error ? error.message : String(error);
      talk.line?.cut();
    }
    talk.onStep?.();
  };
  const reader = createMessageReader({
    onHead({ first, fields }) {
      const code = fields.get("paastis-error");
      if (code !== undefined) {
        talk.ownAnswer = `${first.split(" ")[1]} ${code}`;
        return { kind: "length", bytes: Number(fields.get("content-length")) };
      }
      if (fields.get("x-tag") !== tag) throw new Error(`it belongs to ${fields.get("x-tag")}`);
      if (!first.startsWith("HTTP/1.1 101")) throw new Error(first);
      talk.pushFrames = framesOf(world, talk);
      return { kind: "raw" };
    },
    onBody: (piece) => talk.pushFrames?.(piece),
    onEnd: () => talk.line?.end(),
  });
  talk.line = await connectLine(world.port, {
    onBytes: (bytes) => guard(() => reader.push(bytes)),
    onOver: () =>
      guard(() => {
        talk.isOver = true;
      }),
  });
  talk.line.send(
    [
      "GET /socket HTTP/1.1",
      `Host: ${app}.example`,
      `X-Tag: ${tag}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ].join("\r\n"),
  );
  return talk;
}

function framesOf({ noise }: World, talk: Talk): (bytes: Buffer) => void {
  let opcode = 0;
  return createFrameReader({
    onFrame(head) {
      opcode = head.opcode;
    },
    onPayload(piece) {
      if (opcode === 8) return;
      if (!talk.isGreeted) {
        talk.greeting += piece.toString();
        return;
      }
      const wrongAt = firstWrongByte(noise, talk.seed, talk.at, piece);
      if (wrongAt !== null)
        throw new Error(`byte ${wrongAt} of a message of ${talk.bytes} is wrong`);
      talk.at += piece.length;
      if (talk.at > talk.bytes) throw new Error("a message is too long");
    },
    onEnd: (head) => onFrameEnd(talk, head),
  });
}

function onFrameEnd(talk: Talk, { opcode }: FrameHead): void {
  if (opcode === 8) {
    talk.hasClosed = true;
    return;
  }
  if (talk.isGreeted) return;
  if (talk.greeting !== talk.tag) throw new Error(`greeted as ${talk.greeting}`);
  talk.isGreeted = true;
}

function sendMessage({ chance, noise }: World, talk: Talk): void {
  talk.seed = chance.between(0, 2 ** 31);
  talk.bytes = chance.between(1, chance.oneOf([10, 125, 1_000, 70_000, 400_000]));
  talk.at = 0;
  const frames = chance.oneOf([1, 1, 3]);
  const size = Math.ceil(talk.bytes / frames);
  for (let at = 0; at < talk.bytes; at += size) {
    const bytes = Math.min(size, talk.bytes - at);
    const isFinal = at + bytes === talk.bytes;
    talk.line?.send(frameHead({ opcode: at === 0 ? 2 : 0, bytes, isFinal, isMasked: true }));
    for (let sent = 0; sent < bytes; ) {
      const piece = pieceOf(noise, talk.seed, at + sent, bytes - sent);
      talk.line?.send(piece);
      sent += piece.length;
    }
  }
}

/** Waits for something, or for the connection's end. */
async function step({ tally }: World, talk: Talk, condition: () => boolean): Promise<void> {
  const isDone = () => condition() || talk.isOver || talk.fault !== null;
  if (isDone()) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    tally.fault(`WebSocket ${talk.tag}: no answer after ${HANG_MS} ms`);
    resolve();
  }, HANG_MS);
  talk.onStep = () => {
    if (isDone()) resolve();
  };
  await promise;
  clearTimeout(timer);
}

async function part(world: World, talk: Talk): Promise<void> {
  const { chance, tally } = world;
  const way = chance.oneOf(["closes", "closes", "vanishes (RST)", "vanishes (FIN)"]);
  tally.count(`WebSocket: ${way}`);
  if (way === "vanishes (RST)") talk.line?.cut();
  else if (way === "vanishes (FIN)") talk.line?.end();
  else {
    talk.line?.send(frameHead({ opcode: 8, bytes: 2, isMasked: true }));
    talk.line?.send(new Uint8Array([0x03, 0xe8]));
    await step(world, talk, () => talk.hasClosed);
    talk.line?.end();
  }
}

function verdict(world: World, app: string, talk: Talk, sinceMs: number): unknown {
  const { tally, killedMs } = world;
  if (talk.fault !== null) return tally.fault(`WebSocket ${talk.tag}: ${talk.fault}`);
  if (talk.ownAnswer === null) return tally.count("WebSocket: done");
  tally.count(`WebSocket: ${talk.ownAnswer}`);
  const isExplained = isMortal(app) && sinceMs - (killedMs.get(app) ?? -Infinity) < 30_000;
  if (!isExplained) tally.fault(`WebSocket ${talk.tag}: Paastis answered ${talk.ownAnswer}`);
}
