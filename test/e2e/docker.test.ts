/** Docker, from the first list call to the last, through the compiled program and against the fake engine. */

import { expect } from "bun:test";
import { createSystemClock } from "../../src/clock.ts";
import { type FakeDocker, type FakeDockerOptions, startFakeDocker } from "../fakes/fake-docker.ts";
import { answersText, neverAnswers, resetsBefore } from "../fakes/fake-faults.ts";
import { testsInTurn } from "../support/in-turn.ts";
import { within } from "../support/pace.ts";
import {
  EXECUTABLE,
  eventually,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";
import { tempDir } from "../support/temp-dir.ts";

const inTurn = testsInTurn(5);

const NEVER = "0 0 1 1 *";
const EVERY_SECOND = "* * * * * *";
const SLEEPS_AT_ONCE = {
  START_AND_STOP_MAX_IDLE_TIME: "0",
  START_AND_STOP_CHECKING_INTERVAL_CRON: EVERY_SECOND,
};

interface Story {
  readonly docker: FakeDocker;
  /** @param folder of an earlier run that this one follows on; left out: it is the first */
  start(env?: Readonly<Record<string, string>>, folder?: string): Promise<RunningPaastis>;
}

/** A part of the story, with an engine of its own, which must find nothing amiss in the end. */
function story(
  what: string,
  play: (story: Story) => Promise<void>,
  options: Partial<FakeDockerOptions> = {},
): void {
  inTurn(`docker: ${what}`, async () => {
    using folder = tempDir();
    await using docker = await startFakeDocker({
      clock: createSystemClock(),
      socketPath: folder.file("docker.sock"),
      ...{ startMs: 30, bootMs: 50, stopMs: 20, restartDelayMs: 20 },
      ...options,
    });
    const env = {
      PROVIDER_NAME: "docker",
      DOCKER_HOST: `unix://${docker.socketPath}`,
      START_AND_STOP_CHECKING_INTERVAL_CRON: NEVER,
      LOGGING_LEVEL: "debug",
    };
    await play({
      docker,
      start: (more, from = makeFolder()) =>
        startPaastis({ config: "", env: { ...env, ...more }, folder: from }),
    });
    expect(docker.violations).toEqual([]);
  });
}

/** The container that answers, or the status and the code of an answer of Paastis itself. */
async function visit(paastis: RunningPaastis, key: string): Promise<string> {
  const answer = await paastis.get(key);
  const text = await answer.text();
  // On a busy machine the first list comes after the port is open.
  if (answer.headers.get("paastis-error") === "starting") {
    await paastis.untilLine(({ msg }) => /^found \d+ apps? /.test(msg));
    return await visit(paastis, key);
  }
  if (answer.status !== 200) return `${answer.status} ${answer.headers.get("paastis-error")}`;
  return (JSON.parse(text) as { name: string }).name; // What the fake answers.
}

story(
  "500 requests at once for 20 containers that sleep are answered by one start each",
  async ({ docker, start }) => {
    const keys = Array.from({ length: 20 }, (_none, n) => `app-${n}`);
    const controls = keys.map((key) => docker.addContainer(key));
    await using paastis = await start();
    const asked = Array.from({ length: 500 }, (_none, n) => keys[n % keys.length] ?? "");
    expect(await Promise.all(asked.map((key) => visit(paastis, key)))).toEqual(asked);
    expect(controls.map(({ starts }) => starts)).toEqual(keys.map(() => 1));
    expect(docker.server.count("start")).toBe(20);
  },
);

story(
  "1,000 requests for a container that is up cost no call, and 300 containers one list a sweep",
  async ({ docker, start }) => {
    for (let n = 0; n < 300; n += 1) docker.addContainer(`app-${n}`, { status: "running" });
    await using paastis = await start({ START_AND_STOP_CHECKING_INTERVAL_CRON: EVERY_SECOND });
    expect(await visit(paastis, "app-7")).toBe("app-7");
    const swept = () => paastis.lines.filter(({ msg }) => msg === "swept").length;
    const from = { sweeps: swept(), calls: docker.server.count() };
    const rounds = Array.from({ length: 20 }, async () => {
      const seen: string[] = [];
      for (let n = 0; n < 50; n += 1) seen.push(await visit(paastis, "app-7"));
      return seen;
    });
    expect(new Set((await Promise.all(rounds)).flat())).toEqual(new Set(["app-7"]));
    await eventually("two sweeps", () => swept() >= from.sweeps + 2);
    // One may be under way at either end.
    expect(docker.server.count() - from.calls).toBeLessThanOrEqual(swept() - from.sweeps + 2);
  },
);

story(
  "a container that is made anew by Compose while it is used loses no request, although its boot takes a while",
  async ({ docker, start }) => {
    const { web } = docker.addProject("shop", {
      web: { status: "running", networks: ["shop_default"] },
    });
    await using paastis = await start({ PROVIDER_DOCKER_NETWORK: "shop_default" });
    expect(await visit(paastis, "shop")).toBe("shop-web-1");
    const current = await remadeUnderLoad(paastis, docker, web);
    expect([current.status, current.starts]).toEqual(["running", 1]);
  },
  { bootMs: 400 },
);

story(
  "the same with a published port, which accepts before the program listens",
  async ({ docker, start }) => {
    const { web } = docker.addProject("shop", { web: { status: "running" } });
    await using paastis = await start();
    expect(await visit(paastis, "shop")).toBe("shop-web-1");
    await remadeUnderLoad(paastis, docker, web);
  },
  { bootMs: 400 },
);

/** Asks all the time while the container is replaced, until the new one has answered for a while. */
async function remadeUnderLoad(
  paastis: RunningPaastis,
  docker: FakeDocker,
  old: Parameters<FakeDocker["recreate"]>[0],
) {
  const wrong: string[] = [];
  let isOver = false;
  const load = Array.from({ length: 4 }, async () => {
    while (!isOver) {
      const seen = await visit(paastis, "shop");
      // While both are there the old one answers under its own name, and the new one under a passing one.
      if (!seen.endsWith("shop-web-1")) wrong.push(seen);
    }
  });
  const current = await docker.recreate(old, {}, () => Bun.sleep(100));
  await eventually("the new one answers", () => current.requests > 20);
  isOver = true;
  await Promise.all(load);
  expect(wrong).toEqual([]);
  return current;
}

story(
  "a container that somebody starts is waited for until it listens, by its address",
  async ({ docker, start }) => {
    const demo = docker.addContainer("demo");
    await using paastis = await start({ PROVIDER_DOCKER_NETWORK: "bridge" });
    demo.start();
    await Bun.sleep(300);
    expect(demo.isListening).toBe(false);
    expect(await visit(paastis, "demo")).toBe("demo");
  },
  { bootMs: 2_500 },
);

story(
  "a container that somebody starts is waited for until it listens, by its published port, which accepts before",
  async ({ docker, start }) => {
    const demo = docker.addContainer("demo");
    await using paastis = await start();
    demo.start();
    await Bun.sleep(300);
    expect(demo.isListening).toBe(false);
    expect(await visit(paastis, "demo")).toBe("demo");
  },
  { bootMs: 2_500 },
);

story(
  "a container with the mode pause and a slow health check is frozen and wakes at once, and stays awake",
  async ({ docker, start }) => {
    const demo = docker.addContainer("demo", {
      ...{ status: "running", healthcheck: { intervalMs: 30_000 } },
      labels: { "paastis.mode": "pause" },
    });
    await using paastis = await start(SLEEPS_AT_ONCE);
    for (let count = 0; count < 2; count += 1) {
      const from = paastis.lines.length;
      await paastis.untilEvent("demo", "APP_STOPPED", from);
      expect(demo.status).toBe("paused");
      const beganMs = performance.now();
      expect(await visit(paastis, "demo")).toBe("demo");
      // Far from the interval of its health check.
      expect(performance.now() - beganMs).toBeLessThan(within(10_000));
    }
    expect([demo.starts, demo.health]).toEqual([0, "unhealthy"]);
    expect(paastis.events("demo")).not.toContain("APP_CRASHED");
  },
);

story(
  "an engine that comes back and calls all health starting again is no reason to hold anybody",
  async ({ docker, start }) => {
    docker.addContainer("demo", { status: "running", healthcheck: { intervalMs: 60_000 } });
    await using paastis = await start({ START_AND_STOP_CHECKING_INTERVAL_CRON: EVERY_SECOND });
    expect(await visit(paastis, "demo")).toBe("demo");
    await docker.goDown();
    await docker.comeUp();
    await eventually("it is listened to again", () => docker.hub.listeners === 1);
    const swept = () => paastis.lines.filter(({ msg }) => msg === "swept").length;
    const from = swept();
    while (swept() < from + 2) expect(await visit(paastis, "demo")).toBe("demo");
    expect(paastis.events("demo")).not.toContain("APP_WAKING");
  },
  { forgetsHealth: true },
);

story(
  "while the engine is away or does not answer, what is up is served; then it is listened to again",
  async ({ docker, start }) => {
    const up = docker.addContainer("up", { status: "running" });
    docker.addContainer("down");
    await using paastis = await start({
      START_AND_STOP_CHECKING_INTERVAL_CRON: EVERY_SECOND,
      HOLD_MAX_MS: "1000",
    });
    expect(await visit(paastis, "up")).toBe("up");
    await docker.goDown("refuse");
    await paastis.untilLine(({ level, msg }) => level === "warn" && msg.includes("engine"));
    for (let count = 0; count < 20; count += 1) expect(await visit(paastis, "up")).toBe("up");
    expect((await visit(paastis, "down")).split(" ")[0]).toBe("503");
    await docker.comeUp();
    await eventually("it wakes again", async () => (await visit(paastis, "down")) === "down");
    docker.server.fail("containers.*", neverAnswers(), Number.POSITIVE_INFINITY);
    for (let count = 0; count < 20; count += 1) expect(await visit(paastis, "up")).toBe("up");
    docker.server.heal();
    await eventually("it is listened to", () => docker.hub.listeners > 0);
    up.kill();
    await paastis.untilEvent("up", "APP_STOPPED");
  },
);

story(
  "a start that the engine never heard of, or was too busy for, is sent again for the same visitor",
  async ({ docker, start }) => {
    const lost = docker.addContainer("lost");
    const busy = docker.addContainer("busy");
    await using paastis = await start();
    const startOf = (id: string) => (call: { readonly kind: string; readonly path: string }) =>
      call.kind === "start" && call.path.includes(id);
    docker.server.fail(startOf(lost.id), resetsBefore());
    docker.server.fail(startOf(busy.id), answersText(409, '{"message":"it is busy"}'));
    const seen = await Promise.all([visit(paastis, "lost"), visit(paastis, "busy")]);
    expect(seen).toEqual(["lost", "busy"]);
    expect([lost.starts, busy.starts, docker.server.count("start")]).toEqual([1, 1, 4]);
  },
);

story(
  "a wake that begins while the engine is away goes on as soon as it is back",
  async ({ docker, start }) => {
    docker.addContainer("demo");
    await using paastis = await start();
    await docker.goDown("refuse");
    const visiting = visit(paastis, "demo");
    await paastis.untilEvent("demo", "APP_WAKING");
    await Bun.sleep(1_500);
    await docker.comeUp();
    const backMs = performance.now();
    expect(await visiting).toBe("demo");
    expect(performance.now() - backMs).toBeLessThan(within(3_000));
  },
);

story(
  "an engine that is restarted under a wake, and stops the container, is asked for it once more",
  async ({ docker, start }) => {
    const demo = docker.addContainer("demo");
    demo.nextRuns({ bootMs: Number.POSITIVE_INFINITY });
    await using paastis = await start();
    await eventually("it listens to events", () => docker.hub.listeners === 1);
    const visiting = visit(paastis, "demo");
    const { server } = docker;
    await eventually("it has been started, and only boots", () => {
      const isStarted = server.journal.some(
        ({ kind, status }) => kind === "start" && status === 204,
      );
      // The stream of events is the only call that goes on.
      return isStarted && demo.status === "running" && server.inFlight === 1;
    });
    // Long enough for it to be looked at as one that boots.
    await Bun.sleep(200);
    await docker.goDown("gone", { keepsContainers: false });
    await docker.comeUp();
    expect(await visiting).toBe("demo");
    expect(demo.starts).toBe(2);
  },
);

story(
  "what was put to sleep is asleep after a restart, whatever its exit status, and wakes at once",
  async ({ docker, start }) => {
    const demo = docker.addContainer("demo", { status: "running", stopExitCode: 1 });
    const folder = makeFolder();
    {
      await using before = await start(SLEEPS_AT_ONCE, folder);
      await before.untilEvent("demo", "APP_STOPPED");
    }
    expect([demo.status, demo.exitCode]).toEqual(["exited", 1]);
    await using paastis = await start({}, folder);
    await paastis.untilLine(({ msg }) => /^found \d+ apps? /.test(msg));
    expect(await visit(paastis, "demo")).toBe("demo");
    expect(paastis.events("demo")).not.toContain("APP_CRASHED");
  },
);

story(
  "a kill is noticed within 2 s, and the request that comes at the same moment is answered",
  async ({ docker, start }) => {
    const demo = docker.addContainer("demo", { status: "running" });
    await using paastis = await start();
    expect(await visit(paastis, "demo")).toBe("demo");
    for (let count = 1; count <= 5; count += 1) {
      demo.kill();
      expect(await visit(paastis, "demo")).toBe("demo");
      expect(demo.starts).toBe(count);
    }
    const from = paastis.lines.length;
    const killedMs = performance.now();
    demo.kill();
    await paastis.untilEvent("demo", "APP_STOPPED", from);
    expect(performance.now() - killedMs).toBeLessThan(within(2_000));
  },
);

story(
  "a request during somebody else's stop is never lost",
  async ({ docker, start }) => {
    const demo = docker.addContainer("demo", { status: "running" });
    await using paastis = await start();
    expect(await visit(paastis, "demo")).toBe("demo");
    for (let count = 1; count <= 5; count += 1) {
      demo.stop();
      const asked = Array.from({ length: 20 }, async (_none, n) => {
        await Bun.sleep(n * 20);
        return await visit(paastis, "demo");
      });
      expect(new Set(await Promise.all(asked))).toEqual(new Set(["demo"]));
      await eventually("it is up", () => demo.status === "running");
      expect(demo.starts).toBe(count);
    }
  },
  { stopMs: 200 },
);

story(
  "a container that does not come up is told with the engine's reason, and others are not affected",
  async ({ docker, start }) => {
    const broken = docker.addContainer("broken");
    docker.addContainer("fine");
    broken.nextRuns({
      refusal: { status: 500, message: "driver failed: port is reserved by the moon" },
    });
    await using paastis = await start();
    expect(await visit(paastis, "broken")).toBe("503 app_failed");
    const event = await paastis.untilEvent("broken", "APP_START_FAILED");
    expect(String(event.reason)).toContain("reserved by the moon");
    expect(await visit(paastis, "fine")).toBe("fine");
  },
);

story(
  "a program that ends again and again is given up with its exit status, and wakes when it is mended",
  async ({ docker, start }) => {
    const demo = docker.addContainer("demo", { restart: "unless-stopped" });
    demo.nextRuns(...Array(30).fill({ endsAfterMs: 5, exitCode: 78 }));
    await using paastis = await start();
    expect((await visit(paastis, "demo")).split(" ")[0]).toBe("503");
    const event = await paastis.untilEvent("demo", "APP_START_FAILED");
    expect(String(event.reason)).toContain("78");
  },
);

story("linked apps wake together, and a label keeps one awake", async ({ docker, start }) => {
  docker.addContainer("front", { labels: { "paastis.linked_apps": "back" } });
  const back = docker.addContainer("back");
  const kept = docker.addContainer("kept", {
    status: "running",
    labels: { "paastis.max_idle_time": "never" },
  });
  await using paastis = await start(SLEEPS_AT_ONCE);
  expect(await visit(paastis, "front")).toBe("front");
  await paastis.untilEvent("back", "APP_STARTED");
  expect(back.starts).toBe(1);
  await paastis.untilEvent("front", "APP_STOPPED");
  expect(kept.status).toBe("running");
});

story(
  "a container that was removed is forgotten, and a new one is found without a sweep",
  async ({ docker, start }) => {
    const demo = docker.addContainer("demo", { status: "running" });
    await using paastis = await start();
    expect(await visit(paastis, "demo")).toBe("demo");
    docker.addContainer("new");
    await eventually("the new one", async () => (await visit(paastis, "new")) === "new");
    demo.remove();
    const removedMs = performance.now();
    // Who comes in the very moment may yet meet an app that has only failed.
    await eventually("it is nobody's", async () => {
      return (await visit(paastis, "demo")) === "404 unknown_app";
    });
    expect(performance.now() - removedMs).toBeLessThan(within(5_000));
    await paastis.untilEvent("demo", "APP_UNREGISTERED");
    expect(await visit(paastis, "demo")).toBe("404 unknown_app");
  },
);

story(
  "an engine that is away at the start, or does not answer, does not keep anybody from starting",
  async ({ docker, start }) => {
    docker.addContainer("demo");
    await docker.goDown("gone");
    const sweeps = { START_AND_STOP_CHECKING_INTERVAL_CRON: EVERY_SECOND };
    await using early = await start(sweeps);
    expect(early.startedInMs).toBeLessThan(within(5_000));
    expect((await early.get("demo")).status).toBe(503);
    await docker.comeUp();
    await eventually("its apps are found", async () => (await visit(early, "demo")) === "demo");
    await docker.server.goDown("hang");
    await using deaf = await start(sweeps);
    expect((await deaf.get("demo")).status).toBe(503);
    await docker.server.comeUp();
  },
);

story(
  "it ends at once, with a wake under way, and leaves containers as they are",
  async ({ docker, start }) => {
    const up = docker.addContainer("up", { status: "running" });
    const slow = docker.addContainer("slow");
    await using paastis = await start({ SHUTDOWN_TIMEOUT_MS: "500" });
    expect(await visit(paastis, "up")).toBe("up");
    await eventually("it listens to events", () => docker.hub.listeners === 1);
    const waking = paastis.get("slow").then(
      ({ status }) => status,
      () => 0,
    );
    await eventually("the wake has begun", () => docker.server.count("start") === 1);
    const beganMs = performance.now();
    paastis.signal("SIGTERM");
    expect(await paastis.ended).toBe(0);
    expect(performance.now() - beganMs).toBeLessThan(within(5_000));
    expect([0, 503]).toContain(await waking);
    await eventually("nothing is left", () => docker.server.connections === 0);
    expect([up.status, docker.server.count("stop")]).toEqual(["running", 0]);
    await eventually("what the engine had begun is done", () => slow.status === "running");
  },
  { startMs: 1_000 },
);

inTurn(
  "docker: paastis check --online names the engine, or says why it is not to be had",
  async () => {
    using folder = tempDir();
    const socketPath = folder.file("docker.sock");
    await using docker = await startFakeDocker({ clock: createSystemClock(), socketPath });
    docker.addContainer("demo");
    const check = async () => {
      const child = Bun.spawn([EXECUTABLE, "check", "--online"], {
        cwd: folder.path,
        env: {
          ...{ PATH: process.env.PATH ?? "", HOME: folder.path, PROVIDER_NAME: "docker" },
          DOCKER_HOST: `unix://${socketPath}`,
        },
        stdout: "pipe",
        stderr: "pipe",
      });
      const said = (await child.stdout.text()) + (await child.stderr.text());
      return { status: await child.exited, said };
    };
    const good = await check();
    expect([good.status, good.said]).toEqual([0, expect.stringContaining(socketPath)]);
    await docker.goDown("refuse");
    const bad = await check();
    expect(bad.status).not.toBe(0);
    expect(bad.said).toContain(socketPath);
  },
);
