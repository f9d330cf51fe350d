import { describe, expect, test } from "bun:test";

import { targetOf } from "../src/app.ts";
import { sleep } from "../src/clock.ts";
import type { Cause } from "../src/events.ts";
import type { ProbeResult } from "../src/health.ts";
import type { HookResult } from "../src/hooks.ts";
import type { Observation, Phase, Step } from "../src/providers/provider.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { createMemoryRegistry } from "../src/registry/memory.ts";
import type { Registry } from "../src/registry/registry.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const CAUSE: Cause = { kind: "command", detail: "wake it" };
const UP: Step = { done: true, target: sampleTarget("shop") };
const WAKE_TIMEOUT_MS = 20_000;

/** A provider that stops again what did not come up. */
const tidying = () => createStubProvider({ sleepAfterFailedWake: true });

/** A store that is away while `isDown` says so. */
function failingRegistry(isDown: () => boolean): Registry {
  const registry = createMemoryRegistry();
  async function unlessDown<T>(work: () => Promise<T>): Promise<T> {
    if (isDown()) throw new Error("the store is away");
    return work();
  }
  return {
    ...registry,
    save: (record) => unlessDown(() => registry.save(record)),
    remove: (ref) => unlessDown(() => registry.remove(ref)),
    async claim(ref, known) {
      const claim = await unlessDown(() => registry.claim(ref, known));
      return claim && { ...claim, release: () => unlessDown(() => claim.release()) };
    },
  };
}

