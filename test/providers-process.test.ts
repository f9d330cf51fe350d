/** The provider `process`: the contract, and what real children do to it. */

import { expect, test } from "bun:test";
import { readdirSync, realpathSync } from "node:fs";

import { LINE_BYTES_MAX, LINES_PER_SECOND_MAX } from "../src/providers/process-output.ts";
import { describeProvider, patient, rejection, untilPhase } from "./contract/provider.ts";
import { within } from "./support/pace.ts";
import {
  bunCommand,
  declareProcess,
  lives,
  SERVER,
  testedProvider,
  until,
} from "./support/process-provider.ts";

const WAIT = "echo pid=$$; exec sleep 60";

describeProvider("process", async () => {
  const tested = await testedProvider([declareProcess("shop", WAIT), declareProcess("blog", WAIT)]);
  return {
    provider: tested.provider,
    appId: "shop",
    [Symbol.asyncDispose]: () => tested[Symbol.asyncDispose](),
  };
});

test("process: a woken server answers at its target, and is gone after a sleep", async () => {
  await using apps = await testedProvider([declareProcess("shop", SERVER)]);
  const origin = await apps.wake("shop");
  const pid = await apps.printed("shop", /listening (\d+)/);
  expect(await (await fetch(origin, { proxy: false } as RequestInit)).text()).toBe(pid);
  await apps.sleep("shop");
  expect(lives(pid)).toBe(false);
  expect(await apps.provider.observe("shop", patient())).toEqual({ phase: "asleep", target: null });
  expect(apps.notices).toEqual([]);
});

test("process: a child gets its folder, its variables, PORT, and no HOST", async () => {
  await using apps = await testedProvider([
    declareProcess("shop", 'echo "$(pwd) $NAME $PORT host=$HOST $PAASTIS_APP"; sleep 60', {
      env: { NAME: "two words" },
      port: 29_123,
      cwd: "/usr",
    }),
  ]);
  const origin = await apps.wake("shop");
  expect(await apps.printed("shop", /^(.*two.*)$/)).toBe(
    `${realpathSync("/usr")} two words 29123 host= shop`,
  );
  expect(origin).toBe("http://127.0.0.1:29123");
});

test("process: a child inherits none of our files and listeners", async () => {
  using listener = Bun.serve({ port: 0, fetch: () => new Response("ours") });
  await using apps = await testedProvider([
    declareProcess("shop", "for fd in /proc/self/fd/*; do echo fd=$(basename $fd); done; sleep 60"),
  ]);
  expect(listener.port).toBeGreaterThan(0);
  await apps.wake("shop");
  await apps.printed("shop", /^fd=2$/);
  const numbers = apps.output("shop").map((line) => Number(line.slice(3)));
  expect(numbers.filter((fd) => fd > 3)).toEqual([]);
});

test("process: a child that ignores SIGTERM is killed after stop_timeout", async () => {
  await using apps = await testedProvider([
    declareProcess("shop", 'trap "" TERM; echo pid=$$; while :; do sleep 0.05; done', {
      stopTimeoutMs: 300,
    }),
  ]);
  await apps.wake("shop");
  const pid = await apps.printed("shop", /pid=(\d+)/);
  const beganMs = performance.now();
  const sleeping = apps.sleep("shop");
  expect((await apps.provider.observe("shop", patient())).phase).toBe("stopping");
  await sleeping;
  expect(performance.now() - beganMs).toBeGreaterThan(290);
  expect(lives(pid)).toBe(false);
  expect((await apps.provider.observe("shop", patient())).phase).toBe("asleep");
});

test("process: the stop signal is the declared one, and its status is no crash", async () => {
  await using apps = await testedProvider([
    declareProcess(
      "shop",
      'trap "echo got INT; exit 7" INT; echo up; while :; do sleep 0.05; done',
      {
        stopSignal: "SIGINT",
      },
    ),
  ]);
  await apps.wake("shop");
  await apps.printed("shop", /^up$/);
  await apps.sleep("shop");
  expect(apps.output("shop")).toContain("got INT");
  expect(apps.notices).toEqual([]);
  expect((await apps.provider.observe("shop", patient())).phase).toBe("asleep");
});

