/** The provider `fly` against the fake: the contract, and what only Fly.io does. */

import { describe, expect, test } from "bun:test";
import type { Snapshot } from "../src/app.ts";
import { sleep } from "../src/clock.ts";
import { describeProvider, finish, patient, rejection, untilPhase } from "./contract/provider.ts";
import { answersHtml, answersText, neverAnswers, resetsAfter } from "./fakes/fake-faults.ts";
import type { FakeFlyOptions } from "./fakes/fake-fly.ts";
import type { NewMachine } from "./fakes/fake-fly-control.ts";
import { phaseOf, sleepFully, startFly, wakeFully } from "./support/fly-provider.ts";
import { until } from "./support/until.ts";

/** What the documents leave open: the provider must live with both. */
const MOODS: readonly (readonly [string, Partial<FakeFlyOptions>])[] = [
  ["strict", {}],
  ["generous", { startOfStarted: "accepted", retryAfterSeconds: 1 }],
];

for (const [mood, options] of MOODS) {
  describeProvider(`fly (${mood})`, async () => {
    const world = await startFly(options);
    const app = world.fake.addApp("demo-app", { machines: [{ state: "stopped" }] });
    return {
      provider: world.provider,
      appId: app.id,
      async [Symbol.asyncDispose]() {
        await world[Symbol.asyncDispose]();
        expect(world.fake.violations).toEqual([]);
      },
    };
  });
}

const ON: NewMachine = { state: "started" };
const OFF: NewMachine = { state: "stopped" };

function membersOf(snapshot: Snapshot): number {
  return snapshot.kind === "members" ? snapshot.ids.length : -1;
}

describe.concurrent("fly: discovery", () => {
  test("300 apps cost one call, and none is looked at", async () => {
    await using world = await startFly();
    for (let n = 0; n < 300; n += 1) world.fake.addApp(`app-number-${n}`);
    world.fake.addApp("foreign-app", { org: "acme" });
    const listings = await world.provider.list(patient());
    expect(listings).toHaveLength(300);
    expect(listings.every(({ observation }) => observation === null)).toBe(true);
    expect(listings[0]?.target?.host).toMatch(/^app-number-0\.localhost:\d+$/);
    expect(world.callsSince()).toEqual(["apps.list"]);
    expect(world.fake.violations).toEqual([]);
  });

  test("an app without machines, and one whose machines take no requests, are left alone", async () => {
    await using world = await startFly();
    world.fake.addApp("empty-app", { machines: [] });
    const worker = world.fake.addApp("worker-app", { machines: [{ hasServices: false }] });
    const release = world.fake.addApp("release-app", {
      machines: [{ ...ON, group: "fly_app_release_command" }, OFF],
    });
    const [empty] = await world.provider.list(patient());
    expect(empty?.observation?.phase).toBe("unmanaged");
    expect(await phaseOf(world, worker)).toBe("unmanaged");
    expect(await phaseOf(world, release)).toBe("asleep");
    const error = await rejection(world.provider.takeSnapshot(worker.id, patient()));
    expect(error.kind).toBe("invalid");
    expect(world.fake.violations).toEqual([]);
  });

  test.each([
    ["stop", true],
    ["suspend", true],
    [true, true],
  ] as const)(
    "an app that Fly.io's proxy stops (%p) is left to it",
    async (autostop, autostart) => {
      await using world = await startFly();
      const app = world.fake.addApp("auto-app", { machines: [{ autostop, autostart }] });
      await phaseOf(world, app);
      expect((await world.provider.list(patient()))[0]?.sleepsByItself).toBe(true);
      const error = await rejection(world.provider.takeSnapshot(app.id, patient()));
      expect([error.kind, error.message.includes("by itself")]).toEqual(["invalid", true]);
      expect(world.fake.api.journal.filter(({ method }) => method !== "GET")).toEqual([]);
    },
  );

  test("one that the proxy stops and does not start, or starts and does not stop, is ours", async () => {
    await using world = await startFly();
    const stopped = world.fake.addApp("stops-app", { machines: [{ ...OFF, autostop: "stop" }] });
    const started = world.fake.addApp("starts-app", { machines: [{ autostart: true }] });
    await wakeFully(world, stopped);
    await sleepFully(world, started);
    const listings = await world.provider.list(patient());
    expect(listings.map(({ sleepsByItself }) => sleepsByItself)).toEqual([false, false]);
    expect([stopped.states, started.states]).toEqual([["started"], ["suspended"]]);
    expect(world.fake.violations).toEqual([]);
  });

  test("unknown fields and words do no harm", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app");
    world.fake.api.beStrange({ hasUnknownFields: true, words: { state: "hibernating" } });
    expect(await world.provider.list(patient())).toHaveLength(1);
    const seen = await world.provider.observe(app.id, patient());
    expect([seen.phase, seen.reason]).toEqual([
      "unknown",
      'Fly.io says of a machine: "hibernating"',
    ]);
  });

  test.each([
    ["fo1_abc", "Bearer fo1_abc"],
    ["FlyV1 fm2_abc,fm2_def", "FlyV1 fm2_abc,fm2_def"],
    ["fm1r_abc", "FlyV1 fm1r_abc"],
  ])("the token %s is sent with its scheme", async (token, header) => {
    const bare = header.replace(/^\S+ /, "");
    await using world = await startFly({ token: bare, config: { token } });
    await world.provider.list(patient());
    expect(world.fake.api.journal[0]?.headers.authorization).toBe(header);
    expect(world.fake.violations).toEqual([]);
  });
});