describe("wake", () => {
  test("wake: a platform's words stay private, even when the time is up before they were heard", async () => {
    const clock = createVirtualClock();
    const world = createSmallWorld({
      provider: createStubProvider({ listsDeclaredApps: false }),
      deps: {
        clock,
        probe: async ({ signal }) => {
          // It takes its time to end.
          await sleep(clock, WAKE_TIMEOUT_MS + 500);
          signal.throwIfAborted();
          return { healthy: false, saw: "nothing" };
        },
      },
    });
    const app = world.add("shop");
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await clock.advance(WAKE_TIMEOUT_MS - 10);
    const reason = "invoice 4711 is not paid";
    world.provider.report({ id: "shop", observation: { phase: "failed", target: null, reason } });
    await clock.advance(2000);
    const outcome = await waking;
    if (outcome.kind !== "failed") throw new Error("it came up");
    expect(outcome.publicWhy).not.toContain("invoice");
  });

  test("wake: hook, call, answer, in that order, and then everybody knows", async () => {
    const world = createSmallWorld();
    const { clock, provider, core, registry } = world;
    const app = world.add("shop");
    const order: string[] = [];
    world.hooks.beforeStart = async () => {
      order.push("hook");
      return { ok: true };
    };
    provider.script.wake = async (id) => {
      order.push("call");
      clock.after(300, () => provider.up.add(id));
      return { done: true, target: sampleTarget(id) };
    };
    const waking = core.lifecycle.wake(app, CAUSE);
    await clock.advance(1000);
    expect(await waking).toEqual({ kind: "awake", target: sampleTarget("shop") });
    expect(order).toEqual(["hook", "call"]);
    expect(world.eventsOf("shop")).toEqual(["APP_WAKING", "APP_STARTED"]);
    expect(world.events.at(-1)).toMatchObject({
      cause: CAUSE,
      details: { durationMs: 300, target: "http://shop.test:8080" },
    });
    expect(world.hooksRun.map(({ name, call }) => [name, call.upstream])).toEqual([
      ["beforeStart", ""],
      ["afterStart", "http://shop.test:8080"],
    ]);
    expect(app.wakeHistoryMs).toEqual([300]);
    const { records } = await registry.load();
    expect(records).toMatchObject([{ phase: "awake", target: sampleTarget("shop") }]);
    expect(clock.pending()).toBe(0);
    // Nobody holds the claim any more.
    expect((await registry.claim(app.ref, 0))?.fence).toBeGreaterThan(app.fence);
  });

  test("wake: a hundred that ask at once cause one call and one event", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    const asked = Array.from({ length: 100 }, () => world.core.lifecycle.wake(app, CAUSE));
    expect(world.core.lifecycle.wakeAskedMs(app)).toBe(world.clock.now());
    await world.clock.advance(10);
    for (const outcome of await Promise.all(asked)) expect(outcome.kind).toBe("awake");
    expect(world.provider.calls).toEqual(["wake shop"]);
    expect(world.eventsOf("shop")).toEqual(["APP_WAKING", "APP_STARTED"]);
    expect(world.core.lifecycle.wakeAskedMs(app)).toBeNull();
  });

  test("wake: an app that is awake is left alone", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    expect((await world.core.lifecycle.wake(app, CAUSE)).kind).toBe("awake");
    expect([world.provider.calls, world.events]).toEqual([[], []]);
  });

  test("wake: only so many past wakes are remembered", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { wakeHistoryMs: Array.from({ length: 20 }, (_, n) => n) });
    await world.core.lifecycle.wake(app, CAUSE);
    expect(app.wakeHistoryMs).toHaveLength(20);
    expect(app.wakeHistoryMs[0]).toBe(1);
  });

  test("wake: the snapshot that was stored is what the provider gets", async () => {
    const world = createSmallWorld();
    const snapshot = { kind: "members", ids: ["m1", "m2"], mode: "stop" } as const;
    const app = world.add("shop", { snapshot });
    let got: unknown;
    world.provider.script.wake = async (id, given) => {
      got = given;
      world.provider.up.add(id);
      return UP;
    };
    await world.core.lifecycle.wake(app, CAUSE);
    expect(got).toEqual(snapshot);
  });

  test("wake: an operation is polled until it is done", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    const operation = { id: "op-1" };
    world.provider.script.wake = async () => ({ done: false, operation, pollAfterMs: 1000 });
    const doneMs = world.clock.now() + 3000;
    world.provider.script.poll = async (id) => {
      if (world.clock.now() < doneMs) return { done: false, operation, pollAfterMs: 1000 };
      world.provider.up.add(id);
      return UP;
    };
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(10_000);
    expect((await waking).kind).toBe("awake");
    expect(world.provider.calls).toEqual(["wake shop", "poll shop", "poll shop", "poll shop"]);
  });

  test("wake: where it answers is looked up, or taken from last time, when the call does not say", async () => {
    for (const lookSays of [sampleTarget("shop"), null]) {
      const world = createSmallWorld();
      const app = world.add("shop", { lastTarget: sampleTarget("shop", 9000) });
      world.provider.script.wake = async (id) => {
        world.provider.up.add(id);
        return { done: true, target: null };
      };
      world.provider.script.observe = async () => ({ phase: "awake", target: lookSays });
      const target = lookSays ?? sampleTarget("shop", 9000);
      expect(await world.core.lifecycle.wake(app, CAUSE)).toEqual({ kind: "awake", target });
    }
  });

  test("wake: it fails when nobody says where the app answers", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    world.provider.script.wake = async () => ({ done: true, target: null });
    const outcome = await world.core.lifecycle.wake(app, CAUSE);
    expect(outcome).toMatchObject({ kind: "failed", why: expect.stringContaining("where") });
  });

  test("wake: a store that is away does not stop it", async () => {
    let isDown = true;
    const world = createSmallWorld({ registry: failingRegistry(() => isDown) });
    const app = world.add("shop");
    for (const fence of [1, 2]) {
      expect((await world.core.lifecycle.wake(app, CAUSE)).kind).toBe("awake");
      expect(app.fence).toBe(fence);
      world.provider.report({ id: "shop", observation: { phase: "asleep", target: null } });
    }
    isDown = false;
    expect((await world.core.lifecycle.wake(app, CAUSE)).kind).toBe("awake");
    await world.clock.advance(0);
    expect((await world.registry.load()).records).toMatchObject([{ phase: "awake" }]);
  });

  test("wake: while another instance changes the app it waits, and then wakes it", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    const claim = await world.registry.claim(app.ref, 0);
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(5000);
    expect(world.provider.calls).toEqual([]);
    await claim?.release();
    await world.clock.advance(1000);
    expect((await waking).kind).toBe("awake");
    expect(app.fence).toBe((claim?.fence ?? 0) + 1);
  });
});

