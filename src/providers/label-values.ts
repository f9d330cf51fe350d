/** Values that owners of apps write on them as labels or annotations, which are texts. Pure. */

import type { ForceSleepWindow } from "../app-schedule.ts";
import type { Settings } from "../config.ts";
import type { TimeWindow } from "../time-windows.ts";
import { machineZone, readWindows, WINDOWS_ALLOWED } from "../time-words.ts";
import type { IgnoreRule } from "../wake-policy.ts";

/** Reads one value. */
export interface LabelReader<T> {
  /** Completes "must be …". */
  readonly allowed: string;
  /** @returns `undefined` when it is none */
  readonly read: (text: string) => T | undefined;
}

const IDLE_MINUTES_MAX = 5_256_000;
const TIMEOUT_SECONDS_MAX = 86_400;
/** As in the first label of a host: RFC 1123, section 2.1. */
const KEY = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const KEY_ALLOWED = "letters, digits and hyphens, at most 63, with no hyphen at either end";

/** The key of an app, in any case; read in lower case. */
export function keyLabel(): LabelReader<string> {
  return {
    allowed: `the key of an app (${KEY_ALLOWED})`,
    read: (text) => (KEY.test(text.toLowerCase()) ? text.toLowerCase() : undefined),
  };
}

/** Keys of apps, separated by commas; each counts once. */
export function keysLabel(): LabelReader<readonly string[]> {
  return {
    allowed: `keys of apps, separated by commas (${KEY_ALLOWED})`,
    read(text) {
      const parts = text.split(",").map((part) => part.trim().toLowerCase());
      const named = [...new Set(parts.filter((part) => part !== ""))];
      return named.every((part) => KEY.test(part)) ? named : undefined;
    },
  };
}

/** Minutes, or `never`: as `app_max_idle_time` of `paastis.yml`. */
export function idleMinutesLabel(): LabelReader<number | "never"> {
  return {
    allowed: `a number of minutes from 0 to ${IDLE_MINUTES_MAX}, or never`,
    read: (text) =>
      text.toLowerCase() === "never" ? "never" : decimal(text, { min: 0, max: IDLE_MINUTES_MAX }),
  };
}

/** Seconds: as `wake_timeout` of `paastis.yml`. */
export function wakeTimeoutLabel(): LabelReader<number> {
  return {
    allowed: `a number of seconds above 0, at most ${TIMEOUT_SECONDS_MAX}`,
    read: (text) => decimal(text, { min: 0, max: TIMEOUT_SECONDS_MAX }) || undefined,
  };
}

/** Digits only. */
export function wholeNumberLabel(min: number, max: number): LabelReader<number> {
  return {
    allowed: `a whole number from ${min} to ${max}`,
    read: (text) => (/^\d+$/.test(text) ? decimal(text, { min, max }) : undefined),
  };
}

/** Minutes above 0, or `never`: as `websocket_max_quiet_time` of `paastis.yml`. */
export function quietMinutesLabel(): LabelReader<number | "never"> {
  return {
    allowed: `a number of minutes above 0, at most ${IDLE_MINUTES_MAX}, or never`,
    read: (text) => idleMinutesLabel().read(text) || undefined,
  };
}

/** Windows of time: as `keep_awake` of `paastis.yml`, in one text. */
export function windowsLabel(): LabelReader<readonly TimeWindow[]> {
  return {
    allowed: WINDOWS_ALLOWED,
    read(text) {
      const reading = readWindows(text, machineZone());
      return "windows" in reading ? reading.windows : undefined;
    },
  };
}

/** The same, as `force_sleep`: requests never wake the app in them. */
export function sleepWindowsLabel(): LabelReader<readonly ForceSleepWindow[]> {
  const { allowed, read } = windowsLabel();
  return {
    allowed,
    read: (text) => read(text)?.map((window) => ({ ...window, mayBeWoken: false })),
  };
}