describe.concurrent("fly: phases", () => {
  test.each<[string, readonly NewMachine[]]>([
    ["awake", [OFF, ON]],
    ["awake", [{ check: "warning" }]],
    ["awake", [{ check: "critical" }, { check: "passing" }]],
    ["waking", [{ check: "critical" }]],
    ["waking", [{ state: "starting" }, OFF]],
    ["stopping", [{ state: "suspending" }, OFF]],
    ["asleep", [OFF, { state: "suspended" }, { state: "created" }]],
    ["asleep", [OFF, { state: "failed" }]],
    ["deploying", [ON, { state: "replacing" }]],
    ["deploying", [{ state: "updating" }]],
    ["failed", [{ state: "failed" }, { state: "launch_failed" }]],
  ])("%s: %j", async (phase, machines) => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app", { machines });
    expect(await phaseOf(world, app)).toBe(phase);
  });

  test("an app that ended with an error has failed, one that somebody stopped sleeps", async () => {
    await using world = await startFly();
    const crashed = world.fake.addApp("crashed-app", { machines: [ON, OFF] });
    crashed.crash(0);
    const seen = await world.provider.observe(crashed.id, patient());
    expect([seen.phase, seen.reason]).toEqual([
      "failed",
      expect.stringContaining("ended with exit code 1"),
    ]);
    const stopped = world.fake.addApp("stopped-app", { machines: [ON, ON] });
    stopped.crash(0);
    await until(() => world.clock.now() > (stopped.machines[0]?.updatedAtMs ?? 0));
    stopped.stop(1);
    await until(() => stopped.states[1] === "stopped");
    expect(await phaseOf(world, stopped)).toBe("asleep");
  });

  test("a machine whose host cannot be reached serves nobody, whatever it says", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app", { machines: [ON, OFF] });
    app.change(0, { hostStatus: "unreachable" });
    expect(await phaseOf(world, app)).toBe("asleep");
    const snapshot: Snapshot = {
      kind: "members",
      ids: [`${app.machines[0]?.id}/app/cdg`],
      mode: "stop",
    };
    await wakeFully(world, app, snapshot);
    expect(app.states).toEqual(["started", "started"]);
    const alone = world.fake.addApp("alone-app");
    alone.change(0, { hostStatus: "unreachable" });
    const seen = await world.provider.observe(alone.id, patient());
    expect([seen.phase, seen.reason]).toEqual(["unknown", expect.stringContaining("host")]);
  });
});

