/** Switches in Redis: what several instances share of them, one round trip each. */

import { messageOf } from "../errors.ts";
import { Uncertain } from "../switch-store.ts";
import type { RedisConnection } from "./connection.ts";
import { explainRedisError } from "./redis-errors.ts";

/** The hashes that they are in, by the app's key. */
export type SwitchHash = "switches" | "pauses";

/** What one app has in each of them; `null`: nothing. */
export type SwitchTexts = Readonly<Record<SwitchHash, string | null>>;

/** One change. */
export interface SwitchPut {
  readonly hash: SwitchHash;
  readonly key: string;
  /** What must stand there by then; `null`: nothing. */
  readonly seen: string | null;
  readonly text: string;
  /** The lock that must be held by then, as `take` gave it; `null`: none. */
  readonly lock: string | null;
}

/** What several instances share of switches. All of it rejects with a sentence for people when nobody can be asked. */
export interface SwitchSpace {
  /** Everything. */
  load(): Promise<Readonly<Record<SwitchHash, ReadonlyMap<string, string>>>>;
  read(key: string): Promise<SwitchTexts>;
  /**
   * Stores a text, and tells all instances.
   * @throws Uncertain when the answer was lost
   * @returns `null`: it is stored; `lost`: the lock is somebody else's, or nobody's; else what stands there instead
   */
  put(order: SwitchPut): Promise<null | "lost" | { readonly instead: string | null }>;
  /**
   * Takes the lock of an app for `LOCK_MS`.
   * @param what for whoever asks meanwhile; no two takers say the same
   * @returns the lock, with a number greater than every earlier one of this app; or what its holder has said
   */
  take(
    key: string,
    what: string,
  ): Promise<{ readonly lock: string; readonly fence: number } | { readonly heldBy: string }>;
  /** For another `LOCK_MS`. @returns false when it is not held any more */
  renew(key: string, lock: string): Promise<boolean>;
  /** Gives a lock back; does nothing when it is not held any more. */
  give(key: string, lock: string): Promise<void>;
  /** Calls `onText` with everything that is stored, our own as well, until the returned function is called. */
  listen(onText: (hash: SwitchHash, key: string, text: string) => void): () => void;
  /** Calls `onReady` when somebody can be asked, and whenever something may have been missed. @returns how to end that */
  onReady(onReady: () => void): () => void;
  /** Why nobody can be asked; `null`: somebody can. */
  trouble(): string | null;
}

/** How long a lock is held without being renewed, by Redis' clock. */
export const LOCK_MS = 8000;

const CHANNEL = "switches";

/** KEYS: hash, lock. ARGV: app, channel, what must stand there ("" for nothing), text, lock held ("" for none), message. */
const PUT = `
if ARGV[5] ~= "" and redis.call("GET", KEYS[2]) ~= ARGV[5] then return {"lost"} end
local now = redis.call("HGET", KEYS[1], ARGV[1])
if (now or "") ~= ARGV[3] then return {"instead", now} end
redis.call("HSET", KEYS[1], ARGV[1], ARGV[4])
redis.call("PUBLISH", ARGV[2], ARGV[6])
return {"put"}
`;

/** KEYS: lock, fences. ARGV: field of the fence, what, ms. */
const TAKE = `
local held = redis.call("GET", KEYS[1])
if held then return {"held", held} end
local fence = redis.call("HINCRBY", KEYS[2], ARGV[1], 1)
local lock = fence .. " " .. ARGV[2]
redis.call("SET", KEYS[1], lock, "PX", ARGV[3])
return {"taken", lock, fence}
`;

/** KEYS: lock. ARGV: lock, ms. */
const RENEW = `
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call("PEXPIRE", KEYS[1], ARGV[2])
`;

/** KEYS: lock. ARGV: lock. */
const GIVE = `
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call("DEL", KEYS[1])
`;

/** The one in Redis. */
export function createRedisSwitchSpace(redis: RedisConnection): SwitchSpace {
  const { client } = redis;
  const lockKey = (key: string) => redis.key(`lock:switch/${key}`);
  async function asked<T>(question: Promise<T>): Promise<T> {
    try {
      return await question;
    } catch (error) {
      throw failureOf(error, redis.trouble());
    }
  }
  const run = (script: string, keys: readonly string[], words: readonly (string | number)[]) =>
    asked(client.eval(script, keys.length, ...keys, ...words));
  return {
    async load() {
      const [switches, pauses] = await asked(
        Promise.all([client.hgetall(redis.key("switches")), client.hgetall(redis.key("pauses"))]),
      );
      return {
        switches: new Map(Object.entries(switches)),
        pauses: new Map(Object.entries(pauses)),
      };
    },
    async read(key) {
      const [switches, pauses] = await asked(
        Promise.all([
          client.hget(redis.key("switches"), key),
          client.hget(redis.key("pauses"), key),
        ]),
      );
      return { switches, pauses };
    },
    async put({ hash, key, seen, text, lock }) {
      const message = JSON.stringify([hash, key, text]);
      const words = [key, redis.key(CHANNEL), seen ?? "", text, lock ?? "", message];
      const [outcome, instead] = answerOf(await run(PUT, [redis.key(hash), lockKey(key)], words));
      if (outcome === "put") return null;
      return outcome === "lost" ? "lost" : { instead: instead ?? null };
    },
    async take(key, what) {
      const keys = [lockKey(key), redis.key("fences")];
      const found = answerOf(await run(TAKE, keys, [`switch/${key}`, what, LOCK_MS]));
      const [outcome, lock, fence] = found;
      if (outcome === "taken") return { lock: String(lock), fence: Number(fence) };
      const held = String(lock);
      return { heldBy: held.slice(held.indexOf(" ") + 1) };
    },
    renew: async (key, lock) => (await run(RENEW, [lockKey(key)], [lock, LOCK_MS])) === 1,
    async give(key, lock) {
      await run(GIVE, [lockKey(key)], [lock]);
    },
    listen(onText) {
      return redis.subscribe(redis.key(CHANNEL), (message) => {
        const told = toldIn(message);
        if (told !== null) onText(...told);
      });
    },
    onReady: (onReady) => redis.onReady(onReady),
    trouble: () => redis.trouble(),
  };
}

/** What was sent and not answered may have been done. */
const UNANSWERED = /command timed out|connection is closed/i;

function failureOf(error: unknown, trouble: string | null): Error {
  const why = trouble ?? `Redis: ${explainRedisError(error)}`;
  const isUncertain = UNANSWERED.test(messageOf(error));
  return new (isUncertain ? Uncertain : Error)(why, { cause: error });
}

/** Our scripts answer with lists of texts and numbers. */
function answerOf(answer: unknown): readonly (string | null | undefined)[] {
  if (!Array.isArray(answer)) throw new Error("Redis has answered something else than asked for");
  return answer.map((one: unknown) => (one === null ? null : String(one)));
}

/** `null`: it is none of our messages. */
function toldIn(message: string): [SwitchHash, string, string] | null {
  let told: unknown;
  try {
    told = JSON.parse(message);
  } catch {
    return null;
  }
  if (!Array.isArray(told)) return null;
  const [hash, key, text]: unknown[] = told;
  if (hash !== "switches" && hash !== "pauses") return null;
  return typeof key === "string" && typeof text === "string" ? [hash, key, text] : null;
}