describe("failed wake", () => {
  test("failed wake: the reason and the time of the next try are kept, and told", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    world.provider.script.wake = async () => {
      throw new ProviderError("failed", "503 from the platform");
    };
    const outcome = await world.core.lifecycle.wake(app, CAUSE);
    const retryAtMs = world.clock.now() + 750;
    expect(outcome).toMatchObject({ kind: "failed", why: "503 from the platform", retryAtMs });
    expect(app.state).toMatchObject({ kind: "failed", why: "503 from the platform", retryAtMs });
    expect(world.eventsOf("shop")).toEqual(["APP_WAKING", "APP_START_FAILED"]);
    expect(world.events.at(-1)?.reason).toBe("503 from the platform");
    expect((await world.registry.load()).records).toMatchObject([{ phase: "failed" }]);
    expect(await world.registry.claim(app.ref, 0)).not.toBeNull();
    expect(world.clock.pending()).toBe(0);
  });

  test("failed wake: pauses double up to a minute, and chance takes at most half of them", async () => {
    for (const [random, factor] of [
      [0, 0.5],
      [0.999_999_9, 1],
    ] as const) {
      const world = createSmallWorld({ random: () => random });
      const app = world.add("shop");
      world.provider.script.wake = async () => {
        throw new Error("no");
      };
      const pauses: number[] = [];
      for (let n = 0; n < 8; n += 1) {
        const outcome = await world.core.lifecycle.wake(app, CAUSE);
        if (outcome.kind === "failed") pauses.push(outcome.retryAtMs - world.clock.now());
      }
      const whole = [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000];
      expect(pauses).toEqual(whole.map((pause) => pause * factor));
    }
  });

  test("failed wake: the platform's own wish to be left alone counts where it is longer", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    for (const [retryAfterMs, pauseMs] of [
      [300_000, 300_000],
      [1, 1500],
    ] as const) {
      world.provider.script.wake = async () => {
        throw new ProviderError("failed", "429", { retryAfterMs });
      };
      const outcome = await world.core.lifecycle.wake(app, CAUSE);
      expect(outcome).toMatchObject({ retryAtMs: world.clock.now() + pauseMs });
    }
  });

  /** Fails the next wakes of `shop`, and says how long the pause after the last of them is. */
  async function pauseAfter(world: ReturnType<typeof createSmallWorld>, wakes: number) {
    const app = world.core.table.byKey("shop");
    if (app === null) throw new Error("shop is lost");
    world.provider.script.wake = async () => {
      throw new Error("no");
    };
    let pauseMs = 0;
    for (let n = 0; n < wakes; n += 1) {
      const outcome = await world.core.lifecycle.wake(app, CAUSE);
      if (outcome.kind === "failed") pauseMs = outcome.retryAtMs - world.clock.now();
    }
    delete world.provider.script.wake;
    return pauseMs;
  }

  test("failed wake: after a sleep of ours pauses begin anew", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    expect(await pauseAfter(world, 4)).toBe(6000);
    await world.core.lifecycle.wake(app, CAUSE);
    const order = { cause: CAUSE, drainMs: 0, unusedSinceMs: null };
    expect(await world.core.lifecycle.sleep(app, order)).toEqual({ kind: "asleep" });
    expect(await pauseAfter(world, 1)).toBe(750);
  });

  test("failed wake: after a long life that somebody else ended pauses begin anew", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    await pauseAfter(world, 6);
    await world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(3_600_000);
    world.provider.up.delete("shop");
    world.provider.report({ id: "shop", observation: { phase: "asleep", target: null } });
    expect(await pauseAfter(world, 1)).toBe(750);
  });

  test("failed wake: after a long life that ended unnoticed pauses begin anew", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    await pauseAfter(world, 6);
    await world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(3_600_000);
    world.provider.up.delete("shop");
    world.provider.script.wake = async () => {
      throw new Error("no");
    };
    world.core.lifecycle.targetIsDown(app, sampleTarget("shop"), CAUSE);
    await world.clock.advance(0);
    expect(app.state).toMatchObject({ kind: "failed", retryAtMs: world.clock.now() + 750 });
  });

  test("failed wake: a short life does not make pauses begin anew", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    expect(await pauseAfter(world, 2)).toBe(1500);
    await world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(9_000);
    world.provider.up.delete("shop");
    world.provider.report({ id: "shop", observation: { phase: "failed", target: null } });
    expect(app.state).toMatchObject({ kind: "failed", retryAtMs: world.clock.now() + 3000 });
  });

  test("failed wake: an app that never answers is given up in time, with what was seen last", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    world.answering = new Set();
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(WAKE_TIMEOUT_MS - 1);
    expect(app.state.kind).toBe("waking");
    await world.clock.advance(2);
    expect(await waking).toMatchObject({
      why: "it did not answer within 20 s; last probe: http://shop.test:8080: connection refused",
    });
    expect(world.clock.pending()).toBe(0);
  });

  test("failed wake: a call that hangs is given up in time; an app's own time limit counts", async () => {
    const world = createSmallWorld();
    world.policies.set("shop", { wakeTimeoutMs: 3000 });
    const app = world.add("shop");
    world.provider.script.wake = (_id, _snapshot, signal) => heldCall<Step>().pass(signal);
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(3000);
    expect(await waking).toMatchObject({ kind: "failed", why: "it did not answer within 3 s" });
  });

  test("failed wake: a failing before-start hook fails it, before any call", async () => {
    const world = createSmallWorld({ provider: tidying() });
    const app = world.add("shop");
    world.hooks.beforeStart = async () => ({ ok: false, why: "it ended with status 3" });
    expect(await world.core.lifecycle.wake(app, CAUSE)).toMatchObject({
      kind: "failed",
      why: "the before-start hook failed: it ended with status 3",
    });
    expect(world.provider.calls).toEqual([]);
    expect(world.eventsOf("shop")).toEqual(["APP_WAKING", "APP_START_FAILED"]);
    delete world.hooks.beforeStart;
    expect((await world.core.lifecycle.wake(app, CAUSE)).kind).toBe("awake");
  });

  test("failed wake: a hook that hangs is told to end when the time is over", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    const hook = heldCall<HookResult>();
    world.hooks.beforeStart = async ({ signal }) => {
      if (signal === undefined) throw new Error("no signal");
      return hook.pass(signal).catch(() => ({ ok: false, why: "ended" }) as const);
    };
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(WAKE_TIMEOUT_MS);
    expect((await waking).kind).toBe("failed");
    expect(world.provider.calls).toEqual([]);
  });

  test("failed wake: while another instance changes the app it calls nothing, not even to tidy up", async () => {
    const world = createSmallWorld({ provider: tidying() });
    const app = world.add("shop");
    const claim = await world.registry.claim(app.ref, 0);
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(WAKE_TIMEOUT_MS);
    expect((await waking).kind).toBe("failed");
    expect(world.provider.calls).toEqual([]);
    // And the other's claim is untouched.
    expect(await world.registry.claim(app.ref, 0)).toBeNull();
    await claim?.release();
  });

  test("failed wake: what is half started is stopped where the provider wants that", async () => {
    for (const provider of [tidying(), createStubProvider()]) {
      const world = createSmallWorld({ provider });
      const app = world.add("shop");
      world.answering = new Set();
      const waking = world.core.lifecycle.wake(app, CAUSE);
      await world.clock.advance(WAKE_TIMEOUT_MS);
      expect((await waking).kind).toBe("failed");
      const { sleepAfterFailedWake } = provider.capabilities;
      expect(provider.calls).toEqual([
        "wake shop",
        ...(sleepAfterFailedWake ? ["sleep shop"] : []),
      ]);
    }
  });

  test("failed wake: tidying up that fails or hangs is no second failure", async () => {
    const endings = [
      async (): Promise<Step> => {
        throw new Error("502");
      },
      (_id: string, _snapshot: unknown, signal: AbortSignal) => heldCall<Step>().pass(signal),
    ];
    for (const sleep of endings) {
      const world = createSmallWorld({ provider: tidying() });
      const app = world.add("shop");
      world.provider.script.wake = async () => {
        throw new Error("no room");
      };
      world.provider.script.sleep = sleep;
      const waking = world.core.lifecycle.wake(app, CAUSE);
      await world.clock.advance(10_000);
      expect(await waking).toMatchObject({ kind: "failed", why: "no room" });
      expect(world.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
      expect(world.clock.pending()).toBe(0);
    }
  });

  test("failed wake: a crash that the provider reports ends it at once", async () => {
    const world = createSmallWorld();
    const app = world.add("shop");
    world.answering = new Set();
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(500);
    const observation = { phase: "failed", target: null, reason: "exited with status 1" } as const;
    world.provider.report({ id: "shop", observation });
    expect(await waking).toMatchObject({ kind: "failed", why: "exited with status 1" });
    expect(world.clock.pending()).toBe(0);
  });

  test("failed wake: a provider that reports nothing is asked now and then", async () => {
    const world = createSmallWorld({ provider: createStubProvider({ watches: false }) });
    const app = world.add("shop");
    world.answering = new Set();
    const waking = world.core.lifecycle.wake(app, CAUSE);
    world.provider.script.observe = async () => ({
      phase: "failed",
      target: null,
      reason: "out of memory",
    });
    await world.clock.advance(5000);
    expect(await waking).toMatchObject({ kind: "failed", why: "out of memory" });
    expect(world.clock.pending()).toBe(0);
  });
});

