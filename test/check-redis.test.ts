/** What `paastis check` says of the Redis of the registry, from source, with and without `--online`. */

import { expect, test } from "bun:test";

import { startRedisCluster } from "./support/redis-cluster.ts";
import { startRedisSentinel } from "./support/redis-sentinel.ts";
import { startRedis } from "./support/redis-server.ts";
import { runVerb } from "./support/run-verb.ts";
import { tempDir } from "./support/temp-dir.ts";

const AWAY = "redis://me:s3cret@127.0.0.1:1/2";
const TRIED = "This configuration is complete. Now its Redis is tried.\n";
const USABLE = "\nThis configuration can be used.\n";

async function check(url: string, ...flags: readonly string[]) {
  const registry = { REGISTRY_TYPE: "redis", REGISTRY_REDIS_URL: url, INSTANCE_NAME: "blue" };
  const env = { PROVIDER_NAME: "process", ...registry };
  using folder = tempDir();
  const { out, err, status } = await runVerb(["check", ...flags], { cwd: folder.path, env });
  expect(out + err).not.toMatch(/s3cret|me:s/);
  return { out, err, status };
}

test("check: it says where the registry is and whose, without who signs in, and asks nobody", async () => {
  const { out, err, status } = await check(AWAY);
  const place = "redis at 127.0.0.1:1, database 2, shared by all instances called blue";
  expect(out).toMatch(new RegExp(`^ *registry +${place.replaceAll(".", "\\.")}$`, "m"));
  expect({ err, status }).toEqual({ err: "", status: 0 });
});

test("check: a URL that is none is a problem, and not shown", async () => {
  const { err, status } = await check("mysql://me:s3cret@db/x");
  expect(err).toContain("REGISTRY_REDIS_URL (or REDIS_URL) must be a URL such as redis://");
  expect(status).toBe(78);
});

test("check --online: a Redis that is away is a failure that says why", async () => {
  const { out, err, status } = await check(AWAY, "--online");
  expect(out).toStartWith(TRIED);
  expect(out).not.toContain("can be used");
  expect(err).toContain("- Redis at 127.0.0.1:1, database 2: nothing listens there");
  expect(status).toBe(1);
});

test("check --online: it looks at Redis, changes nothing, and says what it is like", async () => {
  await using server = await startRedis({ password: "s3cret" });
  const { out, err, status } = await check(server.url, "--online");
  expect(out).toMatch(/\nRegistry\n +redis +works; version \d+\.\d+\.\d+ and master\n/);
  expect(out).toEndWith(USABLE);
  expect({ err, status }).toEqual({ err: "", status: 0 });
  expect(await server.run("DBSIZE")).toBe(0);

  await server.run("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru");
  const forgetful = await check(server.url, "--online");
  expect(forgetful.out).toContain("master and maxmemory-policy allkeys-lru");
  expect(forgetful.err).toContain("Set it to noeviction.");
  expect(forgetful.status).toBe(0);
  await server.run("CONFIG", "SET", "maxmemory-policy", "noeviction");
  expect((await check(server.url, "--online")).err).toBe("");

  await server.run("REPLICAOF", "127.0.0.1", "1");
  await server.run("CONFIG", "SET", "replica-serve-stale-data", "yes");
  const replica = await check(server.url, "--online");
  expect(replica.err).toContain("it is a replica and takes no changes");
  expect(replica.status).toBe(1);
});

test("check --online: a user needs no more than its keys, its channels and their commands", async () => {
  const user = { name: "paastis", password: "s3cret" };
  const rules = "~paastis:* &paastis:* +@all -@dangerous -@admin";
  await using server = await startRedis({ user: { ...user, rules } });
  expect((await check(server.url, "--online")).out).toMatch(/\n +redis +works\n/);
  await server.run("ACL", "SETUSER", "paastis", "resetchannels");
  const mute = await check(server.url, "--online");
  expect(mute.err).toContain("its user may not do what is needed");
  expect(mute.status).toBe(1);
});

test("check --online: Sentinels and Clusters are looked at, too", async () => {
  await using cluster = await startRedisCluster({ password: "s3cret" });
  await using group = await startRedisSentinel({ password: "s3cret" });
  for (const { url } of [cluster, group]) {
    const { err, out, status } = await check(url, "--online");
    expect(out).toMatch(/\n +redis +works; version/);
    expect({ err, status }).toEqual({ err: "", status: 0 });
  }
  const stranger = await check(group.url.replace(group.masterName, "nobody"), "--online");
  expect(stranger.err).toContain("the Sentinels know no master of that name");
}, 60_000);
