/** kill -9 at any moment: the next start has no orphans and a correct picture. */

import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { everythingApp } from "../support/everything-app.ts";
import { eventually, isAlive, makeFolder, startPaastis } from "../support/start-paastis.ts";

function setting(options: { readonly bootMs: number; readonly ignoresTerm?: boolean }) {
  const folder = makeFolder();
  const runsFile = join(folder, "runs");
  const env = { BOOT_MS: String(options.bootMs), RUNS_FILE: runsFile };
  const app = everythingApp("shop", env, ["stop_timeout: 3"]);
  const config = options.ignoresTerm ? app.replace("exec ", `trap "" TERM; `) : app;
  const pids = () =>
    existsSync(runsFile)
      ? (readFileSync(runsFile, "utf8").match(/\d+(?=\n)/g) ?? []).map(Number)
      : [];
  return {
    folder,
    config: `apps:\n${config}`,
    pids,
    env: { START_AND_STOP_MAX_IDLE_TIME: "0.03" },
  };
}

async function expectCleanRestart(it: ReturnType<typeof setting>): Promise<void> {
  const before = it.pids();
  await using paastis = await startPaastis(it);
  expect(before.filter(isAlive)).toEqual([]);
  const answer = (await (await paastis.get("shop")).json()) as { pid: number };
  expect(it.pids().filter(isAlive)).toEqual([answer.pid]);
  await paastis.untilEvent("shop", "APP_STOPPED");
  await eventually("nothing is left", () => it.pids().filter(isAlive).length === 0);
}

test.concurrent("killed: while an app is waking", async () => {
  const it = setting({ bootMs: 3000 });
  const first = await startPaastis(it);
  void first.get("shop").catch(() => undefined);
  await eventually("the app has begun to boot", () => it.pids().length === 1);
  first.signal("SIGKILL");
  await first.ended;
  expect(it.pids().filter(isAlive)).toHaveLength(1);
  await expectCleanRestart(it);
});

test.concurrent("killed: while an app is awake", async () => {
  const it = setting({ bootMs: 0 });
  const first = await startPaastis(it);
  await first.get("shop");
  first.signal("SIGKILL");
  await first.ended;
  expect(it.pids().filter(isAlive)).toHaveLength(1);
  await expectCleanRestart(it);
});

test.concurrent("killed: while an app is being stopped", async () => {
  const it = setting({ bootMs: 0, ignoresTerm: true });
  const first = await startPaastis(it);
  await first.get("shop");
  await first.untilEvent("shop", "APP_STOPPING");
  first.signal("SIGKILL");
  await first.ended;
  await expectCleanRestart(it);
});

test.concurrent("killed: what sleeps is known to sleep, and events and last use are still there", async () => {
  const it = setting({ bootMs: 0 });
  const first = await startPaastis({ ...it, env: { ...it.env, LOGGING_LEVEL: "debug" } });
  await first.get("shop");
  await first.untilEvent("shop", "APP_STOPPED");
  // Events are written behind what is said of them: once something else was said, they are stored.
  const said = first.lines.length;
  await first.untilLine((line) => line.msg === "swept", said);
  first.signal("SIGKILL");
  await first.ended;
  await expectCleanRestart(it);
  const { Database } = await import("bun:sqlite");
  const database = new Database(join(it.folder, ".paastis/paastis.sqlite"), { readonly: true });
  const names = database.query("SELECT name FROM events ORDER BY id").values().flat();
  database.close();
  expect(names.filter((name) => name === "APP_STOPPED")).toHaveLength(2);
});
