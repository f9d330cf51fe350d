/** What may wake an app, what keeps it awake, and when: told to the program as its users tell it. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  EXECUTABLE,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";
import { until } from "../support/until.ts";

const PROGRAM = resolve(import.meta.dir, "../support/apps/busy.ts");
const command = `exec ${process.execPath} --no-install ${PROGRAM}`;
const folder = makeFolder();
const work = join(folder, "work");
const hooked = join(folder, "hooked");

const apps = ["monitored", "dark", "dim", "office", "busy", "worker", "sockets", "hooked"];
const CONFIG = `
apps:
${apps.map((key) => `  ${key}: { command: '${command}', env: { WORK_FILE: '${work}' } }`).join("\n")}
rules:
  - pattern: ^monitored$
    wake:
      ignore:
        - { user_agents: [UptimeRobot], status: 200 }
        - { bots: true }
  - pattern: ^dark$
    force_sleep: [{ time_zone: UTC }]
  - pattern: ^dim$
    force_sleep: [{ time_zone: UTC, wake: true }]
  - pattern: ^office$
    keep_awake: [{ days: mon-sun, time_zone: Europe/Paris }]
  - pattern: ^busy$
    busy: { url: /busy }
  - pattern: ^worker$
    busy: { header: true }
  - pattern: ^sockets$
    websocket_max_quiet_time: 0.02
  - pattern: ^hooked$
    hooks: { after_start: 'echo "$PAASTIS_EVENT $PAASTIS_APP" >> ${hooked}' }
`;

let paastis: RunningPaastis;
beforeAll(async () => {
  paastis = await startPaastis({
    folder,
    config: CONFIG,
    env: {
      START_AND_STOP_MAX_IDLE_TIME: "0.02",
      HOOKS_AFTER_START: `echo "for all $PAASTIS_APP" >> '${hooked}'`,
    },
  });
});
afterAll(() => paastis[Symbol.asyncDispose]());

const asked = (key: string, userAgent: string, path = "/") =>
  paastis.get(key, { path, headers: { "user-agent": userAgent } });
const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

test.concurrent("wake policy: monitors and bots neither wake an app nor keep it awake", async () => {
  const monitor = await asked("monitored", "UptimeRobot/2.0");
  expect(monitor.status).toBe(200);
  expect(monitor.headers.get("paastis-state")).toBe("asleep");
  expect((await asked("monitored", "Googlebot/2.1")).status).toBe(503);
  expect(paastis.events("monitored")).toEqual([]);
  expect(await (await asked("monitored", FIREFOX)).text()).toBe("here");
  const isOver = { value: false };
  const polled = (async () => {
    while (!isOver.value) {
      await asked("monitored", "UptimeRobot/2.0");
      await Bun.sleep(50);
    }
  })();
  await paastis.untilEvent("monitored", "APP_STOPPED");
  isOver.value = true;
  await polled;
  expect(paastis.events("monitored").filter((name) => name === "APP_WAKING")).toHaveLength(1);
});

test.concurrent("wake policy: within force_sleep a request is told so, unless it may wake the app", async () => {
  const dark = await asked("dark", FIREFOX);
  expect(dark.status).toBe(503);
  expect(dark.headers.get("paastis-error")).toBe("app_asleep");
  expect(await dark.json()).toMatchObject({ error: "app_asleep", app: "dark" });
  expect(await (await asked("dim", FIREFOX)).text()).toBe("here");
  await paastis.untilEvent("dim", "APP_STOPPED");
  expect(paastis.events("dark")).toEqual([]);
});

test.concurrent("wake policy: within keep_awake an app is woken by the clock, and stays awake", async () => {
  const line = await paastis.untilEvent("office", "APP_STARTED");
  expect(JSON.stringify(line)).toContain("keep_awake has begun");
  const from = paastis.lines.length;
  // Sweeps go on, and put others to sleep.
  await asked("dim", FIREFOX);
  await paastis.untilEvent("dim", "APP_STOPPED", from);
  expect(paastis.events("office")).toEqual(["APP_WAKING", "APP_STARTED"]);
});

test.concurrent("wake policy: an app that says it is busy is not put to sleep", async () => {
  writeFileSync(work, "");
  await asked("busy", FIREFOX);
  const line = await paastis.untilEvent("busy", "APP_STOP_VETOED");
  expect(JSON.stringify(line)).toContain("it is busy: status 200 from /busy");
  expect(paastis.events("busy")).not.toContain("APP_STOPPING");
});

test.concurrent("wake policy: an app's header Keep-Awake keeps it awake for so long", async () => {
  const begunMs = performance.now();
  const answer = await asked("worker", FIREFOX, "/work?for=4s");
  expect(answer.headers.get("keep-awake")).toBe("4s");
  await paastis.untilEvent("worker", "APP_STOPPED");
  expect(performance.now() - begunMs).toBeGreaterThan(3900);
});

test.concurrent("wake policy: a quiet WebSocket lets its app sleep, and is closed with 1001", async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${paastis.port}/socket`, {
    headers: { host: "sockets.example" },
  });
  const closed = new Promise<number>((done) => {
    socket.onclose = ({ code }) => done(code);
  });
  await new Promise((done, failed) => {
    socket.onopen = done;
    socket.onerror = failed;
  });
  await paastis.untilEvent("sockets", "APP_STOPPED");
  expect(await closed).toBe(1001);
});

test.concurrent("wake policy: an app's own hook runs after the one for all", async () => {
  await asked("hooked", FIREFOX);
  const own = () => (existsSync(hooked) ? readFileSync(hooked, "utf8").split("\n") : []);
  await until(() => own().includes("after_start hooked"));
  expect(own().indexOf("for all hooked")).toBeLessThan(own().indexOf("after_start hooked"));
  expect(own().filter((line) => line.startsWith("after_start"))).toEqual(["after_start hooked"]);
});

test.concurrent("wake policy: check points out what contradicts itself", async () => {
  const place = makeFolder();
  const config = `apps:
  shop:
    command: ./shop
    keep_awake: [{ hours: 8-21 }]
    force_sleep: [{ hours: 20-7 }]
`;
  writeFileSync(join(place, "paastis.yml"), config);
  const check = Bun.spawn([EXECUTABLE, "check"], {
    cwd: place,
    env: { PATH: process.env.PATH ?? "", PROVIDER_NAME: "process" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const said =
    (await new Response(check.stdout).text()) + (await new Response(check.stderr).text());
  expect(await check.exited).toBe(0);
  expect(said).toContain("overlap: force_sleep goes first");
});
