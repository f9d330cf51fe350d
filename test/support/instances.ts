/**
 * Several instances of the compiled program that act as one: on one Redis, each behind a relay of its own, so that it can
 * be cut off from it.
 */

import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { type RedisServer, startRedis } from "./redis-server.ts";
import {
  eventually,
  type LogLine,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "./start-paastis.ts";
import { startTcpRelay, type TcpRelay } from "./tcp-relay.ts";

/** What `/__status` says of the registry. */
export interface RegistryStatus {
  readonly reachable: boolean;
  readonly trouble: string | null;
  readonly instance: string;
  readonly otherInstances: readonly string[];
  readonly leader: boolean;
}

/** One of them, over all its runs: port and data folder stay the same. */
export interface Instance {
  /** For people: `instance 1`. */
  readonly name: string;
  readonly port: number;
  readonly folder: string;
  /** The present run, or the last one. */
  readonly paastis: RunningPaastis;
  readonly isUp: boolean;
  /** What all its runs have said, oldest first. */
  readonly lines: readonly LogLine[];
  /** The state of an app there: `awake`, `asleep`, … */
  stateOf(key: string): Promise<string>;
  registry(): Promise<RegistryStatus>;
  /** The status of the answer to one request, which is read to its end. */
  visit(key: string, path?: string): Promise<number>;
  /** An admin endpoint, by the unix socket. */
  admin(method: string, path: string): Promise<Response>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM, and all that belongs to it. @returns the exit status, or the signal's name */
  stop(): Promise<number | string>;
  /** Starts it again. */
  start(): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  freeze(): void;
  thaw(): void;
  /** Nothing reaches Redis any more, and nothing comes from there; nobody is told. */
  cutOff(): void;
  /** What was on its way goes on, late. */
  reconnect(): void;
}

export interface Instances extends AsyncDisposable {
  readonly redis: RedisServer;
  readonly all: readonly Instance[];
  /** Those that run and lead; one, once they have found each other. */
  leaders(): Promise<readonly Instance[]>;
  /** Waits until there is one leader, and every instance that runs knows of all others. */
  untilTogether(): Promise<Instance>;
  /** Waits until all that run say so of an app. */
  untilState(key: string, state: string): Promise<void>;
}

export interface InstancesOptions {
  readonly count: number;
  /** `paastis.yml`. */
  readonly config?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Left out: a new one, which ends with them. */
  readonly redis?: RedisServer;
}

/** Starts Redis, then all of them at the same time, and waits until they know each other. */
export async function startInstances(options: InstancesOptions): Promise<Instances> {
  const redis = options.redis ?? (await startRedis());
  const relays: TcpRelay[] = [];
  const all: Instance[] = [];
  async function dispose(): Promise<void> {
    for (const relay of relays) relay.thaw();
    await Promise.all(all.map(endForGood));
    await Promise.all(relays.map((relay) => relay[Symbol.asyncDispose]()));
    if (options.redis === undefined) await redis[Symbol.asyncDispose]();
  }
  const up = () => all.filter(({ isUp }) => isUp);
  async function leaders(): Promise<readonly Instance[]> {
    const states = await Promise.all(up().map(async (one) => ({ one, ...(await one.registry()) })));
    return states.filter(({ leader }) => leader).map(({ one }) => one);
  }
  const instances: Instances = {
    redis,
    all,
    leaders,
    async untilTogether() {
      let leader: Instance | undefined;
      await eventually("they know each other, and one leads", async () => {
        const states = await Promise.all(up().map((one) => one.registry()));
        if (states.some(({ otherInstances }) => otherInstances.length !== up().length - 1)) {
          return false;
        }
        const found = await leaders();
        leader = found[0];
        return found.length === 1;
      });
      if (leader === undefined) throw new Error("nobody leads");
      return leader;
    },
    async untilState(key, state) {
      await eventually(`all instances say that ${key} is ${state}`, async () => {
        const states = await Promise.all(up().map((one) => one.stateOf(key)));
        return states.every((said) => said === state);
      });
    },
    [Symbol.asyncDispose]: dispose,
  };
  try {
    const names = Array.from({ length: options.count }, (_none, at) => `instance ${at + 1}`);
    const started = names.map(async (name) => {
      const relay = await startTcpRelay(redis.port);
      relays.push(relay);
      return await startInstance({ name, relay, redis, options });
    });
    all.push(...(await settled(started, all)));
    await instances.untilTogether();
    return instances;
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** All, or the first failure, once those that did start can be ended. */
async function settled(started: Promise<Instance>[], all: Instance[]): Promise<Instance[]> {
  const results = await Promise.allSettled(started);
  const failed = results.find((result) => result.status === "rejected");
  const good = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (failed === undefined) return good;
  all.push(...good);
  throw failed.reason;
}

/** Frozen ones cannot be told to end. */
async function endForGood(instance: Instance): Promise<void> {
  if (!instance.isUp) return;
  instance.thaw();
  await instance.paastis[Symbol.asyncDispose]();
}

interface Start {
  readonly name: string;
  readonly relay: TcpRelay;
  readonly redis: RedisServer;
  readonly options: InstancesOptions;
}

async function startInstance({ name, relay, redis, options }: Start): Promise<Instance> {
  const folder = makeFolder();
  const port = freePort();
  const url = new URL(redis.url);
  url.port = String(relay.port);
  const run = () =>
    startPaastis({
      config: options.config ?? "",
      folder,
      env: {
        REGISTRY_TYPE: "redis",
        REGISTRY_REDIS_URL: url.href,
        INSTANCE_NAME: "together",
        DATA_DIR: join(folder, "data"),
        PORT: String(port),
        LOGGING_LEVEL: "debug",
        ...options.env,
      },
    });
  let paastis = await run();
  let isUp = true;
  const earlier: LogLine[] = [];
  async function end(signal: NodeJS.Signals): Promise<number | string> {
    isUp = false;
    paastis.signal(signal);
    return await paastis.ended;
  }
  const admin = (method: string, path: string) =>
    fetch(`http://admin${path}`, { method, unix: join(folder, "data", "admin.sock") });
  return {
    name,
    port,
    folder,
    get paastis() {
      return paastis;
    },
    get isUp() {
      return isUp;
    },
    get lines() {
      return [...earlier, ...paastis.lines];
    },
    admin,
    async stateOf(key) {
      const answer = await admin("GET", `/__status?app=${key}`);
      return String(((await answer.json()) as { state?: unknown }).state);
    },
    async registry() {
      const answer = await admin("GET", "/__status?details=1");
      return ((await answer.json()) as { stores: { registry: RegistryStatus } }).stores.registry;
    },
    async visit(key, path = "/") {
      const answer = await paastis.get(key, { path });
      await answer.arrayBuffer();
      return answer.status;
    },
    kill: async () => void (await end("SIGKILL")),
    stop: () => end("SIGTERM"),
    async start() {
      earlier.push(...paastis.lines);
      paastis = await run();
      isUp = true;
    },
    freeze: () => paastis.signal("SIGSTOP"),
    thaw: () => paastis.signal("SIGCONT"),
    cutOff: () => relay.freeze(),
    reconnect: () => relay.thaw(),
  };
}
