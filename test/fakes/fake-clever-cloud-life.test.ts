/**
 * Apps on the fake Clever Cloud go through the documented states, and what must not be done is
 * noticed.
 */

import { describe, expect, test } from "bun:test";
import type { Start } from "./fake-clever-cloud-model.ts";
import { type CleverWorld, pathOf, pathV4Of, startWorld } from "./fake-clever-cloud-world.ts";

describe("a start", () => {
  test("is not to be seen at first, then goes through every state to UP", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { is: "down", minInstances: 2 });
    expect((await world.start(app)).body).toMatchObject({ id: 200, type: "success" });
    await world.clock.advance(1_999);
    expect(await world.look(app)).toEqual(["SHOULD_BE_DOWN", "UNDEPLOY OK", ""]);
    await world.clock.advance(1);
    const seen: string[] = [];
    for (let quarter = 0; quarter < 4; quarter += 1) {
      const [state, deployment, instances] = await world.look(app);
      expect([state, deployment]).toEqual(["WANTS_TO_BE_UP", "DEPLOY WIP"]);
      seen.push(instances);
      expect((await world.visit(app)).headers.get("x-clevercloudupgrade")).toBe("true");
      await world.clock.advance(15_000);
    }
    expect(seen).toEqual([
      "BOOTING BOOTING",
      "STARTING STARTING",
      "DEPLOYING DEPLOYING",
      "READY READY",
    ]);
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY OK", "UP UP"]);
    expect((await world.visit(app)).body).toMatchObject({ app: "demo", instances: 2 });
    expect(world.clever.violations).toEqual([]);
  });

  test("says its deployment, which v4 does not know at first, then calls QUEUED, then names otherwise", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { is: "down" });
    const { deploymentId } = (await world.start(app)).body;
    const read = async (path: string) => {
      const { status, body } = await world.call(path);
      return status === 200 ? body.state : status;
    };
    const v4 = pathV4Of(app, `/deployments/${deploymentId}`);
    const v2 = pathOf(app, `/deployments/${deploymentId}`);
    expect([await read(v4), await read(v2)]).toEqual([404, 404]);
    await world.clock.advance(1_000);
    expect([await read(v4), await read(v2)]).toEqual(["QUEUED", 404]);
    await world.clock.advance(1_000);
    expect([await read(v4), await read(v2)]).toEqual(["WORK_IN_PROGRESS", "WIP"]);
    await world.clock.advance(60_000);
    expect([await read(v4), await read(v2)]).toEqual(["SUCCEEDED", "OK"]);
    const { steps } = (await world.call(v4)).body;
    expect(steps.map((step: Record<string, string>) => step.state)).toEqual([
      "QUEUED",
      "WORK_IN_PROGRESS",
      "SUCCEEDED",
    ]);
  });

  test("may not say its deployment", async () => {
    await using world = await startWorld({ saysDeploymentId: false });
    const app = world.clever.addApp("demo", { is: "down" });
    expect(Object.keys((await world.start(app)).body)).toEqual(["id", "message", "type"]);
  });

  test("of an app that was never deployed is refused with the number 4014", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { is: "never-deployed" });
    const { status, body } = await world.start(app);
    expect([status, body.id, body.type]).toEqual([400, 4014, "error"]);
    expect(await world.look(app)).toEqual(["SHOULD_BE_DOWN", "none", ""]);
    expect(world.clever.violations).toEqual([]);
    app.beginDeploy();
    app.finishDeploy();
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY OK", "UP"]);
  });

  test("that fails or is cancelled leaves nothing; the next one is normal", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { is: "down" });
    app.failNextStart();
    app.nextStarts({ outcome: "cancelled" });
    for (const word of ["FAIL", "CANCELLED", "OK"]) {
      await world.start(app);
      await world.clock.advance(62_000);
      const isUp = word === "OK";
      expect(await world.look(app)).toEqual([
        isUp ? "SHOULD_BE_UP" : "WANTS_TO_BE_UP",
        `DEPLOY ${word}`,
        isUp ? "UP" : "",
      ]);
    }
    expect(world.clever.violations).toEqual([]);
  });

  test("that fails may leave the app SHOULD_BE_DOWN, and one that runs may be SHOULD_BE_UP", async () => {
    await using world = await startWorld({ failsAs: "SHOULD_BE_DOWN", startsAs: "SHOULD_BE_UP" });
    const app = world.clever.addApp("demo", { is: "down" });
    app.failNextStart();
    await world.start(app);
    await world.clock.advance(3_000);
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY WIP", "BOOTING"]);
    await world.clock.advance(60_000);
    expect(await world.look(app)).toEqual(["SHOULD_BE_DOWN", "DEPLOY FAIL", ""]);
  });

  test("that hangs goes on until told, one that is slow takes as long as told", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { is: "down" });
    app.nextStarts({ outcome: "hangs" });
    await world.start(app);
    await world.clock.advance(3_600_000);
    expect(await world.look(app)).toEqual(["WANTS_TO_BE_UP", "DEPLOY WIP", "READY"]);
    app.endHang("fail");
    expect(await world.look(app)).toEqual(["WANTS_TO_BE_UP", "DEPLOY FAIL", ""]);
    expect(() => app.endHang("ok")).toThrow();
    app.setSlowStart(600_000);
    await world.start(app);
    await world.clock.advance(601_999);
    expect(app.serving).toBe(0);
    await world.clock.advance(1);
    expect(app.serving).toBe(1);
  });

  test("router, instances and deployment may be late, each on its own", async () => {
    await using world = await startWorld({ queueMs: 0, startMs: 1_000 });
    const app = world.clever.addApp("demo", { is: "down" });
    const startWith = async (lag: Start) => {
      if (app.state !== "SHOULD_BE_DOWN") {
        await world.stop(app);
        await world.clock.advance(5_000);
      }
      app.nextStarts(lag);
      await world.start(app);
      await world.clock.advance(1_000);
      return [...(await world.look(app)), (await world.visit(app)).status];
    };
    expect(await startWith({ routerLagMs: 50 })).toEqual(["SHOULD_BE_UP", "DEPLOY OK", "UP", 404]);
    await world.clock.advance(50);
    expect((await world.visit(app)).status).toBe(200);
    expect(await startWith({ instanceLagMs: 50 })).toEqual([
      "SHOULD_BE_UP",
      "DEPLOY OK",
      "READY",
      404,
    ]);
    await world.clock.advance(50);
    expect((await world.visit(app)).status).toBe(200);
    expect(await startWith({ deploymentLagMs: 50 })).toEqual([
      "WANTS_TO_BE_UP",
      "DEPLOY WIP",
      "UP",
      200,
    ]);
    await world.clock.advance(50);
    expect(app.state).toBe("SHOULD_BE_UP");
    await startWith({ crashesAfterMs: 50 });
    expect((await world.visit(app)).status).toBe(200);
    await world.clock.advance(50);
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY OK", ""]);
    expect(world.clever.violations).toEqual([]);
  });

  test("that gets lost leaves no trace; another one within a minute is a violation, later it is none", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { is: "down" });
    app.nextStarts({ outcome: "lost" }, { outcome: "lost" });
    expect((await world.start(app)).status).toBe(200);
    await world.clock.advance(59_999);
    expect(await world.look(app)).toEqual(["SHOULD_BE_DOWN", "UNDEPLOY OK", ""]);
    await world.start(app);
    expect(world.clever.violations).toHaveLength(1);
    expect(world.clever.violations[0]).toContain("too early");
    await world.clock.advance(60_000);
    await world.start(app);
    expect(world.clever.violations).toHaveLength(1);
    await world.clock.advance(62_000);
    expect(app.state).toBe("SHOULD_BE_UP");
  });
});

