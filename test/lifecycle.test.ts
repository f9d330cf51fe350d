import { describe, expect, test } from "bun:test";

import type { App } from "../src/app.ts";
import { targetOf } from "../src/app.ts";
import type { Cause } from "../src/events.ts";
import type { HookResult } from "../src/hooks.ts";
import type { Observation, Step } from "../src/providers/provider.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt, sampleApp, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

const CAUSE: Cause = { kind: "command", detail: "test" };
const ORDER = { cause: CAUSE, drainMs: 0, unusedSinceMs: null };
const ASLEEP: Observation = { phase: "asleep", target: null };
const AWAKE: Observation = { phase: "awake", target: sampleTarget("shop") };
const CRASHED: Observation = { phase: "failed", target: null, reason: "exited with status 1" };

function worldWith(state: App["state"], changes: Partial<App> = {}) {
  const world = createSmallWorld();
  return { world, app: world.add("shop", { state, ...changes }) };
}

describe("observation", () => {
  test("observation: what changed outside is taken over, stored, and told with what caused it", async () => {
    for (const [state, observation, event] of [
      [awakeAt("shop"), ASLEEP, "APP_STOPPED"],
      [{ kind: "asleep", sinceMs: 0 }, AWAKE, "APP_STARTED"],
      [awakeAt("shop"), CRASHED, "APP_CRASHED"],
      [awakeAt("elsewhere"), AWAKE, "APP_SWITCHED"],
    ] as const) {
      const { world, app } = worldWith(state);
      world.core.lifecycle.observe(app, { observation });
      expect(app.state.kind).toBe(observation.phase as App["state"]["kind"]);
      expect(world.eventsOf("shop")).toEqual([event]);
      expect(world.events[0]).toMatchObject({
        cause: { kind: "outside" },
        reason: observation.reason ?? "",
      });
      await world.clock.advance(0);
      expect((await world.registry.load()).records).toMatchObject([{ phase: observation.phase }]);
    }
  });

  test("observation: what was noticed, and where, is the cause", () => {
    for (const [listsDeclaredApps, observation, detail] of [
      [true, CRASHED, "noticed: its process ended"],
      [true, ASLEEP, "noticed: its process ended"],
      [false, CRASHED, "noticed on stub: it is not up any more"],
      [false, { ...AWAKE, target: sampleTarget("shop", 9) }, "noticed on stub: it is up"],
    ] as const) {
      const world = createSmallWorld({ provider: createStubProvider({ listsDeclaredApps }) });
      const app = world.add("shop", { state: awakeAt("shop") });
      world.core.lifecycle.observe(app, { observation });
      expect(world.events.map(({ cause }) => cause)).toEqual([{ kind: "outside", detail }]);
    }
  });

  test("observation: what is so already is neither stored nor told", async () => {
    for (const [state, observation] of [
      [awakeAt("shop"), AWAKE],
      [{ kind: "asleep", sinceMs: 0 }, ASLEEP],
      [{ kind: "failed", sinceMs: 0, why: "x", retryAtMs: 0 }, CRASHED],
    ] as const) {
      const { world, app } = worldWith(state);
      world.core.lifecycle.observe(app, { observation });
      expect(app.state).toBe(state);
      await world.clock.advance(0);
      expect([world.events, (await world.registry.load()).records]).toEqual([[], []]);
    }
  });

  test("observation: the first look after a start is no change", () => {
    for (const observation of [AWAKE, ASLEEP, CRASHED]) {
      const { world, app } = worldWith({ kind: "unknown", sinceMs: 0 });
      world.core.lifecycle.observe(app, { observation });
      expect(app.state.kind).toBe(observation.phase as App["state"]["kind"]);
      expect(world.events).toEqual([]);
    }
  });

  test("observation: words that say nothing for sure change nothing", () => {
    const phases = ["waking", "deploying", "unmanaged", "unknown"] as const;
    for (const phase of phases) {
      const { world, app } = worldWith(awakeAt("shop"));
      world.core.lifecycle.observe(app, { observation: { phase, target: null } });
      expect(app.state).toEqual(awakeAt("shop"));
    }
  });

  test("observation: an app that somebody else stops gets no more requests, but a wake", () => {
    const { world, app } = worldWith(awakeAt("shop"));
    world.core.lifecycle.observe(app, { observation: { phase: "stopping", target: null } });
    expect(app.state.kind).toBe("asleep");
  });

  test("observation: an app that is up at a place not told is where it was last", () => {
    const observation: Observation = { phase: "awake", target: null };
    const known = worldWith({ kind: "asleep", sinceMs: 0 }, { lastTarget: sampleTarget("shop") });
    known.world.core.lifecycle.observe(known.app, { observation });
    expect(known.app.state).toMatchObject({ kind: "awake", target: sampleTarget("shop") });
    const unknown = worldWith({ kind: "unknown", sinceMs: 0 });
    unknown.world.core.lifecycle.observe(unknown.app, { observation });
    expect(unknown.app.state.kind).toBe("unknown");
  });

  test("observation: a look that a change has overtaken is dropped, even one back and forth", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    const since = app.state;
    await world.core.lifecycle.sleep(app, ORDER);
    await world.core.lifecycle.wake(app, CAUSE);
    expect(app.state).toMatchObject({ kind: "awake" });
    world.core.lifecycle.observe(app, { observation: ASLEEP, since });
    expect(app.state.kind).toBe("awake");
  });

  test("observation: none interrupts what is under way", async () => {
    const { world, app } = worldWith({ kind: "asleep", sinceMs: 0 });
    world.answering = new Set();
    void world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(100);
    const { state } = app;
    for (const observation of [ASLEEP, CRASHED]) {
      world.core.lifecycle.observe(app, { observation, since: state });
    }
    world.core.lifecycle.observe(app, { observation: AWAKE });
    await world.clock.advance(100);
    expect(app.state).toBe(state);
    await world.core.lifecycle.close();
  });

  test("observation: a crash after a long life may be followed by a wake at once, after a short one not", async () => {
    for (const [livedMs, pauseMs] of [
      [10_000, 0],
      [9_999, 750],
    ] as const) {
      const { world, app } = worldWith({ kind: "asleep", sinceMs: 0 });
      await world.core.lifecycle.wake(app, CAUSE);
      await world.clock.advance(livedMs);
      world.provider.up.delete("shop");
      world.provider.report({ id: "shop", observation: CRASHED });
      expect(app.state).toMatchObject({ kind: "failed", retryAtMs: world.clock.now() + pauseMs });
      const admission = world.core.handler.admit(headFor("shop"));
      expect(admission.kind).toBe(pauseMs === 0 ? "held" : "answer");
    }
  });

  test("observation: pauses grow with each quick crash in a row", async () => {
    const { world, app } = worldWith({ kind: "asleep", sinceMs: 0 });
    const pauses: number[] = [];
    for (let n = 0; n < 4; n += 1) {
      await world.core.lifecycle.wake(app, CAUSE);
      await world.clock.advance(1000);
      world.provider.up.delete("shop");
      world.provider.report({ id: "shop", observation: CRASHED });
      if (app.state.kind === "failed") pauses.push(app.state.retryAtMs - world.clock.now());
    }
    expect(pauses).toEqual([750, 1500, 3000, 6000]);
  });

  test("observation: a failure keeps its reason, however often it is seen asleep", async () => {
    const { world, app } = worldWith({ kind: "asleep", sinceMs: 0 });
    world.provider.script.wake = async () => {
      throw new Error("no room");
    };
    await world.core.lifecycle.wake(app, CAUSE);
    world.core.lifecycle.observe(app, { observation: ASLEEP });
    expect(app.state).toMatchObject({ kind: "failed", why: "no room" });
    await world.clock.advance(1000);
    world.core.lifecycle.observe(app, { observation: ASLEEP });
    expect(app.state).toMatchObject({ kind: "failed", why: "no room" });
  });

  test("observation: that an address is listed does not say that it answers", async () => {
    const { world, app } = worldWith({ kind: "failed", sinceMs: 0, why: "refused", retryAtMs: 0 });
    app.sleepsByItself = true;
    world.core.lifecycle.observe(app, { observation: AWAKE });
    expect(app.state).toMatchObject({ kind: "failed", why: "refused" });
  });

  test("observation: an app that came up by itself starts with a fresh idle clock", async () => {
    const { world, app } = worldWith({ kind: "asleep", sinceMs: 0 });
    await world.clock.advance(3_600_000);
    world.provider.report({ id: "shop", observation: AWAKE });
    expect(app.idleSinceMs).toBe(world.clock.now());
    expect(app.lastTarget).toEqual(sampleTarget("shop"));
  });

  test("observation: a report about an app that nobody knows is passed over", () => {
    const world = createSmallWorld();
    world.provider.report({ id: "nobody", observation: AWAKE });
    expect(world.events).toEqual([]);
  });

  test("observation: a crash while it drains is not lost", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    world.core.activity.begin(app);
    void world.core.lifecycle.sleep(app, { ...ORDER, drainMs: 5000 });
    await world.clock.advance(1000);
    world.provider.report({ id: "shop", observation: CRASHED });
    world.core.activity.end(app);
    await world.clock.advance(1000);
    expect(app.state.kind).toBe("failed");
    expect(world.eventsOf("shop")).toEqual(["APP_CRASHED", "APP_STOP_CANCELLED"]);
  });

  test("observation: a crash after a stop that was called off is one after a long life", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    await world.clock.advance(3_600_000);
    world.provider.script.observe = async () => ({ phase: "deploying", target: null });
    await world.core.lifecycle.sleep(app, ORDER);
    world.provider.report({ id: "shop", observation: CRASHED });
    expect(app.state).toMatchObject({ kind: "failed", retryAtMs: world.clock.now() });
  });
});

