/** Days, hours, dates and time zones as people write them in settings and labels. Pure. */

import type { DateRange, TimeWindow } from "./time-windows.ts";

/** As `Date` counts them: 0 is Sunday. */
const DAYS: readonly string[] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MINUTES_A_DAY = 1440;

/** Completes "must be …". */
export const DAYS_ALLOWED = `days such as mon or mon-fri (${[...DAYS.slice(1), DAYS[0]].join(", ")})`;
/** Completes "must be …". */
export const HOURS_ALLOWED = "hours such as 08:00-19:00, or 22:00-06:00 over midnight";
/** Completes "must be …". */
export const DATES_ALLOWED =
  "a date such as 2026-12-25, or 12-25 for every year, or two of a kind with .. between them";
/** Completes "must be …". */
export const ZONE_ALLOWED = "a time zone such as Europe/Paris";

/** One day or a range of them, `fri-mon` included; `null`: neither. */
export function readDays(text: string): readonly number[] | null {
  const [from, to, ...rest] = text
    .trim()
    .toLowerCase()
    .split("-")
    .map((word) => DAYS.indexOf(word.trim()));
  if (from === undefined || from === -1 || to === -1 || rest.length > 0) return null;
  if (to === undefined) return [from];
  const count = ((to - from + 7) % 7) + 1;
  return Array.from({ length: count }, (_, step) => (from + step) % 7);
}

/** Minutes of the day; `toMinute` beyond 1440 is on the next day. `null`: no such hours, or none between them. */
export function readHours(text: string): Pick<TimeWindow, "fromMinute" | "toMinute"> | null {
  const found = /^\s*(\d{1,2})(?::(\d\d))?\s*-\s*(\d{1,2})(?::(\d\d))?\s*$/.exec(text);
  if (found === null) return null;
  const [, fromHour, fromMinutes = "0", toHour, toMinutes = "0"] = found;
  const fromMinute = minuteOf(Number(fromHour), Number(fromMinutes));
  const toMinute = minuteOf(Number(toHour), Number(toMinutes));
  if (fromMinute === null || toMinute === null || fromMinute === toMinute) return null;
  if (fromMinute === MINUTES_A_DAY) return null;
  return { fromMinute, toMinute: toMinute > fromMinute ? toMinute : toMinute + MINUTES_A_DAY };
}

function minuteOf(hour: number, minutes: number): number | null {
  const minute = hour * 60 + minutes;
  return minutes < 60 && minute <= MINUTES_A_DAY ? minute : null;
}

/** One date or two, of one year or of every year; `null`: none that the calendar has. */
export function readDates(text: string): DateRange | null {
  const [from, to = from, ...rest] = text.split("..").map((part) => part.trim());
  if (from === undefined || to === undefined || rest.length > 0) return null;
  const isYearly = /^\d\d-\d\d$/.test(from);
  // A leap year knows every day.
  const year = isYearly ? "2024-" : "";
  if (!isDate(year + from) || !isDate(year + to)) return null;
  return isYearly || from <= to ? { from, to, isYearly } : null;
}

function isDate(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

/** The zone's proper name; `null`: there is none of this name (IANA time zone database). */
export function readZone(text: string): string | null {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: text.trim() }).resolvedOptions().timeZone;
  } catch {
    // Only a `RangeError` for a name that is not known can come of it.
    return null;
  }
}

/** The zone that this machine keeps. */
export function machineZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

const LIST_MAX = 50;

/**
 * Windows in one text: `mon-fri 08:00-19:00 Europe/Paris except 12-25,2026-05-01..2026-05-03; sat 10-12`. Each part may
 * be left out.
 * @returns a sentence about the part that cannot be read, to follow "must be"
 */
export function readWindows(
  text: string,
  usualZone: string,
): { readonly windows: readonly TimeWindow[] } | { readonly allowed: string } {
  const parts = text.split(";").filter((part) => part.trim() !== "");
  if (parts.length === 0 || parts.length > LIST_MAX) return { allowed: WINDOWS_ALLOWED };
  const windows = parts.map((part) => readWindow(part, usualZone));
  const wrong = windows.find((window) => typeof window === "string");
  if (wrong !== undefined) return { allowed: wrong };
  return { windows: windows.filter((window) => typeof window !== "string") };
}

/** Completes "must be …". */
export const WINDOWS_ALLOWED =
  "windows such as mon-fri 08:00-19:00 Europe/Paris except 12-25, separated by semicolons";

/** @returns what it must be, where it cannot be read */
function readWindow(text: string, usualZone: string): TimeWindow | string {
  const [said = "", exceptions, ...rest] = text.trim().split(/\s*\bexcept\b\s*/i);
  if (rest.length > 0) return WINDOWS_ALLOWED;
  const except = exceptions?.split(",").map(readDates) ?? [];
  if (except.includes(null)) return DATES_ALLOWED;
  const words = said.split(/\s+/).filter((word) => word !== "");
  let window = windowOf({ zone: usualZone, except: except.filter((range) => range !== null) });
  for (const word of words) {
    const days = readDaysList(word);
    const hours = readHours(word);
    const zone = days === null && hours === null ? readZone(word) : null;
    if (days !== null) window = { ...window, days };
    else if (hours !== null) window = { ...window, ...hours };
    else if (zone !== null) window = { ...window, zone };
    else return WINDOWS_ALLOWED;
  }
  return words.length === 0 ? WINDOWS_ALLOWED : window;
}

function readDaysList(text: string): readonly number[] | null {
  const parts = text.split(",").map(readDays);
  return parts.includes(null) ? null : uniqueDays(parts.flatMap((days) => days ?? []));
}

/** Each once, in the order of the week. */
export function uniqueDays(days: readonly number[]): readonly number[] {
  return [...new Set(days)].toSorted((a, b) => a - b);
}

/** A window that is open every day and all day, but for what is said. */
export function windowOf(said: Partial<TimeWindow> & Pick<TimeWindow, "zone">): TimeWindow {
  return {
    days: [0, 1, 2, 3, 4, 5, 6],
    fromMinute: 0,
    toMinute: MINUTES_A_DAY,
    except: [],
    ...said,
  };
}

/** For people: `mon-fri 08:00-19:00 Europe/Paris`. `readWindows` reads it back. */
export function windowText({ days, fromMinute, toMinute, zone, except }: TimeWindow): string {
  const dates = except.map(({ from, to }) => (from === to ? from : `${from}..${to}`));
  const off = dates.length === 0 ? "" : ` except ${dates.join(",")}`;
  return `${daysText(days)} ${timeText(fromMinute)}-${timeText(toMinute)} ${zone}${off}`;
}

function daysText(days: readonly number[]): string {
  // From Monday on, where most weeks begin that people write windows for.
  const sorted = days.toSorted((a, b) => ((a + 6) % 7) - ((b + 6) % 7));
  const [first = 0] = sorted;
  const last = sorted.at(-1) ?? first;
  const isRange = sorted.length > 2 && ((last - first + 7) % 7) + 1 === sorted.length;
  return isRange ? `${DAYS[first]}-${DAYS[last]}` : sorted.map((day) => DAYS[day]).join(",");
}

/** `19:00`; midnight at the end of a day is `24:00`. */
function timeText(minute: number): string {
  const ofDay = minute > MINUTES_A_DAY ? minute - MINUTES_A_DAY : minute;
  const two = (number: number) => String(number).padStart(2, "0");
  return `${two(Math.floor(ofDay / 60))}:${two(ofDay % 60)}`;
}
