/** Ends what takes too long: one coarse timer for all connections, none per request. */

import type { CancelTimer } from "../clock.ts";
import { isBodyDone } from "./socket-body.ts";
import {
  type ClientConnection,
  noteSending,
  type SocketContext,
  type Trip,
} from "./socket-context.ts";
import { guardTrip, isUnanswered, letGo, onNoAnswerInTime, refuseTrip } from "./socket-exchange.ts";
import { refuseUnread } from "./socket-own-answer.ts";
import { cutWire, endWire, writeText } from "./socket-writer.ts";
import { lookAtTunnel } from "./tunnel.ts";

/** How often we look, ms. Every limit may be exceeded by twice as much; none falls short. */
const TICK_MS = 250;

/** How often we look at most, ms. */
const TICK_MIN_MS = 10;

/** A limit that is shorter than so many ticks makes them shorter. */
const TICKS_PER_LIMIT = 5;

/** From a connection's beginning to its first request, ms: browsers connect ahead of need. */
const FIRST_REQUEST_MS = 60_000;

/** Between two pieces of a body that a client sends while somebody wants it, ms. */
const BODY_SILENCE_MS = 60_000;

/** A client that takes nothing of its answer for so long is gone, ms. */
const STALL_MS = 600_000;

/** After so much silence a client that has ended its side is asked whether it still reads, ms. */
const ASK_MS = 500;

/**
 * What it is asked with: its system answers for whoever has left, with a reset, and who still reads throws it away
 * (RFC 9110, section 15.2: any request may be answered so first).
 */
const QUESTION = "HTTP/1.1 100 Continue\r\n\r\n";

/**
 * How long who cannot be asked is taken to be there, ms: HTTP/1.0 knows no interim answers, and in the middle of an
 * answer nothing may be put. Far more of these have left than wait, and their app is to be told so.
 */
const UNASKED_MS = 2_000;

/** After so much silence the system asks whether the client's machine is still there, ms. */
const PROBE_AFTER_MS = 60_000;

/** A look that is so late means that the program was stopped, ms. */
const STOPPED_MS = 500;

/** The timer of one engine. It runs while there is anything to look at. */
export interface Deadlines {
  /** There is something to look at. */
  watch(): void;
  end(): void;
}

/** Also keeps `context.nowMs`. */
export function createDeadlines(context: SocketContext): Deadlines {
  const tickMs = tickFor(context);
  let timer: CancelTimer | null = null;
  const look = () => {
    timer = null;
    try {
      lookAtAll(context, tickMs);
    } catch (error) {
      context.log.error({ reason: String(error) }, "deadlines could not be looked at");
    }
    if (context.clients.size > 0 || context.tunnels.size > 0 || context.pool.size > 0) plan();
  };
  const plan = () => {
    timer ??= context.clock.after(tickMs, look);
  };
  return {
    watch() {
      if (timer === null) context.nowMs = context.clock.now();
      plan();
    },
    end() {
      timer?.();
      timer = null;
    },
  };
}

function tickFor({ limits, upstream }: SocketContext): number {
  const shortestMs = Math.min(
    limits.keepAliveMs,
    limits.headersTimeoutMs,
    upstream.connectTimeoutMs,
    upstream.keepAliveMs,
    upstream.timeoutMs ?? Number.POSITIVE_INFINITY,
  );
  return Math.max(TICK_MIN_MS, Math.min(TICK_MS, Math.floor(shortestMs / TICKS_PER_LIMIT)));
}

function lookAtAll(context: SocketContext, tickMs: number): void {
  const nowMs = context.clock.now();
  const lateMs = nowMs - context.nowMs - tickMs;
  context.nowMs = nowMs;
  if (lateMs > STOPPED_MS) forgive(context, lateMs);
  context.pool.sweep(context.nowMs);
  // What is measured began up to a tick after the `nowMs` that was noted for it: nothing ends early.
  const certainMs = context.nowMs - tickMs;
  for (const client of context.clients) lookAt(context, client, certainMs);
  for (const tunnel of context.tunnels) lookAtTunnel(tunnel, context.nowMs);
}

