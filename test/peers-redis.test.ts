/** Instances that hear of each other over Redis. */

import { describe, expect, setDefaultTimeout, test } from "bun:test";

import type { PeerUse } from "../src/peers.ts";
import { recordOf } from "./contract/registry.ts";
import { within } from "./support/pace.ts";
import { SHORT } from "./support/redis-instances.ts";
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

describe.concurrent("redis peers", () => {
  test("what one stores is at the others within 100 ms, and not told to itself", async () => {
    await using world = await startRedisWorld(["a", "b", "c"]);
    const { a, b } = world;
    const c = world.all[2]!;
    await a.registry.touch([{ ref, lastUsedMs: 5 }]);
    const tookMs: number[] = [];
    for (let fence = 1; fence <= 10; fence += 1) {
      const began = performance.now();
      await a.registry.save(recordOf("shop", { fence }));
      await until(() => [b, c].every(({ heard }) => heard.records.length === fence));
      tookMs.push(performance.now() - began);
    }
    // The best of a few: others work on the same cores.
    expect(Math.min(...tookMs)).toBeLessThan(within(100));
    for (const { heard } of [b, c]) {
      expect(heard.records.map(({ from, record }) => [from, record.fence])).toEqual(
        Array.from({ length: 10 }, (_, index) => ["a", index + 1]),
      );
      expect(heard.records.at(-1)?.record).toEqual(recordOf("shop", { fence: 10 }));
    }
    expect(a.heard.records).toEqual([]);
    // A refused save and a removal are nobody's business.
    expect(await a.registry.save(recordOf("shop", { fence: 1 }))).toBe(false);
    await a.registry.remove(ref);
    await a.registry.save(recordOf("last"));
    await until(() => b.heard.records.length > 10);
    expect(b.heard.records.at(-1)?.record.key).toBe("last");
  });

  test("a record that arrives has the last use that is stored, when that is later", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b } = world;
    await a.registry.save(recordOf("shop", { lastUsedMs: 5_000 }));
    await b.registry.save(recordOf("shop", { lastUsedMs: 3_000 }));
    await until(() => a.heard.records.length === 1);
    expect(a.heard.records[0]?.record.lastUsedMs).toBe(5_000);
  });

  test("leases and ages of uses are told with each heartbeat, whatever the machines' clocks say", async () => {
    await using world = await startRedisWorld([]);
    const early = await world.add("early", { aheadMs: -86_400_000 });
    const late = await world.add("late", { aheadMs: 86_400_000 });
    const use: PeerUse = { ref, leases: 3, unusedMs: 1_234 };
    early.heard.using = [use];
    await Promise.all([early.join(), late.join()]);
    await until(() => late.heard.uses.length > 1 && early.heard.uses.length > 1);
    expect(late.heard.uses.at(-1)).toEqual({ from: "early", uses: [use] });
    expect(early.heard.uses.at(-1)).toEqual({ from: "late", uses: [] });
    await lives(2);
    expect(late.heard.ended).toEqual([]);
    expect(early.heard.ended).toEqual([]);
    expect(leaders([early, late])).toHaveLength(1);
    expect(await ask(late)).toBeNull();
  });

  test("however much is used, there are two commands or three with a heartbeat, and none between", async () => {
    await using world = await startRedisWorld(["a"], {
      times: { ...SHORT, tickMs: 200, lifeMs: 4_000 },
    });
    const { a } = world;
    await Promise.all(
      Array.from({ length: 500 }, (_, index) => a.registry.save(recordOf(`app-${index}`))),
    );
    await beats(a, 1);
    const before = await world.server.calls();
    const taken = a.heard.taken;
    for (let round = 0; round < 100; round += 1) {
      const uses = Array.from({ length: 500 }, (_, index) => ({
        ref: recordOf(`app-${index}`).ref,
        lastUsedMs: 1_700_000_000_000 + round,
      }));
      await a.registry.touch(uses);
      a.heard.using = uses.map((use) => ({ ref: use.ref, leases: 1, unusedMs: 0 }));
      await Bun.sleep(5);
    }
    await beats(a, 2);
    const after = await world.server.calls();
    const passed = a.heard.taken - taken;
    const grown = (name: string) => (after[name] ?? 0) - (before[name] ?? 0);
    expect(grown("set")).toBeLessThanOrEqual(2 * passed);
    expect(grown("eval")).toBeLessThanOrEqual(2 * passed);
    expect(grown("evalsha")).toBe(0);
    expect(grown("hset")).toBeGreaterThanOrEqual(500);
    expect(grown("publish")).toBeLessThanOrEqual(passed);
    const { records } = await a.registry.load();
    expect(new Set(records.map(({ lastUsedMs }) => lastUsedMs))).toEqual(
      new Set([1_700_000_000_099]),
    );
  });

  test("one leads; when its heart stops another does, and never two at once", async () => {
    await using world = await startRedisWorld(["a", "b", "c"]);
    const first = await theLeader(world.all);
    const rest = world.all.filter((instance) => instance !== first);
    expect(first.peers.whyNotLeader()).toBeNull();
    for (const { peers } of rest) {
      expect(peers.whyNotLeader()).toBe(`instance ${first.name} does that`);
      expect(peers.state()).toMatchObject({ isLeader: false, trouble: null });
    }
    first.pause();
    await until(() => {
      expect(leaders(world.all).length).toBeLessThan(2);
      return leaders(rest).length === 1;
    });
    expect(first.peers.isLeader()).toBe(false);
    const second = await theLeader(rest);
    first.goOn();
    await beats(first, 2);
    expect(await theLeader(world.all)).toBe(second);
  });

  test("a leader that leaves is followed with the next heartbeat, and all are told that it is gone", async () => {
    await using world = await startRedisWorld(["a", "b", "c"], {
      times: { ...SHORT, lifeMs: 60_000 },
    });
    const first = await theLeader(world.all);
    const rest = world.all.filter((instance) => instance !== first);
    await first.peers.leave();
    await first.peers.leave();
    expect(first.peers.isLeader()).toBe(false);
    await theLeader(rest);
    await until(() => rest.every(({ heard }) => heard.ended.length > 0));
    for (const { heard, peers } of rest) {
      expect(heard.ended).toEqual([first.name]);
      expect(peers.state().others).not.toContain(first.name);
    }
    expect(await ask(rest[0]!)).toBeNull();
  });

  test("what was used last is stored before an instance leaves, however much it is", async () => {
    const times = { ...SHORT, tickMs: 60_000, lifeMs: 60_000 };
    await using world = await startRedisWorld(["a"], { times });
    const records = Array.from({ length: 2_500 }, (_, index) => recordOf(`app-${index}`));
    await Promise.all(records.map((record) => world.a.registry.save(record)));
    const uses = records.map(({ ref: one }) => ({ ref: one, lastUsedMs: 1_700_000_000_777 }));
    await world.a.registry.touch(uses);
    await world.a.peers.leave();
    const stored = (await world.a.registry.load()).records;
    expect(stored.filter(({ lastUsedMs }) => lastUsedMs === 1_700_000_000_777)).toHaveLength(2_500);
    // From here on there is no heartbeat that would take them.
    await world.a.registry.touch([{ ref: records[0]!.ref, lastUsedMs: 1_700_000_000_778 }]);
    const latest = (await world.a.registry.load()).records.map(({ lastUsedMs }) => lastUsedMs);
    expect(latest).toContain(1_700_000_000_778);
  });

  test("an instance that falls silent is gone after its life, once, and is back when it speaks again", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b } = world;
    b.pause();
    await until(() => a.heard.ended.length > 0);
    expect(a.peers.state().others).toEqual([]);
    await beats(a, 5);
    expect(a.heard.ended).toEqual(["b"]);
    expect(await world.server.run("ZRANGE", redisKey("instances"), 0, -1)).toEqual(["a"]);
    b.goOn();
    await until(() => a.peers.state().others.length === 1);
    // It was itself deaf for as long, and does not take the other for gone.
    await beats(b, 3);
    expect(b.heard.ended).toEqual([]);
  });

  test("an instance that was killed and started again is there, and what its earlier run said counts no more", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b } = world;
    const left = await claimed(b);
    b.pause();
    const again = await world.add("b");
    await again.join();
    expect((await again.registry.claim(ref, 0))?.fence).toBe(left.fence + 1);
    await until(() => a.heard.ended.length > 0);
    expect(a.peers.state().others).toEqual(["b"]);
    await lives(1.5);
    expect(a.heard.ended).toEqual(["b"]);
  });

  test("before a stop all others are asked, and any of them can say no", async () => {
    await using world = await startRedisWorld(["a", "b", "c"]);
    const { a, b } = world;
    const c = world.all[2]!;
    const claim = await claimed(a);
    const question = { ref, fence: claim.fence, unusedMs: 7 };
    expect(await a.peers.askToLetGo(question, NEVER)).toBeNull();
    for (const { heard } of [b, c]) expect(heard.questions).toEqual([{ question, from: "a" }]);
    expect(a.heard.questions).toEqual([]);

    c.heard.objection = "2 requests use it";
    expect(await a.peers.askToLetGo({ ...question, unusedMs: null }, NEVER)).toBe(
      "instance c: 2 requests use it",
    );
    await until(() => b.heard.questions.length === 2);
    expect(b.heard.questions[1]?.question.unusedMs).toBeNull();
  });

  test("with no other instance the question costs one call", async () => {
    await using world = await startRedisWorld(["a"], {
      times: { ...SHORT, tickMs: 60_000, lifeMs: 60_000 },
    });
    const claim = await claimed(world.a);
    const before = await world.server.calls();
    const question = { ref, fence: claim.fence, unusedMs: 7 };
    expect(await world.a.peers.askToLetGo(question, NEVER)).toBeNull();
    const after = await world.server.calls();
    const sum = (calls: Readonly<Record<string, number>>) =>
      (calls.evalsha ?? 0) + (calls.eval ?? 0) + (calls.publish ?? 0);
    // One, and once its text, which that server did not know.
    expect(sum(after) - sum(before)).toBeLessThanOrEqual(2);
    expect(after.publish ?? 0).toBe(before.publish ?? 0);
  });

  test("an instance that lives and does not answer keeps the app awake; one that is dead does not", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b } = world;
    const [seconds] = (await world.server.run("TIME")) as [string];
    await world.server.run("ZADD", redisKey("instances"), Number(seconds) * 1_000 + 1_000, "ghost");
    expect(await ask(a)).toBe("instance ghost does not answer");
    expect(b.heard.questions).toHaveLength(1);
    await until(async () => (await ask(a)) === null);

    b.heard.isBroken = true;
    expect(await ask(a)).toBe("instance b does not answer");
    expect(b.lines.some(({ level }) => level === "error")).toBe(true);
  });

  test("a heartbeat out of the future, of a Redis whose clock was set back, keeps nobody alive", async () => {
    await using world = await startRedisWorld(["a"]);
    const { a, server } = world;
    const [seconds] = (await server.run("TIME")) as [string];
    const future = Number(seconds) * 1_000 + 3_600_000;
    await server.run("ZADD", redisKey("instances"), future, "ghost");
    await beats(a, 2);
    expect(await ask(a)).toBeNull();
    expect(await server.run("ZRANGE", redisKey("instances"), 0, -1)).toEqual(["a"]);
  });

  test("an instance that was heard of is asked even if Redis has forgotten it", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b } = world;
    b.heard.objection = "a request uses it";
    b.pause();
    await world.server.run("DEL", redisKey("instances"));
    expect(await ask(a)).toBe("instance b: a request uses it");
  });

  test("a question can be called off, and is void when the lock is another's", async () => {
    await using world = await startRedisWorld(["a", "b"], {
      times: { ...SHORT, answerMs: 60_000 },
    });
    const { a, b } = world;
    b.heard.isBroken = true;
    const off = new AbortController();
    const asked = ask(a, off.signal);
    await until(() => b.lines.some(({ level }) => level === "error"));
    off.abort(new Error("a request came"));
    expect(await asked).toBe("the question to the other instances was called off");

    a.pause();
    const claim = await claimed(a);
    await world.server.run("SET", redisKey("lock:process/shop"), "other/x-1");
    const question = { ref, fence: claim.fence, unusedMs: 7 };
    const lost = "the sole right to change it was lost";
    expect(await a.peers.askToLetGo(question, NEVER)).toBe(lost);
    await claim.release();
    expect(await a.peers.askToLetGo(question, NEVER)).toBe(lost);
  });

  test("what strangers write on the channels is passed over, and said once for each", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b } = world;
    const texts = ["", "x", "null", "[]", "{}", '{"from":1}', '{"from":"x","uses":[[1]]}'];
    const half = [
      '{"from":"x","revision":1,"used":null,"record":{}}',
      '{"from":"x","id":"y","why":1}',
    ];
    for (const channel of ["changes", "beats", "questions", "answers"]) {
      for (const text of [...texts, ...half])
        await world.server.run("PUBLISH", redisKey(channel), text);
    }
    await b.registry.save(recordOf("shop"));
    await until(() => a.heard.records.length === 1);
    expect(await ask(a)).toBeNull();
    expect(a.lines.filter(({ level }) => level === "debug")).toHaveLength(4);
    const loud = a.lines.filter(({ level }) => level === "warn" || level === "error");
    expect(loud).toEqual([]);
  });

  test("a listener that fails is told in the log, and nothing stops", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b } = world;
    a.heard.isBroken = true;
    await b.registry.save(recordOf("shop"));
    await until(() => a.lines.filter(({ level }) => level === "error").length > 3);
    a.heard.isBroken = false;
    await beats(a, 2);
    await b.registry.save(recordOf("shop", { fence: 2 }));
    await until(() => a.heard.records.length > 0);
  });

  test("messages that were missed are noticed by their numbers, with the next message or by the second heartbeat", async () => {
    await using world = await startRedisWorld(["a", "b"]);
    const { a, b } = world;
    await b.registry.save(recordOf("shop"));
    await until(() => a.heard.records.length === 1);
    await beats(a, 3);
    const before = a.heard.resyncs;
    // As if one had been published to nobody.
    await world.server.run("INCR", redisKey("revision"));
    await until(() => a.heard.resyncs === before + 1);
    a.pause();
    await world.server.run("INCR", redisKey("revision"));
    await b.registry.save(recordOf("shop", { fence: 2 }));
    await until(() => a.heard.resyncs === before + 2);
    a.goOn();
    await beats(a, 5);
    expect(a.heard.resyncs).toBe(before + 2);
  });
});
