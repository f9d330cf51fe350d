/** The connection that messages come over: with Redis, one that listens can do nothing else. */

import type { Redis } from "ioredis";

import type { CancelTimer, Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { createBackoff } from "./backoff.ts";
import type { RedisAddress, RedisNode } from "./connection.ts";
import { clearerError } from "./redis-errors.ts";
import type { RedisMaker } from "./redis-maker.ts";

/** What it is made from. */
export interface HearingDeps {
  readonly maker: RedisMaker;
  readonly address: Pick<RedisAddress, "nodes">;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** Further nodes of a Cluster. */
  readonly others: () => readonly RedisNode[];
  /** Called with `null` when everything that is subscribed to is heard from now on, and with why when not. */
  readonly tell: (error: Error | null) => void;
}

/** Whoever subscribes does so once, however often the connection is lost. */
export interface Hearing {
  subscribe(channel: string, onMessage: (text: string) => void): () => void;
  /** Safe to repeat. */
  close(): void;
}

interface Context extends HearingDeps {
  readonly channels: Map<string, Set<(text: string) => void>>;
  readonly backoff: ReturnType<typeof createBackoff>;
  /** The one that is listened to now; `null`: none. */
  current: Redis | null;
  /** Channels were added that are not asked for yet. */
  isAsking: boolean;
  /** Counts connections: the next one goes to another node. */
  turn: number;
  isClosed: boolean;
  cancel: CancelTimer;
}

/** How often it is asked whether it is still there, ms: nothing else would be noticed of a connection that is dead. */
const PING_EVERY_MS = 2_000;

/** Begins to connect. */
export function createHearing(deps: HearingDeps): Hearing {
  const context: Context = {
    ...deps,
    channels: new Map(),
    backoff: createBackoff(deps.random),
    ...{ current: null, isAsking: false, isClosed: false },
    turn: Math.floor(deps.random() * 1_000),
    cancel: () => undefined,
  };
  open(context);
  return {
    subscribe: (channel, onMessage) => subscribe(context, channel, onMessage),
    close() {
      context.isClosed = true;
      context.cancel();
      context.current?.disconnect();
    },
  };
}

function open(context: Context): void {
  const { address, maker, others } = context;
  const nodes = [...others(), ...address.nodes];
  context.turn += 1;
  const redis = maker.messages(nodes[context.turn % Math.max(1, nodes.length)]);
  context.current = redis;
  let last: Error | null = null;
  redis.on("error", (error: Error) => {
    last = clearerError(error, last);
  });
  redis.on("message", (channel: string, text: string) => deliver(context, channel, text));
  redis.on("ready", () => void ask(context, redis));
  redis.on("end", () => {
    context.current = null;
    if (context.isClosed) return;
    context.tell(last ?? new Error("Connection is closed."));
    context.cancel();
    context.cancel = context.clock.after(context.backoff.next(), () => open(context));
  });
}

/** Subscribes to everything; that is told when it is done. Never rejects. */
async function ask(context: Context, redis: Redis): Promise<void> {
  try {
    const channels = [...context.channels.keys()];
    if (channels.length > 0) await redis.subscribe(...channels);
    // A server that is not ready for commands takes subscriptions.
    await redis.ping();
    if (context.current !== redis || context.isClosed) return;
    context.backoff.reset();
    plan(context, redis);
    context.tell(null);
  } catch (error) {
    fail(redis, error);
  }
}

function plan(context: Context, redis: Redis): void {
  context.cancel();
  context.cancel = context.clock.after(PING_EVERY_MS, async () => {
    try {
      await redis.ping();
      if (context.current === redis && !context.isClosed) plan(context, redis);
    } catch (error) {
      fail(redis, error);
    }
  });
}

/** Its end has it made anew. */
function fail(redis: Redis, error: unknown): void {
  if (redis.status === "end") return;
  redis.emit("error", error);
  redis.stream.destroy();
}

function subscribe(
  context: Context,
  channel: string,
  onMessage: (text: string) => void,
): () => void {
  const listeners = context.channels.get(channel) ?? new Set();
  // One function may be handed in twice.
  const own = (text: string) => onMessage(text);
  listeners.add(own);
  if (!context.channels.has(channel)) {
    context.channels.set(channel, listeners);
    askSoon(context);
  }
  return () => {
    listeners.delete(own);
    if (listeners.size > 0 || context.channels.get(channel) !== listeners) return;
    context.channels.delete(channel);
    const { current } = context;
    // With a connection that is lost, the subscription is too.
    if (current?.status === "ready") current.unsubscribe(channel).catch(() => undefined);
  };
}

/** Many that are added together are asked for together. Without a connection, the next one does it. */
function askSoon(context: Context): void {
  if (context.isAsking) return;
  context.isAsking = true;
  queueMicrotask(() => {
    context.isAsking = false;
    const { current } = context;
    if (current?.status === "ready" && !context.isClosed) void ask(context, current);
  });
}

function deliver({ channels, log }: Context, channel: string, text: string): void {
  for (const listener of [...(channels.get(channel) ?? [])]) {
    try {
      listener(text);
    } catch (error) {
      log.error({ channel, reason: messageOf(error) }, "a message could not be followed");
    }
  }
}