describe.concurrent("fly: sleep and wake", () => {
  test("only the machines that ran come back, the spares stay down", async () => {
    await using world = await startFly();
    const machines = [ON, OFF, ON, { state: "suspended" }] as const;
    const app = world.fake.addApp("demo-app", { machines });
    const snapshot = await sleepFully(world, app);
    expect(app.states).toEqual(["suspended", "stopped", "suspended", "suspended"]);
    expect(await phaseOf(world, app)).toBe("asleep");
    await wakeFully(world, app, snapshot);
    await until(() => app.states.filter((state) => state === "started").length === 2);
    expect(app.states).toEqual(["started", "stopped", "started", "suspended"]);
    expect([world.fake.api.count("start"), world.fake.api.count("suspend")]).toEqual([2, 2]);
    expect([world.fake.rateLimited, world.fake.violations]).toEqual([0, []]);
  });

  test("a sleep costs two looks, and a wake one, within one call a second of a kind", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app");
    const snapshot = await sleepFully(world, app);
    expect(world.callsSince()).toEqual(["machines.list", "lease", "suspend", "machines.list"]);
    expect(await phaseOf(world, app)).toBe("asleep");
    await wakeFully(world, app, snapshot);
    expect(world.callsSince()).toEqual(["start", "wait", "machines.list"]);
    expect(await phaseOf(world, app)).toBe("awake");
    expect(world.callsSince()).toEqual(["machines.list"]);
    expect([world.fake.rateLimited, world.fake.violations]).toEqual([0, []]);
  });

  test("a machine that is gone is replaced by one of its group and region, and by no other", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app", {
      machines: [
        { ...ON, region: "ams" },
        { ...OFF, region: "ams", group: "admin" },
        { ...OFF, region: "cdg" },
        { ...OFF, region: "ams" },
      ],
    });
    const snapshot = await sleepFully(world, app);
    app.destroy(0);
    await wakeFully(world, app, snapshot);
    expect(app.states).toEqual(["stopped", "stopped", "started"]);
    await sleepFully(world, app);
    app.destroy(2);
    await wakeFully(world, app, snapshot);
    expect(app.states).toEqual(["stopped", "started"]);
    expect(world.fake.violations).toEqual([]);
  });

  test("without a snapshot one machine is started", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app", { machines: [OFF, OFF, OFF] });
    const step = await wakeFully(world, app, null);
    expect(step.target?.origin).toBe(app.address);
    expect(app.states).toEqual(["started", "stopped", "stopped"]);
  });

  test.each([400, 403, 412, 422])(
    "a machine whose suspend is answered %i is stopped instead",
    async (suspendRefusal) => {
      await using world = await startFly();
      const machines = [{ ...ON, suspendRefusal }, ON];
      const app = world.fake.addApp("demo-app", { machines });
      await sleepFully(world, app);
      expect(app.states).toEqual(["stopped", "suspended"]);
      expect(world.fake.violations).toEqual([]);
    },
  );

  test("with the mode stop nothing is suspended", async () => {
    await using world = await startFly({ config: { sleepMode: "stop" } });
    const app = world.fake.addApp("demo-app");
    await sleepFully(world, app);
    expect([app.states, world.fake.api.count("suspend")]).toEqual([["stopped"], 0]);
  });

  test.each([409, 422, 503])(
    "a start that is answered %i for want of room is made on a spare",
    async (noRoomStatus) => {
      await using world = await startFly({ noRoomStatus });
      const app = world.fake.addApp("demo-app", { machines: [ON, OFF, OFF] });
      const snapshot = await sleepFully(world, app);
      app.nextBoots(0, { outcome: "no-room" });
      app.nextBoots(1, { outcome: "no-room" });
      await wakeFully(world, app, snapshot);
      expect(app.states).toEqual(["suspended", "stopped", "started"]);
      expect(world.fake.violations).toEqual([]);
    },
  );

  test("without a spare the want of room is told, as what it is", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app", { machines: [OFF] });
    app.nextBoots(0, { outcome: "no-room" });
    const error = await rejection(world.provider.wake(app.id, null, patient()));
    expect([error.kind, error.message]).toEqual(["failed", expect.stringContaining("no room")]);
  });

  test("an app that is being deployed is not stopped: not by its state, nor by its lease", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app", { machines: [ON, ON] });
    app.beginReplacing();
    const seen = await rejection(world.provider.takeSnapshot(app.id, patient()));
    expect([seen.kind, seen.message]).toEqual(["busy", expect.stringContaining("deployed")]);
    app.endDeploy();
    app.beginDeploy();
    const held = await rejection(world.provider.takeSnapshot(app.id, patient()));
    expect([held.kind, held.message]).toEqual(["busy", expect.stringContaining("deployed")]);
    app.endDeploy();
    const snapshot = await world.provider.takeSnapshot(app.id, patient());
    app.beginDeploy();
    const refused = await rejection(world.provider.sleep(app.id, snapshot, patient()));
    expect([refused.kind, refused.message]).toEqual(["busy", expect.stringContaining("lease")]);
    expect(app.states).toEqual(["started", "started"]);
    app.endDeploy();
    await sleepFully(world, app);
    expect(world.fake.violations).toEqual([]);
  });

  test("a wake waits for a lease to be given back, and starts the machine then", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app", { machines: [OFF] });
    app.beginDeploy();
    const first = await world.provider.wake(app.id, null, patient());
    app.endDeploy();
    await finish(world.provider, app.id, first);
    expect(app.states).toEqual(["started"]);
  });

  test("machines that a deployment has replaced while an app wakes are followed instead", async () => {
    await using world = await startFly({ bootMs: 5_000 });
    const app = world.fake.addApp("demo-app", { machines: [OFF] });
    const first = await world.provider.wake(app.id, null, patient());
    app.destroy(0);
    app.add({ state: "stopped" });
    await finish(world.provider, app.id, first);
    expect(app.serving).toBe(1);
  });

  test.each(["crashes", "exits"] as const)(
    "an app that %s at its start fails at once, and is not started over and over",
    async (outcome) => {
      await using world = await startFly();
      const app = world.fake.addApp("demo-app", { machines: [OFF] });
      app.nextBoots(0, { outcome }, { outcome }, { outcome });
      const begunMs = world.clock.now();
      const error = await rejection(wakeFully(world, app));
      expect([error.kind, error.message]).toEqual(["failed", expect.stringContaining("exit code")]);
      expect(world.fake.api.count("start")).toBe(1);
      expect(world.clock.now() - begunMs).toBeLessThan(20_000);
    },
  );

  test("one that has crashed before is started once more", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app");
    app.crash(0);
    await wakeFully(world, app);
    expect(app.states).toEqual(["started"]);
  });

  test.each([true, false])(
    "a failed machine is tried, or said to be failed (%p)",
    async (starts) => {
      await using world = await startFly({ startsFailed: starts });
      const app = world.fake.addApp("demo-app", { machines: [{ state: "failed" }] });
      if (starts) {
        await wakeFully(world, app);
        expect(app.states).toEqual(["started"]);
        return;
      }
      const error = await rejection(wakeFully(world, app));
      expect([error.kind, error.message]).toEqual(["failed", expect.stringContaining("failed")]);
    },
  );

  test("a machine that fails at its start is told at once", async () => {
    await using world = await startFly({ startsFailed: false });
    const app = world.fake.addApp("demo-app", { machines: [OFF] });
    app.nextBoots(0, { outcome: "fails" });
    expect((await rejection(wakeFully(world, app))).kind).toBe("failed");
  });

  test("it is up when its checks pass, and not before; one that never does is left to its address", async () => {
    await using world = await startFly({ config: { operationTimeoutMs: 20_000 } });
    const app = world.fake.addApp("demo-app", { machines: [{ ...OFF, check: "critical" }] });
    const begunMs = world.clock.now();
    const waking = wakeFully(world, app);
    await until(() => world.clock.now() - begunMs > 6_000);
    app.change(0, { check: "passing" });
    await waking;
    expect(world.clock.now() - begunMs).toBeLessThan(20_000);
    const never = world.fake.addApp("never-app", { machines: [{ ...OFF, check: "critical" }] });
    const step = await wakeFully(world, never);
    expect(step.target?.origin).toBe(never.address);
    expect([world.fake.rateLimited, world.fake.violations]).toEqual([0, []]);
  });

  test("a wait that ends early does not make for calls without a pause", async () => {
    await using world = await startFly({ bootMs: 5_000 });
    const app = world.fake.addApp("demo-app", { machines: [OFF] });
    world.fake.api.fail("wait", answersText(408, "deadline_exceeded"), Number.POSITIVE_INFINITY);
    await wakeFully(world, app);
    expect(world.fake.api.count("wait")).toBeLessThanOrEqual(7);
    expect(world.fake.rateLimited).toBe(0);
  });

  test("two machines of which one was stopped come back both, although the first sleep failed", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app", { machines: [ON, ON] });
    const second = app.machines[1]?.id ?? "";
    world.fake.api.fail(({ path }) => path.includes(second), answersText(422, "no"), 2);
    const snapshot = await world.provider.takeSnapshot(app.id, patient());
    await rejection(world.provider.sleep(app.id, snapshot, patient()));
    await until(() => app.states[0] === "suspended");
    expect(app.states).toEqual(["suspended", "started"]);
    const later = await sleepFully(world, app);
    expect(membersOf(later)).toBe(2);
    await wakeFully(world, app, later);
    await until(() => app.states.every((state) => state === "started"));
  });

  test("what an earlier run has left down of a stop comes back with the next wake", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app", { machines: [ON, ON, OFF] });
    const left = await world.provider.takeSnapshot(app.id, patient());
    app.setState(0, "suspended");
    const next = world.nextRun();
    next.recallSleep?.(app.id, world.clock.now(), left);
    expect(await next.takeSnapshot(app.id, patient())).toEqual(left);
  });

  test("somebody who starts it while it goes to sleep is heard", async () => {
    await using world = await startFly({ stopMs: 500 });
    const app = world.fake.addApp("demo-app");
    const snapshot = await world.provider.takeSnapshot(app.id, patient());
    const first = await world.provider.sleep(app.id, snapshot, patient());
    await until(() => app.states[0] === "suspended");
    app.setState(0, "started");
    const error = await rejection(finish(world.provider, app.id, first));
    expect([error.kind, error.message]).toEqual(["failed", expect.stringContaining("anew")]);
  });

  test("an app that is gone is not-found, whatever is asked", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("gone-app", { machines: [OFF] });
    const first = await world.provider.wake(app.id, null, patient());
    world.fake.deleteApp(app);
    expect((await rejection(finish(world.provider, app.id, first))).kind).toBe("not-found");
    expect((await rejection(world.provider.observe(app.id, patient()))).kind).toBe("not-found");
  });
});