describe("a start too many", () => {
  async function violationsOf(world: CleverWorld): Promise<readonly string[]> {
    const app = world.clever.addApp("demo");
    const { body } = await world.start(app);
    expect(body.deploymentId).toBe(app.deployments[0]?.uuid);
    await world.clock.advance(2_000);
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY WIP", "UP BOOTING"]);
    await world.clock.advance(60_000);
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY OK", "STOPPING UP"]);
    await world.clock.advance(5_000);
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY OK", "UP"]);
    return world.clever.violations;
  }

  test("while the app is up redeploys it, which is a violation", async () => {
    await using world = await startWorld();
    const [only, ...more] = await violationsOf(world);
    expect([only?.endsWith("demo is up: this redeploys it"), more]).toEqual([true, []]);
  });

  test("is none where a test allows it", async () => {
    await using world = await startWorld({ mayRedeploy: true });
    expect(await violationsOf(world)).toEqual([]);
  });

  test("before the first one is to be seen, or while it runs, begins a second deployment", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { is: "down" });
    await world.start(app);
    await world.start(app);
    expect(world.clever.violations).toHaveLength(1);
    await world.clock.advance(10_000);
    await world.start(app);
    expect(world.clever.violations).toHaveLength(2);
    await world.clock.advance(62_000);
    expect(app.deployments.map(({ state }) => state).slice(0, 3)).toEqual([
      "OK",
      "CANCELLED",
      "CANCELLED",
    ]);
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY OK", "UP"]);
  });
});