test("process: a sleep ends grandchildren, in the background, in groups and sessions of their own", async () => {
  const command = `sleep 61 & echo background=$!; setsid sh -c 'echo session=$$; exec sleep 62' &
    ${bunCommand('console.log("bun=" + process.pid); setInterval(() => 0, 1000)')} & wait`;
  await using apps = await testedProvider([declareProcess("shop", command)]);
  await apps.wake("shop");
  const pids = [
    await apps.printed("shop", /background=(\d+)/),
    await apps.printed("shop", /session=(\d+)/),
    await apps.printed("shop", /bun=(\d+)/),
  ];
  expect(pids.map(lives)).toEqual([true, true, true]);
  await apps.sleep("shop");
  expect(pids.map(lives)).toEqual([false, false, false]);
});

test("process: an exit with status 0 is noticed as asleep", async () => {
  await using apps = await testedProvider([declareProcess("shop", "echo bye; exit 0")]);
  await apps.wake("shop");
  await until(() => apps.notices.length > 0, "an exit is noticed");
  const observation = { phase: "asleep", target: null, reason: "exited with status 0" } as const;
  expect(apps.notices).toEqual([{ id: "shop", observation }]);
  expect(await apps.provider.observe("shop", patient())).toEqual(observation);
  expect((await apps.provider.list(patient()))[0]?.observation).toEqual(observation);
});

test("process: a crash is noticed with its status and its last, cleaned words", async () => {
  const command = "printf 'one\\n\\033[31mred\\033[0m \\001text\\n'; echo no newline >&2; exit 3";
  await using apps = await testedProvider([declareProcess("shop", command)]);
  await apps.wake("shop");
  await until(() => apps.notices.length > 0, "a crash is noticed");
  const seen = await apps.provider.observe("shop", patient());
  expect(seen.phase).toBe("failed");
  expect(seen.reason).toMatch(/^exited with status 3 after \d\.\d s; last output: /);
  expect(seen.reason).toContain("one | red text");
  expect(seen.reason).toContain("no newline");
  await apps.sleep("shop");
  expect(await apps.provider.observe("shop", patient())).toEqual(seen);
});

test("process: a crash later on is noticed with the signal's name; the next wake starts anew", async () => {
  await using apps = await testedProvider([declareProcess("shop", WAIT)]);
  await apps.wake("shop");
  const pid = Number(await apps.printed("shop", /pid=(\d+)/));
  process.kill(pid, "SIGSEGV");
  await until(() => apps.notices.length > 0, "a crash is noticed");
  expect(apps.notices[0]?.observation.reason).toStartWith("was killed by SIGSEGV after ");
  await apps.wake("shop");
  await untilPhase(apps.provider, "shop", "awake");
  expect(apps.notices).toHaveLength(1);
});

test("process: what a main process leaves behind when it ends is ended, too", async () => {
  const command =
    "(trap '' TERM; echo left=$(exec sh -c 'echo $PPID'); exec sleep 60) & sleep 0.2; exit 1";
  await using apps = await testedProvider([
    declareProcess("shop", command, { stopTimeoutMs: 300, port: 29_124 }),
  ]);
  await apps.wake("shop");
  const left = await apps.printed("shop", /left=(\d+)/);
  await until(() => apps.notices.length > 0, "the exit is noticed");
  await until(() => !lives(left), "what was left behind has ended");
});

test("process: a wake while the old child is still ending waits for that", async () => {
  const command =
    'trap "sleep 0.3; echo ended; exit 0" TERM; echo up=$$; while :; do sleep 0.02; done';
  await using apps = await testedProvider([declareProcess("shop", command, { port: 29_125 })]);
  await apps.wake("shop");
  const first = await apps.printed("shop", /up=(\d+)/);
  const sleeping = apps.sleep("shop");
  await apps.wake("shop");
  expect(lives(first)).toBe(false);
  expect(apps.output("shop")).toContain("ended");
  await sleeping;
  expect((await apps.provider.observe("shop", patient())).phase).toBe("awake");
});

