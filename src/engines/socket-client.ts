/** Clients' connections: what comes on them, request after request, and how they leave. */

import type { Socket } from "bun";
import { plainAddress } from "../client-address.ts";
import { messageOf } from "../errors.ts";
import { publicAddressOf } from "../headers.ts";
import type { EngineOptions, RequestHead } from "./engine.ts";
import { fieldValue } from "./http1-fields.ts";
import { requestFraming } from "./http1-framing.ts";
import { createRequestHeadReader, type HeadLimits, type Http1RequestHead } from "./http1-head.ts";
import { bodyReaderOf } from "./socket-body.ts";
import {
  type ClientConnection,
  isUnderWay,
  noteSending,
  type SocketContext,
  type Trip,
} from "./socket-context.ts";
import {
  admit,
  breakTrip,
  isCutShort,
  letGo,
  onClientBytes,
  refuseTrip,
} from "./socket-exchange.ts";
import type { ClientHandler } from "./socket-listener.ts";
import { refuseUnread } from "./socket-own-answer.ts";
import {
  fromRelayed,
  readPreface,
  relayClient,
  relayedHasEnded,
  relayedIsOver,
} from "./socket-relay.ts";
import { createWire, cutWire, drain, endWire, HOLD, letRead, markOver } from "./socket-writer.ts";
import { clientHasEnded, clientIsOver, fromClient } from "./tunnel.ts";

/** Connections that come by the process whose place we have taken, until they have said whose they are. */
export function inheritedHandler(
  context: SocketContext,
  onOpen: () => void,
): ClientHandler<ClientConnection> {
  const handler = clientHandler(context, onOpen);
  const headLimits = headLimitsOf(context.limits);
  const begun = new WeakMap<object, Buffer>();
  return {
    ...handler,
    open: () => undefined,
    data(socket, bytes) {
      if (socket.data !== undefined) return handler.data(socket, bytes);
      const known = begun.get(socket);
      const all = known === undefined ? bytes : Buffer.concat([known, bytes]);
      const preface = readPreface(all);
      if (preface.kind === "invalid") return socket.terminate();
      if (preface.kind === "incomplete") return void begun.set(socket, Buffer.from(all));
      begun.delete(socket);
      socket.data = createClient(context, socket, { headLimits, inherited: preface.address });
      onOpen();
      if (preface.rest.length > 0) handler.data(socket, preface.rest);
    },
    end(socket) {
      if (socket.data === undefined) socket.terminate();
      else handler.end(socket);
    },
  };
}

/** The first line of a request, and how many header lines may follow. */
const LINE_BYTES_MAX = 16_384;
const FIELD_LINES_MAX = 200;

/** What the head of a request may take up. */
function headLimitsOf({ headBytesMax }: EngineOptions["limits"]): HeadLimits {
  const lineBytesMax = Math.min(LINE_BYTES_MAX, headBytesMax);
  return { headBytesMax, lineBytesMax, fieldLinesMax: FIELD_LINES_MAX };
}

/** What is called for clients' sockets. No input may end the process. */
export function clientHandler(
  context: SocketContext,
  onOpen: () => void,
): ClientHandler<ClientConnection> {
  const headLimits = headLimitsOf(context.limits);
  return {
    open(socket) {
      try {
        socket.data = createClient(context, socket, { headLimits });
        onOpen();
      } catch (error) {
        giveUp(context, socket, error);
      }
    },
    data(socket, bytes) {
      try {
        if (socket.data !== undefined) onBytes(context, socket.data, bytes);
      } catch (error) {
        giveUp(context, socket, error);
      }
    },
    drain(socket) {
      try {
        if (socket.data !== undefined) onDrain(context, socket.data);
      } catch (error) {
        giveUp(context, socket, error);
      }
    },
    end(socket) {
      try {
        if (socket.data !== undefined) onEnd(context, socket.data);
      } catch (error) {
        giveUp(context, socket, error);
      }
    },
    close(socket) {
      try {
        if (socket.data !== undefined) onClose(context, socket.data);
      } catch (error) {
        giveUp(context, socket, error);
      }
    },
    // What throws is caught above; what the system reports is said again by `close`.
    error: (_socket, error) => {
      context.log.debug({ reason: messageOf(error) }, "a client's connection went wrong");
    },
  };
}

/** A mistake of ours ends the connection that it happened on, and nothing else. */
function giveUp(
  context: SocketContext,
  socket: Socket<ClientConnection | undefined>,
  error: unknown,
) {
  const trip = socket.data?.trip ?? null;
  try {
    if (trip !== null) return breakTrip(context, trip, error);
    context.log.error({ reason: messageOf(error) }, "a connection broke: please report it");
    socket.terminate();
  } catch (again) {
    context.log.error({ reason: messageOf(again) }, "a connection could not be given up");
    socket.terminate();
  }
}

/** @param about.inherited the client's address, of a connection that comes by the process whose place we have taken */
function createClient(
  context: SocketContext,
  socket: Socket<ClientConnection | undefined>,
  about: { readonly headLimits: HeadLimits; readonly inherited?: string },
): ClientConnection {
  const { headLimits, inherited = null } = about;
  const address = inherited ?? plainAddress(socket.remoteAddress ?? "");
  const client: ClientConnection = {
    wire: createWire(socket, context.scratch),
    address,
    isTrusted: context.isTrusted(address),
    reader: createRequestHeadReader(headLimits),
    unread: null,
    trip: null,
    tunnel: null,
    relay: null,
    isInherited: inherited !== null,
    requests: 0,
    sinceMs: context.nowMs,
    hasHeadBegun: false,
    movedMs: context.nowMs,
    hasEnded: false,
    isDoubted: false,
    isLast: false,
    isServing: false,
    isProbed: false,
    lingerUntilMs: null,
  };
  context.clients.add(client);
  return client;
}

