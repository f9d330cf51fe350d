/** Waiting for a connection to Redis, for a while. */

import { type Clock, sleep } from "../clock.ts";
import type { RedisConnection } from "./connection.ts";

/** Resolves when the connection works, or after `limitMs` at the latest. Never rejects. */
export async function untilReady(
  { onReady }: Pick<RedisConnection, "onReady">,
  clock: Clock,
  limitMs: number,
): Promise<void> {
  const over = new AbortController();
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const cancel = onReady(resolve);
  await Promise.race([ready, sleep(clock, limitMs, over.signal).catch(() => undefined)]);
  over.abort();
  cancel();
}
