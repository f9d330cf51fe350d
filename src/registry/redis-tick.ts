/** The heartbeat of an instance: once a second, and what follows from what Redis says to it. */

import type { CancelTimer, Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerListener } from "../peers.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { explainRedisError } from "../redis/redis-errors.ts";
import { type BeatOutcome, type BeatReply, sendBeat } from "./redis-beat.ts";
import type { RedisClaims } from "./redis-claims.ts";
import { writeUses } from "./redis-messages.ts";
import type { Others } from "./redis-others.ts";
import type { Outbox } from "./redis-outbox.ts";
import type { Revisions } from "./redis-revisions.ts";

/** What it is made from. */
export interface TickDeps {
  readonly connection: RedisConnection;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly self: string;
  readonly run: string;
  readonly claims: RedisClaims;
  readonly others: Others;
  readonly outbox: Outbox;
  readonly revisions: Revisions;
  /** For how long what we said counts at the others, ms. */
  readonly lifeMs: number;
  readonly tickMs: number;
}

/** The loop, and what it has learned. */
export interface Tick {
  /** Resolves after the first one. Never rejects. */
  start(listener: PeerListener): Promise<void>;
  /** One right now, unless one is under way. Never rejects. */
  now(): Promise<void>;
  /** No more of them. Resolves when the one under way has ended. Never rejects. */
  stop(): Promise<void>;
  isRunning(): boolean;
  /** The token of the leadership, ours or not. */
  readonly token: string;
  isLeader(): boolean;
  /** The instance that leads as far as is known. */
  leader(): string | null;
  /** What Redis refuses; `null`: nothing. */
  trouble(): string | null;
  /** Since when that is so, ms since the epoch. */
  sinceMs(): number;
}

interface Context extends TickDeps {
  readonly token: string;
  listener: PeerListener | null;
  underWay: Promise<void> | null;
  cancel: CancelTimer;
  epoch: string | null;
  leader: string | null;
  /** When the last call that made us the leader began; `null`: we are not. */
  leadsMs: number | null;
  /** Not before: another one may still lead without Redis knowing it. */
  mayLeadMs: number;
  trouble: string | null;
  sinceMs: number;
  /** Heartbeats in a row that failed, wholly or in part. */
  failures: number;
  /** Whether that is in the log. */
  isSaid: boolean;
}

/** Longer than the connection lets any command take: whatever hangs, there is a next one. */
const LIMIT_MS = 5_000;

/** Nothing runs yet. */
export function createTick(deps: TickDeps): Tick {
  const context: Context = {
    ...deps,
    token: `${deps.self}/${deps.run}`,
    ...{ listener: null, underWay: null, cancel: () => undefined },
    ...{ epoch: null, leader: null, leadsMs: null, mayLeadMs: 0 },
    ...{ trouble: null, sinceMs: deps.clock.now(), failures: 0, isSaid: false },
  };
  return {
    start(listener) {
      context.listener = listener;
      plan(context);
      return tick(context);
    },
    now: () => tick(context),
    async stop() {
      context.cancel();
      context.listener = null;
      context.leadsMs = null;
      await context.underWay;
    },
    isRunning: () => context.listener !== null,
    token: context.token,
    isLeader: () => isLeader(context),
    leader: () => context.leader,
    trouble: () => context.trouble,
    sinceMs: () => context.sinceMs,
  };
}

/** Asks the clock: a process that was stopped must not lead on with what it knew before. */
function isLeader({ clock, leadsMs, lifeMs, mayLeadMs }: Context): boolean {
  const nowMs = clock.now();
  return leadsMs !== null && nowMs - leadsMs < lifeMs && nowMs >= mayLeadMs;
}

function plan(context: Context): void {
  context.cancel = context.clock.after(context.tickMs, () => {
    plan(context);
    void tick(context);
  });
}

async function tick(context: Context): Promise<void> {
  const { listener, log } = context;
  if (context.underWay !== null || listener === null) return;
  context.underWay = beat(context, listener).catch((error) => {
    log.error({ reason: messageOf(error) }, "a heartbeat has failed");
  });
  await context.underWay;
  context.underWay = null;
}