describe("retire", () => {
  /** Takes `shop` out of the table, as reconciling does, and gives it up. */
  function retire(world: SmallWorld, app: App) {
    world.core.table.remove(app);
    return world.core.lifecycle.retire(app, CAUSE);
  }

  test("retire: an app that nobody uses is forgotten by provider and registry, and told so", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    await world.core.lifecycle.sleep(app, ORDER);
    await retire(world, app);
    expect(world.provider.calls.at(-1)).toBe("forget shop");
    expect((await world.registry.load()).records).toEqual([]);
    expect(world.eventsOf("shop").at(-1)).toBe("APP_UNREGISTERED");
  });

  test("retire: who still uses the app is not cut off", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    world.core.activity.begin(app);
    const retired = retire(world, app);
    await world.clock.advance(60_000);
    expect(world.provider.calls).toEqual([]);
    world.core.activity.end(app);
    await world.clock.advance(1000);
    await retired;
    expect(world.provider.calls).toEqual(["forget shop"]);
    expect(world.clock.pending()).toBe(0);
  });

  test("retire: a wake and a sleep under way end first", async () => {
    for (const kind of ["wake", "sleep"] as const) {
      const { world, app } = worldWith(
        kind === "wake" ? { kind: "asleep", sinceMs: 0 } : awakeAt("shop"),
      );
      const call = heldCall<Step>();
      world.provider.script[kind] = (_id: string, _snapshot: unknown, signal: AbortSignal) =>
        call.pass(signal);
      if (kind === "wake") void world.core.lifecycle.wake(app, CAUSE);
      else void world.core.lifecycle.sleep(app, ORDER);
      await world.clock.advance(10);
      const retired = retire(world, app);
      await world.clock.advance(2000);
      expect(world.provider.calls).not.toContain("forget shop");
      if (kind === "wake") world.provider.up.add("shop");
      else world.provider.up.delete("shop");
      call.open({ done: true, target: kind === "wake" ? sampleTarget("shop") : null });
      await world.clock.advance(2000);
      await retired;
      expect(world.provider.calls.at(-1)).toBe("forget shop");
    }
  });

  test("retire: an app that came back meanwhile belongs to its successor", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    world.core.activity.begin(app);
    const retired = retire(world, app);
    await world.clock.advance(1000);
    const successor = sampleApp("shop", { state: awakeAt("shop") });
    world.core.table.add(successor);
    world.core.activity.end(app);
    await world.clock.advance(1000);
    await retired;
    expect([world.provider.calls, world.events]).toEqual([[], []]);
  });

  test("retire: the record of an app that came back while it was being forgotten stays", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    await world.core.lifecycle.sleep(app, ORDER);
    const forgetting = heldCall<undefined>();
    world.provider.script.forget = () => forgetting.pass(new AbortController().signal);
    const retired = retire(world, app);
    await world.clock.advance(10);
    expect(forgetting.entered()).toBe(true);
    world.core.table.add(sampleApp("shop"));
    forgetting.open(undefined);
    await retired;
    expect((await world.registry.load()).records).toHaveLength(1);
    expect(world.eventsOf("shop")).not.toContain("APP_UNREGISTERED");
  });

  test("retire: a provider that cannot forget is said, and nothing is lost", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    await world.core.lifecycle.sleep(app, ORDER);
    world.provider.script.forget = async () => {
      throw new Error("it does not end");
    };
    await retire(world, app);
    expect(world.lines.filter(({ level }) => level === "error")).toMatchObject([
      { fields: { app: "shop", reason: "it does not end" } },
    ]);
    expect((await world.registry.load()).records).toHaveLength(1);
  });
});

