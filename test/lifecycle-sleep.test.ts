import { describe, expect, test } from "bun:test";

import type { App, Snapshot } from "../src/app.ts";
import type { Cause } from "../src/events.ts";
import type { SleepOrder } from "../src/lifecycle-sleep.ts";
import { isEmpty } from "../src/lifecycle-sleep.ts";
import type { Observation, Phase, Step } from "../src/providers/provider.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { createMemoryRegistry } from "../src/registry/memory.ts";
import type { Registry } from "../src/registry/registry.ts";
import type { SeatRule } from "../src/seats.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt, sampleApp, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

const CAUSE: Cause = { kind: "command", detail: "sleep" };
const ORDER: SleepOrder = { cause: CAUSE, drainMs: 0, unusedSinceMs: null };
const SLEEP_TIMEOUT_MS = 10_000;
const DONE: Step = { done: true, target: null };
/** A platform on which changes are only seen by asking. */
const POLLED = { watches: false, listsDeclaredApps: false } as const;

function worldWithShop(options: Parameters<typeof createSmallWorld>[0] = {}, changes = {}) {
  const world = createSmallWorld(options);
  return { world, app: world.add("shop", { state: awakeAt("shop"), ...changes }) };
}

function sleepOf(world: SmallWorld, app: App, changes: Partial<SleepOrder> = {}) {
  return world.core.lifecycle.sleep(app, { ...ORDER, ...changes });
}

/** What must hold of an app that was kept: nothing was called, nothing is left behind. */
async function expectKept(world: SmallWorld, app: App): Promise<void> {
  expect(app.state).toMatchObject({ kind: "awake", target: sampleTarget("shop") });
  expect(world.provider.calls).not.toContain("sleep shop");
  expect(world.provider.up.has("shop")).toBe(true);
  expect(world.clock.pending()).toBe(0);
  const claim = await world.registry.claim(app.ref, 0);
  expect(claim).not.toBeNull();
  await claim?.release();
}

