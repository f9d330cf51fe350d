import { describe, expect, test } from "bun:test";

import type { App, Snapshot } from "../src/app.ts";
import type { Cause } from "../src/events.ts";
import type { Listing, Observation, ProviderErrorKind, Step } from "../src/providers/provider.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { compare } from "../src/reconcile.ts";
import type { AppRecord } from "../src/registry/registry.ts";
import { headerOf } from "./support/own-answer.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt, SAMPLE_START_MS, sampleApp, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

const CAUSE: Cause = { kind: "sweep", detail: "sweep" };
const SNAPSHOT: Snapshot = { kind: "members", ids: ["m1"], mode: "stop" };

function listingOf(id: string, changes: Partial<Listing> = {}): Listing {
  return {
    id,
    key: id,
    observation: { phase: "asleep", target: null },
    sleepsByItself: false,
    ...changes,
  };
}

function recordOf(id: string, changes: Partial<AppRecord> = {}): AppRecord {
  return {
    ref: { provider: "stub", id },
    key: id,
    phase: "asleep",
    sinceMs: SAMPLE_START_MS - 1000,
    fence: 7,
    snapshot: SNAPSHOT,
    target: sampleTarget(id),
    firstSeenMs: SAMPLE_START_MS - 5000,
    lastUsedMs: SAMPLE_START_MS - 2000,
    wakeHistoryMs: [800],
    ...changes,
  };
}

/** Asks all providers once; `listings` replaces what the first of them says. */
async function reconcile(world: SmallWorld, listings?: readonly Listing[]): Promise<void> {
  if (listings !== undefined) world.provider.script.list = async () => listings;
  await world.core.reconciler.run(CAUSE);
}

const keysOf = (world: SmallWorld) => world.core.table.all().map(({ key }) => key);

describe("found", () => {
  test("reconcile: an app that is listed is known, told, stored, and can be reached", async () => {
    const world = createSmallWorld();
    await reconcile(world, [
      listingOf("Shop", { observation: { phase: "awake", target: sampleTarget("shop") } }),
    ]);
    const app = world.core.table.byKey("shop");
    expect(app).toMatchObject({ ref: { provider: "stub", id: "Shop" }, state: { kind: "awake" } });
    expect(world.eventsOf("shop")).toEqual(["APP_DISCOVERED", "APP_REGISTERED"]);
    expect((await world.registry.load()).records).toMatchObject([{ key: "shop", phase: "awake" }]);
    expect(world.core.handler.admit(headFor("shop")).kind).toBe("forward");
  });

  test("reconcile: listed again, it is neither told nor stored again", async () => {
    const world = createSmallWorld();
    await reconcile(world, [listingOf("shop")]);
    await world.registry.remove({ provider: "stub", id: "shop" });
    await reconcile(world);
    expect(world.events).toHaveLength(2);
    expect((await world.registry.load()).records).toEqual([]);
  });

  test("reconcile: an ignored app is discovered, and not registered", async () => {
    const world = createSmallWorld();
    world.policies.set("shop", { ignored: true });
    await reconcile(world, [listingOf("shop")]);
    expect(world.eventsOf("shop")).toEqual(["APP_DISCOVERED"]);
  });

  test("reconcile: links are resolved whatever the order of the list", async () => {
    const world = createSmallWorld();
    world.policies.set("front", { linkedKeys: ["back"] });
    await reconcile(world, [listingOf("front"), listingOf("back")]);
    expect(world.core.table.byKey("front")?.links.map(({ key }) => key)).toEqual(["back"]);
  });

  test("reconcile: an app without an observation is looked at on its own", async () => {
    const world = createSmallWorld();
    world.provider.up.add("shop");
    await reconcile(world, [listingOf("shop", { observation: null })]);
    expect(world.core.table.byKey("shop")?.state.kind).toBe("awake");
  });

  test("reconcile: a look that fails or hangs leaves its app unknown, and the others are seen", async () => {
    const world = createSmallWorld();
    world.provider.script.observe = (id, signal) =>
      id === "hangs"
        ? heldCall<Observation>().pass(signal)
        : Promise.reject(new ProviderError("network", "no route"));
    const listings = ["fails", "hangs"].map((id) => listingOf(id, { observation: null }));
    const running = reconcile(world, [...listings, listingOf("good")]);
    await running;
    await world.clock.advance(60_000);
    const states = world.core.table.all().map(({ state }) => state.kind);
    expect(states).toEqual(["unknown", "unknown", "asleep"]);
    expect(world.core.reconciler.troubleOf("stub")).toBeNull();
    expect(world.clock.pending()).toBe(0);
  });

  test("reconcile: a store that is away keeps no app from being reached", async () => {
    const world = createSmallWorld();
    world.registry.save = async () => {
      throw new Error("the store is away");
    };
    await reconcile(world, [listingOf("shop"), listingOf("blog")]);
    expect(keysOf(world)).toEqual(["shop", "blog"]);
    expect(world.core.reconciler.troubleOf("stub")).toBeNull();
  });

  test("reconcile: an app that says it sleeps by itself is never stopped, and so after a restart", async () => {
    for (const restored of [false, true]) {
      const world = createSmallWorld();
      if (restored) world.core.reconciler.restore([recordOf("shop", { phase: "awake" })]);
      const observation: Observation = { phase: "awake", target: sampleTarget("shop") };
      await reconcile(world, [listingOf("shop", { sleepsByItself: true, observation })]);
      expect(world.core.table.byKey("shop")?.sleepsByItself).toBe(true);
    }
  });
});

