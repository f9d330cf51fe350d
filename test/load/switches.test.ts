/** Switches under constant load: no request fails, and none goes to a version that is not active any more. */

import { expect, test } from "bun:test";
import { startPaastis } from "../support/start-paastis.ts";
import { createTimeline, startLoad } from "../support/switch-load.ts";
import { type SwitchTarget, startTarget } from "../support/switch-targets.ts";

const TOKEN = "a-token-of-these-tests";
/** `SWITCHES=1000` for the whole figure. */
const SWITCHES = Number(process.env.SWITCHES ?? 200);

function switchTo(port: number, target: SwitchTarget): Promise<Response> {
  const headers = { "x-admin-token": TOKEN };
  return fetch(`http://127.0.0.1:${port}/__switch?port=${target.port}`, {
    method: "POST",
    headers,
  });
}

test(`switches: ${SWITCHES} of them under 64 clients, uploads and WebSockets lose nothing`, async () => {
  const targets = ["v0", "v1", "v2", "v3"].map(startTarget);
  await using all = new AsyncDisposableStack();
  for (const target of targets) all.use(target);
  const [first = raise(), ...others] = targets;
  await using paastis = await startPaastis({
    config: "rules: []\n",
    env: {
      INITIAL_TARGET_PORT: String(first.port),
      ADMIN_TOKEN: TOKEN,
      ADMIN_RATE_LIMIT: "10000",
      DRAIN_MS: "20000",
      ROLLBACK_WINDOW_MS: "2000",
    },
  });
  const timeline = createTimeline(first.name);
  const load = startLoad({
    ...{ port: paastis.port, timeline },
    ...{ clients: 64, uploaders: 4, websockets: 12 },
  });
  const cycle = [...others, first];
  for (let count = 0; count < SWITCHES; count += 1) {
    const next = cycle[count % cycle.length] ?? raise();
    timeline.asked(next.name);
    const response = await switchTo(paastis.port, next);
    expect({ count, status: response.status }).toEqual({ count, status: 200 });
    timeline.done(next.name);
    await response.text();
  }
  await load.stop();
  const { faults, right, uploads, messages, closes } = load.tally;
  console.log(
    `${SWITCHES} switches: ${right} requests, ${uploads} uploads, ${messages} messages right; ` +
      `WebSockets closed with ${[...closes].map(([code, count]) => `${code} (${count})`).join(", ")}`,
  );
  expect(faults.slice(0, 10)).toEqual([]);
  expect([...closes.keys()].every((code) => code === 1000 || code === 1012)).toBe(true);
  expect(right).toBeGreaterThan(SWITCHES);
  expect(messages).toBeGreaterThan(0);
}, 180_000);

function raise(): never {
  throw new Error("there is none");
}
