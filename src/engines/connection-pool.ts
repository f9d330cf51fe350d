/** Connections to targets: made within a time limit, used again while they are fresh. */

import type { Socket, SocketHandler } from "bun";
import type { Target } from "../app.ts";
import type { Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { failureOf } from "./fetch-failure.ts";
import {
  createResponseHeadReader,
  type HeadLimits,
  type HeadReader,
  type Http1ResponseHead,
} from "./http1-head.ts";
import { createWire, cutWire, drain, endWire, markOver, type Wire } from "./socket-writer.ts";

/** Idle connections kept for one target. */
const IDLE_MAX = 1024;

/** How long a connection may be idle: shorter than the usual servers' own patience (5 s), ms. */
const IDLE_MS = 4_000;

/** What a target may say before its answer's body begins: more than any client takes. */
const HEAD_LIMITS: HeadLimits = {
  headBytesMax: 262_144,
  lineBytesMax: 16_384,
  fieldLinesMax: 1_000,
};

/** A connection to a target. `User` is whoever has taken it. */
export interface UpstreamConnection<User> {
  readonly wire: Wire;
  readonly origin: string;
  /** Reads the heads of the answers on it. */
  readonly reader: HeadReader<Http1ResponseHead>;
  /** Who gets what comes; `null` while it is idle. */
  user: User | null;
  /** Requests that were sent on it, this one included. */
  uses: number;
  idleSinceMs: number;
}

/** An attempt to connect. */
export interface Dial {
  /** Nobody waits any more. What comes of it is kept for others. */
  cancel(): void;
}

/** What a dial came to: a connection, or why there is none. */
export type Dialled<User> = UpstreamConnection<User> | { readonly why: string };

export interface PoolOptions<User> {
  readonly clock: Clock;
  readonly log: Log;
  readonly scratch: Buffer;
  readonly connectTimeoutMs: number;
  /** Certificates to accept besides the system's, PEM. */
  readonly ca?: string;
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

export interface Pool<User> {
  /** The idle connection that was used last; `null` when there is none. */
  take(target: Target, user: User): UpstreamConnection<User> | null;
  /** Connects. `onDone` is called once, later, unless cancelled. */
  dial(target: Target, user: User, onDone: (dialled: Dialled<User>) => void): Dial;
  /** Hands a connection back. */
  give(connection: UpstreamConnection<User>, fate: Fate): void;
  /** Connections that wait for somebody, and attempts to connect. */
  readonly size: number;
  /** Ends what has waited too long. */
  sweep(nowMs: number): void;
  /** Ends all that is idle or being made. */
  close(): void;
}

interface PoolContext<User> {
  readonly options: PoolOptions<User>;
  readonly idle: Map<string, UpstreamConnection<User>[]>;
  readonly attempts: Set<Attempt<User>>;
  readonly handler: SocketHandler<Line<User>>;
  readonly tlsHandler: SocketHandler<Line<User>>;
}

interface Attempt<User> {
  readonly origin: string;
  readonly sinceMs: number;
  readonly user: User;
  /** Connected, but its TLS is not complete. */
  socket: Socket<Line<User>> | null;
  /** `null` once it is over or nobody waits. */
  onDone: ((dialled: Dialled<User>) => void) | null;
}

/** What a socket of ours knows about itself. */
interface Line<User> {
  readonly attempt: Attempt<User>;
  connection: UpstreamConnection<User> | null;
  /** What went wrong with its TLS. */
  fault: string | null;
}

/** Nothing limits connections in use; nothing is shared with other engines. */
export function createPool<User>(options: PoolOptions<User>): Pool<User> {
  const context: PoolContext<User> = {
    options,
    idle: new Map(),
    attempts: new Set(),
    handler: plainHandler<User>(() => context),
    tlsHandler: tlsHandler<User>(() => context),
  };
  return {
    take: (target, user) => take(context, target, user),
    dial: (target, user, onDone) => dial(context, { target, user, onDone }),
    give: (connection, fate) => give(context, connection, fate),
    get size() {
      let size = context.attempts.size;
      for (const waiting of context.idle.values()) size += waiting.length;
      return size;
    },
    sweep: (nowMs) => sweep(context, nowMs),
    close: () => close(context),
  };
}

function take<User>(
  context: PoolContext<User>,
  target: Target,
  user: User,
): UpstreamConnection<User> | null {
  const connection = context.idle.get(target.origin)?.pop();
  if (connection === undefined) return null;
  connection.user = user;
  connection.uses += 1;
  return connection;
}

function give<User>(context: PoolContext<User>, connection: UpstreamConnection<User>, fate: Fate) {
  const { wire } = connection;
  connection.user = null;
  if (wire.isOver) return;
  if (fate === "cut" || wire.unsentBytes > 0 || wire.isEnding) return cutWire(wire);
  if (fate === "end") return endWire(wire);
  const waiting = context.idle.get(connection.origin);
  if (waiting !== undefined && waiting.length >= IDLE_MAX) return endWire(wire);
  connection.idleSinceMs = context.options.clock.now();
  if (waiting === undefined) context.idle.set(connection.origin, [connection]);
  else waiting.push(connection);
}

function dial<User>(
  context: PoolContext<User>,
  call: {
    readonly target: Target;
    readonly user: User;
    readonly onDone: (dialled: Dialled<User>) => void;
  },
): Dial {
  const { target, user, onDone } = call;
  const attempt: Attempt<User> = {
    origin: target.origin,
    sinceMs: context.options.clock.now(),
    user,
    socket: null,
    onDone,
  };
  context.attempts.add(attempt);
  try {
    connect(context, attempt).catch(ignore);
  } catch (error) {
    // Never before the caller knows its dial.
    queueMicrotask(() => fail(context, attempt, messageOf(error)));
  }
  return {
    cancel() {
      attempt.onDone = null;
    },
  };
}

function connect<User>(context: PoolContext<User>, attempt: Attempt<User>): Promise<unknown> {
  const url = new URL(attempt.origin);
  const isTls = url.protocol === "https:";
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  const { ca } = context.options;
  return Bun.connect<Line<User>>({
    hostname,
    port: Number(url.port || (isTls ? 443 : 80)),
    data: { attempt, connection: null, fault: null },
    socket: isTls ? context.tlsHandler : context.handler,
    ...(isTls ? { tls: { serverName: hostname, ...(ca === undefined ? {} : { ca }) } } : {}),
  });
}

function plainHandler<User>(context: () => PoolContext<User>): SocketHandler<Line<User>> {
  return {
    open: (socket) => guarded(context(), socket, succeed),
    data(socket, bytes) {
      try {
        onData(context(), socket, bytes);
      } catch (error) {
        giveUp(context(), socket, error);
      }
    },
    drain: (socket) => guarded(context(), socket, onDrain),
    close(socket, error) {
      try {
        onClose(context(), socket.data, error);
      } catch (thrown) {
        giveUp(context(), socket, thrown);
      }
    },
    // What throws is caught by us; what else comes here is said again by `close`.
    error(socket, error) {
      socket.data.fault ??= messageOf(error);
    },
    connectError(socket, error) {
      try {
        fail(context(), socket.data.attempt, failureOf(error).message);
      } catch (thrown) {
        giveUp(context(), socket, thrown);
      }
    },
  };
}

/** Nothing is sent before the certificate was found good. */
function tlsHandler<User>(context: () => PoolContext<User>): SocketHandler<Line<User>> {
  return {
    ...plainHandler(context),
    open(socket) {
      if (context().attempts.has(socket.data.attempt)) socket.data.attempt.socket = socket;
      else socket.terminate();
    },
    handshake(socket, isGood, error) {
      if (isGood && error === null) return guarded(context(), socket, succeed);
      socket.data.fault = error === null ? "TLS was refused" : failureOf(error).message;
      socket.terminate();
    },
  };
}

function guarded<User>(
  context: PoolContext<User>,
  socket: Socket<Line<User>>,
  work: (context: PoolContext<User>, socket: Socket<Line<User>>) => void,
): void {
  try {
    work(context, socket);
  } catch (error) {
    giveUp(context, socket, error);
  }
}

/** No input may end the process: what throws ends the connection it came from. */
function giveUp<User>(
  context: PoolContext<User>,
  socket: Socket<Line<User>>,
  error: unknown,
): void {
  const { connection } = socket.data;
  const user = connection?.user ?? null;
  try {
    if (connection !== null) connection.user = null;
    if (user !== null) context.options.onFault(user, error);
    else context.options.log.error({ reason: messageOf(error) }, "a connection to a target broke");
  } catch (again) {
    context.options.log.error({ reason: messageOf(again) }, "a request could not be given up");
  }
  socket.terminate();
}

function onDrain<User>(_context: PoolContext<User>, { data }: Socket<Line<User>>): void {
  if (data.connection !== null) drain(data.connection.wire);
}

function succeed<User>(context: PoolContext<User>, socket: Socket<Line<User>>) {
  const { attempt } = socket.data;
  const isAwaited = context.attempts.delete(attempt);
  if (!isAwaited) {
    // Its time was over, and whoever waited knows.
    socket.terminate();
    return;
  }
  const connection: UpstreamConnection<User> = {
    wire: createWire(socket, context.options.scratch),
    origin: attempt.origin,
    reader: createResponseHeadReader(HEAD_LIMITS),
    user: attempt.user,
    uses: 1,
    idleSinceMs: 0,
  };
  socket.data.connection = connection;
  const { onDone } = attempt;
  attempt.onDone = null;
  attempt.socket = null;
  if (onDone !== null) return onDone(connection);
  connection.uses = 0;
  give(context, connection, "keep");
}

function fail<User>(context: PoolContext<User>, attempt: Attempt<User>, why: string): void {
  context.attempts.delete(attempt);
  const { onDone } = attempt;
  attempt.onDone = null;
  onDone?.({ why });
}

function onData<User>(context: PoolContext<User>, socket: Socket<Line<User>>, bytes: Buffer): void {
  const user = socket.data.connection?.user ?? null;
  if (user !== null) context.options.onData(user, bytes);
  // Nobody asked: whatever it is, the next answer must not begin with it.
  else socket.terminate();
}

function onClose<User>(context: PoolContext<User>, line: Line<User>, error: Error | undefined) {
  const { connection, attempt } = line;
  if (connection === null) {
    const why = line.fault ?? (error === undefined ? "it hung up" : failureOf(error).message);
    return fail(context, attempt, why);
  }
  markOver(connection.wire);
  const { user } = connection;
  connection.user = null;
  if (user === null) return forget(context, connection);
  const isByFin = error === undefined && line.fault === null;
  context.options.onOver(user, isByFin ? null : (line.fault ?? failureOf(error).message));
}

function forget<User>(context: PoolContext<User>, connection: UpstreamConnection<User>): void {
  const waiting = context.idle.get(connection.origin);
  const at = waiting?.indexOf(connection) ?? -1;
  if (at !== -1) waiting?.splice(at, 1);
}

function sweep<User>(context: PoolContext<User>, nowMs: number): void {
  const { connectTimeoutMs } = context.options;
  for (const attempt of context.attempts) {
    if (nowMs - attempt.sinceMs < connectTimeoutMs) continue;
    fail(context, attempt, `no connection to ${attempt.origin} within ${connectTimeoutMs} ms`);
    attempt.socket?.terminate();
  }
  for (const [origin, waiting] of context.idle) {
    // The oldest stand first: used again is always the newest.
    const fresh = waiting.findIndex((connection) => nowMs - connection.idleSinceMs < IDLE_MS);
    const stale = waiting.splice(0, fresh === -1 ? waiting.length : fresh);
    for (const connection of stale) endWire(connection.wire);
    if (waiting.length === 0) context.idle.delete(origin);
  }
}

function close<User>(context: PoolContext<User>): void {
  for (const attempt of context.attempts) {
    fail(context, attempt, "the engine was stopped");
    attempt.socket?.terminate();
  }
  for (const waiting of context.idle.values()) {
    for (const connection of waiting.splice(0)) endWire(connection.wire);
  }
  context.idle.clear();
}

function ignore(): void {
  // `connectError` has said it already.
}
