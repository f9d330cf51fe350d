/** Requests that come right after the start, before lists say which apps there are, and how: they wait for the first. */

import { isNavigation } from "./answers.ts";
import type { Clock } from "./clock.ts";
import type { HoldLimits } from "./config.ts";
import type { Admission, Decision, Exchange, Held, RequestHead } from "./engines/engine.ts";
import { isUpload } from "./waiting-room.ts";

/** So long after the start requests wait for lists, and the program for saying that it listens, ms. */
export const FIRST_LISTS_MS = 5_000;

/** What becomes of one of them. */
export interface EarlyOrder {
  /** So long after the start it may wait, ms; at most `FIRST_LISTS_MS`. */
  readonly untilStartedMs: number;
  /** Whether what it waits for is not known yet. Asked whenever a provider was asked for its apps. */
  readonly isTooEarly: () => boolean;
  /** Admits it, with what is known by now: because that is enough, or because there is no more time. */
  readonly admit: () => Admission;
  /** Hands back what was decided, as its client has left. */
  readonly release: (exchange: Exchange) => void;
}

/** Where they wait. */
export interface EarlyRequests {
  /** @returns `null` where it may not wait: too late, or too many do */
  hold(head: RequestHead, order: EarlyOrder): Held | null;
  /** A provider was asked for its apps. */
  look(): void;
  /** How many wait. */
  count(): number;
  /** There is no more time. */
  admitAll(): void;
}

/** One that waits. */
interface Place {
  readonly isUpload: boolean;
  readonly isTooEarly: () => boolean;
  readonly admit: () => void;
}

interface EarlyContext {
  readonly clock: Clock;
  readonly limits: HoldLimits;
  readonly places: Set<Place>;
}

/** Nobody waits; the start is now. */
export function createEarlyRequests(clock: Clock, limits: HoldLimits): EarlyRequests {
  const startedMs = clock.now();
  const places = new Set<Place>();
  const context: EarlyContext = { clock, limits, places };
  return {
    hold(head, order) {
      const leftMs = startedMs + order.untilStartedMs - clock.now();
      const patienceMs = Math.min(patienceFor(limits, head), leftMs);
      const kind = isUpload(head);
      if (patienceMs <= 0 || isFull(context, kind)) return null;
      return keep(context, order, { isUpload: kind, patienceMs });
    },
    look() {
      for (const place of [...places]) if (!place.isTooEarly()) place.admit();
    },
    count: () => places.size,
    admitAll() {
      for (const place of [...places]) place.admit();
    },
  };
}

/** Nobody wants to look at an empty page for long. */
function patienceFor({ graceMs, maxMs }: HoldLimits, head: RequestHead): number {
  return isNavigation(head) ? Math.min(graceMs, maxMs) : maxMs;
}

function isFull({ places, limits }: EarlyContext, forUpload: boolean): boolean {
  if (places.size >= limits.maxTotal) return true;
  return forUpload && [...places].filter((one) => one.isUpload).length >= limits.maxUploads;
}

function keep(
  { clock, places }: EarlyContext,
  order: EarlyOrder,
  about: { readonly isUpload: boolean; readonly patienceMs: number },
): Held {
  const { promise, resolve } = Promise.withResolvers<Decision>();
  let decided: Admission | "open" | "abandoned" = "open";
  const place: Place = {
    isUpload: about.isUpload,
    isTooEarly: order.isTooEarly,
    admit() {
      end();
      decided = order.admit();
      // It may have to wait once more, for its app to wake.
      resolve(decided.kind === "held" ? decided.decision : decided);
    },
  };
  function end(): void {
    cancelTimer();
    places.delete(place);
  }
  const cancelTimer = clock.after(about.patienceMs, place.admit);
  places.add(place);
  return {
    kind: "held",
    decision: promise,
    abandon() {
      if (decided === "open") end();
      else if (decided !== "abandoned" && decided.kind === "held") decided.abandon();
      else if (decided !== "abandoned" && decided.kind === "forward") order.release(decided);
      decided = "abandoned";
    },
  };
}