/** What was warned of: the app or the provider, and why. */
function warningsOf(world: SmallWorld) {
  const warnings = world.lines.filter(({ level }) => level === "warn");
  return warnings.map(({ fields }) => [fields.app ?? fields.provider, fields.reason]);
}

/** Two platforms, and a rule that can be set about who has which key. */
function twoProviders() {
  const first = createStubProvider({ name: "first", listsDeclaredApps: false });
  const second = createStubProvider({ name: "second", listsDeclaredApps: false });
  const rules = new Map<string, string>();
  const seatRuleOf = (key: string) => {
    const provider = rules.get(key);
    return provider === undefined ? null : { provider, rule: `rules[0] (${key})` };
  };
  const deps = { keyOf: (label: string) => label, ...{ seatRuleOf } };
  const world = createSmallWorld({ providers: [first, second], deps });
  return { first, second, rules, world, has: (key: string) => holderOf(world, key) };
}

function holderOf(world: SmallWorld, key: string): string | null {
  return world.core.table.byKey(key)?.ref.provider ?? null;
}

const idsOf = (...ids: readonly string[]) => ids.map((id) => listingOf(id));

function appOf(world: SmallWorld, provider: string, id = "shop"): App {
  const app = world.core.table.byRef({ provider, id });
  if (app === null) throw new Error(`${provider}/${id} is lost`);
  return app;
}