describe("a target that is down", () => {
  const target = sampleTarget("shop");
  const seen = (phase: Phase, where = target): Observation => ({ phase, target: where });

  test("target down: an app that is up after all is waited for, and not called", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    world.answering = new Set();
    world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(100);
    expect(app.state.kind).toBe("waking");
    world.answering = null;
    await world.clock.advance(100);
    expect(app.state).toMatchObject({ kind: "awake", target });
    expect([world.provider.calls, world.events]).toEqual([[], []]);
    expect(world.clock.pending()).toBe(0);
  });

  test("target down: an app that is down is woken, once, however many say so", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    world.provider.up.delete("shop");
    for (let n = 0; n < 50; n += 1) world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(10);
    expect(app.state.kind).toBe("awake");
    expect(world.provider.calls).toEqual(["wake shop"]);
  });

  test("target down: an app that has moved on is left alone", async () => {
    const states = [
      awakeAt("elsewhere"),
      { kind: "asleep", sinceMs: 0 },
      { kind: "failed", sinceMs: 0, why: "exited", retryAtMs: 0 },
    ] as const;
    for (const state of states) {
      const world = createSmallWorld();
      const app = world.add("shop", { state });
      world.core.lifecycle.targetIsDown(app, target, CAUSE);
      await world.clock.advance(10);
      expect([app.state, world.provider.calls]).toEqual([state, []]);
    }
  });

  test("target down: an app that the platform blocks is not called, and fails with the reason", async () => {
    const world = createSmallWorld({ provider: tidying() });
    const app = world.add("shop", { state: awakeAt("shop") });
    world.provider.script.observe = async () => ({ ...seen("blocked"), reason: "unpaid bill" });
    world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(10);
    expect(app.state).toMatchObject({ kind: "failed", why: "the platform blocks it: unpaid bill" });
    expect(world.provider.calls).toEqual([]);
  });

  test("target down: an app under deployment is waited for, never called, never stopped", async () => {
    for (const comesUp of [true, false]) {
      const world = createSmallWorld({ provider: tidying() });
      const app = world.add("shop", { state: awakeAt("shop") });
      world.provider.script.observe = async () => seen("deploying");
      world.answering = new Set();
      world.core.lifecycle.targetIsDown(app, target, CAUSE);
      await world.clock.advance(5000);
      if (comesUp) world.answering = null;
      await world.clock.advance(WAKE_TIMEOUT_MS);
      expect(app.state.kind).toBe(comesUp ? "awake" : "failed");
      expect(world.provider.calls).toEqual([]);
    }
  });

  test("target down: an app that is up but mute is stopped in the end, so that it can be woken", async () => {
    const world = createSmallWorld({ provider: tidying() });
    const app = world.add("shop", { state: awakeAt("shop") });
    world.answering = new Set();
    world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(WAKE_TIMEOUT_MS);
    expect(app.state.kind).toBe("failed");
    expect(world.provider.calls).toEqual(["sleep shop"]);
  });

  test("target down: a platform that cannot be asked is called all the same", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    world.provider.script.observe = async () => {
      throw new ProviderError("network", "no route");
    };
    world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(10);
    expect(app.state.kind).toBe("awake");
    expect(world.provider.calls).toEqual(["wake shop"]);
  });

  test("target down: a crash that is reported while we wait for the answer leads to a wake", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    world.answering = new Set();
    world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(500);
    world.provider.up.delete("shop");
    world.provider.report({ id: "shop", observation: { phase: "failed", target: null } });
    world.answering = null;
    await world.clock.advance(500);
    expect(app.state.kind).toBe("awake");
    expect(world.provider.calls).toEqual(["wake shop"]);
  });

  test("target down: an app that has moved is found at its new place", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    const next = targetOf("http://shop.test:9999");
    world.provider.script.observe = async () => seen("awake", next);
    world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(10);
    expect(app.state).toMatchObject({ kind: "awake", target: next });
    expect(world.provider.calls).toEqual([]);
  });
});

