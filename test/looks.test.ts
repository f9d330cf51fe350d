import { describe, expect, test } from "bun:test";

import type { App, AppState } from "../src/app.ts";
import { chooseLooks, FAILED_LOOK_PAUSE_MS, KNOWN_FOR_MS, type Looked } from "../src/looks.ts";
import type { Listing, Observation } from "../src/providers/provider.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt, SAMPLE_START_MS, sampleApp, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

const CAUSE = { kind: "sweep", detail: "sweep" } as const;
const MINUTE_MS = 60_000;
const NOW_MS = SAMPLE_START_MS + 10 * KNOWN_FOR_MS;

/** A platform whose list says nothing about states, with so many apps, all asleep. */
function statelessWorld(count: number) {
  const provider = createStubProvider({ listsDeclaredApps: false, listHasState: false });
  const looked: string[] = [];
  const look = (id: string): Observation => {
    looked.push(id);
    const isUp = provider.up.has(id);
    return { phase: isUp ? "awake" : "asleep", target: isUp ? sampleTarget(id) : null };
  };
  provider.script.observe = async (id) => look(id);
  for (let n = 0; n < count; n += 1) provider.ids.add(`app${n}`);
  provider.script.list = async () => [...provider.ids].map(listingOf);
  const world = createSmallWorld({ provider });
  return {
    ...world,
    looked,
    look,
    /** One run, and all that follows from it; then the rest of a minute. */
    async sweep() {
      await world.core.reconciler.run(CAUSE);
      await world.clock.advance(MINUTE_MS);
    },
    stateOf: (key: string) => world.core.table.byKey(key)?.state.kind,
  };
}

function listingOf(id: string): Listing {
  return { id, key: id, observation: null, sleepsByItself: false };
}

function chosen(
  candidates: readonly { app: App; looked?: Partial<Looked> }[],
  listHasState = false,
): string[] {
  const all = candidates.map(({ app, looked }) => ({ app, triedMs: null, seen: null, ...looked }));
  return chooseLooks(all, { nowMs: NOW_MS, listHasState }).map(({ key }) => key);
}

const unknownApp = (key = "shop") =>
  sampleApp(key, { state: { kind: "unknown", sinceMs: SAMPLE_START_MS } });

describe("looks: whose turn it is", () => {
  const ago = (ms: number) => NOW_MS - ms;
  const waking: AppState = { kind: "waking", sinceMs: SAMPLE_START_MS, fence: 1 };
  const fresh = sampleApp("shop", { state: awakeAt("shop", ago(MINUTE_MS)) });
  const seen = (phase: Observation["phase"], beforeMs: number) => ({
    triedMs: ago(beforeMs),
    seen: { atMs: ago(beforeMs), phase },
  });
  test.each<[string, App, Partial<Looked>, boolean]>([
    ["nobody knows how it is", unknownApp(), {}, true],
    ["it wakes", sampleApp("shop", { state: waking }), {}, false],
    ["it changed a minute ago", fresh, {}, false],
    ["it slept for hours, and nobody looked", sampleApp(), {}, true],
    ["it slept for hours, and was looked at", sampleApp(), seen("asleep", MINUTE_MS), false],
    ["that look is an hour old", sampleApp(), seen("asleep", KNOWN_FOR_MS + 1), true],
    ["it has nothing to put to sleep", unknownApp(), seen("unmanaged", MINUTE_MS), false],
    ["it is blocked", unknownApp(), seen("blocked", MINUTE_MS), false],
    ["it was being deployed", fresh, seen("deploying", MINUTE_MS), true],
    ["a look has just failed", unknownApp(), { triedMs: ago(MINUTE_MS) }, false],
    ["one failed a while ago", unknownApp(), { triedMs: ago(FAILED_LOOK_PAUSE_MS) }, true],
    ["a look at one that is known failed", sampleApp(), { triedMs: ago(10 * MINUTE_MS) }, false],
  ])("looks: %s", (_, app, looked, isItsTurn) => {
    expect(chosen([{ app, looked }])).toEqual(isItsTurn ? ["shop"] : []);
  });

  test("looks: at most 20 that nobody knows, and 5 that were known, oldest first", () => {
    const unknown = Array.from({ length: 30 }, (_, n) => ({ app: unknownApp(`new${n}`) }));
    const known = Array.from({ length: 10 }, (_, n) => ({
      app: sampleApp(`old${n}`, { state: { kind: "asleep", sinceMs: SAMPLE_START_MS - n } }),
    }));
    const keys = chosen([...known, ...unknown]);
    expect(keys).toHaveLength(25);
    expect(keys.slice(20)).toEqual(["old9", "old8", "old7", "old6", "old5"]);
  });

  test("looks: where lists say how apps are, who was left out is looked at every time", () => {
    const app = sampleApp("shop", { state: awakeAt("shop", NOW_MS) });
    expect(
      chosen([{ app, looked: { triedMs: NOW_MS, seen: { atMs: NOW_MS, phase: "awake" } } }], true),
    ).toEqual(["shop"]);
  });
});

