/** What the clock says about an app: to be kept awake, to be asleep, or to be woken ahead. */

import type { App } from "./app.ts";
import { isOrderedAwake } from "./overrides.ts";
import {
  createWindowReader,
  momentText,
  type TimeWindow,
  type WindowReader,
  type WindowState,
} from "./time-windows.ts";

/** A window in which an app sleeps. */
export interface ForceSleepWindow extends TimeWindow {
  /** Whether requests wake it all the same. */
  readonly mayBeWoken: boolean;
}

/** The windows of one app now; `null`: it has none of the kind. */
export interface Schedule {
  readonly keepAwake: WindowState | null;
  readonly forceSleep: WindowState<ForceSleepWindow> | null;
}

/** The schedules of apps, at a time of the wall clock. Reckoned anew only when something has changed. */
export type ScheduleAt = (app: Pick<App, "policy">, wallMs: number) => Schedule;

const NOTHING: Schedule = { keepAwake: null, forceSleep: null };

/** Reads the windows of policies. */
export function createSchedules(read: WindowReader = createWindowReader()): ScheduleAt {
  return ({ policy: { keepAwake, forceSleep } }, wallMs) => {
    if (keepAwake === null && forceSleep === null) return NOTHING;
    return {
      keepAwake: keepAwake === null ? null : read(keepAwake, wallMs),
      forceSleep: forceSleep === null ? null : read(forceSleep, wallMs),
    };
  };
}

/** What the clock wants of an app, and why, to follow its name; `none`: nothing. */
export type ScheduleWord =
  | { readonly kind: "none" }
  | { readonly kind: "keep"; readonly why: string }
  | { readonly kind: "sleep"; readonly why: string };

const NONE: ScheduleWord = { kind: "none" };

/** What the word is made from, besides the app. Times in ms since the epoch. */
export interface ScheduleFacts {
  readonly nowMs: number;
  readonly wallMs: number;
  /** When a wake of it last ended well, by the steady clock; `null`: never. */
  readonly wokenMs: number | null;
  readonly scheduleAt: ScheduleAt;
}

/**
 * Pure. An app is kept for those that link to it, too: they need it. `force_sleep` goes before `keep_awake`, but not in
 * the moments before a window of `keep_awake` opens after it. Who was woken within a window of `force_sleep` has its
 * usual idle time.
 */
export function scheduleWord(app: App, facts: ScheduleFacts): ScheduleWord {
  const { scheduleAt, wallMs, nowMs, wokenMs } = facts;
  if (app.linkedFrom.length === 0 && !hasWindows(app)) return NONE;
  const { forceSleep } = scheduleAt(app, wallMs);
  const users = [app, ...app.linkedFrom];
  const sleepsUntilMs = forceSleep?.kind === "open" ? forceSleep.untilMs : null;
  for (const user of users) {
    const word = keptFor(user, facts, sleepsUntilMs);
    if (word !== null) return word;
  }
  if (forceSleep?.kind !== "open") return NONE;
  // Lengths, as the two clocks may differ.
  const isWoken = wokenMs !== null && nowMs - wokenMs <= wallMs - forceSleep.sinceMs;
  if (isWoken) return NONE;
  return { kind: "sleep", why: `is to sleep ${untilText(forceSleep, wallMs)} by force_sleep` };
}

function hasWindows({ policy }: App): boolean {
  return policy.keepAwake !== null || policy.forceSleep !== null;
}

/** @param sleepsUntilMs end of the window in which the app is to sleep now; `null`: it is in none */
function keptFor(
  user: App,
  { scheduleAt, wallMs }: ScheduleFacts,
  sleepsUntilMs: number | null,
): ScheduleWord | null {
  const { keepAwake } = scheduleAt(user, wallMs);
  if (keepAwake === null) return null;
  if (keepAwake.kind === "open") {
    if (sleepsUntilMs !== null) return null;
    return { kind: "keep", why: `is kept awake ${untilText(keepAwake, wallMs)} by keep_awake` };
  }
  const { opensMs, next } = keepAwake;
  if (opensMs === null || next === null || opensMs - wallMs > leadMs(user.wakeHistoryMs))
    return null;
  if (sleepsUntilMs !== null && sleepsUntilMs > opensMs) return null;
  const from = momentText(opensMs, next.zone, wallMs);
  return { kind: "keep", why: `is kept awake by keep_awake from ${from} on` };
}

/** Windows that touch are joined for about a week ahead, ms. */
const KNOWN_AHEAD_MS = 6 * 86_400_000;

function untilText(
  { untilMs, open }: Extract<WindowState, { kind: "open" }>,
  wallMs: number,
): string {
  // So far ahead nobody has looked: windows that follow each other without a gap may have no end at all.
  if (untilMs - wallMs > KNOWN_AHEAD_MS) return "for days to come";
  return `until ${momentText(untilMs, open[0]?.zone ?? "UTC", wallMs)}`;
}

