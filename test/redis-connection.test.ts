/** The connection to Redis, against real servers of every kind, and what becomes of it when they go away. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";

import { createSystemClock } from "../src/clock.ts";
import { connectRedis } from "../src/redis/connect.ts";
import { parseRedisUrl } from "../src/redis/redis-url.ts";
import { within } from "./support/pace.ts";
import { STRANGER_CA } from "./support/private-ca.ts";
import { recordingLog } from "./support/recording-log.ts";
import { startRedisCluster } from "./support/redis-cluster.ts";
import { startRedisSentinel } from "./support/redis-sentinel.ts";
import { startRedis } from "./support/redis-server.ts";
import { startTcpRelay } from "./support/tcp-relay.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";

const unhandled: unknown[] = [];
const remember = (reason: unknown) => unhandled.push(reason);
const events = ["unhandledRejection", "uncaughtException"] as const;
beforeAll(() => {
  for (const event of events) process.on(event, remember);
});
afterAll(() => {
  for (const event of events) process.off(event, remember);
  expect(unhandled).toEqual([]);
});

function connect(url: string, instance = "tests") {
  const parsed = parseRedisUrl(url);
  if (!parsed.ok) throw new Error(parsed.why);
  const { log, lines } = recordingLog();
  const clock = createSystemClock();
  const connection = connectRedis({
    ...{ address: parsed.value, instance, clock, log, random: Math.random },
  });
  const readies: number[] = [];
  connection.onReady(() => readies.push(clock.now()));
  return {
    ...connection,
    connection,
    lines,
    readies,
    /** Messages of a channel, from now on. */
    messages(name: string) {
      const heard: string[] = [];
      connection.subscribe(connection.key(name), (text) => heard.push(text));
      return heard;
    },
    works: () => until(() => connection.trouble() === null),
    fails: () => until(() => connection.trouble() !== null),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

/** Says it until it is heard: whoever publishes does not know who listens. */
async function untilHeard(one: ReturnType<typeof connect>, name: string, heard: string[]) {
  const before = heard.length;
  await until(async () => {
    await one.client.publish(one.key(name), "hello").catch(() => undefined);
    return heard.length > before;
  });
}

test.concurrent("redis connection: commands and messages work, and that is said, to late listeners too", async () => {
  await using server = await startRedis();
  await using one = connect(server.url);
  expect(one.trouble()).toBe(`Redis at 127.0.0.1:${server.port}: it is not connected yet`);
  const heard = one.messages("changes");
  await until(() => one.readies.length > 0);
  expect(one.trouble()).toBeNull();
  expect(one.key("apps")).toBe("paastis:tests:{tests}:apps");
  await one.client.set(one.key("a"), "1");
  expect(await server.run("GET", "paastis:tests:{tests}:a")).toBe("1");
  await one.client.publish(one.key("changes"), "first");
  await until(() => heard.length > 0);
  expect(heard).toEqual(["first"]);

  let isLateTold = false;
  one.connection.onReady(() => {
    isLateTold = true;
  });
  await until(() => isLateTold);
  const before = one.readies.length;
  const late = one.messages("beats");
  await until(() => one.readies.length > before);
  await one.client.publish(one.key("beats"), "second");
  await until(() => late.length > 0);
  expect(one.lines).toEqual([]);
});

test.concurrent("redis connection: whoever listens no more hears nothing, and the others go on", async () => {
  await using server = await startRedis();
  await using one = connect(server.url);
  const heard: string[] = [];
  const end = one.subscribe(one.key("changes"), (text) => heard.push(`a ${text}`));
  one.subscribe(one.key("changes"), () => {
    throw new Error("this one is broken");
  });
  one.subscribe(one.key("changes"), (text) => heard.push(`b ${text}`));
  await one.works();
  await one.client.publish(one.key("changes"), "1");
  await until(() => heard.length === 2);
  end();
  await one.client.publish(one.key("changes"), "2");
  await until(() => heard.length === 3);
  expect(heard).toEqual(["a 1", "b 1", "b 2"]);
  expect(one.lines[0]).toMatchObject({ level: "error", fields: { reason: "this one is broken" } });
});

