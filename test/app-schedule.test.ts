import { describe, expect, test } from "bun:test";
import type { App } from "../src/app.ts";
import {
  createSchedules,
  decideWarmAhead,
  forcedSleep,
  leadMs,
  scheduleWord,
  type WarmedBefore,
} from "../src/app-schedule.ts";
import { decideIdle } from "../src/idle.ts";
import { orderedAwake, whyKeptAwake } from "../src/overrides.ts";
import { readWindows } from "../src/time-words.ts";
import { awakeAt, sampleApp, samplePolicy } from "./support/sample-app.ts";

const MINUTE_MS = 60_000;
const scheduleAt = createSchedules();

function windows(text: string) {
  const reading = readWindows(text, "UTC");
  if ("allowed" in reading) throw new Error(reading.allowed);
  return reading.windows;
}

/** An awake app with windows; `woken`: requests wake it in those of force_sleep. */
function scheduled(
  texts: { readonly keep?: string; readonly sleep?: string; readonly woken?: boolean },
  changes: Partial<App> = {},
): App {
  const { keep, sleep, woken = false } = texts;
  return sampleApp("shop", {
    state: awakeAt("shop"),
    policy: samplePolicy({
      keepAwake: keep === undefined ? null : windows(keep),
      forceSleep:
        sleep === undefined ? null : windows(sleep).map((one) => ({ ...one, mayBeWoken: woken })),
    }),
    ...changes,
  });
}

// A Monday.
const wall = (time: string) => Date.parse(`2026-06-15T${time}:00Z`);
const word = (app: App, time: string, wokenMs: number | null = null) =>
  scheduleWord(app, { nowMs: wall(time), wallMs: wall(time), wokenMs, scheduleAt });

describe("schedule: what the clock wants of an app", () => {
  const office = "mon-fri 08:00-19:00 UTC";
  const night = "20:00-07:00 UTC";

  test.each<[string, App, string, string, string]>([
    [
      "in its window it is kept",
      scheduled({ keep: office }),
      "10:00",
      "keep",
      "until Mon 19:00 (UTC)",
    ],
    ["after it it is not", scheduled({ keep: office }), "19:00", "none", ""],
    ["long before it, neither", scheduled({ keep: office }), "07:30", "none", ""],
    ["right before it, it is", scheduled({ keep: office }), "07:59", "keep", "from Mon 08:00"],
    ["at night it sleeps", scheduled({ sleep: night }), "21:00", "sleep", "until Tue 07:00"],
    ["by day it does not have to", scheduled({ sleep: night }), "12:00", "none", ""],
    [
      "force_sleep goes first",
      scheduled({ keep: "00:00-24:00 UTC", sleep: night }),
      "21:00",
      "sleep",
      "",
    ],
    [
      "right before a window that follows",
      scheduled({ keep: "07:00-19:00 UTC", sleep: night }),
      "06:59",
      "keep",
      "from Mon 07:00",
    ],
    [
      "not before one that it overlaps",
      scheduled({ keep: "06:00-19:00 UTC", sleep: night }),
      "05:59",
      "sleep",
      "",
    ],
  ])("%s", (_, app, time, kind, why) => {
    const said = word(app, time);
    expect(said.kind).toBe(kind as never);
    expect("why" in said ? said.why : "").toContain(why);
  });

  test("who was woken within the window of force_sleep has its usual idle time", () => {
    const app = scheduled({ sleep: night });
    expect(word(app, "21:00", wall("20:30")).kind).toBe("none");
    expect(word(app, "21:00", wall("19:59")).kind).toBe("sleep");
  });

  test("lengths count where the two clocks differ by hours", () => {
    const app = scheduled({ sleep: night });
    const nowMs = 1_000_000_000;
    const facts = { nowMs, wallMs: wall("21:00"), scheduleAt };
    expect(scheduleWord(app, { ...facts, wokenMs: nowMs - 30 * MINUTE_MS }).kind).toBe("none");
    expect(scheduleWord(app, { ...facts, wokenMs: nowMs - 90 * MINUTE_MS }).kind).toBe("sleep");
  });

  test("an app is kept for those that link to it", () => {
    const front = scheduled({ keep: office });
    expect(word(sampleApp("db", { linkedFrom: [front] }), "10:00").kind).toBe("keep");
    expect(word(sampleApp("db", { linkedFrom: [sampleApp("other")] }), "10:00").kind).toBe("none");
  });

  test("an app without windows costs nothing and is told nothing", () => {
    expect(scheduleAt(sampleApp(), wall("10:00"))).toBe(scheduleAt(sampleApp("other"), 0));
    expect(word(sampleApp(), "10:00").kind).toBe("none");
  });
});

