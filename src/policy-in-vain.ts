/** Finds settings about wakes and sleeps that change nothing, or hardly what was meant. Pure. */

import type { AppsConfig, Config, Declaration, Rule, Settings } from "./config.ts";
import { listsItsOwn } from "./provider-kinds.ts";
import { createOffsets, type TimeWindow, windowsAt } from "./time-windows.ts";
import { windowText } from "./time-words.ts";
import { type IgnoreRule, ignoreText } from "./wake-policy.ts";

/** One sentence each. @param nowMs ms since the epoch: what is over by then has no effect any more */
export function policiesInVain(config: Config, nowMs: number): string[] {
  const { apps, providers } = config;
  const listed = providers.some(listsItsOwn);
  return [
    ...apps.rules.flatMap((rule, index) => {
      const where = `rules[${index}]`;
      const subjects = subjectsOf(rule, apps);
      const isForNobody = !listed && subjects.length > 0 && !subjects.some(isPutToSleep);
      return [
        ...ofSettings(rule.settings, where, nowMs),
        ...(isForNobody ? ofUnmanaged(rule.settings, where, WHY_NOBODY) : []),
      ];
    }),
    ...apps.apps.flatMap((app) => {
      const where = `apps.${app.key}`;
      const isInVain = !isPutToSleep(app);
      return [
        ...ofSettings(app.settings, where, nowMs),
        ...(isInVain ? ofUnmanaged(app.settings, where, WHY_NOT_THIS) : []),
      ];
    }),
  ];
}

const WHY_NOBODY = "no app that it matches is put to sleep by Paastis";
const WHY_NOT_THIS = "the app sleeps by itself, or never";

/** A rule with a fixed `app_name` applies to the app it names, too. */
function subjectsOf({ pattern, settings }: Rule, { apps }: AppsConfig): readonly Declaration[] {
  return apps.filter(({ key }) => pattern.test(key) || settings.appName?.toLowerCase() === key);
}

function isPutToSleep({ provider }: Declaration): boolean {
  return provider === "process";
}

function ofUnmanaged(settings: Settings, where: string, why: string): string[] {
  const given = [
    ["wake.ignore", settings.ignore],
    ["keep_awake", settings.keepAwake],
    ["force_sleep", settings.forceSleep],
    ["busy.url", settings.busyUrl],
    ["busy.header", settings.keepAwakeHeaderMaxMinutes],
    ["websocket_max_quiet_time", settings.websocketMaxQuietMinutes],
    ["hooks", settings.hooks],
  ] as const;
  return given
    .filter(([, value]) => value !== undefined)
    .map(([name]) => `${where}.${name} has no effect: ${why}`);
}

function ofSettings(settings: Settings, where: string, nowMs: number): string[] {
  const { ignore = [], keepAwake = [], forceSleep = [] } = settings;
  return [
    ...ignore.flatMap((rule, index) => ofIgnore(rule, `${where}.wake.ignore[${index}]`)),
    ...ofWindows(keepAwake, `${where}.keep_awake`, nowMs),
    ...ofWindows(forceSleep, `${where}.force_sleep`, nowMs),
    ...ofBoth(settings, where, nowMs),
    ...ofBusy(settings, where),
  ];
}

function ofIgnore(rule: IgnoreRule, where: string): string[] {
  const { userAgents, paths, methods, bots, prefetch } = rule;
  if (bots && prefetch) {
    return [`${where} is for bots that prefetch, which hardly any does: make two entries of it`];
  }
  const isForAll = paths?.some((path) => path === "/*") === true;
  if (isForAll && userAgents === null && methods === null && !bots && !prefetch) {
    return [`${where} is for every request (${ignoreText(rule)}): no request will wake the app`];
  }
  return [];
}

function ofWindows(windows: readonly TimeWindow[], where: string, nowMs: number): string[] {
  const offsetAt = createOffsets();
  return windows.flatMap((window, index) => {
    const { state } = windowsAt([window], nowMs, offsetAt);
    const isNever = state.kind === "closed" && state.opensMs === null;
    return isNever
      ? [`${where}[${index}] has no effect: it does not open within a year (${windowText(window)})`]
      : [];
  });
}

const HOUR_MS = 3_600_000;
/** A week and a day, so that every window has its turn. */
const LOOKED_AT_HOURS = 8 * 24;

/** Looked at hour by hour, which finds all but the shortest. */
function ofBoth({ keepAwake = [], forceSleep = [] }: Settings, where: string, nowMs: number) {
  if (keepAwake.length === 0 || forceSleep.length === 0) return [];
  const offsetAt = createOffsets();
  for (let hour = 0; hour < LOOKED_AT_HOURS; hour += 1) {
    const atMs = nowMs + hour * HOUR_MS;
    const [awake, asleep] = [keepAwake, forceSleep].map((all) => windowsAt(all, atMs, offsetAt));
    if (awake?.state.kind !== "open" || asleep?.state.kind !== "open") continue;
    const [one, other] = [awake.state.open[0], asleep.state.open[0]];
    if (one === undefined || other === undefined) continue;
    return [
      `${where}: its keep_awake (${windowText(one)}) and its force_sleep (${windowText(other)}) overlap: ` +
        "force_sleep goes first",
    ];
  }
  return [];
}

function ofBusy({ maxIdleMinutes, busyUrl, forceSleep = [] }: Settings, where: string): string[] {
  if (busyUrl === undefined || maxIdleMinutes !== "never" || forceSleep.length > 0) return [];
  return [`${where}.busy.url has no effect: with app_max_idle_time: never it is never asked`];
}
