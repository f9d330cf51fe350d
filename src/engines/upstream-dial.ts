/** Makes connections to targets: over TCP, TLS or a unix socket, each within a time limit. */

import { isIP } from "node:net";
import type { Socket, SocketHandler } from "bun";
import { addressOf, type Target } from "../app.ts";
import type { Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { type TargetTrust, tlsTo } from "../target-route.ts";
import type { ForwardFailure } from "./engine.ts";
import { codeOf, failureOf } from "./forward-failure.ts";
import type { WireSocket } from "./socket-writer.ts";

/** Where a connection is to lead. */
export interface Route {
  readonly target: Target;
  readonly trust: TargetTrust;
}

/** Why there is no connection: `unreachable` or `exhausted`. */
export type DialFailure = Pick<ForwardFailure, "kind" | "message">;

/** Who hears of connections. `Owner` is what each was asked for with. */
export interface DialListener<Owner> {
  /** It is there, and what is sent on it reaches nobody but the target. */
  onUp(owner: Owner, socket: WireSocket): void;
  /** There will be none. Never called before `dial` has returned. */
  onDown(owner: Owner, failure: DialFailure, isLost: boolean): void;
  /** The system has given up an attempt that was lost: given up by us, who could not end it. */
  onGone(owner: Owner): void;
  onData(owner: Owner, bytes: Buffer): void;
  onDrain(owner: Owner): void;
  /** It has closed; `error` when it was not by a FIN. */
  onOver(owner: Owner, error: string | null): void;
  /** One of the above threw; the connection is cut when this returns. */
  onFault(owner: Owner, error: unknown): void;
}

export interface DialOptions<Owner> {
  readonly clock: Clock;
  readonly log: Log;
  /** Longest an attempt may take, TLS included. */
  readonly connectTimeoutMs: number;
  readonly listener: DialListener<Owner>;
}

export interface Dialler<Owner> {
  /** Begins an attempt. */
  dial(route: Route, owner: Owner): void;
  /** Attempts under way. */
  readonly size: number;
  /** Gives up what takes too long. */
  sweep(nowMs: number): void;
  /** Gives up every attempt. */
  close(): void;
}

interface DialContext<Owner> {
  readonly options: DialOptions<Owner>;
  readonly attempts: Set<Line<Owner>>;
  readonly plain: SocketHandler<Line<Owner>>;
  readonly secure: SocketHandler<Line<Owner>>;
}

/** What a socket of ours knows about itself. */
interface Line<Owner> {
  readonly route: Route;
  readonly owner: Owner;
  readonly sinceMs: number;
  stage: "attempt" | "up" | "over";
  /** Connected, but its TLS is not complete. */
  socket: Socket<Line<Owner>> | null;
  /** Given up while the system still tries: Bun 1.4.5 has no handle to end that with. */
  isLost: boolean;
  /** What went wrong, when `close` cannot say it. */
  fault: string | null;
}

/** Nothing happens before the first `dial`. */
export function createDialler<Owner>(options: DialOptions<Owner>): Dialler<Owner> {
  const context: DialContext<Owner> = {
    options,
    attempts: new Set(),
    plain: plainHandler<Owner>(() => context),
    secure: secureHandler<Owner>(() => context),
  };
  return {
    dial: (route, owner) => dial(context, route, owner),
    get size() {
      return context.attempts.size;
    },
    sweep: (nowMs) => sweep(context, nowMs),
    close() {
      for (const line of context.attempts) abandon(context, line, "the engine was stopped");
    },
  };
}

function dial<Owner>(context: DialContext<Owner>, route: Route, owner: Owner): void {
  const sinceMs = context.options.clock.now();
  const line: Line<Owner> = {
    route,
    owner,
    sinceMs,
    stage: "attempt",
    socket: null,
    isLost: false,
    fault: null,
  };
  context.attempts.add(line);
  try {
    connect(context, line).catch(ignore);
  } catch (error) {
    // Never before the caller knows of its attempt.
    queueMicrotask(() => failGuarded(context, line, error));
  }
}

function ignore(): void {
  // `connectError` has said it already.
}

function connect<Owner>(context: DialContext<Owner>, line: Line<Owner>): Promise<unknown> {
  const { target, trust } = line.route;
  if (target.socketPath !== undefined) {
    return Bun.connect({ unix: target.socketPath, data: line, socket: context.plain });
  }
  const { hostname: host, port } = new URL(target.origin);
  const hostname = host.replace(/^\[|\]$/g, "");
  const tls = tlsTo(target, trust);
  if (tls === null) {
    return Bun.connect({ hostname, port: Number(port || 80), data: line, socket: context.plain });
  }
  return Bun.connect({
    hostname,
    port: Number(port || 443),
    data: line,
    socket: context.secure,
    // An address is no server name (RFC 6066, section 3). Left out, Bun 1.4.5 would send it all the same.
    tls: { serverName: isIP(hostname) === 0 ? hostname : "", ...tls },
  });
}

function plainHandler<Owner>(context: () => DialContext<Owner>): SocketHandler<Line<Owner>> {
  return {
    open: (socket) => guarded(context(), socket, succeed),
    data(socket, bytes) {
      const { stage, owner } = socket.data;
      try {
        if (stage === "up") context().options.listener.onData(owner, bytes);
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
    connectError: (socket, error) => failGuarded(context(), socket.data, error),
  };
}

/** Nothing is sent before the certificate was found good. */
function secureHandler<Owner>(context: () => DialContext<Owner>): SocketHandler<Line<Owner>> {
  return {
    ...plainHandler(context),
    open(socket) {
      if (socket.data.stage === "attempt") socket.data.socket = socket;
      else guarded(context(), socket, succeed);
    },
    handshake(socket, isGood, error) {
      if (isTrusted(socket, isGood && error === null)) return guarded(context(), socket, succeed);
      socket.data.fault = error === null ? "TLS was refused" : failureOf(error).message;
      socket.terminate();
    },
  };
}

/** Whom nobody vouches for is good enough when nobody is to be asked; TLS itself must have come about. */
function isTrusted<Owner>(socket: Socket<Line<Owner>>, isVouchedFor: boolean): boolean {
  if (isVouchedFor) return true;
  return !socket.data.route.trust.tlsVerify && typeof socket.getCipher()?.name === "string";
}

function guarded<Owner>(
  context: DialContext<Owner>,
  socket: Socket<Line<Owner>>,
  work: (context: DialContext<Owner>, socket: Socket<Line<Owner>>) => void,
): void {
  try {
    work(context, socket);
  } catch (error) {
    giveUp(context, socket, error);
  }
}

/** No input may end the process: what throws ends the connection it came from. */
function giveUp<Owner>(
  context: DialContext<Owner>,
  socket: Socket<Line<Owner>>,
  error: unknown,
): void {
  report(context, socket.data, error);
  socket.terminate();
}

function report<Owner>({ options }: DialContext<Owner>, line: Line<Owner>, error: unknown): void {
  try {
    options.listener.onFault(line.owner, error);
  } catch (again) {
    options.log.error({ reason: messageOf(again) }, "a request could not be given up");
  }
}

function succeed<Owner>(context: DialContext<Owner>, socket: Socket<Line<Owner>>): void {
  const line = socket.data;
  if (!context.attempts.delete(line)) {
    // Its time was over, and whoever waited knows.
    socket.terminate();
    gone(context, line);
    return;
  }
  line.stage = "up";
  line.socket = null;
  context.options.listener.onUp(line.owner, socket);
}

/** Harmless when it is over already. */
function fail<Owner>(context: DialContext<Owner>, line: Line<Owner>, failure: DialFailure): void {
  if (!context.attempts.delete(line)) {
    gone(context, line);
    return;
  }
  line.stage = "over";
  line.socket = null;
  context.options.listener.onDown(line.owner, failure, line.isLost);
}

function gone<Owner>(context: DialContext<Owner>, line: Line<Owner>): void {
  if (!line.isLost) return;
  line.isLost = false;
  context.options.listener.onGone(line.owner);
}

function failGuarded<Owner>(context: DialContext<Owner>, line: Line<Owner>, thrown: unknown): void {
  try {
    fail(context, line, whyNot(line.route.target, thrown));
  } catch (error) {
    report(context, line, error);
  }
}

function onDrain<Owner>({ options }: DialContext<Owner>, { data }: Socket<Line<Owner>>): void {
  if (data.stage === "up") options.listener.onDrain(data.owner);
}

function onClose<Owner>(context: DialContext<Owner>, line: Line<Owner>, error: Error | undefined) {
  const why = line.fault ?? (error === undefined ? null : failureOf(error).message);
  if (line.stage === "attempt") {
    return fail(context, line, { kind: "unreachable", message: why ?? "it hung up" });
  }
  if (line.stage === "over") return;
  line.stage = "over";
  context.options.listener.onOver(line.owner, why);
}

function sweep<Owner>(context: DialContext<Owner>, nowMs: number): void {
  const { connectTimeoutMs } = context.options;
  for (const line of context.attempts) {
    if (nowMs - line.sinceMs < connectTimeoutMs) continue;
    const address = addressOf(line.route.target);
    abandon(context, line, `no connection to ${address} within ${connectTimeoutMs} ms`);
  }
}

function abandon<Owner>(context: DialContext<Owner>, line: Line<Owner>, why: string): void {
  const { socket } = line;
  line.isLost = socket === null;
  fail(context, line, { kind: "unreachable", message: why });
  socket?.terminate();
}

function whyNot({ socketPath }: Target, thrown: unknown): DialFailure {
  const { kind, message } = failureOf(thrown);
  if (kind === "exhausted") return { kind, message };
  if (socketPath === undefined) return { kind: "unreachable", message };
  return { kind: "unreachable", message: whyNoSocket(socketPath, codeOf(thrown)) ?? message };
}

/** For a unix socket Bun says nothing but "Failed to connect" (1.4.5). `null`: it says all we know. */
function whyNoSocket(path: string, code: string): string | null {
  switch (code) {
    case "ENOENT":
      return `there is no socket ${path} (ENOENT)`;
    case "EACCES":
    case "EPERM":
      return `the user we run as may not connect to the socket ${path} (${code})`;
    case "ECONNREFUSED":
      return `nobody listens on the socket ${path} (ECONNREFUSED)`;
    case "EINVAL":
    case "ENAMETOOLONG":
      return `the system takes no socket with so long a path: ${path} (${code})`;
    default:
      return null;
  }
}