test("process: a wait for the old child is given up at once when its signal is aborted", async () => {
  const command = 'trap "" TERM; echo up; while :; do sleep 0.05; done';
  await using apps = await testedProvider([
    declareProcess("shop", command, { stopTimeoutMs: 600 }),
  ]);
  await apps.wake("shop");
  await apps.printed("shop", /^up$/);
  const sleeping = apps.sleep("shop");
  const beganMs = performance.now();
  const error = await rejection(apps.provider.wake("shop", null, AbortSignal.timeout(50)));
  expect(error.message).toContain("waking shop was given up");
  expect(performance.now() - beganMs).toBeLessThan(within(500));
  await sleeping;
  expect((await apps.provider.observe("shop", patient())).phase).toBe("asleep");
});

test("process: a missing folder fails the wake, naming it", async () => {
  await using apps = await testedProvider([declareProcess("shop", WAIT, { cwd: "/no/such/dir" })]);
  const error = await rejection(apps.wake("shop"));
  expect(error.kind).toBe("failed");
  expect(error.message).toBe("cannot start shop: its folder /no/such/dir does not exist");
});

test("process: a command that does not exist is a crash that says so", async () => {
  await using apps = await testedProvider([declareProcess("shop", "no-such-program --serve")]);
  await apps.wake("shop");
  const seen = await untilPhase(apps.provider, "shop", "failed");
  expect(seen.reason).toMatch(/^exited with status 127 .*no-such-program.*not found/);
});

test("process: a fixed port in use fails the wake, saying by whom as far as we know", async () => {
  using foreign = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("mine") });
  await using apps = await testedProvider([
    declareProcess("shop", WAIT, { port: foreign.port ?? 0 }),
    declareProcess("blog", WAIT, { port: 29_126 }),
    declareProcess("wiki", WAIT, { port: 29_126 }),
  ]);
  const error = await rejection(apps.wake("shop"));
  expect(error.kind).toBe("failed");
  expect(error.message).toContain(`port ${foreign.port} is in use by another program`);
  await apps.wake("blog");
  expect((await rejection(apps.wake("wiki"))).message).toContain(
    "port 29126 is in use by app blog",
  );
});

test("process: free ports differ between living children and lie outside the ephemeral range", async () => {
  const keys = Array.from({ length: 8 }, (_, index) => `app-${index}`);
  await using apps = await testedProvider(keys.map((key) => declareProcess(key, WAIT)));
  const origins = await Promise.all(keys.map((key) => apps.wake(key)));
  const ports = origins.map((origin) => Number(new URL(origin).port));
  expect(new Set(ports).size).toBe(keys.length);
  expect(ports.every((port) => port >= 20_000 && port <= 29_999)).toBe(true);
});

test("process: garbage bytes and a line of 1 MB are logged, cut and readable", async () => {
  const script = `process.stdout.write(Buffer.from([0xff, 0xfe, 0x41, 0x0a]));
    process.stdout.write("x".repeat(1024 * 1024) + "\\nlast\\r\\n"); setInterval(() => 0, 1000)`;
  await using apps = await testedProvider([declareProcess("shop", bunCommand(script))]);
  await apps.wake("shop");
  await apps.printed("shop", /^last$/);
  const [garbage, long] = apps.output("shop");
  expect(garbage).toBe("\ufffd\ufffdA");
  expect(long).toBe(
    `${"x".repeat(LINE_BYTES_MAX)}… (${1024 * 1024 - LINE_BYTES_MAX} bytes cut off)`,
  );
});

