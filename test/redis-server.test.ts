/** The Redis servers that the tests start. */

import { expect, test } from "bun:test";
import { Cluster, Redis } from "ioredis";

import { startRedisCluster } from "./support/redis-cluster.ts";
import { startRedisSentinel } from "./support/redis-sentinel.ts";
import { startRedis } from "./support/redis-server.ts";
import { until } from "./support/until.ts";

test("redis server: it is on a port of its own and starts again there, with what it is to keep", async () => {
  await using lasting = await startRedis({ isDurable: true });
  await using fleeting = await startRedis();
  expect(lasting.port).not.toBe(fleeting.port);
  for (const server of [lasting, fleeting]) {
    await server.run("SET", "a", "1");
    await server.restart();
  }
  expect([await lasting.run("GET", "a"), await fleeting.run("GET", "a")]).toEqual(["1", null]);
});

test("redis server: users, passwords, TLS and memory are as asked for", async () => {
  await using secret = await startRedis({ password: "s3/cret", tls: true });
  await using named = await startRedis({
    user: { name: "paastis", password: "w0rd" },
    maxMemory: "1mb",
  });
  const ca = await Bun.file(secret.caFile).text();
  const first = new Redis(secret.url, { tls: { ca } });
  const second = new Redis(named.url);
  try {
    expect(secret.url).toStartWith("rediss://:s3%2Fcret@localhost:");
    expect([await first.ping(), await second.ping()]).toEqual(["PONG", "PONG"]);
    expect(await named.info("memory")).toMatchObject({ maxmemory: "1048576" });
    await expect(second.set("a", "x".repeat(2 ** 20))).rejects.toThrow("OOM");
  } finally {
    first.disconnect();
    second.disconnect();
  }
});

test("redis server: frozen it answers nobody, thawed it does", async () => {
  await using server = await startRedis();
  await using other = await startRedis();
  server.freeze();
  let isAnswered = false;
  const answer = server.run("PING").then(() => {
    isAnswered = true;
  });
  for (let index = 0; index < 100; index += 1) await other.run("PING");
  expect(isAnswered).toBe(false);
  server.thaw();
  await answer;
  expect((await server.calls()).ping).toBeGreaterThan(0);
});

test.concurrent("redis cluster: three masters share the slots, and one that dies is followed by its replica", async () => {
  await using cluster = await startRedisCluster({ replicas: 1, password: "s3cret" });
  const [first] = cluster.masters;
  const options = { redisOptions: { password: "s3cret" } };
  const client = new Cluster([{ host: "127.0.0.1", port: first!.port }], options);
  try {
    const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`);
    await Promise.all(keys.map((key) => client.set(key, key)));
    const sizes = await Promise.all(cluster.masters.map((node) => node.run("DBSIZE")));
    expect(sizes.every((size) => Number(size) > 0)).toBe(true);
    const owner = await cluster.masterOf("key-1");
    await until(async () => Number((await owner.info("replication")).connected_slaves) > 0);
    await cluster.failOver("key-1");
    expect((await cluster.masterOf("key-1")).port).not.toBe(owner.port);
    expect(await client.get("key-1")).toBe("key-1");
  } finally {
    client.disconnect();
  }
}, 60_000);

test.concurrent("redis sentinel: a master that dies is followed by the replica, and comes back as one", async () => {
  await using group = await startRedisSentinel({ sentinels: 3, password: "s3cret" });
  const errors: Error[] = [];
  const client = new Redis({
    sentinels: group.sentinels.map(({ port }) => ({ host: "127.0.0.1", port })),
    name: group.masterName,
    password: "s3cret",
  }).on("error", (error) => errors.push(error));
  try {
    await client.set("a", "1");
    expect(await client.wait(1, 5_000)).toBe(1);
    const old = await group.master();
    await old.kill();
    await until(async () => (await group.master()) !== old);
    expect(await (await group.master()).run("GET", "a")).toBe("1");
    await group.comeBack(old);
    expect(await old.info("replication")).toMatchObject({ role: "slave" });
    expect(await old.run("GET", "a")).toBe("1");
    expect(errors).not.toEqual([]);
  } finally {
    client.disconnect();
  }
}, 60_000);

test.concurrent("redis sentinel: they make the other one the master when asked to, and back again", async () => {
  await using group = await startRedisSentinel();
  const old = await group.master();
  await old.run("SET", "a", "1");
  await group.failOver();
  const next = await group.master();
  expect(next).not.toBe(old);
  expect(await next.run("GET", "a")).toBe("1");
  await group.failOver();
  expect(await group.master()).toBe(old);
}, 60_000);
