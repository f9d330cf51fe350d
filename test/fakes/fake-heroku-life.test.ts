/** Apps on the fake Heroku go through the documented states: dynos, Eco, deployments. */

import { describe, expect, test } from "bun:test";
import { until } from "../support/until.ts";
import { type HerokuWorld, startWorld, wakeDemo } from "./fake-heroku-world.ts";

describe("dynos", () => {
  test("zero, ordered, starting, up, ending, zero", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo", { formation: { web: 0, worker: 0, clock: 0 } });
    expect(await world.dynosOf("demo")).toEqual([]);
    await world.scale("demo", { web: 2, worker: 1 });
    expect(await world.dynosOf("demo")).toEqual([]);
    await world.clock.advance(300);
    const all = (state: string) => ["web.1", "web.2", "worker.1"].map((name) => `${name} ${state}`);
    expect(await world.dynosOf("demo")).toEqual(all("starting"));
    await world.clock.advance(4_999);
    expect(await world.dynosOf("demo")).toEqual(all("starting"));
    await world.clock.advance(1);
    expect(await world.dynosOf("demo")).toEqual(all("up"));
    await world.scale("demo", { web: 0, worker: 0 });
    expect(app.quantities).toEqual({ web: 0, worker: 0, clock: 0 });
    await world.clock.advance(1_999);
    expect(await world.dynosOf("demo")).toEqual(all("up"));
    await world.clock.advance(1);
    expect(await world.dynosOf("demo")).toEqual([]);
    expect(world.heroku.violations).toEqual([]);
  });

  test("apps begin as their formation says, up", async () => {
    await using world = await startWorld();
    world.heroku.addApp("demo", { formation: { web: 2, worker: 1, clock: 0 } });
    expect(await world.dynosOf("demo")).toEqual(["web.1 up", "web.2 up", "worker.1 up"]);
    const [dyno] = (await world.call("/apps/demo/dynos")).body;
    expect(dyno.release.version).toBe(2);
  });

  test("what ends may take 30 s, and no more; it may be down", async () => {
    await using world = await startWorld({ lingersAs: "down" });
    const app = world.heroku.addApp("demo");
    app.setStop(3_600_000);
    await world.scale("demo", { web: 0 });
    await world.clock.advance(29_999);
    expect(await world.dynosOf("demo")).toEqual(["web.1 down"]);
    await world.clock.advance(1);
    expect(await world.dynosOf("demo")).toEqual([]);
  });

  test("scaled up again while they end: the old ones end, new ones start", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    app.setStop(30_000);
    await world.scale("demo", { web: 0 });
    await world.scale("demo", { web: 1 });
    await world.clock.advance(300);
    expect(await world.dynosOf("demo")).toEqual(["web.1 starting", "web.1 up"]);
    await world.clock.advance(5_000);
    expect(await world.visit(app)).toBe(200);
    await world.clock.advance(30_000);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up"]);
  });

  test("scaled down again before they are listed or up: none comes", async () => {
    await using world = await startWorld();
    world.heroku.addApp("demo", { formation: { web: 0 } });
    await world.scale("demo", { web: 1 });
    await world.scale("demo", { web: 0 });
    await world.clock.advance(1_000);
    expect(await world.dynosOf("demo")).toEqual([]);
    await world.scale("demo", { web: 1 });
    await world.clock.advance(300);
    await world.scale("demo", { web: 0 });
    expect(await world.dynosOf("demo")).toEqual(["web.1 down"]);
    await world.clock.advance(60_000);
    expect(await world.dynosOf("demo")).toEqual([]);
  });

  test("one after the other, when told so", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo", { formation: { web: 0 } });
    app.nextBoots({ staggerMs: 1_000 });
    await world.scale("demo", { web: 2 });
    await world.clock.advance(5_300);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up", "web.2 starting"]);
    await world.clock.advance(1_000);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up", "web.2 up"]);
  });

  test("a start that crashes is tried again after waits that grow, and may succeed", async () => {
    await using world = await startWorld();
    await wakeDemo(world, { outcome: "crashes" }, { outcome: "crashes" });
    await world.clock.advance(5_000);
    expect(await world.dynosOf("demo")).toEqual(["web.1 crashed"]);
    await world.clock.advance(9_999);
    expect(await world.dynosOf("demo")).toEqual(["web.1 crashed"]);
    await world.clock.advance(1);
    expect(await world.dynosOf("demo")).toEqual(["web.1 starting"]);
    await world.clock.advance(5_000 + 19_999);
    expect(await world.dynosOf("demo")).toEqual(["web.1 crashed"]);
    await world.clock.advance(1 + 5_000);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up"]);
  });

  test("a start that always crashes, and one that is never tried again", async () => {
    await using world = await startWorld({ crashBackoffMs: [1_000] });
    const app = await wakeDemo(world);
    app.setBoot({ outcome: "crashes", ms: 0 });
    await world.scale("demo", { web: 0 });
    await world.scale("demo", { web: 1 });
    await world.clock.advance(300_500);
    expect(await world.dynosOf("demo")).toEqual(["web.1 crashed"]);
    expect(app.dynos[0]?.crashes).toBeGreaterThan(200);
    await using stubborn = await startWorld({ crashBackoffMs: [] });
    await wakeDemo(stubborn, { outcome: "crashes" });
    await stubborn.clock.advance(86_400_000);
    expect(await stubborn.dynosOf("demo")).toEqual(["web.1 crashed"]);
  });

  test("a web dyno that is slow has 60 s, a worker has all the time", async () => {
    await using world = await startWorld();
    const app = await wakeDemo(world, { ms: 60_000 });
    await world.clock.advance(60_000);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up"]);
    app.setFormation({ web: 0, worker: 0 });
    app.nextBoots({ ms: 60_001 });
    await world.scale("demo", { web: 1, worker: 1 });
    await world.clock.advance(300 + 60_000);
    expect(await world.dynosOf("demo")).toEqual(["web.1 crashed", "worker.1 starting"]);
    await world.clock.advance(1);
    expect(await world.dynosOf("demo")).toEqual(["web.1 crashed", "worker.1 up"]);
  });

  test("crashes after it was up: one of two, or all, or as planned", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("pair", { formation: { web: 2 } });
    app.crash("web.2");
    expect(await world.dynosOf("pair")).toEqual(["web.1 up", "web.2 crashed"]);
    expect(await world.visit(app)).toBe(200);
    app.crash();
    expect(await world.dynosOf("pair")).toEqual(["web.1 crashed", "web.2 crashed"]);
    expect(await world.visit(app)).toBe(503);
    expect(() => app.crash("web.3")).toThrow();
    await wakeDemo(world, { crashesAfterMs: 1_000 });
    await world.clock.advance(5_999);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up"]);
    await world.clock.advance(1);
    expect(await world.dynosOf("demo")).toEqual(["web.1 crashed"]);
  });

  test("a crash while it starts ends that start", async () => {
    await using world = await startWorld();
    const app = await wakeDemo(world);
    await world.clock.advance(4_000);
    app.crash();
    await world.clock.advance(9_999);
    expect(await world.dynosOf("demo")).toEqual(["web.1 crashed"]);
    await world.clock.advance(1);
    expect(await world.dynosOf("demo")).toEqual(["web.1 starting"]);
  });

  test("of another size they are other dynos", async () => {
    await using world = await startWorld();
    world.heroku.addApp("demo");
    const updates = [{ type: "web", quantity: 1, dyno_size: { name: "Standard-2X" } }];
    await world.call("/apps/demo/formation", { body: { updates } });
    await world.clock.advance(5_300);
    const dynos: Record<string, string>[] = (await world.call("/apps/demo/dynos")).body;
    expect(dynos.map(({ size, state }) => `${size} ${state}`)).toEqual(["Standard-2X up"]);
  });

  test("down, and back through starting", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    app.takeDown();
    expect(await world.dynosOf("demo")).toEqual(["web.1 down"]);
    app.bringBack();
    expect(await world.dynosOf("demo")).toEqual(["web.1 starting"]);
    await world.clock.advance(5_000);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up"]);
  });

  test("restarted, and scaled by somebody else", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    app.restart();
    expect(await world.dynosOf("demo")).toEqual(["web.1 starting", "web.1 up"]);
    await world.clock.advance(5_000);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up"]);
    app.scaleByHand({ web: 3 });
    await world.clock.advance(5_300);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up", "web.2 up", "web.3 up"]);
    expect(world.heroku.api.count("scale")).toBe(0);
  });

  test("a one-off is listed, is no part of the formation, and is not scaled", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo", { formation: { web: 0 } });
    app.addOneOff();
    await world.scale("demo", { web: 0 });
    await world.clock.advance(60_000);
    expect(await world.dynosOf("demo")).toEqual(["run.9410 up"]);
    expect((await world.call("/apps/demo/formation")).body).toHaveLength(1);
    expect(await world.visit(app)).toBe(503);
  });
});

