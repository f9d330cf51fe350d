/** A target's refusal of a WebSocket, relayed to the client as it came. */

import type { IncomingMessage } from "node:http";
import type { WebSocket as WebSocketClient } from "ws";
import { editAnswerHeaders } from "../headers.ts";
import type { Exchange } from "./engine.ts";
import { isStreamed, streamed } from "./fetch-answer.ts";
import { type FetchContext, GONE, type Journey, legOf, type Outcome } from "./fetch-context.ts";
import { failureOf } from "./forward-failure.ts";

/** Statuses whose answers have no body (RFC 9110, section 6.4.1). */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

/** The headers of a message of `node:http`, repeated ones included. */
export function headersOfMessage(message: IncomingMessage | null): Headers {
  const headers = new Headers();
  const raw = message?.rawHeaders ?? [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    headers.append(raw[index] ?? "", raw[index + 1] ?? "");
  }
  return headers;
}

/** Passes on status, headers and body; the exchange goes back with the last byte. */
export async function relay(
  context: FetchContext,
  call: { readonly journey: Journey; readonly exchange: Exchange },
  refusal: {
    readonly answer: IncomingMessage;
    readonly line: { readonly upstream: WebSocketClient };
  },
): Promise<Outcome> {
  const { handler, completions, silence } = context;
  const { journey, exchange } = call;
  const { answer } = refusal;
  const { upstream } = refusal.line;
  const status = answer.statusCode ?? 0;
  const headers = headersOfMessage(answer);
  const head = { status, header: (name: string) => headers.get(name) };
  const other = handler.answered(exchange, head, true);
  if (other !== null) {
    upstream.terminate();
    return other;
  }
  editAnswerHeaders(headers, legOf(journey, exchange));
  const { signal } = journey.request;
  const hangUp = () => {
    answer.destroy();
    upstream.terminate();
  };
  const finish = () => {
    signal.removeEventListener("abort", hangUp);
    hangUp();
    if (!signal.aborted) silence.keptAlive(journey.request);
    completions.add(journey.request, () => handler.release(exchange));
  };
  signal.addEventListener("abort", hangUp, { once: true });
  try {
    const response = await responseTo(answer, { status, headers });
    if (isStreamed(response)) {
      return { kind: "carried", response: streamed(response, finish, exchange) };
    }
    finish();
    return { kind: "carried", response };
  } catch (error) {
    hangUp();
    if (!signal.aborted) {
      // Its head has come: whatever this was, it is no shortage of connections.
      return handler.failed(exchange, { ...failureOf(error), kind: "broken", replayable: true });
    }
    handler.release(exchange);
    return GONE;
  }
}

/** A short body is read first, so that it keeps its length. */
async function responseTo(
  answer: IncomingMessage,
  init: { readonly status: number; readonly headers: Headers },
): Promise<Response> {
  if (BODILESS.has(init.status)) return new Response(null, init);
  const streaming = new Response(piecesOf(answer), init);
  return isStreamed(streaming) ? streaming : new Response(await streaming.arrayBuffer(), init);
}

async function* piecesOf(answer: IncomingMessage): AsyncGenerator<Uint8Array> {
  for await (const piece of answer) yield piece;
}
