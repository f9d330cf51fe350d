/** Connects to Redis, and says what came of it: commands and messages go two ways, and both must work. */

import type { CancelTimer, Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { createCommandLine } from "./command-line.ts";
import type { RedisAddress, RedisConnection } from "./connection.ts";
import { createHearing } from "./hearing.ts";
import { explainRedisError } from "./redis-errors.ts";
import { createRedisMaker } from "./redis-maker.ts";

/** What a connection is made from. */
export interface RedisDeps {
  readonly address: RedisAddress;
  /** `INSTANCE_NAME`: those with the same share everything. */
  readonly instance: string;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 to 1, exclusive: instances that lost Redis together do not come back together. */
  readonly random: () => number;
}

interface Context extends RedisDeps {
  readonly onReady: Set<() => void>;
  /** Why commands, and messages, do not work; `null`: they do. */
  commands: string | null;
  messages: string | null;
  trouble: string | null;
  sinceMs: number;
  /** The log was told of the trouble. */
  isSaid: boolean;
  /** Ends what is about to tell it; `null`: nothing is. */
  cancelSaying: CancelTimer | null;
  isClosed: boolean;
}

const NOT_YET = "it is not connected yet";

/**
 * Begins to connect at once, and goes on with it for ever.
 * @throws Error when a file of the address' TLS cannot be read
 */
export function connectRedis(deps: RedisDeps): RedisConnection {
  const { address, clock, instance } = deps;
  const context: Context = {
    ...deps,
    onReady: new Set(),
    commands: NOT_YET,
    messages: NOT_YET,
    trouble: shownWith(address, NOT_YET),
    sinceMs: clock.now(),
    isSaid: false,
    cancelSaying: null,
    isClosed: false,
  };
  const key = (name: string) => `paastis:${instance}:{${instance}}:${name}`;
  const maker = createRedisMaker(address);
  const line = createCommandLine({
    ...{ ...deps, maker, probeKey: key("epoch") },
    tell: (error) => heard(context, { commands: error === null ? null : explainRedisError(error) }),
  });
  const hearing = createHearing({
    ...{ ...deps, maker, others: line.nodes },
    tell: (error) => heard(context, { messages: error === null ? null : explainRedisError(error) }),
  });
  return {
    client: line.client,
    key,
    subscribe: hearing.subscribe,
    onReady: (listener) => addListener(context, listener),
    trouble: () => context.trouble,
    sinceMs: () => context.sinceMs,
    async close() {
      if (context.isClosed) return;
      context.isClosed = true;
      context.cancelSaying?.();
      context.trouble = shownWith(address, "the connection was closed");
      context.sinceMs = clock.now();
      line.close();
      hearing.close();
    },
  };
}

/** Whoever comes when it works hears of it, too. */
function addListener(context: Context, listener: () => void): () => void {
  // One function may be handed in twice.
  const own = () => listener();
  context.onReady.add(own);
  if (context.trouble === null) {
    queueMicrotask(() => {
      if (context.trouble === null && context.onReady.has(own)) call(context, own);
    });
  }
  return () => context.onReady.delete(own);
}

/** One of the two connections works, works anew, or does not. */
function heard(context: Context, news: Partial<Pick<Context, "commands" | "messages">>): void {
  if (context.isClosed) return;
  Object.assign(context, news);
  const { address, clock, commands, messages } = context;
  const reason = commands ?? messages;
  const before = context.trouble;
  context.trouble = reason === null ? null : shownWith(address, reason);
  if (reason !== null) {
    if (before === null) context.sinceMs = clock.now();
    // Where one of them has only not come so far, there may be no trouble at all.
    if (reason !== NOT_YET) sayLostSoon(context);
    return;
  }
  if (before !== null) sayBack(context);
  for (const listener of [...context.onReady]) call(context, listener);
}

/** What is seen first, that a connection was closed, does not say why: that the next attempts do, ms. */
const SAID_AFTER_MS = 1_000;

function sayLostSoon(context: Context): void {
  if (context.isSaid || context.cancelSaying !== null) return;
  context.cancelSaying = context.clock.after(SAID_AFTER_MS, () => {
    context.cancelSaying = null;
    const reason = context.commands ?? context.messages;
    if (reason !== null) sayLost(context, reason);
  });
}

function sayLost(context: Context, reason: string): void {
  context.isSaid = true;
  context.log.warn(
    {
      redis: context.address.shown,
      reason,
      next: "it is tried again and again; until then apps that are up are served, and no app is put to sleep",
    },
    "the registry in Redis cannot be used",
  );
}

function sayBack(context: Context): void {
  const nowMs = context.clock.now();
  context.cancelSaying?.();
  context.cancelSaying = null;
  if (context.isSaid) {
    const fields = { redis: context.address.shown, afterMs: nowMs - context.sinceMs };
    context.log.info(fields, "the registry in Redis can be used again");
  }
  context.sinceMs = nowMs;
  context.isSaid = false;
}

function call({ log }: Context, listener: () => void): void {
  try {
    listener();
  } catch (error) {
    log.error({ reason: explainRedisError(error) }, "what Redis being back leads to has failed");
  }
}

function shownWith({ shown }: RedisAddress, reason: string): string {
  return `Redis at ${shown}: ${reason}`;
}
