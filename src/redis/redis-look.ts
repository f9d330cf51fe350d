/** A look at Redis for people who set it up: whether it can be used, and what it is like. Changes nothing. */

import { Cluster, type Redis } from "ioredis";

import type { RedisAddress } from "./connection.ts";
import { explainRedisError } from "./redis-errors.ts";
import { createRedisMaker } from "./redis-maker.ts";

/** What it is like; `null`: it may not be asked, or does not say. */
export interface RedisLook {
  readonly version: string | null;
  /** `master`, or `replica`, which would refuse to be used. */
  readonly role: string | null;
  /** What it does when `maxmemory` is reached; only where there is one. */
  readonly evicts: string | null;
}

/**
 * Waits for no longer than some seconds.
 * @throws Error with a sentence that says why it cannot be used, without any secret
 */
export async function lookAtRedis(address: RedisAddress, instance: string): Promise<RedisLook> {
  let client: Redis | Cluster | null = null;
  try {
    const maker = createRedisMaker(address);
    client = maker.commands({ pauseMs: () => RETRY_MS, refused: () => undefined });
    await untilReady(client);
    const key = `paastis:${instance}:{${instance}}:check`;
    await client.exists(key);
    const look = await lookWith(client);
    await tryRights(client, key);
    return look;
  } catch (error) {
    throw new Error(explainRedisError(error));
  } finally {
    client?.disconnect();
  }
}

/** It has failed for us long before it is tried again. */
const RETRY_MS = 60_000;

/** The first word counts: that it is there, or why not. */
function untilReady(client: Redis | Cluster): Promise<void> {
  const ready = Promise.withResolvers<void>();
  // Both have these events: TypeScript cannot tell that of overloads.
  const redis = client as Redis;
  redis.on("error", (error: Error) => ready.reject(error));
  redis.on("close", () => ready.reject(new Error("Connection is closed.")));
  redis.on("ready", () => ready.resolve());
  return ready.promise;
}

async function lookWith(client: Redis | Cluster): Promise<RedisLook> {
  const [server, replication, memory] = await Promise.all(
    ["server", "replication", "memory"].map((section) => sectionOf(client, section)),
  );
  const role = client instanceof Cluster ? undefined : replication?.get("role");
  const hasLimit = Number(memory?.get("maxmemory") ?? 0) > 0;
  return {
    version: server?.get("redis_version") ?? null,
    role: role === "slave" ? "replica" : (role ?? null),
    evicts: hasLimit ? (memory?.get("maxmemory_policy") ?? null) : null,
  };
}

/** One that may not be read has nothing in it. */
async function sectionOf(client: Redis | Cluster, section: string) {
  const text = await client.info(section).catch(() => "");
  return new Map(
    text.split("\r\n").map((line): [string, string] => {
      const at = line.indexOf(":");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

/** What is removed is not there, and what is said nobody hears. */
async function tryRights(client: Redis | Cluster, key: string): Promise<void> {
  await client.del(key);
  await client.eval("return redis.call('EXISTS', KEYS[1])", 1, key);
  await client.publish(key, "");
}
