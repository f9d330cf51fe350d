/** The registry in Redis, on every kind of Redis, and what only it has to do. */

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";

import type { Registry } from "../src/registry/registry.ts";
import { type RegistryFixture, recordOf, registryContract } from "./contract/registry.ts";
import { startRedisCluster } from "./support/redis-cluster.ts";
import { type RedisInstance, SHORT, startInstance } from "./support/redis-instances.ts";
import { startRedisSentinel } from "./support/redis-sentinel.ts";
import { type RedisServer, startRedis } from "./support/redis-server.ts";
import { until } from "./support/until.ts";

/** Lives of locks pass. */
setDefaultTimeout(60_000);

const single = await startRedis();
const cluster = await startRedisCluster();
const sentinel = await startRedisSentinel();
afterAll(async () => {
  for (const server of [single, cluster, sentinel]) await server[Symbol.asyncDispose]();
});

registryContract("redis", () => fixture(single.url, [single]));
registryContract("redis cluster", () => fixture(cluster.url, cluster.masters));
registryContract("redis sentinel", async () => fixture(sentinel.url, [await sentinel.master()]));

/** All that the servers held is gone. */
async function fixture(url: string, servers: readonly RedisServer[]): Promise<RegistryFixture> {
  for (const server of servers) await server.run("FLUSHALL");
  const opened: RedisInstance[] = [];
  async function open(): Promise<Registry> {
    const instance = startInstance({ url, name: "one" });
    opened.push(instance);
    await until(() => instance.connection.trouble() === null);
    return instance.registry;
  }
  const registry = await open();
  return {
    registry,
    async restart() {
      await registry.close();
      return open();
    },
    async [Symbol.asyncDispose]() {
      for (const instance of opened) await instance[Symbol.asyncDispose]();
    },
  };
}

const { ref } = recordOf("shop");

async function ready(instance: RedisInstance): Promise<RedisInstance> {
  await until(() => instance.connection.trouble() === null);
  return instance;
}

/** Instances on a server of their own. */
async function instancesOn(server: RedisServer, ...names: readonly string[]) {
  await server.run("FLUSHALL");
  return Promise.all(names.map((name) => ready(startInstance({ url: server.url, name }))));
}

const key = (name: string) => `paastis:tests:{tests}:${name}`;
const SHOP = "process/shop";

test("redis registry: all that it stores has the prefix and lies in one slot", async () => {
  const [one] = await instancesOn(single, "one");
  await using instance = one!;
  await instance.registry.save(recordOf("shop"));
  await instance.join();
  await instance.registry.claim(ref, 0);
  const keys = (await single.run("KEYS", "*")) as string[];
  expect(keys.toSorted()).toEqual(
    ["apps", "epoch", "fences", "instances", "leader", "revision", "uses", `lock:${SHOP}`]
      .map(key)
      .toSorted(),
  );
});

test("redis registry: records that cannot be read are reported, left out, and kept in Redis", async () => {
  const [one] = await instancesOn(single, "one");
  await using instance = one!;
  const { registry } = instance;
  const damages: Record<string, string> = {
    "no-json": '{"kind":',
    "no-object": "[]",
    "no-phase": JSON.stringify({ ...recordOf("no-phase"), phase: "dancing" }),
    "of-another": JSON.stringify(recordOf("fine")),
  };
  await registry.save(recordOf("fine"));
  for (const [id, text] of Object.entries(damages)) {
    await single.run("HSET", key("apps"), `process/${id}`, text);
  }
  const loaded = await registry.load();
  expect(loaded.records).toEqual([recordOf("fine")]);
  expect(loaded.unreadable.map(({ what }) => what).toSorted()).toEqual(
    Object.keys(damages)
      .map((id) => `app process/${id}`)
      .toSorted(),
  );
  const whys = Object.fromEntries(loaded.unreadable.map(({ what, why }) => [what, why]));
  expect(whys["app process/no-json"]).toStartWith("it is not JSON: ");
  expect(whys["app process/no-phase"]).toStartWith("phase must be");
  expect(whys["app process/of-another"]).toBe("it is the record of another app");
  expect(await single.run("HLEN", key("apps"))).toBe(5);

  // They do not stand in the way of what comes after them.
  for (const id of Object.keys(damages)) {
    const claim = await registry.claim({ provider: "process", id }, 0);
    expect(claim).toMatchObject({ record: id === "of-another" ? { key: "fine" } : null });
    await registry.touch([{ ref: { provider: "process", id }, lastUsedMs: 5 }]);
    expect(await registry.save(recordOf(id, { fence: 2 }))).toBe(true);
  }
  expect((await registry.load()).unreadable).toEqual([]);
});