describe("keys", () => {
  test("reconcile: where two list the same key, the earlier provider has it, and it is said", async () => {
    const { first, second, world } = twoProviders();
    first.ids.add("shop");
    second.ids.add("shop");
    second.ids.add("blog");
    await reconcile(world);
    expect(world.core.table.byKey("shop")?.ref.provider).toBe("first");
    expect(keysOf(world).toSorted()).toEqual(["blog", "shop"]);
    expect(warningsOf(world)).toEqual([["shop", expect.stringContaining("not shop (second),")]]);
    // Once, not at every sweep.
    await reconcile(world);
    expect(warningsOf(world)).toHaveLength(1);
  });

  test("reconcile: a key that became free goes to who still lists it", async () => {
    const { first, second, world } = twoProviders();
    first.ids.add("shop");
    second.ids.add("shop");
    await reconcile(world);
    first.ids.delete("shop");
    await reconcile(world);
    // One list that leaves an app out may be a slip.
    expect(world.core.table.byKey("shop")?.ref.provider).toBe("first");
    await reconcile(world);
    expect(world.core.table.byKey("shop")?.ref.provider).toBe("second");
  });

  test("keys: it does not matter who answers first", async () => {
    const { first, second, world, has } = twoProviders();
    const slow = heldCall<readonly Listing[]>();
    first.script.list = (signal) => slow.pass(signal);
    second.ids.add("shop");
    second.ids.add("blog");
    const running = reconcile(world);
    await world.clock.advance(9000);
    // Nobody is sent to the wrong shop meanwhile.
    expect([has("shop"), has("blog"), world.core.reconciler.completeness()]).toEqual([
      null,
      null,
      "starting",
    ]);
    slow.open(idsOf("shop"));
    await running;
    expect([has("shop"), has("blog")]).toEqual(["first", "second"]);
    expect(world.clock.pending()).toBe(0);
  });

  test("keys: a provider that hangs or fails at first holds the others up for 10 s at most", async () => {
    const { first, second, world, has } = twoProviders();
    first.script.list = (signal) => heldCall<readonly Listing[]>().pass(signal);
    second.ids.add("shop");
    const running = reconcile(world);
    await world.clock.advance(10_000);
    expect(has("shop")).toBe("second");
    await world.clock.advance(50_000);
    await running;
    expect(world.clock.pending()).toBe(0);
    first.script.list = async () => idsOf("shop");
    await reconcile(world);
    expect(has("shop")).toBe("first");
  });

  test("keys: a provider that failed holds nobody up", async () => {
    const { first, second, world, has } = twoProviders();
    first.script.list = async () => {
      throw new ProviderError("auth", "401");
    };
    second.ids.add("shop");
    await reconcile(world);
    expect(has("shop")).toBe("second");
  });

  test("keys: who answers late or not at all keeps what it listed before, or in an earlier run", async () => {
    for (const restored of [true, false]) {
      const { first, second, world, has } = twoProviders();
      const ref = { provider: "first", id: "shop" };
      if (restored) world.core.reconciler.restore([recordOf("shop", { ref })]);
      first.ids.add("shop");
      if (!restored) await reconcile(world);
      first.script.list = async () => {
        throw new ProviderError("unavailable", "503");
      };
      second.ids.add("shop");
      await reconcile(world);
      expect(has("shop")).toBe("first");
    }
  });

  test("keys: apps that paastis.yml declares come first, whatever the order of providers", async () => {
    const platform = createStubProvider({ name: "platform", listsDeclaredApps: false });
    const declared = createStubProvider({ name: "declared" });
    const world = createSmallWorld({ providers: [platform, declared] });
    platform.ids.add("shop");
    declared.ids.add("shop");
    await reconcile(world);
    expect(holderOf(world, "shop")).toBe("declared");
  });

  test("keys: a rule decides, at once when the rules change, and it is said again", async () => {
    const { first, second, rules, world, has } = twoProviders();
    first.ids.add("shop");
    second.ids.add("shop");
    await reconcile(world);
    const [loser, winner] = [appOf(world, "first"), appOf(world, "second")];
    rules.set("shop", "second");
    world.core.reconciler.applyPolicies();
    expect(has("shop")).toBe("second");
    expect(warningsOf(world).map(([, why]) => String(why).slice(0, 40))).toEqual([
      "shop (first) has the key by the order of",
      "shop (second) has the key by rules[0] (s",
    ]);
    rules.delete("shop");
    world.core.reconciler.applyPolicies();
    expect(has("shop")).toBe("first");
    expect([appOf(world, "first"), appOf(world, "second")]).toEqual([loser, winner]);
    expect(appOf(world, "first")).toBe(loser);
  });

  test("keys: who loses its key is neither reached nor stopped, loses nothing, and is the same again", async () => {
    const { first, second, rules, world, has } = twoProviders();
    second.up.add("shop");
    second.ids.add("shop");
    await reconcile(world);
    const app = appOf(world, "second");
    app.snapshot = SNAPSHOT;
    world.core.activity.begin(app);
    expect(world.core.handler.admit(headFor("shop")).kind).toBe("forward");
    first.ids.add("shop");
    await reconcile(world);
    expect(has("shop")).toBe("first");
    expect(appOf(world, "second")).toBe(app);
    expect(app).toMatchObject({ leases: 2, snapshot: SNAPSHOT, state: { kind: "awake" } });
    world.core.activity.end(app);
    world.core.activity.end(app);
    for (let sweep = 0; sweep < 3; sweep += 1) {
      await world.core.sweeper.sweep();
      await world.clock.advance(120_000);
    }
    expect(second.calls).toEqual([]);
    expect((await world.registry.load()).records).toHaveLength(2);
    rules.set("shop", "second");
    world.core.reconciler.applyPolicies();
    expect(world.core.table.byKey("shop")).toBe(app);
    // With a fresh idle clock: nobody could have used it.
    expect(app.idleSinceMs).toBe(world.clock.now());
    expect(world.events.map(({ name }) => name)).not.toContain("APP_UNREGISTERED");
  });

  test("keys: an app that drains as it loses its key is not stopped", async () => {
    const { first, second, world } = twoProviders();
    second.up.add("shop");
    second.ids.add("shop");
    await reconcile(world);
    const app = appOf(world, "second");
    const looking = heldCall<Observation>();
    second.script.observe = (_, signal) => looking.pass(signal);
    const sleeping = world.core.lifecycle.sleep(app, {
      cause: CAUSE,
      drainMs: 0,
      unusedSinceMs: null,
    });
    await world.clock.advance(10);
    expect(app.state.kind).toBe("draining");
    first.ids.add("shop");
    await reconcile(world);
    looking.open({ phase: "awake", target: sampleTarget("shop") });
    expect((await sleeping).kind).toBe("kept");
    expect(second.calls).not.toContain("sleep shop");
  });

  test("keys: aliases lead to an app, and are all that leads to one that lost its key", async () => {
    const { first, second, world, has } = twoProviders();
    const aliases = ["App-2", "blog"];
    second.script.list = async () => [listingOf("shop", { aliases }), listingOf("blog")];
    await reconcile(world);
    expect([has("shop"), has("app-2")]).toEqual(["second", "second"]);
    expect(world.core.table.byKey("blog")?.ref.id).toBe("blog");
    first.ids.add("shop");
    await reconcile(world);
    const app = appOf(world, "second");
    expect([has("shop"), world.core.table.byKey("app-2")]).toEqual(["first", app]);
    expect(app.key).toBe("app-2");
    expect(warningsOf(world)).toEqual([
      ["shop", expect.stringContaining("shop (second), which is reached as app-2")],
    ]);
    expect(world.core.handler.admit(headFor("app-2")).kind).toBe("held");
    const stored = (await world.registry.load()).records.map(({ ref, key }) => [ref.provider, key]);
    expect(stored).toContainEqual(["second", "app-2"]);
    first.ids.delete("shop");
    await reconcile(world);
    await reconcile(world);
    expect(world.core.table.byKey("shop")).toBe(app);
    expect(world.core.table.byKey("app-2")).toBe(app);
    expect(app.key).toBe("shop");
  });

  test("keys: an app that was renamed is found by its new name alone, with all that it had", async () => {
    const world = createSmallWorld({
      provider: createStubProvider({ listsDeclaredApps: false }),
    });
    world.policies.set("store", { maxIdleMs: 7 });
    await reconcile(world, [listingOf("id-1", { key: "shop" })]);
    const app = world.core.table.byKey("shop");
    if (app === null) throw new Error("it was not found");
    app.snapshot = SNAPSHOT;
    world.core.handler.admit(headFor("shop"));
    await reconcile(world, [listingOf("id-1", { key: "Store" })]);
    expect(world.core.table.byKey("store")).toBe(app);
    expect(app).toMatchObject({ key: "store", snapshot: SNAPSHOT, policy: { maxIdleMs: 7 } });
    expect(world.core.handler.admit(headFor("shop")).kind).toBe("answer");
    expect((await world.registry.load()).records).toMatchObject([
      { key: "store", snapshot: SNAPSHOT },
    ]);
    expect(world.eventsOf("store")).not.toContain("APP_DISCOVERED");
  });

  test("keys: two apps that swap their names are found by their new ones", async () => {
    const world = createSmallWorld();
    await reconcile(world, [listingOf("a", { key: "x" }), listingOf("b", { key: "y" })]);
    await reconcile(world, [listingOf("a", { key: "y" }), listingOf("b", { key: "x" })]);
    const { byKey } = world.core.table;
    expect([byKey("x")?.ref.id, byKey("y")?.ref.id]).toEqual(["b", "a"]);
    expect(warningsOf(world)).toEqual([]);
  });

  test("keys: an app that a list leaves out once keeps its place before those that want its key, too", async () => {
    const world = createSmallWorld({
      provider: createStubProvider({ listsDeclaredApps: false }),
    });
    const [first, second, third] = ["x", "a", "b"].map((id) =>
      listingOf(id, { key: id === "x" ? id : "shop" }),
    );
    if (!first || !second || !third) throw new Error("three were made");
    await reconcile(world, [first, second, third]);
    await reconcile(world, [third]);
    expect(world.core.table.byKey("shop")?.ref.id).toBe("a");
    await reconcile(world, [third, second]);
    expect(world.core.table.byKey("shop")?.ref.id).toBe("b");
  });

  test("reconcile: keys that differ in case alone are the same", async () => {
    const world = createSmallWorld();
    await reconcile(world, [listingOf("a", { key: "Shop" }), listingOf("b", { key: "SHOP" })]);
    expect(world.core.table.all().map(({ ref }) => ref.id)).toEqual(["a"]);
  });

  test("reconcile: an app that stands in a list twice is one app", async () => {
    const world = createSmallWorld();
    const twice = [listingOf("shop"), listingOf("shop"), listingOf("shop", { key: "other" })];
    await reconcile(world, [...twice, listingOf("blog")]);
    expect(keysOf(world)).toEqual(["shop", "blog"]);
    expect(world.lines.filter(({ level }) => level === "warn")).toEqual([]);
    await reconcile(world);
    expect(keysOf(world)).toEqual(["shop", "blog"]);
    expect(world.core.reconciler.troubleOf("stub")).toBeNull();
  });
});

