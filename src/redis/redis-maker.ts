/** Makes clients of the library from the address in the configuration. */

import { readFileSync } from "node:fs";
import { Cluster, Redis, type RedisOptions } from "ioredis";

import type { RedisAddress, RedisNode, RedisTls } from "./connection.ts";

/** Clients that connect at once. Whoever gets one listens to its errors. */
export interface RedisMaker {
  /** For commands; it connects again by itself. */
  commands(hooks: CommandHooks): Redis | Cluster;
  /** For messages; it gives up at the first failure. @param node of a Cluster; every one of them hears all messages */
  messages(node: RedisNode | undefined): Redis;
}

/** What a client for commands asks, and tells. */
export interface CommandHooks {
  /** How long it waits before it connects again, ms. */
  readonly pauseMs: () => number;
  /** Because of this it will. */
  readonly refused: (error: Error) => void;
}

/** Longest that a command is waited for, ms. */
const COMMAND_MAX_MS = 2_000;
/** Longest for a connection to be made, ms. */
const CONNECT_MAX_MS = 3_000;
/** Longest that a server may take to let go of a connection that is ended, ms. */
const DISCONNECT_MAX_MS = 200;

/** @throws Error when a file cannot be read */
export function createRedisMaker(address: RedisAddress): RedisMaker {
  const each = optionsOf(address);
  const [first] = address.nodes;
  const { host, port } = first ?? { host: "localhost", port: 6379 };
  const server = address.socketPath === null ? { host, port } : { path: address.socketPath };
  return {
    commands({ pauseMs, refused }) {
      const options = { ...each, reconnectOnError: leavesReplica(refused) };
      if (address.kind === "cluster") return clusterOf(address, options, pauseMs);
      const place = address.kind === "single" ? server : sentinelsOf(address, each);
      return new Redis({ ...options, ...place, retryStrategy: pauseMs });
    },
    messages(node) {
      const options = { ...each, retryStrategy: null };
      if (address.kind === "cluster") return new Redis({ ...options, ...node });
      const place = address.kind === "single" ? server : sentinelsOf(address, each);
      return new Redis({ ...options, ...place });
    },
  };
}

function optionsOf({ user, password, db, tls }: RedisAddress) {
  return {
    ...(user !== null && { username: user }),
    ...(password !== null && { password }),
    ...(tls !== null && { tls: tlsOf(tls) }),
    db,
    connectionName: "paastis",
    disableClientInfo: true,
    commandTimeout: COMMAND_MAX_MS,
    connectTimeout: CONNECT_MAX_MS,
    disconnectTimeout: DISCONNECT_MAX_MS,
    enableOfflineQueue: false,
    // INFO, which it asks for, may be forbidden; what we ask ourselves is more to the point.
    enableReadyCheck: false,
    // What was not answered fails with the connection: nobody knows whether it was done.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // The library leaves a failure of it unhandled.
    autoResubscribe: false,
  } satisfies RedisOptions;
}

/** A master that has become a replica: its name, or the Sentinels, lead to the new one. */
function leavesReplica(refused: (error: Error) => void) {
  return (error: Error): boolean => {
    const isReplica = error.message.startsWith("READONLY");
    if (isReplica) refused(error);
    return isReplica;
  };
}

function sentinelsOf(address: RedisAddress, { tls }: { readonly tls?: RedisOptions["tls"] }) {
  const { masterName, nodes, sentinelPassword, sentinelUser } = address;
  return {
    sentinels: nodes.map(({ host, port }) => ({ host, port })),
    name: masterName ?? "",
    sentinelCommandTimeout: COMMAND_MAX_MS,
    // The next round is ours: it has the pauses of every other one.
    sentinelRetryStrategy: () => null,
    ...(sentinelUser !== null && { sentinelUsername: sentinelUser }),
    ...(sentinelPassword !== null && { sentinelPassword }),
    ...(tls !== undefined && { enableTLSForSentinelMode: true, sentinelTLS: tls }),
  } satisfies RedisOptions;
}

function clusterOf(
  { nodes, tls }: RedisAddress,
  { enableOfflineQueue, ...redisOptions }: ReturnType<typeof optionsOf>,
  pauseMs: () => number,
): Cluster {
  return new Cluster([...nodes], {
    redisOptions,
    enableOfflineQueue,
    enableReadyCheck: false,
    clusterRetryStrategy: pauseMs,
    // As above: what failed is not sent again. Redirections are followed, as those commands were not done.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshTimeout: COMMAND_MAX_MS,
    // A certificate is for a name, which must not be replaced by its address.
    ...(tls !== null && { dnsLookup: (name, found) => found(null, name) }),
  });
}

function tlsOf({ caFile, certFile, keyFile, serverName, verifies }: RedisTls) {
  return {
    rejectUnauthorized: verifies,
    ...(caFile !== null && { ca: readFileSync(caFile, "utf8") }),
    ...(certFile !== null && { cert: readFileSync(certFile, "utf8") }),
    ...(keyFile !== null && { key: readFileSync(keyFile, "utf8") }),
    ...(serverName !== null && { servername: serverName }),
  };
}