describe("sleep", () => {
  test("sleep: hook, snapshot, durable, call, really asleep, and then everybody knows", async () => {
    const { world, app } = worldWithShop();
    const snapshot: Snapshot = {
      kind: "quantities",
      processes: [{ type: "web", quantity: 2, size: "M" }],
    };
    world.provider.script.takeSnapshot = async () => snapshot;
    const stored: unknown[] = [];
    world.provider.script.sleep = async () => {
      stored.push(...(await world.registry.load()).records);
      world.clock.after(1200, () => world.provider.up.delete("shop"));
      return DONE;
    };
    const sleeping = sleepOf(world, app);
    await world.clock.advance(1000);
    expect(app.state.kind).toBe("stopping");
    await world.clock.advance(1000);
    expect(await sleeping).toEqual({ kind: "asleep" });
    expect(stored).toMatchObject([{ phase: "stopping", snapshot }]);
    expect(world.provider.calls).toEqual(["snapshot shop", "sleep shop"]);
    expect(world.eventsOf("shop")).toEqual(["APP_STOPPING", "APP_STOPPED"]);
    expect(world.hooksRun.map(({ name, call }) => [name, call.upstream])).toEqual([
      ["beforeStop", ""],
      ["afterStop", "http://shop.test:8080"],
    ]);
    expect((await world.registry.load()).records).toMatchObject([{ phase: "asleep", snapshot }]);
    expect(world.clock.pending()).toBe(0);
    expect((await world.registry.claim(app.ref, 0))?.fence).toBeGreaterThan(app.fence);
  });

  test("sleep: a second one joins the first", async () => {
    const { world, app } = worldWithShop();
    const asked = [1, 2, 3].map(() => sleepOf(world, app));
    for (const outcome of await Promise.all(asked)) expect(outcome).toEqual({ kind: "asleep" });
    expect(world.provider.calls).toEqual(["snapshot shop", "sleep shop"]);
  });

  test("sleep: an operation is polled until it is done", async () => {
    const { world, app } = worldWithShop();
    const operation = { id: "op-1" };
    world.provider.script.sleep = async () => ({ done: false, operation, pollAfterMs: 500 });
    world.provider.script.poll = async (id) => {
      world.provider.up.delete(id);
      return DONE;
    };
    const sleeping = sleepOf(world, app);
    await world.clock.advance(1000);
    expect(await sleeping).toEqual({ kind: "asleep" });
  });

  test("sleep: only an app that is awake, and that we stop at all, is put to sleep", async () => {
    const states: readonly App["state"][] = [
      { kind: "unknown", sinceMs: 0 },
      { kind: "asleep", sinceMs: 0 },
      { kind: "failed", sinceMs: 0, why: "exited", retryAtMs: 0 },
    ];
    for (const changes of [...states.map((state) => ({ state })), { sleepsByItself: true }]) {
      const { world, app } = worldWithShop({}, changes);
      expect((await sleepOf(world, app)).kind).toBe("kept");
      expect([world.provider.calls, world.events, world.hooksRun]).toEqual([[], [], []]);
    }
  });

  test("sleep: an app that wakes is not put to sleep", async () => {
    const { world, app } = worldWithShop({}, { state: { kind: "asleep", sinceMs: 0 } });
    const booting = heldCall<Step>();
    world.provider.script.wake = (_id, _snapshot, signal) => booting.pass(signal);
    const waking = world.core.lifecycle.wake(app, CAUSE);
    // Asked for, and not yet visible in the state.
    expect((await sleepOf(world, app)).kind).toBe("kept");
    await world.clock.advance(10);
    expect(await sleepOf(world, app)).toEqual({ kind: "kept", why: "it is waking" });
    world.provider.up.add("shop");
    booting.open({ done: true, target: sampleTarget("shop") });
    await waking;
  });

  test("sleep: a before-stop hook that fails keeps the app awake, and is told", async () => {
    const { world, app } = worldWithShop();
    world.hooks.beforeStop = async () => ({ ok: false, why: "it ended with status 1" });
    const why = "the before-stop hook said no: it ended with status 1";
    expect(await sleepOf(world, app)).toEqual({ kind: "kept", why });
    await expectKept(world, app);
    expect(world.eventsOf("shop")).toEqual(["APP_STOP_VETOED"]);
    expect(world.events[0]).toMatchObject({ cause: CAUSE, reason: why });
  });

  test("sleep: while another instance changes the app it is kept", async () => {
    const { world, app } = worldWithShop();
    const claim = await world.registry.claim(app.ref, 0);
    expect((await sleepOf(world, app)).kind).toBe("kept");
    await claim?.release();
    await expectKept(world, app);
  });

  test("sleep: a store that is away keeps the app awake", async () => {
    for (const broken of ["claim", "save"] as const) {
      const registry = createMemoryRegistry();
      let isDown = true;
      const halfDown: Registry = {
        ...registry,
        async claim(ref, known) {
          if (isDown && broken === "claim") throw new Error("the store is away");
          return registry.claim(ref, known);
        },
        async save(record) {
          // Where not even a claim can be stored, a record cannot either.
          if (isDown) throw new Error("the store is away");
          return registry.save(record);
        },
      };
      const { world, app } = worldWithShop({ registry: halfDown });
      expect(await sleepOf(world, app)).toMatchObject({ kind: "kept" });
      isDown = false;
      await expectKept(world, app);
      expect(await sleepOf(world, app)).toEqual({ kind: "asleep" });
    }
  });

  test("sleep: a record that a newer fence has overtaken keeps the app awake", async () => {
    const registry = createMemoryRegistry();
    let refusals = 0;
    const { world, app } = worldWithShop({
      registry: {
        ...registry,
        async save(record) {
          if (record.phase !== "stopping") return registry.save(record);
          refusals += 1;
          return false;
        },
      },
    });
    expect((await sleepOf(world, app)).kind).toBe("kept");
    expect(refusals).toBe(1);
    await expectKept(world, app);
  });

  const phases: readonly (readonly [Phase, "kept" | "asleep"])[] = [
    ["awake", "asleep"],
    ["asleep", "asleep"],
    ["stopping", "asleep"],
    ["waking", "kept"],
    ["deploying", "kept"],
    ["failed", "kept"],
    ["blocked", "kept"],
    ["unmanaged", "kept"],
    ["unknown", "kept"],
  ];
  for (const [phase, outcome] of phases) {
    test(`sleep: an app that the platform calls ${phase} is ${outcome}`, async () => {
      const { world, app } = worldWithShop();
      let looks = 0;
      world.provider.script.observe = async () => {
        looks += 1;
        return { phase: looks === 1 ? phase : "asleep", target: null };
      };
      expect((await sleepOf(world, app)).kind).toBe(outcome);
      expect(world.provider.calls.includes("sleep shop")).toBe(outcome === "asleep");
    });
  }

  for (const call of ["observe", "takeSnapshot"] as const) {
    test(`sleep: when ${call} fails the app is kept awake`, async () => {
      const { world, app } = worldWithShop();
      world.provider.script[call] = async () => {
        throw new ProviderError("unavailable", "503 from the platform");
      };
      const why = "503 from the platform";
      expect(await sleepOf(world, app)).toEqual({ kind: "kept", why });
      expect(world.eventsOf("shop")).toEqual(["APP_STOP_CANCELLED"]);
      await expectKept(world, app);
    });

    test(`sleep: when ${call} hangs the app is kept awake in the end`, async () => {
      const { world, app } = worldWithShop();
      world.provider.script[call] = (_id: string, signal: AbortSignal) =>
        heldCall<never>().pass(signal);
      const sleeping = sleepOf(world, app);
      await world.clock.advance(SLEEP_TIMEOUT_MS);
      expect((await sleeping).kind).toBe("kept");
      await expectKept(world, app);
    });
  }
});

