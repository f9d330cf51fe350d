import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  createOffsets,
  createWindowReader,
  momentText,
  type TimeWindow,
  windowsAt,
} from "../src/time-windows.ts";
import { readDates, readDays, readHours, readWindows, windowText } from "../src/time-words.ts";

const offsetAt = createOffsets();
const at = (text: string) => Date.parse(text);

function windows(text: string): readonly TimeWindow[] {
  const reading = readWindows(text, "UTC");
  if ("allowed" in reading) throw new Error(reading.allowed);
  return reading.windows;
}

/** `open 08:00Z-19:00Z`, or `closed, opens …`, with the day where it is not this one. */
function stateOf(text: string, when: string): string {
  const { state } = windowsAt(windows(text), at(when), offsetAt);
  const iso = (ms: number) => new Date(ms).toISOString().replace(":00.000Z", "Z");
  if (state.kind === "open") return `open ${iso(state.sinceMs)} to ${iso(state.untilMs)}`;
  return state.opensMs === null ? "closed" : `closed until ${iso(state.opensMs)}`;
}

describe("windows: office hours in Paris", () => {
  const office = "mon-fri 08:00-19:00 Europe/Paris";
  // 2026-06-15 is a Monday; clocks are two hours ahead.
  test.each([
    ["2026-06-15T05:59:59Z", "closed until 2026-06-15T06:00Z"],
    ["2026-06-15T06:00:00Z", "open 2026-06-15T06:00Z to 2026-06-15T17:00Z"],
    ["2026-06-15T16:59:59Z", "open 2026-06-15T06:00Z to 2026-06-15T17:00Z"],
    ["2026-06-15T17:00:00Z", "closed until 2026-06-16T06:00Z"],
    ["2026-06-19T17:00:00Z", "closed until 2026-06-22T06:00Z"],
    ["2026-06-20T10:00:00Z", "closed until 2026-06-22T06:00Z"],
    // Winter: one hour ahead.
    ["2026-12-15T06:30:00Z", "closed until 2026-12-15T07:00Z"],
  ])("at %s: %s", (when, state) => {
    expect(stateOf(office, when)).toBe(state);
  });
});

describe("windows: over midnight a window belongs to the day on which it begins", () => {
  test.each([
    ["fri 22:00-06:00 UTC", "2026-06-20T05:00:00Z", "open 2026-06-19T22:00Z to 2026-06-20T06:00Z"],
    ["fri 22:00-06:00 UTC", "2026-06-19T05:00:00Z", "closed until 2026-06-19T22:00Z"],
    ["fri 22:00-06:00 UTC", "2026-06-20T22:30:00Z", "closed until 2026-06-26T22:00Z"],
    [
      "fri 22:00-06:00 UTC except 2026-06-20",
      "2026-06-20T05:00:00Z",
      "open 2026-06-19T22:00Z to 2026-06-20T06:00Z",
    ],
    [
      "fri 22:00-06:00 UTC except 2026-06-19",
      "2026-06-20T05:00:00Z",
      "closed until 2026-06-26T22:00Z",
    ],
    ["12:00-24:00 UTC", "2026-06-20T23:59:00Z", "open 2026-06-20T12:00Z to 2026-06-21T00:00Z"],
  ])("%s at %s: %s", (text, when, state) => {
    expect(stateOf(text, when)).toBe(state);
  });
});