describe("trouble", () => {
  test("reconcile: a list that fails leaves the provider's apps as they are, and keeps them awake", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    world.provider.script.list = async () => {
      throw new ProviderError("unavailable", "503 from the platform");
    };
    await reconcile(world);
    expect(world.core.reconciler.troubleOf("stub")).toBe("503 from the platform");
    expect(world.core.reconciler.completeness()).toBe("stuck");
    expect([keysOf(world), app.state]).toEqual([["shop"], awakeAt("shop")]);
    delete world.provider.script.list;
    await reconcile(world);
    expect(world.core.reconciler.troubleOf("stub")).toBeNull();
    expect(world.core.reconciler.completeness()).toBe("complete");
  });

  test("reconcile: one provider's trouble is not another's", async () => {
    const bad = createStubProvider({ name: "bad" });
    const good = createStubProvider({ name: "good" });
    const world = createSmallWorld({ providers: [bad, good] });
    good.ids.add("blog");
    bad.script.list = async () => {
      throw new ProviderError("auth", "401 from the platform");
    };
    await reconcile(world);
    expect(keysOf(world)).toEqual(["blog"]);
    const { troubleOf } = world.core.reconciler;
    expect([troubleOf("bad"), troubleOf("good")]).toEqual(["401 from the platform", null]);
  });

  test("reconcile: once complete, it stays so through later trouble", async () => {
    const world = createSmallWorld();
    await reconcile(world, []);
    world.provider.script.list = async () => {
      throw new ProviderError("unavailable", "503");
    };
    await reconcile(world);
    expect(world.core.reconciler.completeness()).toBe("complete");
  });
});