test.concurrent("redis connection: a server that dies is said once, and that it is back, once", async () => {
  await using server = await startRedis();
  await using one = connect(server.url);
  const heard = one.messages("changes");
  await one.works();
  await server.kill();
  await one.fails();
  await expect(one.client.get("a")).rejects.toThrow();
  await until(() => one.trouble()?.includes("ECONNREFUSED") === true);
  expect(one.trouble()).toContain(`Redis at 127.0.0.1:${server.port}: nothing listens there`);
  expect(one.sinceMs()).toBeGreaterThanOrEqual(one.readies.at(-1) ?? Number.NaN);
  const before = one.readies.length;
  await until(() => one.lines.length > 0);
  await server.start();
  await one.works();
  expect(one.readies.length).toBeGreaterThan(before);
  await one.client.publish(one.key("changes"), "again");
  await until(() => heard.length > 0);
  expect(one.lines.map(({ level, message }) => [level, message])).toEqual([
    ["warn", "the registry in Redis cannot be used"],
    ["info", "the registry in Redis can be used again"],
  ]);
});

test.concurrent("redis connection: a server that is not there yet is waited for", async () => {
  await using server = await startRedis();
  await server.kill();
  await using one = connect(server.url);
  const heard = one.messages("changes");
  await until(() => one.lines.length > 0);
  expect(one.lines[0]?.fields.reason).toContain("nothing listens there");
  await server.start();
  await one.works();
  await one.client.publish(one.key("changes"), "first");
  await until(() => heard.length > 0);
  expect(one.lines).toHaveLength(2);
});

test.concurrent("redis connection: what was not answered fails with the connection, and is not sent again", async () => {
  await using server = await startRedis();
  await using relay = await startTcpRelay(server.port);
  await using one = connect(`redis://127.0.0.1:${relay.port}`);
  await one.works();
  relay.freeze();
  const answer = one.client.incr(one.key("count")).catch((error: Error) => error);
  await until(() => relay.taken() === 2);
  relay.cut();
  relay.thaw();
  expect(String(await answer)).toContain("max retries");
  await one.works();
  expect(await server.run("GET", one.key("count"))).toBeNull();
});

test.concurrent("redis connection: a frozen server is noticed within seconds, and used again as soon as it goes on", async () => {
  await using server = await startRedis();
  await using one = connect(server.url);
  await one.works();
  server.freeze();
  const startMs = performance.now();
  await expect(one.client.get("a")).rejects.toThrow("Command timed out");
  expect(performance.now() - startMs).toBeLessThan(within(3_000));
  await one.fails();
  expect(one.trouble()).toContain("it did not answer within 2 s");
  await until(() => one.lines.length > 0);
  server.thaw();
  await one.works();
  expect(one.lines).toHaveLength(2);
}, 60_000);

test.concurrent("redis connection: one that is dead without an end is given up, and made anew", async () => {
  await using server = await startRedis();
  await using relay = await startTcpRelay(server.port);
  await using one = connect(`redis://127.0.0.1:${relay.port}`);
  await one.works();
  relay.freeze();
  await until(() => one.client.status !== "ready");
  // Commands and messages, each for a second time.
  await until(() => relay.taken() >= 4);
  expect(one.trouble()).toContain("it did not answer within 2 s");
  relay.thaw();
  await one.works();
}, 60_000);

test.concurrent("redis connection: messages that no longer come through are noticed, though commands do", async () => {
  await using server = await startRedis();
  await using one = connect(server.url);
  const heard = one.messages("changes");
  await one.works();
  const before = one.readies.length;
  await server.run("CLIENT", "KILL", "TYPE", "pubsub");
  await until(() => one.readies.length > before);
  await one.client.publish(one.key("changes"), "again");
  await until(() => heard.length > 0);
});

test.concurrent("redis connection: a wrong password is said without it, and a right one works by itself", async () => {
  await using server = await startRedis({ password: "an0ther" });
  await using one = connect(`redis://:s3cr3t@127.0.0.1:${server.port}`);
  await until(() => one.lines.length > 0);
  expect(one.trouble()).toContain("does not take this user and password");
  await server.run("CONFIG", "SET", "requirepass", "s3cr3t");
  await one.works();
  await using none = connect(`redis://127.0.0.1:${server.port}`);
  await until(() => none.lines.length > 0);
  expect(none.trouble()).toContain("it wants a password");
  expect(JSON.stringify([one.lines, none.lines])).not.toContain("s3cr3t");
});