describe("snapshot", () => {
  const empty: readonly Snapshot[] = [
    { kind: "quantities", processes: [] },
    { kind: "quantities", processes: [{ type: "web", quantity: 0 }] },
    { kind: "replicas", workloads: [{ id: "a", replicas: 0 }] },
    { kind: "members", ids: [], mode: "stop" },
  ];
  const full: readonly Snapshot[] = [
    { kind: "none" },
    {
      kind: "quantities",
      processes: [
        { type: "web", quantity: 0 },
        { type: "worker", quantity: 1 },
      ],
    },
    { kind: "replicas", workloads: [{ id: "a", replicas: 1 }] },
    { kind: "members", ids: ["m"], mode: "pause" },
  ];

  test("snapshot: one that brings nothing back is empty", () => {
    expect([empty.map(isEmpty), full.map(isEmpty)]).toEqual([
      empty.map(() => true),
      full.map(() => false),
    ]);
  });

  for (const snapshot of empty) {
    test(`snapshot: ${JSON.stringify(snapshot)} replaces no better one`, async () => {
      const better: Snapshot = { kind: "members", ids: ["m1"], mode: "suspend" };
      const { world, app } = worldWithShop({}, { snapshot: better });
      world.provider.script.takeSnapshot = async () => snapshot;
      expect(await sleepOf(world, app)).toEqual({ kind: "asleep" });
      expect(app.snapshot).toEqual(better);
      expect((await world.registry.load()).records).toMatchObject([{ snapshot: better }]);
    });
  }
});

/** Where a sleep can be interrupted: how to hold it there, and how to let it go on. */
const MOMENTS: Readonly<
  Record<
    string,
    (world: SmallWorld, registry: { hold: (call: string) => () => void }) => () => void
  >
> = {
  "the before-stop hook": (world) => {
    const hook = heldCall<{ ok: true }>();
    world.hooks.beforeStop = () => hook.pass(new AbortController().signal);
    return () => hook.open({ ok: true });
  },
  "the claim": (_world, registry) => registry.hold("claim"),
  "the last look": (world) => {
    const look = heldCall<Observation>();
    world.provider.script.observe = (_id, signal) => look.pass(signal);
    return () => look.open({ phase: "awake", target: sampleTarget("shop") });
  },
  "the snapshot": (world) => {
    const snapshot = heldCall<Snapshot>();
    world.provider.script.takeSnapshot = (_id, signal) => snapshot.pass(signal);
    return () => snapshot.open({ kind: "none" });
  },
  "the storing": (_world, registry) => registry.hold("save"),
};

/** A world whose registry can be held at one call. */
function holdableWorld() {
  const inner = createMemoryRegistry();
  let held: { call: string; until: Promise<void> } | null = null;
  async function whenFree<T>(call: string, work: () => Promise<T>): Promise<T> {
    if (held?.call === call) await held.until;
    return work();
  }
  const registry: Registry = {
    ...inner,
    claim: (ref, known) => whenFree("claim", () => inner.claim(ref, known)),
    save: (record) => whenFree("save", () => inner.save(record)),
  };
  const { world, app } = worldWithShop({ registry });
  function hold(call: string) {
    const { promise, resolve } = Promise.withResolvers<void>();
    held = { call, until: promise };
    return () => {
      held = null;
      resolve();
    };
  }
  return { world, app, hold };
}