describe("noise", () => {
  test("noise: a list that fails is said once for each kind of failure, and when it works again", async () => {
    const world = createSmallWorld();
    await reconcile(world);
    let kind: ProviderErrorKind = "unavailable";
    let reason = "503 from the platform (request 1)";
    world.provider.script.list = async () => {
      throw new ProviderError(kind, reason);
    };
    await reconcile(world);
    reason = "503 from the platform (request 2f6a)";
    await reconcile(world);
    expect(warningsOf(world)).toEqual([["stub", "503 from the platform (request 1)"]]);
    // What is asked for is what is so now.
    expect(world.core.reconciler.troubleOf("stub")).toBe(reason);
    reason = "no connection";
    kind = "network";
    await reconcile(world);
    expect(warningsOf(world)).toHaveLength(1);
    for (const next of ["auth", "network", "auth"] as const) {
      kind = next;
      reason = `what ${next} means`;
      await reconcile(world);
    }
    expect(warningsOf(world).slice(1)).toEqual([["stub", "what auth means"]]);
    delete world.provider.script.list;
    await reconcile(world);
    await reconcile(world);
    const infos = world.lines.filter(({ level }) => level === "info");
    expect(infos.map(({ message }) => message)).toEqual(["lists its apps again"]);
    world.provider.script.list = async () => {
      throw new ProviderError("network", "no connection");
    };
    await reconcile(world);
    expect(warningsOf(world)).toHaveLength(2);
    await world.clock.advance(10 * 60_000);
    await reconcile(world);
    expect(warningsOf(world)).toHaveLength(3);
  });

  test("noise: a conflict that is over is said again when it comes back", async () => {
    const { first, second, world } = twoProviders();
    second.ids.add("shop");
    for (const there of [true, true, false, false, true]) {
      if (there) first.ids.add("shop");
      else first.ids.delete("shop");
      await reconcile(world);
    }
    expect(warningsOf(world)).toHaveLength(2);
  });
});

describe("soon", () => {
  test("soon: however often it is said, the provider is asked once, and no other is", async () => {
    const { first, second, world } = twoProviders();
    const asked: string[] = [];
    for (const provider of [first, second]) {
      provider.script.list = async () => {
        asked.push(provider.name);
        return [];
      };
    }
    world.core.reconciler.askSoon("first");
    world.core.reconciler.askSoon("first");
    world.core.reconciler.askSoon("nobody");
    await world.clock.advance(2000);
    expect(asked).toEqual(["first"]);
    // Not again at once: what it says may not have changed yet.
    world.core.reconciler.askSoon("first");
    await world.clock.advance(10_000);
    expect(asked).toHaveLength(1);
    await world.clock.advance(5000);
    expect(asked).toEqual(["first", "first"]);
    world.core.reconciler.askSoon("second");
    world.core.reconciler.close();
    expect(world.clock.pending()).toBe(0);
    await reconcile(world);
    expect(asked).toHaveLength(2);
  });

  test("soon: what is found then is said to be found because something has changed", async () => {
    const world = createSmallWorld({ provider: createStubProvider({ listsDeclaredApps: false }) });
    await reconcile(world, []);
    world.provider.script.list = async () => [listingOf("shop")];
    world.core.reconciler.askSoon("stub");
    await world.clock.advance(20_000);
    const found = world.events.find(({ name }) => name === "APP_REGISTERED");
    expect(found?.cause).toEqual({ kind: "outside", detail: "something has changed on stub" });
  });

  test("soon: two lists without an app give it up, as ever", async () => {
    const world = createSmallWorld({
      provider: createStubProvider({ listsDeclaredApps: false }),
    });
    await reconcile(world, [listingOf("shop")]);
    world.provider.script.list = async () => [];
    world.core.reconciler.askSoon("stub");
    await world.clock.advance(20_000);
    expect(keysOf(world)).toEqual(["shop"]);
    world.core.reconciler.askSoon("stub");
    await world.clock.advance(20_000);
    expect(keysOf(world)).toEqual([]);
  });
});

describe("close", () => {
  test("close: a list under way ends, and nothing is said", async () => {
    const world = createSmallWorld();
    world.provider.script.list = (signal) => heldCall<readonly Listing[]>().pass(signal);
    const running = world.core.reconciler.run(CAUSE);
    world.core.reconciler.close();
    await running;
    expect([world.lines, world.clock.pending()]).toEqual([[], 0]);
  });
});

