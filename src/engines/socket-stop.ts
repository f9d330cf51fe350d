/** Ends a socket engine: politely first, then for good. */

import type { CancelTimer } from "../clock.ts";
import { isUnderWay, type SocketContext } from "./socket-context.ts";
import type { ClientListener } from "./socket-listener.ts";
import { cutWire, endWire } from "./socket-writer.ts";
import { closeTunnel, cutTunnel } from "./tunnel.ts";

/** How often we look whether everything is done, ms. */
const LOOK_MS = 20;

/** How long both sides of a WebSocket get to close, when the grace has that much left, ms. */
const CLOSE_MS = 1_000;

/** RFC 6455, section 7.4.1: an endpoint is going away. */
const GOING_AWAY = 1001;

/**
 * While connections go on with another process, one that nothing comes on is ended after so long, ms: a client that is
 * about to send something would lose it, and few are after so long.
 */
const LAST_CALL_MS = 5_000;

/** What ends an engine. */
export interface Stop {
  /** See `Engine.stop`. */
  stop(graceMs: number): Promise<void>;
  /** The same where another process takes our place: sockets stay as long as they may. */
  leave(graceMs: number): Promise<void>;
}

/** What is listened on. */
export type Listening = Pick<ClientListener, "incomplete" | "stopAccepting" | "stop">;

/** Nothing is ended yet. */
export function createStop(
  context: SocketContext,
  options: { readonly listener: Listening; readonly onStopped: () => void },
): Stop {
  const { clock } = context;
  const { listener } = options;
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
    endIdle(context, context.isStopping ? nowMs : nowMs - LAST_CALL_MS);
    // The last stretch of the grace belongs to the sockets, whatever the requests do.
    const isDone = context.isStopping && !hasRequests(context);
    if (isDone || nowMs >= cutMs - CLOSE_MS) closeTunnels(context);
    if (nowMs >= cutMs) {
      listener.stop();
      cutAll(context);
    }
    if (context.clients.size > 0 || context.tunnels.size > 0 || listener.incomplete > 0) {
      cancelLook = clock.after(Math.max(0, Math.min(LOOK_MS, cutMs - nowMs)), look);
      return;
    }
    isStopped = true;
    context.pool.close();
    options.onStopped();
    stopped.resolve();
  };
  const end = (graceMs: number) => {
    cutMs = Math.min(cutMs, clock.now() + graceMs);
    look();
    return stopped.promise;
  };
  return {
    stop(graceMs) {
      if (!context.isStopping) {
        context.isStopping = true;
        listener.stop();
      }
      return end(graceMs);
    },
    leave(graceMs) {
      if (!context.isStopping) listener.stopAccepting();
      return end(graceMs);
    },
  };
}

/** @param sinceMs those that have been so for as long as that */
function endIdle(context: SocketContext, sinceMs: number): void {
  for (const client of context.clients) {
    if (isUnderWay(client) || client.lingerUntilMs !== null || client.sinceMs > sinceMs) continue;
    // The rest of what it has begun to ask goes where everything goes; its own limit ends one that never comes.
    if (client.hasHeadBegun && !context.isStopping) continue;
    endWire(client.wire);
  }
}

function hasRequests(context: SocketContext): boolean {
  for (const client of context.clients) {
    if (client.trip !== null || client.relay !== null) return true;
  }
  return false;
}

function closeTunnels(context: SocketContext): void {
  for (const tunnel of context.tunnels) closeTunnel(tunnel, GOING_AWAY);
}

function cutAll(context: SocketContext): void {
  for (const tunnel of context.tunnels) cutTunnel(tunnel);
  for (const client of context.clients) if (client.tunnel === null) cutWire(client.wire);
}