test("redis registry: what stands at the place of another kind of value rejects calls and none throws", async () => {
  const [one] = await instancesOn(single, "one");
  await using instance = one!;
  await single.run("SET", key("apps"), "x");
  const { registry } = instance;
  for (const call of [
    () => registry.load(),
    () => registry.save(recordOf("shop")),
    () => registry.remove(ref),
    () => registry.touch([{ ref, lastUsedMs: 1 }]),
    () => registry.claim(ref, 0),
  ]) {
    await expect(call()).rejects.toThrow("WRONGTYPE");
  }
  // And nothing half of it was done.
  expect(await single.run("KEYS", "*")).toEqual([key("apps")]);
});

test("redis registry: a claim tells what another instance has stored, with the last use noted since", async () => {
  const [a, b] = await instancesOn(single, "a", "b");
  await using one = a!;
  await using other = b!;
  await one.registry.save(recordOf("shop", { phase: "awake", runsAt: "a" }));
  await one.registry.touch([{ ref, lastUsedMs: 1_700_000_000_777 }]);
  const claim = await other.registry.claim(ref, 0);
  expect(claim?.record).toEqual(
    recordOf("shop", { phase: "awake", runsAt: "a", lastUsedMs: 1_700_000_000_777 }),
  );
  expect((await other.registry.claim({ provider: "process", id: "new" }, 0))?.record).toBeNull();
});

test("redis registry: of many instances that claim at the same time one succeeds", async () => {
  await using undo = new AsyncDisposableStack();
  const instances = await instancesOn(single, "a", "b", "c", "d");
  for (const instance of instances) undo.use(instance);
  for (let round = 0; round < 10; round += 1) {
    const asked = instances.flatMap(({ registry }) =>
      Array.from({ length: 5 }, () => registry.claim(ref, 0)),
    );
    const claims = (await Promise.all(asked)).filter((claim) => claim !== null);
    expect(claims).toHaveLength(1);
    expect(claims[0]?.fence).toBe(round + 1);
    await claims[0]?.release();
  }
});

test("redis registry: a lock left by an earlier run of the same instance is taken over at once, by nobody else", async () => {
  const [first, next, other] = await instancesOn(single, "one", "one", "two");
  await using earlier = first!;
  await using later = next!;
  await using stranger = other!;
  const left = await earlier.registry.claim(ref, 0);
  expect(await stranger.registry.claim(ref, 0)).toBeNull();
  const taken = await later.registry.claim(ref, 0);
  expect(taken?.fence).toBe(left!.fence + 1);
  // What the earlier run does now changes nothing of it.
  await left?.release();
  expect(await single.run("EXISTS", key(`lock:${SHOP}`))).toBe(1);
  expect(await stranger.registry.claim(ref, 0)).toBeNull();
});

test("redis registry: an instance whose name begins like another's does not take its lock", async () => {
  const [a, b] = await instancesOn(single, "a/b", "a");
  await using one = a!;
  await using other = b!;
  expect(await one.registry.claim(ref, 0)).not.toBeNull();
  expect(await other.registry.claim(ref, 0)).toBeNull();
});