test.concurrent("redis connection: a user with few rights is enough, and missing ones are said", async () => {
  const user = { name: "paastis", password: "w0rd" };
  const rules = "~paastis:* &paastis:* +@all -@dangerous -@admin";
  await using server = await startRedis({ user: { ...user, rules } });
  await using one = connect(server.url);
  await one.works();
  await server.run("ACL", "SETUSER", "paastis", "resetkeys", "~other:*");
  await one.fails();
  await until(() => one.trouble()?.includes("NOPERM") === true);
  expect(one.trouble()).toContain("keys and channels that begin with paastis:");
  await server.run("ACL", "SETUSER", "paastis", "~paastis:*");
  await one.works();
}, 60_000);

test.concurrent("redis connection: a master that becomes a replica is no master, until it is one again", async () => {
  await using other = await startRedis();
  await using server = await startRedis();
  await using one = connect(server.url);
  await one.works();
  await server.run("REPLICAOF", "127.0.0.1", other.port);
  await expect(one.client.set(one.key("a"), "1")).rejects.toThrow("READONLY");
  await until(() => one.trouble()?.includes("it is a replica") === true);
  const before = one.readies.length;
  const connections = async () => Number((await server.info("stats")).total_connections_received);
  const made = await connections();
  await until(async () => (await connections()) > made + 3);
  expect(one.readies).toHaveLength(before);
  expect(one.trouble()).toContain("it is a replica");
  await server.run("REPLICAOF", "NO", "ONE");
  await one.works();
  await one.client.set(one.key("a"), "1");
  expect(one.lines).toHaveLength(2);
}, 60_000);

test.concurrent("redis connection: over TLS the authority must be known, or nobody is asked for", async () => {
  using folder = tempDir();
  writeFileSync(folder.file("stranger.crt"), STRANGER_CA);
  await using server = await startRedis({ tls: true, password: "s3cr3t" });
  await using good = connect(`${server.url}?ca=${server.caFile}`);
  await using any = connect(`${server.url}?rejectUnauthorized=false`);
  await using strange = connect(`${server.url}?ca=${folder.file("stranger.crt")}`);
  await using unknown = connect(server.url);
  await using misnamed = connect(`${server.url}?ca=${server.caFile}&servername=other.test`);
  await using plain = connect(server.url.replace("rediss", "redis"));
  for (const one of [good, any]) {
    const heard = one.messages("changes");
    await one.works();
    await untilHeard(one, "changes", heard);
  }
  for (const one of [strange, unknown, misnamed, plain]) await until(() => one.lines.length > 0);
  for (const one of [strange, unknown]) {
    expect(one.trouble()).toContain("the URL's ca=/path names the certificate of the authority");
  }
  expect(misnamed.trouble()).toContain("its certificate is for another name");
  expect(plain.trouble()).toMatch(/cut|lost/);
});

test.concurrent("redis connection: a socket and a database are as the URL says", async () => {
  await using server = await startRedis({ password: "s3cr3t" });
  await using socket = connect(`redis+unix://:s3cr3t@${server.socket}?db=3`);
  await socket.works();
  await socket.client.set(socket.key("a"), "1");
  expect(await server.run("DBSIZE")).toBe(0);
  await using beyond = connect(`${server.url}/99`);
  await until(() => beyond.trouble()?.includes("no database of that number") === true);
  await expect(beyond.client.set(beyond.key("a"), "1")).rejects.toThrow();
  expect(await server.run("DBSIZE")).toBe(0);
});

test.concurrent("redis connection: its end never hangs, and nothing is said after it", async () => {
  await using server = await startRedis();
  await using one = connect(server.url);
  await using away = connect("redis://127.0.0.1:1");
  await one.works();
  await until(() => away.lines.length > 0);
  server.freeze();
  const pending = one.client.get("a").catch((error: Error) => error);
  for (const connection of [one, away, one]) await connection.close();
  expect(await pending).toBeInstanceOf(Error);
  await expect(one.client.get("a")).rejects.toThrow();
  expect(one.trouble()).toContain("the connection was closed");
  expect([one.lines.length, away.lines.length]).toEqual([0, 1]);
  server.thaw();
});

