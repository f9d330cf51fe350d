/** One request's way up: from the core's decision to the last byte the target gets. */

import { addressOf } from "../app.ts";
import type { Admission, Exchange, ForwardFailure, Held } from "./engine.ts";
import { isIdempotent } from "./forward-failure.ts";
import type { Refusal } from "./http1-refusal.ts";
import { bodyReaderOf, isBodyDone, takeBody } from "./socket-body.ts";
import {
  type ClientConnection,
  legOf,
  release,
  reportMistake,
  type SocketContext,
  type Trip,
  type UpstreamUser,
} from "./socket-context.ts";
import { requestText } from "./socket-heads.ts";
import { type OwnRefusal, sendMistake, sendOwn, sendRefusal } from "./socket-own-answer.ts";
import { relayTrip } from "./socket-relay.ts";
import { relieve } from "./socket-relief.ts";
import {
  cutWire,
  HOLD,
  holdReading,
  letRead,
  setSource,
  writeBytes,
  writeText,
} from "./socket-writer.ts";
import type { Dialled, UpstreamConnection } from "./upstream-lanes.ts";

/** Of a client whose bytes nobody can take yet, this many are read; the rest waits in its socket. */
const UNREAD_MAX_BYTES = 65_536;

/** So much of a body is kept after it was sent, for the case that it must be sent again. */
const REPEATABLE_MAX_BYTES = 65_536;

/** In no more pieces than this. */
const SENT_PIECES_MAX = 64;

/** Runs a part of a request. Whatever it throws ends this request only. */
export function guardTrip(context: SocketContext, trip: Trip, work: () => void): void {
  try {
    work();
  } catch (error) {
    breakTrip(context, trip, error);
  }
}

/** A mistake of ours: the request ends, with an answer if that is still possible. Never throws. */
export function breakTrip(context: SocketContext, trip: Trip, error: unknown): void {
  reportMistake(context, error);
  const canAnswer = isUnanswered(trip);
  try {
    letGo(context, trip);
    if (canAnswer) sendMistake(context, trip);
    else cutWire(trip.client.wire);
  } catch (again) {
    reportMistake(context, again);
    cutWire(trip.client.wire);
  }
}

/** Nothing of its answer was sent, interim heads apart. */
export function isUnanswered({ stage }: Trip): boolean {
  return stage === "admitting" || stage === "connecting" || stage === "waiting";
}

/** Asks the core what is to become of a request, and does it. */
export function admit(context: SocketContext, trip: Trip): void {
  guardTrip(context, trip, () => follow(context, trip, context.handler.admit(trip.head)));
}

/** Does what the core says. */
export function follow(context: SocketContext, trip: Trip, admission: Admission) {
  trip.stage = "admitting";
  // Whom it waits for does not come up here any more.
  if (admission.kind === "held" && context.handingOn !== null) {
    return relayTrip(context, trip, admission);
  }
  switch (admission.kind) {
    case "forward":
      return attempt(context, trip, admission);
    case "held":
      return hold(context, trip, admission);
    case "answer":
      return sendOwn(context, trip, admission.answer);
  }
}

function hold(context: SocketContext, trip: Trip, held: Held): void {
  trip.held = held;
  held.decision.then(
    (decision) => {
      if (trip.held !== held) return;
      trip.held = null;
      guardTrip(context, trip, () => follow(context, trip, decision));
    },
    // The seam promises that it never rejects.
    (error) => breakTrip(context, trip, error),
  );
}

function attempt(context: SocketContext, trip: Trip, exchange: Exchange): void {
  trip.exchange = exchange;
  const { app, target } = exchange;
  const connection = trip.hasRetried ? null : context.pool.take(target, app.policy, trip);
  if (connection === null) connect(context, trip, exchange);
  else send(context, trip, connection);
}

function connect(context: SocketContext, trip: Trip, exchange: Exchange): void {
  trip.stage = "connecting";
  const { app, target } = exchange;
  trip.dial = context.pool.dial({ target, trust: app.policy, user: trip }, (dialled) => {
    trip.dial = null;
    guardTrip(context, trip, () => onDialled(context, trip, dialled));
  });
}

