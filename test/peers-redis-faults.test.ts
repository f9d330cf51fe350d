/** Instances on a Redis that is gone, slow, full, read-only, emptied or failed over: what is suspended, and how they recover. */

import { describe, expect, setDefaultTimeout, test } from "bun:test";

import { recordOf } from "./contract/registry.ts";
import { within } from "./support/pace.ts";
import { startRedisCluster } from "./support/redis-cluster.ts";
import { SHORT, startInstance } from "./support/redis-instances.ts";
import { startRedisSentinel } from "./support/redis-sentinel.ts";
import { startRedis } from "./support/redis-server.ts";
import {
  ask,
  beats,
  claimed,
  leaders,
  lives,
  NEVER,
  redisKey,
  ref,
  startRedisWorld,
  theLeader,
} from "./support/redis-world.ts";
import { until } from "./support/until.ts";

/** Lives of instances and locks pass. */
setDefaultTimeout(60_000);

/** A connection is tried again after longer and longer pauses. */
const BACK_MS = 20_000;

describe.concurrent("redis peers", () => {
  test("uses that did not get through are told later, older by as much", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b, relay } = world;
    await a.registry.save(recordOf("shop"));
    relay.refuse();
    await until(() => a.peers.state().trouble !== null);
    const heardBefore = b.heard.uses.length;
    a.heard.using = [{ ref, leases: 2, unusedMs: 10 }];
    await a.registry.touch([{ ref, lastUsedMs: 1_700_000_000_777 }]);
    await beats(a, 2);
    a.heard.using = [];
    await beats(a, 3);
    relay.accept();
    const told = () => b.heard.uses.slice(heardBefore).flatMap(({ uses }) => uses);
    await until(() => told().length > 0, BACK_MS);
    expect(told()[0]).toMatchObject({ ref, leases: 0 });
    expect(told()[0]!.unusedMs).toBeGreaterThanOrEqual(10 + SHORT.tickMs);
    const lastUse = async () => (await b.registry.load()).records[0]?.lastUsedMs;
    await until(async () => (await lastUse()) === 1_700_000_000_777);
  });

  test("a connection that is cut and healed: nothing is held meanwhile, and all is compared again", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b, relay } = world;
    expect(await theLeader([a, b])).toBe(a);
    const claim = await claimed(a);

    relay.refuse();
    await until(() => a.peers.state().trouble !== null);
    await expect(a.registry.claim({ provider: "process", id: "other" }, 0)).rejects.toThrow();
    expect(await a.peers.askToLetGo({ ref, fence: claim.fence, unusedMs: 7 }, NEVER)).toStartWith(
      "the other instances cannot be asked over Redis: ",
    );
    await until(() => {
      expect(leaders([a, b]).length).toBeLessThan(2);
      return claim.lost.aborted;
    });
    expect(claim.isHeld()).toBe(false);
    await until(() => b.peers.isLeader());
    expect(a.peers.isLeader()).toBe(false);
    expect(a.peers.whyNotLeader()).toBe(a.peers.state().trouble);
    await until(() => b.heard.ended.includes("a") && a.heard.ended.includes("b"));

    const resyncs = a.heard.resyncs;
    relay.accept();
    await until(() => a.peers.state().trouble === null, BACK_MS);
    await until(() => a.heard.resyncs > resyncs && a.peers.state().others.includes("b"));
    await until(() => b.peers.state().others.includes("a"));
    expect(await ask(b)).toBeNull();
    await b.registry.save(recordOf("shop", { fence: 9 }));
    await until(() => a.heard.records.length > 0);
  });

  test("a connection that is frozen loses what is held in time, and is one again when it thaws", async () => {
    await using world = await startRedisWorld(["a"]);
    const { a, relay } = world;
    const claim = await claimed(a);
    relay.freeze();
    await until(() => !claim.isHeld() && !a.peers.isLeader());
    relay.thaw();
    await until(() => a.peers.isLeader(), BACK_MS);
    expect(await claimed(a)).toMatchObject({ fence: claim.fence + 1 });
  });

  test("a slow connection is enough, and makes a claim count from when it was asked for", async () => {
    await using world = await startRedisWorld(["a"]);
    const { a, relay } = world;
    relay.delay(100);
    const claim = await claimed(a);
    await lives(1.5);
    expect(claim.isHeld()).toBe(true);
    expect(a.peers.isLeader()).toBe(true);
    expect(await a.peers.askToLetGo({ ref, fence: claim.fence, unusedMs: 7 }, NEVER)).toBeNull();
  });

  test("an answer that comes after the life of its lock is no claim", async () => {
    const times = { lifeMs: 600, tickMs: 60_000, answerMs: 400 };
    await using world = await startRedisWorld([]);
    const a = await world.add("a", { times, isRelayed: true });
    world.relay.delay(400);
    expect(await a.registry.claim(ref, 0)).toBeNull();
    world.relay.delay(0);
    // Nothing stays behind that keeps it from claiming again.
    await until(async () => (await a.registry.claim(ref, 0)) !== null);
  });

  test("a Redis that was emptied: claims are lost, everybody compares, and nobody is taken for gone", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b } = world;
    const claim = await claimed(a);
    await a.registry.save(recordOf("shop", { fence: claim.fence }));
    const before = world.all.map(({ heard }) => heard.resyncs);
    await world.server.run("FLUSHALL");
    await until(() => claim.lost.aborted);
    await until(() => world.all.every(({ heard }, index) => heard.resyncs > before[index]!));
    await theLeader(world.all);
    await beats(a, 3);
    for (const [index, { heard, lines }] of world.all.entries()) {
      expect(heard.resyncs).toBe(before[index]! + 1);
      expect(heard.ended).toEqual([]);
      expect(lines.filter(({ level }) => level === "warn")).toHaveLength(1);
      expect(lines.at(-1)?.message).toContain("Redis has lost what it held");
    }
    const next = await b.registry.claim(ref, claim.fence);
    expect(next?.fence).toBe(claim.fence + 1);
  });

  test("a Redis that was emptied gets no new leader while the old one may not know of it", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b, server } = world;
    expect(await theLeader(world.all)).toBe(a);
    a.pause();
    expect(a.peers.isLeader()).toBe(true);
    await server.run("FLUSHALL");
    await until(() => {
      expect(leaders(world.all).length).toBeLessThan(2);
      return b.peers.isLeader();
    }, BACK_MS);
    a.goOn();
    await beats(a, 2);
    expect(leaders(world.all)).toEqual([b]);
  });

  test("a Redis that restarts, with and without its data, has everybody back", async () => {
    for (const isDurable of [true, false]) {
      await using world = await startRedisWorld(["a", "b"], { server: { isDurable } });
      const { a, b, server } = world;
      await a.registry.save(recordOf("shop", { fence: 5 }));
      await until(() => b.heard.records.length === 1);
      const before = world.all.map(({ heard }) => heard.resyncs);
      await server.kill();
      await until(() => world.all.every(({ peers }) => peers.state().trouble !== null));
      await expect(a.registry.save(recordOf("shop", { fence: 6 }))).rejects.toThrow();
      await server.start();
      await until(() => world.all.every(({ peers }) => peers.state().trouble === null), BACK_MS);
      await until(() => world.all.every(({ heard }, index) => heard.resyncs > before[index]!));
      await theLeader(world.all);
      const hasLost = () => a.lines.some(({ message }) => message.includes("Redis has lost"));
      if (!isDurable) await until(hasLost);
      else expect(hasLost()).toBe(false);
      expect((await a.registry.load()).records).toHaveLength(isDurable ? 1 : 0);
      await b.registry.save(recordOf("shop", { fence: 7 }));
      await until(() => a.heard.records.length > 0);
      expect(await ask(a)).toBeNull();
    }
  });

  test("a Redis without memory refuses records, keeps claims and heartbeats, and all of it is said", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b, server } = world;
    const claim = await claimed(a);
    await server.run("CONFIG", "SET", "maxmemory", "1");
    await expect(a.registry.save(recordOf("shop"))).rejects.toThrow("OOM");
    await expect(b.registry.claim({ provider: "process", id: "b" }, 0)).rejects.toThrow("OOM");
    await a.registry.touch([{ ref, lastUsedMs: 7 }]);
    await until(() => world.all.every(({ peers }) => peers.state().trouble !== null));
    expect(a.peers.state().trouble).toContain("OOM");
    await lives(1.5);
    expect(claim.isHeld()).toBe(true);
    expect(leaders(world.all)).toHaveLength(1);
    expect(a.heard.ended).toEqual([]);
    const question = { ref, fence: claim.fence, unusedMs: 7 };
    expect(await a.peers.askToLetGo(question, NEVER)).toBeNull();
    const full =
      "its memory is full (`maxmemory`): give it more, or remove what is not needed (OOM)";
    const said = () => a.lines.filter(({ message }) => message.startsWith("the registry"));
    expect(said()).toMatchObject([{ level: "warn", fields: { reason: full } }]);

    await server.run("CONFIG", "SET", "maxmemory", "0");
    await until(() => a.peers.state().trouble === null);
    expect(said().map(({ level }) => level)).toEqual(["warn", "info"]);
    await a.registry.save(recordOf("shop", { lastUsedMs: null }));
  });

  test("a Redis that only reads: nothing is held after its life, and it is said", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, server } = world;
    await a.registry.save(recordOf("shop"));
    const claim = await claimed(a);
    await server.run("REPLICAOF", "127.0.0.1", "1");
    await expect(a.registry.save(recordOf("shop"))).rejects.toThrow("READONLY");
    await until(() => !claim.isHeld());
    await until(() => leaders(world.all).length === 0);
    expect(a.peers.state().trouble).not.toBeNull();
    await server.run("REPLICAOF", "NO", "ONE");
    await until(() => world.all.every(({ peers }) => peers.state().trouble === null), BACK_MS);
    await theLeader(world.all);
    expect(await ask(a)).toBeNull();
  });

  test("a Redis that is still loading its data: nothing is thrown, and all go on when it has", async () => {
    const server = { isDurable: true, lines: () => ["key-load-delay 400"] };
    await using world = await startRedisWorld(["a", "b"], { server });
    const { b } = world;
    await b.registry.save(recordOf("shop"));
    await world.server.run("EVAL", "for n = 1, 5000 do redis.call('SET', n, n) end", 0);
    await world.server.kill();
    const started = world.server.start();
    const whys = new Set<string>();
    await until(() => {
      whys.add(b.peers.state().trouble ?? "none");
      return [...whys].some((why) => why.includes("LOADING"));
    }, BACK_MS);
    await expect(b.registry.load()).rejects.toThrow();
    await started;
    await until(() => b.peers.state().trouble === null, BACK_MS);
    expect((await b.registry.load()).records).toHaveLength(1);
  });

  test("a wrong password is said, and nothing is thrown", async () => {
    await using server = await startRedis({ password: "right" });
    const url = server.url.replace("right", "wrong");
    await using a = startInstance({ url, name: "a" });
    await a.join();
    await beats(a, 2);
    await expect(a.registry.load()).rejects.toThrow();
    await expect(a.registry.claim(ref, 0)).rejects.toThrow();
    await until(() => a.peers.state().trouble?.includes("WRONGPASS") === true);
    expect([a.peers.isLeader(), a.heard.ended]).toEqual([false, []]);
    expect(await a.peers.askToLetGo({ ref, fence: 1, unusedMs: 7 }, NEVER)).not.toBeNull();
  });

  test("leaving is over in time when Redis is frozen", async () => {
    await using world = await startRedisWorld(["a"]);
    const { server } = world;
    server.freeze();
    const began = performance.now();
    await world.a.peers.leave();
    expect(performance.now() - began).toBeLessThan(within(5_000));
    server.thaw();
  });

  test("Sentinels give another master: the instances go on with it, and with what it has", async () => {
    await using group = await startRedisSentinel();
    await using world = await startRedisWorld(["a", "b"], { url: group.url });
    const { a, b } = world;
    await a.registry.save(recordOf("shop"));
    const master = await group.master();
    expect(await master.run("WAIT", 1, 5_000)).toBe(1);
    await master.kill();
    await until(
      async () => a.registry.save(recordOf("shop", { fence: 2 })).catch(() => false),
      BACK_MS,
    );
    await until(() => world.all.every(({ peers }) => peers.state().trouble === null), BACK_MS);
    await until(() => leaders(world.all).length === 1, BACK_MS);
    await until(async () => (await ask(a).catch(String)) === null, BACK_MS);
    expect((await b.registry.load()).records).toEqual([recordOf("shop", { fence: 2 })]);
    await a.registry.save(recordOf("shop", { fence: 9 }));
    await until(() => b.heard.records.some(({ record }) => record.fence === 9));
    expect(a.lines.filter(({ message }) => message.includes("has lost"))).toEqual([]);
  });

  test("a Cluster fails over, and the instances go on", async () => {
    await using cluster = await startRedisCluster({ replicas: 1 });
    const times = { ...SHORT, lifeMs: 3_000 };
    await using world = await startRedisWorld(["a", "b"], {
      url: cluster.url,
      times,
    });
    const { a, b } = world;
    await a.registry.save(recordOf("shop"));
    await until(() => b.heard.records.length === 1);
    await cluster.failOver(redisKey("apps"));
    await until(
      async () => a.registry.save(recordOf("shop", { fence: 2 })).catch(() => false),
      BACK_MS,
    );
    await until(() => b.heard.records.some(({ record }) => record.fence === 2), BACK_MS);
    await until(() => leaders(world.all).length === 1, BACK_MS);
    await until(async () => (await ask(a).catch(String)) === null, BACK_MS);
    expect((await b.registry.load()).records).toHaveLength(1);
  }, 60_000);
});
