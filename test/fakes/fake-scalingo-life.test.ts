/** Apps on the fake Scalingo go through the documented states: boots, deployments, what others do to them. */

import { describe, expect, test } from "bun:test";
import { until } from "../support/until.ts";
import type { Boot } from "./fake-scalingo-model.ts";
import { type ScalingoWorld, startWorld } from "./scalingo-world.ts";

describe("boots", () => {
  async function wakeWith(world: ScalingoWorld, boot: Boot) {
    const app = world.scalingo.addApp("demo", { formation: { web: 0 } });
    app.nextBoots(boot);
    const { headers } = await world.scale("demo", { web: 1 });
    const location = headers.get("location") ?? "";
    const operation = async () => (await world.call(location)).body.operation;
    const routed = async () => (await fetch(world.scalingo.addressOf(app))).status;
    return { app, operation, routed };
  }

  test("that fails: the operation says why, the app is crashed, the next one is normal", async () => {
    await using world = await startWorld();
    const { operation, routed } = await wakeWith(world, { outcome: "error" });
    await world.clock.advance(5_000);
    expect(await operation()).toMatchObject({
      status: "error",
      error: "container web-1 failed to start",
    });
    expect(await world.statusOf("demo")).toBe("crashed");
    expect(await routed()).toBe(503);
    expect((await world.scale("demo", { web: 1 })).status).toBe(400);
    await world.scale("demo", { web: 2 });
    await world.clock.advance(5_000);
    expect(await world.statusOf("demo")).toBe("running");
  });

  test("that hangs: scaling and busy until it ends", async () => {
    await using world = await startWorld();
    const { app, operation } = await wakeWith(world, { outcome: "hangs" });
    await world.clock.advance(3_600_000 - 1);
    expect((await operation()).status).toBe("running");
    expect((await world.scale("demo", { web: 0 })).status).toBe(422);
    app.endHang("ok");
    expect((await operation()).status).toBe("done");
  });

  test("that is slow takes as long as told", async () => {
    await using world = await startWorld();
    const { routed } = await wakeWith(world, { ms: 55_000 });
    await world.clock.advance(54_999);
    expect(await routed()).toBe(503);
    await world.clock.advance(1);
    expect(await routed()).toBe(200);
  });

  test("the API may say it is up before the router does, or after", async () => {
    await using world = await startWorld();
    const late = await wakeWith(world, { routerLagMs: 1_000 });
    await world.clock.advance(5_000);
    expect([(await late.operation()).status, await late.routed()]).toEqual(["done", 503]);
    await world.clock.advance(1_000);
    expect(await late.routed()).toBe(200);
    await using other = await startWorld();
    const early = await wakeWith(other, { apiLagMs: 1_000 });
    await other.clock.advance(5_000);
    expect([(await early.operation()).status, await early.routed()]).toEqual(["running", 200]);
  });

  test("an app that crashes after it was up", async () => {
    await using world = await startWorld();
    const { routed } = await wakeWith(world, { crashesAfterMs: 1_000 });
    await world.clock.advance(5_500);
    expect(await routed()).toBe(200);
    await world.clock.advance(500);
    expect([await routed(), await world.statusOf("demo")]).toEqual([503, "crashed"]);
  });
});

describe("restarts", () => {
  test("of a crashed app: 202 without a body, an operation, and the formation as it was", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo", { formation: { web: 2, worker: 1, clock: 0 } });
    app.crash();
    const answer = await world.call("/v1/apps/demo/restart", {});
    expect([answer.status, answer.text]).toEqual([202, ""]);
    expect(await world.statusOf("demo")).toBe("restarting");
    const operation = async () =>
      (await world.call(answer.headers.get("location") ?? "")).body.operation;
    expect(await operation()).toMatchObject({ type: "restart", status: "pending" });
    await world.clock.advance(5_000);
    expect((await operation()).status).toBe("done");
    expect(app.containers.map(({ type, state }) => [type, state])).toEqual([
      ["web", "running"],
      ["web", "running"],
      ["worker", "running"],
    ]);
    expect(world.scalingo.violations).toEqual([]);
  });

  test("that fails leave the app crashed, and say which container it was", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo");
    app.crash();
    app.nextBoots({ outcome: "error" });
    const { headers } = await world.call("/v1/apps/demo/restart", { scope: [] });
    await world.clock.advance(5_000);
    const { operation } = (await world.call(headers.get("location") ?? "")).body;
    expect(operation).toMatchObject({
      status: "error",
      error: "container web-1 failed to restart",
    });
    expect(await world.statusOf("demo")).toBe("crashed");
  });

  test("of one type leave the others up, and whoever is busy is not restarted", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo", { formation: { web: 1, worker: 1 } });
    const { status } = await world.call("/v1/apps/demo/restart", { scope: ["worker"] });
    expect(status).toBe(202);
    expect(app.containers.map(({ type, state }) => [type, state])).toEqual([
      ["web", "running"],
      ["worker", "booting"],
    ]);
    const busy = await world.call("/v1/apps/demo/restart", {});
    expect([busy.status, busy.body]).toEqual([422, { errors: { app: ["is restarting"] } }]);
    expect(world.scalingo.violations).toEqual([]);
  });

  test("of what has nothing to run, or of types that are none, are violations", async () => {
    await using world = await startWorld();
    world.scalingo.addApp("demo", { formation: { web: 0 } });
    expect((await world.call("/v1/apps/demo/restart", {})).status).toBe(422);
    expect((await world.call("/v1/apps/demo/restart", { scope: ["cron"] })).status).toBe(404);
    expect((await world.call("/v1/apps/demo/restart", { scope: "web" })).status).toBe(422);
    expect(world.scalingo.violations).toHaveLength(3);
  });
});

