/** Those who wait for an app to wake: how many may, and how each hears that the wake is over. */

import type { App } from "./app.ts";
import type { HoldLimits } from "./config.ts";
import type { RequestHead } from "./engines/engine.ts";
import type { Cause } from "./events.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { WakeOutcome } from "./lifecycle-context.ts";

/** Somebody who waits. Exactly one of the two is called, unless they leave first. */
export interface Waiter {
  onWakeOver(outcome: WakeOutcome): void;
  /** There is no more time: the program stops. */
  onSentAway(): void;
}

/** What one waiter is, for the limits. */
export interface WaiterKind {
  /** A request that holds a lease; otherwise somebody who only looks on. */
  readonly isRequest: boolean;
  /** Its body is too large to be kept by the runtime without being felt. */
  readonly isUpload: boolean;
}

/** Where everybody waits. */
export interface WaitingRoom {
  /** Why nobody of this kind may wait for the app now; `null` when they may. */
  whyFull(app: App, kind: WaiterKind): string | null;
  /**
   * Takes a place, and wakes the app or joins its wake.
   * @returns how to leave early, or after having been told; safe to repeat
   */
  enter(
    app: App,
    order: WaiterKind & { readonly cause: Cause; readonly waiter: Waiter },
  ): () => void;
  /** How many wait. */
  count(): number;
  /** Sends everybody away. */
  empty(): void;
}

interface Place extends WaiterKind {
  readonly waiter: Waiter;
}

interface Room {
  readonly lifecycle: Lifecycle;
  readonly limits: HoldLimits;
  /** One group per wake: who left is forgotten at once, however long the wake goes on. */
  readonly groups: Map<App, Set<Place>>;
  total: number;
  uploads: number;
}

/** An empty room. */
export function createWaitingRoom(lifecycle: Lifecycle, limits: HoldLimits): WaitingRoom {
  const room: Room = { lifecycle, limits, groups: new Map(), total: 0, uploads: 0 };
  return {
    whyFull: (app, kind) => whyFull(room, app, kind),
    enter: (app, { cause, waiter, isRequest, isUpload }) =>
      enter(room, app, { cause, place: { waiter, isRequest, isUpload } }),
    count: () => room.total,
    empty() {
      for (const group of [...room.groups.values()]) {
        for (const { waiter } of [...group]) waiter.onSentAway();
      }
    },
  };
}

function whyFull(room: Room, app: App, { isUpload }: WaiterKind): string | null {
  const { maxPerApp, maxTotal, maxUploads } = room.limits;
  if (app.waiting >= maxPerApp) return `${maxPerApp} requests wait for this app already`;
  if (room.total >= maxTotal) return `${maxTotal} requests wait already`;
  return isUpload && room.uploads >= maxUploads ? `${maxUploads} uploads wait already` : null;
}

function enter(
  room: Room,
  app: App,
  { cause, place }: { readonly cause: Cause; readonly place: Place },
): () => void {
  count(room, app, { place, change: 1 });
  const group = room.groups.get(app) ?? gather(room, app, cause);
  group.add(place);
  return () => {
    if (group.delete(place)) count(room, app, { place, change: -1 });
  };
}

/** One reaction to the wake for all who wait for it. */
function gather(room: Room, app: App, cause: Cause): Set<Place> {
  const group = new Set<Place>();
  room.groups.set(app, group);
  void room.lifecycle.wake(app, cause).then((outcome) => {
    room.groups.delete(app);
    for (const { waiter } of [...group]) waiter.onWakeOver(outcome);
  });
  return group;
}

function count(
  room: Room,
  app: App,
  { place, change }: { readonly place: Place; readonly change: 1 | -1 },
): void {
  room.total += change;
  if (place.isRequest) app.waiting += change;
  if (place.isUpload) room.uploads += change;
}

/** Below it a body costs a held request nothing that is felt, in bytes. */
const SMALL_BODY_BYTES = 65_536;

/** Whether a request brings a body that is large, or of which nobody knows how large it is. */
export function isUpload(head: RequestHead): boolean {
  if (head.method === "GET" || head.method === "HEAD") return false;
  if (head.header("transfer-encoding") !== null) return true;
  return Number(head.header("content-length") ?? 0) > SMALL_BODY_BYTES;
}