/** While we were stopped nobody could do anything: it counts for nobody's limit. */
function forgive(context: SocketContext, stoppedMs: number): void {
  for (const client of context.clients) {
    client.sinceMs += stoppedMs;
    client.movedMs += stoppedMs;
    if (client.lingerUntilMs !== null) client.lingerUntilMs += stoppedMs;
    if (client.trip !== null) client.trip.sentMs += stoppedMs;
  }
  for (const tunnel of context.tunnels) if (tunnel.cutAtMs !== null) tunnel.cutAtMs += stoppedMs;
}

function lookAt(context: SocketContext, client: ClientConnection, certainMs: number): void {
  const { trip, tunnel, wire } = client;
  if (client.lingerUntilMs !== null) {
    if (context.nowMs >= client.lingerUntilMs) cutWire(wire);
  } else if (tunnel !== null || client.relay !== null) {
    return;
  } else if (wire.unsentBytes > 0 && certainMs - client.movedMs >= STALL_MS) {
    cutWire(wire);
  } else if (trip !== null) {
    guardTrip(context, trip, () => lookAtTrip(context, trip, certainMs));
  } else {
    lookAtIdle(context, client, certainMs);
  }
}

function lookAtIdle(context: SocketContext, client: ClientConnection, certainMs: number) {
  if (client.isLast) return;
  const { keepAliveMs, headersTimeoutMs } = context.limits;
  const ageMs = certainMs - client.sinceMs;
  if (client.hasHeadBegun) {
    if (ageMs < headersTimeoutMs) return;
    const why = `its head was not complete after ${headersTimeoutMs} ms`;
    return refuseUnread(context, client, { code: "request_timeout", why });
  }
  // Whoever may stay between requests may stay as long before the first one.
  const idleMs = client.requests === 0 ? Math.max(FIRST_REQUEST_MS, keepAliveMs) : keepAliveMs;
  if (ageMs >= idleMs) endWire(client.wire);
}

function lookAtTrip(context: SocketContext, trip: Trip, certainMs: number) {
  const { client } = trip;
  const silenceMs = certainMs - client.movedMs;
  if (client.isDoubted && hasLeft(context, trip, silenceMs)) return cutWire(client.wire);
  if (!client.isProbed && silenceMs >= PROBE_AFTER_MS) {
    client.isProbed = true;
    client.wire.socket.setKeepAlive(true, PROBE_AFTER_MS);
  }
  if (isBodyOverdue(trip, silenceMs)) return refuseSilence(context, trip);
  const { timeoutMs } = context.upstream;
  if (trip.stage !== "waiting" || timeoutMs === null) return;
  if (certainMs - trip.sentMs >= timeoutMs) onNoAnswerInTime(context, trip);
}

/** Asks a client that has ended its side. @returns whether it cannot be asked, and has been silent for too long */
function hasLeft(context: SocketContext, trip: Trip, silenceMs: number): boolean {
  const { client, request } = trip;
  // What is on its way asks, too: who has left answers with a reset, who has not reads slowly.
  if (silenceMs < ASK_MS || client.wire.unsentBytes > 0) return false;
  if (request.minor === 0 || !isUnanswered(trip)) return silenceMs >= UNASKED_MS;
  writeText(client.wire, QUESTION);
  noteSending(context, client);
  return false;
}

/** Only a client that could send is told to: not while the target is slow, or has yet to say 100. */
function isBodyOverdue(trip: Trip, silenceMs: number): boolean {
  if (silenceMs < BODY_SILENCE_MS || trip.upstream === null || isBodyDone(trip.body)) return false;
  const waitsForUs = trip.request.expectsContinue && trip.sentBytes === 0;
  return trip.client.wire.holds === 0 && !waitsForUs;
}

function refuseSilence(context: SocketContext, trip: Trip) {
  const canAnswer = trip.stage === "waiting";
  letGo(context, trip);
  if (!canAnswer) return cutWire(trip.client.wire);
  const why = `nothing of its body came for ${BODY_SILENCE_MS} ms`;
  refuseTrip(context, trip, { code: "request_timeout", why });
}
