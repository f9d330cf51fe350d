/** What the parts of the socket engine share: its connections, the requests on them, its limits. */

import type { Clock } from "../clock.ts";
import type { Config, UpstreamConfig } from "../config.ts";
import { messageOf } from "../errors.ts";
import type { Forwarding, Leg } from "../headers.ts";
import type { Log } from "../log.ts";
import type { Dial, Pool } from "./connection-pool.ts";
import type { EngineOptions, Exchange, Held, RequestHandler, RequestHead } from "./engine.ts";
import type { RequestFraming } from "./http1-framing.ts";
import type { HeadReader, Http1RequestHead, Http1ResponseHead } from "./http1-head.ts";
import type { QuietSockets } from "./quiet-sockets.ts";
import type { BodyReader } from "./socket-body.ts";
import type { Relay } from "./socket-relay.ts";
import type { Wire } from "./socket-writer.ts";
import type { Tunnel } from "./tunnel.ts";
import type { UpstreamConnection } from "./upstream-lanes.ts";

/** Whom a connection to a target works for. */
export type UpstreamUser = Trip | Tunnel;

/** Everything one engine has. */
export interface SocketContext {
  readonly handler: RequestHandler;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: EngineOptions["limits"];
  readonly upstream: UpstreamConfig;
  readonly forwarded: Config["forwarded"];
  readonly newRequestId: () => string;
  readonly withoutSecrets: Forwarding["withoutSecrets"];
  /** What clients speak to us. */
  readonly scheme: "http" | "https";
  readonly isTrusted: (address: string) => boolean;
  readonly clients: Set<ClientConnection>;
  readonly tunnels: Set<Tunnel>;
  readonly quiet: QuietSockets;
  readonly pool: Pool<UpstreamUser>;
  readonly scratch: Buffer;
  /** What the clock said when the deadlines were last looked at, ms since the epoch. */
  nowMs: number;
  /** Idle clients are not given up before; ms since the epoch. */
  reliefFromMs: number;
  /** No connection gets another request. */
  isStopping: boolean;
  /** Another process takes our place: what comes from now on is for it. `null`: nobody does. */
  handingOn: HandingOn | null;
  /** Goes on with what a client has sent already. */
  readonly serveNext: (client: ClientConnection) => void;
}

/** Where connections go on when another process takes our place. */
export interface HandingOn {
  /** Its private socket; `null`: it does not listen there yet. */
  socketPath: string | null;
  /** What waits until it does. */
  readonly waiting: Set<Relay>;
}

/** A client's connection. */
export interface ClientConnection {
  readonly wire: Wire;
  /** Without `::ffff:`. */
  readonly address: string;
  readonly isTrusted: boolean;
  /** Reads the next request's head. */
  readonly reader: HeadReader<Http1RequestHead>;
  /** What came and belongs to nobody yet: a body's beginning, or the next requests. */
  unread: Buffer | null;
  /** The request that is being served. */
  trip: Trip | null;
  tunnel: Tunnel | null;
  /** It goes on with the process that takes our place. */
  relay: Relay | null;
  /** It came by the process whose place we have taken, which ends it with its answer. */
  readonly isInherited: boolean;
  /** Requests so far. */
  requests: number;
  /** Since when it is idle, or reads the head that has begun; ms since the epoch. */
  sinceMs: number;
  hasHeadBegun: boolean;
  /** When something last went to or came from the client; ms since the epoch. */
  movedMs: number;
  /** It will send nothing more; whether it still reads only writing can tell. */
  hasEnded: boolean;
  /** Nothing was sent to it since it has ended: it may have left. */
  isDoubted: boolean;
  /** The connection ends with the answer that is on its way. */
  isLast: boolean;
  /** Its requests are being read in a loop further up. */
  isServing: boolean;
  /** The system asks whether its machine is still there. */
  isProbed: boolean;
  /** Our side has ended; what still comes is thrown away until then, ms since the epoch. */
  lingerUntilMs: number | null;
}

/** Where a request is. */
export type Stage =
  /** The core decides. */
  | "admitting"
  | "connecting"
  /** Sent, or being sent; no answer's head yet. */
  | "waiting"
  | "answering"
  /** Everything was written, not everything was sent. */
  | "flushing"
  | "over";

/** One request, from its head to its answer's last byte. */
export interface Trip {
  readonly kind: "trip";
  readonly client: ClientConnection;
  readonly request: Http1RequestHead;
  readonly framing: RequestFraming;
  readonly head: RequestHead;
  readonly forwarding: Forwarding;
  readonly isUpgrade: boolean;
  stage: Stage;
  /** What is left of the request's body. */
  body: BodyReader;
  /** Body bytes sent on the present attempt. */
  sentBytes: number;
  /** The same bytes, so that they can be sent again; `null` when they cannot. */
  sent: Buffer[] | null;
  /** The lease; handed back exactly once. */
  exchange: Exchange | null;
  held: Held | null;
  dial: Dial | null;
  upstream: UpstreamConnection<UpstreamUser> | null;
  /** Was sent anew because a kept connection had died. */
  hasRetried: boolean;
  /** When the last byte of it was sent; ms since the epoch. */
  sentMs: number;
  /** Something came from the target for this request. */
  isSeen: boolean;
  /** The answer's head, once it is passed on. */
  answer: Http1ResponseHead | null;
  /** It is an event stream that is to end as soon as nothing would be missing. */
  isEnding: boolean;
  answerBody: BodyReader | null;
  /** How the answer's body reaches the client. */
  passage: "as-it-came" | "in-chunks" | "unchunked";
  /** The target keeps its connection open for the next request. */
  isPersistent: boolean;
  /** An answer of ours that comes in pieces. */
  pieces: AsyncIterator<string> | null;
}

/** How addresses are rewritten for this exchange. */
export function legOf(trip: Trip, { target, app }: Exchange): Leg {
  const host = app.policy.preserveHost ? (trip.head.host ?? target.host) : target.host;
  return { public: trip.forwarding.public, target, host };
}

/** Hands the lease back. Harmless when there is none. */
export function release(context: SocketContext, trip: Trip): void {
  const { exchange } = trip;
  if (exchange === null) return;
  trip.exchange = null;
  exchange.receivedBytes = trip.sentBytes;
  context.handler.release(exchange);
}

/** Reports a mistake of ours. */
export function reportMistake(context: SocketContext, error: unknown): void {
  const stack = error instanceof Error ? error.stack : undefined;
  context.log.error({ reason: messageOf(error), stack }, "a request broke: please report it");
}

/** A client is being sent something. One that has left answers with a reset, which closes its connection. */
export function noteSending(context: SocketContext, client: ClientConnection): void {
  client.movedMs = context.nowMs;
  client.isDoubted = false;
}

/** Whether a client's connection carries something now. */
export function isUnderWay(client: ClientConnection): boolean {
  return client.trip !== null || client.tunnel !== null || client.relay !== null;
}