/** Why requests do not wake an app now, and until when. */
export interface ForcedSleep {
  readonly untilMs: number;
  /** For visitors. */
  readonly why: string;
}

/** Pure. `null`: requests wake it as ever. */
export function forcedSleep(
  app: App,
  { scheduleAt, wallMs }: Pick<ScheduleFacts, "scheduleAt" | "wallMs">,
): ForcedSleep | null {
  if (app.policy.forceSleep === null || isOrderedAwake(app, wallMs)) return null;
  const { forceSleep } = scheduleAt(app, wallMs);
  if (forceSleep?.kind !== "open" || forceSleep.open.every(({ mayBeWoken }) => mayBeWoken))
    return null;
  return {
    untilMs: forceSleep.untilMs,
    why: `it sleeps ${untilText(forceSleep, wallMs)}, by its schedule`,
  };
}

/** An app without past wakes is woken so long before its window, ms. */
const LEAD_UNKNOWN_MS = 60_000;
/** However slow its wakes were, it is not woken earlier, ms. */
const LEAD_MAX_MS = 15 * 60_000;
/** What a wake may take more than the slowest of the last ones. */
const LEAD_FACTOR = 1.25;
/** For a look that comes late, and the wait for others, ms. */
const LEAD_SPARE_MS = 15_000;
/** Wakes of long ago say little. */
const LEAD_WAKES = 5;

/** How long before its window an app is woken, so that it is warm then. @param historyMs its wakes, newest last */
export function leadMs(historyMs: readonly number[]): number {
  const slowest = Math.max(...historyMs.slice(-LEAD_WAKES));
  const wakeMs = historyMs.length === 0 ? LEAD_UNKNOWN_MS : slowest * LEAD_FACTOR;
  return Math.min(LEAD_MAX_MS, wakeMs + LEAD_SPARE_MS);
}

/** What is to be done so that an app is awake in its window. */
export type WarmAhead =
  | { readonly kind: "nothing" }
  /** It is awake: whoever puts it to sleep from here on has the last word for this window. */
  | { readonly kind: "done"; readonly windowMs: number }
  | { readonly kind: "wake"; readonly windowMs: number; readonly why: string };

/** What was done already. */
export interface WarmedBefore {
  /** When the window opens, or opened, by the wall clock. */
  readonly windowMs: number;
  readonly isDone: boolean;
  readonly tries: number;
}

/** So often it is tried for one window. */
const TRIES_MAX = 3;
const DO_NOTHING: WarmAhead = { kind: "nothing" };

/**
 * Pure. An app is woken once for each window: one that is put to sleep within it, by an operator or its platform, is
 * left asleep until somebody asks for it.
 */
export function decideWarmAhead(
  app: App,
  facts: Pick<ScheduleFacts, "nowMs" | "wallMs" | "scheduleAt">,
  before: WarmedBefore | null,
): WarmAhead {
  const { nowMs, wallMs, scheduleAt } = facts;
  const { keepAwake, forceSleep } = scheduleAt(app, wallMs);
  const isOrdered = isOrderedAwake(app, wallMs);
  const windowMs = isOrdered
    ? (app.keepAwake?.untilWallMs ?? null)
    : windowToBeWarmFor(app, keepAwake, wallMs);
  if (windowMs === null || app.sleepsByItself || app.pause !== null) return DO_NOTHING;
  const sameWindow = before?.windowMs === windowMs ? before : null;
  if (sameWindow?.isDone) return DO_NOTHING;
  if (app.state.kind === "awake") return { kind: "done", windowMs };
  const mayWake =
    app.state.kind === "asleep" || (app.state.kind === "failed" && nowMs >= app.state.retryAtMs);
  if (!mayWake || (sameWindow?.tries ?? 0) >= TRIES_MAX) return DO_NOTHING;
  // What an operator ordered of an earlier run, or of another instance, holds whatever the rules say.
  if (isOrdered) return { kind: "wake", windowMs, why: "an operator keeps it awake" };
  if (forceSleep?.kind === "open" && forceSleep.untilMs > Math.max(windowMs, wallMs))
    return DO_NOTHING;
  return {
    kind: "wake",
    windowMs,
    why: windowMs > wallMs ? "keep_awake is about to begin" : "keep_awake has begun",
  };
}

function windowToBeWarmFor(app: App, keepAwake: WindowState | null, wallMs: number): number | null {
  if (keepAwake === null) return null;
  if (keepAwake.kind === "open") return keepAwake.sinceMs;
  const { opensMs } = keepAwake;
  return opensMs !== null && opensMs - wallMs <= leadMs(app.wakeHistoryMs) ? opensMs : null;
}
