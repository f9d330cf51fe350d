/** A Redis Cluster of a test's own, with three masters. */

import { freePort } from "./free-port.ts";
import { type RedisServer, type RedisServerOptions, startRedis } from "./redis-server.ts";
import { until } from "./until.ts";

export interface RedisClusterOptions extends Pick<RedisServerOptions, "password" | "user" | "tls"> {
  /** Of each master; without them nothing follows a master that dies. */
  readonly replicas?: 0 | 1;
}

export interface RedisCluster extends AsyncDisposable {
  /** As they were at the start. */
  readonly masters: readonly RedisServer[];
  readonly replicas: readonly RedisServer[];
  /** As for `REGISTRY_REDIS_URL`. */
  readonly url: string;
  /** The one that has the slot of `key` now. */
  masterOf(key: string): Promise<RedisServer>;
  /** Has the replica of the master of `key` take over, and waits until all know of it. */
  failOver(key: string): Promise<void>;
}

const MASTERS = 3;
const SLOTS = 16_384;
/** Enough for the processes of a busy machine, and short for a test. */
const NODE_TIMEOUT_MS = 2_000;

/** Takes some 2 s: so long every new master waits before it takes writes. */
export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const { replicas = 0, ...each } = options;
  await using undo = new AsyncDisposableStack();
  const servers = await Promise.all(
    Array.from({ length: MASTERS * (1 + replicas) }, async () =>
      undo.use(await startRedis({ ...each, signsItself: true, lines: () => nodeLines(options) })),
    ),
  );
  const masters = servers.slice(0, MASTERS);
  const followers = servers.slice(MASTERS);
  await joinNodes(masters, followers);

  async function masterOf(key: string): Promise<RedisServer> {
    const slot = Number(await servers[0]?.run("CLUSTER", "KEYSLOT", key));
    for (const server of servers) {
      const own = (await linesOf(server, "NODES")).find((line) => line.includes("myself"));
      const isIt = own?.split(" ").some((word) => {
        const [, from, to = from] = /^(\d+)(?:-(\d+))?$/.exec(word) ?? [];
        return Number(from) <= slot && slot <= Number(to);
      });
      if (isIt && own?.includes("master")) return server;
    }
    throw new Error(`nobody has the slot ${slot}`);
  }
  const nodes = masters.map(({ host, port }) => `${host}:${port}`).join(",");
  const [scheme = "", rest = ""] = (masters[0]?.url ?? "").split("://");
  const kept = undo.move();
  return {
    masters,
    replicas: followers,
    url: `${scheme}+cluster://${rest.replace(/[^@]*$/, nodes)}`,
    masterOf,
    async failOver(key) {
      const old = await masterOf(key);
      const index = masters.indexOf(old);
      const next = index === -1 ? masters[followers.indexOf(old)] : followers[index];
      await next?.run("CLUSTER", "FAILOVER");
      await until(async () => (await masterOf(key)) === next);
      await untilAgreed(servers);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function nodeLines({ password, tls, user }: RedisClusterOptions): readonly string[] {
  const sign = user ?? (password === undefined ? null : { name: "default", password });
  return [
    "cluster-enabled yes",
    `cluster-port ${freePort()}`,
    "cluster-announce-ip 127.0.0.1",
    `cluster-node-timeout ${NODE_TIMEOUT_MS}`,
    // The certificate is for a name.
    ...(tls ? ["cluster-announce-hostname localhost"] : []),
    ...(tls
      ? ["cluster-preferred-endpoint-type hostname", "tls-replication yes", "tls-cluster yes"]
      : []),
    ...(sign === null ? [] : [`masteruser ${sign.name}`, `masterauth ${sign.password}`]),
  ];
}

async function joinNodes(masters: readonly RedisServer[], followers: readonly RedisServer[]) {
  const [first] = masters;
  if (first === undefined) return;
  const share = Math.ceil(SLOTS / masters.length);
  for (const [index, server] of masters.entries()) {
    const last = Math.min(SLOTS, (index + 1) * share) - 1;
    await server.run("CLUSTER", "ADDSLOTSRANGE", index * share, last);
    await server.run("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
  }
  const own = (await linesOf(first, "NODES")).find((line) => line.includes("myself"));
  const [, bus = ""] = /@(\d+)/.exec(own ?? "") ?? [];
  const servers = [...masters, ...followers];
  for (const server of servers.slice(1)) {
    await server.run("CLUSTER", "MEET", "127.0.0.1", first.port, bus);
  }
  await until(async () => {
    const known = await Promise.all(servers.map((server) => linesOf(server, "NODES")));
    return known.every((lines) => lines.length === servers.length && !lines.some(isHandshake));
  });
  for (const [index, server] of followers.entries()) {
    await server.run("CLUSTER", "REPLICATE", String(await masters[index]?.run("CLUSTER", "MYID")));
  }
  await untilAgreed(servers);
}

async function untilAgreed(servers: readonly RedisServer[]): Promise<void> {
  await until(async () => {
    const lists = await Promise.all(servers.map(ownersOf));
    const states = await Promise.all(servers.map((server) => linesOf(server, "INFO")));
    const isUp = states.every((lines) => lines.includes("cluster_state:ok"));
    return isUp && new Set(lists).size === 1;
  });
}

/** Who has which slots, as one server sees it. */
async function ownersOf(server: RedisServer): Promise<string> {
  const lines = (await linesOf(server, "NODES")).map((line) => line.split(" "));
  const isMaster = (flags: string | undefined) => flags?.includes("master") === true;
  const owners = lines.filter(([, , flags]) => isMaster(flags));
  const followers = lines.filter(([, , flags]) => !isMaster(flags));
  return [
    ...owners.map(([id, , , , , , , , ...slots]) => `${id} ${slots.join(" ")}`),
    ...followers.map(([id, , , master]) => `${id} follows ${master}`),
  ]
    .toSorted()
    .join("\n");
}

async function linesOf(server: RedisServer, what: "NODES" | "INFO"): Promise<string[]> {
  return String(await server.run("CLUSTER", what))
    .split(/\r?\n/)
    .filter(Boolean);
}

function isHandshake(line: string): boolean {
  return line.includes("handshake");
}
