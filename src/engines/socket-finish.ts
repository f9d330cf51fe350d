/** What follows an answer: the next request on the same connection, or its end. */

import { isBodyDone } from "./socket-body.ts";
import { type ClientConnection, release, type SocketContext, type Trip } from "./socket-context.ts";
import { endWire, HOLD, letRead, setSource, whenSent } from "./socket-writer.ts";

/**
 * How long we go on reading after our last byte, ms. Closing with unread bytes would reset the
 * connection, and the client could lose the answer (RFC 9112, section 9.6).
 */
const LINGER_MS = 2_000;

/** What the head of the answer says about the connection; decides whether it is the last one. */
export function persistenceOf(context: SocketContext, trip: Trip): "close" | "keep-alive" | null {
  const { client, request } = trip;
  const isLast =
    client.isLast ||
    context.isStopping ||
    // Whoever comes back comes to the process that takes our place. What was sent ahead is carried there.
    ((context.handingOn !== null || client.isInherited) && client.unread === null) ||
    !request.persistent ||
    !isBodyDone(trip.body) ||
    // It was not for us: a client that spoke before it was upgraded was to be a WebSocket's.
    (trip.isUpgrade && client.unread !== null);
  client.isLast = isLast;
  if (isLast) return "close";
  return request.minor === 0 ? "keep-alive" : null;
}

/** The whole answer was written; the lease goes back with its last byte. */
export function tripIsWritten(context: SocketContext, trip: Trip): void {
  trip.stage = "flushing";
  setSource(trip.client.wire, null);
  whenSent(trip.client.wire, () => tripIsOver(context, trip));
}

function tripIsOver(context: SocketContext, trip: Trip) {
  const { client } = trip;
  trip.stage = "over";
  client.trip = null;
  release(context, trip);
  if (client.isLast || context.isStopping) {
    return closeClient(context, client, { mayComeMore: !isBodyDone(trip.body) });
  }
  client.hasHeadBegun = false;
  client.sinceMs = context.nowMs;
  if (client.unread !== null) return context.serveNext(client);
  if (client.hasEnded) return endWire(client.wire);
  letRead(client.wire, HOLD.nobodyThere);
}

/** Ends a client's connection behind what it has been sent. */
export function closeClient(
  context: SocketContext,
  client: ClientConnection,
  { mayComeMore }: { readonly mayComeMore: boolean },
) {
  const { wire } = client;
  client.isLast = true;
  if (client.hasEnded || (!mayComeMore && client.unread === null)) return endWire(wire);
  client.unread = null;
  whenSent(wire, () => {
    if (wire.isOver) return;
    client.lingerUntilMs = context.nowMs + LINGER_MS;
    wire.socket.shutdown();
    letRead(wire, HOLD.nobodyThere);
  });
}