test("redis registry: a claim that nobody renews is lost after its life, at once and without a call, and goes to another", async () => {
  const [a, b] = await instancesOn(single, "a", "b");
  await using one = a!;
  await using other = b!;
  // Not joined: no heartbeat.
  const claim = await one.registry.claim(ref, 0);
  expect([claim?.isHeld(), claim?.lost.aborted]).toEqual([true, false]);
  const unasked = await one.registry.claim({ provider: "process", id: "unasked" }, 0);
  let next = await other.registry.claim(ref, 0);
  expect(next).toBeNull();
  await until(async () => {
    next = await other.registry.claim(ref, 0);
    // Never two at once.
    if (next !== null) expect(claim?.isHeld()).toBe(false);
    return next !== null;
  });
  expect(next!.fence).toBe(claim!.fence + 1);
  await until(() => claim!.lost.aborted && unasked!.lost.aborted);
  expect(String(claim!.lost.reason)).toContain("process/shop");
  await claim!.release();
  expect(next!.isHeld()).toBe(true);
  expect(await one.registry.claim(ref, 0)).toBeNull();
});

test("redis registry: an instance that was stopped past the life of its claim knows it, and its save bounces", async () => {
  const [a, b] = await instancesOn(single, "a", "b");
  await using one = a!;
  await using other = b!;
  await Promise.all([one.join(), other.join()]);
  const claim = await one.registry.claim(ref, 0);
  await one.registry.save(recordOf("shop", { fence: claim!.fence, phase: "stopping" }));
  one.pause();
  let next = await other.registry.claim(ref, 0);
  await until(async () => {
    next ??= await other.registry.claim(ref, 0);
    return next !== null;
  });
  // No timer has told it.
  expect(claim!.lost.aborted).toBe(false);
  expect(claim!.isHeld()).toBe(false);
  expect(claim!.lost.aborted).toBe(true);
  // A heartbeat on its way may have renewed that a moment later.
  await until(() => !one.peers.isLeader());
  // Nothing is stored of the next yet, and the lock alone keeps the old one away.
  const late = recordOf("shop", { fence: claim!.fence, phase: "asleep" });
  expect(await one.registry.save(late)).toBe(false);
  expect((await other.registry.load()).records[0]?.phase).toBe("stopping");
  expect(await other.registry.save(recordOf("shop", { fence: next!.fence }))).toBe(true);
  await next!.release();
  one.goOn();
  expect(await one.registry.save(late)).toBe(false);
  expect((await other.registry.load()).records[0]?.fence).toBe(next!.fence);
});

test("redis registry: heartbeats keep claims beyond their life, and only those that are held", async () => {
  const [a, b] = await instancesOn(single, "a", "b");
  await using one = a!;
  await using other = b!;
  await one.join();
  const kept = await one.registry.claim(ref, 0);
  const given = await one.registry.claim({ provider: "process", id: "given" }, 0);
  await given?.release();
  const began = performance.now();
  await until(() => performance.now() - began > 2 * SHORT.lifeMs);
  expect(kept?.isHeld()).toBe(true);
  expect(await other.registry.claim(ref, 0)).toBeNull();
  expect(await other.registry.claim({ provider: "process", id: "given" }, 0)).not.toBeNull();
});

test("redis registry: a claim whose lock is gone or another's is lost with the next heartbeat", async () => {
  const [one] = await instancesOn(single, "one");
  await using instance = one!;
  await instance.join();
  for (const damage of [["DEL"], ["SET", "other/x-1"]] as const) {
    const claim = await instance.registry.claim(ref, 0);
    const [command, ...words] = damage;
    await single.run(command, key(`lock:${SHOP}`), ...words);
    await until(() => claim!.lost.aborted);
    expect(claim!.isHeld()).toBe(false);
    await claim!.release();
    if (command === "SET") expect(await single.run("GET", key(`lock:${SHOP}`))).toBe("other/x-1");
  }
});

test("redis registry: closing gives back what is held, and rejects every call after it", async () => {
  const [a, b] = await instancesOn(single, "a", "b");
  await using one = a!;
  await using other = b!;
  const claim = await one.registry.claim(ref, 0);
  await one.registry.close();
  expect([claim?.isHeld(), claim?.lost.aborted]).toEqual([false, true]);
  expect(await other.registry.claim(ref, 0)).not.toBeNull();
  for (const call of [
    () => one.registry.load(),
    () => one.registry.save(recordOf("shop")),
    () => one.registry.remove(ref),
    () => one.registry.touch([]),
    () => one.registry.claim(ref, 0),
  ]) {
    await expect(call()).rejects.toThrow("The registry is closed");
  }
});
