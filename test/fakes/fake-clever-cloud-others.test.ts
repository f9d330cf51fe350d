/** What others do to apps on the fake Clever Cloud: pushes, the scaler, the console, the platform itself. */

import { describe, expect, test } from "bun:test";
import { until } from "../support/until.ts";
import { pathOf, pathV4Of, startWorld } from "./fake-clever-cloud-world.ts";

describe("others", () => {
  test("a push: the old version serves until the new one is up, or stays", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    app.beginDeploy();
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY WIP", "UP BOOTING"]);
    expect((await world.visit(app)).status).toBe(200);
    app.cancelDeploy();
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY CANCELLED", "UP"]);
    app.beginDeploy();
    app.finishDeploy();
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY OK", "STOPPING UP"]);
    expect((await world.visit(app)).status).toBe(200);
    expect(() => app.finishDeploy()).toThrow();
  });

  test("a renamed app is the same, at the same address, and listed by its new name", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("before");
    app.rename("after");
    const { name } = (await world.call(pathOf(app))).body;
    expect([app.name, name]).toEqual(["after", "after"]);
    const { organisations } = (await world.call("/v2/summary")).body;
    expect(organisations[0].applications[0].name).toBe("after");
    expect((await world.visit(app)).status).toBe(200);
  });

  test("a homogeneous app is down while it is deployed", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { homogeneous: true });
    app.beginDeploy();
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY WIP", "STOPPING BOOTING"]);
    expect((await world.visit(app)).status).toBe(404);
    app.finishDeploy();
    expect((await world.visit(app)).status).toBe(200);
  });

  test("the scaler adds and takes away instances by deployments of its own", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    const seen: string[] = [];
    for (const [action, count] of [
      ["UPSCALE", 2],
      ["REPLACE", 2],
      ["DOWNSCALE", 1],
    ] as const) {
      app.beginDeploy(action, count);
      seen.push((await world.look(app))[1]);
      app.finishDeploy();
      await world.clock.advance(5_000);
      seen.push((await world.look(app)).join(" "));
    }
    expect(seen).toEqual([
      "UPSCALE WIP",
      "SHOULD_BE_UP UPSCALE OK UP UP",
      "REPLACE WIP",
      "SHOULD_BE_UP REPLACE OK UP UP",
      "DOWNSCALE WIP",
      "SHOULD_BE_UP DOWNSCALE OK UP",
    ]);
  });

  test("a deployment is cancelled by its number or its id, and not when it is over", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    const cancel = async (id: string | number | undefined) =>
      (await world.call(pathOf(app, `/deployments/${id}/instances`), "DELETE")).status;
    app.beginDeploy();
    expect(await cancel(app.deployments[0]?.number)).toBe(200);
    app.beginDeploy();
    expect(await cancel(app.deployments[0]?.uuid)).toBe(200);
    expect(await cancel(app.deployments[0]?.uuid)).toBe(409);
    expect(await cancel("deployment_x")).toBe(404);
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY CANCELLED", "UP"]);
    expect(world.clever.violations).toEqual([]);
  });

  test("somebody in the console starts and stops it", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    app.stopByHand();
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "UNDEPLOY WIP", "STOPPING"]);
    await world.clock.advance(5_000);
    app.startByHand();
    await world.clock.advance(62_000);
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY OK", "UP"]);
    expect([world.clever.count("start"), world.clever.count("stop")]).toEqual([0, 0]);
  });

  test("a blocked app has no instances and cannot be started or stopped, until it is free again", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    app.moderate();
    expect(await world.look(app)).toEqual(["MODERATED", "DEPLOY OK", ""]);
    expect([(await world.start(app)).status, (await world.stop(app)).status]).toEqual([403, 403]);
    expect((await world.start(app)).body.id).not.toBe(403);
    app.moderate("DEFAULT_OF_PAYMENT");
    expect((await world.look(app))[0]).toBe("DEFAULT_OF_PAYMENT");
    expect((await world.start(app)).status).toBe(402);
    expect((await world.visit(app)).status).toBe(404);
    app.moderate(null);
    await world.start(app);
    await world.clock.advance(62_000);
    expect(app.state).toBe("SHOULD_BE_UP");
  });

  test("a start that runs when the app is blocked ends with nothing", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { is: "down" });
    await world.start(app);
    await world.clock.advance(10_000);
    app.moderate();
    await world.clock.advance(60_000);
    expect(await world.look(app)).toEqual(["MODERATED", "DEPLOY CANCELLED", ""]);
  });

  test("tasks and archived apps are not ours: to start or stop one is a violation", async () => {
    await using world = await startWorld();
    const task = world.clever.addApp("nightly", { lifetime: "TASK", is: "down" });
    expect((await world.call(pathOf(task))).body.instance.lifetime).toBe("TASK");
    task.beginTask();
    expect(await world.look(task)).toEqual([
      "SHOULD_BE_DOWN",
      "DEPLOY TASK_RUNNING",
      "TASK_IN_PROGRESS",
    ]);
    const [v4] = (await world.call(pathV4Of(task, "/deployments?order=DESC"))).body.slice(1);
    expect(v4).toBeUndefined();
    await world.clock.advance(1_000);
    const [running] = (await world.call(pathV4Of(task, "/deployments?order=DESC"))).body;
    expect(running.state).toBe("TASK_IN_PROGRESS");
    const archived = world.clever.addApp("old");
    archived.archive();
    expect((await world.call(pathOf(archived))).body.archived).toBe(true);
    await world.stop(archived);
    await world.start(world.clever.addApp("other", { lifetime: "TASK", is: "down" }));
    expect(world.clever.violations).toHaveLength(2);
  });

  test("instances may be in any state, and only UP serves", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    app.setInstances(["GHOST", "MIGRATION_IN_PROGRESS", "STOPPING"]);
    expect((await world.look(app))[2]).toBe("GHOST MIGRATION_IN_PROGRESS STOPPING");
    expect((await world.visit(app)).status).toBe(404);
    app.setInstances(["UP", "GHOST"]);
    expect((await world.visit(app)).status).toBe(200);
    app.crash();
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY OK", ""]);
  });

  test("ends with nothing left behind", async () => {
    const world = await startWorld();
    const app = world.clever.addApp("demo", { is: "down" });
    await world.start(app);
    await world[Symbol.asyncDispose]();
    await until(() => world.clock.pending() === 0);
    await expect(world.call("/v2/summary")).rejects.toThrow();
  });
});
