/** Apps on Scalingo that have crashed for good, and how they come back. */

import { describe, expect, test } from "bun:test";
import type { Snapshot } from "../src/app.ts";
import { finish, patient, rejection } from "./contract/provider.ts";
import { answers, answersHalf, resetsAfter, resetsBefore } from "./fakes/fake-faults.ts";
import type { Formation } from "./fakes/fake-scalingo-control.ts";
import { type ScalingoTest, startScalingo } from "./support/scalingo-provider.ts";

function snapshotOf(amounts: Readonly<Record<string, number>>): Snapshot {
  const processes = Object.entries(amounts).map(([type, quantity]) => ({ type, quantity }));
  return { kind: "quantities", processes };
}

function crashed({ fake, idOf }: ScalingoTest, formation: Formation) {
  const app = fake.addApp("demo-app", { formation });
  app.crash();
  return { app, id: idOf(app) };
}

async function wake({ provider }: ScalingoTest, id: string, snapshot: Snapshot | null) {
  return await finish(provider, id, await provider.wake(id, snapshot, patient()));
}

describe("scalingo: the wake of an app that has crashed", () => {
  test("restarts it: its formation says already what is to run", async () => {
    for (const snapshot of [null, snapshotOf({ web: 2, worker: 1, clock: 0 })]) {
      await using world = await startScalingo();
      const { app, id } = crashed(world, { web: 2, worker: 1, clock: 0 });
      expect((await world.provider.observe(id, patient())).phase).toBe("failed");
      expect((await wake(world, id, snapshot)).target?.origin).toBe(world.fake.addressOf(app));
      expect((await world.provider.observe(id, patient())).phase).toBe("awake");
      expect(app.amounts).toEqual({ web: 2, worker: 1, clock: 0 });
      expect([world.fake.api.count("restart"), world.fake.api.count("scale")]).toEqual([1, 0]);
      expect(world.fake.violations).toEqual([]);
    }
  });

  test("scales it to what it is to run where the platform knows no restart", async () => {
    await using world = await startScalingo();
    const { app, id } = crashed(world, { web: 2, worker: 0 });
    world.fake.api.fail("restart", answers({ status: 404, body: { error: "not found" } }));
    await wake(world, id, null);
    const scales = world.fake.api.journal.filter(({ path }) => path.endsWith("/scale"));
    expect(scales.map(({ body }) => body)).toEqual([{ containers: [{ name: "web", amount: 2 }] }]);
    expect(app.amounts).toEqual({ web: 2, worker: 0 });
  });

  test("scales it where its web is at 0: that starts it as well", async () => {
    await using world = await startScalingo();
    const { app, id } = crashed(world, { web: 0, worker: 1 });
    await wake(world, id, snapshotOf({ web: 2, worker: 1 }));
    expect(app.amounts).toEqual({ web: 2, worker: 1 });
    expect([world.fake.api.count("restart"), world.fake.api.count("scale")]).toEqual([0, 1]);
    expect(world.fake.violations).toEqual([]);
  });

  test("a restart whose answer was lost is not asked for twice, one that never arrived is", async () => {
    for (const [fault, times] of [
      [resetsAfter(), 1],
      [resetsBefore(), 2],
    ] as const) {
      await using world = await startScalingo({ bootMs: 200 });
      const { app, id } = crashed(world, { web: 1 });
      world.fake.api.fail("restart", fault);
      await wake(world, id, null);
      expect([app.status, world.fake.api.count("restart")]).toEqual(["running", times]);
      expect(world.fake.violations).toEqual([]);
    }
  });

  test("one that fails again is told with the platform's words, and can be tried again", async () => {
    await using world = await startScalingo();
    const { app, id } = crashed(world, { web: 1 });
    app.nextBoots({ outcome: "error" });
    await world.provider.list(patient());
    const error = await rejection(wake(world, id, null));
    expect([error.kind, error.message]).toEqual([
      "failed",
      "Scalingo could not start demo-app: container web-1 failed to restart",
    ]);
    await wake(world, id, null);
    expect([app.status, world.fake.api.count("restart")]).toEqual(["running", 2]);
  });

  test("an operation that cannot be read is judged by the app itself", async () => {
    await using world = await startScalingo();
    const { app, id } = crashed(world, { web: 1 });
    world.fake.api.fail("operations.read", answersHalf(), Number.POSITIVE_INFINITY);
    await wake(world, id, null);
    expect([app.status, world.fake.api.count("restart")]).toEqual(["running", 1]);
  });

  test("somebody who restarts it at the same time is joined", async () => {
    await using world = await startScalingo({ bootMs: 200 });
    const { app, id } = crashed(world, { web: 1 });
    app.restart();
    await wake(world, id, null);
    expect([app.status, world.fake.api.count("restart")]).toEqual(["running", 0]);
  });
});
