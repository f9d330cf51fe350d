/** Thousands of WebSockets on which nothing is said. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { until } from "../support/until.ts";
import { createFrameReader, frameHead } from "./frame-reader.ts";
import { connectLine, type Line } from "./line.ts";
import { createMessageReader } from "./message-reader.ts";
import { startProgram } from "./program.ts";

const WANTED = 10_000;
const AT_A_TIME = 250;

/** What a socket may cost, both its sides and all that is kept of them. */
const BYTES_PER_SOCKET_MAX = 16_384;

/** Each takes two descriptors of the program; some are left for everything else. */
const COUNT = Math.min(WANTED, Math.floor((hardLimit() - 500) / 2));

function hardLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const hard = /^Max open files\s+\d+\s+(\w+)/m.exec(limits)?.[1];
  return hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard);
}

interface Talk {
  line: Line;
  isGreeted: boolean;
  echoed: string;
  closeCode: number | null;
  isOver: boolean;
}

/** Resolves when the app's greeting, sent right behind its agreement, has come. */
async function open(port: number): Promise<Talk> {
  const { promise: greeted, resolve, reject } = Promise.withResolvers<void>();
  const answer = (text: string) => {
    if (talk.isGreeted) talk.echoed += text;
    talk.isGreeted = true;
    resolve();
  };
  const pushFrames = framesOf((code) => {
    talk.closeCode = code;
    talk.line.send(Buffer.concat([frameHead({ opcode: 8, bytes: 2, isMasked: true }), CODE_1001]));
  }, answer);
  const reader = createMessageReader({
    onHead({ first }) {
      if (!first.startsWith("HTTP/1.1 101")) throw new Error(first);
      return { kind: "raw" };
    },
    onBody: pushFrames,
    onEnd: () => reject(new Error("the answer ended")),
  });
  const talk: Talk = {
    line: await connectLine(port, {
      onBytes(bytes) {
        try {
          reader.push(bytes);
        } catch (error) {
          reject(error);
        }
      },
      onOver() {
        talk.isOver = true;
        reject(new Error("closed"));
      },
    }),
    isGreeted: false,
    echoed: "",
    closeCode: null,
    isOver: false,
  };
  talk.line.send(UPGRADE);
  await greeted;
  return talk;
}

function framesOf(onClose: (code: number) => void, onText: (text: string) => void) {
  let payload = "";
  return createFrameReader({
    onFrame() {
      payload = "";
    },
    onPayload(piece) {
      payload += piece.toString("latin1");
    },
    onEnd({ opcode }) {
      if (opcode !== 8) return onText(payload);
      onClose(Buffer.from(payload, "latin1").readUInt16BE(0));
    },
  });
}

const CODE_1001 = Buffer.from([0x03, 0xe9]);

const UPGRADE = [
  "GET /socket HTTP/1.1",
  "Host: chat.example",
  "X-Tag: hello",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
].join("\r\n");

async function openMany(port: number, count: number): Promise<Talk[]> {
  const talks: Talk[] = [];
  while (talks.length < count) {
    const batch = Math.min(AT_A_TIME, count - talks.length);
    talks.push(...(await Promise.all(Array.from({ length: batch }, () => open(port)))));
  }
  return talks;
}

test(`load: ${COUNT} idle WebSockets cost little, one still talks, and all are closed with 1001`, async () => {
  await using program = await startProgram({ apps: ["chat"], softLimit: 1_024 });
  const first = await openMany(program.port, AT_A_TIME);
  const bytesBefore = program.rssBytes();
  const talks = await openMany(program.port, COUNT - first.length);
  const perSocket = (program.rssBytes() - bytesBefore) / talks.length;
  talks.push(...first);
  console.log(`${talks.length} WebSockets: ${(perSocket / 1024).toFixed(1)} KB of memory each`);
  expect(perSocket).toBeLessThan(BYTES_PER_SOCKET_MAX);

  const one = talks[COUNT >> 1];
  if (one === undefined) throw new Error("there is none");
  one.line.send(Buffer.concat([frameHead({ opcode: 1, bytes: 5, isMasked: true }), WORD]));
  await until(() => one.echoed === "still");
  expect(talks.filter(({ isOver }) => isOver)).toEqual([]);

  expect(await program.stop()).toBe(0);
  await until(() => talks.every(({ isOver }) => isOver));
  expect(talks.filter(({ closeCode }) => closeCode !== 1001).length).toBe(0);
  expect(program.lines.filter(({ level }) => level === "error")).toEqual([]);
  expect(program.stderr).toBe("");
}, 180_000);

const WORD = Buffer.from("still");
