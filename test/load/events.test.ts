/** Server-sent events reach the client when they are sent. */

import { expect, test } from "bun:test";
import { within } from "../support/pace.ts";
import { startProgram } from "./program.ts";

const EVENTS = 150;
const STREAMS = 5;
const GAP_MS = 5;
const LATENCY_MAX_MS = 20;

/** Another test may have the processor for itself for a moment: one quiet round is enough. */
const ROUNDS_MAX = 5;

/** How long each event of one stream was on its way, ms; both processes read the machine's clock. */
async function latenciesOf(port: number): Promise<number[]> {
  const path = `/events?count=${EVENTS}&gapMs=${GAP_MS}`;
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    headers: { host: "news.example", "x-tag": "reader" },
  });
  if (answer.body === null) throw new Error("there is no body");
  const latencies: number[] = [];
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of answer.body) {
    const nowMs = performance.timeOrigin + performance.now();
    const events = (text + decoder.decode(piece, { stream: true })).split("\n\n");
    text = events.pop() ?? "";
    for (const event of events.filter((block) => !block.startsWith(":"))) {
      const data = JSON.parse(event.slice("data: ".length));
      expect(data).toMatchObject({ id: latencies.length, tag: "reader" });
      latencies.push(nowMs - data.sentMs);
    }
  }
  return latencies;
}

function share(latencies: readonly number[], part: number): number {
  const sorted = latencies.toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
}

test(`load: server-sent events arrive within ${LATENCY_MAX_MS} ms of being sent`, async () => {
  await using program = await startProgram({ apps: ["news"] });
  let [median, most] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let round = 0; round < ROUNDS_MAX && most >= within(LATENCY_MAX_MS); round += 1) {
    const streams = Array.from({ length: STREAMS }, () => latenciesOf(program.port));
    const latencies = (await Promise.all(streams)).flat();
    expect(latencies.length).toBe(STREAMS * EVENTS);
    median = share(latencies, 0.5);
    most = share(latencies, 0.95);
    console.log(`events: median ${median.toFixed(2)} ms, 95 % within ${most.toFixed(2)} ms`);
  }
  expect(median).toBeLessThan(within(LATENCY_MAX_MS));
  expect(most).toBeLessThan(within(LATENCY_MAX_MS));
}, 180_000);