describe.concurrent("fly: when calls go wrong", () => {
  test.each(MOODS)("a start whose answer was lost is joined (%s)", async (_, options) => {
    await using world = await startFly(options);
    const app = world.fake.addApp("lost-app", { machines: [OFF] });
    world.fake.api.fail("start", resetsAfter());
    await wakeFully(world, app);
    expect(app.states).toEqual(["started"]);
    expect(app.machines[0]?.events.filter(({ type }) => type === "start")).toHaveLength(1);
    expect(world.fake.api.count("start")).toBe(1);
  });

  test("a suspend whose answer was lost stays one, and one that never arrived is made again", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("lost-app");
    const other = world.fake.addApp("other-app");
    world.fake.api.fail("suspend", resetsAfter());
    await sleepFully(world, app);
    world.fake.api.fail("suspend", answersText(502, "bad gateway"));
    await sleepFully(world, other);
    expect([app.states, other.states]).toEqual([["suspended"], ["suspended"]]);
    expect([world.fake.api.count("suspend"), world.fake.api.count("stop")]).toEqual([3, 0]);
  });

  test("a wait that never answers is given up, and the machine looked at", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("lost-app", { machines: [OFF] });
    world.fake.api.fail("wait", neverAnswers());
    await wakeFully(world, app);
    expect(app.states).toEqual(["started"]);
  });

  test("a token that is refused says which variable has it, and does not show it", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app");
    world.fake.setAccepted(false);
    const error = await rejection(world.provider.observe(app.id, patient()));
    expect(error.kind).toBe("auth");
    expect(error.message).toContain("PROVIDER_FLY_API_TOKEN");
    expect(JSON.stringify([world.lines, error.message])).not.toContain(world.fake.token);
  });

  test("by the platform's own id a call is found again in the log", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app");
    await phaseOf(world, app);
    expect(world.lines[0]?.fields.requestId).toMatch(/^req/);
  });

  test("an API that answers HTML is tried again", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app");
    world.fake.api.fail("machines.list", answersHtml(502), 2);
    expect(await phaseOf(world, app)).toBe("awake");
  });

  test.each([null, 2])(
    "one call too many for a machine is no minute of silence for the account (Retry-After: %p)",
    async (retryAfterSeconds) => {
      await using world = await startFly({ retryAfterSeconds });
      const app = world.fake.addApp("demo-app");
      const begunMs = world.clock.now();
      await Promise.allSettled(Array.from({ length: 8 }, () => phaseOf(world, app)));
      await world.provider.list(patient());
      expect(world.fake.rateLimited).toBeGreaterThan(0);
      expect(world.clock.now() - begunMs).toBeLessThan(30_000);
    },
  );
});

