/** Leases and idle clocks: who uses which app, and since when nobody does. */

import type { App } from "./app.ts";
import type { Clock } from "./clock.ts";
import type { Use } from "./registry/registry.ts";
import type { Done } from "./request-meter.ts";
import { noteBegun, noteEnded } from "./traffic.ts";

/** Counts the use of apps. On the path of every request: counters and a clock, nothing else. */
export interface Activity {
  /** Takes a lease: from here on the app is in use. */
  begin(app: App): void;
  /**
   * Gives a lease back, exactly once for each `begin`. The idle clock starts with the last one.
   * @param done what is known of the request; left out: nothing
   */
  end(app: App, done?: Done): void;
  /** The same for what was no use of the app: the idle clock goes on as it was. */
  endUnused(app: App, done?: Done): void;
  /** A connection that says nothing gives its lease back for now; the idle clock starts as with `end`. */
  rest(app: App): void;
  /** It has closed without taking its lease again. */
  endRested(app: App, done: Done): void;
  /** It takes its lease again, and is no new request. */
  resume(app: App): void;
  /** Starts the idle clock anew without a use: the app was just found or came up by itself. */
  restart(app: App): void;
  /** The same, and when it was last used is forgotten, too. */
  forget(app: App): void;
  /** Other instances use the app: so much now, and last so long ago in ms. */
  useElsewhere(app: App, leases: number, unusedMs: number): void;
  /** The uses since the last call, for the registry to write behind. */
  takeUses(): readonly Use[];
}

/** @param clock read once for each lease given back */
export function createActivity(clock: Clock): Activity {
  let used = new Set<App>();
  return {
    begin(app) {
      app.leases += 1;
      noteBegun(app.traffic, app.leases);
    },
    end(app, done) {
      giveBack(app);
      const nowMs = clock.now();
      app.idleSinceMs = nowMs;
      app.lastUsedMs = nowMs;
      used.add(app);
      noteEnded(app.traffic, nowMs, done);
    },
    endUnused(app, done) {
      giveBack(app);
      noteEnded(app.traffic, clock.now(), done);
    },
    rest(app) {
      giveBack(app);
      const nowMs = clock.now();
      app.idleSinceMs = nowMs;
      app.lastUsedMs = nowMs;
      used.add(app);
    },
    endRested: (app, done) => noteEnded(app.traffic, clock.now(), done),
    resume(app) {
      app.leases += 1;
    },
    restart(app) {
      app.idleSinceMs = clock.now();
    },
    forget(app) {
      app.idleSinceMs = clock.now();
      app.lastUsedMs = null;
      used.delete(app);
    },
    useElsewhere(app, leases, unusedMs) {
      app.leasesElsewhere = leases;
      const usedMs = clock.now() - unusedMs;
      if (usedMs <= app.idleSinceMs) return;
      app.idleSinceMs = usedMs;
      app.lastUsedMs = Math.max(app.lastUsedMs ?? 0, usedMs);
    },
    takeUses() {
      const uses = [...used].map((app) => ({ ref: app.ref, lastUsedMs: app.lastUsedMs ?? 0 }));
      used = new Set();
      return uses;
    },
  };
}

function giveBack(app: App): void {
  if (app.leases === 0) throw new Error(`A lease of ${app.key} was given back twice`);
  app.leases -= 1;
}

/** Whether somebody uses the app now, at any instance, directly or through an app that links to it. */
export function isInUse(app: App): boolean {
  return isLeased(app) || app.linkedFrom.some(isLeased);
}

function isLeased({ leases, leasesElsewhere }: App): boolean {
  return leases + leasesElsewhere > 0;
}

/** Whether somebody uses the app now by this instance, directly or through an app that links to it. */
export function isInUseHere(app: App): boolean {
  return app.leases > 0 || app.linkedFrom.some((user) => user.leases > 0);
}

/** When it was last used by this instance or others, directly or through an app that links to it; 0: never. */
export function lastUseMs(app: App): number {
  return Math.max(app.lastUsedMs ?? 0, ...app.linkedFrom.map((user) => user.lastUsedMs ?? 0));
}

/** Since when nobody uses the app, directly or through an app that links to it; ms since the epoch. */
export function unusedSinceMs(app: App): number {
  return app.linkedFrom.reduce(
    (latest, user) => Math.max(latest, user.idleSinceMs),
    app.idleSinceMs,
  );
}
