/** A few instances on a Redis of their own, all of which have joined. */

import { expect } from "bun:test";

import type { Claim } from "../../src/registry/registry.ts";
import { recordOf } from "../contract/registry.ts";
import {
  type InstanceOptions,
  type RedisInstance,
  SHORT,
  startInstance,
} from "./redis-instances.ts";
import { type RedisServer, type RedisServerOptions, startRedis } from "./redis-server.ts";
import { startTcpRelay, type TcpRelay } from "./tcp-relay.ts";
import { until } from "./until.ts";

export interface RedisWorld extends AsyncDisposable {
  readonly server: RedisServer;
  readonly all: readonly RedisInstance[];
  readonly a: RedisInstance;
  readonly b: RedisInstance;
  /** Before the first instance. */
  readonly relay: TcpRelay;
  /** One more, connected and not joined. */
  add(name: string, changes?: AddOptions): Promise<RedisInstance>;
}

/** @see startInstance */
export interface AddOptions extends Partial<InstanceOptions> {
  /** It stands behind the relay, too. */
  readonly isRelayed?: boolean;
}

export interface RedisWorldOptions extends Pick<InstanceOptions, "times"> {
  /** Without it a server is started. */
  readonly url?: string;
  readonly server?: RedisServerOptions;
}

/** Has been used, or not; it is up to the test. */
export const { ref } = recordOf("shop");
export const NEVER = new AbortController().signal;

/** A key of the instances, and a channel. */
export const redisKey = (name: string) => `paastis:tests:{tests}:${name}`;

/** The instances `names` have joined, and each has heard of all others. */
export async function startRedisWorld(
  names: readonly string[],
  options: RedisWorldOptions = {},
): Promise<RedisWorld> {
  await using undo = new AsyncDisposableStack();
  const server = undo.use(await startRedis(options.server));
  const relay = undo.use(await startTcpRelay(server.port));
  const relayed = options.url ?? server.url.replace(`${server.port}`, `${relay.port}`);
  const { times = SHORT, url = server.url } = options;
  async function add(name: string, { isRelayed = false, ...changes }: AddOptions = {}) {
    const place = isRelayed ? relayed : url;
    const instance = kept.use(startInstance({ url: place, name, times, ...changes }));
    await until(() => instance.connection.trouble() === null);
    return instance;
  }
  const kept = undo.move();
  const all: RedisInstance[] = [];
  for (const [index, name] of names.entries()) {
    const instance = await add(name, { isRelayed: index === 0 });
    await instance.join();
    all.push(instance);
  }
  await until(() => all.every(({ peers }) => peers.state().others.length === all.length - 1));
  const [a, b] = all;
  return {
    ...{ server, relay, all, a: a!, b: b!, add },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Waits so many heartbeats of an instance. */
export async function beats({ heard }: RedisInstance, count: number): Promise<void> {
  const before = heard.taken;
  await until(() => heard.taken >= before + count);
}

/** Those that lead at this moment. */
export function leaders(instances: readonly RedisInstance[]): RedisInstance[] {
  return instances.filter(({ peers }) => peers.isLeader());
}

/** Waits until one leads; never two at any moment. */
export async function theLeader(instances: readonly RedisInstance[]): Promise<RedisInstance> {
  await until(() => {
    expect(leaders(instances).length).toBeLessThan(2);
    return leaders(instances).length === 1;
  });
  return leaders(instances)[0]!;
}

/** Lets lives of instances and locks pass. */
export async function lives(times: number): Promise<void> {
  const began = performance.now();
  await until(() => performance.now() - began > times * SHORT.lifeMs);
}

/** A claim of the app of the tests. */
export async function claimed(instance: RedisInstance): Promise<Claim> {
  // A busy machine may ask for longer than a claim's life, and then it is none.
  for (let tries = 0; tries < 3; tries += 1) {
    const claim = await instance.registry.claim(ref, 0);
    if (claim !== null) return claim;
  }
  throw new Error("the claim was refused");
}

/** May it be stopped? Under a claim, which is given back. */
export async function ask(instance: RedisInstance, signal = NEVER): Promise<string | null> {
  const claim = await claimed(instance);
  const why = await instance.peers.askToLetGo({ ref, fence: claim.fence, unusedMs: 7 }, signal);
  await claim.release();
  return why;
}
