/** One heartbeat: what is sent to Redis once a second, all of it in one pipeline, and what comes back. */

import type { RedisConnection } from "../redis/connection.ts";
import type { HeldLock } from "./redis-claims.ts";
import { touchCall } from "./redis-records.ts";
import { BEAT, type ScriptCall, TOUCH } from "./redis-scripts.ts";
import type { Use } from "./registry.ts";

/** What is sent. */
export interface BeatOrder {
  readonly self: string;
  readonly lifeMs: number;
  /** For the leadership. */
  readonly token: string;
  /** Becomes the epoch where there is none. */
  readonly newEpoch: string;
  /** For the others. */
  readonly message: string;
  readonly locks: readonly HeldLock[];
  readonly lastUses: readonly Use[];
}

/** What Redis said. */
export interface BeatReply {
  /** Another one than before: Redis has lost what it held. */
  readonly epoch: string;
  /** How many records were stored since then. */
  readonly revision: number;
  /** The instance that leads. */
  readonly leader: string;
  /** For each lock, whether it is still ours. */
  readonly isOurs: readonly boolean[];
  /** All instances that live, this one among them. */
  readonly alive: readonly { readonly name: string; readonly ageMs: number }[];
}

/** How a heartbeat went. Parts of it can fail alone. */
export interface BeatOutcome {
  /** `null`: nothing of it was done. */
  readonly reply: BeatReply | null;
  /** Whether the last uses are stored. */
  readonly isNoted: boolean;
  /** What was refused, or why nothing came back. */
  readonly error: Error | null;
}

type Results = readonly (readonly [error: Error | null, result: unknown])[];

/** Sends a heartbeat. Commands with a key, all in one slot: a Cluster is followed by a pipeline only then. @throws Error */
export async function sendBeat(
  connection: RedisConnection,
  order: BeatOrder,
): Promise<BeatOutcome> {
  const { client, key } = connection;
  const pipeline = client.pipeline();
  // Refused for want of memory, unlike the script: so it is known that no record can be stored.
  pipeline.set(key("epoch"), order.newEpoch, "NX");
  const beat = beatCall(connection, order);
  pipeline.eval(BEAT.lua, beat.keys.length, ...beat.keys, ...beat.words);
  if (order.lastUses.length > 0) {
    const touch = touchCall(connection, order.lastUses);
    pipeline.eval(TOUCH.lua, touch.keys.length, ...touch.keys, ...touch.words);
  }
  return outcomeOf((await pipeline.exec()) ?? []);
}

function beatCall({ key }: RedisConnection, order: BeatOrder): ScriptCall {
  const { lifeMs, locks, message, self, token } = order;
  const names = ["instances", "leader", "epoch", "revision"];
  return {
    keys: [...names.map((name) => key(name)), ...locks.map((lock) => lock.key)],
    words: [self, lifeMs, token, key("beats"), message, ...locks.map((lock) => lock.token)],
  };
}

function outcomeOf(results: Results): BeatOutcome {
  const [, beat, touch] = results;
  const error = results.map(([problem]) => problem).find((problem) => problem !== null) ?? null;
  const reply = beat === undefined || beat[0] !== null ? null : readReply(beat[1]);
  const isNoted = reply !== null && (touch === undefined || touch[0] === null);
  if (reply !== null || error !== null) return { reply, isNoted, error };
  return { reply, isNoted, error: new Error("Redis has given no answer that can be read") };
}

function readReply(reply: unknown): BeatReply | null {
  if (!Array.isArray(reply)) return null;
  const [epoch, revision, leader, isOurs, alive]: unknown[] = reply;
  if (!Array.isArray(isOurs) || !Array.isArray(alive)) return null;
  const names = alive.filter((_, index) => index % 2 === 0);
  return {
    epoch: String(epoch ?? ""),
    revision: Number(revision ?? 0),
    leader: String(leader),
    isOurs: isOurs.map((is) => is === 1),
    alive: names.map((name, index) => ({
      name: String(name),
      ageMs: Math.max(0, Number(alive[index * 2 + 1])),
    })),
  };
}
