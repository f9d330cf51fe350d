import { describe, expect, test } from "bun:test";
import type { App } from "../src/app.ts";
import { readWindows } from "../src/time-words.ts";
import type { IgnoreRule } from "../src/wake-policy.ts";
import { headFor, NAVIGATION } from "./support/request-head.ts";
import { awakeAt, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

const MONITOR: IgnoreRule = {
  userAgents: ["monitor"],
  paths: null,
  methods: null,
  bots: false,
  prefetch: false,
  status: 503,
};
const AS_MONITOR = { "user-agent": "Monitor/1.0" };

function monitored(status = 503, world = createSmallWorld()): SmallWorld {
  world.policies.set("shop", { ignore: [{ ...MONITOR, status }], maxIdleMs: 60_000 });
  return world;
}

/** What the core decides about a request of the monitor, or of somebody else. */
function ask(world: SmallWorld, headers: Readonly<Record<string, string>> = AS_MONITOR) {
  return world.core.handler.admit(headFor("shop.test", { headers }));
}

function answerOf(world: SmallWorld, headers?: Readonly<Record<string, string>>) {
  const admission = ask(world, headers);
  if (admission.kind !== "answer") throw new Error(`an answer, not ${admission.kind}`);
  const { status, headers: own, body } = admission.answer;
  return { status, body: String(body), headers: Object.fromEntries(own) };
}

/** Forwards it, and lets it end after a while. */
async function forwarded(
  world: SmallWorld,
  headers: Readonly<Record<string, string>>,
  lastsMs = 0,
) {
  const admission = ask(world, headers);
  if (admission.kind !== "forward") throw new Error(`forwarded, not ${admission.kind}`);
  await world.clock.advance(lastsMs);
  world.core.handler.release(admission);
}

describe("wake.ignore: a request that is ignored", () => {
  test("does not wake a sleeping app, and is told that it sleeps", async () => {
    const world = monitored();
    const app = world.add("shop");
    const answer = answerOf(world);
    await world.clock.advance(10_000);
    expect(answer).toMatchObject({
      status: 503,
      headers: {
        "paastis-error": "app_asleep",
        "paastis-state": "asleep",
        "Retry-After": "3600",
        "Cache-Control": "no-store",
      },
    });
    expect(app.state.kind).toBe("asleep");
    expect(world.provider.calls).toEqual([]);
    expect(app.leases).toBe(0);
  });

  test("gets the status that its entry says, and is not asked to come back", () => {
    const world = monitored(200);
    world.add("shop");
    const { status, headers } = answerOf(world);
    expect(status).toBe(200);
    expect(headers).toMatchObject({ "paastis-state": "asleep" });
    expect(headers).not.toHaveProperty("Retry-After");
  });

  test("never gets the waiting page, even when it navigates or asks for progress", async () => {
    const world = monitored();
    world.add("shop");
    const page = answerOf(world, { ...AS_MONITOR, ...NAVIGATION });
    expect(page.headers["paastis-error"]).toBe("app_asleep");
    expect(page.headers["Content-Type"]).toContain("text/html");
    expect(answerOf(world, { ...AS_MONITOR, "paastis-progress": "1" }).status).toBe(503);
    await world.clock.advance(5000);
    expect(world.provider.calls).toEqual([]);
  });

  test("is forwarded to an app that is awake, and does not start its idle clock anew", async () => {
    const world = monitored();
    const app = world.add("shop", { state: awakeAt("shop") });
    const { idleSinceMs } = app;
    await world.clock.advance(30_000);
    await forwarded(world, AS_MONITOR);
    expect(app).toMatchObject({ idleSinceMs, lastUsedMs: null, leases: 0 });
    expect(world.core.activity.takeUses()).toEqual([]);
    await forwarded(world, {});
    expect(app.idleSinceMs).toBe(world.clock.now());
  });

  test("keeps its app up while it runs, and no longer", async () => {
    const world = monitored();
    const app = world.add("shop", { state: awakeAt("shop") });
    await world.core.sweeper.sweep();
    const admission = ask(world);
    await world.clock.advance(120_000);
    await (await world.core.sweeper.sweep()).done;
    expect(app.state.kind).toBe("awake");
    if (admission.kind !== "forward") throw new Error("forwarded");
    world.core.handler.release(admission);
    await (await world.core.sweeper.sweep()).done;
    expect(app.state.kind).toBe("asleep");
  });

  test("is told so while the app wakes for somebody else, and while it stops", async () => {
    const provider = createStubProvider();
    const waking = heldCall<{ done: true; target: null }>();
    provider.script.wake = (_id, _snapshot, signal) => waking.pass(signal);
    const world = monitored(200, createSmallWorld({ provider }));
    const app = world.add("shop");
    const other = ask(world, {});
    await world.clock.advance(10);
    expect(app.state.kind).toBe("waking");
    expect(answerOf(world)).toMatchObject({ status: 200, headers: { "paastis-state": "waking" } });
    expect(app.leases).toBe(1);
    if (other.kind === "held") other.abandon();
    await world.core.lifecycle.close();
  });

  test("learns that its app has failed, whatever status it is given otherwise", () => {
    const world = monitored(200);
    const state = { kind: "failed", sinceMs: 0, why: "it crashed", retryAtMs: 0 } as const;
    world.add("shop", { state });
    const { status, headers } = answerOf(world);
    expect(status).toBe(503);
    expect(headers).toMatchObject({ "paastis-error": "app_failed", "paastis-state": "failed" });
    expect(world.provider.calls).toEqual([]);
  });

  test("does not wake an app that it finds down, although that was taken to be up", async () => {
    const world = monitored();
    const app = world.add("shop", { state: awakeAt("shop") });
    world.provider.up.delete("shop");
    const admission = ask(world);
    if (admission.kind !== "forward") throw new Error("forwarded");
    const failure = { kind: "unreachable", message: "refused", replayable: true } as const;
    const next = world.core.handler.failed(admission, failure);
    await world.clock.advance(1000);
    expect(next).toMatchObject({ kind: "answer", answer: { status: 503 } });
    expect(world.provider.calls).toEqual([]);
    expect(app.leases).toBe(0);
  });

  test("nor by its platform's page that says so", async () => {
    const provider = createStubProvider({ isDownAnswer: (status) => status === 404 });
    const world = monitored(200, createSmallWorld({ provider }));
    const app = world.add("shop", { state: awakeAt("shop") });
    provider.up.delete("shop");
    const admission = ask(world);
    if (admission.kind !== "forward") throw new Error("forwarded");
    const head = { status: 404, header: () => null };
    const next = world.core.handler.answered(admission, head, true);
    await world.clock.advance(1000);
    expect(next).toMatchObject({ kind: "answer", answer: { status: 200 } });
    expect(world.provider.calls).toEqual([]);
    expect(app.leases).toBe(0);
  });

  test("tries an app of which nobody knows how it is where it was last, and is told when it is not there", async () => {
    const world = monitored();
    world.add("shop", {
      state: { kind: "unknown", sinceMs: 0 },
      lastTarget: sampleTarget("shop"),
    });
    await world.core.reconciler.run({ kind: "start", detail: "" });
    const app = world.core.table.byKey("shop");
    if (app === null) throw new Error("there is the app");
    app.state = { kind: "unknown", sinceMs: 0 };
    const admission = ask(world);
    if (admission.kind !== "forward") throw new Error(`forwarded, not ${admission.kind}`);
    const failure = { kind: "unreachable", message: "refused", replayable: true } as const;
    expect(world.core.handler.failed(admission, failure)).toMatchObject({ kind: "answer" });
    await world.clock.advance(1000);
    expect(world.provider.calls).toEqual([]);
  });

  test("wakes no linked apps", async () => {
    const world = monitored();
    world.policies.set("shop", { ignore: [MONITOR], linkedKeys: ["db"] });
    const database = world.add("db");
    world.add("shop", { state: awakeAt("shop") });
    await forwarded(world, AS_MONITOR, 1000);
    expect(database.state.kind).toBe("asleep");
    await forwarded(world, {}, 1000);
    expect(database.state.kind).toBe("awake");
  });
});

describe("force_sleep: a request within the window", () => {
  // The virtual clock starts at 2023-11-14T22:13:20Z.
  const night = readWindows("20:00-07:00 UTC", "UTC");
  const windows = "windows" in night ? night.windows : [];

  function dark(mayBeWoken = false, changes: Partial<App> = {}) {
    const world = createSmallWorld();
    const forceSleep = windows.map((window) => ({ ...window, mayBeWoken }));
    world.policies.set("shop", { forceSleep });
    return { world, app: world.add("shop", changes) };
  }

  test("is told until when the app sleeps, and does not wake it", async () => {
    const { world } = dark();
    const { status, headers, body } = answerOf(world, {});
    await world.clock.advance(5000);
    expect(status).toBe(503);
    expect(headers).toMatchObject({ "paastis-error": "app_asleep", "paastis-state": "asleep" });
    // Eight hours, 46 minutes and 40 seconds.
    expect(headers["Retry-After"]).toBe("31600");
    expect(body).toContain("it sleeps until Wed 07:00 (UTC), by its schedule");
    expect(world.provider.calls).toEqual([]);
  });

  test("does not wake it by asking how its wake goes, either", async () => {
    const { world } = dark();
    expect(answerOf(world, { "paastis-progress": "1" }).status).toBe(503);
    await world.clock.advance(5000);
    expect(world.provider.calls).toEqual([]);
  });

  test("wakes it where the window says so", async () => {
    const { world, app } = dark(true);
    expect(ask(world, {}).kind).toBe("held");
    await world.clock.advance(1000);
    expect(app.state.kind).toBe("awake");
  });

  test("is served by an app that somebody has woken", () => {
    const { world } = dark(false, { state: awakeAt("shop") });
    expect(ask(world, {}).kind).toBe("forward");
  });

  test("waits for a wake that an operator has begun", async () => {
    const { world, app } = dark();
    const woken = world.core.lifecycle.wake(app, { kind: "command", detail: "wake" });
    const admission = ask(world, {});
    if (admission.kind !== "held") throw new Error(`held, not ${admission.kind}`);
    await world.clock.advance(1000);
    expect((await woken).kind).toBe("awake");
    const decision = await admission.decision;
    if (decision.kind === "forward") world.core.handler.release(decision);
    await (await world.core.sweeper.sweep()).done;
    await world.clock.advance(30_000);
    await (await world.core.sweeper.sweep()).done;
    expect(app.state.kind).toBe("awake");
  });

  test("does not wake an app that it finds down, although that was taken to be up", async () => {
    const { world } = dark(false, { state: awakeAt("shop") });
    world.provider.up.delete("shop");
    const admission = ask(world, {});
    if (admission.kind !== "forward") throw new Error("forwarded");
    const failure = { kind: "unreachable", message: "refused", replayable: true } as const;
    const next = world.core.handler.failed(admission, failure);
    await world.clock.advance(1000);
    expect(next).toMatchObject({ kind: "answer", answer: { status: 503 } });
    expect(world.provider.calls).toEqual([]);
  });

  test("wakes it when the window is over", async () => {
    const { world, app } = dark();
    await world.clock.advance(31_600_000);
    expect(ask(world, {}).kind).toBe("held");
    await world.clock.advance(1000);
    expect(app.state.kind).toBe("awake");
  });

  test("the sweep puts an app to sleep that was used a moment ago", async () => {
    const { world, app } = dark(false, { state: awakeAt("shop") });
    await world.core.sweeper.sweep();
    await forwarded(world, {}, 1000);
    await (await world.core.sweeper.sweep()).done;
    expect(app.state.kind).toBe("asleep");
    expect(world.events.find(({ name }) => name === "APP_STOPPED")?.cause.detail).toContain(
      "by force_sleep",
    );
  });
});