function onDialled(context: SocketContext, trip: Trip, dialled: Dialled<UpstreamUser>) {
  if ("wire" in dialled) return send(context, trip, dialled);
  // The target has seen nothing; but where nothing is left, trying again takes more of it.
  if (dialled.kind === "exhausted") relieve(context);
  fail(context, trip, { ...dialled, replayable: dialled.kind !== "exhausted" });
}

function send(context: SocketContext, trip: Trip, connection: UpstreamConnection<UpstreamUser>) {
  const { client, exchange } = trip;
  if (exchange === null) throw new Error("A request is sent without an exchange");
  trip.upstream = connection;
  trip.stage = "waiting";
  trip.sentMs = context.nowMs;
  trip.isSeen = false;
  const persistence = context.upstream.keepAlive ? null : "close";
  const text = requestText(trip, legOf(trip, exchange), persistence);
  exchange.requestId = trip.forwarding.requestId;
  setSource(connection.wire, client.wire);
  const begun = client.unread === null ? null : takeUnread(trip, client);
  if (begun !== null && !Buffer.isBuffer(begun)) return refuseBody(context, trip, begun);
  writeText(connection.wire, text, begun);
  // What is still unread are later requests: they have to wait, and so has what follows them.
  if (client.unread === null) letRead(client.wire, HOLD.nobodyThere);
  if (isCutShort(trip)) cutWire(client.wire);
}

/** The part of what is unread that belongs to the body. */
function takeUnread(trip: Trip, client: ClientConnection) {
  const { unread } = client;
  if (unread === null || isBodyDone(trip.body)) return null;
  client.unread = null;
  return takePart(trip, unread);
}

/** The part of `bytes` that belongs to the body. What stands behind it waits for its turn. */
function takePart(trip: Trip, bytes: Buffer): Buffer | Refusal {
  const taken = takeBody(trip.body, bytes);
  if (typeof taken !== "number") return taken;
  const part = taken === bytes.length ? bytes : bytes.subarray(0, taken);
  if (taken < bytes.length) trip.client.unread = bytes.subarray(taken);
  trip.sentBytes += part.length;
  if (trip.sentBytes > REPEATABLE_MAX_BYTES) trip.sent = null;
  else if (trip.sent !== null) keepSent(trip.sent, part);
  return part;
}

/** A piece of one byte takes a hundred in memory. */
function keepSent(sent: Buffer[], part: Buffer): void {
  sent.push(part);
  if (sent.length >= SENT_PIECES_MAX) sent.splice(0, sent.length, Buffer.concat(sent));
}

/** What a client sends while its request is being served. */
export function onClientBytes(context: SocketContext, trip: Trip, bytes: Buffer) {
  const { client, upstream } = trip;
  if (upstream === null || isBodyDone(trip.body)) return keepUnread(client, bytes);
  const part = takePart(trip, bytes);
  if (!Buffer.isBuffer(part)) return refuseBody(context, trip, part);
  trip.sentMs = context.nowMs;
  writeBytes(upstream.wire, part);
}

/** The client has ended its side before its request was complete. */
export function isCutShort({ client, upstream, body }: Trip): boolean {
  return client.hasEnded && upstream !== null && !isBodyDone(body);
}

/** Keeps what nobody can take yet, and stops reading when that is a lot. */
export function keepUnread(client: ClientConnection, bytes: Buffer): void {
  client.unread = client.unread === null ? bytes : Buffer.concat([client.unread, bytes]);
  if (client.unread.length > UNREAD_MAX_BYTES) holdReading(client.wire, HOLD.nobodyThere);
}

/** Answers a request that goes nowhere, and ends its connection. */
export function refuseTrip(context: SocketContext, trip: Trip, refusal: OwnRefusal): void {
  guardTrip(context, trip, () => sendRefusal(context, trip, refusal));
}

/** Chunks that cannot be read, so that nothing behind them can be trusted; or too many of them. */
function refuseBody(context: SocketContext, trip: Trip, refusal: Refusal): void {
  const canAnswer = trip.stage === "waiting";
  letGo(context, trip);
  if (canAnswer) sendRefusal(context, trip, refusal);
  else cutWire(trip.client.wire);
}

