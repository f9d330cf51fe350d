import { describe, expect, test } from "bun:test";
import { isInUse } from "../src/activity.ts";
import type { App, Snapshot } from "../src/app.ts";
import type { Admission } from "../src/engines/engine.ts";
import { recordOf } from "../src/lifecycle-context.ts";
import type { Step } from "../src/providers/provider.ts";
import type { AppRecord } from "../src/registry/registry.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt, sampleTarget } from "./support/sample-app.ts";
import { type ScriptedPeers, scriptPeers } from "./support/scripted-peers.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall, type StubProvider } from "./support/stub-provider.ts";

const CAUSE = { kind: "command", detail: "a test" } as const;
const QUANTITIES: Snapshot = { kind: "quantities", processes: [{ type: "web", quantity: 3 }] };

interface Instance {
  readonly world: SmallWorld;
  readonly scripted: ScriptedPeers;
  readonly app: App;
}

function instanceWith(changes: Partial<App> = {}, provider?: StubProvider): Instance {
  const scripted = scriptPeers();
  const { peers, registry } = scripted;
  const world = createSmallWorld({
    registry,
    deps: { peers },
    ...(provider !== undefined && { provider }),
  });
  return { world, scripted, app: world.add("shop", changes) };
}

/** What another instance has stored of the app. */
function storedElsewhere(app: App, changes: Partial<AppRecord>): AppRecord {
  return { ...recordOf(app), fence: app.fence + 1, sinceMs: 0, ...changes };
}

function admit({ world, app }: Instance): Admission {
  return world.core.gate.admit(app, headFor("shop.test", { method: "POST" }));
}

function sleepNow({ world, app }: Instance, unusedSinceMs: number | null = null) {
  return world.core.lifecycle.sleep(app, { cause: CAUSE, drainMs: 0, unusedSinceMs });
}