describe("a wake that the end of the program cuts short", () => {
  async function phaseAfterClose(
    arrange: (world: SmallWorld) => void,
  ): Promise<string | undefined> {
    const world = createSmallWorld();
    const app = world.add("shop");
    arrange(world);
    void world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(10);
    await world.core.lifecycle.close();
    return (await world.registry.load()).records[0]?.phase;
  }

  test("cut short: what the platform was asked for is remembered as a wake, for the next run", async () => {
    const phase = await phaseAfterClose(({ provider }) => {
      provider.script.wake = (_id, _snapshot, signal) => heldCall<Step>().pass(signal);
    });
    expect(phase).toBe("waking");
  });

  test("cut short: one that the platform has not heard of is remembered as failed", async () => {
    const phase = await phaseAfterClose(({ hooks }) => {
      hooks.beforeStart = async ({ signal = new AbortController().signal }) =>
        heldCall<HookResult>()
          .pass(signal)
          .catch(() => ({ ok: false, why: "ended" }));
    });
    expect(phase).toBe("failed");
  });
});

describe("an app that comes up without us", () => {
  const target = sampleTarget("shop");

  /** An app that its own platform wakes, as far as anybody knows it is up, and its target as told. */
  function byItself(probe: (sinceMs: number) => ProbeResult, sleepsByItself = true) {
    const fromMs = createVirtualClock().now();
    const world = createSmallWorld({
      deps: {
        async probe({ signal }) {
          signal.throwIfAborted();
          return probe(world.clock.now() - fromMs);
        },
      },
    });
    const app = world.add("shop", { state: awakeAt("shop"), sleepsByItself });
    const observation: Observation = { phase: "awake", target };
    const listing = { id: "shop", key: "shop", observation, sleepsByItself };
    world.provider.script.list = async () => [listing];
    return { world, app };
  }
  const UP_NOW: ProbeResult = { healthy: true, saw: "status 200 from /" };
  const REFUSED: ProbeResult = { healthy: false, saw: "connection refused", isUnreachable: true };
  const SILENT: ProbeResult = { healthy: false, saw: "the platform's own page" };

  test("without us: who had to wait for it is told of a wake, and how long it took", async () => {
    const { world, app } = byItself((sinceMs) => (sinceMs < 4000 ? SILENT : UP_NOW));
    world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(5000);
    expect(app.state.kind).toBe("awake");
    expect(world.eventsOf("shop")).toEqual(["APP_WAKING", "APP_STARTED"]);
    expect(world.events.at(-1)?.details).toEqual({
      durationMs: 3000,
      target: "http://shop.test:8080",
    });
    expect(app.wakeHistoryMs).toEqual([3000]);
    // We started nothing.
    expect([world.provider.calls, world.hooksRun]).toEqual([[], []]);
  });

  test("without us: of one that is up at once, or after a moment, nothing is told", async () => {
    for (const momentMs of [0, 900]) {
      const { world, app } = byItself((sinceMs) => (sinceMs < momentMs ? SILENT : UP_NOW));
      world.core.lifecycle.targetIsDown(app, target, CAUSE);
      await world.clock.advance(2000);
      expect([app.state.kind, world.events, app.wakeHistoryMs]).toEqual(["awake", [], []]);
      expect(world.clock.pending()).toBe(0);
    }
  });

  test("without us: one that was waited for and has ended after all is told to wake once", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    world.answering = new Set();
    world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(3000);
    world.provider.up.delete("shop");
    world.provider.report({ id: "shop", observation: { phase: "failed", target: null } });
    world.answering = null;
    await world.clock.advance(500);
    expect(world.eventsOf("shop")).toEqual(["APP_WAKING", "APP_STARTED"]);
    expect(app.wakeHistoryMs).toEqual([2000]);
  });

  test("without us: of an app that nobody can ask about, a slow first answer is told as a wake", async () => {
    const world = createSmallWorld({
      deps: {
        async probe() {
          await sleep(world.clock, 3000);
          return UP_NOW;
        },
      },
    });
    const unknown = { kind: "unknown", sinceMs: 0 } as const;
    const app = world.add("shop", { state: unknown, lastTarget: target });
    world.provider.script.observe = async () => {
      throw new ProviderError("unavailable", "503");
    };
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(3000);
    expect((await waking).kind).toBe("awake");
    expect(world.eventsOf("shop")).toEqual(["APP_WAKING", "APP_STARTED"]);
    expect(world.provider.calls).toEqual([]);
  });

  test("without us: a server that is back within ten seconds is waited for", async () => {
    const { world, app } = byItself((sinceMs) => (sinceMs < 9500 ? REFUSED : UP_NOW));
    world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(10_000);
    expect(app.state.kind).toBe("awake");
  });

  test("without us: one that no connection could be made to for ten seconds is given up, and it is said why", async () => {
    const { world, app } = byItself(() => REFUSED);
    world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(9900);
    expect(app.state.kind).toBe("waking");
    await world.clock.advance(200);
    expect(app.state).toMatchObject({
      kind: "failed",
      why: "no connection could be made for 10 s; last probe: http://shop.test:8080: connection refused",
    });
    expect(world.eventsOf("shop")).toEqual(["APP_WAKING", "APP_START_FAILED"]);
    expect([world.provider.calls, world.clock.pending()]).toEqual([[], 0]);
  });

  test("without us: any answer in between, and an app that we start, have the whole time", async () => {
    const { world, app } = byItself((sinceMs) => (sinceMs % 6000 < 100 ? SILENT : REFUSED));
    world.core.lifecycle.targetIsDown(app, target, CAUSE);
    await world.clock.advance(WAKE_TIMEOUT_MS - 100);
    expect(app.state.kind).toBe("waking");
    const other = byItself(() => REFUSED, false);
    other.world.core.lifecycle.targetIsDown(other.app, target, CAUSE);
    await other.world.clock.advance(WAKE_TIMEOUT_MS - 100);
    expect(other.app.state.kind).toBe("waking");
  });
});

