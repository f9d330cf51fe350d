/** Gives up idle connections when there is nothing left to open new ones with. */

import { isUnderWay, type SocketContext } from "./socket-context.ts";
import { endWire } from "./socket-writer.ts";

/** Those who come back at once must not be sent away again and again, ms. */
const RELIEF_PAUSE_MS = 1000;

/** Ends clients' connections that carry nothing, unless that was done within the last second. */
export function relieve(context: SocketContext): void {
  if (context.nowMs < context.reliefFromMs) return;
  context.reliefFromMs = context.nowMs + RELIEF_PAUSE_MS;
  // A copy: ending one may take it out of the set at once.
  for (const client of [...context.clients]) {
    if (!isUnderWay(client) && !client.hasHeadBegun) endWire(client.wire);
  }
}
