/** What to do next about a Clever Cloud app that is to wake or to sleep: pure, from what is seen and what was done. */

import {
  isUndeploy,
  isUp,
  progressOf,
  standingOf,
  type View,
  whyEnded,
} from "./clever-cloud-state.ts";
import type { ProviderErrorKind } from "./provider.ts";

/** A wake or a sleep of ours that is not through yet. All times in ms of the clock that is handed in. */
export interface Order {
  readonly begunMs: number;
  /** How often the platform was asked to do it. */
  writes: number;
  /** When it was asked last. */
  writtenMs: number;
  /** The newest deployment before that; `null`: there was none. */
  previousId: string | null;
  /** Not to be asked before this: it was busy. */
  notBeforeMs: number;
}

/** What comes next. */
export type Decision =
  | { readonly kind: "done" }
  | { readonly kind: "wait" }
  | { readonly kind: "write" }
  | { readonly kind: "fail"; readonly error: ProviderErrorKind; readonly why: string };

/** What is known besides the view. */
export interface Circumstances {
  readonly order: Order;
  /** The opposite order, if one was given lately; else `null`. */
  readonly opposite: Order | null;
  readonly nowMs: number;
  /** From when on an order is reckoned by the app's own state alone, in ms since it began. */
  readonly operationTimeoutMs: number;
}

/**
 * So long after a call the platform may not show yet what it does, in ms: the call is not repeated before, as a
 * second start of an app is a second deployment.
 */
export const SETTLE_MS = 60_000;

const WRITES_MAX = 2;

const DONE: Decision = { kind: "done" };
const WAIT: Decision = { kind: "wait" };
const WRITE: Decision = { kind: "write" };

/** Pure. How to go on with a wake. */
export function decideWake(view: View, circumstances: Circumstances): Decision {
  const { phase, reason = "" } = standingOf(view);
  if (phase === "blocked") {
    const error = view.app.state === "DEFAULT_OF_PAYMENT" ? "payment" : "forbidden";
    return { kind: "fail", error, why: reason };
  }
  if (view.app.isForeign) return { kind: "fail", error: "invalid", why: reason };
  if (isUp(view) && phase !== "stopping") return decideUp(view, circumstances);
  if (phase === "waking" || phase === "stopping") return WAIT;
  if (hasBegun(view, circumstances.order)) return decideEnded(view);
  if (phase === "unknown") return decideUnclear(reason, view, circumstances);
  return decideWrite(circumstances, "Clever Cloud took the start, and began no deployment");
}

function decideUp(view: View, circumstances: Circumstances): Decision {
  const { order, opposite, nowMs } = circumstances;
  // A stop has been ordered that does not show yet.
  if (opposite !== null && isHeard({ order: opposite, nowMs })) return WAIT;
  const isOurs = hasBegun(view, order) && progressOf(view.newest) === "under-way";
  return isOurs && !isLate(circumstances) ? WAIT : DONE;
}

/** Our deployment is over, or one that came after it, and the app is not up. */
function decideEnded({ newest }: View): Decision {
  const progress = progressOf(newest);
  const isInVain = progress === "failed" || progress === "cancelled";
  // The app's own word and its instances follow a deployment that succeeded with some delay.
  return isInVain ? { kind: "fail", error: "failed", why: whyEnded(newest) } : WAIT;
}

/** It should be up and is not, without a deployment: the platform repairs that by itself, or a start does. */
function decideUnclear(why: string, view: View, circumstances: Circumstances): Decision {
  const { order, nowMs } = circumstances;
  if (nowMs - order.begunMs < SETTLE_MS) return WAIT;
  const isRepairable = view.app.state === "SHOULD_BE_UP" && progressOf(view.newest) !== "unknown";
  if (!isRepairable) return { kind: "fail", error: "failed", why };
  return decideWrite(circumstances, "Clever Cloud took the start, and began no deployment");
}

/** Pure. How to go on with a sleep. */
export function decideSleep(view: View, circumstances: Circumstances): Decision {
  const { phase, reason = `Clever Cloud says it is ${phase}` } = standingOf(view);
  switch (phase) {
    case "asleep":
      return DONE;
    case "stopping":
      return WAIT;
    case "awake":
    case "failed":
      if (hasBegun(view, circumstances.order)) {
        return { kind: "fail", error: "failed", why: "somebody has started it anew since" };
      }
      return decideWrite(circumstances, "Clever Cloud took the stop, and the app still runs");
    case "unknown":
      // Between two of its words, while it goes down.
      if (isHeard(circumstances)) return WAIT;
      return { kind: "fail", error: "invalid", why: `it is not stopped: ${reason}` };
    case "waking":
    case "deploying":
      return { kind: "fail", error: "busy", why: `it is not stopped while it deploys: ${reason}` };
    default:
      return { kind: "fail", error: "invalid", why: `it is not stopped: ${reason}` };
  }
}

function decideWrite({ order, nowMs }: Circumstances, inVain: string): Decision {
  if (nowMs < order.notBeforeMs) return WAIT;
  if (order.writes === 0) return WRITE;
  if (isHeard({ order, nowMs })) return WAIT;
  return order.writes < WRITES_MAX ? WRITE : { kind: "fail", error: "failed", why: inVain };
}

/** Pure. Whether the platform was asked so lately that it may not show yet what it does. */
export function isHeard({ order, nowMs }: Pick<Circumstances, "order" | "nowMs">): boolean {
  return order.writes > 0 && nowMs - order.writtenMs < SETTLE_MS;
}

/** Pure. Whether a deployment came since we asked for one: ours, or one that took its place. */
export function hasBegun({ newest }: Pick<View, "newest">, order: Order): boolean {
  if (order.writes === 0 || newest === null) return false;
  return newest.id !== order.previousId && !isUndeploy(newest);
}

/** Pure. Whether an order has been followed for so long that only the app's own state counts. */
export function isLate({ order, nowMs, operationTimeoutMs }: Circumstances): boolean {
  return nowMs - order.begunMs >= operationTimeoutMs;
}

const POLL_FIRST_MS = 1_000;
const POLL_LAST_MS = 5_000;

/** Pure. How long to wait before the next look: often at first, then every 5 s, as the platform's own client does. */
export function pollAfterMs(order: Order, nowMs: number): number {
  return Math.min(POLL_LAST_MS, Math.max(POLL_FIRST_MS, (nowMs - order.begunMs) / 3));
}