describe("what another instance has done", () => {
  test("an app that was woken elsewhere is up here, with its snapshot and its history", async () => {
    const { world, app } = instanceWith();
    const target = sampleTarget("shop", 9999);
    const history = { snapshot: QUANTITIES, wakeHistoryMs: [1200] };
    world.core.lifecycle.adopt(app, storedElsewhere(app, { phase: "awake", target, ...history }));
    expect(app).toMatchObject({ state: { kind: "awake", target }, lastTarget: target, ...history });
    expect(world.core.lifecycle.wokenMs(app)).toBe(world.clock.now());
    expect(world.events).toEqual([]);
  });

  test.each(["a wake that failed", "a crash"])(
    "%s has the same reference at every instance",
    async (what) => {
      const one = instanceWith(what === "a crash" ? { state: awakeAt("shop") } : {});
      const { world, app } = one;
      world.provider.script.wake = async () => {
        throw new Error("no room");
      };
      if (what === "a crash") {
        const observation = { phase: "failed", target: null, reason: "status 3" } as const;
        world.core.lifecycle.observe(app, { observation });
      } else await world.core.lifecycle.wake(app, CAUSE);
      await world.clock.advance(1000);
      const stored = (await world.registry.load()).records.find(({ key }) => key === "shop");
      const told = world.events.findLast(({ name }) =>
        ["APP_START_FAILED", "APP_CRASHED"].includes(name),
      );
      expect(stored?.failure?.reference).toBe(told?.id ?? "none");
      const other = instanceWith();
      const retryAtMs = other.world.clock.now() + 60_000;
      const failure = { ...stored?.failure, why: "no room", retryAtMs };
      const record = storedElsewhere(other.app, { phase: "failed", failure });
      other.world.core.lifecycle.adopt(other.app, record);
      const admission = admit(other);
      const body = admission.kind === "answer" ? String(admission.answer.body) : "";
      expect(JSON.parse(body)).toMatchObject({ error: "app_failed", reference: told?.id });
    },
  );

  test("what is older than what is known here is passed over", () => {
    const { world, app } = instanceWith({ state: awakeAt("shop"), fence: 7 });
    world.core.lifecycle.adopt(app, storedElsewhere(app, { phase: "asleep", fence: 6 }));
    expect(app).toMatchObject({ state: { kind: "awake" }, fence: 7 });
  });

  test("requests that wait for the claim go on as soon as another instance has woken the app", async () => {
    const instance = instanceWith();
    const { world, scripted, app } = instance;
    scripted.isHeldElsewhere = true;
    const admission = admit(instance);
    if (admission.kind !== "held") throw new Error(`it was ${admission.kind}`);
    await world.clock.advance(3000);
    const record = storedElsewhere(app, { phase: "awake", target: sampleTarget("shop") });
    world.core.lifecycle.adopt(app, record);
    expect(await admission.decision).toMatchObject({ kind: "forward" });
    expect(world.provider.calls).toEqual([]);
    expect(world.events).toEqual([]);
  });

  test("requests that wait for the claim are told when another instance could not wake the app", async () => {
    const instance = instanceWith();
    const { world, scripted, app } = instance;
    scripted.isHeldElsewhere = true;
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(1000);
    const failure = { why: "no room", retryAtMs: world.clock.now() + 5000 };
    world.core.lifecycle.adopt(app, storedElsewhere(app, { phase: "failed", failure }));
    expect(await waking).toMatchObject({ kind: "failed", ...failure });
    expect(app.state).toMatchObject({ kind: "failed", ...failure });
    expect(world.eventsOf("shop")).toEqual([]);
  });

  test("a claim that comes after another instance's wake finds that in the registry, and wakes nothing", async () => {
    const { world, scripted, app } = instanceWith();
    const target = sampleTarget("shop", 9999);
    scripted.record = storedElsewhere(app, { phase: "awake", target });
    expect(await world.core.lifecycle.wake(app, CAUSE)).toEqual({ kind: "awake", target });
    expect(world.provider.calls).toEqual([]);
  });

  test("a claim that comes before the news of another instance's wake finds them in the registry", async () => {
    const { world, scripted, app } = instanceWith();
    world.core.lifecycle.adopt(app, storedElsewhere(app, { phase: "waking" }));
    const target = sampleTarget("shop", 9999);
    scripted.record = { ...recordOf(app), phase: "awake", target };
    expect(await world.core.lifecycle.wake(app, CAUSE)).toEqual({ kind: "awake", target });
    expect(world.provider.calls).toEqual([]);
    expect(world.events).toEqual([]);
  });

  test("a claim that comes after another instance's failure does not try again at once", async () => {
    const { world, scripted, app } = instanceWith();
    const failure = { why: "no room", retryAtMs: world.clock.now() + 5000 };
    scripted.record = storedElsewhere(app, { phase: "failed", failure });
    expect(await world.core.lifecycle.wake(app, CAUSE)).toMatchObject({ kind: "failed" });
    expect(world.provider.calls).toEqual([]);
    await world.clock.advance(6000);
    expect(await world.core.lifecycle.wake(app, CAUSE)).toMatchObject({ kind: "awake" });
    expect(world.provider.calls).toEqual(["wake shop"]);
  });

  test("a wake that its instance has left half done is looked at before it is made again", async () => {
    const { world, scripted, app } = instanceWith();
    world.provider.up.add("shop");
    scripted.record = storedElsewhere(app, { phase: "waking" });
    expect(await world.core.lifecycle.wake(app, CAUSE)).toMatchObject({ kind: "awake" });
    expect(world.provider.calls).toEqual([]);
  });

  test("while another instance wakes the app nothing that is seen here counts", () => {
    const { world, app } = instanceWith();
    world.core.lifecycle.adopt(app, storedElsewhere(app, { phase: "waking" }));
    const observation = { phase: "awake", target: sampleTarget("shop") } as const;
    world.core.lifecycle.observe(app, { observation });
    expect(app.state.kind).toBe("waking");
  });

  test("what an instance that is gone was about to do is unknown, and the next request finds out", async () => {
    const instance = instanceWith();
    const { world, app } = instance;
    world.core.lifecycle.adopt(app, storedElsewhere(app, { phase: "waking" }));
    world.core.lifecycle.abandoned(app);
    expect(app.state.kind).toBe("unknown");
    const admission = admit(instance);
    if (admission.kind !== "held") throw new Error(`it was ${admission.kind}`);
    expect(await admission.decision).toMatchObject({ kind: "forward" });
    expect(world.provider.calls).toEqual(["wake shop"]);
  });
});

