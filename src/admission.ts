/** Which way a request takes when nothing is in its way: on to its app, or to a place where it waits. */

import type { Target } from "./app.ts";
import type { Clock } from "./clock.ts";
import type { Exchange } from "./engines/engine.ts";
import { type Caller, isSafe } from "./turned-away.ts";

/**
 * - `go`: on to the app's target
 * - `stay`: the same, and the sleep that is about to begin is called off
 * - `try`: to where the app was last, as nobody knows how it is
 * - `wait`: until it is awake
 * - `refuse`: it has failed, and it is too early to try again
 */
export type Way = "go" | "refuse" | "stay" | "try" | "wait";

/**
 * Pure. For requests that nothing turns away and that are not kept from their app. Nothing is made of it, and the clock is
 * read only for an app that has failed.
 */
export function wayOf(
  { app, failures, head }: Pick<Caller, "app" | "failures"> & { readonly head: { method: string } },
  clock: Pick<Clock, "now">,
): Way {
  const { state } = app;
  switch (state.kind) {
    case "awake":
      return "go";
    case "draining":
      return "stay";
    case "unknown":
      // Nobody could say that it is down: try where it was last, and wake it when that fails. What cannot be tried
      // twice waits for a look: a platform answers it with its own page when the app is down.
      return app.lastTarget !== null && failures === 0 && isSafe(head.method) ? "try" : "wait";
    case "failed":
      return clock.now() < state.retryAtMs ? "refuse" : "wait";
    case "asleep":
    case "waking":
    case "stopping":
      return "wait";
  }
}

/** The right to forward a request. Its lease is taken already. */
export function exchangeFor(caller: Caller, target: Target): Exchange {
  const { app, head, admittedMs, failures, ignored } = caller;
  return {
    kind: "forward",
    app,
    target,
    head,
    admittedMs,
    failures,
    ignored,
    status: 0,
    sentBytes: 0,
    receivedBytes: 0,
    requestId: null,
  };
}
