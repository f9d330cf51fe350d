import { describe, expect, test } from "bun:test";

import type { App } from "../src/app.ts";
import type { IdleFacts } from "../src/idle.ts";
import { decideIdle, WELCOME_MS } from "../src/idle.ts";
import type { Observation } from "../src/providers/provider.ts";
import { ProviderError } from "../src/providers/provider.ts";
import {
  awakeAt,
  SAMPLE_START_MS,
  sampleApp,
  samplePolicy,
  sampleTarget,
} from "./support/sample-app.ts";
import { createSmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

const NOW_MS = SAMPLE_START_MS + 3_600_000;
const MAX_IDLE_MS = 60_000;

/** An app that has been awake for an hour and idle for `idleMs`. */
function idleApp(idleMs: number, changes: Partial<App> = {}): App {
  return sampleApp("shop", {
    state: awakeAt("shop"),
    policy: samplePolicy({ maxIdleMs: MAX_IDLE_MS }),
    idleSinceMs: NOW_MS - idleMs,
    lastUsedMs: NOW_MS - idleMs,
    ...changes,
  });
}

/** Another app that links to the one under test. */
function user(changes: Partial<App>): App {
  return sampleApp("front", { state: awakeAt("front"), ...changes });
}

const never = samplePolicy({ maxIdleMs: null });
const atOnce = samplePolicy({ maxIdleMs: 0 });

interface Case {
  readonly name: string;
  readonly app: App;
  readonly facts?: Partial<IdleFacts>;
  readonly sleep: boolean;
  /** What the reason must say. */
  readonly why: string;
}

const target = sampleTarget("shop");
const CASES: readonly Case[] = [
  { name: "idle for its time", app: idleApp(MAX_IDLE_MS), sleep: true, why: "idle for 1 min" },
  { name: "a moment less", app: idleApp(MAX_IDLE_MS - 1), sleep: false, why: "may idle for 1 min" },
  { name: "no idle time: at once", app: idleApp(0, { policy: atOnce }), sleep: true, why: "idle" },
  {
    name: "never, by its settings",
    app: idleApp(1e9, { policy: never }),
    sleep: false,
    why: "never",
  },
  {
    name: "ignored, whatever its idle time",
    app: idleApp(1e9, { policy: samplePolicy({ ignored: true, maxIdleMs: 0 }) }),
    sleep: false,
    why: "REGISTRY_IGNORED_APPS",
  },
  {
    name: "sleeps by itself",
    app: idleApp(1e9, { sleepsByItself: true }),
    sleep: false,
    why: "own platform",
  },
  { name: "in use", app: idleApp(1e9, { leases: 1 }), sleep: false, why: "in use" },
  {
    name: "in use, and no idle time",
    app: idleApp(1e9, { leases: 1, policy: atOnce }),
    sleep: false,
    why: "in use",
  },
  {
    name: "in use through an app that links to it",
    app: idleApp(1e9, { linkedFrom: [user({ idleSinceMs: 0 }), user({ leases: 1 })] }),
    sleep: false,
    why: "in use",
  },
  {
    name: "used lately through an app that links to it",
    app: idleApp(1e9, { linkedFrom: [user({ idleSinceMs: NOW_MS - 1000 })] }),
    sleep: false,
    why: "1 s ago",
  },
  {
    name: "used long ago, directly and through others",
    app: idleApp(90_000, { linkedFrom: [user({ idleSinceMs: NOW_MS - 80_000 })] }),
    sleep: true,
    why: "idle for 1 min",
  },
  {
    name: "use of what it links to is no use of it",
    app: idleApp(1e9, { links: [user({ leases: 1, idleSinceMs: NOW_MS })] }),
    sleep: true,
    why: "idle",
  },
  {
    name: "its provider does not answer",
    app: idleApp(1e9),
    facts: { providerTrouble: "503 from the platform" },
    sleep: false,
    why: "503 from the platform",
  },
  {
    name: "found since the last sweep",
    app: idleApp(1e9, { policy: atOnce }),
    facts: { wasSweptBefore: false },
    sleep: false,
    why: "found since",
  },
  {
    name: "woken for somebody who has not come yet",
    app: idleApp(0, { policy: atOnce, lastUsedMs: null, state: awakeAt("shop", NOW_MS) }),
    facts: { wokenMs: NOW_MS },
    sleep: false,
    why: "just woken",
  },
  {
    name: "the same, as its welcome ends",
    app: idleApp(WELCOME_MS, {
      policy: atOnce,
      lastUsedMs: NOW_MS - WELCOME_MS - 1,
      state: awakeAt("shop", NOW_MS - WELCOME_MS),
    }),
    facts: { wokenMs: NOW_MS - WELCOME_MS },
    sleep: true,
    why: "idle for 15 s",
  },
  {
    name: "woken for somebody who came and went: no welcome",
    app: idleApp(10, { policy: atOnce, state: awakeAt("shop", NOW_MS - 20) }),
    facts: { wokenMs: NOW_MS - 20 },
    sleep: true,
    why: "idle for 10 ms",
  },
  {
    name: "found awake a moment ago, which nobody asked for: no welcome",
    app: idleApp(10, { policy: atOnce, lastUsedMs: null, state: awakeAt("shop", NOW_MS - 10) }),
    sleep: true,
    why: "idle for 10 ms",
  },
  {
    name: "a clock that went back: idle since some time to come",
    app: idleApp(-5000),
    sleep: false,
    why: "may idle",
  },
  ...(
    [
      { kind: "unknown", sinceMs: 0 },
      { kind: "asleep", sinceMs: 0 },
      { kind: "waking", sinceMs: 0, fence: 1 },
      { kind: "draining", sinceMs: 0, awakeSinceMs: 0, fence: 1, target },
      { kind: "stopping", sinceMs: 0, fence: 1 },
      { kind: "failed", sinceMs: 0, why: "exited", retryAtMs: 0 },
    ] as const
  ).map((state) => ({
    name: `it is ${state.kind}`,
    app: idleApp(1e9, { state, policy: atOnce }),
    sleep: false,
    why: `is ${state.kind}`,
  })),
];

describe("idle decision", () => {
  for (const { name, app, facts, sleep, why } of CASES) {
    test(`idle: ${name}: ${sleep ? "sleep" : "keep"}`, () => {
      const all = {
        nowMs: NOW_MS,
        wasSweptBefore: true,
        providerTrouble: null,
        wokenMs: null,
        ...facts,
      };
      const verdict = decideIdle(app, all);
      expect(verdict.sleep).toBe(sleep);
      expect(verdict.why).toContain(why);
    });
  }

  test("idle: the decision changes nothing", () => {
    const app = idleApp(1e9);
    const before = structuredClone(app);
    decideIdle(app, {
      nowMs: NOW_MS,
      wasSweptBefore: true,
      providerTrouble: null,
      wokenMs: null,
    });
    expect(app).toEqual(before);
  });
});

describe("sweep", () => {
  test("sweep: the first after a start stops nothing, the second does", async () => {
    const world = createSmallWorld();
    world.policies.set("shop", { maxIdleMs: 0 });
    const app = world.add("shop", { state: awakeAt("shop") });
    await world.clock.advance(3_600_000);
    await world.core.sweeper.sweep();
    await world.clock.advance(60_000);
    expect(app.state.kind).toBe("awake");
    const { entries, done } = await world.core.sweeper.sweep();
    await done;
    expect(entries).toMatchObject([{ sleep: true, why: "idle for 1 h 1 min" }]);
    expect(app.state.kind).toBe("asleep");
  });

  test("sweep: an app that a later sweep finds is not stopped by that one", async () => {
    const world = createSmallWorld();
    world.policies.set("late", { maxIdleMs: 0 });
    await world.core.sweeper.sweep();
    world.provider.ids.add("late");
    world.provider.up.add("late");
    const { entries } = await world.core.sweeper.sweep();
    expect(entries).toMatchObject([{ sleep: false }]);
    await world.clock.advance(60_000);
    expect((await world.core.sweeper.sweep()).entries).toMatchObject([{ sleep: true }]);
  });

  test("sweep: a second one while the first asks the providers does nothing", async () => {
    const world = createSmallWorld();
    world.add("shop", { state: awakeAt("shop") });
    const listing = heldCall<[]>();
    let lists = 0;
    world.provider.script.list = (signal) => {
      lists += 1;
      return listing.pass(signal);
    };
    const first = world.core.sweeper.sweep();
    const second = await world.core.sweeper.sweep();
    expect([second.entries, lists]).toEqual([[], 1]);
    listing.open([]);
    await first;
  });

  test("sweep: a provider that hangs is given up, and the next sweep runs", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    world.policies.set("shop", { maxIdleMs: 0 });
    world.core.reconciler.applyPolicies();
    await world.core.sweeper.sweep();
    world.provider.script.list = heldCall<[]>().pass;
    const hung = world.core.sweeper.sweep();
    await world.clock.advance(100_000);
    const { entries } = await hung;
    expect(entries).toMatchObject([{ sleep: false }]);
    expect(entries[0]?.why).toContain("no answer within 60 s");
    delete world.provider.script.list;
    const next = await world.core.sweeper.sweep();
    await next.done;
    expect(app.state.kind).toBe("asleep");
    expect(world.clock.pending()).toBe(0);
  });

  test("sweep: a plan decides like a sweep and changes nothing", async () => {
    const world = createSmallWorld();
    world.policies.set("shop", { maxIdleMs: 0 });
    const app = world.add("shop", { state: awakeAt("shop") });
    await world.core.sweeper.sweep();
    await world.clock.advance(60_000);
    expect(world.core.sweeper.plan()).toMatchObject([{ app, sleep: true }]);
    expect(app.state.kind).toBe("awake");
    expect(world.provider.calls).toEqual([]);
  });

  test("sweep: one app whose stop fails does not keep the others awake", async () => {
    const world = createSmallWorld();
    const apps = ["bad", "good"].map((key) => {
      world.policies.set(key, { maxIdleMs: 0 });
      return world.add(key, { state: awakeAt(key) });
    });
    world.provider.script.sleep = async (id) => {
      if (id === "bad") throw new ProviderError("unavailable", "502");
      world.provider.up.delete(id);
      return { done: true, target: null };
    };
    await world.core.sweeper.sweep();
    await world.clock.advance(60_000);
    const { done } = await world.core.sweeper.sweep();
    await done;
    expect(apps.map(({ state }) => state.kind)).toEqual(["awake", "asleep"]);
  });

  test("sweep: use between the decision and the stop keeps the app awake", async () => {
    const world = createSmallWorld();
    world.policies.set("shop", { maxIdleMs: 1000 });
    const app = world.add("shop", { state: awakeAt("shop") });
    await world.core.sweeper.sweep();
    await world.clock.advance(60_000);
    const looking = heldCall<{ phase: "awake"; target: null }>();
    world.provider.script.observe = (_id, signal) => looking.pass(signal);
    const { done } = await world.core.sweeper.sweep();
    world.core.activity.begin(app);
    await world.clock.advance(10);
    world.core.activity.end(app);
    looking.open({ phase: "awake", target: null });
    await done;
    expect(app.state.kind).toBe("awake");
    expect(world.provider.calls).not.toContain("sleep shop");
    expect(world.eventsOf("shop").at(-1)).toBe("APP_STOP_CANCELLED");
  });
});

