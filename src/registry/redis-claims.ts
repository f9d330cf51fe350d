/** Who may change an app, over all instances: locks in Redis, and how long they count here. */

import { type AppRef, refKey } from "../app.ts";
import type { CancelTimer, Clock } from "../clock.ts";
import type { RedisConnection } from "../redis/connection.ts";
import type { RecordParser } from "./redis-records.ts";
import { CLAIM, RELEASE, runScript } from "./redis-scripts.ts";
import type { Claim } from "./registry.ts";

/** A lock that is ours as far as we know. */
export interface HeldLock {
  readonly key: string;
  readonly token: string;
}

/** The claims of one instance. */
export interface RedisClaims {
  /** See `Registry.claim`. */
  claim(ref: AppRef, known: number): Promise<Claim | null>;
  /** All that are held, to be renewed together. */
  held(): readonly HeldLock[];
  /** What became of `locks`. @param isOurs for each of them @param beganMs when that was asked */
  renewed(locks: readonly HeldLock[], isOurs: readonly boolean[], beganMs: number): void;
  /** The token of the lock of an app; `null`: it is not held. */
  tokenOf(ref: AppRef): string | null;
  /** Nothing is held any more. */
  loseAll(why: string): void;
}

/** What they are made from. */
export interface RedisClaimsDeps {
  readonly connection: RedisConnection;
  readonly clock: Clock;
  readonly self: string;
  /** A name that no other run of the same instance has, without `/`. */
  readonly run: string;
  /** For how long Redis keeps a lock that is not renewed, ms. */
  readonly lifeMs: number;
  readonly parseRecord: RecordParser;
}

interface Context extends RedisClaimsDeps {
  readonly holdings: Map<string, Holding>;
  /** Apps whose lock is being asked for. */
  readonly asking: Set<string>;
  asked: number;
}

interface Holding extends HeldLock {
  readonly app: string;
  readonly lost: AbortController;
  /** When the last call that renewed it began: so Redis keeps it for longer than we count on. */
  renewedMs: number;
  cancel: CancelTimer;
}

/** Nothing is held yet. Several of them in one process know nothing of each other. */
export function createRedisClaims(deps: RedisClaimsDeps): RedisClaims {
  const context: Context = { ...deps, holdings: new Map(), asking: new Set(), asked: 0 };
  const { holdings } = context;
  return {
    claim: (ref, known) => claim(context, ref, known),
    held: () => [...holdings.values()].filter((holding) => isHeld(context, holding)),
    renewed(locks, isOurs, beganMs) {
      for (const [index, { token }] of locks.entries()) {
        const holding = [...holdings.values()].find((candidate) => candidate.token === token);
        if (holding !== undefined) renewed(context, holding, isOurs[index] ? beganMs : null);
      }
    },
    tokenOf: (ref) => holdings.get(refKey(ref))?.token ?? null,
    loseAll(why) {
      for (const holding of [...holdings.values()]) lose(context, holding, why);
    },
  };
}

async function claim(context: Context, ref: AppRef, known: number): Promise<Claim | null> {
  const { asking, holdings } = context;
  const app = refKey(ref);
  const holding = holdings.get(app);
  if (asking.has(app) || (holding !== undefined && isHeld(context, holding))) return null;
  asking.add(app);
  try {
    return await take(context, app, known);
  } finally {
    asking.delete(app);
  }
}

async function take(context: Context, app: string, known: number): Promise<Claim | null> {
  const { clock, connection, lifeMs, self } = context;
  context.asked += 1;
  const token = `${self}/${context.run}-${context.asked}`;
  const lock = { key: connection.key(`lock:${app}`), token };
  const beganMs = clock.now();
  const reply = await runScript(connection, CLAIM, {
    keys: [lock.key, ...["apps", "uses", "fences"].map((name) => connection.key(name))],
    words: [app, token, self, lifeMs, known],
  });
  if (!Array.isArray(reply)) return null;
  // This process was stopped for so long that somebody else may hold it by now; the next attempt tells.
  if (clock.now() - beganMs >= lifeMs) return null;
  const [fence, record, used]: unknown[] = reply;
  const reading = context.parseRecord(record, used);
  return hold(context, { app, ...lock, beganMs, fence: Number(fence), record: reading.record });
}

function hold(
  context: Context,
  taken: HeldLock & { readonly app: string; readonly beganMs: number } & Pick<
      Claim,
      "fence" | "record"
    >,
): Claim {
  const { app, beganMs, fence, key, record, token } = taken;
  const lost = new AbortController();
  const holding: Holding = {
    ...{ app, key, token, lost, renewedMs: beganMs },
    cancel: () => undefined,
  };
  context.holdings.set(app, holding);
  watch(context, holding);
  return {
    ...{ fence, record, lost: lost.signal },
    isHeld: () => isHeld(context, holding),
    async release() {
      if (!isHeld(context, holding)) return;
      forget(context, holding);
      await runScript(context.connection, RELEASE, { keys: [key], words: [token] });
    },
  };
}

/** Looks again when it would end if nothing renewed it. */
function watch(context: Context, holding: Holding): void {
  const leftMs = holding.renewedMs + context.lifeMs - context.clock.now();
  holding.cancel = context.clock.after(leftMs, () => {
    if (isHeld(context, holding)) watch(context, holding);
  });
}

/** Asks the clock, not only the timers: they are late in a process that was stopped. */
function isHeld(context: Context, holding: Holding): boolean {
  if (context.holdings.get(holding.app) !== holding) return false;
  if (context.clock.now() - holding.renewedMs < context.lifeMs) return true;
  lose(context, holding, "it could not be renewed in time");
  return false;
}

function renewed(context: Context, holding: Holding, beganMs: number | null): void {
  if (beganMs === null) lose(context, holding, "Redis has lost it, or it is another instance's");
  else holding.renewedMs = Math.max(holding.renewedMs, beganMs);
}

function lose(context: Context, holding: Holding, why: string): void {
  forget(context, holding);
  holding.lost.abort(new Error(`The sole right to change ${holding.app} was lost: ${why}`));
}

function forget({ holdings }: Context, holding: Holding): void {
  holding.cancel();
  if (holdings.get(holding.app) === holding) holdings.delete(holding.app);
}
