import { describe, expect, test } from "bun:test";

import type { Clock } from "../src/clock.ts";
import { nextDueMs, onSchedule } from "../src/schedule.ts";
import { createVirtualClock, type VirtualClock } from "./support/virtual-clock.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** A whole minute. */
const START_MS = Date.parse("2026-03-10T12:00:00Z");

describe("next due", () => {
  const cases: readonly [expression: string, from: string, due: string][] = [
    ["* * * * *", "2026-03-10T12:00:00.000Z", "2026-03-10T12:01:00.000Z"],
    ["* * * * *", "2026-03-10T12:00:00.001Z", "2026-03-10T12:01:00.000Z"],
    ["* * * * *", "2026-03-10T12:00:59.999Z", "2026-03-10T12:01:00.000Z"],
    ["* * * * * *", "2026-03-10T12:00:00.000Z", "2026-03-10T12:00:01.000Z"],
    ["* * * * * *", "2026-03-10T12:00:00.999Z", "2026-03-10T12:00:01.000Z"],
    ["*/10 * * * * *", "2026-03-10T12:00:01.500Z", "2026-03-10T12:00:10.000Z"],
    ["30 * * * * *", "2026-03-10T12:00:30.000Z", "2026-03-10T12:01:30.000Z"],
    ["*/5 * * * *", "2026-12-31T23:58:00.000Z", "2027-01-01T00:00:00.000Z"],
  ];
  for (const [expression, from, due] of cases) {
    test(`next due: ${expression} after ${from} is ${due}`, () => {
      expect(new Date(nextDueMs(expression, Date.parse(from))).toISOString()).toBe(due);
    });
  }

  test("next due: what is no expression, or never due, is refused", () => {
    for (const expression of ["", "x", "61 * * * *", "* * * *", "0 0 30 2 *"]) {
      expect(() => nextDueMs(expression, START_MS)).toThrow();
    }
  });
});

/** A schedule under `clock`, and when it called, in ms since `START_MS`. */
function scheduled(expression: string, clock: Clock) {
  const calledMs: number[] = [];
  const end = onSchedule({
    expression,
    clock,
    work: () => calledMs.push(clock.now() - START_MS),
  });
  return { calledMs, end };
}

/** The clock of a test, whose longer timers end a millisecond early, as a real one's can. */
function earlyClock(clock: VirtualClock): Clock {
  return {
    ...clock,
    after: (delayMs, callback) => clock.after(delayMs > 100 ? delayMs - 1 : delayMs, callback),
  };
}

describe("schedule", () => {
  test("schedule: it calls at each due time, and not at once", async () => {
    const clock = createVirtualClock(START_MS + 500);
    const { calledMs, end } = scheduled("* * * * *", clock);
    expect(calledMs).toEqual([]);
    await clock.advance(3 * MINUTE_MS);
    expect(calledMs).toEqual([1, 2, 3].map((minute) => minute * MINUTE_MS));
    end();
    expect(clock.pending()).toBe(0);
    await clock.advance(3 * MINUTE_MS);
    expect(calledMs).toHaveLength(3);
  });

  test("schedule: it can be ended by its own work", async () => {
    const clock = createVirtualClock(START_MS);
    let calls = 0;
    const end = onSchedule({
      expression: "* * * * *",
      clock,
      work() {
        calls += 1;
        end();
      },
    });
    await clock.advance(5 * MINUTE_MS);
    expect([calls, clock.pending()]).toEqual([1, 0]);
  });

  test("schedule: work that throws does not end it", async () => {
    const clock = createVirtualClock(START_MS);
    let calls = 0;
    const end = onSchedule({
      expression: "* * * * *",
      clock,
      work() {
        calls += 1;
        throw new Error("broken sweep");
      },
    });
    for (let n = 0; n < 2; n += 1) await clock.advance(MINUTE_MS).catch(() => undefined);
    expect(calls).toBe(2);
    end();
  });

  test("schedule: timers that end a little early make no second call", async () => {
    const clock = createVirtualClock(START_MS);
    const { calledMs, end } = scheduled("* * * * *", earlyClock(clock));
    await clock.advance(3 * MINUTE_MS);
    end();
    expect(calledMs).toEqual([1, 2, 3].map((minute) => minute * MINUTE_MS));
  });

  test("schedule: what is due in half a year is not called when the longest timer ends", async () => {
    const clock = createVirtualClock(START_MS);
    const limited: Clock = {
      ...clock,
      after: (delayMs, callback) => clock.after(Math.min(delayMs, 0x7fffffff), callback),
    };
    const { calledMs, end } = scheduled("0 12 10 9 *", limited);
    await clock.advance(180 * DAY_MS);
    expect(calledMs).toEqual([]);
    await clock.advance(6 * DAY_MS);
    expect(calledMs).toHaveLength(1);
    end();
  });

  for (const [jump, jumpMs] of [
    ["back by an hour", -60 * MINUTE_MS],
    ["back by a day", -DAY_MS],
    ["back by half a minute", -30_000],
    ["back by a moment", -3],
    ["forth by an hour", 60 * MINUTE_MS],
    ["forth by a day", DAY_MS],
  ] as const) {
    test(`schedule: a wall clock set ${jump} stops it for no longer than an interval`, async () => {
      const clock = createVirtualClock(START_MS);
      const { calledMs, end } = scheduled("* * * * *", clock);
      await clock.advance(MINUTE_MS + 20_000);
      clock.setWall(jumpMs);
      await clock.advance(9 * MINUTE_MS);
      end();
      const gapsMs = calledMs.slice(1).map((atMs, index) => atMs - (calledMs[index] ?? 0));
      expect(Math.max(...gapsMs)).toBeLessThan(2 * MINUTE_MS);
      expect(Math.min(...gapsMs)).toBeGreaterThanOrEqual(MINUTE_MS);
      expect(calledMs.length).toBeGreaterThanOrEqual(9);
    });
  }

  test("schedule: set back by hours it goes on without a pause, and calls once for what is due", async () => {
    const clock = createVirtualClock(START_MS);
    const { calledMs, end } = scheduled("* * * * *", clock);
    await clock.advance(MINUTE_MS);
    clock.setWall(-5 * 60 * MINUTE_MS);
    await clock.advance(3 * MINUTE_MS);
    end();
    expect(calledMs).toEqual([1, 2, 3, 4].map((minute) => minute * MINUTE_MS));
  });

  test("schedule: it follows the wall clock, whatever steady time says", async () => {
    const clock = createVirtualClock(START_MS);
    clock.setWall(30_000);
    const { calledMs, end } = scheduled("* * * * *", clock);
    await clock.advance(2 * MINUTE_MS);
    end();
    expect(calledMs).toEqual([30_000, 90_000]);
  });
});