function onBytes(context: SocketContext, client: ClientConnection, bytes: Buffer) {
  if (client.lingerUntilMs !== null) return;
  client.movedMs = context.nowMs;
  if (client.relay !== null) return fromRelayed(client.relay, bytes);
  if (client.tunnel !== null) return fromClient(client.tunnel, bytes);
  if (client.trip !== null) return onClientBytes(context, client.trip, bytes);
  if (client.isLast) return;
  client.unread = bytes;
  serveNext(context, client);
}

/** Goes on with what a client has sent: one request after the other, as long as they are answered at once. */
export function serveNext(context: SocketContext, client: ClientConnection): void {
  if (client.isServing) return;
  client.isServing = true;
  try {
    while (isFree(client) && client.unread !== null) readRequest(context, client, client.unread);
  } finally {
    client.isServing = false;
  }
  if (!isFree(client)) return;
  if (client.hasEnded) endWire(client.wire);
  else letRead(client.wire, HOLD.nobodyThere);
}

function isFree(client: ClientConnection): boolean {
  return !isUnderWay(client) && !client.isLast && !client.wire.isOver;
}

function readRequest(context: SocketContext, client: ClientConnection, bytes: Buffer) {
  const { handingOn } = context;
  if (handingOn !== null) return relayClient(context, { client, bytes }, handingOn);
  client.unread = null;
  const result = client.reader.read(bytes, 0);
  switch (result.kind) {
    case "incomplete":
      if (client.hasHeadBegun) return;
      client.hasHeadBegun = true;
      client.sinceMs = context.nowMs;
      return;
    case "refused":
      return refuseUnread(context, client, result.refusal);
    case "head":
      if (result.end < bytes.length) client.unread = bytes.subarray(result.end);
      return begin(context, client, result.head);
  }
}

function begin(context: SocketContext, client: ClientConnection, request: Http1RequestHead) {
  client.requests += 1;
  const framing = requestFraming(request, context.limits.bodyBytesMax ?? Number.POSITIVE_INFINITY);
  if ("why" in framing) {
    const trip = createTrip(context, client, { request, framing: { kind: "none" } });
    return refuseTrip(context, trip, framing);
  }
  const trip = createTrip(context, client, { request, framing });
  if (request.method === "CONNECT" || request.method === "TRACE") {
    const why = `${request.method} is not forwarded`;
    return refuseTrip(context, trip, { code: "method_refused", why });
  }
  if (request.host === null) {
    return refuseTrip(context, trip, { code: "invalid_host", why: "there is no Host header" });
  }
  admit(context, trip);
}

function createTrip(
  context: SocketContext,
  client: ClientConnection,
  { request, framing }: Pick<Trip, "request" | "framing">,
): Trip {
  const head = headOf(client, request);
  const own = { scheme: context.scheme, host: request.host ?? "" };
  const trip: Trip = {
    kind: "trip",
    client,
    request,
    framing,
    head,
    forwarding: {
      enabled: context.forwarded.enabled,
      peer: { address: client.address, trusted: client.isTrusted },
      public: publicAddressOf(head.header, own, client.isTrusted),
      requestId: null,
      newRequestId: context.newRequestId,
      withoutSecrets: context.withoutSecrets,
    },
    isUpgrade: isWebSocketUpgrade(request) && framing.kind === "none",
    stage: "admitting",
    body: bodyReaderOf(framing, context.limits.bodyBytesMax),
    sentBytes: 0,
    sent: [],
    exchange: null,
    held: null,
    dial: null,
    upstream: null,
    hasRetried: false,
    sentMs: 0,
    isSeen: false,
    answer: null,
    isEnding: false,
    answerBody: null,
    passage: "as-it-came",
    isPersistent: false,
    pieces: null,
  };
  client.trip = trip;
  return trip;
}

/** What the core sees of it. */
function headOf(client: ClientConnection, request: Http1RequestHead): RequestHead {
  return {
    method: request.method,
    target: request.path,
    host: request.host,
    clientAddress: client.address,
    header: (name) => fieldValue(request.fields, name),
  };
}

/** An upgrade that is carried; all others are not asked of the target (RFC 6455, section 4.1). */
function isWebSocketUpgrade(request: Http1RequestHead): boolean {
  return request.method === "GET" && request.upgrade?.toLowerCase() === "websocket";
}

function onDrain(context: SocketContext, client: ClientConnection): void {
  if (client.lingerUntilMs !== null) return;
  if (client.wire.unsentBytes > 0) noteSending(context, client);
  drain(client.wire);
}

/**
 * The client will send nothing more. Whether it has left or only ended its side, as some tools do,
 * looks the same: what it has asked for completely goes on, until it is known to have left.
 */
function onEnd(context: SocketContext, client: ClientConnection) {
  const { relay, trip, tunnel, wire } = client;
  client.hasEnded = true;
  client.isDoubted = true;
  client.movedMs = context.nowMs;
  if (client.lingerUntilMs !== null) return cutWire(wire);
  if (relay !== null) return relayedHasEnded(relay);
  if (tunnel !== null) return clientHasEnded(tunnel, context.nowMs);
  if (trip === null) return endWire(wire);
  if (isCutShort(trip)) cutWire(wire);
}

function onClose(context: SocketContext, client: ClientConnection): void {
  const { relay, trip, tunnel } = client;
  markOver(client.wire);
  context.clients.delete(client);
  client.unread = null;
  client.trip = null;
  if (relay !== null) relayedIsOver(context, relay);
  if (tunnel !== null) clientIsOver(tunnel, context.nowMs);
  if (trip === null) return;
  trip.stage = "over";
  letGo(context, trip);
}
