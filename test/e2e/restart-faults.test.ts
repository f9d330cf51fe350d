/** Restarts without a gap that fail, are refused, or are overtaken by something worse: what was served is served on. */

import { expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { takeLock } from "../../src/file-lock.ts";
import { everythingApp } from "../support/everything-app.ts";
import { testsInTurn } from "../support/in-turn.ts";
import { startLedgerPlatform } from "../support/platform-ledger.ts";
import { NOT_TAKEN, REFUSED, startRestartable } from "../support/restartable.ts";
import {
  EXECUTABLE,
  eventually,
  isAlive,
  makeFolder,
  startPaastis,
} from "../support/start-paastis.ts";
import { admin, TOKEN, versionedApp } from "../support/versioned-app.ts";

const story = testsInTurn(4);

function placeFor() {
  const folder = makeFolder();
  const runsFile = join(folder, "runs");
  const pids = () =>
    existsSync(runsFile)
      ? (readFileSync(runsFile, "utf8").match(/\d+(?=\n)/g) ?? []).map(Number)
      : [];
  return {
    folder,
    config: `apps:\n${everythingApp("shop", { RUNS_FILE: runsFile }, ["stop_timeout: 3"])}`,
    pids,
    living: () => pids().filter(isAlive),
  };
}

story("while an app is being switched it is refused, and that is said", async () => {
  const app = versionedApp();
  const env = { ADMIN_TOKEN: TOKEN, DEFAULT_APP: "shop", HEALTH_TIMEOUT_MS: "6000" };
  const started = { folder: app.folder, config: app.config, env };
  await using paastis = await startRestartable(started);
  await (await paastis.get("shop")).text();
  app.nextVersion("v2 unhealthy");
  const deploy = admin(paastis, "/__deploy");
  await eventually("it is being deployed", () => app.pids().length === 2);
  const { status, complained } = await paastis.runRestart();
  expect(status).toBe(1);
  expect(complained).toContain("shop is being switched: try again when that is done");
  expect((await deploy).status).toBe(409);
  expect(await paastis.runRestart()).toMatchObject({ status: 0, complained: "" });
  expect(await (await paastis.get("shop")).text()).toBe("v1");
});

story(
  "an executable that exits, and a broken configuration, change nothing; the verb says why",
  async () => {
    const place = placeFor();
    await using paastis = await startRestartable({ ...place, owns: true });
    await (await paastis.get("shop")).text();
    paastis.replaceBy("exit 3");
    const exits = await paastis.runRestart();
    expect(exits).toMatchObject({ status: 1, said: "" });
    expect(exits.complained).toContain("Cannot restart Paastis: it exited with status 3");
    paastis.replaceByRealOne();
    const file = join(place.folder, "paastis.yml");
    const from = paastis.lines.length;
    writeFileSync(file, "apps: 5\n");
    // It is watched, too.
    await paastis.untilLine(({ msg }) => msg.includes("is not taken over"), from);
    expect((await paastis.runRestart()).complained).toContain("it exited with status 78");
    writeFileSync(file, place.config);
    expect(paastis.lines.filter(({ msg }) => msg === NOT_TAKEN)).toHaveLength(2);
    expect((await paastis.get("shop")).status).toBe(200);
    const works = await paastis.runRestart();
    expect(works).toMatchObject({ status: 0, complained: "" });
    expect(works.said).toMatch(/^Process \d+ has taken the place of process \d+\.\n$/);
    expect((await paastis.get("shop")).status).toBe(200);
    expect(place.pids()).toHaveLength(1);
  },
);

story(
  "a new program that cannot begin is replaced by the one that ran, requests wait, and the next restart works",
  async () => {
    const place = placeFor();
    await using paastis = await startRestartable({ ...place, owns: true });
    await (await paastis.get("shop")).text();
    // It starts, and finds its data folder taken when everything was handed over.
    const taken = join(place.folder, "taken");
    mkdirSync(taken);
    const lock = takeLock(join(taken, "lock"));
    paastis.replaceBy(`DATA_DIR='${taken}' exec '${EXECUTABLE}'`);
    const outcome = paastis.runRestart();
    const answers: number[] = [];
    let isOver = false;
    const asking = (async () => {
      while (!isOver) answers.push((await paastis.get("shop")).status);
    })();
    const { status, complained } = await outcome;
    isOver = true;
    await asking;
    lock?.release();
    expect(new Set(answers)).toEqual(new Set([200]));
    expect(status).toBe(1);
    expect(complained).toContain("Cannot restart Paastis: it exited with status 1");
    expect(complained).toContain("with the program that ran before");
    paastis.replaceByRealOne();
    const again = await paastis.runRestart();
    expect(again).toMatchObject({ status: 0, complained: "" });
    expect((await paastis.get("shop")).status).toBe(200);
    expect(place.pids()).toHaveLength(1);
  },
);

story("the fetch engine says that it cannot", async () => {
  const config = "apps: { shop: { targets: ['http://127.0.0.1:9'] } }\n";
  const env = { ENGINE: "fetch", PROVIDER_NAME: "http" };
  await using paastis = await startRestartable({ config, env });
  const { status, complained } = await paastis.runRestart();
  expect(status).toBe(1);
  expect(complained).toContain("ENGINE=socket can");
  expect(paastis.lines.find(({ msg }) => msg === REFUSED)?.level).toBe("error");
});

story(
  "the old process killed: its app ends with it, and is started once when it is asked for",
  async () => {
    const place = placeFor();
    await using paastis = await startRestartable(place);
    await (await paastis.get("shop")).text();
    await paastis.restart();
    process.kill(paastis.pid, "SIGKILL");
    await paastis.untilEvent("shop", "APP_CRASHED");
    await eventually("it is served again", async () => (await paastis.get("shop")).status === 200);
    await eventually("one is left", () => place.living().length === 1);
    expect(place.living()).toEqual(place.pids().slice(-1));
    expect(place.pids()).toHaveLength(2);
  },
);

story(
  "the new process killed: the old one ends its app and itself, and the next start is clean",
  async () => {
    const place = placeFor();
    await using paastis = await startRestartable(place);
    await (await paastis.get("shop")).text();
    process.kill(await paastis.restart(), "SIGKILL");
    await eventually("all is gone", () => !isAlive(paastis.pid) && place.living().length === 0);
    await paastis.ended;
    await using next = await startPaastis(place);
    expect((await next.get("shop")).status).toBe(200);
    expect(place.living()).toHaveLength(1);
    expect(next.lines.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);
  },
);

story("told to stop in the middle of a draining, both let what is under way finish", async () => {
  const place = placeFor();
  await using paastis = await startRestartable(place);
  const download = await paastis.get("shop", { path: "/download?seconds=2" });
  await paastis.restart();
  for (const pid of paastis.pids) process.kill(pid, "SIGTERM");
  expect(await download.text()).toBe("x".repeat(20));
  expect(await paastis.ended).toBe(0);
  await eventually("both are gone", () => !paastis.pids.some(isAlive));
  expect(place.living()).toEqual([]);
});

story(
  "signals that come together, or too early, restart it once or twice, and lose nothing",
  async () => {
    const place = placeFor();
    await using paastis = await startRestartable(place);
    await (await paastis.get("shop")).text();
    for (let count = 0; count < 4; count += 1) process.kill(paastis.newest, "SIGUSR2");
    await paastis.restart();
    // The new one may still be asking its providers.
    await paastis.restart();
    expect(await paastis.runRestart()).toMatchObject({ status: 0, complained: "" });
    expect((await paastis.get("shop")).status).toBe(200);
    expect(place.pids()).toHaveLength(1);
  },
);

story("an app that ends, is put to sleep or deployed after a restart: as ever", async () => {
  const place = placeFor();
  await using paastis = await startRestartable(place);
  await (await paastis.get("shop")).text();
  await paastis.restart();
  await paastis.get("shop", { path: "/crash" }).catch(() => undefined);
  const crash = await paastis.untilEvent("shop", "APP_CRASHED");
  expect(crash.reason).toContain("exited with status 7");
  expect(crash.reason).toContain("about to crash, as asked");
  await eventually("the old process is gone", () => !isAlive(paastis.pid));
  await eventually("it is served again", async () => (await paastis.get("shop")).status === 200);
  await paastis.restart();
  expect((await viaSocket(place.folder, "/__apps/shop/sleep")).status).toBe(200);
  expect(place.living()).toEqual([]);
  expect((await paastis.get("shop")).status).toBe(200);
  await paastis.restart();
  expect((await viaSocket(place.folder, "/__deploy?app=shop")).status).toBe(200);
  expect((await paastis.get("shop")).status).toBe(200);
  expect(place.pids()).toHaveLength(4);
});

function viaSocket(folder: string, path: string): Promise<Response> {
  return fetch(`http://a${path}`, { method: "POST", unix: join(folder, ".paastis/admin.sock") });
}

story("an app that is being stopped is waited for, and nobody else waits meanwhile", async () => {
  const stopMs = 4_000;
  await using platform = await startLedgerPlatform({ stopMs });
  for (const name of ["shop", "desk"]) platform.addApp(name, true);
  const env = { ...platform.env, START_AND_STOP_MAX_IDLE_TIME: "0.03" };
  await using paastis = await startRestartable({ config: "", env });
  const state = { isOver: false, longestMs: 0 };
  const asking = (async () => {
    while (!state.isOver) {
      const sentMs = performance.now();
      expect((await paastis.get("desk")).status).toBe(200);
      state.longestMs = Math.max(state.longestMs, performance.now() - sentMs);
    }
  })();
  await paastis.untilEvent("shop", "APP_STOPPING");
  await paastis.restart();
  state.isOver = true;
  await asking;
  expect(state.longestMs).toBeLessThan(stopMs / 2);
  expect((await paastis.get("shop")).status).toBe(200);
  expect(platform.deeds("shop")).toEqual(["APP_STOPPED", "APP_STARTED"]);
});
