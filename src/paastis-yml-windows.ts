/** The `keep_awake` and `force_sleep` settings of rules and apps: their shape, and what they say. */

import { type Static, Type } from "typebox";
import type { ForceSleepWindow } from "./app-schedule.ts";
import { show } from "./check-shape.ts";
import { nearest } from "./nearest.ts";
import type { Reader } from "./paastis-yml.ts";
import type { TimeWindow } from "./time-windows.ts";
import {
  DATES_ALLOWED,
  DAYS_ALLOWED,
  HOURS_ALLOWED,
  machineZone,
  readDates,
  readDays,
  readHours,
  readZone,
  uniqueDays,
  windowOf,
  ZONE_ALLOWED,
} from "./time-words.ts";
import type { YamlPath } from "./yaml-source.ts";

const WORD = Type.String({ minLength: 1 });

/** `$comment` completes "must be …"; `description` is shown by editors. */
const window = {
  days: Type.Optional(
    Type.Union([WORD, Type.Array(WORD, { minItems: 1 })], {
      $comment: `${DAYS_ALLOWED}, or a list of those`,
      description:
        "Days of the week on which the window begins, such as mon-fri or [mon, wed]; without it every day.",
    }),
  ),
  hours: Type.Optional(
    Type.String({
      minLength: 1,
      $comment: HOURS_ALLOWED,
      description:
        "From when to when, by the clocks of the time zone; over midnight, such as 22:00-06:00, it belongs to the " +
        "day on which it begins. Without it all day.",
    }),
  ),
  time_zone: Type.Optional(
    Type.String({
      minLength: 1,
      $comment: ZONE_ALLOWED,
      description:
        "Name of the IANA time zone database; daylight saving is heeded. Without it the machine's own.",
    }),
  ),
  except: Type.Optional(
    Type.Array(WORD, {
      $comment: `a list of dates: ${DATES_ALLOWED}`,
      description:
        "Dates on which the window does not begin, such as 2026-12-25, 12-25 (every year) or 12-24..01-02.",
    }),
  ),
};

const keepAwakeWindow = Type.Object(window, {
  additionalProperties: false,
  $comment: "a window with days, hours, time_zone or except",
});

const forceSleepWindow = Type.Object(
  {
    ...window,
    wake: Type.Optional(
      Type.Boolean({
        $comment: "true or false",
        description:
          "Whether requests wake the app in the window all the same; then its idle time holds. Without it they are " +
          "told when it is there again.",
        default: false,
      }),
    ),
  },
  { additionalProperties: false, $comment: "a window with days, hours, time_zone, except or wake" },
);

/** The shape of `keep_awake`. */
export const KEEP_AWAKE_SCHEMA = Type.Array(keepAwakeWindow, {
  $comment: "a list of windows, such as - days: mon-fri",
  description:
    "Windows of time in which the app is kept awake. It is woken ahead, so that it is warm when they open.",
});

/** The shape of `force_sleep`. */
export const FORCE_SLEEP_SCHEMA = Type.Array(forceSleepWindow, {
  $comment: "a list of windows, such as - hours: 20:00-07:00",
  description:
    "Windows of time in which the app sleeps as soon as nobody uses it; they go before keep_awake.",
});

type WindowEntry = Static<typeof forceSleepWindow>;

/** Reads it; what is wrong is reported and left out. Entries that were wrong already are `undefined`. */
export function readKeepAwake(
  entries: readonly (Static<typeof keepAwakeWindow> | undefined)[],
  at: YamlPath,
  reader: Reader,
): readonly TimeWindow[] {
  return entries.flatMap((entry, index) => readWindow(entry ?? {}, [...at, index], reader) ?? []);
}

/** The same for `force_sleep`. */
export function readForceSleep(
  entries: readonly (WindowEntry | undefined)[],
  at: YamlPath,
  reader: Reader,
): readonly ForceSleepWindow[] {
  return entries.flatMap((entry, index) => {
    const read = readWindow(entry ?? {}, [...at, index], reader);
    return read === null ? [] : { ...read, mayBeWoken: entry?.wake ?? false };
  });
}

function readWindow(
  entry: Omit<WindowEntry, "wake">,
  at: YamlPath,
  reader: Reader,
): TimeWindow | null {
  const days = readDaysEntry(entry.days, [...at, "days"], reader);
  const hours = readHoursEntry(entry.hours, [...at, "hours"], reader);
  const zone = readZoneEntry(entry.time_zone, [...at, "time_zone"], reader);
  const dates = (entry.except ?? []).map((text, index) => {
    const range = readDates(text);
    if (range === null) {
      reader.problem([...at, "except", index], `must be ${DATES_ALLOWED}: it is ${show(text)}`);
    }
    return range;
  });
  if (days === null || hours === null || zone === null) return null;
  return windowOf({ zone, ...days, ...hours, except: dates.filter((range) => range !== null) });
}

/** Nothing that is said is empty; `null`: wrong, and reported. */
function readDaysEntry(
  given: string | readonly string[] | undefined,
  at: YamlPath,
  reader: Reader,
): Partial<TimeWindow> | null {
  if (given === undefined) return {};
  const texts = typeof given === "string" ? given.split(",") : given;
  const days = texts.map(readDays);
  const wrong = texts[days.indexOf(null)];
  if (wrong === undefined) return { days: uniqueDays(days.flatMap((some) => some ?? [])) };
  reader.problem(at, `must be ${DAYS_ALLOWED}: it is ${show(wrong)}`);
  return null;
}

function readHoursEntry(
  given: string | undefined,
  at: YamlPath,
  reader: Reader,
): Partial<TimeWindow> | null {
  if (given === undefined) return {};
  const hours = readHours(given);
  if (hours === null) reader.problem(at, `must be ${HOURS_ALLOWED}: it is ${show(given)}`);
  return hours;
}

function readZoneEntry(given: string | undefined, at: YamlPath, reader: Reader): string | null {
  if (given === undefined) return machineZone();
  const zone = readZone(given);
  if (zone !== null) return zone;
  const meant = nearest(given, Intl.supportedValuesOf("timeZone"));
  const hint = meant === null ? "" : `: did you mean ${meant}?`;
  reader.problem(at, `must be ${ZONE_ALLOWED}: it is ${show(given)}${hint}`);
  return null;
}
