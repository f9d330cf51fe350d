/** Requests that come before the first lists: held for a moment, and never lost. */

import { describe, expect, test } from "bun:test";

import type { Admission } from "../src/engines/engine.ts";
import type { Listing } from "../src/providers/provider.ts";
import { held, summaryOf } from "./support/own-answer.ts";
import { headFor, NAVIGATION } from "./support/request-head.ts";
import { sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

type Changes = Parameters<typeof headFor>[1];

const SHOP: Listing = {
  id: "shop",
  key: "shop",
  observation: { phase: "awake", target: sampleTarget("shop") },
  sleepsByItself: false,
};

/** A program that has just started: two providers are asked, and say nothing before the test does. */
function startingWorld(hold: NonNullable<Parameters<typeof createSmallWorld>[0]>["hold"] = {}) {
  const lists = {
    quick: heldCall<readonly Listing[]>(),
    slow: heldCall<readonly Listing[]>(),
  };
  const providers = (["quick", "slow"] as const).map((name) => {
    const provider = createStubProvider({ name });
    provider.script.list = (signal) => lists[name].pass(signal);
    return provider;
  });
  const world = createSmallWorld({ providers, hold });
  const { core, clock } = world;
  void core.reconciler.run({ kind: "start", detail: "start" });
  return {
    ...{ world, core, clock, lists },
    admit: (key: string, changes: Changes = {}) => core.handler.admit(headFor(key, changes)),
    async say(name: keyof typeof lists, listings: readonly Listing[]) {
      lists[name].open(listings);
      await clock.advance(0);
    },
  };
}

async function summaryNow(admission: Admission): Promise<string> {
  const open = Symbol("open");
  const decision = await Promise.race([held(admission).decision, Promise.resolve(open)]);
  return typeof decision === "symbol" ? "open" : summaryOf(decision);
}

describe("early requests", () => {
  test("early: one goes to its app as soon as that was listed, whoever else has not answered", async () => {
    const { core, clock, admit, say } = startingWorld();
    const [shop, other] = [admit("shop"), admit("other")];
    await clock.advance(500);
    expect([await summaryNow(shop), core.gate.held()]).toEqual(["open", 2]);
    await say("quick", [SHOP]);
    expect(await summaryNow(shop)).toBe("to http://shop.test:8080");
    expect([await summaryNow(other), core.gate.held()]).toEqual(["open", 1]);
    await say("slow", []);
    expect(await summaryNow(other)).toBe("404 unknown_app");
    expect([core.gate.held(), clock.pending()]).toEqual([0, 0]);
  });

  test("early: one whose app is asleep waits for its wake as well, and goes to it", async () => {
    const { world, core, clock, admit, say } = startingWorld();
    const shop = admit("shop");
    await say("quick", [{ ...SHOP, observation: { phase: "asleep", target: null } }]);
    await clock.advance(1000);
    expect(await summaryNow(shop)).toBe("to http://shop.test:8080");
    expect(world.provider.calls).toEqual(["wake shop"]);
    expect(core.gate.held()).toBe(0);
  });

  test("early: a provider that cannot be asked keeps nobody waiting", async () => {
    const { clock, admit, lists, say } = startingWorld();
    const shop = admit("shop");
    lists.quick.fail(new Error("no route"));
    await clock.advance(0);
    expect(await summaryNow(shop)).toBe("503 apps_unknown, again after 30 s");
    await say("slow", []);
  });

  test("early: nobody waits for longer than 5 s after the start, and a navigation only for its grace", async () => {
    const { core, clock, admit } = startingWorld();
    const script = admit("shop");
    const page = admit("shop", { headers: NAVIGATION });
    await clock.advance(1000);
    expect(await summaryNow(page)).toBe("503 starting, again after 2 s");
    await clock.advance(3999);
    expect(await summaryNow(script)).toBe("open");
    await clock.advance(1);
    expect(await summaryNow(script)).toBe("503 starting, again after 2 s");
    expect(summaryOf(admit("shop"))).toBe("503 starting, again after 2 s");
    core.reconciler.close();
  });

  test("early: as many wait as may be held, and as many uploads", async () => {
    const { core, clock, admit } = startingWorld({ maxTotal: 3, maxUploads: 1 });
    const upload = { method: "POST", headers: { "transfer-encoding": "chunked" } };
    const all = [upload, upload, {}, {}, {}].map((changes) => admit("shop", changes));
    expect(all.map(({ kind }) => kind)).toEqual(["held", "answer", "held", "held", "answer"]);
    for (const one of all) if (one.kind === "held") one.abandon();
    expect(core.gate.held()).toBe(0);
    core.reconciler.close();
    await clock.advance(0);
    expect(clock.pending()).toBe(0);
  });

  test("early: who leaves is forgotten, whatever was decided meanwhile, and holds no lease", async () => {
    const { world, core, admit, say } = startingWorld();
    const before = held(admit("shop"));
    const after = held(admit("shop"));
    before.abandon();
    await say("quick", [SHOP]);
    const app = core.table.byKey("shop");
    expect([app?.leases, core.gate.held()]).toEqual([1, 0]);
    after.abandon();
    after.abandon();
    expect(app?.leases).toBe(0);
    await say("slow", []);
    expect(world.lines.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("early: who waits for a wake by then leaves that as well", async () => {
    const { world, core, clock, admit, say } = startingWorld();
    world.provider.script.wake = (_id, _snapshot, signal) => heldCall<never>().pass(signal);
    const shop = held(admit("shop"));
    await say("quick", [{ ...SHOP, observation: { phase: "asleep", target: null } }]);
    await clock.advance(100);
    expect(core.gate.held()).toBe(1);
    shop.abandon();
    expect([core.table.byKey("shop")?.leases, core.gate.held()]).toEqual([0, 0]);
  });

  test("early: when the program stops, everybody is told to come back", async () => {
    const { world, core, admit } = startingWorld();
    const shop = admit("shop");
    world.isStopping = true;
    core.gate.refuseHeld();
    expect(await summaryNow(shop)).toBe("503 shutting_down, again after 2 s");
    expect(core.gate.held()).toBe(0);
    core.reconciler.close();
  });
});