test("process: a child that floods its output is slowed down and costs no memory", async () => {
  await using apps = await testedProvider([
    declareProcess("shop", "echo begin; yes flood & yes flood >&2"),
  ]);
  Bun.gc(true);
  const beforeBytes = process.memoryUsage.rss();
  await apps.wake("shop");
  const isOmitted = () => apps.lines.some((line) => line.message.includes("lines left out"));
  const beganMs = performance.now();
  await until(isOmitted, "lines are left out");
  // Of each stream, and not all of them in the same second.
  const seconds = (performance.now() - beganMs) / 1000 + 4;
  expect(apps.output("shop").length).toBeLessThan(LINES_PER_SECOND_MAX * 2 * seconds);
  await apps.sleep("shop");
  Bun.gc(true);
  expect(process.memoryUsage.rss() - beforeBytes).toBeLessThan(64 * 1024 * 1024);
});

test("process: the last words of a child that flooded its output are kept", async () => {
  await using apps = await testedProvider([
    declareProcess("shop", "yes flood | head -c 4250000; echo disk is full; exit 4"),
  ]);
  await apps.wake("shop");
  const seen = await untilPhase(apps.provider, "shop", "failed");
  expect(seen.reason).toEndWith("disk is full");
  expect(seen.reason?.length).toBeLessThanOrEqual(2_000);
});

test("process: a changed declaration counts from the next wake on, and is logged once", async () => {
  await using apps = await testedProvider([declareProcess("shop", "echo old; sleep 60")]);
  const origin = await apps.wake("shop");
  apps.declare(declareProcess("shop", "echo new; sleep 60"));
  expect(await apps.wake("shop")).toBe(origin);
  await apps.provider.list(patient());
  await apps.provider.list(patient());
  const told = apps.lines.filter((line) => line.message.includes("next wake"));
  expect(told).toHaveLength(1);
  await apps.sleep("shop");
  await apps.wake("shop");
  await apps.printed("shop", /^new$/);
});

test("process: forgetting an app that is no longer declared ends it the way it was started", async () => {
  const command = 'trap "echo got USR1; exit" USR1; echo up=$$; while :; do sleep 0.05; done';
  await using apps = await testedProvider([
    declareProcess("shop", command, { stopSignal: "SIGUSR1" }),
  ]);
  await apps.wake("shop");
  const pid = await apps.printed("shop", /up=(\d+)/);
  apps.declare();
  await apps.provider.forget?.("shop");
  expect(lives(pid)).toBe(false);
  expect(apps.output("shop")).toContain("got USR1");
  expect((await rejection(apps.provider.observe("shop", patient()))).kind).toBe("not-found");
});

test("process: a close ends all children at the same time, and refuses wakes afterwards", async () => {
  const command = 'trap "" TERM; echo up=$$; while :; do sleep 0.05; done';
  const keys = ["a", "b", "c", "d"];
  await using apps = await testedProvider(
    keys.map((key) => declareProcess(key, command, { stopTimeoutMs: 500 })),
  );
  await Promise.all(keys.map((key) => apps.wake(key)));
  const pids = await Promise.all(keys.map((key) => apps.printed(key, /up=(\d+)/)));
  const beganMs = performance.now();
  await apps.provider.close();
  expect(performance.now() - beganMs).toBeLessThan(within(1_900));
  expect(pids.some(lives)).toBe(false);
  expect((await rejection(apps.wake("a"))).kind).toBe("unavailable");
});

test("process: 100 wakes and sleeps leak no file, no note and no process", async () => {
  await using apps = await testedProvider([
    declareProcess("shop", "echo up; exec sleep 60"),
    declareProcess("blog", "echo up; exec sleep 60"),
  ]);
  const openFiles = () => readdirSync("/proc/self/fd").length;
  const cycle = async (key: string, times: number) => {
    for (let round = 0; round < times; round += 1) {
      await apps.wake(key);
      await apps.sleep(key);
    }
  };
  await cycle("shop", 2);
  const before = openFiles();
  await Promise.all([cycle("shop", 50), cycle("blog", 50)]);
  // Garbage collection may close a stream a moment later.
  await until(() => openFiles() <= before + 2, "all files are closed");
  expect(readdirSync(`${apps.folder}/processes`)).toEqual([]);
});