describe("close", () => {
  const never = () => heldCall<never>();
  const asleep: App["state"] = { kind: "asleep", sinceMs: 0 };
  const wake = (world: SmallWorld, app: App) => world.core.lifecycle.wake(app, CAUSE);

  /** How to bring a wake to a halt at some point; all of them would wait there for good. */
  const wakes: Readonly<Record<string, (world: SmallWorld) => void>> = {
    "waits for another instance's claim": (world) => {
      void world.registry.claim({ provider: "stub", id: "shop" }, 0);
    },
    "runs its hook": (world) => {
      world.hooks.beforeStart = async ({ signal = new AbortController().signal }) =>
        heldCall<HookResult>()
          .pass(signal)
          .catch(() => ({ ok: false, why: "ended" }));
    },
    "has called the provider": (world) => {
      world.provider.script.wake = (_id, _snapshot, signal) => never().pass(signal);
    },
    "polls an operation": (world) => {
      const operation = { id: "op" };
      world.provider.script.wake = async () => ({ done: false, operation, pollAfterMs: 1000 });
      world.provider.script.poll = async () => ({ done: false, operation, pollAfterMs: 1000 });
    },
    "waits for the first answer": (world) => {
      world.answering = new Set();
    },
  };
  for (const watches of [true, false]) {
    for (const [moment, arrange] of Object.entries(wakes)) {
      test(`close: a wake that ${moment} ends at once (provider reports by itself: ${watches})`, async () => {
        const provider = createStubProvider({ watches, sleepAfterFailedWake: true });
        const world = createSmallWorld({ provider });
        const app = world.add("shop");
        arrange(world);
        const waking = wake(world, app);
        const admission = world.core.handler.admit(headFor("shop"));
        await world.clock.advance(2500);
        const startMs = world.clock.now();
        await world.core.lifecycle.close();
        expect(world.clock.now()).toBe(startMs);
        expect((await waking).kind).toBe("failed");
        if (admission.kind !== "held") throw new Error(`it was ${admission.kind}`);
        expect((await admission.decision).kind).toBe("answer");
        expect([world.clock.pending(), app.leases, world.core.gate.held()]).toEqual([0, 0, 0]);
        // What the program leaves behind is ended by its provider, or found by the next start.
        expect(world.provider.calls).not.toContain("sleep shop");
      });
    }
  }

  test("close: a target that is being looked at ends at once", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    world.provider.script.observe = (_id, signal) => never().pass(signal);
    world.core.lifecycle.targetIsDown(app, sampleTarget("shop"), CAUSE);
    await world.clock.advance(10);
    await world.core.lifecycle.close();
    expect(world.clock.pending()).toBe(0);
  });

  test("close: a before-stop hook that it ends is no veto", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    world.hooks.beforeStop = async ({ signal = new AbortController().signal }) =>
      heldCall<HookResult>()
        .pass(signal)
        .catch(() => ({ ok: false, why: "ended" }));
    const sleeping = world.core.lifecycle.sleep(app, ORDER);
    await world.clock.advance(10);
    await world.core.lifecycle.close();
    expect(await sleeping).toEqual({ kind: "kept", why: "Paastis is shutting down" });
    expect([world.events, app.state.kind]).toEqual([[], "awake"]);
  });

  test("close: a sleep that waits for the last lease is called off", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    world.core.activity.begin(app);
    const sleeping = world.core.lifecycle.sleep(app, { ...ORDER, drainMs: 600_000 });
    await world.clock.advance(100);
    const closed = world.core.lifecycle.close();
    await world.clock.advance(100);
    await closed;
    expect((await sleeping).kind).toBe("kept");
    expect(app.state.kind).toBe("awake");
    expect(world.clock.pending()).toBe(0);
  });

  test("close: a sleep that has not reached the platform yet does not begin its stop", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    const looking = heldCall<Observation>();
    world.provider.script.observe = (_id, signal) => looking.pass(signal);
    const sleeping = world.core.lifecycle.sleep(app, ORDER);
    await world.clock.advance(10);
    await world.core.lifecycle.close();
    expect(await sleeping).toEqual({ kind: "kept", why: "Paastis is shutting down" });
    expect(world.provider.calls).not.toContain("sleep shop");
    expect(world.clock.pending()).toBe(0);
  });

  test("close: a stop that has reached the platform is waited for, and stored", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    const stopping = heldCall<Step>();
    world.provider.script.sleep = (_id, _snapshot, signal) => stopping.pass(signal);
    const sleeping = world.core.lifecycle.sleep(app, ORDER);
    await world.clock.advance(10);
    let isClosed = false;
    const closed = world.core.lifecycle.close().then(() => {
      isClosed = true;
    });
    await world.clock.advance(1000);
    expect(isClosed).toBe(false);
    world.provider.up.delete("shop");
    stopping.open({ done: true, target: null });
    await closed;
    expect(await sleeping).toEqual({ kind: "asleep" });
    expect((await world.registry.load()).records).toMatchObject([{ phase: "asleep" }]);
    expect(world.clock.pending()).toBe(0);
  });

  test("close: a stop that the platform goes on with is left to it, without another look", async () => {
    const provider = createStubProvider({ watches: false, listsDeclaredApps: false });
    const world = createSmallWorld({ provider });
    const app = world.add("shop", { state: awakeAt("shop") });
    provider.script.sleep = async () => ({ done: true, target: null });
    const sleeping = world.core.lifecycle.sleep(app, ORDER);
    await world.clock.advance(10);
    provider.script.observe = (_id, signal) => never().pass(signal);
    const closedMs = world.clock.now();
    await world.core.lifecycle.close();
    expect(world.clock.now()).toBe(closedMs);
    expect(await sleeping).toEqual({ kind: "failed", why: "Paastis is shutting down" });
    expect((await world.registry.load()).records).toMatchObject([{ phase: "stopping" }]);
    expect([world.eventsOf("shop"), world.clock.pending()]).toEqual([["APP_STOPPING"], 0]);
  });

  test("close: a wake that waits for a stop settles, and the app is not woken", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    const stopping = heldCall<Step>();
    world.provider.script.sleep = (_id, _snapshot, signal) => stopping.pass(signal);
    void world.core.lifecycle.sleep(app, ORDER);
    await world.clock.advance(10);
    const waking = world.core.lifecycle.wake(app, CAUSE);
    const closed = world.core.lifecycle.close();
    world.provider.up.delete("shop");
    stopping.open({ done: true, target: null });
    await closed;
    expect(await waking).toMatchObject({ kind: "failed", why: "Paastis is shutting down" });
    expect(world.provider.calls).not.toContain("wake shop");
  });

  test("close: an app that waits to be given up is not given up", async () => {
    const { world, app } = worldWith(awakeAt("shop"));
    world.core.activity.begin(app);
    world.core.table.remove(app);
    void world.core.lifecycle.retire(app, CAUSE);
    await world.clock.advance(1000);
    await world.core.lifecycle.close();
    expect([world.provider.calls, world.clock.pending()]).toEqual([[], 0]);
  });

  test("close: afterwards nothing begins any more, and whoever asks is told", async () => {
    const { world, app } = worldWith(asleep);
    await world.core.lifecycle.close();
    for (let n = 0; n < 2; n += 1) {
      expect(await world.core.lifecycle.wake(app, CAUSE)).toMatchObject({
        kind: "failed",
        why: "Paastis is shutting down",
      });
      expect(world.core.lifecycle.wakeAskedMs(app)).toBeNull();
    }
    world.core.lifecycle.observe(app, { observation: AWAKE });
    expect((await world.core.lifecycle.sleep(app, ORDER)).kind).toBe("kept");
    world.core.lifecycle.targetIsDown(app, targetOf("http://shop.test:8080"), CAUSE);
    await world.clock.advance(1000);
    expect([world.provider.calls, world.clock.pending()]).toEqual([[], 0]);
  });
});
