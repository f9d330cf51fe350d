/** The other instances on the same Redis: what they say, and what is said to them. */

import { type Clock, sleep } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerListener, Peers, PeersState } from "../peers.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { explainRedisError } from "../redis/redis-errors.ts";
import type { RedisClaims } from "./redis-claims.ts";
import { readChange, readUses, writeUses } from "./redis-messages.ts";
import type { Others } from "./redis-others.ts";
import type { Outbox } from "./redis-outbox.ts";
import type { Questions } from "./redis-questions.ts";
import { touchRecords, withUse } from "./redis-records.ts";
import type { Revisions } from "./redis-revisions.ts";
import { LEAVE, runScript } from "./redis-scripts.ts";
import type { Tick } from "./redis-tick.ts";
import type { RecordReading } from "./stored-record.ts";

/** What they are made from. */
export interface RedisPeersDeps {
  readonly connection: RedisConnection;
  readonly clock: Clock;
  readonly log: Log;
  readonly self: string;
  readonly run: string;
  readonly claims: RedisClaims;
  readonly others: Others;
  readonly outbox: Outbox;
  readonly questions: Questions;
  readonly revisions: Revisions;
  readonly tick: Tick;
  readonly readRecord: (value: unknown) => RecordReading;
}

interface Context extends RedisPeersDeps {
  /** Ends what `join` has begun. */
  readonly ends: (() => void)[];
  leaving: Promise<void> | null;
}

/** How long leaving may take, ms. */
const LEAVE_MS = 3_000;

/** Alone until it joins. */
export function createRedisPeers(deps: RedisPeersDeps): Peers {
  const context: Context = { ...deps, ends: [], leaving: null };
  const { others, questions, self, tick } = deps;
  return {
    self,
    isShared: true,
    join: (listener) => join(context, listener),
    isLeader: () => tick.isLeader(),
    whyNotLeader: () => whyNotLeader(context),
    askToLetGo: (question, signal) => questions.ask(question, signal),
    state: () => ({
      ...troubleOf(context),
      others: others.names(),
      isLeader: tick.isLeader(),
      leader: tick.leader(),
    }),
    leave() {
      context.leaving ??= leave(context);
      return context.leaving;
    },
  };
}

/** A connection that is away explains whatever else fails. */
function troubleOf({ connection, tick }: Context): Pick<PeersState, "sinceMs" | "trouble"> {
  const [away, refused] = [connection.trouble(), tick.trouble()];
  if (away !== null) return { trouble: away, sinceMs: connection.sinceMs() };
  if (refused !== null) return { trouble: refused, sinceMs: tick.sinceMs() };
  return { trouble: null, sinceMs: Math.max(connection.sinceMs(), tick.sinceMs()) };
}

function whyNotLeader(context: Context): string | null {
  const { self, tick } = context;
  if (tick.isLeader()) return null;
  const { trouble } = troubleOf(context);
  if (trouble !== null) return trouble;
  const leader = tick.leader();
  if (leader === null || leader === self) return "it is not known yet which instance does that";
  return `instance ${leader} does that`;
}

async function join(context: Context, listener: PeerListener): Promise<void> {
  const { connection, questions, revisions, tick } = context;
  const hear = (name: string, read: (text: string) => boolean) => {
    context.ends.push(connection.subscribe(connection.key(name), guarded(context, name, read)));
  };
  hear("changes", (text) => stored(context, listener, text));
  hear("beats", (text) => used(context, listener, text));
  hear("questions", (text) => questions.asked(text, listener));
  hear("answers", (text) => questions.answered(text));
  const first = tick.start(listener);
  context.ends.push(
    connection.onReady(() => {
      // Whatever was said while nobody listened is in what is stored.
      revisions.restart();
      listener.resync();
      void tick.now();
    }),
  );
  await first;
}

/** What is no message of ours is said once and passed over. Nothing that it leads to ends the process. */
function guarded({ log }: Context, channel: string, read: (text: string) => boolean) {
  let isSaid = false;
  return (text: string) => {
    try {
      if (read(text) || isSaid) return;
      isSaid = true;
      log.debug({ channel }, "a message of somebody else, or of another version, is passed over");
    } catch (error) {
      log.error({ channel, reason: messageOf(error) }, "a message could not be followed");
    }
  };
}

function stored(context: Context, listener: PeerListener, text: string): boolean {
  const { others, readRecord, revisions, self } = context;
  const message = readChange(text);
  if (message === null) return false;
  const { from, record, revision, used: usedMs } = message;
  const isGap = revisions.came(revision);
  if (isGap) listener.resync();
  if (from === self) return true;
  const reading = withUse(readRecord(record), usedMs);
  if (reading.record === null) return false;
  others.heard(from, 0);
  listener.stored(reading.record, from);
  return true;
}

function used({ others, self }: Context, listener: PeerListener, text: string): boolean {
  const message = readUses(text);
  if (message === null) return false;
  const { from, run, leaves, uses } = message;
  if (from === self) return true;
  if (others.isOtherRun(from, run)) listener.gone(from);
  if (leaves) {
    others.left(from);
    listener.gone(from);
  } else {
    others.heard(from, 0);
    listener.used(from, uses);
  }
  return true;
}

async function leave(context: Context): Promise<void> {
  const { clock, log } = context;
  const limit = new AbortController();
  const given = sayGoodbye(context).catch((error) => {
    // While Redis is away nobody can be told anything, which the log has.
    const level = context.connection.trouble() === null ? "warn" : "debug";
    log[level](
      { reason: explainRedisError(error) },
      "the other instances were not told that this one ends",
    );
  });
  const late = sleep(clock, LEAVE_MS, limit.signal).catch(() => undefined);
  await Promise.race([given, late]);
  limit.abort();
}

async function sayGoodbye(context: Context): Promise<void> {
  const { claims, connection, outbox, run, self, tick } = context;
  const { key } = connection;
  for (const end of context.ends.splice(0)) end();
  await tick.stop();
  const locks = claims.held();
  claims.loseAll("this instance ends");
  const goodbye = writeUses({ from: self, run, uses: [], leaves: true });
  await runScript(connection, LEAVE, {
    keys: [key("instances"), key("leader"), ...locks.map((lock) => lock.key)],
    words: [self, tick.token, key("beats"), goodbye, ...locks.map((lock) => lock.token)],
  });
  let { lastUses } = outbox.pack([]);
  while (lastUses.length > 0) {
    await touchRecords(connection, lastUses);
    lastUses = outbox.pack([]).lastUses;
  }
}