describe("with Sentinels", () => {
  test.concurrent("redis connection: the new master is followed, whether the old one was told or died", async () => {
    await using group = await startRedisSentinel({ password: "s3cret", sentinelPassword: "gu4rd" });
    await using one = connect(group.url);
    const heard = one.messages("changes");
    await one.works();
    await one.client.set(one.key("a"), "1");
    await group.failOver();
    await until(async () => {
      const answer = await one.client.set(one.key("b"), "2").catch(() => null);
      return answer === "OK";
    });
    expect(await (await group.master()).run("GET", one.key("b"))).toBe("2");
    await one.works();
    await untilHeard(one, "changes", heard);
    await (await group.master()).kill();
    await one.fails();
    await one.works();
    await untilHeard(one, "changes", heard);
    expect(await one.client.get(one.key("b"))).toBe("2");
  }, 60_000);

  test.concurrent("redis connection: a master that nobody knows, and Sentinels that are away, are said", async () => {
    await using group = await startRedisSentinel();
    await using unknown = connect(group.url.replace(group.masterName, "nobody"));
    await until(() => unknown.lines.length > 0);
    expect(unknown.trouble()).toContain("the Sentinels know no master of that name");
    await using away = connect("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main");
    await until(() => away.lines.length > 0);
    expect(away.trouble()).toContain("no Sentinel could help: none of them can be reached");
  }, 60_000);
});

describe("with a Cluster", () => {
  test.concurrent("redis connection: the master of its slot is followed, whether it was told or died", async () => {
    await using cluster = await startRedisCluster({ replicas: 1, password: "s3cret" });
    await using one = connect(cluster.url);
    await using two = connect(cluster.url);
    const heard = one.messages("changes");
    for (const each of [one, two]) await each.works();
    await one.client.set(one.key("a"), "1");
    expect(await (await cluster.masterOf(one.key("a"))).run("GET", one.key("a"))).toBe("1");
    const results = await one.client.pipeline().get(one.key("a")).incr(one.key("b")).exec();
    expect(results).toEqual([
      [null, "1"],
      [null, 1],
    ]);
    await untilHeard(two, "changes", heard);
    await cluster.failOver(one.key("a"));
    // While it connects to the new master, commands fail.
    await until(async () => (await one.client.incr(one.key("b")).catch(() => null)) !== null);
    await (await cluster.masterOf(one.key("a"))).kill();
    await one.fails();
    await one.works();
    await untilHeard(two, "changes", heard);
    expect(Number(await one.client.incr(one.key("b")))).toBeGreaterThanOrEqual(2);
  }, 60_000);

  test.concurrent("redis connection: a Cluster's TLS is for names", async () => {
    await using cluster = await startRedisCluster({ tls: true, password: "s3cret" });
    const [first] = cluster.masters;
    await using one = connect(`${cluster.url}?ca=${first?.caFile}`);
    const heard = one.messages("changes");
    await one.works();
    expect(await one.client.set(one.key("a"), "1")).toBe("OK");
    await untilHeard(one, "changes", heard);
  }, 60_000);

  test.concurrent("redis connection: a single server is no Cluster, and a node of one no single server", async () => {
    await using cluster = await startRedisCluster();
    await using server = await startRedis();
    const outsider = cluster.masters.find(({ port }) => port !== undefined);
    const owner = await cluster.masterOf("paastis:tests:{tests}:epoch");
    const node = cluster.masters.find((master) => master !== owner) ?? outsider;
    await using wrong = connect(`redis+cluster://127.0.0.1:${server.port}`);
    await using lonely = connect(node?.url ?? "");
    await until(() => wrong.lines.length > 0 && lonely.lines.length > 0);
    expect(wrong.trouble()).toContain(
      "it is no node of a Cluster: the URL must begin with redis://",
    );
    expect(lonely.trouble()).toContain("the URL must begin with redis+cluster://");
  }, 60_000);
});
