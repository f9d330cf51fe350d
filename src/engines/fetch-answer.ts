/** Answers on their way to the client: the target's, streamed where that is better, and our own. */

import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Answer } from "./engine.ts";

/**
 * From this length on a body goes through a stream of ours. Bun writes a complete body of 16 KB or
 * more in many tiny packets when its `Response` comes late, which costs more than the stream
 * (measured: 92 against 77 µs for 20 KB), and prints a stack when a body breaks that did not go
 * through one.
 */
const STREAM_FROM_BYTES = 16_384;

/** Bun sends a head only with the first byte of a body; a comment opens an `EventSource` at once. */
const EMPTY_COMMENT = new TextEncoder().encode(":\n\n");

/** How a streamed body came to its end. */
export type BodyEnd = "complete" | "broken" | "left";

/** Nobody reads it: the client has left. */
export function answerToNobody(): Response {
  return new Response(null, { status: 499 });
}

/**
 * Whether an answer's body should go through `streamed`.
 * @param length its header `Content-Length`, from whoever has it already
 */
export function isStreamed(
  response: Response,
  length: string | null = response.headers.get("content-length"),
): boolean {
  // Passed on whole, an answer without a type would be given one by Bun, and browsers would save it as a file.
  const isTyped = length === "0" || response.headers.has("content-type");
  if (isTyped && length !== null && Number(length) < STREAM_FROM_BYTES) return false;
  // Asked last: a body that was looked at is no longer passed on in the cheapest way.
  return response.status >= 200 && response.status <= 599 && response.body !== null;
}

/**
 * The same answer with its body passed on by us, piece by piece, as the client takes it.
 * @param onEnd called exactly once; Bun cancels the stream of a client that has left already, too
 * @param counter counts what was passed on
 */
export function streamed(
  response: Response,
  onEnd: (end: BodyEnd) => void,
  counter: { sentBytes: number },
): Response {
  // `isStreamed` has seen it; a Response without a body has nothing to stream.
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  let isEnded = false;
  const end = (how: BodyEnd) => {
    if (isEnded) return;
    isEnded = true;
    onEnd(how);
  };
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      if (isEventStream(response)) controller.enqueue(EMPTY_COMMENT);
    },
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (isEnded) return;
        if (!done) {
          counter.sentBytes += value.length;
          return controller.enqueue(value);
        }
        controller.close();
        end("complete");
      } catch (error) {
        if (isEnded) return;
        controller.error(error);
        end("broken");
      }
    },
    async cancel(reason) {
      end("left");
      await reader.cancel(reason).catch(ignore);
    },
  });
  return new Response(body, { status: response.status, headers: response.headers });
}

/** A comment in front of a compressed stream would be garbage. */
function isEventStream(response: Response): boolean {
  return (
    response.headers.get("content-type")?.startsWith("text/event-stream") === true &&
    !response.headers.has("content-encoding")
  );
}

/** An answer of our own. A stream is ended with `return()` when the client leaves. */
export function responseOf(answer: Answer, method: string, log: Log): Response {
  const init = { status: answer.status, headers: headersOf(answer) };
  if (typeof answer.body === "string") return new Response(answer.body, init);
  const pieces = answer.body[Symbol.asyncIterator]();
  const finish = async () => {
    try {
      await pieces.return?.();
    } catch (error) {
      log.warn({ reason: messageOf(error) }, "an answer of ours could not be ended");
    }
  };
  if (method === "HEAD") {
    void finish();
    return new Response(null, init);
  }
  return new Response(streamOf(pieces, { finish, log }), init);
}

function streamOf(
  pieces: AsyncIterator<string>,
  options: { readonly finish: () => Promise<void>; readonly log: Log },
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let hasLeft = false;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await pieces.next();
        if (hasLeft) return;
        if (done === true) controller.close();
        else controller.enqueue(encoder.encode(value));
      } catch (error) {
        if (hasLeft) return;
        options.log.warn({ reason: messageOf(error) }, "an answer of ours broke off");
        controller.error(error);
      }
    },
    cancel() {
      hasLeft = true;
      return options.finish();
    },
  });
}

function headersOf(answer: Answer): Headers {
  const headers = new Headers();
  for (const [name, value] of answer.headers) headers.append(name, value);
  return headers;
}

function ignore(): void {
  // The upstream's body was ended by the client's leaving; there is nobody to tell how that went.
}
