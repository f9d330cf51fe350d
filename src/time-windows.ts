/** Whether windows of days and hours are open, since when, and until when, by the clocks of their time zone. */

/** Dates, the last one included. */
export interface DateRange {
  /** `2026-12-24`; of every year `12-24`. */
  readonly from: string;
  readonly to: string;
  readonly isYearly: boolean;
}

/** Hours on some days of the week. */
export interface TimeWindow {
  /** Those on which it begins; 0 is Sunday. */
  readonly days: readonly number[];
  /** Minutes of the day, by the clocks of the zone. */
  readonly fromMinute: number;
  /** Later than `fromMinute`; beyond 1440 it is on the next day. */
  readonly toMinute: number;
  /** A name of the IANA time zone database. */
  readonly zone: string;
  /** Dates on which it does not begin. */
  readonly except: readonly DateRange[];
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** How many days back and ahead windows that touch are joined to one. */
const JOINED_DAYS = 8;
/** How far ahead the next opening is looked for, in days: dates off may take a while, but hardly longer. */
const AHEAD_DAYS = 400;

/** By how much clocks in a zone are ahead of UTC at a time, ms. */
export type OffsetAt = (zone: string, atMs: number) => number;

/** What is the case with some windows. Times are of the wall clock, ms since the epoch. */
export type WindowState<W extends TimeWindow = TimeWindow> =
  | {
      readonly kind: "open";
      /** Those that are; at least one. */
      readonly open: readonly W[];
      /** Windows that touch or overlap count as one. At most about a week back. */
      readonly sinceMs: number;
      /** The same, about a week ahead at most. */
      readonly untilMs: number;
    }
  | {
      readonly kind: "closed";
      /** `null`: not within the next year. */
      readonly opensMs: number | null;
      /** The one that opens then; `null`: none does. */
      readonly next: W | null;
    };

/** A state, and until when it says the same; ms since the epoch. */
export interface WindowReading<W extends TimeWindow = TimeWindow> {
  readonly state: WindowState<W>;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Once that a window is open. */
interface Opening<W extends TimeWindow> {
  readonly window: W;
  readonly startMs: number;
  readonly endMs: number;
}

/**
 * Pure. A window belongs to the day on which it begins, dates off included. Where clocks are put forward over one of
 * its ends, that end moves by as much; where they are put back, the first of two equal times counts.
 */
export function windowsAt<W extends TimeWindow>(
  windows: readonly W[],
  atMs: number,
  offsetAt: OffsetAt,
): WindowReading<W> {
  const near = openingsOf(windows, { atMs, from: -JOINED_DAYS, to: JOINED_DAYS, offsetAt });
  const open = near.filter(({ startMs, endMs }) => startMs <= atMs && atMs < endMs);
  const edges = near.flatMap(({ startMs, endMs }) => [startMs, endMs]);
  const horizonMs = atMs + (JOINED_DAYS - 2) * DAY_MS;
  const untilMs = Math.min(horizonMs, ...edges.filter((edgeMs) => edgeMs > atMs));
  const reading = { fromMs: atMs, untilMs };
  if (open.length === 0) {
    const next = nextOpening(windows, atMs, { near, offsetAt });
    const opensMs = next?.startMs ?? null;
    return { ...reading, state: { kind: "closed", opensMs, next: next?.window ?? null } };
  }
  return {
    ...reading,
    state: { kind: "open", open: open.map(({ window }) => window), ...joined(near, atMs) },
  };
}

/** @param near by their beginning; one of them is open at `atMs` */
function joined(
  near: readonly Opening<TimeWindow>[],
  atMs: number,
): { readonly sinceMs: number; readonly untilMs: number } {
  let sinceMs = Number.NEGATIVE_INFINITY;
  let untilMs = Number.NEGATIVE_INFINITY;
  for (const { startMs, endMs } of near) {
    if (startMs <= untilMs) {
      untilMs = Math.max(untilMs, endMs);
    } else {
      if (untilMs > atMs) break;
      sinceMs = startMs;
      untilMs = endMs;
    }
  }
  return { sinceMs, untilMs };
}

function nextOpening<W extends TimeWindow>(
  windows: readonly W[],
  atMs: number,
  { near, offsetAt }: { readonly near: readonly Opening<W>[]; readonly offsetAt: OffsetAt },
): Opening<W> | null {
  const soon = near.find(({ startMs }) => startMs > atMs);
  if (soon !== undefined) return soon;
  for (let from = JOINED_DAYS; from < AHEAD_DAYS; from += JOINED_DAYS) {
    const [found] = openingsOf(windows, { atMs, from, to: from + JOINED_DAYS, offsetAt });
    if (found !== undefined) return found;
  }
  return null;
}

/** By their beginning, those that begin first, first. @param span.from in days from the day of `atMs`, `to` included */
function openingsOf<W extends TimeWindow>(
  windows: readonly W[],
  span: {
    readonly atMs: number;
    readonly from: number;
    readonly to: number;
    readonly offsetAt: OffsetAt;
  },
): Opening<W>[] {
  const { atMs, from, to, offsetAt } = span;
  const openings = windows.flatMap((window) => {
    const today = Math.floor((atMs + offsetAt(window.zone, atMs)) / DAY_MS);
    const days = Array.from({ length: to - from + 1 }, (_, step) => today + from + step);
    return days.flatMap((day) => openingOn(window, day, offsetAt));
  });
  return openings.toSorted((a, b) => a.startMs - b.startMs);
}

/** @param day days since 1970-01-01, by the calendar of the zone */
function openingOn<W extends TimeWindow>(window: W, day: number, offsetAt: OffsetAt): Opening<W>[] {
  // 1970-01-01 was a Thursday.
  if (!window.days.includes((((day + 4) % 7) + 7) % 7) || isOff(window.except, day)) return [];
  const at = (minute: number) =>
    instantOf(day * DAY_MS + minute * MINUTE_MS, window.zone, offsetAt);
  const opening = { window, startMs: at(window.fromMinute), endMs: at(window.toMinute) };
  return opening.startMs < opening.endMs ? [opening] : [];
}

function isOff(except: readonly DateRange[], day: number): boolean {
  if (except.length === 0) return false;
  const date = new Date(day * DAY_MS).toISOString().slice(0, 10);
  return except.some(({ from, to, isYearly }) => {
    const given = isYearly ? date.slice(5) : date;
    // Of every year, a range may go over its end.
    return from <= to ? from <= given && given <= to : given >= from || given <= to;
  });
}

/** When clocks in the zone show a time; the first time they do, or as long after the gap as they never do. */
function instantOf(localMs: number, zone: string, offsetAt: OffsetAt): number {
  const before = offsetAt(zone, localMs - DAY_MS);
  const after = offsetAt(zone, localMs + DAY_MS);
  const fits = [before, after]
    .filter((offset) => offsetAt(zone, localMs - offset) === offset)
    .map((offset) => localMs - offset);
  return fits.length === 0 ? localMs - before : Math.min(...fits);
}

/** Reads offsets from the runtime's own tables (ICU, IANA time zone database); keeps what each zone needs. */
export function createOffsets(): OffsetAt {
  const formats = new Map<string, Intl.DateTimeFormat>();
  return (zone, atMs) => {
    let format = formats.get(zone);
    if (format === undefined) {
      format = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
      formats.set(zone, format);
    }
    return offsetOf(format.format(atMs));
  };
}

/** `1/15/2027, GMT+01:00`; GMT alone is 0. */
function offsetOf(text: string): number {
  const [, sign, hours = "0", minutes = "0", seconds = "0"] =
    /GMT(?:([+-])(\d+):(\d+)(?::(\d+))?)?$/.exec(text) ?? [];
  const size = (Number(hours) * 60 + Number(minutes)) * MINUTE_MS + Number(seconds) * 1000;
  return sign === "-" ? -size : size;
}

/** Reads windows as often as somebody asks, and reckons only when something has changed. */
export type WindowReader = <W extends TimeWindow>(
  windows: readonly W[],
  atMs: number,
) => WindowState<W>;

/** Remembers the last reading of each list of windows, as long as that list is used. */
export function createWindowReader(offsetAt: OffsetAt = createOffsets()): WindowReader {
  const readings = new WeakMap<readonly TimeWindow[], WindowReading>();
  return <W extends TimeWindow>(windows: readonly W[], atMs: number) => {
    const known = readings.get(windows);
    if (known !== undefined && known.fromMs <= atMs && atMs < known.untilMs) {
      // It was made from this very list.
      return known.state as WindowState<W>;
    }
    const reading = windowsAt(windows, atMs, offsetAt);
    readings.set(windows, reading);
    return reading.state;
  };
}

/** For people: `Mon 07:00 (Europe/Paris)`, with the date where that is not this week. */
export function momentText(atMs: number, zone: string, nowMs: number): string {
  const isFar = Math.abs(atMs - nowMs) > 6 * DAY_MS;
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
    ...(isFar && { day: "numeric", month: "short", year: "numeric" }),
  });
  return `${format.format(atMs).replace(",", "")} (${zone})`;
}