describe("gone", () => {
  test("gone: an app that is listed again while somebody still uses it is the same app, with its leases", async () => {
    const world = createSmallWorld();
    const up: Observation = { phase: "awake", target: sampleTarget("shop") };
    await reconcile(world, [listingOf("shop", { observation: up })]);
    const app = world.core.table.byKey("shop");
    if (app === null) throw new Error("it was not found");
    world.core.activity.begin(app);
    await reconcile(world, []);
    expect(world.core.table.byKey("shop")).toBeNull();
    await reconcile(world, [listingOf("shop", { observation: up })]);
    expect(world.core.table.byKey("shop")).toBe(app);
    await world.clock.advance(10_000);
    expect(world.eventsOf("shop")).toEqual(["APP_DISCOVERED", "APP_REGISTERED"]);
  });

  test("gone: one list of a platform that leaves an app out does not lose its snapshot, two give it up", async () => {
    const platform = createStubProvider({ listsDeclaredApps: false });
    const world = createSmallWorld({ providers: [platform] });
    await reconcile(world, [listingOf("shop")]);
    const app = world.core.table.byKey("shop");
    if (app === null) throw new Error("it was not found");
    app.snapshot = SNAPSHOT;
    await reconcile(world, []);
    await reconcile(world, [listingOf("shop")]);
    await reconcile(world, []);
    expect(world.core.table.byKey("shop")?.snapshot).toEqual(SNAPSHOT);
    await reconcile(world, []);
    expect(world.core.table.byKey("shop")).toBeNull();
  });

  test("reconcile: an app that is listed no more is forgotten, with all that was known of it", async () => {
    const world = createSmallWorld();
    await reconcile(world, [listingOf("shop")]);
    expect(world.core.handler.admit(headFor("shop")).kind).toBe("held");
    await world.clock.advance(10);
    const app = world.core.table.byKey("shop");
    if (app === null) throw new Error("shop is lost");
    world.core.activity.end(app);
    await reconcile(world, []);
    await world.clock.advance(10);
    expect(world.core.handler.admit(headFor("shop")).kind).toBe("answer");
    expect((await world.registry.load()).records).toEqual([]);
    expect(world.eventsOf("shop").at(-1)).toBe("APP_UNREGISTERED");
  });

  test("reconcile: an app that comes back after it was forgotten is a new one", async () => {
    const world = createSmallWorld();
    world.core.reconciler.restore([recordOf("shop")]);
    await reconcile(world, []);
    await world.clock.advance(10);
    await reconcile(world, [listingOf("shop")]);
    // What an app of that name needed to come back is none of this one's business.
    expect(world.core.table.byKey("shop")).toMatchObject({ snapshot: null, wakeHistoryMs: [] });
    expect(world.eventsOf("shop")).toEqual([
      "APP_UNREGISTERED",
      "APP_DISCOVERED",
      "APP_REGISTERED",
    ]);
  });
});

/** A platform of which a part does not answer, and a world in which an earlier run knew two apps called shop. */
function halfSilent() {
  const silent = { reason: "the second region does not answer" as string | null };
  const platform = Object.assign(createStubProvider({ listsDeclaredApps: false }), {
    whyUnlisted: (id: string) => (id.startsWith("second/") ? silent.reason : null),
  });
  const world = createSmallWorld({ providers: [platform] });
  return { world, platform, silent };
}

describe("unlisted", () => {
  test("unlisted: while a part of a platform has never answered, a host may belong to an app of it", async () => {
    let isWhole = false;
    const provider = Object.assign(createStubProvider(), { isWhole: () => isWhole });
    const world = createSmallWorld({ provider });
    const answerFor = (host: string) => {
      const admission = world.core.handler.admit(headFor(host));
      if (admission.kind !== "answer") throw new Error(`it was ${admission.kind}`);
      return [admission.answer.status, headerOf(admission.answer, "paastis-error")];
    };
    await reconcile(world, [listingOf("shop")]);
    expect(world.core.reconciler.completeness()).toBe("stuck");
    expect(answerFor("blog")).toEqual([503, "apps_unknown"]);
    isWhole = true;
    await reconcile(world);
    expect(answerFor("blog")).toEqual([404, "unknown_app"]);
    // What has been seen as a whole once is known, whatever happens later.
    isWhole = false;
    await reconcile(world);
    expect(answerFor("blog")).toEqual([404, "unknown_app"]);
  });

  test("unlisted: an app that its list cannot know of is neither given up nor given away", async () => {
    const { world, silent } = halfSilent();
    const known = recordOf("second/shop", { key: "shop", phase: "awake" });
    world.core.reconciler.restore([known]);
    const other = listingOf("first/shop", { key: "shop", aliases: ["shop-first"] });
    for (let count = 0; count < 3; count += 1) await reconcile(world, [other]);
    const app = world.core.table.byKey("shop");
    expect(app).toMatchObject({ ref: known.ref, snapshot: SNAPSHOT });
    expect(world.core.handler.admit(headFor("shop"))).toMatchObject({
      kind: "forward",
      target: known.target,
    });
    expect(world.core.table.byKey("shop-first")?.ref.id).toBe("first/shop");
    expect(world.core.reconciler.troubleOf("stub")).toBeNull();
    silent.reason = null;
    await reconcile(world, [other]);
    expect(world.core.table.byKey("shop")).toBe(app);
    await reconcile(world, [other]);
    expect(world.core.table.byKey("shop")?.ref.id).toBe("first/shop");
  });

  test("unlisted: one that was listed before keeps its place, and takes no key from whom it came after", async () => {
    const { world, silent } = halfSilent();
    const first = listingOf("first/shop", { key: "shop", aliases: ["shop-first"] });
    const second = listingOf("second/shop", { key: "shop", aliases: ["shop-second"] });
    silent.reason = null;
    for (const listings of [
      [first, second],
      [second, first],
    ]) {
      silent.reason = null;
      await reconcile(world, listings);
      const holder = world.core.table.byKey("shop")?.ref.id;
      silent.reason = "it does not answer";
      for (let count = 0; count < 3; count += 1) await reconcile(world, [first]);
      expect([listings[0]?.id, world.core.table.byKey("shop")?.ref.id]).toEqual([holder, holder]);
      expect(world.core.table.byKey("shop-second")?.ref.id).toBe("second/shop");
    }
  });

  test("unlisted: it is not put to sleep meanwhile, however long it was idle, and is afterwards", async () => {
    const { world, platform, silent } = halfSilent();
    world.core.reconciler.restore([recordOf("second/shop", { key: "shop" })]);
    const app = world.core.table.byKey("shop");
    if (app === null) throw new Error("it is lost");
    app.state = awakeAt("shop");
    platform.up.add("second/shop");
    platform.script.list = async () => [];
    const sleepIdle = async () => {
      await world.clock.advance(60 * 60_000);
      await (await world.core.sweeper.sweep()).done;
    };
    for (let count = 0; count < 3; count += 1) await sleepIdle();
    expect([app.state.kind, platform.calls]).toEqual(["awake", []]);
    silent.reason = null;
    const observation: Observation = { phase: "awake", target: sampleTarget("shop") };
    platform.script.list = async () => [listingOf("second/shop", { key: "shop", observation })];
    await sleepIdle();
    expect(platform.calls).toEqual(["snapshot second/shop", "sleep second/shop"]);
  });

  test("unlisted: whom the list left out before is not given up because of one that could not say", async () => {
    const { world, silent } = halfSilent();
    world.core.reconciler.restore([recordOf("second/shop", { key: "shop" })]);
    silent.reason = null;
    await reconcile(world, []);
    silent.reason = "it does not answer again";
    await reconcile(world, []);
    expect(world.core.table.byKey("shop")?.snapshot).toEqual(SNAPSHOT);
  });
});

