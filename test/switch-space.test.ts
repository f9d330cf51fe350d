/** The place for shared switches: in Redis, in a Cluster, and the one of the simulation. */

import { afterAll, beforeAll } from "bun:test";
import { type Clock, createSystemClock, sleep } from "../src/clock.ts";
import { createRedisSwitchSpace } from "../src/redis/switch-space.ts";
import { testSwitchSpace } from "./contract/switch-space.ts";
import { createFastClock } from "./support/fast-clock.ts";
import { startRedisCluster } from "./support/redis-cluster.ts";
import { startRedis } from "./support/redis-server.ts";
import { connectForSwitches } from "./support/redis-space.ts";
import { createSwitchSea } from "./support/switch-sea.ts";

const passOn = (clock: Clock) => (ms: number) => sleep(clock, ms);
/** Redis keeps time by itself. */
const pass = passOn(createSystemClock());
const servers = new AsyncDisposableStack();
const urls = { single: "", cluster: "" };
let opened = 0;

beforeAll(async () => {
  const [single, cluster] = await Promise.all([startRedis(), startRedisCluster()]);
  for (const server of [single, cluster]) servers.use(server);
  Object.assign(urls, { single: single.url, cluster: cluster.url });
}, 60_000);
afterAll(() => servers.disposeAsync());

testSwitchSpace("Redis", () => over("single"));
testSwitchSpace("Redis Cluster", () => over("cluster"), [
  { test: "expiry", because: "each node of it is the same server, and it takes 9 s" },
]);
testSwitchSpace("simulated", async () => {
  const clock = createFastClock(20);
  const sea = createSwitchSea(clock);
  const dispose = async () => undefined;
  const pass = passOn(clock);
  return { ...{ one: sea.connect(), other: sea.connect(), pass }, [Symbol.asyncDispose]: dispose };
});

async function over(kind: keyof typeof urls) {
  opened += 1;
  await using undo = new AsyncDisposableStack();
  const one = undo.use(await connectForSwitches(urls[kind], `tests-${opened}`));
  const other = undo.use(await connectForSwitches(urls[kind], `tests-${opened}`));
  const kept = undo.move();
  return {
    one: createRedisSwitchSpace(one),
    other: createRedisSwitchSpace(other),
    pass,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
