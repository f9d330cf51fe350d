/** Sleeps on Scalingo: what they cost, what calls them off, and who gets the next turn. */

import { describe, expect, test } from "bun:test";

import type { Snapshot } from "../src/app.ts";
import type { Step } from "../src/providers/provider.ts";
import { finish, patient, rejection } from "./contract/provider.ts";
import { answersText } from "./fakes/fake-faults.ts";
import { type ScalingoTest, startScalingo } from "./support/scalingo-provider.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const kindsOf = ({ fake }: ScalingoTest) => fake.api.journal.map(({ kind }) => kind);

/** Puts an app to sleep as the core does, from the snapshot to the look that sees it down. */
async function putToSleep({ provider }: ScalingoTest, id: string): Promise<Snapshot> {
  const snapshot = await provider.takeSnapshot(id, patient());
  await finish(provider, id, await provider.sleep(id, snapshot, patient()));
  expect((await provider.observe(id, patient())).phase).toBe("asleep");
  return snapshot;
}

function operationOf(step: Step) {
  if (step.done) throw new Error("it has to be followed");
  return step.operation;
}

describe("scalingo: what a sleep costs", () => {
  test("five calls: formation, deployment, autoscalers, the scale, and one look that sees it down", async () => {
    await using world = await startScalingo({ stopMs: 1 });
    const app = world.fake.addApp("demo-app", { formation: { web: 2, worker: 1 } });
    await putToSleep(world, world.idOf(app));
    const kinds = kindsOf(world);
    expect(kinds.slice(0, 3).toSorted()).toEqual([
      "autoscalers.list",
      "deployments.list",
      "formation.read",
    ]);
    expect(kinds.slice(3)).toEqual(["scale", "apps.read"]);
    expect(app.amounts).toEqual({ web: 0, worker: 0 });
    expect(world.fake.violations).toEqual([]);
  });

  test("the look that ends it counts once: the next one asks", async () => {
    await using world = await startScalingo({ stopMs: 1 });
    const app = world.fake.addApp("demo-app");
    const id = world.idOf(app);
    await putToSleep(world, id);
    app.setFormation({ web: 1 });
    expect((await world.provider.observe(id, patient())).phase).toBe("awake");
  });

  test("its operation is read only when the app says neither that it is down nor that it is busy", async () => {
    await using world = await startScalingo({ stopMs: 1 });
    const app = world.fake.addApp("demo-app");
    const id = world.idOf(app);
    const snapshot = await world.provider.takeSnapshot(id, patient());
    const step = await world.provider.sleep(id, snapshot, patient());
    app.showStatus("running");
    await until(() => app.status === "stopped");
    expect((await world.provider.poll(id, operationOf(step), patient())).done).toBe(true);
    expect(kindsOf(world).slice(-2)).toEqual(["apps.read", "operations.read"]);
    // A container that somebody runs by hand keeps the status, and answers no requests.
    expect((await world.provider.observe(id, patient())).phase).toBe("asleep");
  });

  test("a stop that the platform gave up is told in its words", async () => {
    await using world = await startScalingo({ scalesInFlightMax: 0 });
    const app = world.fake.addApp("demo-app");
    const id = world.idOf(app);
    await world.provider.list(patient());
    const snapshot = await world.provider.takeSnapshot(id, patient());
    const step = await world.provider.sleep(id, snapshot, patient());
    app.showStatus("running");
    await until(() => app.status !== "scaling");
    const error = await rejection(world.provider.poll(id, operationOf(step), patient()));
    expect(error.message).toBe("Scalingo could not stop demo-app: quota");
  });

  test("a stop that takes longer than any does is given up", async () => {
    const clock = createVirtualClock();
    await using world = await startScalingo({ clock, stopMs: 1_000_000 });
    const app = world.fake.addApp("demo-app");
    const id = world.idOf(app);
    const snapshot = await world.provider.takeSnapshot(id, patient());
    const step = await world.provider.sleep(id, snapshot, patient());
    await clock.advance(179_000);
    const again = await world.provider.poll(id, operationOf(step), patient());
    expect(again).toMatchObject({ done: false, pollAfterMs: 5000 });
    await clock.advance(2000);
    const error = await rejection(world.provider.poll(id, operationOf(step), patient()));
    expect(error.message).toContain('it is "scaling" still');
  });
});

describe("scalingo: what is not put to sleep", () => {
  for (const [what, formation] of [
    ["whose web is down while something else runs", { web: 0, worker: 1 }],
    ["that has no web", { worker: 1 }],
  ] as const) {
    test(`an app ${what} is left alone, and not asked about again for a while`, async () => {
      const clock = createVirtualClock();
      await using world = await startScalingo({ clock });
      const app = world.fake.addApp("demo-app", { formation });
      const error = await rejection(world.provider.takeSnapshot(world.idOf(app), patient()));
      expect([error.kind, error.message]).toEqual([
        "invalid",
        "it has no container of the type web; what else runs, somebody wants",
      ]);
      const phaseListed = async () => (await world.provider.list(patient()))[0]?.observation?.phase;
      expect(await phaseListed()).toBe("unmanaged");
      await clock.advance(600_000);
      expect(await phaseListed()).toBe("awake");
      expect(world.fake.api.count("scale")).toBe(0);
    });
  }

  test("an app that somebody restarts meanwhile refuses the stop, and goes on", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app");
    const id = world.idOf(app);
    const snapshot = await world.provider.takeSnapshot(id, patient());
    app.restart();
    expect((await rejection(world.provider.sleep(id, snapshot, patient()))).kind).toBe("busy");
    expect(app.amounts).toEqual({ web: 1 });
    await until(() => app.status === "running");
    expect(world.fake.violations).toEqual([]);
  });
});

