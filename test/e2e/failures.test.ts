/** Apps that fail, and hooks that say no, on the compiled program. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { everythingApp } from "../support/everything-app.ts";
import { makeFolder, startPaastis } from "../support/start-paastis.ts";

test("failure: an app that does not start says why, with its last words, to every waiting request at once", async () => {
  const broken = "  broken:\n    command: echo cannot open the database >&2; sleep 0.3; exit 3\n";
  await using paastis = await startPaastis({ config: `apps:\n${broken}` });
  const answers = await Promise.all(Array.from({ length: 20 }, () => paastis.get("broken")));
  for (const answer of answers) {
    expect(answer.status).toBe(503);
    expect(answer.headers.get("paastis-error")).toBe("app_failed");
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    const { reason } = (await answer.json()) as { reason: string };
    expect(reason).toContain("exited with status 3");
    expect(reason).toContain("cannot open the database");
  }
  expect(paastis.events("broken").filter((name) => name === "APP_WAKING")).toHaveLength(1);
});

test("failure: SHOW_APP_OUTPUT=never keeps the app's words from visitors, not from the log", async () => {
  const broken = "  broken:\n    command: echo secret words; exit 3\n";
  await using paastis = await startPaastis({
    config: `apps:\n${broken}`,
    env: { SHOW_APP_OUTPUT: "never" },
  });
  const said = await (await paastis.get("broken")).text();
  expect(said).toContain("exited with status 3");
  expect(said).not.toContain("secret words");
  const event = await paastis.untilEvent("broken", "APP_START_FAILED");
  expect(String(event.reason)).toContain("secret words");
});

test("failure: an app that crashes while awake is noticed, and the next request wakes it", async () => {
  await using paastis = await startPaastis({ config: `apps:\n${everythingApp("shop")}` });
  const first = (await (await paastis.get("shop")).json()) as { pid: number };
  const crash = await paastis.get("shop", { path: "/crash" });
  expect(crash.status).toBeGreaterThanOrEqual(502);
  const event = await paastis.untilEvent("shop", "APP_CRASHED");
  expect(String(event.reason)).toContain("about to crash, as asked");
  let answer = await paastis.get("shop");
  while (answer.status === 503) {
    await Bun.sleep(Number(answer.headers.get("retry-after")) * 1000);
    answer = await paastis.get("shop");
  }
  expect(((await answer.json()) as { pid: number }).pid).not.toBe(first.pid);
});

test("hooks: they are told about the app in their environment, in order, and may say no", async () => {
  const folder = makeFolder();
  const file = join(folder, "hooks");
  const note = `echo "$PAASTIS_EVENT $PAASTIS_APP $PAASTIS_PROVIDER $PAASTIS_UPSTREAM" >> ${file}`;
  await using paastis = await startPaastis({
    config: `apps:\n${everythingApp("shop")}`,
    env: {
      START_AND_STOP_MAX_IDLE_TIME: "0",
      HOOKS_BEFORE_START: note,
      HOOKS_AFTER_START: note,
      // Says no the first time, yes the second.
      HOOKS_BEFORE_STOP: `${note}; test "$(grep -c before_stop ${file})" -gt 1`,
      HOOKS_AFTER_STOP: note,
    },
    folder,
  });
  await paastis.get("shop");
  await paastis.untilEvent("shop", "APP_STOP_VETOED");
  await paastis.untilEvent("shop", "APP_STOPPED");
  await paastis.untilEvent("shop", "APP_STOPPED");
  const lines = () => readFileSync(file, "utf8").trim().split("\n");
  while (lines().length < 5) await Bun.sleep(20);
  expect(lines().map((line) => line.split(" ")[0])).toEqual([
    "before_start",
    "after_start",
    "before_stop",
    "before_stop",
    "after_stop",
  ]);
  expect(lines()[1]).toMatch(/^after_start shop process http:\/\/127\.0\.0\.1:\d+$/);
});
