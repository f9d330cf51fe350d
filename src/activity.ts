/** Leases and idle clocks: who uses which app, and since when nobody does. */

import type { App } from "./app.ts";
import type { Clock } from "./clock.ts";
import type { Use } from "./registry/registry.ts";
import { noteBegun, noteEnded } from "./traffic.ts";

/** Counts the use of apps. On the path of every request: counters and a clock, nothing else. */
export interface Activity {
  /** Takes a lease: from here on the app is in use. */
  begin(app: App): void;
  /** Gives a lease back, exactly once for each `begin`. The idle clock starts with the last one. */
  end(app: App): void;
  /** Starts the idle clock anew without a use: the app was just found or came up by itself. */
  restart(app: App): void;
  /** The same, and when it was last used is forgotten, too. */
  forget(app: App): void;
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
    end(app) {
      if (app.leases === 0) throw new Error(`A lease of ${app.key} was given back twice`);
      app.leases -= 1;
      const nowMs = clock.now();
      app.idleSinceMs = nowMs;
      app.lastUsedMs = nowMs;
      used.add(app);
      noteEnded(app.traffic, nowMs);
    },
    restart(app) {
      app.idleSinceMs = clock.now();
    },
    forget(app) {
      app.idleSinceMs = clock.now();
      app.lastUsedMs = null;
      used.delete(app);
    },
    takeUses() {
      const uses = [...used].map((app) => ({ ref: app.ref, lastUsedMs: app.lastUsedMs ?? 0 }));
      used = new Set();
      return uses;
    },
  };
}

/** Whether somebody uses the app now, directly or through an app that links to it. */
export function isInUse(app: App): boolean {
  return app.leases > 0 || app.linkedFrom.some((user) => user.leases > 0);
}

/** Since when nobody uses the app, directly or through an app that links to it; ms since the epoch. */
export function unusedSinceMs(app: App): number {
  return app.linkedFrom.reduce(
    (latest, user) => Math.max(latest, user.idleSinceMs),
    app.idleSinceMs,
  );
}
