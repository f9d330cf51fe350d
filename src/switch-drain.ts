/** Lets what is under way on an old target finish, closes politely what would not, and ends the rest at the limit. */

import type { App } from "./app.ts";
import { type Clock, sleep } from "./clock.ts";
import type { Carrier } from "./engines/carrier.ts";
import type { DrainManner } from "./switch-policy.ts";

/** What a drain came to. */
export interface Drained {
  /** Sockets and event streams that were asked to end. */
  readonly closed: number;
  /** What was still under way at the limit, and was cut. */
  readonly cut: number;
}

/** What a drain needs. */
export interface DrainOptions {
  readonly app: App;
  /** Of the old target. */
  readonly address: string;
  readonly manner: DrainManner;
  /** When what is left is ended, ms since the epoch. */
  readonly untilMs: number;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  /** `null`: nothing is carried, as before anything listens. */
  readonly carrier: () => Carrier | null;
  /** The target is active again, or the program stops: nothing more is ended. */
  readonly signal: AbortSignal;
}

/** How long what is asked to end at the limit gets for that, ms: a WebSocket's client answers within a round trip. */
const CLOSE_MS = 1_000;
/** Between two looks, ms. */
const LOOK_MS = { least: 20, soon: 100, most: 500 } as const;
/** Spread sockets are all asked by then, so that their clients have the rest of the time to leave. */
const SPREAD_SHARE = 0.9;

/** Until nothing is left, the limit, or the abort. Never rejects. */
export async function drain(options: DrainOptions): Promise<Drained> {
  const { app, address, clock, signal, untilMs } = options;
  let closed = 0;
  while (!signal.aborted) {
    const carrier = options.carrier();
    if (carrier === null) return { closed, cut: 0 };
    carrier.closeIdle(address);
    const { requests, sockets, closing } = carrier.carried(app, address);
    if (requests + sockets + closing === 0) return { closed, cut: 0 };
    const leftMs = untilMs - clock.now();
    if (leftMs <= 0) return await endRest(options, carrier, closed);
    const step = nextStep(options, sockets, leftMs);
    if (step.count > 0) closed += carrier.closeSockets(app, address, step.count);
    await sleep(clock, Math.min(step.pauseMs, leftMs), signal).catch(() => undefined);
  }
  return { closed, cut: 0 };
}

/** At the limit: requests are over at once, what can be asked to end gets a moment for that. */
async function endRest(
  { app, address, clock, signal }: DrainOptions,
  carrier: Carrier,
  closedBefore: number,
): Promise<Drained> {
  const cutMs = clock.now() + CLOSE_MS;
  const closed = closedBefore + carrier.closeSockets(app, address, Number.POSITIVE_INFINITY);
  let cut = carrier.cutRequests(app, address);
  while (clock.now() < cutMs && carrier.carried(app, address).closing > 0) {
    await sleep(clock, LOOK_MS.least, signal).catch(() => undefined);
    if (signal.aborted) return { closed, cut };
  }
  cut += carrier.cut(app, address);
  return { closed, cut };
}

/** How many sockets to ask now, and how long to wait until the next. */
function nextStep(
  { manner, random }: DrainOptions,
  sockets: number,
  leftMs: number,
): { readonly count: number; readonly pauseMs: number } {
  if (manner === "immediate") return { count: sockets, pauseMs: LOOK_MS.soon };
  if (manner === "keep" || sockets === 0) return { count: 0, pauseMs: LOOK_MS.most };
  // Clients that were closed together would come back together: chance keeps them apart.
  const eachMs = ((leftMs * SPREAD_SHARE) / sockets) * (0.5 + random());
  const pauseMs = Math.max(LOOK_MS.least, Math.min(LOOK_MS.most, eachMs));
  const due = pauseMs / Math.max(eachMs, 1);
  const count = Math.floor(due) + (random() < due % 1 ? 1 : 0);
  return { count, pauseMs };
}