describe("nothing to wake", () => {
  test("nothing to wake: an app that does not answer is told so at once, whether or not it has an address", async () => {
    for (const target of [null, sampleTarget("shop")]) {
      const world = createSmallWorld({ provider: createStubProvider({ watches: false }) });
      const app = world.add("shop", { state: { kind: "unknown", sinceMs: 0 } });
      const reason = "it was never deployed";
      world.provider.script.observe = async () => ({ phase: "unmanaged", target, reason });
      await world.clock.advance(1000);
      const admission = world.core.handler.admit(headFor("shop"));
      await world.clock.advance(100);
      if (admission.kind !== "held") throw new Error(`it was ${admission.kind}`);
      expect(await admission.decision).toMatchObject({ kind: "answer", answer: { status: 503 } });
      expect(app.state).toMatchObject({ kind: "failed", why: expect.stringContaining(reason) });
      expect(world.provider.calls).toEqual([]);
    }
  });

  test("nothing to wake: one that answers all the same is served", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: { kind: "unknown", sinceMs: 0 } });
    const target = sampleTarget("shop");
    world.provider.script.observe = async () => ({ phase: "unmanaged", target });
    world.answering = new Set([target.origin]);
    expect(await world.core.lifecycle.wake(app, CAUSE)).toEqual({ kind: "awake", target });
  });

  for (const kind of ["failed", "invalid", "not-found", "forbidden", "payment", "auth"] as const) {
    test(`nothing to wake: a call that fails for good (${kind}) is told to all who wait, at once`, async () => {
      const world = createSmallWorld();
      world.add("shop");
      world.provider.script.wake = async () => {
        throw new ProviderError(kind, "there is no process type web");
      };
      const asked = Array.from({ length: 5 }, () => world.core.handler.admit(headFor("shop")));
      await world.clock.advance(0);
      for (const admission of asked) {
        if (admission.kind !== "held") throw new Error(`it was ${admission.kind}`);
        expect(await admission.decision).toMatchObject({ kind: "answer", answer: { status: 503 } });
      }
      expect(world.provider.calls).toEqual(["wake shop"]);
    });
  }
});