describe("a request during a sleep", () => {
  for (const [moment, interrupt] of Object.entries(MOMENTS)) {
    test(`sleep: a request during ${moment} is forwarded at once, and keeps the app awake`, async () => {
      const { world, app, hold } = holdableWorld();
      const goOn = interrupt(world, { hold });
      const sleeping = sleepOf(world, app, { unusedSinceMs: app.idleSinceMs });
      await world.clock.advance(5);
      const admission = world.core.handler.admit(headFor("shop.example"));
      if (admission.kind !== "forward") throw new Error(`it was ${admission.kind}`);
      expect(app.state.kind).toBe("awake");
      await world.clock.advance(5);
      goOn();
      expect((await sleeping).kind).toBe("kept");
      world.core.handler.release(admission);
      await expectKept(world, app);
    });

    test(`sleep: a short request during ${moment}, over before it ends, keeps the app awake`, async () => {
      const { world, app, hold } = holdableWorld();
      const goOn = interrupt(world, { hold });
      const sleeping = sleepOf(world, app, { unusedSinceMs: app.idleSinceMs });
      await world.clock.advance(5);
      const admission = world.core.handler.admit(headFor("shop.example"));
      if (admission.kind !== "forward") throw new Error(`it was ${admission.kind}`);
      world.core.handler.release(admission);
      goOn();
      expect((await sleeping).kind).toBe("kept");
      await expectKept(world, app);
    });
  }

  for (const [moment, interrupt] of Object.entries(MOMENTS)) {
    test(`sleep: a wake asked for during ${moment} calls it off`, async () => {
      const { world, app, hold } = holdableWorld();
      const goOn = interrupt(world, { hold });
      const sleeping = sleepOf(world, app);
      await world.clock.advance(5);
      expect((await world.core.lifecycle.wake(app, CAUSE)).kind).toBe("awake");
      goOn();
      expect((await sleeping).kind).toBe("kept");
      await expectKept(world, app);
      // It counts for this sleep alone.
      delete world.provider.script.observe;
      expect(await sleepOf(world, app)).toEqual({ kind: "asleep" });
    });
  }

  test("sleep: a target that is down during the hook is looked into, and the app woken", async () => {
    const { world, app } = worldWithShop();
    const hook = heldCall<{ ok: true }>();
    world.hooks.beforeStop = () => hook.pass(new AbortController().signal);
    void sleepOf(world, app);
    await world.clock.advance(5);
    world.provider.up.delete("shop");
    const admission = world.core.handler.admit(headFor("shop.example"));
    if (admission.kind !== "forward") throw new Error(`it was ${admission.kind}`);
    const failure = { kind: "unreachable", message: "refused", replayable: true } as const;
    const again = world.core.handler.failed(admission, failure);
    if (again.kind !== "held") throw new Error(`it was ${again.kind}`);
    hook.open({ ok: true });
    expect((await again.decision).kind).toBe("forward");
    expect(world.provider.up.has("shop")).toBe(true);
    expect(world.provider.calls).toEqual(["wake shop"]);
  });

  test("sleep: requests during the stop wait, and the app is woken once for all of them", async () => {
    const { world, app } = worldWithShop();
    const stopping = heldCall<Step>();
    world.provider.script.sleep = (_id, _snapshot, signal) => stopping.pass(signal);
    const sleeping = sleepOf(world, app);
    await world.clock.advance(5);
    expect(app.state.kind).toBe("stopping");
    const admissions = [1, 2, 3].map(() => world.core.handler.admit(headFor("shop.example")));
    await world.clock.advance(5);
    expect(world.provider.calls).not.toContain("wake shop");
    world.provider.up.delete("shop");
    stopping.open(DONE);
    expect(await sleeping).toEqual({ kind: "asleep" });
    await world.clock.advance(100);
    for (const admission of admissions) {
      if (admission.kind !== "held") throw new Error(`it was ${admission.kind}`);
      const decision = await admission.decision;
      if (decision.kind !== "forward") throw new Error("it was refused");
      world.core.handler.release(decision);
    }
    expect(world.provider.calls.filter((call) => call === "wake shop")).toHaveLength(1);
  });

  test("sleep: a request during a stop that fails is served without a wake", async () => {
    const { world, app } = worldWithShop();
    const stopping = heldCall<Step>();
    world.provider.script.sleep = (_id, _snapshot, signal) => stopping.pass(signal);
    const sleeping = sleepOf(world, app);
    await world.clock.advance(5);
    const admission = world.core.handler.admit(headFor("shop.example"));
    stopping.fail(new ProviderError("unavailable", "502"));
    expect((await sleeping).kind).toBe("failed");
    if (admission.kind !== "held") throw new Error(`it was ${admission.kind}`);
    expect(await admission.decision).toMatchObject({ kind: "forward" });
    expect(world.provider.calls).not.toContain("wake shop");
  });

  test("sleep: use of an app that links to it keeps it awake", async () => {
    const world = createSmallWorld();
    world.policies.set("front", { linkedKeys: ["shop"] });
    const app = world.add("shop", { state: awakeAt("shop") });
    const front = world.add("front", { state: awakeAt("front") });
    world.core.activity.begin(front);
    expect(await sleepOf(world, app)).toEqual({ kind: "kept", why: "it is in use" });
    world.core.activity.end(front);
    await expectKept(world, app);
  });

  test("sleep: it waits for the last lease as long as it was told to", async () => {
    for (const [busyMs, outcome] of [
      [3000, "asleep"],
      [8000, "kept"],
    ] as const) {
      const { world, app } = worldWithShop();
      world.core.activity.begin(app);
      world.clock.after(busyMs, () => world.core.activity.end(app));
      const sleeping = sleepOf(world, app, { drainMs: 5000 });
      await world.clock.advance(busyMs - 1);
      expect(world.provider.calls).toEqual([]);
      await world.clock.advance(1000);
      expect((await sleeping).kind).toBe(outcome);
      expect(world.clock.pending()).toBe(0);
    }
  });

  test("sleep: a new request while it waits for the last lease calls it off", async () => {
    const { world, app } = worldWithShop();
    world.core.activity.begin(app);
    const sleeping = sleepOf(world, app, { drainMs: 5000 });
    await world.clock.advance(1000);
    expect(app.state.kind).toBe("draining");
    expect(world.core.handler.admit(headFor("shop.example")).kind).toBe("forward");
    await world.clock.advance(100);
    expect((await sleeping).kind).toBe("kept");
    await expectKept(world, app);
  });
});

