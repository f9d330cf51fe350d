/** A real Docker engine, from the first list call to the last, through the compiled program. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
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
import { within } from "../support/pace.ts";
import { quietPort } from "../support/quiet-port.ts";
import { eventually, type RunningPaastis, startPaastis } from "../support/start-paastis.ts";

const why = whyNoDocker();
if (why !== null) console.log(`not played on a real Docker engine: ${why}`);

/** New Year: nothing but the engine's events tells what happens. */
const NEVER = { START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *" };
const EVERY_SECOND = { START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *" };
/** On a container that is to sleep as soon as nobody uses it. */
const AT_ONCE = { "paastis.max_idle_time": "0" };
const NOTICED_MAX_MS = 2_000;
const FIRST_BYTE_MAX_MS = 60;
/** Of many at the same time, the start of the engine included, on a busy machine. */
const STORY_MAX_MS = 150_000;

/** Begun with the first story that needs it. */
function lazy<T extends AsyncDisposable>(begin: () => Promise<T>) {
  let begun: Promise<T> | null = null;
  return {
    get(): Promise<T> {
      begun ??= begin();
      return begun;
    },
    async end(): Promise<void> {
      await (await begun)?.[Symbol.asyncDispose]();
    },
  };
}

/** One engine for all stories of this file. */
const theEngine = lazy(startDockerEngine);
/** For stories that only ask, side by side: one that hears events alone, and one that sweeps. */
const theListener = lazy(async () => start(await theEngine.get(), { LOGGING_LEVEL: "debug" }));
const theSweeper = lazy(async () =>
  start(await theEngine.get(), { ...EVERY_SECOND, LOGGING_LEVEL: "debug" }),
);

function start(
  { socketPath }: DockerEngine,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningPaastis> {
  return startPaastis({
    config: "",
    env: { PROVIDER_NAME: "docker", DOCKER_HOST: `unix://${socketPath}`, ...NEVER, ...env },
  });
}

/** Of an app that was made just now: once it was found. */
async function firstTextOf(paastis: RunningPaastis, key: string): Promise<string> {
  await paastis.untilEvent(key, "APP_REGISTERED");
  return await textOf(paastis, key);
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

/** What happened to containers whose names begin so, in that order: `start web-1`. */
function heard(events: HeardEvents, name: string, ...actions: readonly string[]): string[] {
  return events.all
    .filter(({ Type, Action }) => Type === "container" && actions.includes(Action))
    .map(({ Action, Actor }) => `${Action} ${Actor.Attributes.name}`)
    .filter((line) => line.includes(` ${name}`));
}

/** A story that others may be played beside. */
function story(what: string, play: (engine: DockerEngine) => Promise<void>): void {
  test.concurrent(what, async () => play(await theEngine.get()), STORY_MAX_MS);
}

describe.skipIf(why !== null)("docker engine", () => {
  afterAll(async () => {
    await Promise.all([theListener.end(), theSweeper.end()]);
    await theEngine.end();
  });

  story(
    "an idle container is stopped once, politely, and a request starts it again",
    async (engine) => {
      await createApp(engine, "shop", { labels: AT_ONCE });
      using events = await engine.watchEvents();
      const paastis = await theSweeper.get();
      expect(await firstTextOf(paastis, "shop")).toBe("shop");
      await paastis.untilEvent("shop", "APP_STOPPED");
      expect(await statusOf(engine, "shop")).toBe("exited");
      expect(heard(events, "shop", "start", "kill", "die", "stop")).toEqual([
        ...["start shop", "kill shop", "die shop", "stop shop"],
      ]);
      const exit = events.all.find(
        ({ Action, Actor }) => Action === "die" && Actor.Attributes.name === "shop",
      );
      expect(exit?.Actor.Attributes.exitCode).toBe("0");
      expect(await textOf(paastis, "shop")).toBe("shop");
      expect(paastis.events("shop")).not.toContain("APP_CRASHED");
    },
  );

  story("with the mode pause it is frozen and goes on, without a start", async (engine) => {
    await createApp(engine, "frozen", {
      labels: { "paastis.mode": "pause", ...AT_ONCE },
      hasHealthcheck: true,
    });
    await order(engine, "frozen", "start");
    using events = await engine.watchEvents();
    const paastis = await theSweeper.get();
    await paastis.untilEvent("frozen", "APP_REGISTERED");
    for (let count = 0; count < 2; count += 1) {
      expect(await textOf(paastis, "frozen")).toBe("frozen");
      const from = paastis.lines.length;
      await paastis.untilEvent("frozen", "APP_STOPPED", from);
      expect(await statusOf(engine, "frozen")).toBe("paused");
    }
    expect(heard(events, "frozen", "start", "die", "stop")).toEqual([]);
    expect(events.count("unpause", "frozen")).toBeGreaterThanOrEqual(1);
  });

  story(
    "a Compose project is one app: what it depends on is started and healthy first, and stopped last",
    async (engine) => {
      const labels = (service: string, dependsOn = {}) => ({
        ...composeLabels("notes", service, dependsOn),
        ...AT_ONCE,
      });
      await createApp(engine, "notes-db-1", {
        ...{ labels: labels("db"), isPublished: false, hasHealthcheck: true, bootSeconds: 0.7 },
      });
      await createApp(engine, "notes-cache-1", { labels: labels("cache"), isPublished: false });
      const dependsOn = { db: "service_healthy", cache: "service_started" };
      using events = await engine.watchEvents();
      await createApp(engine, "notes-web-1", {
        labels: { ...labels("web", dependsOn), "paastis.port": "8080" },
      });
      const paastis = await theSweeper.get();
      expect(await firstTextOf(paastis, "notes")).toBe("notes-web-1");
      const begun = heard(events, "notes", "start", "health_status: healthy");
      expect(begun.slice(0, 4).toSorted()).toEqual([
        ...["health_status: healthy notes-db-1", "start notes-cache-1", "start notes-db-1"],
        "start notes-web-1",
      ]);
      expect(begun.indexOf("start notes-web-1")).toBe(3);
      await paastis.untilEvent("notes", "APP_STOPPED");
      const ended = heard(events, "notes", "die");
      expect(ended.toSorted()).toEqual([
        ...["die notes-cache-1", "die notes-db-1", "die notes-web-1"],
      ]);
      expect(ended[0]).toBe("die notes-web-1");
    },
  );

  story(
    "a container that was made anew is served again, and started by a request",
    async (engine) => {
      const first = await createApp(engine, "moving", { bootSeconds: 0.1 });
      const paastis = await theListener.get();
      expect(await firstTextOf(paastis, "moving")).toBe("moving");
      await removeApp(engine, "moving");
      const second = await createApp(engine, "moving", { bootSeconds: 0.1 });
      expect(second).not.toBe(first);
      // On a busy machine it was away for so long that it was given up.
      await eventually("it is found", async () => (await textOf(paastis, "moving")) === "moving");
      expect(await statusOf(engine, second)).toBe("running");
    },
  );

  story(
    "a container that was made anew and started by somebody is waited for until it listens",
    async (engine) => {
      await createApp(engine, "deployed");
      const paastis = await theListener.get();
      expect(await firstTextOf(paastis, "deployed")).toBe("deployed");
      await removeApp(engine, "deployed");
      await createApp(engine, "deployed", { bootSeconds: 1 });
      await order(engine, "deployed", "start");
      await Bun.sleep(300);
      await eventually("it is found", async () => {
        const text = await textOf(paastis, "deployed");
        // Nothing but the app itself, or that there is no such app yet.
        expect(["deployed", "404"]).toContain(text.split(" ")[0] ?? "");
        return text === "deployed";
      });
    },
  );

  describe("alone", () => {
    beforeAll(async () => {
      await Promise.all([theListener.end(), theSweeper.end()]);
      await removeAllApps(await theEngine.get());
    });
    afterEach(async () => removeAllApps(await theEngine.get()));

    test(
      "500 requests at once for 20 containers that sleep: one start each, and all are answered by the right one",
      async () => {
        const engine = await theEngine.get();
        const keys = Array.from({ length: 20 }, (_none, n) => `app-${n}`);
        await Promise.all(keys.map((key) => createApp(engine, key, { bootSeconds: 0.2 })));
        using events = await engine.watchEvents();
        // Two processors start 20 containers in 10 to 20 s, and a busy machine in more.
        await using paastis = await start(engine, { HOLD_MAX_MS: "50000" });
        const asked = Array.from({ length: 500 }, (_none, n) => keys[n % keys.length] ?? "");
        const answered = await Promise.all(asked.map((key) => textOf(paastis, key)));
        expect(answered).toEqual(asked);
        expect(heard(events, "app-", "start").toSorted()).toEqual(
          keys.map((key) => `start ${key}`).toSorted(),
        );
        expect(heard(events, "app-", "kill", "die", "stop")).toEqual([]);
        expect(await Promise.all(asked.map((key) => textOf(paastis, key)))).toEqual(asked);
        expect(heard(events, "app-", "start")).toHaveLength(20);
      },
      STORY_MAX_MS,
    );

    test(
      "a container that is killed from outside is noticed within 2 s, and the next request starts it",
      async () => {
        const engine = await theEngine.get();

        await createApp(engine, "victim");
        await using paastis = await start(engine);
        expect(await textOf(paastis, "victim")).toBe("victim");
        const tooks: number[] = [];
        for (let count = 0; count < 2; count += 1) {
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
        expect(Math.max(...tooks)).toBeLessThanOrEqual(within(NOTICED_MAX_MS));
      },
      STORY_MAX_MS,
    );

    test(
      "from the container listening to the first byte at the client, at most 60 ms (median of 5 wakes)",
      async () => {
        const engine = await theEngine.get();
        const keys = Array.from({ length: 5 }, (_none, n) => `quick-${n}`);
        await Promise.all(keys.map((key) => createApp(engine, key, { bootSeconds: 0.1 })));
        await using paastis = await start(engine);
        const delays: number[] = [];
        for (const key of keys) {
          const answer = await paastis.get(key);
          const firstByteMs = performance.timeOrigin + performance.now();
          const [name, listeningSinceSeconds] = (await answer.text()).split(" ");
          expect(name).toBe(key);
          delays.push(firstByteMs - Number(listeningSinceSeconds) * 1000);
        }
        const median = delays.toSorted((a, b) => a - b)[2] ?? Number.NaN;
        console.log(`wake delay of a container, median of 5: ${median.toFixed(1)} ms`);
        expect(median).toBeLessThanOrEqual(within(FIRST_BYTE_MAX_MS));
      },
      STORY_MAX_MS,
    );

    test(
      "an engine that restarts under load, politely or not, costs no request of what stays up, in its network or by published ports",
      async () => {
        const engine = await theEngine.get();
        const keys = ["one", "two"].map((name) => `lasting-${name}`);
        for (const key of keys) {
          // The engine's own proxy serves published ports, and ends with it. Half an answer that it has passed on
          // cannot be asked for again, and a port that is free meanwhile must not become somebody else's.
          await createApp(engine, key, { answersInOnePiece: true, publishedAt: quietPort() });
        }
        await using inNetwork = await start(engine, { PROVIDER_DOCKER_NETWORK: engine.network });
        await using byPorts = await start(engine);
        await Promise.all(keys.map((key) => textOf(inNetwork, key)));
        await Promise.all(keys.map((key) => textOf(byPorts, key)));
        using load = loadOf(inNetwork, [...keys, ...keys]);
        using loadOfPorts = loadOf(byPorts, [...keys, ...keys]);
        for (const how of ["politely", "at once"] as const) {
          await engine.stop(how);
          // Long enough for somebody to notice, and for as many requests as there would be.
          await Bun.sleep(700);
          await engine.start();
          await Promise.all([load.more(100), loadOfPorts.more(100)]);
        }
        expect({
          "in its network": await load.end(),
          "by published ports": await loadOfPorts.end(),
        }).toEqual({ "in its network": [], "by published ports": [] });
        const counts = [load.answered, loadOfPorts.answered].join(" and ");
        console.log(`${counts} requests while the engine restarted twice`);
        await order(engine, "lasting-one", "kill");
        for (const paastis of [inNetwork, byPorts]) {
          await paastis.untilEvent("lasting-one", "APP_STOPPED");
        }
        expect(await textOf(inNetwork, "lasting-one")).toBe("lasting-one");
      },
      STORY_MAX_MS,
    );
  });
});