describe("scalingo: a sleep that is called off", () => {
  test("before its stop was sent is not sent, and says so", async () => {
    const clock = createVirtualClock();
    await using world = await startScalingo({ clock, config: { callsPerMinute: 10 } });
    const app = world.fake.addApp("demo-app");
    const id = world.idOf(app);
    await world.provider.list(patient());
    const snapshot: Snapshot = { kind: "quantities", processes: [{ type: "web", quantity: 1 }] };
    // The budget is used up, but for what is kept for wakes.
    await world.provider.list(patient());
    const failure = rejection(world.provider.sleep(id, snapshot, patient()));
    await clock.advance(1000);
    world.provider.callOff?.(id);
    world.provider.callOff?.(id);
    const { isUncertain, kind, message } = await failure;
    expect([kind, isUncertain]).toEqual(["rate-limited", false]);
    expect(message).toBe("could not put demo-app to sleep: it was called off before it was sent");
    await clock.advance(60_000);
    expect(world.fake.api.count("scale")).toBe(0);
    expect(app.status).toBe("running");
  });

  test("after its stop was sent goes on", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app");
    const id = world.idOf(app);
    const snapshot = await world.provider.takeSnapshot(id, patient());
    const step = await world.provider.sleep(id, snapshot, patient());
    world.provider.callOff?.(id);
    await finish(world.provider, id, step);
    expect(app.status).toBe("stopped");
  });

  for (const how of ["called off", "refused"] as const) {
    test(`gives its turn to the next app at once when it is ${how} after its looks`, async () => {
      const clock = createVirtualClock();
      await using world = await startScalingo({ clock });
      const [first, second] = ["first-app", "second-app"].map((name) => world.fake.addApp(name));
      const [one, other] = [world.idOf(first!), world.idOf(second!)];
      if (how === "refused") first!.beginDeploy("building");
      const taken = world.provider.takeSnapshot(one, patient());
      if (how === "refused") await rejection(taken);
      else await taken;
      world.provider.callOff?.(one);
      // No time passes: otherwise the turn would end by itself.
      await world.provider.takeSnapshot(other, patient());
      expect(clock.pending()).toBe(0);
    });
  }

  test("while it waits for its turn makes no call", async () => {
    await using world = await startScalingo();
    const [first, second] = ["first-app", "second-app"].map((name) => world.fake.addApp(name));
    await world.provider.takeSnapshot(world.idOf(first!), patient());
    world.fake.api.forgetCalls();
    const controller = new AbortController();
    const waiting = rejection(world.provider.takeSnapshot(world.idOf(second!), controller.signal));
    controller.abort(new Error("a request arrived"));
    expect((await waiting).kind).toBe("failed");
    expect(kindsOf(world)).toEqual([]);
  });
});

describe("scalingo: many wakes", () => {
  test("each has its turn before it looks: those that wait cost nothing", async () => {
    await using world = await startScalingo({ bootMs: 60_000 });
    const apps = Array.from({ length: 5 }, (_none, n) =>
      world.fake.addApp(`app-number-${n}`, { formation: { web: 0 } }),
    );
    const controller = new AbortController();
    const waking = apps.map((app) =>
      world.provider.wake(world.idOf(app), null, controller.signal).catch(() => null),
    );
    await until(() => world.fake.api.count("scale") === 2);
    expect([world.fake.api.count("apps.read"), world.fake.api.count("formation.read")]).toEqual([
      2, 2,
    ]);
    controller.abort(new Error("enough"));
    await Promise.all(waking);
  });

  test("one that is up already gives its turn back at once, and so does one that fails", async () => {
    const clock = createVirtualClock();
    await using world = await startScalingo({ clock });
    const ids = ["a", "b", "c"].map((name) => world.idOf(world.fake.addApp(`app-number-${name}`)));
    for (const id of ids) {
      expect((await world.provider.wake(id, null, patient())).done).toBe(true);
    }
    world.fake.api.fail("apps.read", answersText(403, "no"), 3);
    for (const id of ids) await rejection(world.provider.wake(id, null, patient()));
    expect((await world.provider.wake(ids[0]!, null, patient())).done).toBe(true);
  });

  test("an operation that goes on for more than two minutes has failed", async () => {
    const clock = createVirtualClock();
    await using world = await startScalingo({ clock, bootMs: 1_000_000 });
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    const id = world.idOf(app);
    const operation = operationOf(await world.provider.wake(id, null, patient()));
    await clock.advance(119_000);
    expect((await world.provider.poll(id, operation, patient())).done).toBe(false);
    await clock.advance(2000);
    const error = await rejection(world.provider.poll(id, operation, patient()));
    expect(error.message).toContain('it is "scaling" after 120 s');
  });
});
