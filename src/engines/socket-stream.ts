/** Event streams: answers that may go on for hours, and that can be ended without losing an event. */

import { fieldValue } from "./http1-fields.ts";
import type { SocketContext, Trip } from "./socket-context.ts";
import { dropUpstream } from "./socket-exchange.ts";
import { tripIsWritten } from "./socket-finish.ts";
import { endWire, writeText } from "./socket-writer.ts";

const EVENT_STREAM = /^text\/event-stream\s*(?:;|$)/i;
const LAST_CHUNK = "0\r\n\r\n";

/** Whether an answer is an event stream that is under way. */
export function isStream({ stage, answer }: Trip): boolean {
  if (stage !== "answering" || answer === null) return false;
  return EVENT_STREAM.test(fieldValue(answer.fields, "content-type") ?? "");
}

/** Whether it can be ended so that its client sees no mistake: not where its length was told before. */
export function canEndStream({ answerBody, isEnding }: Trip): boolean {
  return !isEnding && answerBody !== null && answerBody.kind !== "length";
}

/** Ends an event stream, at once or with the chunk that is passing. Its client comes back by itself. */
export function endStream(context: SocketContext, trip: Trip): void {
  trip.isEnding = true;
  if (mayEndHere(trip)) finishStream(context, trip);
}

/** Whether nothing is missing where a stream that is to end has got to. */
export function mayEndHere({ answerBody, isEnding, passage }: Trip): boolean {
  if (!isEnding || answerBody === null) return false;
  if (passage !== "as-it-came" || answerBody.kind !== "chunked") return true;
  return answerBody.scanner.isBetweenChunks;
}

/** The stream looks complete to its client; the target hears that nobody listens any more. */
export function finishStream(context: SocketContext, trip: Trip): void {
  const { client, answerBody, passage } = trip;
  dropUpstream(context, trip);
  const isChunked = passage === "in-chunks" || answerBody?.kind === "chunked";
  if (passage === "unchunked" || !isChunked) {
    client.isLast = true;
    tripIsWritten(context, trip);
    endWire(client.wire);
  } else {
    writeText(client.wire, LAST_CHUNK);
    tripIsWritten(context, trip);
  }
}