describe("others", () => {
  test("a deployment: queued to starting, booting and busy, then fresh containers or the old ones", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo", { formation: { web: 1 } });
    app.beginDeploy();
    expect(await world.statusOf("demo")).toBe("running");
    app.stepDeploy("building");
    app.stepDeploy("starting");
    const busy = await world.scale("demo", { web: 2 });
    expect([busy.status, busy.body]).toEqual([422, { errors: { app: ["is booting"] } }]);
    const before = app.containers.map(({ id }) => id);
    app.failDeploy("timeout-error");
    expect(app.containers.map(({ id }) => id)).toEqual(before);
    expect(await world.statusOf("demo")).toBe("running");
    app.beginDeploy("starting");
    app.finishDeploy();
    expect(app.containers.map(({ id }) => id)).not.toEqual(before);
    expect(await world.statusOf("demo")).toBe("running");
    expect(world.scalingo.violations).toEqual([]);
  });

  test("scaling down while a deployment runs is a violation, up is none", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo", { formation: { web: 1 } });
    app.beginDeploy("building");
    await world.scale("demo", { web: 2 });
    await world.clock.advance(5_000);
    expect(world.scalingo.violations).toEqual([]);
    await world.scale("demo", { web: 0 });
    expect(world.scalingo.violations).toHaveLength(1);
  });

  test("a first deployment takes an app out of new", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo", { isDeployed: false });
    app.beginDeploy("starting");
    expect(await world.statusOf("demo")).toBe("booting");
    app.finishDeploy();
    expect(await world.statusOf("demo")).toBe("running");
  });

  test("the dashboard scales, restarts, changes types; one-offs are among the processes", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo", { formation: { web: 1 } });
    app.scaleByHand({ web: 3 });
    expect(await world.statusOf("demo")).toBe("scaling");
    await world.clock.advance(5_000);
    app.restart();
    expect(await world.statusOf("demo")).toBe("restarting");
    await world.clock.advance(5_000);
    app.addOneOff();
    app.setFormation({ web: 0, worker: 2, api: null });
    const { containers } = (await world.call("/v1/apps/demo/ps")).body;
    expect(containers.map((one: Record<string, string>) => one.type)).toEqual([
      "one-off",
      "worker",
      "worker",
    ]);
    expect(await world.statusOf("demo")).toBe("running");
    const page = await fetch(world.scalingo.addressOf(app));
    expect([page.status, page.headers.get("x-scalingo-error")]).toEqual([503, "no web container"]);
  });

  test("ended containers stay listed as stopped when told so", async () => {
    await using world = await startWorld({ keepsStoppedContainers: true });
    const app = world.scalingo.addApp("demo");
    await world.scale("demo", { web: 0 });
    await world.clock.advance(2_000);
    expect(app.containers.map(({ state }) => state)).toEqual(["stopped"]);
    expect(app.status).toBe("stopped");
  });

  test("a canonical domain is the url, the generated one stays the base", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo");
    app.addDomain("www.shop", true);
    const { app: said } = (await world.call("/v1/apps/demo")).body;
    expect(said.base_url).toBe(world.scalingo.addressOf(app));
    expect(new URL(said.url).hostname).toBe("www.shop.localhost");
    expect((await fetch(said.url)).status).toBe(200);
    expect((await fetch(said.base_url)).status).toBe(200);
  });

  test("a renamed app has its id, another address, and none at the old one", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("before");
    const before = world.scalingo.addressOf(app);
    app.rename("after");
    const { app: said } = (await world.call(`/v1/apps/${app.id}`)).body;
    expect([said.name, said.base_url]).toEqual(["after", world.scalingo.addressOf(app)]);
    expect((await fetch(said.base_url)).status).toBe(200);
    expect((await fetch(before)).status).toBe(404);
    expect((await world.call("/v1/apps/before")).status).toBe(404);
  });

  test("the router's own trouble with an app that runs", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo");
    const statuses: number[] = [];
    for (const trouble of ["quarantined", "queue-full", "timeout", null] as const) {
      app.trouble(trouble);
      statuses.push((await fetch(world.scalingo.addressOf(app))).status);
    }
    expect(statuses).toEqual([502, 503, 504, 200]);
  });

  test("the API is away and the router serves", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo");
    await world.scalingo.api.goDown("refuse");
    await expect(world.call("/v1/apps")).rejects.toThrow();
    expect((await fetch(world.scalingo.addressOf(app))).status).toBe(200);
    await world.scalingo.api.comeUp();
    expect((await world.call("/v1/apps")).status).toBe(200);
  });

  test("an operation's address can be made relative or foreign, and one never given is not found", async () => {
    await using world = await startWorld({ rewriteLocation: (url) => new URL(url).pathname });
    world.scalingo.addApp("demo");
    const { headers } = await world.scale("demo", { web: 2 });
    expect(headers.get("location")).toStartWith("/v1/apps/demo/operations/");
    const unknown = await world.call("/v1/apps/demo/operations/5410093");
    expect(unknown.body).toEqual({ resource: "operation", error: "not found" });
  });

  test("ends with nothing left behind", async () => {
    const world = await startWorld();
    world.scalingo.addApp("demo", { formation: { web: 0 } });
    await world.scale("demo", { web: 1 });
    await world[Symbol.asyncDispose]();
    await until(() => world.clock.pending() === 0);
    await expect(world.call("/v1/apps")).rejects.toThrow();
  });
});
