/** What is kept about apps for operators alone: nothing of it is on the path of a request. */

import { join } from "node:path";
import type { App, AppRef } from "../app.ts";
import type { Clock } from "../clock.ts";
import type { Config } from "../config.ts";
import { messageOf } from "../errors.ts";
import type { EventStore } from "../event-store/event-store.ts";
import type { EventBus } from "../events.ts";
import type { Log } from "../log.ts";
import { openStateFile } from "../state-file.ts";
import { type ActivityCharts, createActivityCharts } from "./apps-activity.ts";
import { createOrders, type Orders } from "./apps-orders.ts";
import { createRecentEvents, type RecentEvents } from "./apps-recent.ts";
import { createSavingsCounter, type SavingsCounter } from "./apps-savings.ts";
import { createLastWakes, type LastWakes, WAKE_EVENTS } from "./apps-wakes.ts";

/** All of it. */
export interface AppsWatch {
  readonly orders: Orders;
  readonly wakes: LastWakes;
  readonly charts: ActivityCharts;
  readonly savings: SavingsCounter;
  readonly recent: RecentEvents;
  /** There are these apps now. */
  attend(apps: readonly App[]): void;
  /** Reads the wakes of earlier runs, once: nobody needs them before somebody looks. Never rejects. */
  recall(): Promise<void>;
  /** Stores what is counted, and stops. */
  close(): Promise<void>;
}

/** What it needs from outside. */
export interface AppsWatchDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly events: EventBus;
  readonly eventStore: EventStore;
  readonly apps: () => readonly App[];
  readonly appOf: (ref: AppRef) => App | null;
  readonly price: Config["price"];
  /** Where orders and savings are kept; `null`: nowhere. */
  readonly folder: string | null;
  /** Ends the pause of an app. @throws Error when it cannot be stored */
  readonly resume: (app: App) => Promise<void>;
}

const LOOK_EVERY_MS = 60_000;
/** Looks between two times that savings are stored. */
const SAVE_EVERY = 10;
/** Enough for the newest wake of most apps. */
const RECALLED_MAX = 5000;

/** Listens, and looks once a minute. */
export function createAppsWatch(deps: AppsWatchDeps): AppsWatch {
  const { apps, clock, events, folder, log } = deps;
  const fileIn = (name: string) =>
    folder === null ? null : openStateFile({ path: join(folder, name), clock });
  const orders = createOrders({ ...deps, file: fileIn("orders.json") });
  const savings = createSavingsCounter({ ...deps, file: fileIn("savings.json") });
  const wakes = createLastWakes();
  const charts = createActivityCharts(clock);
  const recent = createRecentEvents();
  const endEvents = events.subscribe((event) => {
    wakes.hear(event);
    recent.hear(event);
    const app = deps.appOf(event.ref);
    if (app !== null) savings.look(app);
  });
  const endLooks = everyMinute(clock, (count) => {
    charts.sample(apps());
    for (const app of apps()) savings.look(app);
    if (count % SAVE_EVERY === 0) void savings.save();
  });
  let recalling: Promise<void> | null = null;
  const recall = async () => {
    try {
      wakes.fill(await deps.eventStore.list({ names: WAKE_EVENTS, limit: RECALLED_MAX }));
    } catch (error) {
      recalling = null;
      log.debug({ reason: messageOf(error) }, "the wakes of earlier runs cannot be read");
    }
  };
  return {
    ...{ orders, wakes, charts, savings, recent },
    attend(known) {
      orders.attend(known);
      for (const app of known) savings.look(app);
    },
    recall() {
      recalling ??= recall();
      return recalling;
    },
    async close() {
      endLooks();
      endEvents();
      for (const app of apps()) savings.look(app);
      await Promise.all([orders.close(), savings.close()]);
    },
  };
}

function everyMinute(clock: Clock, look: (count: number) => void): () => void {
  let count = 0;
  let cancel = plan();
  function plan() {
    return clock.after(LOOK_EVERY_MS, () => {
      cancel = plan();
      count += 1;
      look(count);
    });
  }
  return () => cancel();
}