describe("a stop", () => {
  test("takes the router away at once and is over when the instances are gone; the size stays", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { minInstances: 2, maxInstances: 4 });
    expect((await world.stop(app)).body).toEqual({
      id: 200,
      message: "The application has been stopped",
      type: "success",
    });
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "UNDEPLOY WIP", "STOPPING STOPPING"]);
    expect((await world.visit(app)).headers.get("x-clevercloudupgrade")).toBe("true");
    await world.clock.advance(5_000);
    expect(await world.look(app)).toEqual(["SHOULD_BE_DOWN", "UNDEPLOY OK", ""]);
    const { instance } = (await world.call(pathOf(app))).body;
    expect(instance).toMatchObject({ minInstances: 2, maxInstances: 4 });
    expect(world.clever.violations).toEqual([]);
  });

  test("may be SHOULD_BE_DOWN at once, and be listed at its end or never", async () => {
    await using atEnd = await startWorld({ stopsAs: "SHOULD_BE_DOWN", showsUndeploy: "at-end" });
    const first = atEnd.clever.addApp("demo");
    await atEnd.stop(first);
    expect(await atEnd.look(first)).toEqual(["SHOULD_BE_DOWN", "DEPLOY OK", "STOPPING"]);
    await atEnd.clock.advance(5_000);
    expect(await atEnd.look(first)).toEqual(["SHOULD_BE_DOWN", "UNDEPLOY OK", ""]);
    await using never = await startWorld({ showsUndeploy: "never" });
    const second = never.clever.addApp("demo");
    await never.stop(second);
    await never.clock.advance(5_000);
    expect(await never.look(second)).toEqual(["SHOULD_BE_DOWN", "DEPLOY OK", ""]);
  });

  test("once more while it stops, or when it is down, does nothing", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    for (let times = 0; times < 2; times += 1) expect((await world.stop(app)).status).toBe(200);
    await world.clock.advance(5_000);
    expect((await world.stop(app)).status).toBe(200);
    expect(app.deployments).toHaveLength(2);
    expect(world.clever.violations).toEqual([]);
  });

  test("and a start before the other is over are violations, and do nothing", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    await world.stop(app);
    expect((await world.start(app)).status).toBe(409);
    expect(world.clever.violations.at(-1)).toContain("what a start does now is undefined");
    await world.clock.advance(5_000);
    await world.start(app);
    expect((await world.stop(app)).status).toBe(409);
    expect(world.clever.violations.at(-1)).toContain("what a stop does now is undefined");
    await world.clock.advance(30_000);
    expect((await world.stop(app)).status).toBe(409);
    await world.clock.advance(32_000);
    expect((await world.stop(app)).status).toBe(200);
    expect(world.clever.violations).toHaveLength(3);
  });

  test("of an app whose last deployment failed is carried out and a violation", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    app.beginDeploy();
    app.failDeploy();
    expect(await world.look(app)).toEqual(["SHOULD_BE_UP", "DEPLOY FAIL", "UP"]);
    expect((await world.stop(app)).status).toBe(200);
    expect(world.clever.violations).toHaveLength(1);
    expect(world.clever.violations[0]).toContain("may not come back");
  });
});
