/** How patient we are with a platform: when we look, and when we ask once more. */

import { describe, expect, test } from "bun:test";
import {
  goOn,
  isOverdue,
  jobOf,
  newJob,
  refuseEndless,
  taken,
  unanswered,
} from "../src/providers/platform-job.ts";
import { ASKS_MAX, lookAfterMs, mayShowMs, SHOWS_MS } from "../src/providers/platform-patience.ts";
import { ProviderError } from "../src/providers/provider.ts";

const LOST = new ProviderError("unavailable", "could not resume shop: 503/half", {
  isUncertain: true,
});

describe("patience", () => {
  test("it is looked after 1, 2 and 3 s, and then every 5 s, though each look takes its time", () => {
    const looks = [];
    for (let nowMs = 0; looks.length < 6; nowMs += lookAfterMs(nowMs) + 40) {
      looks.push(lookAfterMs(nowMs));
    }
    expect(looks).toEqual([1_000, 2_000, 3_000, 5_000, 5_000, 5_000]);
  });

  test("the more answers were lost, the longer what came of it may take to show, up to 30 s", () => {
    expect([1, 2, 3, 9].map((lost) => mayShowMs(10_000, lost))).toEqual([
      10_000,
      20_000,
      SHOWS_MS,
      SHOWS_MS,
    ]);
    expect(mayShowMs(3_000, 0)).toBe(SHOWS_MS);
  });
});

describe("a job", () => {
  test("comes back from its text as it was, whatever stands in it", () => {
    const job = { ...unanswered(newJob("wake", 5), LOST, 70), before: "a/b c%", follows: "é" };
    const step = goOn(job, 75);
    if (step.done) throw new Error("it goes on");
    expect(jobOf(step.operation)).toEqual({ ...job, asked: "maybe", lost: 1, why: LOST.message });
  });

  test("that was taken is followed from then on: it is looked soon again", () => {
    const late = 60_000;
    expect(goOn(newJob("sleep", 0), late)).toMatchObject({ pollAfterMs: 5_000 });
    expect(goOn(taken(newJob("sleep", 0), late), late)).toMatchObject({ pollAfterMs: 1_000 });
  });

  test("is overdue after a lost answer sooner than after an accepted call", () => {
    const job = newJob("wake", 0);
    const lost = unanswered(job, LOST, 1_000);
    expect([10_999, 11_000].map((nowMs) => isOverdue(lost, 10_000, nowMs))).toEqual([false, true]);
    const heard = taken(job, 1_000);
    expect([30_999, 31_000].map((nowMs) => isOverdue(heard, 10_000, nowMs))).toEqual([false, true]);
  });

  test("without an answer so often is given up, with what was wrong the last time", () => {
    let job = newJob("wake", 0);
    for (let lost = 1; lost < ASKS_MAX; lost += 1) job = unanswered(job, LOST, 0);
    refuseEndless(job);
    job = unanswered(job, LOST, 0);
    expect(() => refuseEndless(job)).toThrow(`503/half; it was tried ${ASKS_MAX} times`);
  });

  test("of somebody else is not-found", () => {
    expect(() => jobOf({ id: "wake/5" })).toThrow(ProviderError);
  });
});