describe("schedule: idle decisions", () => {
  const decide = (app: App, time: string, wokenMs: number | null = null) =>
    decideIdle(app, {
      nowMs: wall(time),
      wasSweptBefore: true,
      providerTrouble: null,
      wokenMs,
      schedule: word(app, time, wokenMs),
      wanted: whyKeptAwake(app, { nowMs: wall(time), wallMs: wall(time) }),
    });
  const used = (time: string) => ({ idleSinceMs: wall(time), lastUsedMs: wall(time) });

  test("within keep_awake an idle app is kept, outside it is not", () => {
    const app = scheduled({ keep: "08:00-19:00 UTC" }, used("07:00"));
    expect(decide(app, "10:00")).toMatchObject({ sleep: false });
    expect(decide(app, "20:00")).toMatchObject({ sleep: true });
  });

  test("within force_sleep an app that was just used is put to sleep, one in use is not", () => {
    const app = scheduled({ sleep: "20:00-07:00 UTC" }, used("20:59"));
    expect(decide(app, "21:00")).toEqual({
      sleep: true,
      why: "is to sleep until Tue 07:00 (UTC) by force_sleep",
    });
    expect(decide({ ...app, leases: 1 }, "21:00")).toEqual({ sleep: false, why: "is in use" });
  });

  test("force_sleep goes before an idle time of never", () => {
    const app = scheduled({ sleep: "20:00-07:00 UTC" }, used("20:59"));
    const policy = { ...app.policy, maxIdleMs: null };
    expect(decide({ ...app, policy }, "21:00").sleep).toBe(true);
    expect(decide({ ...app, policy }, "12:00").sleep).toBe(false);
    // Woken at night, it stays: only the clock's word stood against its settings.
    expect(decide({ ...app, policy }, "21:00", wall("20:30")).sleep).toBe(false);
  });

  test("an operator's order and the app's own word go before force_sleep", () => {
    const app = scheduled({ sleep: "20:00-07:00 UTC" }, used("20:00"));
    const ordered = { ...app, keepAwake: { untilWallMs: wall("22:00") } };
    expect(decide(ordered, "21:00")).toEqual({
      sleep: false,
      why: "is kept awake by an operator, for 1 h yet",
    });
    expect(decide(ordered, "22:00").sleep).toBe(true);
    const busy = {
      ...app,
      ownWord: { saidMs: wall("20:59"), untilMs: wall("21:20"), by: "its header Keep-Awake" },
    };
    expect(decide(busy, "21:00")).toEqual({
      sleep: false,
      why: "has something to do, as said by its header Keep-Awake, for 20 min yet",
    });
    expect(decide(busy, "21:20").sleep).toBe(true);
    const anew = { ...busy, state: awakeAt("shop", wall("20:59") + 1) };
    expect(decide(anew, "21:00").sleep).toBe(true);
  });
});

describe("schedule: requests within force_sleep", () => {
  const forced = (app: App, time: string) => forcedSleep(app, { scheduleAt, wallMs: wall(time) });

  test("do not wake the app, and are told until when", () => {
    expect(forced(scheduled({ sleep: "20:00-07:00 Europe/Paris" }), "21:00")).toEqual({
      untilMs: Date.parse("2026-06-16T05:00:00Z"),
      why: "it sleeps until Tue 07:00 (Europe/Paris), by its schedule",
    });
  });

  test("wake it with wake: true, outside of it, without it, and by an operator's order", () => {
    expect(forced(scheduled({ sleep: "20:00-07:00 UTC", woken: true }), "21:00")).toBeNull();
    expect(forced(scheduled({ sleep: "20:00-07:00 UTC" }), "12:00")).toBeNull();
    expect(forced(sampleApp(), "21:00")).toBeNull();
    const keepAwake = { untilWallMs: wall("22:00") };
    expect(forced(scheduled({ sleep: "20:00-07:00 UTC" }, { keepAwake }), "21:00")).toBeNull();
  });

  test("where two windows overlap, one that says no is enough", () => {
    const both = scheduled({ sleep: "20:00-23:00 UTC; 21:00-22:00 UTC" });
    const [first, second] = both.policy.forceSleep ?? [];
    if (first === undefined || second === undefined) throw new Error("two windows");
    const policy = { ...both.policy, forceSleep: [{ ...first, mayBeWoken: true }, second] };
    expect(forced({ ...both, policy }, "20:30")).toBeNull();
    expect(forced({ ...both, policy }, "21:30")).not.toBeNull();
  });
});