describe("windows: daylight saving", () => {
  test.each([
    // 2026-03-29: at 02:00 clocks in Paris go to 03:00. 2026-10-25: at 03:00 they go back to 02:00.
    [
      "the day keeps its hours",
      "08:00-19:00 Europe/Paris",
      "2026-03-29T06:30:00Z",
      "open 2026-03-29T06:00Z to 2026-03-29T17:00Z",
    ],
    [
      "a short night",
      "22:00-06:00 Europe/Paris",
      "2026-03-29T00:30:00Z",
      "open 2026-03-28T21:00Z to 2026-03-29T04:00Z",
    ],
    [
      "a long night",
      "22:00-06:00 Europe/Paris",
      "2026-10-25T00:30:00Z",
      "open 2026-10-24T20:00Z to 2026-10-25T05:00Z",
    ],
    [
      "an end that no clock shows moves by the hour",
      "01:00-02:30 Europe/Paris",
      "2026-03-29T00:59:00Z",
      "open 2026-03-29T00:00Z to 2026-03-29T01:30Z",
    ],
    [
      "of two equal times the first counts",
      "02:15-04:00 Europe/Paris",
      "2026-10-25T00:20:00Z",
      "open 2026-10-25T00:15Z to 2026-10-25T03:00Z",
    ],
    [
      "of two equal ends, too",
      "01:00-02:30 America/New_York",
      "2026-11-01T06:45:00Z",
      "open 2026-11-01T05:00Z to 2026-11-01T07:30Z",
    ],
    [
      "in New York, where 01:30 comes twice",
      "00:30-01:30 America/New_York",
      "2026-11-01T05:00:00Z",
      "open 2026-11-01T04:30Z to 2026-11-01T05:30Z",
    ],
    [
      "a day without midnight",
      "fri 00:00-08:00 Africa/Cairo",
      "2026-04-24T01:00:00Z",
      "open 2026-04-23T22:00Z to 2026-04-24T05:00Z",
    ],
    [
      "a zone with half hours",
      "08:00-09:00 Asia/Kolkata",
      "2026-06-15T02:30:00Z",
      "open 2026-06-15T02:30Z to 2026-06-15T03:30Z",
    ],
    [
      "across the date line",
      "mon 00:00-24:00 Pacific/Kiritimati",
      "2026-06-14T10:00:00Z",
      "open 2026-06-14T10:00Z to 2026-06-15T10:00Z",
    ],
  ])("%s: %s at %s", (_, text, when, state) => {
    expect(stateOf(text, when)).toBe(state);
  });
});

describe("windows: dates off", () => {
  test.each([
    ["08:00-19:00 UTC except 12-25", "2026-12-25T10:00:00Z", "closed until 2026-12-26T08:00Z"],
    [
      "08:00-19:00 UTC except 12-24..01-02",
      "2027-01-01T10:00:00Z",
      "closed until 2027-01-03T08:00Z",
    ],
    [
      "08:00-19:00 UTC except 2026-12-24..2026-12-26",
      "2027-12-25T10:00:00Z",
      "open 2027-12-25T08:00Z to 2027-12-25T19:00Z",
    ],
    [
      "08:00-19:00 UTC except 2026-07-01..2026-08-31",
      "2026-07-02T10:00:00Z",
      "closed until 2026-09-01T08:00Z",
    ],
    ["08:00-19:00 UTC except 01-01..12-31", "2026-07-02T10:00:00Z", "closed"],
    // There the 25th has begun already.
    [
      "08:00-19:00 Pacific/Auckland except 12-25",
      "2026-12-24T20:00:00Z",
      "closed until 2026-12-25T19:00Z",
    ],
  ])("%s at %s: %s", (text, when, state) => {
    expect(stateOf(text, when)).toBe(state);
  });
});

test("windows: those that touch or overlap are one", () => {
  const text = "fri 19:00-24:00 UTC; sat,sun UTC; mon 00:00-07:00 UTC; mon 06:00-06:30 UTC";
  expect(stateOf(text, "2026-06-20T12:00:00Z")).toBe("open 2026-06-19T19:00Z to 2026-06-22T07:00Z");
  expect(stateOf(text, "2026-06-22T07:00:00Z")).toBe("closed until 2026-06-26T19:00Z");
});

test("windows: one that is always open is open for as long as anybody looks ahead", () => {
  const { state } = windowsAt(windows("mon-sun UTC"), at("2026-06-20T12:00:00Z"), offsetAt);
  expect(state.kind).toBe("open");
  if (state.kind !== "open") return;
  expect(state.untilMs - at("2026-06-20T12:00:00Z")).toBeGreaterThan(6 * 86_400_000);
});

const ZONES = ["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"];
const anyWindow: fc.Arbitrary<TimeWindow> = fc
  .record({
    days: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1 }),
    fromMinute: fc.integer({ min: 0, max: 1439 }),
    toMinute: fc.integer({ min: 1, max: 1440 }),
    zone: fc.constantFrom(...ZONES),
    except: fc.constant([]),
  })
  .map((window) => {
    const { fromMinute, toMinute } = window;
    return { ...window, toMinute: toMinute > fromMinute ? toMinute : toMinute + 1440 };
  })
  // A whole day is written from midnight to midnight.
  .filter(({ fromMinute, toMinute }) => fromMinute === 0 || toMinute - fromMinute < 1440);
const anyTime = fc.integer({ min: at("2024-01-01"), max: at("2030-01-01") });