/** Kinds of requests, separated by commas: as `wake.ignore` of `paastis.yml`, each an entry of its own. */
export function ignoreLabel(): LabelReader<readonly IgnoreRule[]> {
  return {
    allowed:
      "bots, prefetch, method:HEAD, path:/healthz or agent:UptimeRobot, separated by commas, each with a status where 503 " +
      "will not do: agent:UptimeRobot=200",
    read(text) {
      const parts = text.split(",").filter((part) => part.trim() !== "");
      const rules = parts.map((part) => readIgnored(part.trim()));
      return rules.includes(null) || rules.length === 0
        ? undefined
        : rules.filter((rule) => rule !== null);
    },
  };
}

const NOBODY: IgnoreRule = {
  userAgents: null,
  paths: null,
  methods: null,
  bots: false,
  prefetch: false,
  status: 503,
};
/** Answers that have no body. */
const BODILESS = [204, 205, 304];

function readIgnored(text: string): IgnoreRule | null {
  const [, kind = "", value, status = "503"] =
    /^(\w+)(?::\s*(.+?))?(?:\s*=\s*([2-5]\d\d))?$/.exec(text) ?? [];
  const rule = { ...NOBODY, status: Number(status) };
  if (BODILESS.includes(rule.status)) return null;
  if (kind === "bots" && value === undefined) return { ...rule, bots: true };
  if (kind === "prefetch" && value === undefined) return { ...rule, prefetch: true };
  if (value === undefined) return null;
  if (kind === "agent") return { ...rule, userAgents: [value.toLowerCase()] };
  if (kind === "method" && /^[a-z-]+$/i.test(value)) {
    return { ...rule, methods: [value.toUpperCase()] };
  }
  return kind === "path" && /^\/[^\s?#]*$/.test(value) ? { ...rule, paths: [value] } : null;
}

/** A path of a URL: as `health` of `paastis.yml`. */
export function pathLabel(): LabelReader<string> {
  return {
    allowed: "a path that begins with /",
    read: (text) => (/^\/[^\s#]*$/.test(text) ? text : undefined),
  };
}

/** One of these words, in any case. */
export function wordLabel<const T extends string>(words: readonly T[]): LabelReader<T> {
  return {
    allowed: words.join(" or "),
    read: (text) => words.find((word) => word === text.toLowerCase()),
  };
}

/** Any text but none. */
export function textLabel(allowed: string): LabelReader<string> {
  return { allowed, read: (text) => (text === "" ? undefined : text) };
}

function decimal(
  text: string,
  { min, max }: { readonly min: number; readonly max: number },
): number | undefined {
  const number = /^(?:\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  return number >= min && number <= max ? number : undefined;
}

const SHOWN_CHARS_MAX = 100;

/** A value in quotes, for messages; not all of a long one. */
export function shownLabel(text: string): string {
  return JSON.stringify(
    text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}…` : text,
  );
}

/** What says when an app sleeps and wakes, besides its idle time; not its hooks, which run with our rights. */
type SleepSettings = Pick<
  Settings,
  | "ignore"
  | "keepAwake"
  | "forceSleep"
  | "busyUrl"
  | "keepAwakeHeaderMaxMinutes"
  | "websocketMaxQuietMinutes"
>;

/** The settings that something was said about. */
export function sleepSettingsOf(
  given: { readonly [name in keyof SleepSettings]: SleepSettings[name] | undefined },
): SleepSettings {
  const { ignore, keepAwake, forceSleep, busyUrl } = given;
  const { keepAwakeHeaderMaxMinutes, websocketMaxQuietMinutes } = given;
  return {
    ...(ignore !== undefined && { ignore }),
    ...(keepAwake !== undefined && { keepAwake }),
    ...(forceSleep !== undefined && { forceSleep }),
    ...(busyUrl !== undefined && { busyUrl }),
    ...(keepAwakeHeaderMaxMinutes !== undefined && { keepAwakeHeaderMaxMinutes }),
    ...(websocketMaxQuietMinutes !== undefined && { websocketMaxQuietMinutes }),
  };
}