describe("schedule: waking ahead", () => {
  const asleep: Partial<App> = { state: { kind: "asleep", sinceMs: 0 } };
  const warm = (app: App, time: string, before: WarmedBefore | null = null) =>
    decideWarmAhead(app, { nowMs: wall(time), wallMs: wall(time), scheduleAt }, before);
  const office = "mon-fri 08:00-19:00 UTC";

  test("by its own slowest wake, with some to spare, at most a quarter of an hour", () => {
    expect(leadMs([])).toBe(75_000);
    expect(leadMs([4000, 8000, 4000])).toBe(25_000);
    expect(leadMs([600_000, 1000, 1000, 1000, 1000, 1000])).toBe(16_250);
    expect(leadMs([3_600_000])).toBe(15 * MINUTE_MS);
  });

  test.each<[string, Partial<App>, string, string]>([
    ["not long before", asleep, "07:55", "nothing"],
    ["right before", asleep, "07:59", "wake"],
    ["a slow one, earlier", { ...asleep, wakeHistoryMs: [300_000] }, "07:54", "wake"],
    ["in the window, as nobody did before", asleep, "10:00", "wake"],
    ["not after it", asleep, "19:00", "nothing"],
    ["not what is up", {}, "07:59", "done"],
    [
      "not what wakes already",
      { state: { kind: "waking", sinceMs: 0, fence: 1 } },
      "07:59",
      "nothing",
    ],
    [
      "not what is paused",
      { ...asleep, pause: { kind: "paused", sinceMs: 0 } },
      "07:59",
      "nothing",
    ],
    ["not what sleeps by itself", { ...asleep, sleepsByItself: true }, "07:59", "nothing"],
    [
      "what has failed, when it is time again",
      { state: { kind: "failed", sinceMs: 0, why: "", retryAtMs: wall("07:59") } },
      "07:59",
      "wake",
    ],
    [
      "not before that",
      { state: { kind: "failed", sinceMs: 0, why: "", retryAtMs: wall("08:30") } },
      "07:59",
      "nothing",
    ],
  ])("%s", (_, changes, time, kind) => {
    expect(warm(scheduled({ keep: office }, changes), time).kind).toBe(kind as never);
  });

  test("once for each window: who is put to sleep within it stays asleep", () => {
    const app = scheduled({ keep: office }, asleep);
    const done = { windowMs: wall("08:00"), isDone: true, tries: 0 };
    expect(warm(app, "10:00", done).kind).toBe("nothing");
    const yesterday = { ...done, windowMs: wall("08:00") - 86_400_000 };
    expect(warm(app, "10:00", yesterday)).toMatchObject({ kind: "wake", windowMs: wall("08:00") });
  });

  test("a wake that fails is tried three times", () => {
    const app = scheduled({ keep: office }, asleep);
    const tried = (tries: number) => ({ windowMs: wall("08:00"), isDone: false, tries });
    expect(warm(app, "08:01", tried(2)).kind).toBe("wake");
    expect(warm(app, "08:01", tried(3)).kind).toBe("nothing");
  });

  test("not within force_sleep, unless that ends by then", () => {
    const until = (hours: string) => scheduled({ keep: office, sleep: hours }, asleep);
    expect(warm(until("20:00-08:00 UTC"), "07:59").kind).toBe("wake");
    expect(warm(until("20:00-09:00 UTC"), "07:59").kind).toBe("nothing");
    expect(warm(until("20:00-09:00 UTC"), "08:30").kind).toBe("nothing");
    expect(warm(until("20:00-09:00 UTC"), "09:00").kind).toBe("wake");
  });
});

test("overrides: for and until make an order, within a month", () => {
  expect(orderedAwake({ forMs: 1000 }, 5000)).toEqual({ untilWallMs: 6000 });
  expect(orderedAwake({ untilWallMs: 9000 }, 5000)).toEqual({ untilWallMs: 9000 });
  expect(orderedAwake({ forMs: 0 }, 5000)).toBeNull();
  expect(orderedAwake({ untilWallMs: 5000 }, 5000)).toEqual({ why: "its end is over already" });
  expect(orderedAwake({ forMs: Number.NaN }, 0)).toEqual({ why: "it has no end" });
  expect(orderedAwake({ forMs: 32 * 86_400_000 }, 0)).toEqual({
    why: "it is longer than 31 days, for which there are rules",
  });
});
