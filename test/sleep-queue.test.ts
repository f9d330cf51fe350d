/** Whose turn it is to be put to sleep: how many at once, in which order, and who is passed over. */

import { describe, expect, test } from "bun:test";

import type { App } from "../src/app.ts";
import { createSleepQueue, sleepsAtOnceMax } from "../src/sleep-queue.ts";
import { awakeAt, SAMPLE_START_MS, sampleApp } from "./support/sample-app.ts";
import { createStubProvider } from "./support/stub-provider.ts";
import { createVirtualClock, settled } from "./support/virtual-clock.ts";

/** A queue whose turns last until the test ends them. */
function queueOf(atOnceMax: number) {
  const clock = createVirtualClock();
  const turns = new Map<string, PromiseWithResolvers<void>>();
  const begun: string[] = [];
  const kept = new Set<string>();
  /** After how long an app is to have another turn, ms. */
  const pauses = new Map<string, number>();
  const queue = createSleepQueue({
    clock,
    atOnceMax: () => atOnceMax,
    whySleep: ({ key }) => (kept.has(key) ? null : "idle"),
    async putToSleep({ key }) {
      begun.push(key);
      const turn = Promise.withResolvers<void>();
      turns.set(key, turn);
      await turn.promise;
      return pauses.get(key) ?? null;
    },
  });
  async function end(...keys: readonly string[]): Promise<void> {
    for (const key of keys) turns.get(key)?.resolve();
    await settled();
  }
  return { clock, queue, begun, kept, pauses, end };
}

/** Apps that have been idle since so many ms after the start. */
function idleApps(since: Readonly<Record<string, number>>, provider = "stub"): App[] {
  return Object.entries(since).map(([key, idleMs]) =>
    sampleApp(key, {
      ref: { provider, id: key },
      state: awakeAt(key),
      idleSinceMs: SAMPLE_START_MS + idleMs,
    }),
  );
}

/** Whether a promise has settled by now. */
async function isOver(work: Promise<unknown>): Promise<boolean> {
  let over = false;
  void work.then(() => {
    over = true;
  });
  await settled();
  return over;
}

describe("turns to sleep", () => {
  test("queue: a few at once, those that are idle longest first, and done when all are through", async () => {
    const { queue, begun, end } = queueOf(2);
    const done = queue.add(idleApps({ c: 3, a: 1, d: 4, b: 2 }));
    expect(begun).toEqual(["a", "b"]);
    await end("b");
    expect(begun).toEqual(["a", "b", "c"]);
    await end("a", "c");
    expect(await isOver(done)).toBe(false);
    await end("d");
    expect([begun, await isOver(done)]).toEqual([["a", "b", "c", "d"], true]);
  });

  test("queue: one that is not to sleep any more at its turn is passed over", async () => {
    const { queue, begun, kept, end } = queueOf(1);
    const done = queue.add(idleApps({ a: 1, b: 2, c: 3 }));
    kept.add("b");
    await end("a");
    expect(begun).toEqual(["a", "c"]);
    await end("c");
    expect(await isOver(done)).toBe(true);
  });

  test("queue: what is added again neither waits nor has its turn twice, and is waited for", async () => {
    const { queue, begun, end } = queueOf(1);
    const apps = idleApps({ a: 1, b: 2 });
    const first = queue.add(apps);
    const second = queue.add([...apps, ...idleApps({ c: 3 })]);
    const empty = queue.add([]);
    expect(await isOver(empty)).toBe(true);
    await end("a");
    await end("b");
    expect([await isOver(first), await isOver(second)]).toEqual([true, false]);
    await end("c");
    expect([begun, await isOver(second)]).toEqual([["a", "b", "c"], true]);
  });

  test("queue: one that had its turn in vain goes behind those that had none", async () => {
    const { clock, queue, begun, end } = queueOf(1);
    const apps = idleApps({ stubborn: 1, b: 2, c: 3 });
    await clock.advance(60_000);
    void queue.add(apps);
    await end("stubborn");
    void queue.add(apps);
    for (const key of ["b", "c", "stubborn"]) await end(key);
    expect(begun).toEqual(["stubborn", "b", "c", "stubborn"]);
  });

  test("queue: one whose turn came when there was no call left keeps its place, and the others wait with it", async () => {
    const { clock, queue, begun, pauses, end } = queueOf(1);
    const done = queue.add([...idleApps({ a: 1, b: 2 }), ...idleApps({ other: 3 }, "other")]);
    pauses.set("a", 15_000);
    await end("a");
    await clock.advance(14_999);
    // What a sweep finds meanwhile waits as well.
    void queue.add(idleApps({ c: 0 }));
    expect([begun, await isOver(done)]).toEqual([["a", "other"], false]);
    pauses.delete("a");
    await clock.advance(1);
    for (const key of ["c", "a", "b", "other"]) await end(key);
    expect([begun, await isOver(done)]).toEqual([["a", "other", "c", "a", "b"], true]);
  });

  test("queue: no provider waits for another", async () => {
    const { queue, begun, end } = queueOf(1);
    const done = queue.add([
      ...idleApps({ a1: 1, a2: 2 }, "a"),
      ...idleApps({ b1: 1, b2: 2 }, "b"),
    ]);
    expect(begun).toEqual(["a1", "b1"]);
    await end("b1");
    expect(begun).toEqual(["a1", "b1", "b2"]);
    await end("a1");
    await end("a2", "b2");
    expect(await isOver(done)).toBe(true);
  });
});

test("queue: platforms that have to be asked get few turns, all others many", () => {
  const platform = { watches: false, listsDeclaredApps: false };
  expect(sleepsAtOnceMax(createStubProvider(platform))).toBe(3);
  expect(sleepsAtOnceMax(createStubProvider({ ...platform, watches: true }))).toBe(20);
  expect(sleepsAtOnceMax(createStubProvider({ ...platform, listsDeclaredApps: true }))).toBe(20);
});
