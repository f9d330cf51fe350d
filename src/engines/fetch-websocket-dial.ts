/** Opens the target's side of a WebSocket, or brings back what the target said instead. */

import type { IncomingMessage } from "node:http";
import { WebSocket as WebSocketClient } from "ws";
import { addressOf, type Target } from "../app.ts";
import { dropHopByHop, editAnswerHeaders, setDestination, setForwarded } from "../headers.ts";
import { tlsTo } from "../target-route.ts";
import type { Exchange } from "./engine.ts";
import {
  type FetchContext,
  GONE,
  type Journey,
  legOf,
  type Outcome,
  reportFailure,
} from "./fetch-context.ts";
import { type Expiry, hasDeadline, watchAttempt } from "./fetch-deadline.ts";
import { headersOfMessage, relay } from "./fetch-websocket-refusal.ts";
import { failureOf } from "./forward-failure.ts";

/** Longest message either way, in bytes; the limit of Bun's client, which is fixed. */
export const MESSAGE_BYTES_MAX = 128 * 1024 * 1024;

/** How a side closed. */
export interface Closing {
  readonly code: number;
  readonly reason: string;
}

/** Who is told what the target's side does. */
export interface LineListener {
  readonly onMessage: (message: string | Buffer) => void;
  readonly onPing: (payload: Buffer) => void;
  readonly onClose: (closing: Closing) => void;
}

/** The target's side. What happens before somebody listens is kept. */
export interface Line {
  readonly kind: "line";
  readonly upstream: WebSocketClient;
  readonly early: (string | Buffer)[];
  /** The target's 101. */
  answer: IncomingMessage | null;
  /** `null` while it is open. */
  closed: Closing | null;
  listener: LineListener | null;
}

/** An upgrade request, and its headers as the target gets them. */
export interface Call {
  readonly journey: Journey;
  readonly headers: Headers;
  readonly protocols: readonly string[];
}

/** Said anew on each side. Compression is per connection: it would be undone and redone here. */
const HANDSHAKE: readonly string[] = [
  "content-length",
  "sec-websocket-accept",
  "sec-websocket-extensions",
  "sec-websocket-key",
  "sec-websocket-protocol",
  "sec-websocket-version",
];

/** The request's own headers stay as they are: the client's upgrade is made from them. */
export function callOf(journey: Journey): Call {
  const headers = new Headers(journey.request.headers);
  const offered = headers.get("sec-websocket-protocol")?.split(",") ?? [];
  dropHopByHop(headers);
  setForwarded(headers, journey.forwarding);
  for (const name of HANDSHAKE) headers.delete(name);
  const protocols = offered.map((name) => name.trim()).filter((name) => name !== "");
  return { journey, headers, protocols: [...new Set(protocols)] };
}

/**
 * One attempt. The exchange has been handed back unless a line or a refusal on its way is returned.
 */
export async function dial(
  context: FetchContext,
  call: Call,
  exchange: Exchange,
): Promise<Line | Outcome> {
  const { handler } = context;
  const { signal } = call.journey.request;
  const reply = await ask(context, call, exchange);
  if (signal.aborted || reply.kind === "left") {
    reply.line?.upstream.terminate();
    handler.release(exchange);
    return GONE;
  }
  switch (reply.kind) {
    case "agreed":
      handler.answered(exchange, { status: 101, header: headerOf(reply.line.answer) }, false);
      return reply.line;
    case "refused":
      return relay(context, { ...call, exchange }, reply);
    case "failed":
      reply.line?.upstream.terminate();
      return reportFailure(context, exchange, {
        ...reply.failure,
        replayable: reply.failure.kind !== "exhausted",
      });
  }
}

/** The headers of the client's 101. */
export function upgradeHeadersOf(line: Line, journey: Journey, exchange: Exchange): Headers {
  const headers = headersOfMessage(line.answer);
  editAnswerHeaders(headers, legOf(journey, exchange));
  for (const name of HANDSHAKE) headers.delete(name);
  if (line.upstream.protocol !== "") {
    headers.set("sec-websocket-protocol", line.upstream.protocol);
  }
  return headers;
}

