/**
 * Connections that go on with the process that takes our place: bytes both ways. It reads what they say, so that nothing
 * of a request is understood twice, and their clients notice nothing.
 */

import type { Socket, SocketHandler } from "bun";
import { messageOf } from "../errors.ts";
import { codeOf } from "../text-file.ts";
import type { Held } from "./engine.ts";
import type { Http1RequestHead } from "./http1-head.ts";
import type { ClientConnection, HandingOn, SocketContext, Trip } from "./socket-context.ts";
import { closeClient } from "./socket-finish.ts";
import { endOwnStream } from "./socket-own-answer.ts";
import {
  createWire,
  cutWire,
  drain,
  endWire,
  HOLD,
  holdReading,
  letRead,
  markOver,
  setSource,
  type Wire,
  whenSent,
  writeBytes,
} from "./socket-writer.ts";

/** A client's connection that is another process's from here on. */
export interface Relay {
  readonly client: ClientConnection;
  /** What came before the other process was reached. */
  readonly early: Buffer[];
  /** The way there; `null`: there is none yet. */
  way: Wire | null;
  /** So long it is tried to get there, ms since the epoch; `null`: nobody has tried yet. */
  untilMs: number | null;
}

/**
 * What a private connection begins with, in a line of its own: whose it is. The idea is that of HAProxy's PROXY protocol;
 * that socket is for nobody but us, so it says no more than is needed.
 */
const PREFACE = "PAASTIS-CLIENT ";
/** No address is so long. */
const PREFACE_BYTES_MAX = 128;

/** When many wait to be accepted, the next attempt is made after so long, and the last one, ms. */
const AGAIN_MS = 10;
const GIVE_UP_MS = 10_000;

/** Nothing new is begun here: what comes waits for the process that takes our place. Safe to repeat. */
export function holdForSuccessor(context: SocketContext): void {
  if (context.handingOn !== null) return;
  context.handingOn = { socketPath: null, waiting: new Set() };
  for (const { trip } of context.clients) {
    if (trip === null) continue;
    if (trip.held !== null) relayTrip(context, trip, trip.held);
    // Whoever looks on as an app wakes would hear that we stop, and comes back to who goes on with it.
    else if (trip.pieces !== null) endOwnStream(context, trip);
  }
}

/** It listens: what waits goes there, and what comes. */
export function sendToSuccessor(context: SocketContext, socketPath: string): void {
  holdForSuccessor(context);
  const { handingOn } = context;
  if (handingOn === null) return;
  handingOn.socketPath = socketPath;
  const waiting = [...handingOn.waiting];
  handingOn.waiting.clear();
  for (const relay of waiting) connect(context, relay, socketPath);
}

/** A connection on which nothing is under way has brought something. */
export function relayClient(
  context: SocketContext,
  { client, bytes }: { readonly client: ClientConnection; readonly bytes: Buffer },
  handingOn: HandingOn,
): void {
  const early = client.reader.pendingBytes > 0 ? [client.reader.pending(), bytes] : [bytes];
  const relay: Relay = { client, early, way: null, untilMs: null };
  client.unread = null;
  client.relay = relay;
  // Little is kept here: the client's system has room for the rest.
  holdReading(client.wire, HOLD.nobodyThere);
  if (handingOn.socketPath === null) handingOn.waiting.add(relay);
  else connect(context, relay, handingOn.socketPath);
}

/** A request that waits here, all of its body unread, waits there instead. @param held how; `null`: it has just failed */
export function relayTrip(context: SocketContext, trip: Trip, held: Held | null): void {
  const { client } = trip;
  const { handingOn } = context;
  if (handingOn === null) throw new Error("A request is handed on, and nobody takes our place");
  trip.held = null;
  trip.stage = "over";
  client.trip = null;
  if (held?.handOn === undefined) held?.abandon();
  else held.handOn();
  const head = Buffer.from(headText(trip.request), "latin1");
  const bytes = client.unread === null ? head : Buffer.concat([head, client.unread]);
  relayClient(context, { client, bytes }, handingOn);
}

