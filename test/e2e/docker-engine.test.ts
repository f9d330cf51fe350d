/** A real Docker engine, from the first list call to the last, through the compiled program. */

import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { type DockerEngine, startDockerEngine, whyNoDocker } from "../support/docker-engine.ts";
import {
  composeLabels,
  createApp,
  order,
  removeAllApps,
  removeApp,
  statusOf,
} from "../support/engine-apps.ts";
import type { HeardEvents } from "../support/engine-client.ts";
import { eventually, type RunningPaastis, startPaastis } from "../support/start-paastis.ts";

const why = whyNoDocker();
if (why !== null) console.log(`not played on a real Docker engine: ${why}`);

/** New Year: nothing but the engine's events tells what happens. */
const NEVER = { START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *" };
const AT_ONCE = { START_AND_STOP_MAX_IDLE_TIME: "0" };
const NOTICED_MAX_MS = 2_000;
const FIRST_BYTE_MAX_MS = 60;
const STORY_MAX_MS = 60_000;

let starting: Promise<DockerEngine> | null = null;

/** One engine for all stories of this file. */
function theEngine(): Promise<DockerEngine> {
  starting ??= startDockerEngine();
  return starting;
}

function start(
  { socketPath }: DockerEngine,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningPaastis> {
  return startPaastis({
    config: "",
    env: { PROVIDER_NAME: "docker", DOCKER_HOST: `unix://${socketPath}`, ...NEVER, ...env },
  });
}

async function textOf(paastis: RunningPaastis, key: string): Promise<string> {
  const answer = await paastis.get(key);
  const text = await answer.text();
  return answer.status === 200 ? (text.split(" ")[0] ?? "") : `${answer.status} ${text}`;
}

/** Requests without a pause, one after the other for each of the keys. */
function loadOf(
  paastis: RunningPaastis,
  keys: readonly string[],
): Disposable & {
  readonly answered: number;
  /** Waits for so many answers from now on. */
  more(count: number): Promise<void>;
  /** Waits for all, and says which were wrong. */
  end(): Promise<readonly string[]>;
} {
  const wrong: string[] = [];
  let [answered, isOver] = [0, false];
  const loops = keys.map(async (key) => {
    while (!isOver) {
      const text = await textOf(paastis, key).catch((error: unknown) => String(error));
      if (text !== key && !isOver) wrong.push(text);
      answered += 1;
    }
  });
  return {
    get answered() {
      return answered;
    },
    async more(count) {
      const before = answered;
      await eventually(`${count} answers more`, () => answered >= before + count);
    },
    async end() {
      isOver = true;
      await Promise.all(loops);
      return wrong;
    },
    [Symbol.dispose]() {
      isOver = true;
    },
  };
}

/** In the order in which they happened: `start web-1`. */
function heard(events: HeardEvents, ...actions: readonly string[]): string[] {
  return events.all
    .filter(({ Type, Action }) => Type === "container" && actions.includes(Action))
    .map(({ Action, Actor }) => `${Action} ${Actor.Attributes.name}`);
}

describe.skipIf(why !== null)("docker engine", () => {
  afterEach(async () => {
    if (starting !== null) await removeAllApps(await starting);
  });
  afterAll(async () => {
    await (await starting)?.[Symbol.asyncDispose]();
  });

  test(
    "500 requests at once for 20 containers that sleep: one start each, and all are answered by the right one",
    async () => {
      const engine = await theEngine();
      const keys = Array.from({ length: 20 }, (_none, n) => `app-${n}`);
      for (const key of keys) await createApp(engine, key, { bootSeconds: 0.2 });
      using events = await engine.watchEvents();
      // Two processors start 20 containers in 10 to 20 s.
      await using paastis = await start(engine, { HOLD_MAX_MS: "50000" });
      const asked = Array.from({ length: 500 }, (_none, n) => keys[n % keys.length] ?? "");
      const answered = await Promise.all(asked.map((key) => textOf(paastis, key)));
      expect(answered).toEqual(asked);
      expect(heard(events, "start").toSorted()).toEqual(
        keys.map((key) => `start ${key}`).toSorted(),
      );
      expect(heard(events, "kill", "die", "stop")).toEqual([]);
      expect(await Promise.all(asked.map((key) => textOf(paastis, key)))).toEqual(asked);
      expect(heard(events, "start")).toHaveLength(20);
    },
    STORY_MAX_MS,
  );

  test(
    "a container that is killed from outside is noticed within 2 s, and the next request starts it",
    async () => {
      const engine = await theEngine();
      await createApp(engine, "victim");
      await using paastis = await start(engine);
      expect(await textOf(paastis, "victim")).toBe("victim");
      const tooks: number[] = [];
      for (let count = 0; count < 3; count += 1) {
        const from = paastis.lines.length;
        const killedMs = performance.now();
        await order(engine, "victim", "kill");
        const line = await paastis.untilLine(
          ({ app, event }) => app === "victim" && event === "APP_STOPPED",
          from,
        );
        tooks.push(performance.now() - killedMs);
        expect(String(line.reason ?? line.msg).length).toBeGreaterThan(10);
        expect(await textOf(paastis, "victim")).toBe("victim");
      }
      console.log(`a kill is noticed after ${tooks.map((ms) => ms.toFixed(0)).join(", ")} ms`);
      expect(Math.max(...tooks)).toBeLessThanOrEqual(NOTICED_MAX_MS);
    },
    STORY_MAX_MS,
  );

  const WAYS: Readonly<Record<string, (engine: DockerEngine) => Record<string, string>>> = {
    "in its network": ({ network }) => ({ PROVIDER_DOCKER_NETWORK: network }),
    // The engine's own proxy serves these ports, and ends with it: what comes meanwhile has to wait.
    "by published ports": () => ({}),
  };
  for (const [way, envOf] of Object.entries(WAYS)) {
    test(
      `an engine that restarts under load, politely or not, costs no request of what stays up and is reached ${way}`,
      async () => {
        const engine = await theEngine();
        const keys = ["one", "two", "three"].map((name) => `lasting-${name}`);
        for (const key of keys) await createApp(engine, key);
        await using paastis = await start(engine, envOf(engine));
        await Promise.all(keys.map((key) => textOf(paastis, key)));
        using load = loadOf(paastis, [...keys, ...keys]);
        for (const how of ["politely", "at once"] as const) {
          await engine.stop(how);
          // Long enough for somebody to notice, and for as many requests as there would be.
          await Bun.sleep(700);
          await engine.start();
          await load.more(200);
        }
        expect(await load.end()).toEqual([]);
        console.log(`${load.answered} requests while the engine restarted twice (${way})`);
        await order(engine, "lasting-one", "kill");
        await paastis.untilEvent("lasting-one", "APP_STOPPED");
        expect(await textOf(paastis, "lasting-one")).toBe("lasting-one");
      },
      STORY_MAX_MS,
    );
  }

  test(
    "an idle container is stopped once, politely, and a request starts it again",
    async () => {
      const engine = await theEngine();
      await createApp(engine, "shop");
      using events = await engine.watchEvents();
      await using paastis = await start(engine, {
        ...AT_ONCE,
        START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *",
      });
      expect(await textOf(paastis, "shop")).toBe("shop");
      await paastis.untilEvent("shop", "APP_STOPPED");
      expect(await statusOf(engine, "shop")).toBe("exited");
      expect(heard(events, "start", "kill", "die", "stop")).toEqual([
        ...["start shop", "kill shop", "die shop", "stop shop"],
      ]);
      const exit = events.all.find(({ Action }) => Action === "die");
      expect(exit?.Actor.Attributes.exitCode).toBe("0");
      expect(await textOf(paastis, "shop")).toBe("shop");
      expect(paastis.events("shop")).not.toContain("APP_CRASHED");
    },
    STORY_MAX_MS,
  );

  test(
    "with the mode pause it is frozen and goes on, without a start",
    async () => {
      const engine = await theEngine();
      await createApp(engine, "frozen", {
        labels: { "paastis.mode": "pause" },
        hasHealthcheck: true,
      });
      await order(engine, "frozen", "start");
      using events = await engine.watchEvents();
      await using paastis = await start(engine, {
        ...AT_ONCE,
        START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *",
      });
      for (let count = 0; count < 3; count += 1) {
        const from = paastis.lines.length;
        expect(await textOf(paastis, "frozen")).toBe("frozen");
        await paastis.untilEvent("frozen", "APP_STOPPED", from);
        expect(await statusOf(engine, "frozen")).toBe("paused");
      }
      expect(heard(events, "start", "die", "stop")).toEqual([]);
      expect(events.count("unpause")).toBeGreaterThanOrEqual(2);
    },
    STORY_MAX_MS,
  );

  test(
    "a Compose project is one app: what it depends on is started and healthy first, and stopped last",
    async () => {
      const engine = await theEngine();
      const labels = (service: string, dependsOn = {}) =>
        composeLabels("notes", service, dependsOn);
      await createApp(engine, "notes-db-1", {
        ...{ labels: labels("db"), isPublished: false, hasHealthcheck: true, bootSeconds: 0.7 },
      });
      await createApp(engine, "notes-cache-1", { labels: labels("cache"), isPublished: false });
      const dependsOn = { db: "service_healthy", cache: "service_started" };
      await createApp(engine, "notes-web-1", {
        labels: { ...labels("web", dependsOn), "paastis.port": "8080" },
      });
      using events = await engine.watchEvents();
      await using paastis = await start(engine, {
        ...AT_ONCE,
        START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *",
      });
      expect(await textOf(paastis, "notes")).toBe("notes-web-1");
      const begun = heard(events, "start", "health_status: healthy");
      expect(begun.slice(0, 4).toSorted()).toEqual([
        ...["health_status: healthy notes-db-1", "start notes-cache-1", "start notes-db-1"],
        "start notes-web-1",
      ]);
      expect(begun.indexOf("start notes-web-1")).toBe(3);
      await paastis.untilEvent("notes", "APP_STOPPED");
      const ended = heard(events, "die");
      expect(ended.toSorted()).toEqual([
        ...["die notes-cache-1", "die notes-db-1", "die notes-web-1"],
      ]);
      expect(ended[0]).toBe("die notes-web-1");
    },
    STORY_MAX_MS,
  );

  test(
    "a container that was made anew is the same app",
    async () => {
      const engine = await theEngine();
      const first = await createApp(engine, "moving", { bootSeconds: 0.1 });
      await using paastis = await start(engine);
      expect(await textOf(paastis, "moving")).toBe("moving");
      await removeApp(engine, "moving");
      const second = await createApp(engine, "moving", { bootSeconds: 0.1 });
      expect(second).not.toBe(first);
      expect(await textOf(paastis, "moving")).toBe("moving");
      expect(await statusOf(engine, second)).toBe("running");
    },
    STORY_MAX_MS,
  );

  test(
    "a container that was made anew and started by somebody is waited for until it listens",
    async () => {
      const engine = await theEngine();
      await createApp(engine, "deployed");
      await using paastis = await start(engine);
      expect(await textOf(paastis, "deployed")).toBe("deployed");
      await removeApp(engine, "deployed");
      await createApp(engine, "deployed", { bootSeconds: 1 });
      await order(engine, "deployed", "start");
      await Bun.sleep(300);
      expect(await textOf(paastis, "deployed")).toBe("deployed");
    },
    STORY_MAX_MS,
  );

  test(
    "from the container listening to the first byte at the client, at most 60 ms (median of 20 wakes)",
    async () => {
      const engine = await theEngine();
      const keys = Array.from({ length: 20 }, (_none, n) => `quick-${n}`);
      for (const key of keys) await createApp(engine, key, { bootSeconds: 0.1 });
      await using paastis = await start(engine);
      const delays: number[] = [];
      for (const key of keys) {
        const answer = await paastis.get(key);
        const firstByteMs = performance.timeOrigin + performance.now();
        const [name, listeningSinceSeconds] = (await answer.text()).split(" ");
        expect(name).toBe(key);
        delays.push(firstByteMs - Number(listeningSinceSeconds) * 1000);
      }
      const median = delays.toSorted((a, b) => a - b)[10] ?? Number.NaN;
      console.log(`wake delay of a container, median of 20: ${median.toFixed(1)} ms`);
      expect(median).toBeLessThanOrEqual(FIRST_BYTE_MAX_MS);
    },
    STORY_MAX_MS,
  );
});