/** The connection ended, or what came on it is no HTTP, before there was an answer's head. */
export function onNoAnswer(context: SocketContext, trip: Trip, message: string) {
  const { upstream } = trip;
  const isStale = upstream !== null && upstream.uses > 1 && !trip.isSeen && !trip.hasRetried;
  const isHarmless = isIdempotent(trip.request.method);
  const mayRepeat = isHarmless || isUnbegun(trip);
  const isWhole = rewind(context, trip);
  dropUpstream(context, trip);
  const { exchange } = trip;
  if (isStale && isWhole && mayRepeat && exchange !== null) {
    trip.hasRetried = true;
    return connect(context, trip, exchange);
  }
  fail(context, trip, { kind: "broken", message, replayable: isWhole && isHarmless });
}

/** There is a body, and none of it went out, so the target cannot have done what it was asked for. */
function isUnbegun(trip: Trip): boolean {
  return trip.sentBytes === 0 && !isBodyDone(trip.body);
}

/** No answer's head came within the limit. */
export function onNoAnswerInTime(context: SocketContext, trip: Trip): void {
  const isWhole = rewind(context, trip);
  dropUpstream(context, trip);
  const from = trip.exchange === null ? "it" : addressOf(trip.exchange.target);
  const message = `no answer from ${from} within ${context.upstream.timeoutMs} ms`;
  const replayable = isWhole && isIdempotent(trip.request.method);
  fail(context, trip, { kind: "timeout", message, replayable });
}

/** The time for its target is over, before its answer began: the core says where the request can go instead. */
export function retire(context: SocketContext, trip: Trip): void {
  const { dial } = trip;
  const isUnsent = trip.stage === "connecting" && !trip.hasRetried;
  trip.dial = null;
  dial?.cancel();
  const isWhole = rewind(context, trip);
  dropUpstream(context, trip);
  const replayable = isWhole && (isUnsent || isIdempotent(trip.request.method));
  const message = "the time for its old target is over";
  fail(context, trip, { kind: "retired", message, replayable });
}

function fail(context: SocketContext, trip: Trip, failure: ForwardFailure): void {
  const { exchange } = trip;
  if (exchange === null) throw new Error("A request failed without an exchange");
  trip.exchange = null;
  if (context.handingOn !== null && isForSuccessor(failure)) {
    context.handler.release(exchange);
    relayTrip(context, trip, null);
    return;
  }
  follow(context, trip, context.handler.failed(exchange, failure));
}

/** Who takes our place knows where the app is by now, and what we have let go of ourselves is there, too. */
function isForSuccessor({ kind, replayable }: ForwardFailure): boolean {
  return replayable && (kind === "unreachable" || kind === "broken");
}

/** Whether the whole request could be sent once more. */
export function isReplayable(trip: Trip): boolean {
  return isIdempotent(trip.request.method) && (trip.sentBytes === 0 || trip.sent !== null);
}

/** Puts the body back to its beginning. @returns whether all of it is still there */
export function rewind(context: SocketContext, trip: Trip): boolean {
  const { client, sent } = trip;
  if (trip.sentBytes === 0) return true;
  if (sent === null) return false;
  const unread = client.unread === null ? sent : [...sent, client.unread];
  client.unread = Buffer.concat(unread);
  trip.body = bodyReaderOf(trip.framing, context.limits.bodyBytesMax);
  trip.sent = [];
  trip.sentBytes = 0;
  return true;
}

/** Ends the target's side of a request. */
export function dropUpstream(context: SocketContext, trip: Trip): void {
  const { upstream } = trip;
  trip.upstream = null;
  setSource(trip.client.wire, null);
  if (upstream !== null) context.pool.give(upstream, "cut");
}

/** Forgets a request: whatever is under way for it ends, and its lease goes back. */
export function letGo(context: SocketContext, trip: Trip): void {
  const { held, dial, pieces } = trip;
  trip.held = null;
  trip.dial = null;
  trip.pieces = null;
  held?.abandon();
  dial?.cancel();
  dropUpstream(context, trip);
  release(context, trip);
  // A generator that waits ends once it goes on; nobody waits for that.
  pieces?.return?.()?.catch((error) => reportMistake(context, error));
}