describe.concurrent("fly: the proxy's own answers", () => {
  test.each([502, 503])(
    "a %i says that no machine takes requests, until the app has been up for five seconds",
    async (noMachineStatus) => {
      await using world = await startFly({ noMachineStatus });
      const app = world.fake.addApp("demo-app", { machines: [OFF] });
      const { status, headers } = await fetch(app.address);
      expect(status).toBe(noMachineStatus);
      const { isDownAnswer, mayBeDownAnswer } = world.provider;
      const isDown = () => isDownAnswer?.(status, (name) => headers.get(name), app.id);
      expect(isDown()).toBe(true);
      await wakeFully(world, app);
      expect(isDown()).toBe(true);
      await sleep(world.clock, 5_000);
      expect([isDown(), mayBeDownAnswer?.(status)]).toEqual([false, true]);
      app.stop(0);
      await untilPhase(world.provider, app.id, "asleep");
      expect(isDown()).toBe(true);
    },
  );

  test("of an app that was up at the first look it is the app's own, as far as is known", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app");
    await phaseOf(world, app);
    const { isDownAnswer, mayBeDownAnswer } = world.provider;
    expect(isDownAnswer?.(503, () => null, app.id)).toBe(false);
    expect([500, 502, 503, 504].map((status) => mayBeDownAnswer?.(status))).toEqual([
      ...[false, true, true, true],
    ]);
  });
});

