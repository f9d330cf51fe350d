/** Requests for apps that are paused: they wait until somebody resumes the app, or their patience is over. */

import type { App } from "./app.ts";
import type { Clock } from "./clock.ts";
import type { HoldLimits } from "./config.ts";
import type { Admission, Decision, Held } from "./engines/engine.ts";

/** One request that is to wait. It holds a lease. */
export interface PausedOrder {
  readonly app: App;
  readonly isUpload: boolean;
  /** Longest it waits. */
  readonly patienceMs: number;
  /** Admits it, now that the app is not paused any more. */
  readonly admit: () => Admission;
  /** The answer when it waits in vain; gives the lease back. */
  readonly refuse: (why: "patience" | "stopping") => Decision;
  /** Its client has left: gives the lease back. */
  readonly release: () => void;
}

/** Where they wait. */
export interface PausedRequests {
  /** @returns `null` when too many wait already */
  hold(order: PausedOrder): Held | null;
  /** The app is resumed, or in maintenance now: its requests are decided about anew. */
  admitAll(app: App): void;
  /** How many wait. */
  count(): number;
  /** The program stops. */
  refuseAll(): void;
}

interface Place {
  readonly order: PausedOrder;
  settle(decide: () => Admission): void;
}

/** Nobody waits. */
export function createPausedRequests(clock: Clock, limits: HoldLimits): PausedRequests {
  const places = new Map<App, Set<Place>>();
  const all = () => [...places.values()].flatMap((group) => [...group]);
  let total = 0;
  let uploads = 0;
  function change(order: PausedOrder, by: 1 | -1): void {
    total += by;
    if (order.isUpload) uploads += by;
  }
  function isFull({ app, isUpload }: PausedOrder): boolean {
    const waiting = places.get(app)?.size ?? 0;
    if (waiting >= limits.maxPerApp || total >= limits.maxTotal) return true;
    return isUpload && uploads >= limits.maxUploads;
  }
  function hold(order: PausedOrder): Held | null {
    if (isFull(order)) return null;
    const { promise, resolve } = Promise.withResolvers<Decision>();
    let settled: Admission | "open" | "gone" = "open";
    const group = places.get(order.app) ?? new Set<Place>();
    places.set(order.app, group);
    const place: Place = {
      order,
      settle(decide) {
        end();
        settled = decide();
        // It may have to wait once more, for its app to wake.
        resolve(settled.kind === "held" ? settled.decision : settled);
      },
    };
    function end(): void {
      cancelTimer();
      group.delete(place);
      if (group.size === 0 && places.get(order.app) === group) places.delete(order.app);
      change(order, -1);
    }
    const onImpatience = () => place.settle(() => order.refuse("patience"));
    const cancelTimer = clock.after(order.patienceMs, onImpatience);
    group.add(place);
    change(order, 1);
    return {
      kind: "held",
      decision: promise,
      abandon() {
        if (settled === "gone") return;
        const before = settled;
        settled = "gone";
        if (before === "open") end();
        if (before !== "open" && before.kind === "held") return before.abandon();
        // An answer has given the lease back already.
        if (before === "open" || before.kind === "forward") order.release();
      },
    };
  }
  return {
    hold,
    admitAll(app) {
      for (const place of [...(places.get(app) ?? [])]) place.settle(place.order.admit);
    },
    count: () => total,
    refuseAll() {
      for (const place of all()) place.settle(() => place.order.refuse("stopping"));
    },
  };
}