describe("a platform that is away", () => {
  const away = new ProviderError("network", "could not reach 192.0.2.7: connection refused");

  test("away: a wake that fails is one line in the log, that of its event", async () => {
    const world = createSmallWorld({ provider: createStubProvider({ watches: false }) });
    const app = world.add("shop", {
      state: { kind: "failed", sinceMs: 0, why: "no answer", retryAtMs: 0 },
    });
    world.provider.script.observe = async () => {
      throw away;
    };
    world.provider.script.wake = async () => {
      throw away;
    };
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(WAKE_TIMEOUT_MS);
    expect((await waking).kind).toBe("failed");
    expect(world.eventsOf("shop")).toEqual(["APP_WAKING", "APP_START_FAILED"]);
    expect(world.lines.filter(({ level }) => level !== "debug")).toEqual([]);
  });
});

describe("an app that moves while it is waited for", () => {
  const next = targetOf("http://moved.test:9999");

  test("moved: one that is said to be up is looked for where a new list says it is", async () => {
    const provider = createStubProvider({ watches: false, listHasState: false });
    const world = createSmallWorld({ provider });
    const app = world.add("shop", { state: awakeAt("shop") });
    let lists = 0;
    provider.script.list = async () => {
      lists += 1;
      return [{ id: "shop", key: "shop", observation: null, target: next, sleepsByItself: false }];
    };
    // All that it knows is where the app was when it was listed last.
    provider.script.observe = async () => ({ phase: "awake", target: sampleTarget("shop") });
    world.answering = new Set([next.origin]);
    world.core.lifecycle.targetIsDown(app, sampleTarget("shop"), CAUSE);
    await world.clock.advance(900);
    expect(lists).toBe(0);
    await world.clock.advance(2100);
    expect([app.state, lists]).toEqual([expect.objectContaining({ target: next }), 1]);
    expect(provider.calls).toEqual([]);
  });

  test("moved: of a list and a look the newer one says where it is", async () => {
    const provider = createStubProvider({ watches: false });
    const world = createSmallWorld({ provider });
    const app = world.add("shop");
    provider.script.observe = async () => ({ phase: "waking", target: next });
    world.answering = new Set();
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(1000);
    // What a list says is older than the look that comes after it.
    world.core.lifecycle.locate(app, targetOf("http://listed.test:9999"));
    await world.clock.advance(1000);
    world.answering = new Set([next.origin]);
    await world.clock.advance(5000);
    expect(await waking).toEqual({ kind: "awake", target: next });
  });

  test("moved: one that is woken is looked for where a look finds it", async () => {
    const provider = createStubProvider({ watches: false });
    const world = createSmallWorld({ provider });
    const app = world.add("shop");
    provider.script.observe = async () => ({ phase: "waking", target: next });
    world.answering = new Set([next.origin]);
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(6000);
    expect(await waking).toEqual({ kind: "awake", target: next });
    expect(world.provider.calls).toEqual(["wake shop"]);
  });
});