describe("a platform that has to be asked", () => {
  test("sleep: whether the app is down is asked seldom, and ever more so; whoever waits for it shortens that", async () => {
    for (const [isWanted, looksAtMs] of [
      [false, [0, 0, 2000, 5000, 9500]],
      [true, [0, 0, 2000, 4000, 6000, 8000]],
    ] as const) {
      const { world, app } = worldWithShop({ provider: createStubProvider(POLLED) });
      const startMs = world.clock.now();
      const looks: number[] = [];
      world.provider.script.observe = async () => {
        looks.push(world.clock.now() - startMs);
        return { phase: looks.length > 1 ? "stopping" : "awake", target: null };
      };
      world.provider.script.sleep = async () => DONE;
      void sleepOf(world, app);
      await world.clock.advance(10);
      if (isWanted) void world.core.lifecycle.wake(app, CAUSE);
      await world.clock.advance(9600);
      expect(looks).toEqual([...looksAtMs]);
    }
  });

  test("sleep: one whose snapshot looks itself is not looked at before", async () => {
    const stub = createStubProvider(POLLED);
    const provider = { ...stub, capabilities: { ...stub.capabilities, snapshotLooks: true } };
    const { world, app } = worldWithShop({ provider });
    let looks = 0;
    provider.script.observe = async () => {
      looks += 1;
      return { phase: "asleep", target: null };
    };
    expect(await sleepOf(world, app)).toEqual({ kind: "asleep" });
    expect([looks, provider.calls]).toEqual([1, ["snapshot shop", "sleep shop"]]);
  });

  test("sleep: what it waits for is given up as soon as somebody comes, and the provider is told", async () => {
    for (const call of ["observe", "takeSnapshot"] as const) {
      const calledOff: string[] = [];
      const callOff = (id: string) => void calledOff.push(id);
      const { world, app } = worldWithShop({
        provider: { ...createStubProvider(POLLED), callOff },
      });
      const never = heldCall<never>();
      world.provider.script[call] = (_id, signal) => never.pass(signal);
      const sleeping = sleepOf(world, app);
      await world.clock.advance(10);
      expect(never.entered()).toBe(true);
      const admission = world.core.handler.admit(headFor("shop.example"));
      if (admission.kind !== "forward") throw new Error(`it was ${admission.kind}`);
      expect(await sleeping).toEqual({ kind: "kept", why: "a request arrived" });
      expect(calledOff).toEqual(["shop"]);
      world.core.handler.release(admission);
      await expectKept(world, app);
    }
  });

  /** A stop that waits for its turn until it is called off, or for good once it was sent. */
  async function stopThatWaits(how: { readonly isSent: boolean }) {
    const stop = heldCall<Step>();
    const callOff = () => {
      const why = "it was called off before it was sent";
      if (!how.isSent) stop.fail(new ProviderError("rate-limited", why));
    };
    const { world, app } = worldWithShop({ provider: { ...createStubProvider(POLLED), callOff } });
    world.provider.script.sleep = (_id, _snapshot, signal) => stop.pass(signal);
    const sleeping = sleepOf(world, app);
    await world.clock.advance(10);
    expect(app.state.kind).toBe("stopping");
    const admission = world.core.handler.admit(headFor("shop.example"));
    if (admission.kind !== "held") throw new Error(`it was ${admission.kind}`);
    return { world, app, stop, sleeping, admission };
  }

  test("sleep: a request while the stop was not sent yet calls it off, and is served at once, without a call", async () => {
    const { world, app, sleeping, admission } = await stopThatWaits({ isSent: false });
    const decision = await admission.decision;
    if (decision.kind !== "forward") throw new Error("it was refused");
    expect((await sleeping).kind).toBe("failed");
    expect(app.state).toMatchObject({ kind: "awake", target: sampleTarget("shop") });
    expect(world.provider.calls).toEqual(["snapshot shop", "sleep shop"]);
    expect(world.eventsOf("shop")).toEqual(["APP_STOPPING", "APP_STOP_CANCELLED"]);
    expect(world.events.at(-1)?.reason).toContain("called off");
    world.core.handler.release(decision);
  });

  test("sleep: a stop that waits for its turn is called off when its app loses its key, or comes into use", async () => {
    for (const event of ["key", "links"] as const) {
      const stop = heldCall<Step>();
      const callOff = () => stop.fail(new ProviderError("rate-limited", "it was called off"));
      let rule: SeatRule | null = null;
      const { world, app } = worldWithShop({
        providers: [
          { ...createStubProvider(POLLED), callOff },
          createStubProvider({ name: "other" }),
        ],
        deps: { seatRuleOf: () => rule },
      });
      world.provider.script.sleep = (_id, _snapshot, signal) => stop.pass(signal);
      const user = world.add("front", { state: awakeAt("front") });
      world.core.activity.begin(user);
      world.core.table.enroll(sampleApp("shop", { ref: { provider: "other", id: "shop" } }));
      const sleeping = sleepOf(world, app);
      await world.clock.advance(10);
      expect(app.state.kind).toBe("stopping");
      if (event === "links") world.policies.set("front", { linkedKeys: ["shop"] });
      else rule = { provider: "other", rule: "rules[0]" };
      world.core.reconciler.applyPolicies();
      expect((await sleeping).kind).toBe("failed");
      expect(app.state.kind).toBe("awake");
    }
  });

  test("sleep: a request after the stop was sent waits for its end, and wakes the app again", async () => {
    const { world, stop, sleeping, admission } = await stopThatWaits({ isSent: true });
    await world.clock.advance(1000);
    world.provider.up.delete("shop");
    stop.open(DONE);
    expect(await sleeping).toEqual({ kind: "asleep" });
    const decision = await admission.decision;
    if (decision.kind !== "forward") throw new Error("it was refused");
    expect(world.provider.calls.at(-1)).toBe("wake shop");
    world.core.handler.release(decision);
  });
});