/** As it came, but for blanks around values, which mean nothing. */
function headText({ method, target, minor, fields }: Http1RequestHead): string {
  const lines = fields.map(({ line }) => `${line}\r\n`).join("");
  return `${method} ${target} HTTP/1.${minor}\r\n${lines}\r\n`;
}

function connect(context: SocketContext, relay: Relay, unix: string): void {
  const { client } = relay;
  const untilMs = relay.untilMs ?? context.clock.now() + GIVE_UP_MS;
  relay.untilMs = untilMs;
  const leave = (socket: Socket<undefined>) => {
    if (relay.way === null || relay.way.socket !== socket) return;
    markOver(relay.way);
    endWire(client.wire);
  };
  const fail = (error: unknown) => {
    if (client.wire.isOver) return;
    if (isBusy(error) && context.clock.now() < untilMs) {
      context.clock.after(AGAIN_MS, () => connect(context, relay, unix));
      return;
    }
    const reason = messageOf(error);
    context.log.error({ reason }, "a connection could not be handed on to our successor");
    cutWire(client.wire);
  };
  const handler: SocketHandler<undefined> = {
    open: (socket) => begin(context, relay, socket),
    data: (_socket, bytes) => writeBytes(client.wire, bytes),
    drain() {
      if (relay.way !== null) drain(relay.way);
    },
    // A client that still sends would lose what it was answered, were its connection closed at once.
    end: () => closeClient(context, client, { mayComeMore: true }),
    close: leave,
    error: (_socket, error) => context.log.debug({ reason: messageOf(error) }, "a relay broke"),
  };
  // The types of Bun 1.4.5 do not know that a client's end may stay open, too; hence a variable.
  const options = { unix, allowHalfOpen: true, socket: handler };
  Bun.connect(options).catch(fail);
}

/**
 * More wait to be accepted than there is room for, which connect(2) says at once of a unix socket. The runtime reports its
 * `EAGAIN` as if nobody listened (Bun 1.4.5, seen with 600 at once).
 */
function isBusy(error: unknown): boolean {
  return codeOf(error) === "EAGAIN" || codeOf(error) === "ECONNREFUSED";
}

function begin(context: SocketContext, relay: Relay, socket: Socket<undefined>): void {
  const { client } = relay;
  if (client.wire.isOver) {
    socket.terminate();
    return;
  }
  const way = createWire(socket, context.scratch);
  relay.way = way;
  setSource(way, client.wire);
  setSource(client.wire, way);
  writeBytes(way, Buffer.from(`${PREFACE}${client.address}\n`, "latin1"));
  for (const bytes of relay.early.splice(0)) writeBytes(way, bytes);
  if (client.hasEnded) shutDown(way);
  letRead(client.wire, HOLD.nobodyThere);
}

/** What the client sends. */
export function fromRelayed(relay: Relay, bytes: Buffer): void {
  if (relay.way === null) relay.early.push(bytes);
  else writeBytes(relay.way, bytes);
}

/** It will send nothing more, and may still read. */
export function relayedHasEnded({ way }: Relay): void {
  if (way !== null) shutDown(way);
}

function shutDown(way: Wire): void {
  whenSent(way, () => {
    if (!way.isOver) way.socket.shutdown();
  });
}

/** It has closed. */
export function relayedIsOver(context: SocketContext, relay: Relay): void {
  context.handingOn?.waiting.delete(relay);
  relay.early.length = 0;
  if (relay.way !== null) endWire(relay.way);
}

/** What a private connection has begun with. */
export type Preface =
  | { readonly kind: "incomplete" }
  | { readonly kind: "invalid" }
  | { readonly kind: "client"; readonly address: string; readonly rest: Buffer };

/** Pure. @param bytes all that has come so far */
export function readPreface(bytes: Buffer): Preface {
  const end = bytes.indexOf("\n");
  if (end === -1 && bytes.length < PREFACE_BYTES_MAX) return { kind: "incomplete" };
  if (end === -1 || end >= PREFACE_BYTES_MAX) return { kind: "invalid" };
  const line = bytes.toString("latin1", 0, end);
  if (!line.startsWith(PREFACE)) return { kind: "invalid" };
  return { kind: "client", address: line.slice(PREFACE.length), rest: bytes.subarray(end + 1) };
}
