/** When an app may sleep: the pure decision, and the sweep that acts on it. */

import { isInUse, unusedSinceMs } from "./activity.ts";
import type { App } from "./app.ts";
import { type ScheduleAt, type ScheduleWord, scheduleWord } from "./app-schedule.ts";
import type { AppTable } from "./app-table.ts";
import type { Clock } from "./clock.ts";
import { durationText } from "./durations.ts";
import type { Cause } from "./events.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Log } from "./log.ts";
import { whyKeptAwake } from "./overrides.ts";
import type { Provider } from "./providers/provider.ts";
import { createSleepQueue, sleepsAtOnceMax } from "./sleep-queue.ts";

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
  /** Why it must stay as it is for now: it is being switched, say; `null`, or left out: for no such reason. */
  readonly whyKept?: string | null;
  /** When a wake of it last ended well, ms since the epoch; `null`: it was up as it was found, if at all. */
  readonly wokenMs: number | null;
  /** What the clock wants of it. Left out: nothing. */
  readonly schedule?: ScheduleWord;
  /** Why it stays awake although nobody uses it, as it or an operator said; `null`, or left out: for no such reason. */
  readonly wanted?: string | null;
  /** Why its platform's last word keeps it from being put to sleep; `null`, or left out: it does not. */
  readonly leftAlone?: string | null;
}

/** An app that was woken for somebody who has not come back yet is kept so long: a browser needs a moment, ms. */
export const WELCOME_MS = 15_000;

/** Whether an app may be put to sleep now. Pure. */
export function decideIdle(app: App, facts: IdleFacts): IdleVerdict {
  const { policy, state } = app;
  if (state.kind !== "awake") return keep(`is ${state.kind}`);
  if (app.sleepsByItself) return keep("is put to sleep by its own platform");
  if (policy.ignored) return keep("is in REGISTRY_IGNORED_APPS");
  const clockSays = facts.schedule ?? NO_WORD;
  if (policy.maxIdleMs === null && clockSays.kind !== "sleep") {
    return keep("is never put to sleep by its settings");
  }
  if (facts.providerTrouble !== null) {
    return keep(`stays as it is while its provider does not answer: ${facts.providerTrouble}`);
  }
  if (facts.leftAlone) return keep(`is not put to sleep: ${facts.leftAlone}`);
  if (facts.whyKept) return keep(facts.whyKept);
  if (isInUse(app)) return keep("is in use");
  if (facts.wanted) return keep(facts.wanted);
  if (clockSays.kind === "keep") return keep(clockSays.why);
  if (!facts.wasSweptBefore) return keep("was found since the last sweep");
  if (isWelcome(app, facts)) return keep("has just woken");
  if (clockSays.kind === "sleep") return { sleep: true, why: clockSays.why };
  const idleMs = facts.nowMs - unusedSinceMs(app);
  if (policy.maxIdleMs !== null && idleMs < policy.maxIdleMs) {
    return keep(
      `was used ${durationText(idleMs)} ago, and may idle for ${durationText(policy.maxIdleMs)}`,
    );
  }
  return { sleep: true, why: `idle for ${durationText(idleMs)}` };
}

const NO_WORD: ScheduleWord = { kind: "none" };

/** What was found awake was woken for nobody who is still to come. */
function isWelcome(app: App, { nowMs, wokenMs }: IdleFacts): boolean {
  if (wokenMs === null || nowMs - wokenMs >= WELCOME_MS) return false;
  return [app, ...app.linkedFrom].every((user) => (user.lastUsedMs ?? 0) < wokenMs);
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
   * What a sweep would do with one app if it came `aheadMs` from now, and nothing happened until then; changes nothing.
   */
  verdictOf(app: App, aheadMs: number): IdleVerdict;
  /**
   * Asks the providers, decides, and begins the sleeps, a few at a time of each provider; does nothing while another
   * sweep runs. What waits for its turn is decided about anew when that comes.
   * @returns what was decided, and `done`: when all apps that were to sleep have had their turn. Never rejects.
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
  readonly providerOf: (app: App) => Provider;
  /** Why an app must stay as it is for now, whoever uses it; `null`: for no such reason. Left out: there never is. */
  readonly whyKept?: (app: App) => string | null;
  /** Why this instance leaves an app to others; `null`: it does not. Left out: there are no others. */
  readonly whyNotOurs?: (app: App) => string | null;
  /** The schedules of apps. */
  readonly scheduleAt: ScheduleAt;
}

/** A sweeper over all apps of the table. */
export function createSweeper(deps: SweepDeps): Sweeper {
  const sweptBefore = new WeakSet<App>();
  let isRunning = false;
  const queue = createSleepQueue({
    clock: deps.clock,
    atOnceMax: (app) => sleepsAtOnceMax(deps.providerOf(app)),
    whySleep: (app) => whySleep(deps, app),
    putToSleep: (app, why) => putToSleep(deps, app, why),
  });
  const plan = () =>
    deps.table
      .all()
      .map((app) => entryOf(deps, app, { wasSweptBefore: sweptBefore.has(app), aheadMs: 0 }));
  return {
    plan,
    verdictOf: (app, aheadMs) =>
      entryOf(deps, app, { wasSweptBefore: sweptBefore.has(app) || aheadMs > 0, aheadMs }),
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
        return { entries, done: queue.add(sleeps.map(({ app }) => app)) };
      } finally {
        isRunning = false;
      }
    },
  };
}

/** @param when.aheadMs it is decided as if so much time had passed */
function entryOf(
  deps: SweepDeps,
  app: App,
  when: { readonly wasSweptBefore: boolean; readonly aheadMs: number },
): SweepEntry {
  const { wasSweptBefore, aheadMs } = when;
  const providerTrouble = deps.troubleOf(app.ref.provider);
  const wokenMs = deps.lifecycle.wokenMs(app);
  const leftAlone = deps.lifecycle.whyLeftAlone(app);
  const whyKept = deps.whyNotOurs?.(app) ?? deps.whyKept?.(app) ?? null;
  const { clock } = deps;
  const times = { nowMs: clock.now() + aheadMs, wallMs: clock.wallMs() + aheadMs };
  const schedule = scheduleWord(app, { ...times, wokenMs, scheduleAt: deps.scheduleAt });
  const said = { schedule, wanted: whyKeptAwake(app, times) };
  const facts = { ...times, ...said, wasSweptBefore, providerTrouble, whyKept, wokenMs, leftAlone };
  return { app, ...decideIdle(app, facts) };
}

/** What a sweep has decided may have become wrong while others had their turn. */
function whySleep(deps: SweepDeps, app: App): string | null {
  if (deps.table.byKey(app.key) !== app) return null;
  const { sleep, why } = entryOf(deps, app, { wasSweptBefore: true, aheadMs: 0 });
  return sleep ? why : null;
}

async function putToSleep(deps: SweepDeps, app: App, why: string): Promise<number | null> {
  const outcome = await deps.lifecycle.sleep(app, {
    cause: { kind: "sweep", detail: why },
    drainMs: 0,
    unusedSinceMs: unusedSinceMs(app),
  });
  return outcome.kind === "failed" ? (outcome.retryAfterMs ?? null) : null;
}