describe("restored", () => {
  test("reconcile: what an earlier run knew can be reached before any provider has answered", async () => {
    const world = createSmallWorld();
    world.core.reconciler.restore([recordOf("shop"), recordOf("blog", { phase: "awake" })]);
    const shop = world.core.table.byKey("shop");
    expect(shop).toMatchObject({
      state: { kind: "asleep", sinceMs: SAMPLE_START_MS - 1000 },
      fence: 7,
      snapshot: SNAPSHOT,
      lastTarget: sampleTarget("shop"),
      lastUsedMs: SAMPLE_START_MS - 2000,
      wakeHistoryMs: [800],
      // A fresh idle clock: nothing is stopped right after a restart.
      idleSinceMs: SAMPLE_START_MS,
    });
    // Only "asleep" is believed: it may have ended, or been stopped, meanwhile.
    expect(world.core.table.byKey("blog")?.state.kind).toBe("unknown");
    expect(world.core.handler.admit(headFor("shop")).kind).toBe("held");
    const admission = world.core.handler.admit(headFor("blog"));
    if (admission.kind !== "held") throw new Error(`it was ${admission.kind}`);
    // A quick list would say whether it is still where it was.
    await world.clock.advance(1000);
    const decision = await admission.decision;
    if (decision.kind !== "forward") throw new Error("it was refused");
    expect(decision.app.leases).toBe(1);
    world.core.handler.release(decision);
    expect(world.core.handler.admit(headFor("blog")).kind).toBe("forward");
  });

  test("restored: its provider is told of a wake that nobody saw the end of, and of no other app", () => {
    const recalled: [string, number][] = [];
    const platform = Object.assign(createStubProvider(), {
      recallWake: (id: string, begunMs: number) => void recalled.push([id, begunMs]),
    });
    const world = createSmallWorld({
      providers: [platform, createStubProvider({ name: "other" })],
    });
    const phases = ["waking", "asleep", "awake", "failed", "stopping", "unknown"] as const;
    world.core.reconciler.restore([
      ...phases.map((phase) => recordOf(phase, { phase, sinceMs: SAMPLE_START_MS - 7 })),
      recordOf("elsewhere", { ref: { provider: "other", id: "elsewhere" }, phase: "waking" }),
    ]);
    expect(recalled).toEqual([["waking", SAMPLE_START_MS - 7]]);
    expect(world.core.table.byKey("waking")?.state.kind).toBe("unknown");
  });

  test("reconcile: an app that was known is not told as new", async () => {
    const world = createSmallWorld();
    world.core.reconciler.restore([recordOf("shop")]);
    await reconcile(world, [listingOf("shop")]);
    expect(world.events).toEqual([]);
  });

  test("reconcile: records of a provider that is not used any more are left alone", async () => {
    const world = createSmallWorld();
    const record = recordOf("shop", { ref: { provider: "other", id: "shop" } });
    await world.registry.save(record);
    world.core.reconciler.restore([record]);
    await reconcile(world, []);
    expect(keysOf(world)).toEqual([]);
    expect((await world.registry.load()).records).toHaveLength(1);
  });

  test("reconcile: of two records with one key the first is reached, and the other when it is free", async () => {
    const world = createSmallWorld();
    const second = recordOf("other-id", { key: "shop" });
    world.core.reconciler.restore([recordOf("shop"), second]);
    expect(world.core.table.byKey("shop")?.ref.id).toBe("shop");
    await reconcile(world, [listingOf("other-id", { key: "shop" })]);
    expect(world.core.table.byKey("shop")).toMatchObject({
      ref: { id: "other-id" },
      snapshot: SNAPSHOT,
    });
  });

  test("reconcile: an app that went while we did not run is forgotten", async () => {
    const world = createSmallWorld();
    await world.registry.save(recordOf("shop"));
    world.core.reconciler.restore((await world.registry.load()).records);
    await reconcile(world, []);
    await world.clock.advance(10);
    expect((await world.registry.load()).records).toEqual([]);
  });
});