describe("many idle apps of a platform", () => {
  /** Five idle apps, the first idle longest; looks before a stop last until they are let through. */
  async function crowd() {
    const provider = createStubProvider({ watches: false, listsDeclaredApps: false });
    const world = createSmallWorld({ provider });
    const apps = ["a", "b", "c", "d", "e"].map((key, n) => {
      world.policies.set(key, { maxIdleMs: 1000 });
      return world.add(key, { state: awakeAt(key), idleSinceMs: SAMPLE_START_MS + n });
    });
    await world.core.sweeper.sweep();
    await world.clock.advance(60_000);
    const looks = new Map(apps.map(({ key }) => [key, heldCall<Observation>()]));
    provider.script.observe = (id, signal) =>
      looks.get(id)?.pass(signal) ?? Promise.resolve({ phase: "asleep", target: null });
    const through = (key: string) => {
      looks.get(key)?.open({ phase: "awake", target: null });
      looks.delete(key);
    };
    const kinds = () => apps.map(({ state }) => state.kind);
    const app = (key: string) => apps.find((one) => one.key === key) ?? sampleApp();
    return { world, provider, apps, app, kinds, through };
  }

  test("sweep: three at a time; the others stay plainly awake until their turn", async () => {
    const { world, kinds, through } = await crowd();
    const { entries, done } = await world.core.sweeper.sweep();
    expect(entries.filter(({ sleep }) => sleep)).toHaveLength(5);
    await world.clock.advance(10);
    expect(kinds()).toEqual(["draining", "draining", "draining", "awake", "awake"]);
    expect(world.eventsOf("d")).toEqual([]);
    through("b");
    await world.clock.advance(10);
    expect(kinds()).toEqual(["draining", "asleep", "draining", "draining", "awake"]);
    for (const key of ["a", "c", "d", "e"]) through(key);
    await done;
    expect(new Set(kinds())).toEqual(new Set(["asleep"]));
    expect(world.clock.pending()).toBe(0);
  });

  test("sweep: one that was used while it waited for its turn is passed over without a trace", async () => {
    const { world, provider, app, kinds, through } = await crowd();
    const { done } = await world.core.sweeper.sweep();
    world.core.activity.begin(app("d"));
    world.core.activity.end(app("d"));
    for (const key of ["a", "b", "c"]) through(key);
    await world.clock.advance(10);
    expect(kinds()).toEqual(["asleep", "asleep", "asleep", "awake", "draining"]);
    through("e");
    await done;
    expect([app("d").state.kind, world.eventsOf("d")]).toEqual(["awake", []]);
    expect(provider.calls.filter((call) => call.endsWith(" d"))).toEqual([]);
  });

  test("sweep: one that has gone from the table by its turn is passed over", async () => {
    const { world, app, kinds, through } = await crowd();
    const { done } = await world.core.sweeper.sweep();
    world.core.table.remove(app("d"));
    for (const key of ["a", "b", "c", "e"]) through(key);
    await done;
    expect(kinds()).toEqual(["asleep", "asleep", "asleep", "awake", "asleep"]);
    expect(world.eventsOf("d")).toEqual([]);
  });

  test("sweep: those of a platform that is in trouble by their turn are passed over", async () => {
    const { world, provider, app, through } = await crowd();
    await world.core.sweeper.sweep();
    provider.script.list = async () => {
      throw new ProviderError("unavailable", "503");
    };
    // Asked for anew, the platform does not answer.
    await world.core.sweeper.sweep();
    for (const key of ["a", "b", "c"]) through(key);
    await world.clock.advance(10);
    expect([app("d").state.kind, app("e").state.kind]).toEqual(["awake", "awake"]);
    expect([...world.eventsOf("d"), ...world.eventsOf("e")]).toEqual([]);
  });

  test("sweep: the next one neither waits for those that wait, nor gives them a second turn", async () => {
    const { world, provider, through } = await crowd();
    const first = await world.core.sweeper.sweep();
    await world.clock.advance(60_000);
    const second = await world.core.sweeper.sweep();
    expect(second.entries).toHaveLength(5);
    for (const key of ["a", "b", "c", "d", "e"]) through(key);
    await Promise.all([first.done, second.done]);
    expect(provider.calls.filter((call) => call.startsWith("sleep"))).toHaveLength(5);
  });

  test("sweep: the end of the program ends those that wait, without a word to the platform", async () => {
    const { world, provider, kinds, through } = await crowd();
    const { done } = await world.core.sweeper.sweep();
    const closing = world.core.lifecycle.close();
    for (const key of ["a", "b", "c"]) through(key);
    await Promise.all([closing, done]);
    expect(provider.calls.filter((call) => call.startsWith("sleep"))).toEqual([]);
    expect([kinds()[3], kinds()[4], world.eventsOf("e")]).toEqual(["awake", "awake", []]);
    expect(world.clock.pending()).toBe(0);
  });
});