describe("a stop for which the platform has no time", () => {
  const NO_CALLS = new ProviderError("rate-limited", "could not stop it: no calls for 40 s", {
    retryAfterMs: 40_000,
  });
  const MAX_IDLE_MS = 60_000;

  /** An app that two sweeps have seen idle, and whose stops are not sent until `hasTime` is set. */
  async function unsentStop() {
    const world = createSmallWorld({ provider: createStubProvider(POLLED) });
    world.policies.set("shop", { maxIdleMs: MAX_IDLE_MS });
    const app = world.add("shop", { state: awakeAt("shop") });
    const platform = { hasTime: false };
    world.provider.script.sleep = async (id) => {
      if (!platform.hasTime) throw NO_CALLS;
      world.provider.up.delete(id);
      return DONE;
    };
    await world.core.sweeper.sweep();
    await world.clock.advance(MAX_IDLE_MS);
    const before = { state: app.state, idleSinceMs: app.idleSinceMs };
    const { done } = await world.core.sweeper.sweep();
    await world.clock.advance(1000);
    return { world, app, before, done, platform };
  }

  test("no time: the app is as it was, and has been idle for as long", async () => {
    const { world, app, before } = await unsentStop();
    expect(world.eventsOf("shop")).toEqual(["APP_STOPPING", "APP_STOP_CANCELLED"]);
    expect({ state: app.state, idleSinceMs: app.idleSinceMs }).toEqual(before);
    // Nobody has to look at an app that nothing was done to.
    expect(world.provider.calls).toEqual(["snapshot shop", "sleep shop"]);
  });

  test("no time: it keeps its place, and is stopped as soon as the platform has time", async () => {
    const { world, app, done, platform } = await unsentStop();
    await world.clock.advance(38_000);
    platform.hasTime = true;
    expect(app.state.kind).toBe("awake");
    await world.clock.advance(4000);
    await done;
    expect(app.state.kind).toBe("asleep");
  });

  test("no time: who was used meanwhile is not stopped then", async () => {
    const { world, app, done, platform } = await unsentStop();
    world.core.activity.begin(app);
    world.core.activity.end(app);
    platform.hasTime = true;
    await world.clock.advance(60_000);
    await done;
    expect(app.state.kind).toBe("awake");
    expect(world.eventsOf("shop")).toEqual(["APP_STOPPING", "APP_STOP_CANCELLED"]);
  });
});