describe("before another instance stops an app", () => {
  const question = (app: App, unusedMs: number | null = null) => ({
    ...{ ref: app.ref, fence: app.fence + 1 },
    unusedMs,
  });

  test("nobody uses it: it is let go, and requests wait until a record comes", async () => {
    const instance = instanceWith({ state: awakeAt("shop") });
    const { world, scripted, app } = instance;
    expect(world.core.lifecycle.mayStop(app, question(app))).toBeNull();
    scripted.isHeldElsewhere = true;
    const admission = admit(instance);
    if (admission.kind !== "held") throw new Error(`it was ${admission.kind}`);
    await world.clock.advance(1000);
    world.provider.up.delete("shop");
    world.core.lifecycle.adopt(app, { ...recordOf(app), phase: "asleep" });
    scripted.isHeldElsewhere = false;
    await world.clock.advance(1000);
    expect(await admission.decision).toMatchObject({ kind: "forward" });
    expect(world.provider.calls).toEqual(["wake shop"]);
  });

  test("it was let go, and is kept after all: requests go on", async () => {
    const instance = instanceWith({ state: awakeAt("shop") });
    const { world, scripted, app } = instance;
    expect(world.core.lifecycle.mayStop(app, question(app))).toBeNull();
    scripted.isHeldElsewhere = true;
    const admission = admit(instance);
    if (admission.kind !== "held") throw new Error(`it was ${admission.kind}`);
    const kept = { ...recordOf(app), phase: "awake", target: sampleTarget("shop") } as const;
    world.core.lifecycle.adopt(app, kept);
    expect(await admission.decision).toMatchObject({ kind: "forward" });
    expect(world.provider.calls).toEqual([]);
  });

  test("whoever uses it, has used it since, or waits for it keeps it", async () => {
    const { world, app } = instanceWith({ state: awakeAt("shop") });
    const { activity, lifecycle } = world.core;
    activity.begin(app);
    expect(lifecycle.mayStop(app, question(app))).toBe("it is in use");
    activity.end(app);
    await world.clock.advance(1000);
    expect(lifecycle.mayStop(app, question(app, 5000))).toBe("it was used meanwhile");
    lifecycle.targetIsDown(app, sampleTarget("shop"), CAUSE);
    expect(lifecycle.mayStop(app, question(app))).toBe("it is asked for");
    expect(app.state.kind).not.toBe("stopping");
  });

  test("a question that a change has overtaken is answered with no", () => {
    const { world, app } = instanceWith({ state: awakeAt("shop"), fence: 9 });
    const late = { ...question(app), fence: 8 };
    expect(world.core.lifecycle.mayStop(app, late)).toBe("it was changed meanwhile");
  });

  test("an app that links to it counts", () => {
    const { world, app } = instanceWith({ state: awakeAt("shop") });
    world.policies.set("front", { linkedKeys: ["shop"] });
    const front = world.add("front", { state: awakeAt("front") });
    world.core.activity.begin(front);
    expect(world.core.lifecycle.mayStop(app, question(app))).toBe("it is in use");
  });
});

