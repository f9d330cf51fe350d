/** Answers of Paastis itself, whole or in pieces. */

import { ANSWER_CODES, messageOf } from "../errors.ts";
import type { Answer, RefusalCode, RequestHead } from "./engine.ts";
import {
  type ClientConnection,
  noteSending,
  reportMistake,
  type SocketContext,
  type Trip,
} from "./socket-context.ts";
import { closeClient, persistenceOf, tripIsWritten } from "./socket-finish.ts";
import { ownAnswerText } from "./socket-heads.ts";
import { endWire, whenSent, writeBytes, writeText } from "./socket-writer.ts";

/** Sends an answer of ours for a request that goes no further. */
export function sendOwn(context: SocketContext, trip: Trip, answer: Answer) {
  const { client, request } = trip;
  trip.stage = "answering";
  noteSending(context, client);
  if (typeof answer.body !== "string") return sendPieces(context, trip, answer);
  const isBare = request.method === "HEAD" || hasNoBody(answer.status);
  const body = Buffer.from(answer.body);
  const text = ownAnswerText({
    answer,
    wallMs: context.clock.wallMs(),
    length: hasNoBody(answer.status) ? null : body.length,
    isChunked: false,
    persistence: persistenceOf(context, trip),
  });
  writeText(client.wire, text, isBare ? null : body);
  tripIsWritten(context, trip);
}

function hasNoBody(status: number): boolean {
  return status === 204 || status === 304;
}

function sendPieces(context: SocketContext, trip: Trip, answer: Answer) {
  const { client, request } = trip;
  const isChunked = request.minor === 1;
  if (!isChunked) client.isLast = true;
  const text = ownAnswerText({
    answer,
    wallMs: context.clock.wallMs(),
    length: null,
    isChunked,
    persistence: persistenceOf(context, trip),
  });
  writeText(client.wire, text);
  // A stream of text always has an iterator; a string was answered before.
  const pieces = (answer.body as AsyncIterable<string>)[Symbol.asyncIterator]();
  trip.pieces = pieces;
  if (request.method === "HEAD") return endPieces(context, trip);
  pump(context, trip, pieces).catch((error) => {
    if (trip.pieces !== pieces) return;
    trip.pieces = null;
    context.log.warn({ reason: messageOf(error) }, "an answer of ours broke off");
    endWire(client.wire);
  });
}

/** A generator that waits for something is ended once it goes on; nobody waits for that. */
function endPieces(context: SocketContext, trip: Trip): void {
  const { pieces } = trip;
  trip.pieces = null;
  pieces?.return?.()?.catch((error) => reportMistake(context, error));
  tripIsWritten(context, trip);
}

/** Ends an answer of ours that comes in pieces where it is, as if it had come to its end. */
export function endOwnStream(context: SocketContext, trip: Trip): void {
  if (trip.request.minor === 1) writeText(trip.client.wire, LAST_CHUNK);
  endPieces(context, trip);
}

/** One piece after the other, as the client takes them. Ends when the client has left. */
async function pump(
  context: SocketContext,
  trip: Trip,
  pieces: AsyncIterator<string>,
): Promise<void> {
  const { wire } = trip.client;
  const isChunked = trip.request.minor === 1;
  for (;;) {
    const { done, value } = await pieces.next();
    if (trip.pieces !== pieces) return;
    if (done === true) break;
    const bytes = Buffer.from(value);
    if (bytes.length === 0) continue;
    if (isChunked) writeText(wire, `${bytes.length.toString(16)}\r\n`, chunkOf(bytes));
    else writeBytes(wire, bytes);
    noteSending(context, trip.client);
    if (wire.unsentBytes > 0) await new Promise<void>((resolve) => whenSent(wire, resolve));
    if (trip.pieces !== pieces) return;
  }
  trip.pieces = null;
  if (isChunked) writeText(wire, LAST_CHUNK);
  tripIsWritten(context, trip);
}

function chunkOf(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, LINE_END]);
}

const LINE_END = Buffer.from("\r\n");
const LAST_CHUNK = "0\r\n\r\n";

/** Why a request goes no further. */
export interface OwnRefusal {
  readonly code: RefusalCode | "upstream_broken";
  readonly why: string;
}

/** Refuses a request whose head was read. */
export function sendRefusal(context: SocketContext, trip: Trip, refusal: OwnRefusal): void {
  trip.client.isLast = true;
  sendOwn(context, trip, refusalAnswer(context, trip.head, refusal));
}

/** Refuses what cannot be read as a request: nothing behind it can be read either. */
export function refuseUnread(
  context: SocketContext,
  client: ClientConnection,
  refusal: OwnRefusal,
): void {
  const head: RequestHead = {
    method: "GET",
    target: "/",
    host: null,
    clientAddress: client.address,
    header: () => null,
  };
  const answer = refusalAnswer(context, head, refusal);
  const body = Buffer.from(typeof answer.body === "string" ? answer.body : "");
  const text = ownAnswerText({
    answer,
    wallMs: context.clock.wallMs(),
    length: body.length,
    isChunked: false,
    persistence: "close",
  });
  writeText(client.wire, text, body);
  closeClient(context, client, { mayComeMore: true });
}

function refusalAnswer(
  context: SocketContext,
  head: RequestHead,
  { code, why }: OwnRefusal,
): Answer {
  return context.handler.refuse(code === "upstream_broken" ? "invalid_request" : code, why, head);
}

/** The answer when the core cannot give one. */
export function sendMistake(context: SocketContext, trip: Trip): void {
  const { status, meaning, remedy } = ANSWER_CODES.internal;
  trip.client.isLast = true;
  sendOwn(context, trip, {
    status,
    headers: [
      ["content-type", "text/plain; charset=utf-8"],
      ["paastis-error", "internal"],
    ],
    body: `${meaning} ${remedy}\n`,
  });
}
