/** Changes to paastis.yml while the compiled program runs. */

import { expect, test } from "bun:test";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { everythingApp } from "../support/everything-app.ts";
import { eventually, isAlive, startPaastis } from "../support/start-paastis.ts";

const SHOP = everythingApp("shop");
const CONFIG = `apps:\n${SHOP}`;
const IDLE = { START_AND_STOP_MAX_IDLE_TIME: "60", LOGGING_LEVEL: "debug" };

test("reload: an app that is added can be reached, one that is removed is ended and gone", async () => {
  await using paastis = await startPaastis({ config: CONFIG, env: IDLE });
  const file = join(paastis.folder, "paastis.yml");
  const { pid } = (await (await paastis.get("shop")).json()) as { pid: number };
  expect((await paastis.get("blog")).status).toBe(404);

  // Editors write beside the file and rename.
  writeFileSync(`${file}.new`, `apps:\n${everythingApp("blog")}`);
  renameSync(`${file}.new`, file);
  await paastis.untilEvent("shop", "APP_UNREGISTERED");
  await eventually("the removed app's process is gone", () => !isAlive(pid));
  expect((await paastis.get("shop")).status).toBe(404);
  expect((await paastis.get("blog")).status).toBe(200);
});

test("reload: a broken file is reported with its line, and apps and rules stay", async () => {
  await using paastis = await startPaastis({ config: CONFIG, env: IDLE });
  const file = join(paastis.folder, "paastis.yml");
  writeFileSync(file, `${CONFIG}rules:\n  - pattern: '('\n    app_max_idle_tim: 3\n`);
  const line = await paastis.untilLine(({ level }) => level === "error");
  expect(JSON.stringify(line)).toContain("app_max_idle_time");
  expect(line.msg).toContain("apps and rules stay as they were");
  // Every line of it says something.
  expect(String(line.reason)).not.toMatch(/^\W*$/m);
  expect(line.next).toContain("paastis check");
  expect((await paastis.get("shop")).status).toBe(200);
});

test("reload: SIGHUP reads the file, and rules act on apps that are awake already", async () => {
  await using paastis = await startPaastis({ config: CONFIG, env: IDLE });
  await paastis.get("shop");
  const rules = "rules:\n  - pattern: shop\n    app_max_idle_time: 0\n";
  writeFileSync(join(paastis.folder, "paastis.yml"), `${CONFIG}${rules}`);
  paastis.signal("SIGHUP");
  await paastis.untilEvent("shop", "APP_STOPPED");
});
