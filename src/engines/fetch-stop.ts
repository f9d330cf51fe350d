/** Ends a fetch engine: politely first, then for good. */

import type { Server } from "bun";
import type { CancelTimer } from "../clock.ts";
import type { FetchContext } from "./fetch-context.ts";

/** How often we look whether the requests are done, in ms. */
const LOOK_MS = 20;

/** How long both sides of a WebSocket get to close, when the grace has that much left, in ms. */
const CLOSE_MS = 1_000;

/** RFC 6455, section 7.4.1: an endpoint is going away. */
const GOING_AWAY = 1001;

/** @returns `stop` of the engine */
export function createStop(
  context: FetchContext,
  server: Pick<Server<unknown>, "stop" | "pendingRequests">,
): (graceMs: number) => Promise<void> {
  const { clock } = context;
  let stopped: Promise<void> | null = null;
  let cutMs = Number.POSITIVE_INFINITY;
  let cancelCut: CancelTimer | null = null;
  let cancelLook: CancelTimer | null = null;
  let socketsClosed = false;

  const closeSockets = () => {
    if (socketsClosed) return;
    socketsClosed = true;
    for (const bridge of context.bridges) bridge.close(GOING_AWAY, "");
  };
  const cut = () => {
    closeSockets();
    for (const bridge of context.bridges) bridge.cut();
    void server.stop(true);
  };
  const look = () => {
    // The last stretch of the grace belongs to the sockets, whatever the requests do.
    if (server.pendingRequests === 0 || clock.now() >= cutMs - CLOSE_MS) closeSockets();
    cancelLook = clock.after(LOOK_MS, look);
  };
  const hurry = (graceMs: number) => {
    const untilMs = clock.now() + graceMs;
    if (untilMs >= cutMs) return;
    cutMs = untilMs;
    cancelCut?.();
    cancelCut = clock.after(graceMs, cut);
  };

  return (graceMs) => {
    stopped ??= server.stop().then(() => {
      cancelCut?.();
      cancelLook?.();
      for (const bridge of context.bridges) bridge.cut();
      context.completions.look();
    });
    hurry(graceMs);
    if (cancelLook === null) look();
    return stopped;
  };
}
