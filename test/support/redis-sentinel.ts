/** A master, a replica of it and Sentinels of a test's own. */

import { freePort } from "./free-port.ts";
import { type RedisServer, type RedisServerOptions, startRedis } from "./redis-server.ts";
import { until } from "./until.ts";

export interface RedisSentinelOptions extends Pick<RedisServerOptions, "password"> {
  /** How many watch; more than half of them decide. Default 1. */
  readonly sentinels?: 1 | 2 | 3;
  /** What the Sentinels themselves ask for. */
  readonly sentinelPassword?: string;
}

export interface RedisSentinel extends AsyncDisposable {
  readonly masterName: string;
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];
  /** As for `REGISTRY_REDIS_URL`. */
  readonly url: string;
  /** Who it is now, for the Sentinels. */
  master(): Promise<RedisServer>;
  /**
   * Starts one that has died: it follows whoever is the master now. Left alone, the Sentinels would have it do so too,
   * after 2 to 30 s: they wait until they have looked at both for a while without a pause of their own.
   * Source: Redis 7.0, `sentinelRefreshInstanceInfo` (four periods of publishing), `SENTINEL_TILT_PERIOD`.
   */
  comeBack(server: RedisServer): Promise<void>;
  /** Has them make the other one the master, and waits until it is, and the old one follows it. */
  failOver(): Promise<void>;
}

const MASTER_NAME = "paastis-master";
/** So long a master may be silent until it is given up. */
const DOWN_AFTER_MS = 500;
const ASK_AGAIN_MS = 500;

/** Takes about a second. A killed master is replaced within some 2 s. */
export async function startRedisSentinel(
  options: RedisSentinelOptions = {},
): Promise<RedisSentinel> {
  const { password, sentinels: count = 1, sentinelPassword } = options;
  await using undo = new AsyncDisposableStack();
  const secret = password === undefined ? {} : { password };
  const auth = password === undefined ? [] : [`masterauth ${password}`];
  const first = undo.use(await startRedis({ ...secret, port: freePort(), lines: () => auth }));
  const replica = [...auth, `replicaof 127.0.0.1 ${first.port}`];
  const second = undo.use(await startRedis({ ...secret, lines: () => replica }));
  const servers = [first, second];
  const watch = sentinelLines(first.port, Math.floor(count / 2) + 1);
  const lines = [
    ...watch,
    ...(password === undefined ? [] : [`sentinel auth-pass ${MASTER_NAME} ${password}`]),
    ...(sentinelPassword === undefined ? [] : [`sentinel sentinel-pass ${sentinelPassword}`]),
  ];
  const sentinelSecret = sentinelPassword === undefined ? {} : { password: sentinelPassword };
  const sentinels = await Promise.all(
    Array.from({ length: count }, async () =>
      undo.use(await startRedis({ ...sentinelSecret, isSentinel: true, lines: () => lines })),
    ),
  );
  const ask = (server: RedisServer, ...words: string[]) => server.run("SENTINEL", ...words);
  for (const sentinel of sentinels) {
    // Not shorter: they look at a replica once a second during a failover, promote none that was not looked at for
    // five periods of the ping, and take a promotion back that they have not heard of for four of publishing.
    // Source: Redis 7.0, `sentinelSelectSlave`, `sentinelRefreshInstanceInfo`.
    const pace = ["INFO-PERIOD", "500", "PING-PERIOD", "500", "PUBLISH-PERIOD", "500"];
    // Held up by a busy machine for two seconds, a Sentinel trusts nobody for half a minute ("tilt"): here it does after a minute.
    const tilt = ["TILT-TRIGGER", "60000", "TILT-PERIOD", "1000"];
    await ask(sentinel, "DEBUG", ...pace, ...tilt, "ASK-PERIOD", "100");
  }
  async function master(): Promise<RedisServer> {
    const votes = await Promise.all(
      sentinels.map((sentinel) => ask(sentinel, "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)),
    );
    const port = Number(String(votes[0]).split(",")[1]);
    const named = servers.find((server) => server.port === port);
    if (named === undefined) throw new Error(`no master at ${port}`);
    return named;
  }
  /** All of them know each other and the replica, which has all that the master has. */
  async function untilSettled(): Promise<void> {
    await until(async () => {
      const views = await Promise.all(sentinels.map(viewOf));
      const [view] = views;
      const isShared = views.every(({ port }) => port === view?.port);
      const isWhole = views.every(({ replicas, others }) => replicas > 0 && others === count - 1);
      if (!isShared || !isWhole) return false;
      const leader = servers.find(({ port }) => port === view?.port);
      const state = await leader?.info("replication");
      // Before it has said so itself, nothing is passed on to it.
      return state?.role === "master" && /state=online,.*lag=[01]$/.test(state.slave0 ?? "");
    });
  }
  await untilSettled();
  const kept = undo.move();
  const nodes = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",");
  const end = sentinelPassword === undefined ? "" : `?sentinelPassword=${sentinelPassword}`;
  return {
    masterName: MASTER_NAME,
    servers,
    sentinels,
    url: `redis+sentinel://${password === undefined ? "" : `:${password}@`}${nodes}/${MASTER_NAME}${end}`,
    master,
    async comeBack(server) {
      await server.start();
      await server.run("REPLICAOF", "127.0.0.1", (await master()).port);
      await untilSettled();
    },
    async failOver() {
      const old = await master();
      const [sentinel] = sentinels;
      let askedAtMs = Number.NEGATIVE_INFINITY;
      await until(async () => {
        if ((await master()) !== old) return true;
        // Refused, or given up after a while, as long as a replica that has just come back is not trusted.
        if (performance.now() - askedAtMs > ASK_AGAIN_MS && sentinel !== undefined) {
          askedAtMs = performance.now();
          await ask(sentinel, "FAILOVER", MASTER_NAME).catch(() => undefined);
        }
        return false;
      });
      await untilSettled();
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function sentinelLines(port: number, quorum: number): readonly string[] {
  return [
    `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${port} ${quorum}`,
    `sentinel down-after-milliseconds ${MASTER_NAME} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${MASTER_NAME} 2000`,
  ];
}

async function viewOf(sentinel: RedisServer) {
  const words = await sentinel.run("SENTINEL", "MASTER", MASTER_NAME);
  const list = Array.isArray(words) ? words.map(String) : [];
  const of = (name: string) => Number(list[list.indexOf(name) + 1]);
  return { port: of("port"), replicas: of("num-slaves"), others: of("num-other-sentinels") };
}