describe("a sleep of ours", () => {
  test("all others are asked, once the snapshot is stored, under the fence of the sleep", async () => {
    const instance = instanceWith({ state: awakeAt("shop") });
    const { world, scripted, app } = instance;
    scripted.answer = async ({ fence }) => {
      const [record] = (await scripted.registry.load()).records;
      expect(record).toMatchObject({ phase: "stopping", fence });
      expect(world.provider.calls).toEqual(["snapshot shop"]);
      return null;
    };
    const sinceMs = world.clock.now();
    await world.clock.advance(4000);
    expect(await sleepNow(instance, sinceMs)).toEqual({ kind: "asleep" });
    expect(scripted.questions).toEqual([{ ref: app.ref, fence: app.fence, unusedMs: 4000 }]);
  });

  test("another instance that says no keeps the app up, and everybody is told", async () => {
    const instance = instanceWith({ state: awakeAt("shop") });
    const { world, scripted, app } = instance;
    scripted.answer = async () => "b: it is in use";
    expect(await sleepNow(instance)).toEqual({ kind: "kept", why: "b: it is in use" });
    expect(world.provider.calls).toEqual(["snapshot shop"]);
    expect(app.state.kind).toBe("awake");
    const [record] = (await scripted.registry.load()).records;
    expect(record).toMatchObject({ phase: "awake", fence: app.fence });
  });

  test("a request that comes while the others are asked calls it off", async () => {
    const instance = instanceWith({ state: awakeAt("shop") });
    const { world, scripted } = instance;
    const asked = heldCall<null>();
    scripted.answer = () => asked.pass(new AbortController().signal);
    const sleeping = sleepNow(instance);
    await world.clock.advance(10);
    expect(admit(instance)).toMatchObject({ kind: "forward" });
    asked.open(null);
    expect(await sleeping).toMatchObject({ kind: "kept" });
    expect(world.provider.calls).not.toContain("sleep shop");
  });

  test("a claim that ran out unnoticed, as the process stood still, stops nothing", async () => {
    const instance = instanceWith({ state: awakeAt("shop") });
    const { world, scripted } = instance;
    scripted.answer = async () => {
      scripted.lose(false);
      return null;
    };
    expect(await sleepNow(instance)).toMatchObject({ kind: "kept" });
    expect(world.provider.calls).not.toContain("sleep shop");
  });

  test("a claim that is lost during the stop leaves it to others how the app is", async () => {
    const instance = instanceWith({ state: awakeAt("shop") });
    const { world, scripted, app } = instance;
    const call = heldCall<never>();
    world.provider.script.sleep = (_id, _snapshot, signal) => call.pass(signal);
    const sleeping = sleepNow(instance);
    await world.clock.advance(10);
    scripted.lose(true);
    expect(await sleeping).toMatchObject({ kind: "failed" });
    expect(app.state.kind).toBe("unknown");
    await world.clock.advance(1);
    // The others have let go of it: they must hear that nothing came of the stop.
    const [record] = (await scripted.registry.load()).records;
    expect(record).toMatchObject({ phase: "unknown", fence: app.fence });
  });

  test("without the registry nothing is put to sleep", async () => {
    const instance = instanceWith({ state: awakeAt("shop") });
    instance.scripted.trouble = "connection refused";
    expect(await sleepNow(instance)).toMatchObject({ kind: "kept" });
    expect(instance.world.provider.calls).toEqual([]);
  });
});

describe("a wake of ours", () => {
  test("a claim that ran out unnoticed calls no platform", async () => {
    const { world, scripted, app } = instanceWith();
    world.hooks.beforeStart = async () => {
      scripted.lose(false);
      return { ok: true };
    };
    expect(await world.core.lifecycle.wake(app, CAUSE)).toMatchObject({ kind: "failed" });
    expect(world.provider.calls).toEqual([]);
    expect(app.state.kind).toBe("unknown");
  });

  test("one that is lost ends nothing that another instance may have begun", async () => {
    const provider = createStubProvider({ sleepAfterFailedWake: true });
    const { world, scripted, app } = instanceWith({}, provider);
    const call = heldCall<never>();
    provider.script.wake = (_id, _snapshot, signal) => call.pass(signal);
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(10);
    scripted.lose(true);
    expect(await waking).toMatchObject({ kind: "failed" });
    expect(provider.calls).toEqual(["wake shop"]);
  });

  test("one whose claim ends because the registry is away goes on without it", async () => {
    const { world, scripted, app } = instanceWith();
    const call = heldCall<Step>();
    world.provider.script.wake = (_id, _snapshot, signal) => call.pass(signal);
    const waking = world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(10);
    scripted.trouble = "connection refused";
    scripted.lose(true);
    await world.clock.advance(1000);
    // Back again, the registry has what was stored of this very wake.
    scripted.trouble = null;
    world.core.lifecycle.adopt(app, { ...recordOf(app), phase: "unknown" });
    world.provider.up.add("shop");
    call.open({ done: true, target: sampleTarget("shop") });
    expect(await waking).toMatchObject({ kind: "awake" });
    expect(app.state.kind).toBe("awake");
  });

  test("without the registry it is tried all the same", async () => {
    const { world, scripted, app } = instanceWith();
    scripted.trouble = "connection refused";
    expect(await world.core.lifecycle.wake(app, CAUSE)).toMatchObject({ kind: "awake" });
    expect(world.core.lifecycle.isUnsaved(app)).toBe(false);
  });
});