describe("Eco", () => {
  test("sleeps after 30 minutes without a request, and a request wakes it", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("eco", { isEco: true, formation: { web: 1, worker: 1 } });
    await world.clock.advance(20 * 60_000);
    expect(await world.visit(app)).toBe(200);
    await world.clock.advance(30 * 60_000 - 1);
    expect(await world.dynosOf("eco")).toEqual(["web.1 up", "worker.1 up"]);
    await world.clock.advance(1);
    expect(await world.dynosOf("eco")).toEqual(["web.1 idle", "worker.1 idle"]);
    expect(app.quantities).toEqual({ web: 1, worker: 1 });
    const visit = world.visit(app);
    await until(() => world.heroku.router.queued === 1);
    expect(await world.dynosOf("eco")).toEqual(["web.1 starting", "worker.1 starting"]);
    await world.clock.advance(5_000);
    expect(await visit).toBe(200);
    await world.clock.advance(30 * 60_000);
    expect(await world.dynosOf("eco")).toEqual(["web.1 idle", "worker.1 idle"]);
    expect(world.heroku.violations).toEqual([]);
  });

  test("can be made to sleep, other apps not; asleep it can be scaled to zero", async () => {
    await using world = await startWorld({ mayScaleEco: true });
    const app = world.heroku.addApp("eco", { isEco: true });
    app.fallIdle();
    expect(await world.dynosOf("eco")).toEqual(["web.1 idle"]);
    await world.scale("eco", { web: 0 });
    await world.clock.advance(2_000);
    expect(await world.dynosOf("eco")).toEqual([]);
    expect(await world.visit(app)).toBe(503);
    const basic = world.heroku.addApp("basic", { size: "Basic" });
    expect(() => basic.fallIdle()).toThrow();
    await world.clock.advance(86_400_000);
    expect(await world.dynosOf("basic")).toEqual(["web.1 up"]);
  });
});

