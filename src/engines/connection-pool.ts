/** Connections to targets: how many there may be, who gets one, which are kept for others. */

import { addressOf, type Target } from "../app.ts";
import type { Clock } from "../clock.ts";
import type { UpstreamConfig } from "../config.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { TargetTrust } from "../target-route.ts";
import { createResponseHeadReader, type HeadLimits } from "./http1-head.ts";
import {
  createWire,
  cutWire,
  drain,
  markOver,
  type Wire,
  type WireSocket,
} from "./socket-writer.ts";
import { createDialler, type DialFailure, type Dialler, type Route } from "./upstream-dial.ts";
import {
  type Dialled,
  eachLane,
  findLane,
  forgetIfEmpty,
  type Lane,
  type Lanes,
  laneFor,
  nextWaiter,
  type UpstreamConnection,
  type Waiter,
} from "./upstream-lanes.ts";

/** What a target may say before its answer's body begins: more than any client takes. */
const HEAD_LIMITS: HeadLimits = {
  headBytesMax: 262_144,
  lineBytesMax: 16_384,
  fieldLinesMax: 1_000,
};

/** A request's wait for a connection. */
export interface Dial {
  /** Nobody waits any more. What was begun for it serves others. */
  cancel(): void;
}

/** Who wants a connection, where to. */
export interface DialCall<User> extends Route {
  readonly user: User;
}

export interface PoolOptions<User> {
  readonly clock: Clock;
  readonly log: Log;
  readonly scratch: Buffer;
  readonly upstream: UpstreamConfig;
  onData(user: User, bytes: Buffer): void;
  /** The connection has closed; `error` when it was not by a FIN. */
  onOver(user: User, error: string | null): void;
  /** Something threw in one of the above: the user must be given up. */
  onFault(user: User, error: unknown): void;
}

/**
 * What becomes of a connection: kept for others, ended because it cannot be used again, or reset,
 * which an app notices even while it thinks.
 */
export type Fate = "keep" | "end" | "cut";

/**
 * Never more than `socketsMax` connections and attempts for one target, in use or not. Nobody waits
 * while one of them is free; whoever has to wait delays nobody who goes elsewhere.
 */
export interface Pool<User> {
  /** The idle connection that was used last; `null` when there is none. */
  take(target: Target, trust: TargetTrust, user: User): UpstreamConnection<User> | null;
  /**
   * Connects, or waits for its turn and for what is free then. `onDone` is called once, later, unless cancelled;
   * it must not throw.
   */
  dial(call: DialCall<User>, onDone: (dialled: Dialled<User>) => void): Dial;
  /** Hands a connection back. Whoever waits may be given it before this returns. */
  give(connection: UpstreamConnection<User>, fate: Fate): void;
  /** It is no request's any more, but this user's until it closes, and counts no longer. */
  detach(connection: UpstreamConnection<User>, user: User): void;
  /** Idle connections and attempts: what a sweep may end. */
  readonly size: number;
  /** Ends what has been idle, or tried, for too long. */
  sweep(nowMs: number): void;
  /** Ends what is idle and leads to that address. */
  closeIdle(address: string): void;
  /** Connections that were made so far. */
  readonly made: number;
  /** Ends all that is idle or being made, and fails whoever waits, now or later. */
  close(): void;
}

interface PoolContext<User> {
  readonly options: PoolOptions<User>;
  readonly dialler: Dialler<Attempt<User>>;
  readonly lanes: Lanes<User>;
  isClosed: boolean;
  made: number;
}

/** One connection, from the attempt to its end. */
interface Attempt<User> {
  readonly lane: Lane<User>;
  waiter: Waiter<User> | null;
  connection: UpstreamConnection<User> | null;
}

const STOPPED: DialFailure = { kind: "unreachable", message: "the engine was stopped" };

