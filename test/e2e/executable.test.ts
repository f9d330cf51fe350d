/** What the one file promises by itself: a quick start, little memory, and a clean end. */

import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { everythingApp } from "../support/everything-app.ts";
import { within } from "../support/pace.ts";
import {
  EXECUTABLE,
  isAlive,
  makeFolder,
  startPaastis,
  untilInFlight,
} from "../support/start-paastis.ts";

const CONFIG = `apps:\n${everythingApp("shop")}`;

test("executable: listens within 250 ms and rests below 80 MB (best of 5 starts)", async () => {
  const starts: number[] = [];
  const cpu: number[] = [];
  let residentMb = Number.POSITIVE_INFINITY;
  for (let n = 0; n < 5; n += 1) {
    await using paastis = await startPaastis({ config: CONFIG });
    starts.push(paastis.startedInMs);
    cpu.push(cpuMsOf(paastis.pid));
    const status = readFileSync(`/proc/${paastis.pid}/status`, "utf8");
    residentMb = Math.min(residentMb, Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
  }
  console.log(
    `start: ${Math.min(...starts).toFixed(0)} ms, of processor time ${Math.min(...cpu)} ms; idle: ${residentMb.toFixed(1)} MB`,
  );
  // Other tests run on the same cores: of time by the clock only processor time is its own.
  expect(Math.min(...starts, ...cpu)).toBeLessThanOrEqual(within(250));
  expect(residentMb).toBeLessThanOrEqual(80);
});

/** `utime` and `stime` of proc(5), counted in hundredths of a second. */
function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

test("executable: writes nothing but its data folder", async () => {
  const folder = makeFolder();
  {
    await using paastis = await startPaastis({ config: CONFIG, folder });
    await paastis.get("shop");
  }
  expect(readdirSync(folder).sort()).toEqual([".paastis", "paastis.yml"]);
});

test("executable: SIGTERM lets a request in flight finish, refuses new ones, ends the apps and exits 0", async () => {
  await using paastis = await startPaastis({ config: CONFIG });
  const { pid } = (await (await paastis.get("shop")).json()) as { pid: number };
  const slow = paastis.get("shop", { path: "/slow?ms=1500" });
  await untilInFlight(paastis, "shop", 1);
  paastis.signal("SIGTERM");
  await paastis.untilLine((line) => line.msg.startsWith("stopping"));
  await expect(paastis.get("shop")).rejects.toThrow();
  expect(await (await slow).text()).toBe("slow, but here");
  expect(await paastis.ended).toBe(0);
  expect(isAlive(pid)).toBe(false);
});

test("executable: a second signal cuts what is in flight, and apps that take their time to stop", async () => {
  const stubborn = CONFIG.replace("exec ", 'trap "" TERM; ');
  await using paastis = await startPaastis({ config: stubborn });
  const { pid } = (await (await paastis.get("shop")).json()) as { pid: number };
  const cut = paastis.get("shop", { path: "/slow?ms=60000" }).catch(() => "cut");
  await untilInFlight(paastis, "shop", 1);
  paastis.signal("SIGTERM");
  await paastis.untilLine((line) => line.msg.startsWith("stopping"));
  const hurriedMs = performance.now();
  paastis.signal("SIGTERM");
  expect(await cut).toBe("cut");
  expect(await paastis.ended).toBe(0);
  expect(isAlive(pid)).toBe(false);
  expect(performance.now() - hurriedMs).toBeLessThan(within(5000));
});

test("executable: WebSockets are closed with 1001 on SIGTERM", async () => {
  await using paastis = await startPaastis({
    config: CONFIG,
    env: { SHUTDOWN_TIMEOUT_MS: "1000" },
  });
  const socket = new WebSocket(`ws://127.0.0.1:${paastis.port}/socket`, {
    headers: { host: "shop.example" },
  });
  await new Promise((resolve) => {
    socket.onopen = resolve;
  });
  const closed = new Promise<number>((resolve) => {
    socket.onclose = (event) => resolve(event.code);
  });
  paastis.signal("SIGTERM");
  expect(await closed).toBe(1001);
  expect(await paastis.ended).toBe(0);
});

test("executable: a wrong configuration exits 78 before it listens, with all problems at once", async () => {
  const folder = makeFolder();
  const child = Bun.spawn([EXECUTABLE], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", PORT: "80a", START_AND_STOP_MAX_IDLE_TIME: "soon" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = await child.stderr.text();
  expect(await child.exited).toBe(78);
  for (const name of ["PORT", "START_AND_STOP_MAX_IDLE_TIME", "PROVIDER_NAME"]) {
    expect(said).toContain(name);
  }
});

test("executable: two of them cannot share a data folder", async () => {
  await using first = await startPaastis({ config: CONFIG });
  const second = Bun.spawn([EXECUTABLE], {
    cwd: first.folder,
    env: { PATH: process.env.PATH ?? "", PROVIDER_NAME: "process", PORT: "0" },
    stdout: "pipe",
    stderr: "pipe",
  });
  expect(await second.exited).toBe(1);
  expect(await second.stderr.text()).toContain(join(first.folder, ".paastis"));
});