async function beat(context: Context, listener: PeerListener): Promise<void> {
  const { claims, clock, outbox } = context;
  const beganMs = clock.now();
  const locks = claims.held();
  const parcel = outbox.pack(listener.takeUses());
  const { self, run, lifeMs, token } = context;
  const outcome = await sent(context, {
    ...{ self, lifeMs, token, locks, lastUses: parcel.lastUses },
    newEpoch: Math.floor(context.random() * Number.MAX_SAFE_INTEGER).toString(36),
    message: writeUses({ from: self, run, uses: parcel.uses, leaves: false }),
  });
  const { reply } = outcome;
  if (reply === null) outbox.putBackUses(parcel);
  if (!outcome.isNoted) outbox.putBackLastUses(parcel);
  noteTrouble(context, outcome.error);
  if (context.listener === null) return;
  if (reply !== null) {
    claims.renewed(locks, reply.isOurs, beganMs);
    learn(context, { reply, beganMs, listener });
  }
  // After a stop of this process the others were not silent, but we were deaf: what they said comes now.
  if (clock.now() - beganMs >= context.lifeMs) return;
  for (const name of context.others.takeSilent()) listener.gone(name);
}

function sent(context: Context, order: Parameters<typeof sendBeat>[1]): Promise<BeatOutcome> {
  const { clock, connection } = context;
  const failed = (error: Error): BeatOutcome => ({ reply: null, isNoted: false, error });
  return new Promise((resolve) => {
    const cancel = clock.after(LIMIT_MS, () => resolve(failed(new Error("Command timed out"))));
    sendBeat(connection, order)
      .catch((error) => failed(error instanceof Error ? error : new Error(String(error))))
      .then((outcome) => {
        cancel();
        resolve(outcome);
      });
  });
}

/** The connection says itself when it is away. A single call that is not answered is not worth a line. */
function noteTrouble(context: Context, error: Error | null): void {
  const { clock, connection, log } = context;
  if ((context.trouble === null) !== (error === null)) context.sinceMs = clock.now();
  context.trouble = error === null ? null : `Redis refuses calls: ${explainRedisError(error)}`;
  context.failures = error === null ? 0 : context.failures + 1;
  if (error === null) {
    if (context.isSaid) log.info({}, "the registry in Redis can be written again");
    context.isSaid = false;
    return;
  }
  const isSure = error.name === "ReplyError" || context.failures > 1;
  if (context.isSaid || !isSure || connection.trouble() !== null) return;
  context.isSaid = true;
  log.warn(
    {
      reason: explainRedisError(error),
      next: "until then apps are woken and served, and no app is put to sleep",
    },
    "the registry in Redis cannot be written",
  );
}

function learn(
  context: Context,
  { beganMs, listener, reply }: { reply: BeatReply; beganMs: number; listener: PeerListener },
): void {
  const { clock, lifeMs, others, self } = context;
  const isEmptied = context.epoch !== null && context.epoch !== reply.epoch;
  // Whoever led until Redis was emptied may not know it yet.
  if (isEmptied && !isLeader(context)) context.mayLeadMs = clock.now() + lifeMs;
  context.epoch = reply.epoch;
  if (context.leader !== reply.leader) {
    const fields = { instance: reply.leader };
    const who = reply.leader === self ? "this instance" : "another instance";
    context.log.info(fields, `${who} puts apps to sleep from now on`);
  }
  context.leader = reply.leader;
  context.leadsMs = reply.leader === self ? beganMs : null;
  for (const { name, ageMs } of reply.alive) if (name !== self) others.heard(name, ageMs);
  if (hasMissed(context, isEmptied, reply.revision)) listener.resync();
}

/** Whether something was missed, or has to be stored again. */
function hasMissed({ log, revisions }: Context, isEmptied: boolean, revision: number): boolean {
  if (!isEmptied) return revisions.counted(revision);
  revisions.restart();
  log.warn(
    { next: "let Redis keep its data when it is restarted (appendonly), and let nobody empty it" },
    "Redis has lost what it held: it was emptied, or came back without its data; what is known here is stored again",
  );
  return true;
}