describe("a sleep that is not wanted any more", () => {
  const moments = ["at its hook", "while it is looked at", "while it waits for its turn"] as const;
  const changes = {
    "its settings say never": {
      why: "its settings keep it awake longer now",
      make: (world: SmallWorld) => {
        world.policies.set("shop", { maxIdleMs: null });
        world.core.reconciler.applyPolicies();
      },
    },
    "its settings allow it a longer rest": {
      why: "its settings keep it awake longer now",
      make: (world: SmallWorld) => {
        world.policies.set("shop", { maxIdleMs: 3_600_000 });
        world.core.reconciler.applyPolicies();
      },
    },
    "it is not declared any more": {
      why: "it is not listed any more",
      make: (world: SmallWorld) => {
        world.provider.ids.delete("shop");
        void world.core.reconciler.run({ kind: "reload", detail: "paastis.yml has changed" });
      },
    },
  };
  for (const moment of moments) {
    for (const [change, { why, make }] of Object.entries(changes)) {
      test(`not wanted: ${change} ${moment}: nothing is sent`, async () => {
        const stop = heldCall<Step>();
        const callOff = () => stop.fail(new ProviderError("rate-limited", "it was called off"));
        const { world, app } = worldWithShop({ provider: { ...createStubProvider(), callOff } });
        world.policies.set("shop", { maxIdleMs: 60_000 });
        world.core.reconciler.applyPolicies();
        world.provider.script.sleep = (_id, _snapshot, signal) => stop.pass(signal);
        const hook = Promise.withResolvers<{ ok: true }>();
        if (moment === "at its hook") world.hooks.beforeStop = () => hook.promise;
        const look = heldCall<Observation>();
        if (moment === "while it is looked at") {
          world.provider.script.observe = (_id, signal) => look.pass(signal);
        }
        const sleeping = sleepOf(world, app);
        await world.clock.advance(10);
        make(world);
        await world.clock.advance(10);
        hook.resolve({ ok: true });
        const outcome = await sleeping;
        const isAtPlatform = moment === "while it waits for its turn";
        expect(outcome).toEqual(
          isAtPlatform ? { kind: "failed", why: "it was called off" } : { kind: "kept", why },
        );
        expect(app.state.kind).toBe("awake");
        expect(world.provider.calls.includes("sleep shop")).toBe(isAtPlatform);
      });
    }
  }

  test("not wanted: settings that stay as they are call nothing off, not even of an app that never sleeps", async () => {
    const { world, app } = worldWithShop();
    world.policies.set("shop", { maxIdleMs: null });
    world.core.reconciler.applyPolicies();
    const sleeping = sleepOf(world, app);
    world.core.reconciler.applyPolicies();
    expect(await sleeping).toEqual({ kind: "asleep" });
  });
});