describe("looks: rounds", () => {
  test("looks: 300 apps are all known after 15 sweeps, and cost nothing for the rest of the hour", async () => {
    const world = statelessWorld(300);
    for (let sweep = 0; sweep < 15; sweep += 1) await world.sweep();
    expect(new Set(world.looked).size).toBe(300);
    expect(world.looked).toHaveLength(300);
    expect(world.stateOf("app299")).toBe("asleep");
    for (let sweep = 0; sweep < 44; sweep += 1) await world.sweep();
    expect(world.looked).toHaveLength(300);
    // Then five a minute, so that each is an hour old at most when its turn comes.
    for (let sweep = 0; sweep < 60; sweep += 1) await world.sweep();
    expect(world.looked.length).toBeLessThanOrEqual(600);
    expect(world.looked.length).toBeGreaterThan(550);
  });

  test("looks: no more than three go on at a time, and nobody waits for them", async () => {
    const world = statelessWorld(10);
    const held = heldCall<Observation>();
    let entered = 0;
    world.provider.script.observe = (_, signal) => {
      entered += 1;
      return held.pass(signal);
    };
    await world.core.reconciler.run(CAUSE);
    expect(entered).toBe(3);
    expect(world.core.table.all()).toHaveLength(10);
    // A second run begins no second round.
    await world.core.reconciler.run(CAUSE);
    expect(entered).toBe(3);
    held.open({ phase: "asleep", target: null });
    await world.clock.advance(0);
    expect(entered).toBe(10);
    expect(world.clock.pending()).toBe(0);
  });

  test("looks: a request does not wait for its app's turn", async () => {
    const world = statelessWorld(30);
    world.provider.script.observe = async (id, signal) =>
      id === "app29" ? world.look(id) : heldCall<Observation>().pass(signal);
    await world.core.reconciler.run(CAUSE);
    expect(world.core.handler.admit(headFor("app29")).kind).toBe("held");
    await world.clock.advance(100);
    expect(world.stateOf("app29")).toBe("awake");
    expect(world.provider.calls).toEqual(["wake app29"]);
  });

  test("looks: a look that a wake has overtaken changes nothing", async () => {
    const world = statelessWorld(1);
    const held = heldCall<Observation>();
    world.provider.script.observe = (_, signal) => held.pass(signal);
    await world.core.reconciler.run(CAUSE);
    delete world.provider.script.observe;
    world.core.handler.admit(headFor("app0"));
    await world.clock.advance(100);
    held.open({ phase: "asleep", target: null });
    await world.clock.advance(100);
    expect(world.stateOf("app0")).toBe("awake");
  });

  test("looks: when the platform refuses them all, one round ends with the first, and it is said once", async () => {
    const world = statelessWorld(30);
    let calls = 0;
    world.provider.script.observe = async () => {
      calls += 1;
      throw new ProviderError("rate-limited", `429, request ${calls}0, try again in ${calls} s`);
    };
    for (let sweep = 0; sweep < 4; sweep += 1) await world.sweep();
    // Three were under way as the first came back.
    expect(calls).toBe(12);
    expect(world.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
    expect(world.core.reconciler.troubleOf("stub")).toBeNull();
  });

  test("looks: one app that cannot be looked at keeps nobody else from it, and is left alone a while", async () => {
    const world = statelessWorld(10);
    let refused = 0;
    world.provider.script.observe = async (id) => {
      if (id !== "app3") return world.look(id);
      refused += 1;
      throw new ProviderError("forbidden", "403: not yours");
    };
    for (let sweep = 0; sweep < 11; sweep += 1) await world.sweep();
    expect(new Set(world.looked).size).toBe(9);
    expect(refused).toBe(3);
    expect(world.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
  });

  test("looks: a look that hangs is given up", async () => {
    const world = statelessWorld(1);
    world.provider.script.observe = (_, signal) => heldCall<Observation>().pass(signal);
    await world.sweep();
    expect(world.stateOf("app0")).toBe("unknown");
    expect(world.clock.pending()).toBe(0);
  });

  test("looks: closing ends them, without a word", async () => {
    const world = statelessWorld(5);
    world.provider.script.observe = (_, signal) => heldCall<Observation>().pass(signal);
    await world.core.reconciler.run(CAUSE);
    world.core.reconciler.close();
    await world.clock.advance(0);
    expect(world.clock.pending()).toBe(0);
    expect(world.lines.map(({ message }) => message)).toEqual(["found 5 apps on stub"]);
  });

  test("looks: an app that is idle by our books is looked at before it is put to sleep, and only then", async () => {
    const world = statelessWorld(1);
    world.provider.up.add("app0");
    await world.sweep();
    expect(world.stateOf("app0")).toBe("awake");
    world.looked.length = 0;
    for (let sweep = 0; sweep < 2; sweep += 1) {
      await world.core.sweeper.sweep();
      await world.clock.advance(MINUTE_MS);
    }
    expect(world.stateOf("app0")).toBe("asleep");
    // Before the stop, and until it was really asleep.
    expect(world.looked).toEqual(["app0", "app0"]);
  });
});