/** Nothing is shared with other engines. */
export function createPool<User>(options: PoolOptions<User>): Pool<User> {
  const context: PoolContext<User> = {
    options,
    dialler: createDialler<Attempt<User>>({
      clock: options.clock,
      log: options.log,
      connectTimeoutMs: options.upstream.connectTimeoutMs,
      listener: {
        onUp: (attempt, socket) => onUp(context, attempt, socket),
        onDown: (attempt, failure, isLost) => {
          if (isLost) attempt.lane.lost += 1;
          onDown(context, attempt, failure);
        },
        onGone({ lane }) {
          lane.lost -= 1;
          admitNext(context, lane);
        },
        onData: (attempt, bytes) => onData(context, attempt, bytes),
        onDrain({ connection }) {
          if (connection !== null) drain(connection.wire);
        },
        onOver: (attempt, error) => onOver(context, attempt, error),
        onFault: (attempt, error) => onFault(context, attempt, error),
      },
    }),
    lanes: new Map(),
    isClosed: false,
    made: 0,
  };
  return {
    take: (target, trust, user) => take(findLane(context.lanes, target, trust), user),
    dial: (call, onDone) => dial(context, call, onDone),
    give: (connection, fate) => give(context, connection, fate),
    detach: (connection, user) => detach(context, connection, user),
    get size() {
      let size = context.dialler.size;
      for (const lane of eachLane(context.lanes)) size += lane.idle.length;
      return size;
    },
    sweep: (nowMs) => sweep(context, nowMs),
    closeIdle(address) {
      for (const lane of eachLane(context.lanes)) {
        if (addressOf(lane.route.target) !== address) continue;
        for (const connection of lane.idle.splice(0)) hangUp(connection.wire);
      }
    },
    get made() {
      return context.made;
    },
    close: () => close(context),
  };
}

function take<User>(lane: Lane<User> | undefined, user: User): UpstreamConnection<User> | null {
  const connection = lane?.idle.pop();
  if (connection === undefined) return null;
  connection.user = user;
  connection.uses += 1;
  return connection;
}

function dial<User>(
  context: PoolContext<User>,
  call: DialCall<User>,
  onDone: (dialled: Dialled<User>) => void,
): Dial {
  const waiter: Waiter<User> = { user: call.user, onDone };
  if (context.isClosed) {
    queueMicrotask(() => tell(waiter, STOPPED));
    return { cancel: () => leave(waiter) };
  }
  makeRoom(context, call);
  const lane = laneFor(context.lanes, call);
  if (hasRoom(context, lane)) begin(context, lane, waiter);
  else lane.queue.add(waiter);
  return {
    cancel() {
      lane.queue.delete(waiter);
      leave(waiter);
    },
  };
}

/** Who dials although a connection is idle does not want it: it must not be in the way. */
function makeRoom<User>(context: PoolContext<User>, { target, trust }: Route): void {
  const lane = findLane(context.lanes, target, trust);
  if (lane === undefined || hasRoom(context, lane)) return;
  const [oldest] = lane.idle;
  // The lane may be forgotten with it.
  if (oldest !== undefined) hangUp(oldest.wire);
}

function leave<User>(waiter: Waiter<User>): void {
  waiter.onDone = null;
}

function tell<User>(waiter: Waiter<User>, dialled: Dialled<User>): void {
  const { onDone } = waiter;
  waiter.onDone = null;
  onDone?.(dialled);
}

function hasRoom<User>({ options }: PoolContext<User>, lane: Lane<User>): boolean {
  const { socketsMax } = options.upstream;
  if (lane.open + lane.attempts >= socketsMax) return false;
  // Where so many hang already, one at a time finds out whether the target is back.
  return lane.lost < socketsMax || lane.attempts === 0;
}

function begin<User>(context: PoolContext<User>, lane: Lane<User>, waiter: Waiter<User>): void {
  lane.attempts += 1;
  context.dialler.dial(lane.route, { lane, waiter, connection: null });
}

/** Something counts no longer: whoever waits for that goes on. */
function admitNext<User>(context: PoolContext<User>, lane: Lane<User>): void {
  while (lane.queue.size > 0 && hasRoom(context, lane)) {
    const next = nextWaiter(lane);
    if (next !== null) begin(context, lane, next);
  }
  forgetIfEmpty(context.lanes, lane);
}

function give<User>(context: PoolContext<User>, connection: UpstreamConnection<User>, fate: Fate) {
  const { wire } = connection;
  connection.user = null;
  if (wire.isOver) return;
  if (fate === "cut" || wire.unsentBytes > 0 || wire.isEnding) return cutWire(wire);
  if (fate === "end") return hangUp(wire);
  keep(context, connection);
}

/** For whoever waits, else for whoever comes. */
function keep<User>(context: PoolContext<User>, connection: UpstreamConnection<User>) {
  const { lane, wire } = connection;
  const { clock, upstream } = context.options;
  const mayServe = upstream.keepAlive || connection.uses === 0;
  if (lane === null || context.isClosed || !mayServe) return hangUp(wire);
  const next = nextWaiter(lane);
  if (next !== null) return hand(connection, next);
  if (!upstream.keepAlive) return hangUp(wire);
  connection.idleSinceMs = clock.now();
  lane.idle.push(connection);
}

