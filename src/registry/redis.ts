/** The registry in Redis, shared by several instances that act as one. */

import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { Peers } from "../peers.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { createRedisClaims } from "./redis-claims.ts";
import { createOthers } from "./redis-others.ts";
import { createOutbox } from "./redis-outbox.ts";
import { createRedisPeers } from "./redis-peers.ts";
import { createQuestions } from "./redis-questions.ts";
import {
  createRecordParser,
  loadRecords,
  removeRecord,
  saveRecord,
  touchRecords,
} from "./redis-records.ts";
import { createRevisions } from "./redis-revisions.ts";
import { createTick } from "./redis-tick.ts";
import type { Registry } from "./registry.ts";
import { createRecordReader } from "./stored-record.ts";

/** What it is made from. */
export interface RedisRegistryDeps {
  /** Stays open when the registry is closed. */
  readonly connection: RedisConnection;
  /** The name of this instance: the same after a restart in the same data folder, and nobody else's. */
  readonly self: string;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  /** All instances must have the same. */
  readonly times?: Partial<RedisTimes>;
}

/** How long things take, ms. */
export interface RedisTimes {
  /** So long after its last sign an instance, and what it holds, counts no more: 8,000. */
  readonly lifeMs: number;
  /** Between two heartbeats: 1,000. */
  readonly tickMs: number;
  /** For an answer of another instance: 1,000. */
  readonly answerMs: number;
}

/** What is stored, and who else is there. */
export interface RedisRegistry {
  /** Once the instance has joined, `touch` resolves at once and is written with the next heartbeat, or a later one. */
  readonly registry: Registry;
  readonly peers: Peers;
}

const TIMES: RedisTimes = { lifeMs: 8_000, tickMs: 1_000, answerMs: 1_000 };

/** Nothing is asked of Redis before the first call. Several in one process act like several processes. */
export function createRedisRegistry(deps: RedisRegistryDeps): RedisRegistry {
  const { clock, connection, random, self } = deps;
  const own = { ...deps, ...TIMES, ...deps.times, run: uniqueName(random) };
  const readRecord = createRecordReader();
  const parseRecord = createRecordParser(readRecord);
  const claims = createRedisClaims({ ...own, parseRecord });
  const others = createOthers(clock, own.lifeMs, deps.log);
  const outbox = createOutbox(clock);
  const revisions = createRevisions();
  const shared = { ...own, claims, others, outbox, revisions };
  const [questions, tick] = [createQuestions(shared), createTick(shared)];
  const peers = createRedisPeers({ ...shared, questions, tick, readRecord });
  let isClosed = false;
  // What it held may be another's by now.
  const endWatch = clock.onStandstill?.(() => void claims.held());
  const usable = (): RedisConnection => {
    if (isClosed) throw new Error("The registry is closed");
    return connection;
  };
  const registry: Registry = {
    load: async () => loadRecords(usable(), parseRecord),
    save: async (record) => saveRecord(usable(), self, record),
    remove: async (ref) => removeRecord(usable(), ref),
    async touch(uses) {
      const open = usable();
      if (tick.isRunning()) outbox.note(uses);
      else await touchRecords(open, uses);
    },
    async claim(ref, known) {
      usable();
      return claims.claim(ref, known);
    },
    async close() {
      isClosed = true;
      endWatch?.();
      await peers.leave();
    },
  };
  return { registry, peers };
}

/** No two runs of an instance have the same. */
function uniqueName(random: () => number): string {
  return Math.floor(random() * Number.MAX_SAFE_INTEGER).toString(36);
}
