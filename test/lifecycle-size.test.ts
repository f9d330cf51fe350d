/** What an app was made of when it was last seen running, where somebody else puts it to sleep. */

import { expect, test } from "bun:test";

import type { Snapshot } from "../src/app.ts";
import type { Cause } from "../src/events.ts";
import { awakeAt, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld } from "./support/small-world.ts";

const CAUSE: Cause = { kind: "command", detail: "test" };
const sizeOf = (replicas: number): Snapshot => ({
  kind: "replicas",
  workloads: [{ id: "shop", replicas }],
});
const running = (replicas: number) =>
  ({ phase: "awake", target: sampleTarget("shop"), snapshot: sizeOf(replicas) }) as const;

test("size: what was last seen running is stored, and a wake gets it", async () => {
  const world = createSmallWorld();
  const app = world.add("shop", { state: awakeAt("shop") });
  world.core.lifecycle.observe(app, { observation: running(2) });
  world.core.lifecycle.observe(app, { observation: running(3) });
  await world.clock.advance(0);
  expect((await world.registry.load()).records).toMatchObject([{ snapshot: sizeOf(3) }]);
  // Nothing but its size was news.
  expect(world.events).toEqual([]);
  world.core.lifecycle.observe(app, { observation: { phase: "asleep", target: null } });
  const asked: (Snapshot | null)[] = [];
  world.provider.script.wake = async (_id, snapshot) => {
    asked.push(snapshot);
    return { done: true, target: sampleTarget("shop") };
  };
  world.provider.up.add("shop");
  await world.core.lifecycle.wake(app, CAUSE);
  expect(asked).toEqual([sizeOf(3)]);
});

test("size: the same again is not stored again", async () => {
  const world = createSmallWorld();
  const app = world.add("shop", { state: awakeAt("shop"), snapshot: sizeOf(2) });
  world.core.lifecycle.observe(app, { observation: running(2) });
  await world.clock.advance(0);
  expect((await world.registry.load()).records).toEqual([]);
});

test("size: a look that a wake or a sleep has overtaken changes nothing", () => {
  for (const kind of ["waking", "stopping"] as const) {
    const world = createSmallWorld();
    const state = { kind, sinceMs: 0, fence: 1 } as const;
    const app = world.add("shop", { state, snapshot: sizeOf(2) });
    world.core.lifecycle.observe(app, { observation: running(7) });
    expect(app.snapshot).toEqual(sizeOf(2));
  }
});