function hand<User>(connection: UpstreamConnection<User>, waiter: Waiter<User>): void {
  connection.user = waiter.user;
  connection.uses += 1;
  tell(waiter, connection);
}

/** Closes at once: `end` of a TLS socket waits for the other side, for as long as it likes (Bun 1.4.5). */
function hangUp(wire: Wire): void {
  wire.isEnding = true;
  wire.socket.close();
}

function detach<User>(
  context: PoolContext<User>,
  connection: UpstreamConnection<User>,
  user: User,
): void {
  const { lane } = connection;
  connection.user = user;
  connection.lane = null;
  if (lane === null) return;
  lane.open -= 1;
  admitNext(context, lane);
}

function onUp<User>(context: PoolContext<User>, attempt: Attempt<User>, socket: WireSocket): void {
  const { lane, waiter } = attempt;
  lane.attempts -= 1;
  lane.open += 1;
  context.made += 1;
  const connection: UpstreamConnection<User> = {
    wire: createWire(socket, context.options.scratch),
    reader: createResponseHeadReader(HEAD_LIMITS),
    user: null,
    uses: 0,
    idleSinceMs: 0,
    lane,
  };
  attempt.connection = connection;
  attempt.waiter = null;
  if (waiter === null || waiter.onDone === null) keep(context, connection);
  else hand(connection, waiter);
  admitNext(context, lane);
}

function onDown<User>(
  context: PoolContext<User>,
  { lane, waiter }: Attempt<User>,
  failure: DialFailure,
): void {
  lane.attempts -= 1;
  const others = lane.lost < context.options.upstream.socketsMax ? [] : [...lane.queue];
  // That was the only one that found out for all of them.
  for (const other of others) lane.queue.delete(other);
  // Before it can ask again: the others were here before.
  admitNext(context, lane);
  if (waiter !== null) tell(waiter, failure);
  for (const other of others) tell(other, failure);
}

function onData<User>(context: PoolContext<User>, attempt: Attempt<User>, bytes: Buffer): void {
  const { connection } = attempt;
  if (connection === null) return;
  if (connection.user !== null) context.options.onData(connection.user, bytes);
  // Nobody asked: whatever it is, the next answer must not begin with it.
  else cutWire(connection.wire);
}

function onOver<User>(context: PoolContext<User>, attempt: Attempt<User>, error: string | null) {
  const { connection } = attempt;
  if (connection === null) return;
  const { lane, user, wire } = connection;
  markOver(wire);
  connection.user = null;
  connection.lane = null;
  if (lane !== null) lane.open -= 1;
  if (lane !== null && user === null) removeFrom(lane.idle, connection);
  try {
    // First: a request that is sent anew has had its turn.
    if (user !== null) context.options.onOver(user, error);
  } finally {
    if (lane !== null) admitNext(context, lane);
  }
}

function removeFrom<Item>(list: Item[], item: Item): void {
  const at = list.indexOf(item);
  if (at !== -1) list.splice(at, 1);
}

function onFault<User>({ options }: PoolContext<User>, attempt: Attempt<User>, error: unknown) {
  const { connection } = attempt;
  const user = connection?.user ?? null;
  if (connection !== null) connection.user = null;
  if (user !== null) options.onFault(user, error);
  else options.log.error({ reason: messageOf(error) }, "a connection to a target broke");
}

function sweep<User>(context: PoolContext<User>, nowMs: number): void {
  const { keepAliveMs } = context.options.upstream;
  context.dialler.sweep(nowMs);
  for (const { idle } of eachLane(context.lanes)) {
    // The oldest stand first: used again is always the newest.
    const fresh = idle.findIndex((connection) => nowMs - connection.idleSinceMs < keepAliveMs);
    const stale = idle.splice(0, fresh === -1 ? idle.length : fresh);
    for (const connection of stale) hangUp(connection.wire);
  }
}

function close<User>(context: PoolContext<User>): void {
  context.isClosed = true;
  for (const lane of eachLane(context.lanes)) {
    const waiters = [...lane.queue];
    lane.queue.clear();
    for (const waiter of waiters) tell(waiter, STOPPED);
    for (const connection of lane.idle.splice(0)) hangUp(connection.wire);
  }
  context.dialler.close();
}
