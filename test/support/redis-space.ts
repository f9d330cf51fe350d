/** The switches of a test in a real Redis, as one instance reaches them. */

import { createSystemClock } from "../../src/clock.ts";
import { connectRedis } from "../../src/redis/connect.ts";
import type { RedisConnection } from "../../src/redis/connection.ts";
import { parseRedisUrl } from "../../src/redis/redis-url.ts";
import { recordingLog } from "./recording-log.ts";
import { until } from "./until.ts";

/** Connected. @param url as for `REGISTRY_REDIS_URL` @param instance those with the same share everything */
export async function connectForSwitches(
  url: string,
  instance = "tests",
): Promise<RedisConnection & AsyncDisposable> {
  const address = parseRedisUrl(url);
  if (!address.ok) throw new Error(address.why);
  const { log } = recordingLog();
  const clock = createSystemClock();
  const connection = connectRedis({
    ...{ address: address.value, instance, clock, log, random: Math.random },
  });
  await until(() => connection.trouble() === null);
  return { ...connection, [Symbol.asyncDispose]: () => connection.close() };
}