/** What the clocks on the wall say, asked in another way than the program does. */
function isOpenByTheWall({ days, fromMinute, toMinute, zone }: TimeWindow, atMs: number): boolean {
  const local = new Date(atMs).toLocaleString("sv-SE", { timeZone: zone });
  const [date = "", time = ""] = local.split(" ");
  const [hour = 0, minute = 0, second = 0] = time.split(":").map(Number);
  const ofDay = hour * 60 + minute + second / 60;
  const day = new Date(`${date}T00:00:00Z`).getUTCDay();
  const isToday = days.includes(day) && ofDay >= fromMinute && ofDay < toMinute;
  const isSince = days.includes((day + 6) % 7) && ofDay + 1440 < toMinute;
  return isToday || isSince;
}

test("windows: but for days on which clocks are changed, a window is open when the clocks say so", () => {
  fc.assert(
    fc.property(fc.array(anyWindow, { minLength: 1, maxLength: 3 }), anyTime, (list, atMs) => {
      const changes = list.some(
        ({ zone }) => offsetAt(zone, atMs - 86_400_000) !== offsetAt(zone, atMs + 86_400_000),
      );
      fc.pre(!changes);
      const { state } = windowsAt(list, atMs, offsetAt);
      expect(state.kind === "open").toBe(list.some((window) => isOpenByTheWall(window, atMs)));
    }),
    { numRuns: 300 },
  );
});

test("windows: the reader says the same as one that reckons each time", () => {
  fc.assert(
    fc.property(
      fc.array(anyWindow, { minLength: 1, maxLength: 3 }),
      anyTime,
      fc.array(fc.integer({ min: -3_600_000, max: 50_000_000 }), { maxLength: 6 }),
      (list, startMs, steps) => {
        const read = createWindowReader(offsetAt);
        let atMs = startMs;
        for (const step of steps) {
          atMs += step;
          const fresh = windowsAt(list, atMs, offsetAt).state;
          const kept = read(list, atMs);
          expect(kept.kind).toBe(fresh.kind);
          if (kept.kind === "open" && fresh.kind === "open") {
            expect(kept.open).toEqual(fresh.open);
          }
          if (kept.kind === "closed" && fresh.kind === "closed") {
            expect(kept.opensMs).toBe(fresh.opensMs);
          }
        }
      },
    ),
    { numRuns: 100 },
  );
});

test("windows: what is written for people can be read again", () => {
  fc.assert(
    fc.property(anyWindow, (window) => {
      const text = windowText(window);
      const [read] = windows(text);
      expect(read === undefined ? "" : windowText(read)).toBe(text);
      expect(read?.days.toSorted()).toEqual(window.days.toSorted());
    }),
  );
});

test.each([
  ["mon", [1]],
  ["Mon-Fri", [1, 2, 3, 4, 5]],
  ["fri-mon", [5, 6, 0, 1]],
  ["sun-sat", [0, 1, 2, 3, 4, 5, 6]],
  ["monday", null],
  ["mon-", null],
  ["mon-tue-wed", null],
  ["", null],
])("windows: %j are the days %j", (text, days) => {
  expect(readDays(text)).toEqual(days);
});

test.each([
  ["08:00-19:00", 480, 1140],
  ["8-19", 480, 1140],
  [" 8:30 - 9:05 ", 510, 545],
  ["22:00-06:00", 1320, 1800],
  ["00:00-24:00", 0, 1440],
  ["20:00-00:00", 1200, 1440],
])("windows: %j is from minute %d to %d", (text, fromMinute, toMinute) => {
  expect(readHours(text)).toEqual({ fromMinute, toMinute });
});

test.each([
  "8",
  "8-8",
  "24:00-06:00",
  "8:60-9",
  "25-26",
  "08:00",
  "-",
  "8.5-9",
  "08:00-19:00-20:00",
])("windows: %j are no hours", (text) => {
  expect(readHours(text)).toBeNull();
});

test.each(["2026-02-29", "13-01", "02-30", "2026-12-26..2026-12-24", "2026-12-24..12-26", "x", ""])(
  "windows: %j are no dates",
  (text) => {
    expect(readDates(text)).toBeNull();
  },
);

test("windows: a moment is said with its zone, and with its date when it is far", () => {
  const nowMs = at("2026-06-15T10:00:00Z");
  expect(momentText(at("2026-06-16T06:00:00Z"), "Europe/Paris", nowMs)).toBe(
    "Tue 08:00 (Europe/Paris)",
  );
  expect(momentText(at("2027-01-03T07:00:00Z"), "Europe/Paris", nowMs)).toContain("3 Jan 2027");
});
