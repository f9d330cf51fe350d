/** Instances that share a Redis: registries with all that they hear of each other. */

import { type CancelTimer, type Clock, createSystemClock } from "../../src/clock.ts";
import type { PeerListener, Peers, PeerUse, StopQuestion } from "../../src/peers.ts";
import { connectRedis } from "../../src/redis/connect.ts";
import type { RedisConnection } from "../../src/redis/connection.ts";
import { parseRedisUrl } from "../../src/redis/redis-url.ts";
import { createRedisRegistry, type RedisTimes } from "../../src/registry/redis.ts";
import type { AppRecord, Registry } from "../../src/registry/registry.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";

/** A listener that remembers what it heard. */
export interface HeardOf extends PeerListener {
  readonly records: { readonly from: string; readonly record: AppRecord }[];
  readonly uses: { readonly from: string; readonly uses: readonly PeerUse[] }[];
  readonly questions: { readonly from: string; readonly question: StopQuestion }[];
  readonly ended: string[];
  resyncs: number;
  /** How often it was asked what it uses: once for each heartbeat. */
  taken: number;
  /** What `mayStop` answers. */
  objection: string | null;
  /** What `takeUses` gives, again and again. */
  using: readonly PeerUse[];
  /** Every call fails. */
  isBroken: boolean;
}

/** One instance. */
export interface RedisInstance extends AsyncDisposable {
  readonly name: string;
  readonly registry: Registry;
  readonly peers: Peers;
  readonly connection: RedisConnection;
  readonly heard: HeardOf;
  readonly lines: readonly LogLine[];
  /** As if its process were stopped: time goes on, and no timer fires until `goOn`. */
  pause(): void;
  goOn(): void;
  /** Joins, and waits until the first heartbeat. */
  join(): Promise<void>;
}

export interface InstanceOptions {
  /** Of Redis, or of what stands before it. */
  readonly url: string;
  readonly name: string;
  readonly times?: Partial<RedisTimes>;
  /** How far its clock is ahead, ms. */
  readonly aheadMs?: number;
}

/** Short, and long enough for a busy machine. */
export const SHORT: RedisTimes = { lifeMs: 2_500, tickMs: 100, answerMs: 800 };

/** Connected, and not joined yet. */
export function startInstance(options: InstanceOptions): RedisInstance {
  const { name, times = SHORT, url } = options;
  const clock = pausableClock(options.aheadMs ?? 0);
  const { lines, log } = recordingLog();
  const address = parseRedisUrl(url);
  if (!address.ok) throw new Error(address.why);
  const random = Math.random;
  const connection = connectRedis({
    address: address.value,
    instance: "tests",
    clock,
    log,
    random,
  });
  const { peers, registry } = createRedisRegistry({
    ...{ connection, clock, log, times, self: name, random },
  });
  const heard = createHeardOf();
  return {
    ...{ name, registry, peers, connection, heard, lines },
    pause: clock.pause,
    goOn: clock.goOn,
    join: () => peers.join(heard),
    async [Symbol.asyncDispose]() {
      clock.goOn();
      await registry.close();
      await connection.close();
    },
  };
}

function createHeardOf(): HeardOf {
  const heard: HeardOf = {
    ...{ records: [], uses: [], questions: [], ended: [], resyncs: 0, taken: 0 },
    ...{ objection: null, using: [], isBroken: false },
    stored(record, from) {
      fail();
      heard.records.push({ record, from });
    },
    mayStop(question, from) {
      fail();
      heard.questions.push({ question, from });
      return heard.objection;
    },
    used(from, uses) {
      fail();
      heard.uses.push({ from, uses });
    },
    gone(instance) {
      fail();
      heard.ended.push(instance);
    },
    resync() {
      heard.resyncs += 1;
      fail();
    },
    takeUses() {
      heard.taken += 1;
      fail();
      return heard.using;
    },
  };
  function fail(): void {
    if (heard.isBroken) throw new Error("this listener is broken");
  }
  return heard;
}

function pausableClock(aheadMs: number): Clock & { pause(): void; goOn(): void } {
  const real = createSystemClock();
  let isPaused = false;
  const due: (() => void)[] = [];
  return {
    now: () => real.now() + aheadMs,
    wallMs: () => real.wallMs() + aheadMs,
    after(delayMs, callback): CancelTimer {
      let isCancelled = false;
      const fire = () => {
        if (isCancelled) return;
        if (isPaused) due.push(fire);
        else callback();
      };
      const cancel = real.after(delayMs, fire);
      return () => {
        isCancelled = true;
        cancel();
      };
    },
    pause() {
      isPaused = true;
    },
    goOn() {
      isPaused = false;
      for (const fire of due.splice(0)) fire();
    },
  };
}