describe.concurrent("fly: workers", () => {
  const WORKER: NewMachine = { group: "worker", hasServices: false };

  test("they sleep with the app and come back with it, their spares stay down", async () => {
    await using world = await startFly();
    const machines = [ON, { ...WORKER, ...ON }, { ...WORKER, ...OFF }, OFF];
    const app = world.fake.addApp("demo-app", { machines });
    const snapshot = await sleepFully(world, app);
    expect(app.states).toEqual(["suspended", "suspended", "stopped", "stopped"]);
    await wakeFully(world, app, snapshot);
    const before = ["started", "started", "stopped", "stopped"];
    await until(() => app.states.join() === before.join());
    expect([world.fake.api.count("start"), world.fake.violations]).toEqual([2, []]);
  });

  test("one that runs does not make an app awake whose others are down", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app", { machines: [OFF, { ...WORKER, ...ON }] });
    expect(await phaseOf(world, app)).toBe("asleep");
    await wakeFully(world, app);
    expect(app.states).toEqual(["started", "started"]);
  });

  test("one that comes up does not hide that what takes requests cannot be started", async () => {
    await using world = await startFly();
    const app = world.fake.addApp("demo-app", { machines: [ON, { ...WORKER, ...ON }] });
    const snapshot = await sleepFully(world, app);
    app.nextBoots(0, { outcome: "crashes" });
    const error = await rejection(wakeFully(world, app, snapshot));
    expect([error.kind, error.message]).toEqual(["failed", expect.stringContaining("exit code 1")]);
  });

  test("what runs by a schedule, or is destroyed at its end, is left alone", async () => {
    await using world = await startFly();
    const machines = [
      ON,
      { ...WORKER, ...ON, isScheduled: true },
      { ...WORKER, ...ON, isDestroyedAtEnd: true },
    ];
    const app = world.fake.addApp("demo-app", { machines });
    expect(membersOf(await sleepFully(world, app))).toBe(1);
    expect(app.states).toEqual(["suspended", "started", "started"]);
    expect(world.fake.violations).toEqual([]);
  });
});
