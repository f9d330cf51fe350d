/** A switch in the middle of a wake or a sleep: what was under way ends, and nothing of it lands any more. */

import { expect, test } from "bun:test";
import { addressOf, targetOf } from "../src/app.ts";
import { createMemoryRegistry } from "../src/registry/memory.ts";
import { awakeAt, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld } from "./support/small-world.ts";
import { createStubProvider } from "./support/stub-provider.ts";

const NEXT = targetOf("http://next.test:9090");
const CAUSE = { kind: "command", detail: "a test" } as const;

test("swap: who waits for a wake goes on to the new target, and the wake leaves nothing behind", async () => {
  const world = createSmallWorld();
  world.answering = new Set();
  const app = world.add("shop");
  const woken = world.core.lifecycle.wake(app, CAUSE);
  await world.clock.advance(500);
  expect(app.state.kind).toBe("waking");
  expect(world.core.lifecycle.swap(app, NEXT)).toBe(true);
  expect(await woken).toEqual({ kind: "awake", target: NEXT });
  await world.clock.advance(200_000);
  expect(app.state).toMatchObject({ kind: "awake", target: NEXT });
  expect(world.eventsOf("shop")).not.toContain("APP_START_FAILED");
  expect(world.clock.pending()).toBe(0);
});

test("swap: a wake that only looks whether the app is up ends as well, without hook or call", async () => {
  const world = createSmallWorld();
  const app = world.add("shop", { state: awakeAt("shop") });
  world.answering = new Set();
  world.core.lifecycle.targetIsDown(app, sampleTarget("shop"), CAUSE);
  await world.clock.advance(100);
  expect(app.state.kind).toBe("waking");
  world.core.lifecycle.swap(app, NEXT);
  await world.clock.advance(200_000);
  expect(app.state).toMatchObject({ kind: "awake", target: NEXT });
  expect(world.provider.calls).toEqual([]);
  expect(world.hooksRun).toEqual([]);
  expect(world.eventsOf("shop")).toEqual([]);
});

test("swap: a wake that still waits for its claim does not begin after it", async () => {
  const registry = createMemoryRegistry();
  const claimed = Promise.withResolvers<void>();
  const slow = {
    ...registry,
    async claim(...asked: Parameters<typeof registry.claim>) {
      await claimed.promise;
      return registry.claim(...asked);
    },
  };
  const world = createSmallWorld({ registry: slow });
  const app = world.add("shop");
  const woken = world.core.lifecycle.wake(app, CAUSE);
  await world.clock.advance(10);
  world.core.lifecycle.swap(app, NEXT);
  claimed.resolve();
  expect(await woken).toEqual({ kind: "awake", target: NEXT });
  await world.clock.advance(1000);
  expect(app.state).toMatchObject({ kind: "awake", target: NEXT });
  expect(world.provider.calls).toEqual([]);
  // The claim was given back: the next wake or sleep gets it.
  expect(await registry.claim(app.ref, 0)).not.toBeNull();
});

test("swap: what a sleep saw of the old target before it was called off moves nobody back there", async () => {
  const provider = createStubProvider();
  const world = createSmallWorld({ provider });
  const app = world.add("shop", { state: awakeAt("shop") });
  const taken = Promise.withResolvers<void>();
  provider.script.takeSnapshot = async () => {
    await taken.promise;
    return { kind: "none" };
  };
  const slept = world.core.lifecycle.sleep(app, { cause: CAUSE, drainMs: 0, unusedSinceMs: null });
  await world.clock.advance(10);
  expect(app.state.kind).toBe("draining");
  world.core.lifecycle.swap(app, NEXT);
  taken.resolve();
  expect((await slept).kind).toBe("kept");
  await world.clock.advance(1000);
  if (app.state.kind !== "awake") throw new Error(`it is ${app.state.kind}`);
  expect(addressOf(app.state.target)).toBe(NEXT.origin);
  expect(provider.calls).not.toContain("sleep shop");
});
