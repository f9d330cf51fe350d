/** A real Podman engine, in short, through the compiled program. */

import { afterAll, describe, expect, test } from "bun:test";
import { createApp, order, removeAllApps, statusOf } from "../support/engine-apps.ts";
import { within } from "../support/pace.ts";
import { type PodmanEngine, startPodmanEngine, whyNoPodman } from "../support/podman-engine.ts";
import { quietPort } from "../support/quiet-port.ts";
import { type RunningPaastis, startPaastis } from "../support/start-paastis.ts";
import { until } from "../support/until.ts";

const why = whyNoPodman();
if (why !== null) console.log(`not played on a real Podman engine: ${why}`);

const NEVER = "0 0 1 1 *";
const STORY_MAX_MS = 60_000;

async function textOf(paastis: RunningPaastis, key: string): Promise<string> {
  const answer = await paastis.get(key);
  const text = await answer.text();
  return answer.status === 200 ? (text.split(" ")[0] ?? "") : `${answer.status} ${text}`;
}

describe.skipIf(why !== null)("podman engine", () => {
  let starting: Promise<PodmanEngine> | null = null;
  const theEngine = () => {
    starting ??= startPodmanEngine();
    return starting;
  };
  afterAll(async () => {
    const engine = await starting;
    if (engine !== null) await removeAllApps(engine);
    await engine?.[Symbol.asyncDispose]();
  });

  async function make(name: string, labels: Readonly<Record<string, string>> = {}) {
    const engine = await theEngine();
    const port = quietPort();
    await createApp(engine, name, {
      ...{ port, isPublished: false, host: engine.host },
      labels: { "paastis.port": String(port), ...labels },
    });
    return engine;
  }

  function start({ socketPath }: PodmanEngine, env: Readonly<Record<string, string>> = {}) {
    return startPaastis({
      config: "",
      env: {
        PROVIDER_NAME: "docker",
        DOCKER_HOST: `unix://${socketPath}`,
        START_AND_STOP_CHECKING_INTERVAL_CRON: NEVER,
        ...env,
      },
    });
  }

  test(
    "100 requests at once for four containers that sleep: one start each; a kill is noticed within 2 s",
    async () => {
      const keys = ["one", "two", "three", "four"].map((name) => `app-${name}`);
      for (const key of keys) await make(key);
      const engine = await theEngine();
      using events = await engine.watchEvents();
      await using paastis = await start(engine);
      const asked = Array.from({ length: 100 }, (_none, n) => keys[n % keys.length] ?? "");
      expect(await Promise.all(asked.map((key) => textOf(paastis, key)))).toEqual(asked);
      // It tells them some time later.
      await until(() => keys.every((key) => events.count("start", key) > 0));
      expect(keys.map((key) => events.count("start", key))).toEqual([1, 1, 1, 1]);
      const killedMs = performance.now();
      await order(engine, "app-two", "kill");
      await paastis.untilEvent("app-two", "APP_STOPPED");
      expect(performance.now() - killedMs).toBeLessThanOrEqual(within(2_000));
      expect(await textOf(paastis, "app-two")).toBe("app-two");
    },
    STORY_MAX_MS,
  );

  test(
    "idle containers are stopped, or frozen where they say so, and wake again",
    async () => {
      await make("stopped");
      const engine = await make("frozen", { "paastis.mode": "pause" });
      await using paastis = await start(engine, {
        START_AND_STOP_MAX_IDLE_TIME: "0",
        START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *",
      });
      for (const [key, status] of Object.entries({ stopped: "exited", frozen: "paused" })) {
        expect(await textOf(paastis, key)).toBe(key);
        await paastis.untilEvent(key, "APP_STOPPED");
        expect(await statusOf(engine, key)).toBe(status);
        expect(await textOf(paastis, key)).toBe(key);
      }
    },
    STORY_MAX_MS,
  );
});
