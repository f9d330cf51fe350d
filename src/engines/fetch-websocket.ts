/** WebSockets: opens the target's side first, then upgrades the client, then makes both one. */

import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import type { CancelTimer } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Exchange } from "./engine.ts";
import {
  conduct,
  type FetchContext,
  GONE,
  type Journey,
  type OpenBridge,
  type Outcome,
} from "./fetch-context.ts";
import {
  type Closing,
  callOf,
  dial,
  type Line,
  MESSAGE_BYTES_MAX,
  upgradeHeadersOf,
} from "./fetch-websocket-dial.ts";
import type { FollowedSocket } from "./quiet-sockets.ts";

/** A client that sends faster than the target takes is paused at this many bytes. */
const UPSTREAM_BUFFER_BYTES_MAX = 1024 * 1024;

/** How long a side gets to finish the closing handshake that the other began, in ms. */
const CLOSE_MS = 10_000;

/**
 * A silent client is asked with a ping whether it is still there, and given up this long after its
 * last sign of life, in seconds; the most that Bun allows. A client that vanished must not keep its
 * app awake.
 */
const SILENCE_MAX_S = 960;

/**
 * What closes without a status: nothing was said, or the connection just ended (RFC 6455, section
 * 7.4.1).
 */
const NO_STATUS = 1005;
const ABNORMAL = 1006;

/** Both sides of one WebSocket. */
export interface Bridge extends OpenBridge {
  readonly line: Line;
  /** `null` until the client's upgrade is complete, and again once it has closed. */
  client: ServerWebSocket<Bridge> | null;
  isClientOver: boolean;
  isClientPaused: boolean;
  isOver: boolean;
  /** Ends the side that does not finish closing. */
  cancelPatience: CancelTimer | null;
  /** Whoever wants to know of messages; `null`: nobody. */
  followed: FollowedSocket | null;
  /** Hands the exchange back; called once, when both sides are closed. */
  readonly onOver: () => void;
}

/** Carries one upgrade request, refused ones included. */
export async function bridge(
  context: FetchContext,
  journey: Journey,
  server: Server<Bridge>,
): Promise<Response | undefined> {
  const call = callOf(journey);
  return conduct(context, journey, {
    admission: context.handler.admit(journey.head),
    attempt: async (exchange) => {
      const dialled = await dial(context, call, exchange);
      return dialled.kind === "line"
        ? upgrade(context, { journey, exchange, line: dialled }, server)
        : dialled;
    },
  });
}

function upgrade(
  context: FetchContext,
  ready: { readonly journey: Journey; readonly exchange: Exchange; readonly line: Line },
  server: Server<Bridge>,
): Outcome {
  const { exchange, journey, line } = ready;
  exchange.requestId = journey.forwarding.requestId;
  const data = createBridge(context, exchange, line);
  const headers = upgradeHeadersOf(line, journey, exchange);
  if (server.upgrade(journey.request, { headers, data })) return { kind: "carried" };
  data.isClientOver = true;
  line.upstream.terminate();
  settle(data);
  return GONE;
}

function createBridge(context: FetchContext, exchange: Exchange, line: Line): Bridge {
  const data: Bridge = {
    exchange,
    line,
    client: null,
    isClientOver: false,
    isClientPaused: false,
    isOver: false,
    cancelPatience: null,
    followed: null,
    close: (code, reason) => data.client?.close(code, reason),
    cut: () => {
      data.client?.terminate();
      line.upstream.terminate();
    },
    onOver: () => {
      context.bridges.delete(data);
      if (data.followed === null) context.handler.release(exchange);
      else data.followed.over();
    },
  };
  data.followed = context.quiet.follow(exchange, (code) => data.close(code, ""));
  context.bridges.add(data);
  line.listener = {
    onMessage: (message) => toClient(data, message),
    // An app's ping keeps the way to the client open, and tells clients that wait for one.
    onPing: (payload) => data.client?.ping(payload),
    onClose: (closing) => {
      closeClient(context, data, closing);
      settle(data);
    },
  };
  return data;
}

/** What `Bun.serve` calls for clients' sockets. */
export function websocketHandler(context: FetchContext): WebSocketHandler<Bridge> {
  return {
    maxPayloadLength: MESSAGE_BYTES_MAX,
    backpressureLimit: 0,
    closeOnBackpressureLimit: false,
    perMessageDeflate: false,
    idleTimeout: SILENCE_MAX_S,
    sendPings: true,
    open(client) {
      const { data } = client;
      data.client = client;
      for (const message of data.line.early.splice(0)) toClient(data, message);
      if (data.line.closed !== null) closeClient(context, data, data.line.closed);
    },
    message: (client, message) => toUpstream(client.data, message),
    drain: (client) => client.data.line.upstream.resume(),
    ping: (client, payload) => {
      const { upstream } = client.data.line;
      if (isOpen(client.data)) upstream.ping(payload);
    },
    close: (client, code, reason) => onClientClose(context, client.data, { code, reason }),
    error: (error) => context.log.error({ reason: messageOf(error) }, "a WebSocket went wrong"),
  };
}

function toClient(data: Bridge, message: string | Buffer): void {
  data.followed?.said();
  data.exchange.sentBytes += Buffer.byteLength(message);
  const { client, line } = data;
  if (client === null) {
    if (!data.isClientOver) line.early.push(message);
    return;
  }
  // -1: taken, but the client is slower than the app; `drain` follows.
  if (client.send(message) === -1) line.upstream.pause();
}

function toUpstream(data: Bridge, message: string | Buffer): void {
  if (!isOpen(data)) return;
  data.followed?.said();
  data.exchange.receivedBytes += Buffer.byteLength(message);
  const { upstream } = data.line;
  upstream.send(message, () => {
    if (!data.isClientPaused || upstream.bufferedAmount > UPSTREAM_BUFFER_BYTES_MAX) return;
    data.isClientPaused = false;
    data.client?.resume();
  });
  if (data.isClientPaused || upstream.bufferedAmount <= UPSTREAM_BUFFER_BYTES_MAX) return;
  data.isClientPaused = true;
  data.client?.pause();
}

function closeClient(context: FetchContext, data: Bridge, { code, reason }: Closing): void {
  const { client } = data;
  if (client === null) return;
  // Its own close frame may be among what was not read yet.
  client.resume();
  if (code === ABNORMAL) client.terminate();
  else if (code === NO_STATUS) client.close(NO_STATUS);
  else client.close(code, reason);
  // Closing may have called us back already.
  if (data.client !== null) beginPatience(context, data, () => data.client?.terminate());
}

function onClientClose(context: FetchContext, data: Bridge, { code, reason }: Closing): void {
  const { upstream } = data.line;
  data.client = null;
  data.isClientOver = true;
  if (data.line.closed === null) {
    // What the target still sends goes nowhere, but its close frame must be read.
    upstream.resume();
    if (code === ABNORMAL) upstream.terminate();
    else if (code === NO_STATUS) upstream.close();
    else upstream.close(code, reason);
    beginPatience(context, data, () => upstream.terminate());
  }
  settle(data);
}

function beginPatience(context: FetchContext, data: Bridge, onTooLong: () => void): void {
  data.cancelPatience?.();
  data.cancelPatience = context.clock.after(CLOSE_MS, onTooLong);
}

function settle(data: Bridge): void {
  if (data.isOver || !data.isClientOver || data.line.closed === null) return;
  data.isOver = true;
  data.cancelPatience?.();
  data.onOver();
}

function isOpen(data: Bridge): boolean {
  return data.line.upstream.readyState === 1;
}