describe("a stop that fails", () => {
  /** Sleeps with a failing call; every look after it says `phase`, or fails. */
  async function failedStop(phase: Phase | "no answer" | "hangs") {
    const { world, app } = worldWithShop();
    let hasFailed = false;
    world.provider.script.sleep = async () => {
      hasFailed = true;
      throw new ProviderError("unavailable", "502 from the platform");
    };
    world.provider.script.observe = (_id, signal) => {
      const target = sampleTarget("shop");
      if (!hasFailed) return Promise.resolve({ phase: "awake", target });
      if (phase === "hangs") return heldCall<Observation>().pass(signal);
      if (phase === "no answer") return Promise.reject(new ProviderError("network", "no route"));
      return Promise.resolve({ phase, target: phase === "awake" ? target : null });
    };
    const sleeping = sleepOf(world, app);
    await world.clock.advance(60_000);
    expect(world.clock.pending()).toBe(0);
    return { world, app, outcome: await sleeping };
  }

  test("stop: it failed, and the app is up: awake again, with a fresh idle clock", async () => {
    const { world, app, outcome } = await failedStop("awake");
    expect(outcome).toEqual({ kind: "failed", why: "502 from the platform" });
    expect(app.state).toMatchObject({ kind: "awake", target: sampleTarget("shop") });
    expect(world.eventsOf("shop")).toEqual(["APP_STOPPING", "APP_STOP_FAILED"]);
    expect((await world.registry.load()).records).toMatchObject([{ phase: "awake" }]);
  });

  test("stop: it failed, and the app is down all the same: asleep", async () => {
    const { world, app, outcome } = await failedStop("asleep");
    expect([outcome.kind, app.state.kind]).toEqual(["asleep", "asleep"]);
    expect(world.eventsOf("shop")).toEqual(["APP_STOPPING", "APP_STOPPED"]);
    expect(world.events.at(-1)?.reason).toContain("502 from the platform");
  });

  for (const phase of ["stopping", "unknown", "failed", "no answer", "hangs"] as const) {
    test(`stop: it failed, and the platform says ${phase}: nobody knows`, async () => {
      const { world, app, outcome } = await failedStop(phase);
      expect([outcome.kind, app.state.kind]).toEqual(["failed", "unknown"]);
      expect(world.eventsOf("shop").at(-1)).toBe("APP_STOP_FAILED");
      // And the claim is free again: the next request can wake it.
      expect(await world.registry.claim(app.ref, 0)).not.toBeNull();
    });
  }

  test("stop: a call that hangs is given up in time", async () => {
    const { world, app } = worldWithShop();
    world.provider.script.sleep = (_id, _snapshot, signal) => heldCall<Step>().pass(signal);
    const sleeping = sleepOf(world, app);
    await world.clock.advance(SLEEP_TIMEOUT_MS);
    expect(await sleeping).toEqual({ kind: "failed", why: "it took too long to stop" });
    expect(app.state.kind).toBe("awake");
    expect(world.clock.pending()).toBe(0);
  });

  test("stop: an app that does not go down in time is awake", async () => {
    const { world, app } = worldWithShop();
    world.provider.script.sleep = async () => DONE;
    const sleeping = sleepOf(world, app);
    await world.clock.advance(SLEEP_TIMEOUT_MS);
    expect((await sleeping).kind).toBe("failed");
    expect(app.state.kind).toBe("awake");
  });

  test("stop: a look that fails once after the call does not hide that the app is asleep", async () => {
    const { world, app } = worldWithShop();
    let looks = 0;
    world.provider.script.observe = async (id) => {
      looks += 1;
      if (looks === 2) throw new ProviderError("network", "connection reset");
      const isUp = world.provider.up.has(id);
      return { phase: isUp ? "awake" : "asleep", target: null };
    };
    expect((await sleepOf(world, app)).kind).toBe("asleep");
    expect(app.state.kind).toBe("asleep");
  });
});
