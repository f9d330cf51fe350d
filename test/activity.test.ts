import { expect, test } from "bun:test";

import { createActivity, isInUse, unusedSinceMs } from "../src/activity.ts";
import { SAMPLE_START_MS, sampleApp } from "./support/sample-app.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

async function later(clock: ReturnType<typeof createVirtualClock>, ms: number): Promise<number> {
  await clock.advance(ms);
  return clock.now();
}

test("activity: the idle clock starts with the last lease that is given back, not with the first", async () => {
  const clock = createVirtualClock();
  const activity = createActivity(clock);
  const app = sampleApp();
  activity.begin(app);
  await later(clock, 1000);
  activity.begin(app);
  expect(isInUse(app)).toBe(true);
  const firstEndMs = await later(clock, 1000);
  activity.end(app);
  expect([isInUse(app), app.idleSinceMs, app.lastUsedMs]).toEqual([true, firstEndMs, firstEndMs]);
  const lastEndMs = await later(clock, 60_000);
  activity.end(app);
  expect([isInUse(app), app.idleSinceMs, app.lastUsedMs]).toEqual([false, lastEndMs, lastEndMs]);
});

test("activity: taking a lease alone is no use yet", () => {
  const activity = createActivity(createVirtualClock());
  const app = sampleApp();
  activity.begin(app);
  expect(app.lastUsedMs).toBeNull();
  expect(activity.takeUses()).toEqual([]);
});

test("activity: a lease that is given back twice is a mistake, and changes nothing", () => {
  const activity = createActivity(createVirtualClock());
  const app = sampleApp();
  expect(() => activity.end(app)).toThrow("shop");
  expect([app.leases, app.lastUsedMs]).toEqual([0, null]);
  expect(activity.takeUses()).toEqual([]);
});

test("activity: uses are handed over once, one for each app, with the latest time", async () => {
  const clock = createVirtualClock();
  const activity = createActivity(clock);
  const shop = sampleApp("shop");
  const blog = sampleApp("blog");
  for (const app of [shop, blog, shop]) {
    activity.begin(app);
    await later(clock, 10);
    activity.end(app);
  }
  expect(activity.takeUses()).toEqual([
    { ref: shop.ref, lastUsedMs: SAMPLE_START_MS + 30 },
    { ref: blog.ref, lastUsedMs: SAMPLE_START_MS + 20 },
  ]);
  expect(activity.takeUses()).toEqual([]);
});

test("activity: a new idle clock is no use", async () => {
  const clock = createVirtualClock();
  const activity = createActivity(clock);
  const app = sampleApp();
  const nowMs = await later(clock, 500);
  activity.restart(app);
  expect([app.idleSinceMs, app.lastUsedMs]).toEqual([nowMs, null]);
  expect(activity.takeUses()).toEqual([]);
});

test("activity: use of an app is use of those it links to, not the other way round", async () => {
  const clock = createVirtualClock();
  const activity = createActivity(clock);
  const front = sampleApp("front");
  const back = sampleApp("back", { linkedFrom: [front] });
  front.links = [back];
  activity.begin(front);
  expect([isInUse(front), isInUse(back)]).toEqual([true, true]);
  const endMs = await later(clock, 1000);
  activity.end(front);
  expect([isInUse(back), unusedSinceMs(back)]).toEqual([false, endMs]);
  activity.begin(back);
  await later(clock, 1000);
  activity.end(back);
  expect(unusedSinceMs(front)).toBe(endMs);
});
