/** A client's connection: requests out, answers in, and every answer checked against what was asked. */

import type { Chance } from "../support/random.ts";
import { connectLine, type Line } from "./line.ts";
import { announcedFraming, createMessageReader, type MessageHead } from "./message-reader.ts";
import type { Noise } from "./noise.ts";
import {
  type BodyCheck,
  checkBody,
  headFault,
  type LoadRequest,
  requestBody,
  requestHead,
} from "./request.ts";

/** What came of a request. */
export type Outcome =
  | { readonly kind: "right"; readonly bytes: number }
  /** Paastis itself answered. */
  | { readonly kind: "own"; readonly status: number; readonly code: string }
  /** The connection ended before the answer was complete. */
  | { readonly kind: "broken"; readonly why: string }
  /** An answer of Paastis itself to an earlier request has ended the connection, and said so. */
  | { readonly kind: "unserved" }
  /** A wrong byte, status or framing, or an answer to something else. */
  | { readonly kind: "wrong"; readonly why: string };

export interface HttpClient {
  readonly line: Line;
  /** Expects the answer to a request; what is sent, and how, is up to the caller. */
  expect(request: LoadRequest): Promise<Outcome>;
  /** Sends a whole request, and waits for its answer. */
  ask(request: LoadRequest, chance: Chance): Promise<Outcome>;
  /** Bytes of answers' bodies so far. */
  readonly bytes: number;
  /** The server has announced that nothing follows on this connection. */
  readonly isLast: boolean;
  /** It was asked whether it still reads. */
  readonly isAsked: boolean;
}

export interface HttpClientOptions {
  readonly noise: Noise;
  /** Framings must be what the app has chosen; not so behind the fetch engine. */
  readonly exact: boolean;
  /** Called for each piece of an answer. */
  readonly onPiece?: (client: HttpClient) => void;
  /** Something came that nobody has asked for. */
  readonly onStray?: (why: string) => void;
}

interface Expected {
  readonly request: LoadRequest;
  readonly check: BodyCheck;
  own: { readonly status: number; readonly code: string } | null;
  settle(outcome: Outcome): void;
}

export async function connectHttp(port: number, options: HttpClientOptions): Promise<HttpClient> {
  const { noise, exact, onPiece, onStray } = options;
  const queue: Expected[] = [];
  const state = { bytes: 0, isLast: false, isRefused: false, isAsked: false };
  const settle = (outcome: Outcome) => queue.shift()?.settle(outcome);
  const fail = (why: string) => {
    if (queue.length === 0) onStray?.(why);
    settle({ kind: "wrong", why });
    client.line.cut();
  };
  const reader = createMessageReader({
    onHead(head) {
      const expected = queue[0];
      if (expected === undefined) throw new Error(`"${head.first}" without a request`);
      if (head.first.startsWith("HTTP/1.1 100 ") && line.isHalfClosed && !state.isAsked) {
        state.isAsked = true;
        return { kind: "interim" };
      }
      if (head.fields.get("connection") === "close") state.isLast = true;
      const own = ownAnswer(head);
      expected.own = own;
      const fault = own === null ? headFault(expected.request, head, exact) : null;
      if (fault !== null) throw new Error(`${fault}; head: ${JSON.stringify(head.first)}`);
      return answerFraming(expected.request, head);
    },
    onBody(piece) {
      state.bytes += piece.length;
      if (queue[0]?.own === null) queue[0].check.piece(piece);
      onPiece?.(client);
    },
    onEnd() {
      const expected = queue[0];
      if (expected === undefined) throw new Error("an end without a request");
      if (expected.own !== null) {
        state.isRefused = state.isLast;
        return settle({ kind: "own", ...expected.own });
      }
      const why = expected.check.end();
      settle(
        why === null ? { kind: "right", bytes: expected.check.bytes } : { kind: "wrong", why },
      );
    },
  });
  const line = await connectLine(port, {
    onBytes(bytes) {
      try {
        reader.push(bytes);
      } catch (error) {
        // Whoever has left in the middle still gets the rest of what had come.
        if (line.isOver) return;
        fail(error instanceof Error ? error.message : String(error));
      }
    },
    onOver() {
      reader.close();
      for (const { check, settle: over } of queue.splice(0)) over(endOf(check, state.isRefused));
    },
  });
  const client: HttpClient = {
    line,
    get bytes() {
      return state.bytes;
    },
    get isLast() {
      return state.isLast;
    },
    get isAsked() {
      return state.isAsked;
    },
    expect(request) {
      if (line.isOver) return Promise.resolve({ kind: "broken", why: "it was closed" });
      return new Promise((resolve) => {
        queue.push({ request, check: checkBody(noise, request), own: null, settle: resolve });
      });
    },
    async ask(request, chance) {
      const outcome = client.expect(request);
      line.send(requestHead(request));
      for (const piece of requestBody(noise, chance, request)) {
        await line.sent();
        if (line.isOver) break;
        line.send(piece);
      }
      return await outcome;
    },
  };
  return client;
}

/** What an end in the middle means. What did come must be right all the same. */
function endOf({ bytes, fault }: BodyCheck, isRefused: boolean): Outcome {
  if (fault !== null) return { kind: "wrong", why: fault };
  if (isRefused && bytes === 0) return { kind: "unserved" };
  return { kind: "broken", why: `after ${bytes} bytes of the body` };
}

function ownAnswer({ first, fields }: MessageHead) {
  const code = fields.get("paastis-error");
  return code === undefined ? null : { status: Number(first.split(" ")[1]), code };
}

function answerFraming({ method }: LoadRequest, head: MessageHead) {
  const status = Number(head.first.split(" ")[1]);
  if (status === 101) return { kind: "raw" } as const;
  if (status < 200) return { kind: "interim" } as const;
  const hasNoBody = method === "HEAD" || status === 204 || status === 304;
  if (hasNoBody) return { kind: "length", bytes: 0 } as const;
  return announcedFraming(head) ?? ({ kind: "until-close" } as const);
}
