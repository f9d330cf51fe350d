/** One answer's way down: its head, its body, or the tunnel that it opens. */

import { addressOf } from "../app.ts";
import type { AnswerHead } from "./engine.ts";
import { fieldValue } from "./http1-fields.ts";
import { answerFraming } from "./http1-framing.ts";
import type { Http1ResponseHead } from "./http1-head.ts";
import { bodyReaderOf, isBodyDone, takeBody } from "./socket-body.ts";
import { legOf, noteSending, type SocketContext, type Trip } from "./socket-context.ts";
import {
  dropUpstream,
  follow,
  isReplayable,
  letGo,
  onNoAnswer,
  rewind,
} from "./socket-exchange.ts";
import { persistenceOf, tripIsWritten } from "./socket-finish.ts";
import { answerText } from "./socket-heads.ts";
import { finishStream, mayEndHere } from "./socket-stream.ts";
import {
  cutWire,
  endWire,
  HOLD,
  letRead,
  setSource,
  writeBytes,
  writeText,
} from "./socket-writer.ts";
import { clientHasEnded, closeTunnel, fromClient, fromTarget, openTunnel } from "./tunnel.ts";

/** What a target sends for a request. */
export function onTargetBytes(context: SocketContext, trip: Trip, bytes: Buffer): void {
  trip.isSeen = true;
  if (trip.stage === "waiting") readHeads(context, trip, bytes);
  else if (trip.stage === "answering") carry(context, trip, bytes);
}

/** Interim heads, as many as come, then the answer's own. */
function readHeads(context: SocketContext, trip: Trip, bytes: Buffer) {
  const { upstream } = trip;
  if (upstream === null) return;
  let at = 0;
  while (at < bytes.length) {
    const result = upstream.reader.read(bytes, at);
    if (result.kind === "incomplete") return;
    if (result.kind === "refused") {
      return onNoAnswer(context, trip, `it answered with no HTTP: ${result.refusal.why}`);
    }
    at = result.end;
    const { head } = result;
    if (head.status >= 200 || head.status === 101) {
      const rest = at < bytes.length ? bytes.subarray(at) : null;
      return onHead(context, trip, head, rest);
    }
    passInterim(context, trip, head);
  }
}

/** HTTP/1.0 knows no interim answers (RFC 9110, section 15.2). */
function passInterim(context: SocketContext, trip: Trip, answer: Http1ResponseHead): void {
  const { client, exchange, request, upstream } = trip;
  if (request.minor === 0 || exchange === null || upstream === null) return;
  const leg = legOf(trip, exchange);
  const passage = "as-it-came";
  const text = answerText({ answer, leg, passage, isUpgrade: false, persistence: null });
  noteSending(context, client);
  setSource(client.wire, upstream.wire);
  writeText(client.wire, text);
}

function onHead(
  context: SocketContext,
  trip: Trip,
  answer: Http1ResponseHead,
  rest: Buffer | null,
) {
  if (answer.status === 101 && !agrees(trip, answer)) {
    return onNoAnswer(context, trip, "it changed the protocol, which nobody asked for");
  }
  const framing = answerFraming(answer, trip.request.method);
  if ("why" in framing) {
    return onNoAnswer(context, trip, `it answered with no HTTP: ${framing.why}`);
  }
  const { exchange } = trip;
  if (exchange === null) throw new Error("An answer came without an exchange");
  const other = context.handler.answered(exchange, seamHead(answer), isReplayable(trip));
  if (other !== null) {
    trip.exchange = null;
    rewind(context, trip);
    dropUpstream(context, trip);
    return follow(context, trip, other);
  }
  if (answer.status === 101) return tunnel(context, trip, answer, rest);
  trip.answerBody = bodyReaderOf(framing);
  trip.isPersistent = answer.persistent && !(framing.kind === "none" && framing.isContradicted);
  begin(context, trip, answer, rest);
}

/** The target agrees to what the client asked for. */
function agrees(trip: Trip, answer: Http1ResponseHead): boolean {
  return trip.isUpgrade && answer.upgrade?.toLowerCase() === "websocket";
}

function seamHead(answer: Http1ResponseHead): AnswerHead {
  return { status: answer.status, header: (name) => fieldValue(answer.fields, name) };
}

/** Sends the head, and what came of the body with it, in one go. */
function begin(context: SocketContext, trip: Trip, answer: Http1ResponseHead, rest: Buffer | null) {
  const { client, exchange, upstream, answerBody } = trip;
  if (exchange === null || upstream === null || answerBody === null) return;
  trip.stage = "answering";
  trip.answer = answer;
  trip.passage = passageOf(trip, answer);
  // Only the connection's end says where this body ends.
  if (answerBody.kind !== "length" && trip.request.minor === 0) client.isLast = true;
  const text = answerText({
    answer,
    leg: legOf(trip, exchange),
    isUpgrade: false,
    passage: trip.passage,
    persistence: persistenceOf(context, trip),
  });
  setSource(client.wire, upstream.wire);
  noteSending(context, client);
  if (rest === null || trip.passage !== "as-it-came") {
    writeText(client.wire, text);
    if (rest !== null) return carry(context, trip, rest);
  } else {
    const part = takePart(trip, rest);
    if (part === null) return broken(context, trip);
    exchange.sentBytes += part.length;
    writeText(client.wire, text, part);
  }
  if (isBodyDone(answerBody)) finish(context, trip);
}