describe("linked apps", () => {
  test("linked: in a cycle each is woken once, all at the same time", async () => {
    const world = createSmallWorld();
    for (const [key, link] of ["ab", "bc", "ca"].map((pair) => [...pair])) {
      world.policies.set(key ?? "", { linkedKeys: [link ?? ""] });
    }
    const apps = ["a", "b", "c"].map((key) => world.add(key));
    const started: number[] = [];
    world.provider.script.wake = async (id) => {
      started.push(world.clock.now());
      world.clock.after(1000, () => world.provider.up.add(id));
      return { done: true, target: sampleTarget(id) };
    };
    const [first] = apps;
    if (first === undefined) throw new Error("no apps");
    const waking = world.core.lifecycle.wake(first, CAUSE);
    await world.clock.advance(2000);
    expect((await waking).kind).toBe("awake");
    expect(apps.map(({ state }) => state.kind)).toEqual(["awake", "awake", "awake"]);
    expect(world.provider.calls.toSorted()).toEqual(["wake a", "wake b", "wake c"]);
    expect(new Set(started).size).toBe(1);
    const causes = world.events.filter(({ app }) => app !== "a").map(({ cause }) => cause.kind);
    expect(new Set(causes)).toEqual(new Set(["linked"]));
  });

  test("linked: one whose pause is not over is left alone", async () => {
    const world = createSmallWorld();
    world.policies.set("front", { linkedKeys: ["back"] });
    const retryAtMs = world.clock.now() + 60_000;
    world.add("back", { state: { kind: "failed", sinceMs: 0, why: "exited", retryAtMs } });
    const front = world.add("front");
    await world.core.lifecycle.wake(front, CAUSE);
    await world.clock.advance(10);
    expect(world.provider.calls).toEqual(["wake front"]);
  });

  test("linked: one that fails does not fail the one it is linked from", async () => {
    const world = createSmallWorld();
    world.policies.set("front", { linkedKeys: ["back"] });
    const back = world.add("back");
    const front = world.add("front");
    world.provider.script.wake = async (id) => {
      if (id === "back") throw new Error("no room");
      world.provider.up.add(id);
      return { done: true, target: sampleTarget(id) };
    };
    expect((await world.core.lifecycle.wake(front, CAUSE)).kind).toBe("awake");
    await world.clock.advance(0);
    expect(back.state).toMatchObject({ kind: "failed", why: "no room" });
  });
});

describe("an end that a request finds", () => {
  test("is told before its wake, like one that its platform reports", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    world.provider.up.delete("shop");
    world.core.lifecycle.targetIsDown(app, sampleTarget("shop"), CAUSE);
    await world.clock.advance(100);
    expect(world.eventsOf("shop")).toEqual(["APP_STOPPED", "APP_WAKING", "APP_STARTED"]);
  });
});
