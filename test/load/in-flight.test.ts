/** Thousands of requests that wait for slow apps, and one app that is quick. */

import { expect, test } from "bun:test";
import { within } from "../support/pace.ts";
import { createChance } from "../support/random.ts";
import { until } from "../support/until.ts";
import { connectHttp } from "./http-client.ts";
import { connectLine, type Line } from "./line.ts";
import { createNoise } from "./noise.ts";
import { type Program, startProgram } from "./program.ts";
import type { LoadRequest } from "./request.ts";

const SLOW_APPS = ["slow-1", "slow-2", "slow-3", "slow-4", "slow-5"];
/** Below what one app may have under way, so that nothing queues. */
const PER_APP = 1_000;
const SAMPLES = 400;

const QUICK: LoadRequest = {
  app: "quick",
  method: "GET",
  target: "/blob?seed=5&bytes=1000&framing=length",
  tag: "quick",
  status: 200,
  seed: 5,
  bodyBytes: 0,
  bodyFraming: "none",
  wanted: "noise",
  wantedBytes: 1_000,
  wantedFraming: "length",
};

/** The median of many requests on one connection, ms. */
async function medianLatency(program: Program): Promise<number> {
  const chance = createChance(1);
  const client = await connectHttp(program.port, { noise: createNoise(), exact: true });
  const latencies: number[] = [];
  for (let n = 0; n < SAMPLES; n += 1) {
    const sinceMs = performance.now();
    const outcome = await client.ask(QUICK, chance);
    latencies.push(performance.now() - sinceMs);
    expect(outcome).toEqual({ kind: "right", bytes: 1_000 });
  }
  client.line.end();
  return latencies.toSorted((one, other) => one - other)[SAMPLES / 2] ?? Number.NaN;
}

async function hang(program: Program, app: string, answers: { count: number }): Promise<Line> {
  const count = () => {
    answers.count += 1;
  };
  const line = await connectLine(program.port, { onBytes: count, onOver: count });
  line.send(`GET /hang HTTP/1.1\r\nHost: ${app}.example\r\n\r\n`);
  return line;
}

async function requestsAt({ port }: Program, app: string): Promise<number> {
  const headers = { host: `${app}.example` };
  const answer = await fetch(`http://127.0.0.1:${port}/state`, { headers, keepalive: false });
  const state = (await answer.json()) as { readonly peers: number };
  return state.peers - 1;
}

test(`load: ${SLOW_APPS.length * PER_APP} requests in flight to slow apps do not delay another app`, async () => {
  // Fewer descriptors than that are no obstacle while more may be had.
  await using program = await startProgram({ apps: [...SLOW_APPS, "quick"], softLimit: 1_024 });
  for (const app of [...SLOW_APPS, "quick"]) await requestsAt(program, app);
  await medianLatency(program);
  const idleMs = await medianLatency(program);

  const answers = { count: 0 };
  const lines: Line[] = [];
  for (let n = 0; n < PER_APP; n += 50) {
    const batch = SLOW_APPS.flatMap((app) =>
      Array.from({ length: 50 }, () => hang(program, app, answers)),
    );
    lines.push(...(await Promise.all(batch)));
  }
  for (const app of SLOW_APPS) {
    await until(async () => (await requestsAt(program, app)) >= PER_APP);
  }
  const loadedMs = await medianLatency(program);
  console.log(
    `median latency ${idleMs.toFixed(3)} ms when idle, ${loadedMs.toFixed(3)} ms under load`,
  );
  expect(answers.count).toBe(0);
  expect(loadedMs).toBeLessThan(within(3 * idleMs + 10));

  for (const line of lines) line.cut();
  await until(() => program.sockets() < 100);
  expect(program.lines.filter(({ level }) => level === "error")).toEqual([]);
  expect(program.stderr).toBe("");
}, 180_000);
