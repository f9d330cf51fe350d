/** Ends a socket engine: politely first, then for good. */

import type { CancelTimer } from "../clock.ts";
import { isUnderWay, type SocketContext } from "./socket-context.ts";
import { cutWire, endWire } from "./socket-writer.ts";
import { closeTunnel, cutTunnel } from "./tunnel.ts";

/** How often we look whether everything is done, ms. */
const LOOK_MS = 20;

/** How long both sides of a WebSocket get to close, when the grace has that much left, ms. */
const CLOSE_MS = 1_000;

/** RFC 6455, section 7.4.1: an endpoint is going away. */
const GOING_AWAY = 1001;

/** @returns `stop` of the engine */
export function createStop(
  context: SocketContext,
  options: { readonly stopListening: () => void; readonly onStopped: () => void },
): (graceMs: number) => Promise<void> {
  const { clock } = context;
  const stopped = Promise.withResolvers<void>();
  let cutMs = Number.POSITIVE_INFINITY;
  let cancelLook: CancelTimer | null = null;
  let isStopped = false;

  const look = () => {
    cancelLook?.();
    cancelLook = null;
    if (isStopped) return;
    const nowMs = clock.now();
    context.nowMs = nowMs;
    endIdle(context);
    // The last stretch of the grace belongs to the sockets, whatever the requests do.
    if (!hasRequests(context) || nowMs >= cutMs - CLOSE_MS) closeTunnels(context);
    if (nowMs >= cutMs) cutAll(context);
    if (context.clients.size > 0 || context.tunnels.size > 0) {
      cancelLook = clock.after(Math.max(0, Math.min(LOOK_MS, cutMs - nowMs)), look);
      return;
    }
    isStopped = true;
    context.pool.close();
    options.onStopped();
    stopped.resolve();
  };

  return (graceMs) => {
    if (!context.isStopping) {
      context.isStopping = true;
      options.stopListening();
    }
    cutMs = Math.min(cutMs, clock.now() + graceMs);
    look();
    return stopped.promise;
  };
}

function endIdle(context: SocketContext): void {
  for (const client of context.clients) {
    if (!isUnderWay(client) && client.lingerUntilMs === null) endWire(client.wire);
  }
}

function hasRequests(context: SocketContext): boolean {
  for (const client of context.clients) if (client.trip !== null) return true;
  return false;
}

function closeTunnels(context: SocketContext): void {
  for (const tunnel of context.tunnels) closeTunnel(tunnel, GOING_AWAY);
}

function cutAll(context: SocketContext): void {
  for (const tunnel of context.tunnels) cutTunnel(tunnel);
  for (const client of context.clients) if (client.tunnel === null) cutWire(client.wire);
}