type Reply =
  | { readonly kind: "agreed"; readonly line: Line }
  | { readonly kind: "refused"; readonly line: Line; readonly answer: IncomingMessage }
  | {
      readonly kind: "failed";
      readonly line?: Line;
      readonly failure: Expiry;
    }
  | { readonly kind: "left"; readonly line?: Line };

/** Never rejects. */
async function ask(context: FetchContext, call: Call, exchange: Exchange): Promise<Reply> {
  const { signal } = call.journey.request;
  if (signal.aborted) return { kind: "left" };
  const ends: (() => void)[] = [];
  try {
    const url = urlOf(exchange.target, call.journey.head.target);
    if (url === null) return { kind: "failed", failure: unnameable(exchange.target) };
    const line = openLine(url, call, exchange);
    return await new Promise<Reply>((resolve) => {
      const onAbort = () => resolve({ kind: "left", line });
      // Once upgraded, the signal also fires when the client closes; that is the bridge's business.
      signal.addEventListener("abort", onAbort, { once: true });
      ends.push(() => signal.removeEventListener("abort", onAbort));
      const attempt = { ...context.limits, target: exchange.target };
      if (hasDeadline(attempt, exchange.target)) {
        const onExpire = (failure: Expiry) => resolve({ kind: "failed", line, failure });
        ends.push(watchAttempt(context.clock, attempt, onExpire));
      }
      line.upstream.on("open", () => resolve({ kind: "agreed", line }));
      line.upstream.on("unexpected-response", (_request, answer) =>
        resolve({ kind: "refused", line, answer }),
      );
      line.upstream.on("error", (error) =>
        resolve({ kind: "failed", line, failure: failureOf(error) }),
      );
    });
  } catch (error) {
    return { kind: "failed", failure: failureOf(error) };
  } finally {
    for (const end of ends) end();
  }
}

/** `null`: Bun's client cannot be told this path of a socket: it changes some characters and ends it at a colon. */
function urlOf({ origin, socketPath }: Target, requestTarget: string): string | null {
  if (socketPath === undefined) return origin.replace(/^http/, "ws") + requestTarget;
  const url = `ws+unix://${socketPath}`;
  const isKept = !socketPath.includes(":") && URL.parse(url)?.pathname === socketPath;
  return isKept ? `${url}:${requestTarget}` : null;
}

/** Not `unreachable`: the app is well, and nothing would be better after a wake. */
function unnameable(target: Target): Expiry {
  const where = addressOf(target);
  const message = `the fetch engine opens no WebSocket at ${where}: its path needs plain letters and digits`;
  return { kind: "broken", message };
}

function openLine(url: string, call: Call, exchange: Exchange): Line {
  setDestination(call.headers, legOf(call.journey, exchange), call.journey.origin);
  const upstream = new WebSocketClient(url, call.protocols, {
    headers: call.headers.toJSON(),
    perMessageDeflate: false,
    followRedirects: false,
    maxPayload: MESSAGE_BYTES_MAX,
    ...tlsTo(exchange.target, exchange.app.policy),
  });
  const line: Line = {
    kind: "line",
    upstream,
    early: [],
    answer: null,
    closed: null,
    listener: null,
  };
  upstream.on("upgrade", (answer) => {
    line.answer = answer;
  });
  upstream.on("message", (data, isBinary) => {
    const message = isBinary ? data : data.toString("utf8");
    if (line.listener === null) line.early.push(message);
    else line.listener.onMessage(message);
  });
  upstream.on("ping", (payload) => line.listener?.onPing(payload));
  upstream.on("close", (code, reason) => {
    line.closed = { code, reason: reason.toString("utf8") };
    line.listener?.onClose(line.closed);
  });
  return line;
}

function headerOf(answer: IncomingMessage | null): (name: string) => string | null {
  return (name) => {
    const value = answer?.headers[name];
    return Array.isArray(value) ? value.join(", ") : (value ?? null);
  };
}
