/** Redis goes away from one instance or from all, loses everything, or takes nothing more: no request fails for that. */

import { expect } from "bun:test";
import { everythingApp } from "../support/everything-app.ts";
import { testsInTurn } from "../support/in-turn.ts";
import { startInstanceLoad } from "../support/instance-load.ts";
import { type Instances, startInstances } from "../support/instances.ts";
import { within } from "../support/pace.ts";
import { type LedgerPlatform, startLedgerPlatform } from "../support/platform-ledger.ts";
import type { RedisServer } from "../support/redis-server.ts";
import { eventually } from "../support/start-paastis.ts";

const story = testsInTurn(4);

/** Three seconds. */
const SOON = { START_AND_STOP_MAX_IDLE_TIME: "0.05" };
/** What both are used for: one of a platform, and one that an instance runs itself. */
const KEYS = ["shop", "desk"];
/** Longer than they may idle, sweeps included, ms. */
const IDLE_MS = 4_500;

function eventsOf({ all }: Instances, key: string, name: string): number {
  return all.flatMap(({ lines }) => lines.filter(({ app, event }) => app === key && event === name))
    .length;
}

interface Told {
  readonly platform: LedgerPlatform;
  readonly instances: Instances;
}

async function start(
  count: number,
  env: Readonly<Record<string, string>> = {},
): Promise<Told & AsyncDisposable> {
  const platform = await startLedgerPlatform();
  platform.addApp("shop", true);
  const instances = await startInstances({
    count,
    config: `apps:\n${everythingApp("desk")}`,
    env: { ...platform.env, PROVIDER_NAME: "process,docker", ...env },
  });
  return {
    platform,
    instances,
    async [Symbol.asyncDispose]() {
      await instances[Symbol.asyncDispose]();
      await platform[Symbol.asyncDispose]();
    },
  };
}

async function wakeAll({ all }: Instances): Promise<void> {
  for (const key of KEYS) expect(await all[0]?.visit(key)).toBe(200);
  await Promise.all(all.flatMap((one) => KEYS.map((key) => one.visit(key))));
}

async function untilAllSay({ all }: Instances, isReachable: boolean): Promise<void> {
  await eventually(`/__status says that Redis is ${isReachable ? "there" : "away"}`, async () => {
    const states = await Promise.all(all.map((one) => one.registry()));
    return states.every(({ reachable }) => reachable === isReachable);
  });
}

story(
  "one of two instances is cut off from Redis: it goes on serving, puts nothing to sleep and says so; then all agree again",
  async () => {
    await using told = await start(2, SOON);
    const { instances, platform } = told;
    await wakeAll(instances);
    const [one, other] = instances.all;
    if (one === undefined || other === undefined) throw new Error("there are two");
    await using load = startInstanceLoad({ instances: [one], keys: KEYS, perSecond: 50 });
    one.cutOff();
    const from = one.lines.length;
    await eventually("it says so", async () => !(await one.registry()).reachable);
    await eventually("the other leads", async () => (await other.registry()).leader);
    const state = await one.registry();
    expect(state).toMatchObject({ reachable: false, leader: false });
    expect(String(state.trouble).length).toBeGreaterThan(5);
    await load.stop();
    // Longer than both may idle: the process that runs at the cut-off one stays up all the same.
    const fromMs = performance.now();
    await eventually("time passes", () => performance.now() - fromMs > IDLE_MS);
    expect(await one.visit("desk")).toBe(200);
    expect(load.failures()).toEqual([]);
    const ordered = one.lines.slice(from).filter(({ event }) => event === "APP_STOPPING");
    expect(ordered).toEqual([]);
    one.reconnect();
    await instances.untilTogether();
    for (const key of KEYS) {
      await eventually(`all agree about ${key}`, async () => {
        const states = await Promise.all(instances.all.map((each) => each.stateOf(key)));
        return new Set(states).size === 1;
      });
    }
    for (const key of KEYS) await instances.untilState(key, "asleep");
    for (const each of instances.all)
      for (const key of KEYS) expect(await each.visit(key)).toBe(200);
    expect(platform.fake.violations).toEqual([]);
  },
);

/** What can happen to Redis, and how it ends. */
const TROUBLES: Readonly<
  Record<
    string,
    {
      readonly begin: (redis: RedisServer) => unknown;
      readonly end: (redis: RedisServer) => unknown;
      /** `/__status` is to say so; otherwise it works again before anybody can ask. */
      readonly isTold: boolean;
    }
  >
> = {
  "is killed and started again": {
    begin: (redis) => redis.kill(),
    end: (redis) => redis.start(),
    isTold: true,
  },
  "is frozen for a while": {
    begin: (redis) => redis.freeze(),
    end: (redis) => redis.thaw(),
    isTold: true,
  },
  "forgets everything": {
    begin: (redis) => redis.run("FLUSHALL"),
    end: () => undefined,
    isTold: false,
  },
  "is read-only": {
    begin: (redis) => redis.run("REPLICAOF", "127.0.0.1", "1"),
    end: (redis) => redis.run("REPLICAOF", "NO", "ONE"),
    isTold: true,
  },
  "is out of memory": {
    begin: (redis) => redis.run("CONFIG", "SET", "maxmemory", "1"),
    end: (redis) => redis.run("CONFIG", "SET", "maxmemory", "0"),
    isTold: true,
  },
};

for (const [what, { begin, end, isTold }] of Object.entries(TROUBLES)) {
  story(
    `Redis ${what} under load: no request fails, nothing is put to sleep meanwhile, and all is well again by itself`,
    async () => {
      await using told = await start(2);
      const { instances, platform } = told;
      await wakeAll(instances);
      await using load = startInstanceLoad({
        instances: instances.all,
        keys: KEYS,
        perSecond: 50,
      });
      await eventually("it is used", () => load.outcomes.length > 50);
      await begin(instances.redis);
      if (isTold) await untilAllSay(instances, false);
      else await eventually("time passes", () => load.outcomes.length > 200);
      await end(instances.redis);
      await untilAllSay(instances, true);
      await instances.untilTogether();
      await load.stop();
      expect(load.failures()).toEqual([]);
      const took = load.outcomes.map(({ tookMs }) => tookMs).toSorted((a, b) => a - b);
      expect(took[Math.floor(took.length / 2)]).toBeLessThan(within(1_000));
      for (const key of KEYS) {
        expect(eventsOf(instances, key, "APP_STOPPED")).toBe(0);
        await instances.untilState(key, "awake");
      }
      expect(platform.fake.violations).toEqual([]);
    },
  );
}

story(
  "a wake while Redis is away is tried all the same, and nothing sleeps until it is back",
  async () => {
    await using told = await start(2, SOON);
    const { instances, platform } = told;
    const stops = (key: string) => eventsOf(instances, key, "APP_STOPPED");
    await eventually("it is told that it sleeps", () => stops("shop") === 1);
    await instances.untilState("shop", "asleep");
    const [one] = instances.all;
    if (one === undefined) throw new Error("there are two");
    await instances.redis.kill();
    await untilAllSay(instances, false);
    expect(await one.visit("shop")).toBe(200);
    expect(await one.visit("desk")).toBe(200);
    const fromMs = performance.now();
    await eventually("time passes", () => performance.now() - fromMs > IDLE_MS);
    expect([stops("shop"), stops("desk")]).toEqual([1, 0]);
    await instances.redis.start();
    await untilAllSay(instances, true);
    for (const key of KEYS) await instances.untilState(key, "asleep");
    await eventually("that is told", () => stops("shop") === 2 && stops("desk") === 1);
    expect(platform.fake.violations).toEqual([]);
  },
);
