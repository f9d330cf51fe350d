/** The main job with real processes, on the compiled program: wake on request, forward, put to sleep. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { everythingApp } from "../support/everything-app.ts";
import { within } from "../support/pace.ts";
import { eventually, isAlive, makeFolder, startPaastis } from "../support/start-paastis.ts";

// First, and alone: the others would take its time.
test("main job: from the app listening to the first byte at the client, at most 60 ms (median of 20 wakes)", async () => {
  const keys = Array.from({ length: 20 }, (_, n) => `app-${n}`);
  await using paastis = await startPaastis({
    config: `apps:\n${keys.map((key) => everythingApp(key, { BOOT_MS: "150" })).join("")}`,
  });
  const delays: number[] = [];
  for (const key of keys) {
    const answer = await paastis.get(key);
    const firstByteMs = performance.timeOrigin + performance.now();
    const { listeningSinceMs } = (await answer.json()) as { listeningSinceMs: number };
    delays.push(firstByteMs - listeningSinceMs);
  }
  const median = delays.sort((a, b) => a - b)[10] ?? Number.NaN;
  console.log(`wake delay, median of 20: ${median.toFixed(1)} ms`);
  expect(median).toBeLessThanOrEqual(within(60));
});

test.concurrent("main job: 200 requests for a sleeping app make one start, all are answered, then it sleeps and wakes again", async () => {
  const folder = makeFolder();
  const runsFile = join(folder, "runs");
  await using paastis = await startPaastis({
    config: `apps:\n${everythingApp("shop", { BOOT_MS: "500", RUNS_FILE: runsFile })}`,
    env: { START_AND_STOP_MAX_IDLE_TIME: "0.05" },
    folder,
  });
  const runs = () => readFileSync(runsFile, "utf8").trim().split("\n").map(Number);

  const asked = Array.from({ length: 200 }, (_, n) => paastis.get("shop", { path: `/${n}` }));
  const answers = await Promise.all(asked);
  const bodies = (await Promise.all(answers.map((answer) => answer.json()))) as { path: string }[];
  expect(answers.every((answer) => answer.status === 200)).toBe(true);
  expect(bodies.map((body) => body.path)).toEqual(bodies.map((_, n) => `/${n}`));
  expect(runs()).toHaveLength(1);

  const [pid = 0] = runs();
  expect(isAlive(pid)).toBe(true);
  await paastis.untilEvent("shop", "APP_STOPPED");
  await eventually("the process is gone", () => !isAlive(pid));

  const again = (await (await paastis.get("shop")).json()) as { pid: number };
  expect(runs()).toHaveLength(2);
  expect(again.pid).not.toBe(pid);
  expect(paastis.events("shop")).toEqual([
    "APP_WAKING",
    "APP_STARTED",
    "APP_STOPPING",
    "APP_STOPPED",
    "APP_WAKING",
    "APP_STARTED",
  ]);
});

test.concurrent("main job: linked apps wake together, and the use of one keeps the other awake", async () => {
  const front = everythingApp("front", {}, ["linked_apps: [back]"]);
  await using paastis = await startPaastis({
    config: `apps:\n${front}${everythingApp("back")}`,
    env: { START_AND_STOP_MAX_IDLE_TIME: "0.05" },
  });
  const download = await paastis.get("front", { path: "/download?seconds=5" });
  await paastis.untilEvent("back", "APP_STARTED");
  await download.text();
  expect(paastis.events("back")).not.toContain("APP_STOPPED");
  await paastis.untilEvent("back", "APP_STOPPED");
});

test.concurrent("main job: the sample of the README works as it stands", async () => {
  const sample = readFileSync(join(import.meta.dir, "../../paastis.yml.sample"), "utf8");
  await using paastis = await startPaastis({ config: sample });
  expect((await paastis.get("no-such-app")).status).toBe(404);
});
