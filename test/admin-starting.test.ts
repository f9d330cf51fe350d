/** The admin endpoints in the first seconds, before it is known which apps there are. */

import { expect, test } from "bun:test";
import type { Admission } from "../src/engines/engine.ts";
import type { Listing } from "../src/providers/provider.ts";
import { ADMIN_TOKEN } from "./support/admin-entry.ts";
import { held, summaryOf } from "./support/own-answer.ts";
import { headFor } from "./support/request-head.ts";
import { sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

const SHOP: Listing = {
  id: "shop",
  key: "shop",
  observation: { phase: "awake", target: sampleTarget("shop") },
  sleepsByItself: false,
};

function startingWorld() {
  const list = heldCall<readonly Listing[]>();
  const provider = createStubProvider({});
  provider.script.list = (signal) => list.pass(signal);
  const admin = {
    token: ADMIN_TOKEN,
    allowlist: ["127.0.0.1"],
    trustedProxies: [],
    hosts: [],
    rateLimit: 10,
    isTls: false,
    socketPath: "/nonexistent/admin.sock",
    soleApp: null,
    systemToken: null,
  };
  const world = createSmallWorld({ provider, deps: { admin } });
  void world.core.reconciler.run({ kind: "start", detail: "start" });
  const ask = (host: string, target: string, headers = {}): Admission =>
    world.core.handler.admit(headFor(host, { target, clientAddress: "127.0.0.1", headers }));
  return {
    world,
    ask,
    async listed() {
      list.open([SHOP]);
      await world.clock.advance(0);
    },
  };
}

test("admin: a path on a host that may be an app's waits for the first lists, then it is whose it is", async () => {
  const { ask, listed, world } = startingWorld();
  const [shop, nobody] = [ask("shop.example", "/__x"), ask("nobody.example", "/__x")];
  expect([shop.kind, nobody.kind]).toEqual(["held", "held"]);
  expect(summaryOf(ask("localhost", "/__x"))).toBe("401 admin_refused");
  expect(summaryOf(ask("10.0.0.1", "/__x"))).toBe("401 admin_refused");
  const operator = ask("shop.example", "/__x", { "x-admin-token": ADMIN_TOKEN });
  expect(summaryOf(operator)).toBe("to http://localhost");
  await listed();
  expect(summaryOf(await held(shop).decision)).toBe("to http://shop.test:8080");
  expect(summaryOf(await held(nobody).decision)).toBe("401 admin_refused");
  expect(world.core.gate.held()).toBe(0);
});

test("admin: it is ready when the first lists are there, and not any more once it is told to stop", async () => {
  const { ask, listed, world } = startingWorld();
  expect(summaryOf(ask("10.0.0.1", "/__live"))).toStartWith("200");
  expect(summaryOf(ask("10.0.0.1", "/__ready"))).toStartWith("503");
  await listed();
  expect(summaryOf(ask("10.0.0.1", "/__ready"))).toStartWith("200");
  world.isStopping = true;
  expect(summaryOf(ask("10.0.0.1", "/__ready"))).toStartWith("503");
  expect(summaryOf(ask("10.0.0.1", "/__live"))).toStartWith("200");
});

test("admin: it is ready when a first list was given up: apps that are known are served", async () => {
  const { ask, world } = startingWorld();
  expect(world.core.isReady()).toBe(false);
  await world.clock.advance(60_000);
  expect(world.core.isReady()).toBe(true);
  expect(summaryOf(ask("10.0.0.1", "/__ready"))).toStartWith("200");
});
