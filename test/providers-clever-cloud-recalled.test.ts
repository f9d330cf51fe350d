/** Wakes on Clever Cloud that an earlier run of the program began, and did not see the end of. */

import { describe, expect, test } from "bun:test";
import type { Step } from "../src/providers/provider.ts";
import { finish, patient } from "./contract/provider.ts";
import { type CleverCloudTest, startCleverCloud } from "./support/clever-cloud-world.ts";
import { createVirtualClock, type VirtualClock } from "./support/virtual-clock.ts";

const VARIANTS = [
  {},
  { startsAs: "SHOULD_BE_UP" },
  { showsUndeploy: "never" },
  { showsUndeploy: "at-end", failsAs: "SHOULD_BE_DOWN" },
] as const;

/** Lets virtual time pass until `work` is through. */
async function overTime<T>(clock: VirtualClock, work: Promise<T>): Promise<T> {
  let isOver = false;
  const end = () => {
    isOver = true;
  };
  work.then(end, end);
  while (!isOver) {
    await Bun.sleep(1);
    await clock.advance(10);
  }
  return await work;
}

/** Follows a wake to its end. @returns how long it took, ms of the clock */
async function wakeOver(clock: VirtualClock, world: CleverCloudTest, id: string): Promise<number> {
  const fromMs = clock.now();
  let step: Step = await overTime(clock, world.provider.wake(id, null, patient()));
  for (let looks = 0; !step.done; looks += 1) {
    if (looks > 500) throw new Error("it never comes to an end");
    await clock.advance(step.pollAfterMs);
    step = await overTime(clock, world.provider.poll(id, step.operation, patient()));
  }
  return clock.now() - fromMs;
}

describe("clever-cloud: a wake that an earlier run began", () => {
  for (const variant of VARIANTS) {
    test(`is not asked for again while the platform does not show it yet (${JSON.stringify(variant)})`, async () => {
      await using world = await startCleverCloud({ ...variant, queueMs: 300, startMs: 50 });
      const app = world.fake.addApp("demo", { is: "down" });
      const id = world.idOf(app);
      app.startByHand();
      world.provider.recallWake?.(id, Date.now());
      await world.provider.list(patient());
      await finish(world.provider, id, await world.provider.wake(id, null, patient()));
      expect([app.serving, world.fake.count("start")]).toEqual([1, 0]);
      expect(world.fake.violations).toEqual([]);
    });
  }

  test("is joined when it is shown already", async () => {
    await using world = await startCleverCloud({ queueMs: 0, startMs: 300 });
    const app = world.fake.addApp("demo", { is: "down" });
    const id = world.idOf(app);
    app.startByHand();
    world.provider.recallWake?.(id, Date.now());
    await finish(world.provider, id, await world.provider.wake(id, null, patient()));
    expect([app.serving, world.fake.count("start")]).toEqual([1, 0]);
    expect(world.fake.violations).toEqual([]);
  });

  test("is asked for after a minute when nothing came of it: the platform may never have heard", async () => {
    const clock = createVirtualClock();
    await using world = await startCleverCloud({ clock, queueMs: 500, startMs: 2_000 });
    const app = world.fake.addApp("demo", { is: "down" });
    app.nextStarts({ outcome: "lost" });
    app.startByHand();
    world.provider.recallWake?.(world.idOf(app), clock.now());
    await clock.advance(20_000);
    const tookMs = await wakeOver(clock, world, world.idOf(app));
    expect(tookMs).toBeGreaterThan(40_000);
    expect(tookMs).toBeLessThan(60_000);
    expect([app.serving, world.fake.count("start")]).toEqual([1, 1]);
    expect(world.fake.violations).toEqual([]);
  });

  test("that has failed meanwhile is asked for anew, and so is one of long ago, at once", async () => {
    const clock = createVirtualClock();
    await using world = await startCleverCloud({ clock, queueMs: 500, startMs: 2_000 });
    const app = world.fake.addApp("demo", { is: "down" });
    app.failNextStart();
    app.startByHand();
    const begunMs = clock.now();
    await clock.advance(61_000);
    world.provider.recallWake?.(world.idOf(app), begunMs);
    expect(await wakeOver(clock, world, world.idOf(app))).toBeLessThan(15_000);
    expect([app.serving, world.fake.count("start")]).toEqual([1, 1]);
    expect(world.fake.violations).toEqual([]);
  });

  test("counts for the first wake alone", async () => {
    const clock = createVirtualClock();
    await using world = await startCleverCloud({ clock, queueMs: 500, startMs: 2_000 });
    const app = world.fake.addApp("demo", { is: "down" });
    const id = world.idOf(app);
    app.startByHand();
    world.provider.recallWake?.(id, clock.now());
    await wakeOver(clock, world, id);
    app.stopByHand();
    await clock.advance(10_000);
    expect(await wakeOver(clock, world, id)).toBeLessThan(15_000);
    expect([app.serving, world.fake.count("start")]).toEqual([1, 1]);
    expect(world.fake.violations).toEqual([]);
  });

  test("of what is no app of ours is passed over, and one of the future counts as begun now", async () => {
    const clock = createVirtualClock();
    await using world = await startCleverCloud({ clock, queueMs: 500, startMs: 2_000 });
    world.provider.recallWake?.("nonsense", clock.now());
    const app = world.fake.addApp("demo", { is: "down" });
    world.provider.recallWake?.(world.idOf(app), clock.now() + 60 * 60_000);
    expect(await wakeOver(clock, world, world.idOf(app))).toBeLessThan(80_000);
    expect(world.fake.count("start")).toBe(1);
  });
});
