/** Whose turn it is to be put to sleep: a few apps of each provider at a time, so that what is begun is soon done. */

import { unusedSinceMs } from "./activity.ts";
import type { App } from "./app.ts";
import type { Clock } from "./clock.ts";
import { isPolledPlatform } from "./lifecycle-sleep.ts";
import type { Provider } from "./providers/provider.ts";

/** Apps that may sleep, and wait for their turn; nothing shows that they do. */
export interface SleepQueue {
  /**
   * Adds those that neither wait nor have their turn already.
   * @returns when each of `apps`, added or not, has had its turn. Never rejects.
   */
  add(apps: readonly App[]): Promise<void>;
}

/** Everything a queue needs from outside. */
export interface SleepQueueDeps {
  readonly clock: Clock;
  /** How many apps of this one's provider may have their turn at the same time; at least 1. */
  readonly atOnceMax: (app: App) => number;
  /** Asked right before its turn, as much may have happened since it was added. `null`: it is passed over. */
  readonly whySleep: (app: App) => string | null;
  /**
   * Its turn. Never rejects.
   * @returns after how long it, and whoever else waits for its provider, is to have another, ms; `null`: it is through
   */
  readonly putToSleep: (app: App, why: string) => Promise<number | null>;
}

/** Of a platform that allows few calls: what is begun there is to have its calls before more is begun. */
const POLLED_MAX = 3;
/** Of all others: only hooks and stops that take their time are to be spared a rush. */
const NEAR_MAX = 20;

/** How many apps of a provider are put to sleep at the same time. Pure. */
export function sleepsAtOnceMax(provider: Provider): number {
  return isPolledPlatform(provider) ? POLLED_MAX : NEAR_MAX;
}

/** An app from `add` to the end of its turn. */
interface Entry {
  readonly app: App;
  readonly over: PromiseWithResolvers<void>;
  isOnTurn: boolean;
}

interface QueueContext extends SleepQueueDeps {
  readonly entries: Map<App, Entry>;
  /** When an app last had its turn, ms since the epoch. */
  readonly triedMs: WeakMap<App, number>;
  /** Providers that take no calls now. */
  readonly pausing: Set<string>;
}

/** An empty queue. */
export function createSleepQueue(deps: SleepQueueDeps): SleepQueue {
  const context: QueueContext = {
    ...deps,
    entries: new Map(),
    triedMs: new WeakMap(),
    pausing: new Set(),
  };
  const { entries } = context;
  return {
    async add(apps) {
      const added = apps.filter((app) => !entries.has(app));
      for (const app of added) {
        entries.set(app, { app, over: Promise.withResolvers(), isOnTurn: false });
      }
      const ends = apps.map((app) => entries.get(app)?.over.promise);
      const oneOfEach = new Map(added.map((app) => [app.ref.provider, app]));
      for (const app of oneOfEach.values()) admit(context, app);
      await Promise.all(ends);
    },
  };
}

/** Gives the free turns of this one's provider to those who wait longest. */
function admit(context: QueueContext, member: App): void {
  const { provider } = member.ref;
  if (context.pausing.has(provider)) return;
  const ours = [...context.entries.values()].filter(({ app }) => app.ref.provider === provider);
  const waiting = ours
    .filter(({ isOnTurn }) => !isOnTurn)
    .map((entry) => ({ entry, sinceMs: waitsSinceMs(context, entry.app) }))
    .toSorted((a, b) => a.sinceMs - b.sinceMs);
  let free = context.atOnceMax(member) - (ours.length - waiting.length);
  for (const { entry } of waiting) {
    if (free <= 0) return;
    const why = context.whySleep(entry.app);
    if (why === null) leave(context, entry);
    else {
      free -= 1;
      void takeTurn(context, entry, why);
    }
  }
}

/** Whoever had a turn in vain of late goes behind the others, or those that cannot sleep would keep them awake. */
function waitsSinceMs({ triedMs }: QueueContext, app: App): number {
  return Math.max(unusedSinceMs(app), triedMs.get(app) ?? 0);
}

async function takeTurn(context: QueueContext, entry: Entry, why: string): Promise<void> {
  const { app } = entry;
  entry.isOnTurn = true;
  const pauseMs = await context.putToSleep(app, why);
  if (pauseMs === null) {
    context.triedMs.set(app, context.clock.now());
    leave(context, entry);
  } else {
    // It keeps its place.
    entry.isOnTurn = false;
    pause(context, app, pauseMs);
  }
  admit(context, app);
}

function pause(context: QueueContext, member: App, pauseMs: number): void {
  const { clock, pausing } = context;
  const { provider } = member.ref;
  if (pausing.has(provider)) return;
  pausing.add(provider);
  clock.after(pauseMs, () => {
    pausing.delete(provider);
    admit(context, member);
  });
}

function leave({ entries }: QueueContext, { app, over }: Entry): void {
  entries.delete(app);
  over.resolve();
}
