/** The registry, forgotten on request: what goes, what stays, and how it is found again. */

import { expect, test } from "bun:test";
import type { Snapshot } from "../src/app.ts";
import type { Cause } from "../src/events.ts";
import { createMemoryRegistry } from "../src/registry/memory.ts";
import type { Registry } from "../src/registry/registry.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt, SAMPLE_START_MS, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { createStubProvider } from "./support/stub-provider.ts";

const CAUSE: Cause = { kind: "command", detail: "DELETE /apps of the system API" };
const SWEEP: Cause = { kind: "sweep", detail: "sweep" };
const SNAPSHOT: Snapshot = { kind: "quantities", processes: [{ type: "web", quantity: 3 }] };
const USED = { lastUsedMs: SAMPLE_START_MS - 1000, snapshot: SNAPSHOT };

/** A world whose apps are stored, one of them awake and one asleep. */
async function worldWith(options: Parameters<typeof createSmallWorld>[0] = {}) {
  const world = createSmallWorld(options);
  world.add("shop", { state: awakeAt("shop"), lastTarget: sampleTarget("shop"), ...USED });
  world.add("blog", USED);
  await world.core.reconciler.run(SWEEP);
  for (const app of world.core.table.all()) {
    const { ref, key, state, fence, snapshot, lastTarget: target, firstSeenMs, lastUsedMs } = app;
    if (state.kind !== "awake" && state.kind !== "asleep")
      throw new Error(`${key} is ${state.kind}`);
    const phase = state.kind;
    const rest = { snapshot, target, firstSeenMs, lastUsedMs, wakeHistoryMs: [] };
    await world.registry.save({ ref, key, phase, sinceMs: state.sinceMs, fence, ...rest });
  }
  return world;
}

async function storedKeys({ registry }: SmallWorld): Promise<string[]> {
  return (await registry.load()).records.map(({ key }) => key);
}

const shopOf = ({ core }: SmallWorld) => core.table.byKey("shop");

test("forget: an app that is awake is told as gone, and found anew by the next list with a fresh idle clock", async () => {
  const world = await worldWith();
  await world.clock.advance(30_000);
  await world.core.reconciler.forget(CAUSE);
  expect(world.eventsOf("shop")).toEqual(["APP_UNREGISTERED"]);
  expect(await storedKeys(world)).toEqual(["blog"]);
  expect(shopOf(world)).toMatchObject({ lastUsedMs: null, idleSinceMs: world.clock.now() });

  await world.clock.advance(16_000); // Nobody has to ask: the list comes by itself.
  expect(world.eventsOf("shop")).toEqual(["APP_UNREGISTERED", "APP_DISCOVERED", "APP_REGISTERED"]);
  expect(world.events.every(({ cause }) => cause.detail === CAUSE.detail)).toBe(true);
  const { records } = await world.registry.load();
  expect(records.find(({ key }) => key === "shop")).toMatchObject({
    phase: "awake",
    lastUsedMs: null,
    snapshot: SNAPSHOT,
  });
  await world.core.reconciler.run(SWEEP);
  expect(world.eventsOf("shop")).toHaveLength(3);
});

test("forget: what is asleep keeps its record, its snapshot and its last use", async () => {
  const world = await worldWith();
  await world.core.reconciler.forget(CAUSE);
  await world.core.reconciler.run(SWEEP);
  expect(world.eventsOf("blog")).toEqual([]);
  const { records } = await world.registry.load();
  expect(records.find(({ key }) => key === "blog")).toMatchObject({ phase: "asleep", ...USED });
  expect(world.core.table.byKey("blog")?.snapshot).toEqual(SNAPSHOT);
  expect(world.provider.calls).toEqual([]);
});