describe("deployments", () => {
  const newestOf = async (world: HerokuWorld) => {
    const read = async (what: string, field: string) => {
      const headers = { range: `${field} ..; max=1, order=desc` };
      return (await world.call(`/apps/demo/${what}`, { headers })).body[0];
    };
    const [build, release] = [
      await read("builds", "created_at"),
      await read("releases", "version"),
    ];
    return [build?.status, release.status, release.version, release.current];
  };

  test("a build, then fresh dynos of a new release", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    expect(await newestOf(world)).toEqual([undefined, "succeeded", 2, true]);
    app.beginDeploy();
    expect(await newestOf(world)).toEqual(["pending", "succeeded", 2, true]);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up"]);
    app.finishDeploy();
    expect(await newestOf(world)).toEqual(["succeeded", "succeeded", 3, true]);
    expect(await world.dynosOf("demo")).toEqual(["web.1 starting", "web.1 up"]);
    await world.clock.advance(5_000);
    const [dyno] = (await world.call("/apps/demo/dynos")).body;
    expect([dyno.state, dyno.release.version]).toEqual(["up", 3]);
  });

  test("a release phase in between, that succeeds, fails or expires", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    app.beginDeploy();
    app.beginReleasePhase();
    expect(await newestOf(world)).toEqual(["succeeded", "pending", 3, false]);
    app.finishDeploy();
    expect(await newestOf(world)).toEqual(["succeeded", "succeeded", 3, true]);
    await world.clock.advance(5_000);
    for (const status of ["failed", "expired"] as const) {
      app.beginReleasePhase();
      app.failDeploy(status);
      expect((await newestOf(world))[1]).toBe(status);
    }
    expect((await newestOf(world))[3]).toBe(false);
    const [dyno] = (await world.call("/apps/demo/dynos")).body;
    expect([dyno.state, dyno.release.version]).toEqual(["up", 3]);
  });

  test("a build that fails leaves everything else as it was", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    app.beginDeploy();
    app.failDeploy();
    expect(await newestOf(world)).toEqual(["failed", "succeeded", 2, true]);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up"]);
    expect(() => app.failDeploy()).toThrow();
  });

  test("the first one brings a web dyno", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo", { isDeployed: false });
    expect((await world.scale("demo", { web: 1 })).status).toBe(404);
    expect(await world.visit(app)).toBe(503);
    app.beginDeploy();
    app.finishDeploy();
    await world.clock.advance(5_000);
    expect([await world.visit(app), app.quantities]).toEqual([200, { web: 1 }]);
    expect((await world.call("/apps/demo")).body.released_at).not.toBeNull();
  });

  test("a scaled-down app stays down when it is deployed", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo", { formation: { web: 0 } });
    app.beginDeploy();
    app.finishDeploy();
    await world.clock.advance(60_000);
    expect([await world.dynosOf("demo"), app.quantities]).toEqual([[], { web: 0 }]);
  });

  test("a scale makes no release, or one, as told", async () => {
    for (const makesReleaseOnScale of [false, true]) {
      await using world = await startWorld({ makesReleaseOnScale });
      await wakeDemo(world);
      const version = makesReleaseOnScale ? 3 : 2;
      expect((await newestOf(world))[2]).toBe(version);
      expect((await world.call("/apps/demo/dynos")).body[0].release.version).toBe(version);
    }
  });
});