/** HTTP/1.0 knows no chunks; for everybody else they say best whether a body is whole. */
function passageOf(trip: Trip, answer: Http1ResponseHead): Trip["passage"] {
  if (trip.request.minor === 0) {
    return answer.transferEncoding === null ? "as-it-came" : "unchunked";
  }
  return trip.answerBody?.kind === "until-close" ? "in-chunks" : "as-it-came";
}

/** The part of the bytes that belongs to the body; `null`: its chunks cannot be read. */
function takePart(trip: Trip, bytes: Buffer): Buffer | null {
  if (trip.answerBody === null) return null;
  const taken = takeBody(trip.answerBody, bytes);
  if (typeof taken !== "number") return null;
  if (taken === bytes.length) return bytes;
  // Nobody asked for what stands behind it.
  trip.isPersistent = false;
  return bytes.subarray(0, taken);
}

function carry(context: SocketContext, trip: Trip, bytes: Buffer) {
  const { client, answerBody, exchange } = trip;
  if (answerBody === null || exchange === null) return;
  noteSending(context, client);
  if (trip.passage === "unchunked") {
    const taken = takeBody(answerBody, bytes, (piece, from, end) => {
      exchange.sentBytes += end - from;
      writeBytes(client.wire, piece.subarray(from, end));
    });
    if (taken !== bytes.length) trip.isPersistent = false;
    if (typeof taken !== "number") return broken(context, trip);
  } else {
    const part = takePart(trip, bytes);
    if (part === null) return broken(context, trip);
    exchange.sentBytes += part.length;
    if (trip.passage === "in-chunks") writeChunk(trip, part);
    else writeBytes(client.wire, part);
  }
  if (isBodyDone(answerBody)) finish(context, trip);
  else if (trip.isEnding && mayEndHere(trip)) finishStream(context, trip);
}

const LINE_END = Buffer.from("\r\n");
const LAST_CHUNK = "0\r\n\r\n";

function writeChunk(trip: Trip, bytes: Buffer): void {
  const { wire } = trip.client;
  writeText(wire, `${bytes.length.toString(16)}\r\n`, bytes);
  writeBytes(wire, LINE_END);
}

/** The answer is complete: the target's connection is free, the client's when all is sent. */
function finish(context: SocketContext, trip: Trip): void {
  const { client, upstream } = trip;
  trip.upstream = null;
  setSource(client.wire, null);
  if (upstream !== null) {
    setSource(upstream.wire, null);
    if (!isBodyDone(trip.body)) context.pool.give(upstream, "cut");
    else context.pool.give(upstream, trip.isPersistent ? "keep" : "end");
  }
  tripIsWritten(context, trip);
}

/** The target's connection has closed; `error` unless it was by a FIN. */
export function onTargetOver(context: SocketContext, trip: Trip, error: string | null) {
  if (trip.stage === "waiting") {
    return onNoAnswer(context, trip, error ?? "the connection ended before there was an answer");
  }
  if (trip.stage !== "answering") return;
  if (trip.answerBody?.kind !== "until-close" || error !== null) return broken(context, trip);
  if (trip.passage === "in-chunks") writeText(trip.client.wire, LAST_CHUNK);
  finish(context, trip);
}

/** The answer broke off. */
function broken(context: SocketContext, trip: Trip): void {
  const { exchange } = trip;
  if (exchange !== null) {
    const fields = { app: exchange.app.key, upstream: addressOf(exchange.target) };
    context.log.warn(fields, "an app broke its answer off, and so did we towards the client");
  }
  breakOff(context, trip);
}

/** Ends a request in the middle of its answer, which must not look complete to the client. */
export function breakOff(context: SocketContext, trip: Trip): void {
  const { client } = trip;
  const isMissingEvident = trip.passage === "in-chunks" || trip.answerBody?.kind !== "until-close";
  letGo(context, trip);
  client.isLast = true;
  // What is there is delivered where the framing shows that it is not all; otherwise a reset says so.
  if (isMissingEvident && trip.passage !== "unchunked") endWire(client.wire);
  else cutWire(client.wire);
}

function tunnel(
  context: SocketContext,
  trip: Trip,
  answer: Http1ResponseHead,
  rest: Buffer | null,
): void {
  const { client, exchange, upstream } = trip;
  if (exchange === null || upstream === null) return;
  const leg = legOf(trip, exchange);
  const text = answerText({
    answer,
    leg,
    isUpgrade: true,
    passage: "as-it-came",
    persistence: null,
  });
  const opened = openTunnel({ client: client.wire, upstream: upstream.wire, exchange }, () => {
    context.tunnels.delete(opened);
    if (opened.followed === null) context.handler.release(exchange);
    else opened.followed.over();
  });
  opened.followed = context.quiet.follow(exchange, (code) => closeTunnel(opened, code));
  context.tunnels.add(opened);
  trip.exchange = null;
  trip.upstream = null;
  trip.stage = "over";
  client.trip = null;
  client.tunnel = opened;
  context.pool.detach(upstream, opened);
  writeText(client.wire, text);
  if (rest !== null) fromTarget(opened, rest);
  const { unread } = client;
  client.unread = null;
  if (unread !== null) fromClient(opened, unread);
  letRead(client.wire, HOLD.nobodyThere);
  // It ended its side while it waited: nobody upgrades to say nothing.
  if (client.hasEnded) clientHasEnded(opened, context.nowMs);
}