describe("stale lists", () => {
  test("reconcile: what changed while the list was under way is newer than the list", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    const listing = heldCall<readonly Listing[]>();
    world.provider.script.list = (signal) => listing.pass(signal);
    const running = world.core.reconciler.run(CAUSE);
    const cause: Cause = { kind: "command", detail: "test" };
    await world.core.lifecycle.sleep(app, { cause, drainMs: 0, unusedSinceMs: null });
    const observation: Observation = { phase: "awake", target: sampleTarget("shop") };
    listing.open([listingOf("shop", { observation })]);
    await running;
    expect(app.state.kind).toBe("asleep");
  });

  test("reconcile: what changed while other apps of the list were looked at is newer, too", async () => {
    const world = createSmallWorld();
    const look = heldCall<Observation>();
    world.provider.script.observe = (id, signal) =>
      id === "slow" ? look.pass(signal) : Promise.resolve({ phase: "asleep", target: null });
    const running = reconcile(world, [listingOf("slow", { observation: null }), listingOf("shop")]);
    await world.clock.advance(10);
    // Found, and woken by a request before its own turn in the list has come.
    const admission = world.core.handler.admit(headFor("shop"));
    await world.clock.advance(1000);
    expect(world.core.table.byKey("shop")?.state.kind).toBe("awake");
    look.open({ phase: "asleep", target: null });
    await running;
    expect(world.core.table.byKey("shop")?.state.kind).toBe("awake");
    expect(world.eventsOf("shop")).not.toContain("APP_STOPPED");
    expect(admission.kind).toBe("held");
  });

  test("reconcile: a list that was asked for earlier and comes later takes nobody out", async () => {
    const world = createSmallWorld();
    const slow = heldCall<readonly Listing[]>();
    world.provider.script.list = (signal) => slow.pass(signal);
    const first = world.core.reconciler.run(CAUSE);
    await reconcile(world, [listingOf("shop")]);
    slow.open([]);
    await first;
    await world.clock.advance(10);
    expect(keysOf(world)).toEqual(["shop"]);
    expect(world.eventsOf("shop")).not.toContain("APP_UNREGISTERED");
  });

  test("reconcile: a wake under way is not disturbed by a list that calls the app asleep", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    const booting = heldCall<Step>();
    world.provider.script.wake = (_id, _snapshot, signal) => booting.pass(signal);
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(10);
    await reconcile(world);
    expect(app.state.kind).toBe("waking");
    world.provider.up.add("shop");
    booting.open({ done: true, target: sampleTarget("shop") });
    expect((await waking).kind).toBe("awake");
  });
});

describe("compare", () => {
  test("compare: it tells the found, the present and the missing apart", () => {
    const [kept, gone] = [sampleApp("kept"), sampleApp("gone")];
    const listings = [listingOf("new"), listingOf("kept")];
    expect(compare([kept, gone], listings)).toEqual({
      found: [listingOf("new")],
      present: [{ app: kept, listing: listingOf("kept") }],
      missing: [gone],
    });
    expect(compare([], [])).toEqual({ found: [], present: [], missing: [] });
  });
});

describe("policies", () => {
  test("reconcile: new rules reach every app at once, and what hosts lead to is looked up again", async () => {
    let mapped = "shop";
    const world = createSmallWorld({ deps: { keyOf: () => mapped } });
    await reconcile(world, [listingOf("shop"), listingOf("blog")]);
    const keyOfRequest = () => {
      const admission = world.core.handler.admit(headFor("store"));
      if (admission.kind === "held") admission.abandon();
      return world.core.table.all().find(({ lastUsedMs }) => lastUsedMs !== null)?.key;
    };
    expect(keyOfRequest()).toBe("shop");
    for (const app of world.core.table.all()) app.lastUsedMs = null;
    mapped = "blog";
    world.policies.set("blog", { maxIdleMs: 0 });
    world.core.reconciler.applyPolicies();
    expect(world.core.table.byKey("blog")?.policy.maxIdleMs).toBe(0);
    expect(keyOfRequest()).toBe("blog");
  });
});
