/** When an app may sleep: the pure decision, and the sweep that acts on it. */

import { isInUse, unusedSinceMs } from "./activity.ts";
import type { App } from "./app.ts";
import type { AppTable } from "./app-table.ts";
import type { Clock } from "./clock.ts";
import { durationText } from "./durations.ts";
import type { Cause } from "./events.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Log } from "./log.ts";

/** What a sweep should do with one app, and why. */
export interface IdleVerdict {
  readonly sleep: boolean;
  /** For people, to follow the app's name. */
  readonly why: string;
}

/** What the decision is made from, besides the app. */
export interface IdleFacts {
  readonly nowMs: number;
  /** Whether an earlier sweep knew the app: what was just found is never stopped at once. */
  readonly wasSweptBefore: boolean;
  /** Why the app's provider cannot be asked; `null` when it can. */
  readonly providerTrouble: string | null;
}

/** An app that was woken for somebody who has not come back yet is kept so long: a browser needs a moment, ms. */
export const WELCOME_MS = 15_000;

/** Whether an app may be put to sleep now. Pure. */
export function decideIdle(app: App, facts: IdleFacts): IdleVerdict {
  const { policy, state } = app;
  if (state.kind !== "awake") return keep(`is ${state.kind}`);
  if (app.sleepsByItself) return keep("is put to sleep by its own platform");
  if (policy.ignored) return keep("is in REGISTRY_IGNORED_APPS");
  if (policy.maxIdleMs === null) return keep("is never put to sleep by its settings");
  if (facts.providerTrouble !== null) {
    return keep(`stays as it is while its provider does not answer: ${facts.providerTrouble}`);
  }
  if (isInUse(app)) return keep("is in use");
  if (!facts.wasSweptBefore) return keep("was found since the last sweep");
  if (!wasUsedSince(app, state.sinceMs) && facts.nowMs - state.sinceMs < WELCOME_MS)
    return keep("has just woken");
  const idleMs = facts.nowMs - unusedSinceMs(app);
  if (idleMs < policy.maxIdleMs) {
    return keep(
      `was used ${durationText(idleMs)} ago, and may idle for ${durationText(policy.maxIdleMs)}`,
    );
  }
  return { sleep: true, why: `idle for ${durationText(idleMs)}` };
}

function wasUsedSince(app: App, sinceMs: number): boolean {
  return [app, ...app.linkedFrom].some((user) => (user.lastUsedMs ?? 0) >= sinceMs);
}

function keep(why: string): IdleVerdict {
  return { sleep: false, why };
}

/** One decision of a sweep. */
export interface SweepEntry extends IdleVerdict {
  readonly app: App;
}

/** The sweep. */
export interface Sweeper {
  /** What a sweep would do now; changes nothing. */
  plan(): readonly SweepEntry[];
  /**
   * Asks the providers, decides, and begins the sleeps; does nothing while another sweep runs.
   * @returns what was decided, and `done`: when all sleeps it began have ended. Never rejects.
   */
  sweep(): Promise<{ readonly entries: readonly SweepEntry[]; readonly done: Promise<void> }>;
}

/** Everything a sweep needs from outside. */
export interface SweepDeps {
  readonly table: AppTable;
  readonly lifecycle: Lifecycle;
  readonly clock: Clock;
  readonly log: Log;
  /** Asks every provider for its apps; never rejects. */
  readonly reconcile: (cause: Cause) => Promise<void>;
  readonly troubleOf: (provider: string) => string | null;
}

/** A sweeper over all apps of the table. */
export function createSweeper(deps: SweepDeps): Sweeper {
  const sweptBefore = new WeakSet<App>();
  let isRunning = false;
  const plan = () => deps.table.all().map((app) => entryOf(deps, app, sweptBefore.has(app)));
  return {
    plan,
    async sweep() {
      if (isRunning) return { entries: [], done: Promise.resolve() };
      isRunning = true;
      try {
        await deps.reconcile({ kind: "sweep", detail: "sweep" });
        const entries = plan();
        for (const { app } of entries) sweptBefore.add(app);
        const sleeps = entries.filter((entry) => entry.sleep);
        const counts = { apps: entries.length, sleeps: sleeps.length };
        deps.log.debug(counts, "swept");
        return { entries, done: settle(sleeps.map((entry) => putToSleep(deps, entry))) };
      } finally {
        isRunning = false;
      }
    },
  };
}

async function settle(work: readonly Promise<unknown>[]): Promise<void> {
  await Promise.all(work);
}

function entryOf(deps: SweepDeps, app: App, wasSweptBefore: boolean): SweepEntry {
  const providerTrouble = deps.troubleOf(app.ref.provider);
  const facts = { nowMs: deps.clock.now(), wasSweptBefore, providerTrouble };
  return { app, ...decideIdle(app, facts) };
}

function putToSleep(deps: SweepDeps, entry: SweepEntry): Promise<unknown> {
  return deps.lifecycle.sleep(entry.app, {
    cause: { kind: "sweep", detail: entry.why },
    drainMs: 0,
    unusedSinceMs: unusedSinceMs(entry.app),
  });
}
