/** What a lease that is given back for a while means for its app. */

import { expect, test } from "bun:test";
import type { Exchange } from "../src/engines/engine.ts";
import { closeQuietAtSleep } from "../src/engines/quiet-sockets.ts";
import { createEventBus } from "../src/events.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

const MINUTE_MS = 60_000;

function connected(world: SmallWorld): Exchange {
  const admission = world.core.handler.admit(headFor("shop.test"));
  if (admission.kind !== "forward") throw new Error("forwarded");
  return admission;
}

const sweep = async ({ core }: SmallWorld) => (await core.sweeper.sweep()).done;

test("a quiet connection keeps its app for its idle time, and no longer", async () => {
  const world = createSmallWorld();
  const app = world.add("shop", { state: awakeAt("shop") });
  await sweep(world);
  const exchange = connected(world);
  await world.clock.advance(10 * MINUTE_MS);
  await sweep(world);
  expect(app.state.kind).toBe("awake");
  world.core.handler.rest(exchange);
  expect(app).toMatchObject({ leases: 0, idleSinceMs: world.clock.now() });
  await world.clock.advance(MINUTE_MS - 1);
  await sweep(world);
  expect(app.state.kind).toBe("awake");
  await world.clock.advance(1);
  await sweep(world);
  expect(app.state.kind).toBe("asleep");
});

test("a connection that speaks again counts once as a request, and holds its app", async () => {
  const world = createSmallWorld();
  const app = world.add("shop", { state: awakeAt("shop") });
  await sweep(world);
  const exchange = connected(world);
  world.core.handler.rest(exchange);
  world.core.handler.resume(exchange);
  expect(app).toMatchObject({ leases: 1, traffic: { requests: 1 } });
  await world.clock.advance(10 * MINUTE_MS);
  await sweep(world);
  expect(app.state.kind).toBe("awake");
  world.core.handler.release(exchange);
  expect(app.leases).toBe(0);
});

test("a message that comes while the app is about to be stopped calls that off", async () => {
  const provider = createStubProvider();
  const snapshot = heldCall<{ kind: "none" }>();
  provider.script.takeSnapshot = (_id, signal) => snapshot.pass(signal);
  const world = createSmallWorld({ provider });
  const app = world.add("shop", { state: awakeAt("shop") });
  await sweep(world);
  const exchange = connected(world);
  world.core.handler.rest(exchange);
  await world.clock.advance(MINUTE_MS);
  const swept = sweep(world);
  await world.clock.advance(10);
  expect(app.state.kind).toBe("draining");
  world.core.handler.resume(exchange);
  expect(app.state.kind).toBe("awake");
  snapshot.open({ kind: "none" });
  await swept;
  expect(app.state.kind).toBe("awake");
  expect(provider.calls).not.toContain("sleep shop");
});

test("quiet connections are asked to close before the platform is asked to stop their app", async () => {
  const provider = createStubProvider();
  const order: string[] = [];
  provider.script.sleep = async (id) => {
    order.push(`stop ${id}`);
    provider.up.delete(id);
    return { done: true, target: null };
  };
  const events = createEventBus({
    now: () => 0,
    random: () => 0.5,
    onListenerError(error) {
      throw error;
    },
  });
  const world = createSmallWorld({ provider, deps: { events } });
  const end = closeQuietAtSleep({
    events,
    appOf: world.core.table.byRef,
    closeQuiet: ({ key }) => order.push(`close ${key}`),
  });
  world.add("shop", { state: awakeAt("shop") });
  await sweep(world);
  await world.clock.advance(MINUTE_MS);
  await sweep(world);
  expect(order).toEqual(["close shop", "stop shop"]);
  end();
});
