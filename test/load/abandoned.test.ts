/** Clients that leave at any moment, many of them: nothing of their requests may stay. */

import { expect, test } from "bun:test";
import { type Chance, createChance } from "../support/random.ts";
import { until } from "../support/until.ts";
import { connectLine, type Line } from "./line.ts";
import { type Program, startProgram } from "./program.ts";

const ABANDONED = 10_000;
const WARM_UP = 1_000;
const AT_A_TIME = 200;

/** Up to 35 MB more were seen without a leak, before the heap was tidied; 4 KB per request would fail. */
const GROWTH_MAX_BYTES = 40 * 1_048_576;

const REQUESTS: readonly string[] = [
  "GET /hang HTTP/1.1\r\nHost: slow.example\r\n\r\n",
  "GET /late?ms=40 HTTP/1.1\r\nHost: slow.example\r\n\r\n",
  "GET /drip HTTP/1.1\r\nHost: slow.example\r\n\r\n",
  "GET /blob?seed=1&bytes=3000000 HTTP/1.1\r\nHost: slow.example\r\n\r\n",
  `POST /sum HTTP/1.1\r\nHost: slow.example\r\nContent-Length: 90000\r\n\r\n${"x".repeat(50_000)}`,
  `POST /sum HTTP/1.1\r\nHost: slow.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel`,
  `POST /sip?firstMs=500 HTTP/1.1\r\nHost: slow.example\r\nContent-Length: 90000\r\n\r\n${"x".repeat(90_000)}`,
];

/** One client: asks, or begins to, and leaves after a moment or as soon as something comes. */
async function abandon(port: number, chance: Chance): Promise<void> {
  const { promise: answered, resolve } = Promise.withResolvers<void>();
  const line = await connectLine(port, { onBytes: () => resolve(), onOver: () => resolve() });
  const request = chance.oneOf(REQUESTS);
  const isWhole = chance.happens(0.8);
  line.send(isWhole ? request : request.slice(0, chance.between(0, request.length)));
  const leaves = Bun.sleep(chance.between(0, 25));
  await (chance.happens(0.3) ? Promise.race([answered, leaves]) : leaves);
  if (chance.happens(0.5)) line.cut();
  else line.end();
}

async function abandonMany(port: number, count: number, chance: Chance): Promise<void> {
  let left = count;
  const one = async () => {
    while (left > 0) {
      left -= 1;
      await abandon(port, chance);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, one));
}

function ignore(): void {
  // Nothing comes.
}

/** Keeps the app awake. */
async function hang(port: number): Promise<Line> {
  const line = await connectLine(port, { onBytes: ignore, onOver: ignore });
  line.send(REQUESTS[0] ?? "");
  return line;
}

async function connectionsOfApp({ port }: Program): Promise<number> {
  const headers = { host: "slow.example", connection: "close" };
  const answer = await fetch(`http://127.0.0.1:${port}/state`, { headers, keepalive: false });
  const state = (await answer.json()) as { readonly peers: number };
  return state.peers;
}

/** The client that hangs, and the one that asks. */
const AT_REST = 2;

async function untilAtRest(program: Program): Promise<void> {
  // Each look is a request itself, so not too many of them.
  await until(async () => {
    await Bun.sleep(50);
    return (await connectionsOfApp(program)) <= AT_REST;
  });
}

test(`load: ${ABANDONED} abandoned requests leave no memory, no socket and no lease behind`, async () => {
  const seed = Date.now() % 1_000_000;
  const chance = createChance(seed);
  await using program = await startProgram({
    apps: ["slow"],
    env: { START_AND_STOP_MAX_IDLE_TIME: "0", UPSTREAM_KEEPALIVE_MSECS: "500" },
  });
  const anchor = await hang(program.port);
  await abandonMany(program.port, WARM_UP, chance);
  await untilAtRest(program);
  const socketsBefore = program.sockets();
  const bytesBefore = program.rssBytes();

  await abandonMany(program.port, ABANDONED, chance);
  await untilAtRest(program);
  await until(() => program.sockets() <= socketsBefore);
  const grownBytes = () => program.rssBytes() - bytesBefore;
  // What nobody needs any more is given back a moment later.
  await until(() => grownBytes() < GROWTH_MAX_BYTES).catch(() => null);
  console.log(
    `seed ${seed}: sockets ${socketsBefore} before, ${program.sockets()} after; ` +
      `memory ${bytesBefore / 1024} KB before, ${grownBytes() / 1024} KB more after`,
  );
  expect(grownBytes()).toBeLessThan(GROWTH_MAX_BYTES);
  expect(program.events("APP_STOPPED")).toEqual([]);

  anchor.cut();
  await program.untilAllSleep();
  expect(program.lines.filter(({ level }) => level === "error")).toEqual([]);
  expect(program.stderr).toBe("");
}, 180_000);