test("forget: requests go on while nothing is known, and a use under way stays a use", async () => {
  const world = await worldWith();
  const { handler, reconciler } = world.core;
  const before = handler.admit(headFor("shop.test"));
  await reconciler.forget(CAUSE);
  expect(handler.admit(headFor("shop.test"))).toMatchObject({ kind: "forward" });
  expect(shopOf(world)?.leases).toBe(2);
  if (before.kind !== "forward") throw new Error("it was awake");
  handler.release(before);
  expect(shopOf(world)).toMatchObject({ leases: 1, lastUsedMs: world.clock.now() });
});

test("forget: a use from before is not written behind afterwards", async () => {
  const world = await worldWith();
  const app = shopOf(world);
  if (app === null) throw new Error("there is a shop");
  world.core.activity.begin(app);
  world.core.activity.end(app);
  await world.core.reconciler.forget(CAUSE);
  expect(world.core.activity.takeUses()).toEqual([]);
});

test("forget: twice in a row tells it once", async () => {
  const world = await worldWith();
  await world.core.reconciler.forget(CAUSE);
  await world.core.reconciler.forget(CAUSE);
  expect(world.eventsOf("shop")).toEqual(["APP_UNREGISTERED"]);
});

test("forget: an app of a platform that cannot be asked stays: nobody could find it again", async () => {
  const world = await worldWith();
  world.provider.script.list = async () => {
    throw new Error("the platform is down");
  };
  await world.core.reconciler.run(SWEEP);
  await world.core.reconciler.forget(CAUSE);
  expect(world.eventsOf("shop")).toEqual([]);
  expect(await storedKeys(world)).toEqual(["shop", "blog"]);
});

test("forget: so does one in a part of the platform that does not answer", async () => {
  const provider = Object.assign(createStubProvider(), {
    whyUnlisted: (id: string) => (id === "shop" ? "its region does not answer" : null),
  });
  const world = await worldWith({ provider });
  await world.core.reconciler.forget(CAUSE);
  expect(world.eventsOf("shop")).toEqual([]);
});

test("forget: ignored apps are forgotten without a word of being registered", async () => {
  const world = await worldWith();
  world.policies.set("shop", { ignored: true });
  world.core.reconciler.applyPolicies();
  await world.core.reconciler.forget(CAUSE);
  expect(await storedKeys(world)).toEqual(["blog"]);
  await world.core.reconciler.run(SWEEP);
  expect(world.eventsOf("shop")).toEqual(["APP_DISCOVERED"]);
});

test("forget: a registry that cannot be written forgets nothing, and says so", async () => {
  const registry: Registry = {
    ...createMemoryRegistry(),
    remove: async () => {
      throw new Error("the disk is full");
    },
  };
  const world = await worldWith({ registry });
  expect(world.core.reconciler.forget(CAUSE)).rejects.toThrow("the disk is full");
  expect(world.eventsOf("shop")).toEqual([]);
  expect(shopOf(world)?.lastUsedMs).toBe(USED.lastUsedMs);
});

test("forget: an app that is put to sleep while its record goes is stored again, with its snapshot", async () => {
  const stored = createMemoryRegistry();
  const removing = Promise.withResolvers<void>();
  const registry: Registry = {
    ...stored,
    async remove(ref) {
      await removing.promise;
      await stored.remove(ref);
    },
  };
  const world = await worldWith({ registry });
  const app = shopOf(world);
  if (app === null) throw new Error("there is a shop");
  world.provider.script.takeSnapshot = async () => SNAPSHOT;
  const forgetting = world.core.reconciler.forget(CAUSE);
  await world.core.lifecycle.sleep(app, { cause: SWEEP, drainMs: 0, unusedSinceMs: null });
  expect(app.state.kind).toBe("asleep");
  removing.resolve();
  await forgetting;
  const { records } = await registry.load();
  expect(records.find(({ key }) => key === "shop")).toMatchObject({
    phase: "asleep",
    snapshot: SNAPSHOT,
  });
  expect(world.eventsOf("shop")).not.toContain("APP_UNREGISTERED");
});
