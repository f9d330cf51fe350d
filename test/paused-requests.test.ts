/** Requests for apps that are paused: who waits, for how long, and that each lease comes back once. */

import { expect, test } from "bun:test";
import type { App } from "../src/app.ts";
import type { Admission, Decision, RequestHead } from "../src/engines/engine.ts";
import { awakeAt } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";

function headFor(key: string, method = "GET"): RequestHead {
  return {
    method,
    target: "/",
    host: `${key}.example`,
    clientAddress: "192.0.2.1",
    header: (name) => (name === "content-length" && method === "POST" ? "100000" : null),
  };
}

function paused(world: SmallWorld, key = "shop"): App {
  return world.add(key, {
    state: awakeAt(key),
    pause: { kind: "paused", sinceMs: world.clock.now() },
  });
}

function ask(world: SmallWorld, method = "GET"): Admission {
  return world.core.handler.admit(headFor("shop", method));
}

function decisionOf(admission: Admission): Promise<Decision> {
  if (admission.kind !== "held") throw new Error(`it was not held: ${admission.kind}`);
  return admission.decision;
}

function resume(world: SmallWorld, app: App): void {
  app.pause = null;
  world.core.gate.resumed(app);
}

test("paused: a request waits, and is forwarded as soon as the app is resumed", async () => {
  const world = createSmallWorld();
  const app = paused(world);
  const held = ask(world);
  expect(world.core.gate.held()).toBe(1);
  resume(world, app);
  const decision = await decisionOf(held);
  expect(decision.kind).toBe("forward");
  expect({ leases: app.leases, held: world.core.gate.held() }).toEqual({ leases: 1, held: 0 });
  if (decision.kind === "forward") world.core.handler.release(decision);
  expect(app.leases).toBe(0);
});

test("paused: who has waited as long as anybody may is told so, with Retry-After", async () => {
  const world = createSmallWorld({ hold: { maxMs: 3000 } });
  const app = paused(world);
  const held = ask(world);
  await world.clock.advance(2999);
  expect(world.core.gate.held()).toBe(1);
  await world.clock.advance(1);
  const decision = await decisionOf(held);
  expect(decision.kind === "answer" && decision.answer.status).toBe(503);
  const headers =
    decision.kind === "answer"
      ? new Headers([...decision.answer.headers].map(([a, b]) => [a, b]))
      : null;
  expect(headers?.get("paastis-error")).toBe("app_paused");
  expect(headers?.get("retry-after")).not.toBeNull();
  expect({ leases: app.leases, held: world.core.gate.held() }).toEqual({ leases: 0, held: 0 });
});

test("paused: over the cap requests are refused at once, and their leases given back", () => {
  const world = createSmallWorld({ hold: { maxPerApp: 2, maxUploads: 1 } });
  const app = paused(world);
  expect(ask(world, "POST").kind).toBe("held");
  expect(ask(world, "POST").kind).toBe("answer");
  expect(ask(world).kind).toBe("held");
  expect(ask(world).kind).toBe("answer");
  expect(app.leases).toBe(2);
});

test("paused: a client that leaves is forgotten, before the end of the pause and after", async () => {
  const world = createSmallWorld();
  const app = paused(world);
  const [one, two] = [ask(world), ask(world)];
  if (one.kind === "held") one.abandon();
  if (one.kind === "held") one.abandon();
  expect({ leases: app.leases, held: world.core.gate.held() }).toEqual({ leases: 1, held: 1 });
  resume(world, app);
  await decisionOf(two);
  // Its exchange was decided on, and nobody follows it.
  if (two.kind === "held") two.abandon();
  expect({ leases: app.leases, held: world.core.gate.held() }).toEqual({ leases: 0, held: 0 });
  await world.clock.advance(60_000);
  expect(app.leases).toBe(0);
});

test("paused: resumed while the app sleeps, a request waits on for its wake; leaving then gives all back", async () => {
  const world = createSmallWorld();
  const app = world.add("shop", { pause: { kind: "paused", sinceMs: world.clock.now() } });
  const [one, two] = [ask(world), ask(world)];
  expect(world.provider.calls).toEqual([]);
  resume(world, app);
  expect(world.core.gate.held()).toBe(2);
  if (two.kind === "held") two.abandon();
  expect({ leases: app.leases, held: world.core.gate.held() }).toEqual({ leases: 1, held: 1 });
  await world.clock.advance(100);
  expect((await decisionOf(one)).kind).toBe("forward");
  expect(world.provider.calls).toEqual(["wake shop"]);
  expect(app.leases).toBe(1);
});

test("paused: what waits for a wake as the pause comes is not let through by the end of the wake", async () => {
  const world = createSmallWorld();
  const app = world.add("shop");
  const held = ask(world);
  app.pause = { kind: "paused", sinceMs: world.clock.now() };
  await world.clock.advance(100);
  expect(app.state.kind).toBe("awake");
  expect(world.core.gate.held()).toBe(1);
  resume(world, app);
  expect((await decisionOf(held)).kind).toBe("forward");
  expect(app.leases).toBe(1);
});

test("paused: nothing wakes the app, be it a link or a waiting page that asks how the wake goes", async () => {
  const world = createSmallWorld();
  world.policies.set("front", { linkedKeys: ["shop"] });
  world.add("front", { state: awakeAt("front") });
  world.add("shop", { pause: { kind: "paused", sinceMs: world.clock.now() } });
  world.core.reconciler.applyPolicies();
  world.core.handler.admit(headFor("front"));
  await world.clock.advance(100);
  expect(world.provider.calls).toEqual([]);
});

test("paused: a connection that fails in a pause wakes nothing, and its request waits", async () => {
  const world = createSmallWorld();
  const app = world.add("shop", { state: awakeAt("shop") });
  const exchange = ask(world);
  if (exchange.kind !== "forward") throw new Error("it was not forwarded");
  app.pause = { kind: "paused", sinceMs: world.clock.now() };
  world.provider.up.clear();
  const failure = { kind: "unreachable", message: "refused", replayable: true } as const;
  const again = world.core.handler.failed(exchange, failure);
  expect(again.kind).toBe("held");
  await world.clock.advance(100);
  expect(world.provider.calls).toEqual([]);
  expect(app.leases).toBe(1);
});

test("maintenance: requests are told the message at once, those that wait for a pause as well", async () => {
  const world = createSmallWorld();
  const app = paused(world);
  const held = ask(world);
  app.pause = { kind: "maintenance", sinceMs: world.clock.now(), message: "back at <noon>" };
  world.core.gate.resumed(app);
  for (const decision of [await decisionOf(held), ask(world)]) {
    if (decision.kind !== "answer") throw new Error("it was not answered");
    expect(decision.answer.status).toBe(503);
    expect(String(decision.answer.body)).toContain("back at <noon>");
  }
  expect(app.leases).toBe(0);
});

test("paused: when the program stops, who waits is told to come back", async () => {
  const world = createSmallWorld();
  const app = paused(world);
  const held = ask(world);
  world.core.gate.refuseHeld();
  const decision = await decisionOf(held);
  expect(decision.kind === "answer" && decision.answer.status).toBe(503);
  expect({ leases: app.leases, held: world.core.gate.held() }).toEqual({ leases: 0, held: 0 });
});