describe("apps that run as children of an instance", () => {
  const childrenHere = () => createStubProvider({ runsApps: true, sleepAfterFailedWake: true });

  test("what this instance wakes is stored as running here", async () => {
    const { world, scripted, app } = instanceWith({}, childrenHere());
    await world.core.lifecycle.wake(app, CAUSE);
    await world.clock.advance(10);
    expect((await scripted.registry.load()).records).toMatchObject([{ runsAt: "here" }]);
  });

  test("what a gone instance has left of it is ended before it is started here", async () => {
    const taken: string[] = [];
    const provider = {
      ...childrenHere(),
      async takeOver(id: string, at: string) {
        expect(provider.calls).toEqual([]);
        taken.push(`${id} ${at}`);
      },
    };
    const { world, app } = instanceWith({ state: awakeAt("shop"), runsAt: "there" }, provider);
    provider.up.delete("shop");
    world.core.lifecycle.targetIsDown(app, sampleTarget("shop"), CAUSE);
    await world.clock.advance(100);
    expect(taken).toEqual(["shop there"]);
    expect(provider.calls).toEqual(["wake shop"]);
    expect(app.runsAt).toBe("here");
  });

  test("of one that runs elsewhere our own provider knows nothing, and we do not stop it", async () => {
    const instance = instanceWith({ state: awakeAt("shop"), runsAt: "there" }, childrenHere());
    const { world, app } = instance;
    world.core.lifecycle.observe(app, { observation: { phase: "asleep", target: null } });
    expect(app.state.kind).toBe("awake");
    expect(await sleepNow(instance)).toEqual({ kind: "kept", why: "another instance runs it" });
    expect(world.core.sweeper.plan()).toMatchObject([
      { sleep: false, why: "runs at another instance, there" },
    ]);
  });

  test("one that another instance has taken over ends here, once nobody uses it any more", async () => {
    const provider = childrenHere();
    const { world, app } = instanceWith({ state: awakeAt("shop"), runsAt: "here" }, provider);
    world.core.activity.begin(app);
    const target = sampleTarget("shop", 9999);
    const record = storedElsewhere(app, { phase: "awake", target, runsAt: "there" });
    world.core.lifecycle.adopt(app, record);
    await world.clock.advance(2000);
    expect(provider.calls).toEqual([]);
    world.core.activity.end(app);
    await world.clock.advance(1000);
    expect(provider.calls).toEqual(["sleep shop"]);
    expect(app.state).toMatchObject({ kind: "awake", target });
  });
});

describe("sweeps of several instances", () => {
  test("only the leader puts apps to sleep, and tells what was seen of them", async () => {
    const { world, scripted, app } = instanceWith({ state: awakeAt("shop") });
    scripted.isLeader = false;
    await world.clock.advance(120_000);
    await world.core.sweeper.sweep();
    await world.core.sweeper.sweep();
    expect(world.core.sweeper.plan()).toMatchObject([
      { sleep: false, why: "another instance leads" },
    ]);
    world.provider.up.delete("shop");
    await world.core.sweeper.sweep();
    expect(app.state.kind).toBe("asleep");
    expect(world.events).toEqual([]);
  });

  test("an app in use at another instance is in use", async () => {
    const { world, app } = instanceWith({ state: awakeAt("shop") });
    world.core.activity.useElsewhere(app, 2, 0);
    expect(isInUse(app)).toBe(true);
    await world.clock.advance(120_000);
    world.core.activity.useElsewhere(app, 0, 1500);
    expect(isInUse(app)).toBe(false);
    expect(app.idleSinceMs).toBe(world.clock.now() - 1500);
    // What is older than what is known here makes nothing older.
    world.core.activity.useElsewhere(app, 0, 90_000);
    expect(app.idleSinceMs).toBe(world.clock.now() - 1500);
  });
});
