/** The fake Heroku answers with the documented names, and refuses what is to be refused. */

import { describe, expect, test } from "bun:test";
import { answersHalf, resetsAfter } from "./fake-faults.ts";
import type { RefusalId } from "./fake-heroku-model.ts";
import { startWorld } from "./fake-heroku-world.ts";

const NAMES: Readonly<Record<string, readonly string[]>> = {
  app: ["id", "name", "web_url", "maintenance", "region", "team", "released_at", "updated_at"],
  short: ["id", "name"],
  formation: [
    "id",
    "app",
    "type",
    "quantity",
    "size",
    "dyno_size",
    "command",
    "created_at",
    "updated_at",
  ],
  dyno: [
    "id",
    "name",
    "type",
    "state",
    "size",
    "release",
    "app",
    "command",
    "attach_url",
    "created_at",
    "updated_at",
  ],
  dynoRelease: ["id", "version"],
  domain: ["id", "kind", "hostname", "cname", "status", "acm_status", "app"],
  build: ["id", "app", "status", "release", "created_at", "updated_at"],
  id: ["id"],
  release: ["id", "app", "version", "status", "current", "description", "created_at", "updated_at"],
  limits: ["remaining"],
  account: ["id", "email", "name", "verified"],
  error: ["id", "message"],
  rateLimit: ["id", "message", "url"],
};

function expectNames(object: object, kind: string): void {
  expect(Object.keys(object).toSorted()).toEqual([...(NAMES[kind] ?? [])].toSorted());
}

describe("names", () => {
  test("every object has exactly the documented fields", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo", { formation: { web: 2, clock: 0 }, team: "crew" });
    app.addDomain("www.demo");
    app.beginDeploy();
    app.finishDeploy();
    const apps = (await world.call("/apps")).body;
    expectNames(apps[0], "app");
    expectNames(apps[0].region, "short");
    expectNames(apps[0].team, "short");
    expect((await world.call("/apps/demo")).body).toEqual(apps[0]);
    expect((await world.call(`/apps/${app.id}`)).body).toEqual(apps[0]);
    for (const team of ["crew", apps[0].team.id]) {
      expect((await world.call(`/teams/${team}/apps`)).body).toEqual(apps);
    }
    const formation = (await world.call("/apps/demo/formation")).body;
    expect(formation).toHaveLength(2);
    for (const entry of formation) {
      expectNames(entry, "formation");
      expectNames(entry.app, "short");
      expectNames(entry.dyno_size, "short");
    }
    const dynos = (await world.call("/apps/demo/dynos")).body;
    for (const dyno of dynos) {
      expectNames(dyno, "dyno");
      expectNames(dyno.app, "short");
      expectNames(dyno.release, "dynoRelease");
    }
    const [build] = (await world.call("/apps/demo/builds")).body;
    expectNames(build, "build");
    for (const object of [build.app, build.release]) expectNames(object, "id");
    const [release] = (await world.call("/apps/demo/releases")).body;
    expectNames(release, "release");
    for (const domain of (await world.call("/apps/demo/domains")).body) {
      expectNames(domain, "domain");
    }
    expectNames((await world.call("/account")).body, "account");
    expectNames((await world.call("/account/rate-limits")).body, "limits");
    expect(world.heroku.violations).toEqual([]);
  });

  test("times are ISO dates to the second, nulls stand where the platform has them", async () => {
    await using world = await startWorld();
    world.heroku.addApp("fresh", { isDeployed: false });
    world.heroku.addApp("hidden", { isInternal: true, region: "eu" });
    const fresh = (await world.call("/apps/fresh")).body;
    expect(fresh).toMatchObject({ team: null, released_at: null, maintenance: false });
    expect(fresh.updated_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const hidden = (await world.call("/apps/hidden")).body;
    expect(hidden).toMatchObject({ web_url: null, region: { name: "eu" } });
    expect((await world.call("/apps/fresh/formation")).body).toEqual([]);
    expect((await world.call("/apps/hidden/domains")).body).toEqual([]);
    expect((await world.call("/apps/fresh/releases")).body).toHaveLength(1);
  });

  test("every answer has a Request-Id, with the client's in it, and says what is left", async () => {
    await using world = await startWorld({ quota: 10 });
    const first = await world.call("/apps", { headers: { "request-id": "mine" } });
    expect(first.headers.get("request-id")).toMatch(/^mine,[0-9a-f-]{36}$/);
    expect(first.headers.get("ratelimit-remaining")).toBe("9");
    const missing = await world.call("/apps/none");
    expect(missing.headers.get("request-id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(missing.headers.get("ratelimit-remaining")).toBe("8");
    const refused = await world.call("/apps", { headers: { authorization: "Bearer wrong" } });
    expect(refused.headers.get("ratelimit-remaining")).toBe("8");
  });

  test("size, team, region, and the web address are the app's own", async () => {
    await using world = await startWorld();
    const { heroku } = world;
    heroku.addApp("sized", {
      size: "Standard-2X",
      formation: { web: 1, worker: { quantity: 0, size: "Basic" } },
    });
    heroku.addApp("old", { hasOldAddress: true });
    const formation = (await world.call("/apps/sized/formation")).body;
    const sizes = formation.map((entry: Record<string, unknown>) => [entry.type, entry.size]);
    expect(Object.fromEntries(sizes)).toEqual({ web: "Standard-2X", worker: "Basic" });
    const port = heroku.router.port;
    expect((await world.call("/apps/old")).body.web_url).toBe(`http://old.localhost:${port}/`);
    const { web_url } = (await world.call("/apps/sized")).body;
    expect(web_url).toMatch(new RegExp(`^http://sized-[0-9a-f]{12}\\.localhost:${port}/$`));
  });
});

describe("who may call", () => {
  test.each([
    ["none", null],
    ["any", "*/*"],
    ["JSON", "application/json"],
    ["version 2", "application/vnd.heroku+json; version=2"],
    ["no version", "application/vnd.heroku+json"],
  ])("another version than 3 is not acceptable: %s", async (_, accept) => {
    await using world = await startWorld();
    const { status, body } = await world.call("/apps", { headers: { accept } });
    expect([status, body.id]).toEqual([406, "not_acceptable"]);
    expectNames(body, "error");
    expect(world.heroku.violations).toHaveLength(1);
  });

  test("a token that is wrong, missing, or no bearer is unauthorized", async () => {
    await using world = await startWorld();
    const { heroku } = world;
    const statusOf = async (authorization: string | null) => {
      const { status, body } = await world.call("/apps", { headers: { authorization } });
      return [status, body.id];
    };
    expect(await statusOf("Bearer other")).toEqual([401, "unauthorized"]);
    expect(heroku.violations).toEqual([]);
    expect(await statusOf(null)).toEqual([401, "unauthorized"]);
    expect(await statusOf(`Basic ${btoa(`:${heroku.token}`)}`)).toEqual([401, "unauthorized"]);
    expect(heroku.violations).toHaveLength(2);
  });

  test("a revoked token is refused until it is accepted again, and goes at no quota", async () => {
    await using world = await startWorld({ quota: 3, quotaPerMinute: 0 });
    world.heroku.revokeToken();
    for (let count = 0; count < 5; count += 1) {
      expect((await world.call("/apps")).status).toBe(401);
    }
    expect((await world.call("/apps", { headers: { authorization: "Bearer null" } })).status).toBe(
      401,
    );
    world.heroku.acceptToken();
    expect((await world.call("/apps")).status).toBe(200);
    expect(world.heroku.violations).toEqual([]);
  });

  test("who goes on after many refusals within a minute does what it must not", async () => {
    await using world = await startWorld({ refusedPerMinuteMax: 3 });
    world.heroku.revokeToken();
    for (let count = 0; count < 3; count += 1) await world.call("/apps");
    await world.clock.advance(60_000);
    for (let count = 0; count < 3; count += 1) await world.call("/apps");
    expect(world.heroku.violations).toEqual([]);
    await world.call("/apps");
    expect(world.heroku.violations).toHaveLength(1);
    world.heroku.acceptToken();
    world.heroku.setQuota(0, 0);
    for (let count = 0; count < 4; count += 1) await world.call("/apps");
    expect(world.heroku.violations).toHaveLength(2);
  });

  test.each<[RefusalId, number]>([
    ["two_factor", 403],
    ["suspended", 403],
    ["forbidden", 403],
    ["delinquent", 402],
    ["verification_needed", 422],
  ])("the account or one app is refused: %s is %i", async (id, status) => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    world.heroku.refuse(id);
    const refused = await world.call("/apps");
    expect([refused.status, refused.body.id]).toEqual([status, id]);
    world.heroku.refuse(null);
    app.refuse(id);
    expect((await world.call("/apps")).body).toHaveLength(1);
    for (const path of ["", "/formation", "/dynos", "/builds", "/releases", "/domains"]) {
      const one = await world.call(`/apps/demo${path}`);
      expect([one.status, one.body.id]).toEqual([status, id]);
    }
    app.refuse(id, "scale-up");
    expect((await world.scale("demo", { web: 2 })).status).toBe(status);
    expect((await world.scale("demo", { web: 0 })).status).toBe(200);
    app.refuse(null);
    expect((await world.scale("demo", { web: 1 })).status).toBe(200);
    expect(world.heroku.violations).toEqual([]);
  });
});

describe("quota", () => {
  test("the bucket empties call by call, says so, and fills up with time", async () => {
    await using world = await startWorld({ quota: 3, quotaPerMinute: 60 });
    const left = [];
    for (let count = 0; count < 3; count += 1) {
      left.push((await world.call("/apps")).headers.get("ratelimit-remaining"));
    }
    expect(left).toEqual(["2", "1", "0"]);
    const over = await world.call("/apps");
    expect([over.status, over.body.id]).toEqual([429, "rate_limit"]);
    expectNames(over.body, "rateLimit");
    expect(over.headers.get("retry-after")).toBeNull();
    await world.clock.advance(999);
    expect((await world.call("/apps")).status).toBe(429);
    await world.clock.advance(1);
    expect((await world.call("/apps")).status).toBe(200);
    await world.clock.advance(3_600_000);
    expect(world.heroku.remaining).toBe(3);
    expect(world.heroku.rateLimited).toBe(2);
    expect(world.heroku.violations).toEqual([]);
  });

  test("asking what is left costs nothing, with an empty bucket as well", async () => {
    await using world = await startWorld({ quota: 100, quotaPerMinute: 0 });
    for (let count = 0; count < 3; count += 1) {
      expect((await world.call("/account/rate-limits")).body).toEqual({ remaining: 100 });
    }
    world.heroku.setQuota(0);
    const asked = await world.call("/account/rate-limits");
    expect([asked.status, asked.body]).toEqual([200, { remaining: 0 }]);
    expect((await world.call("/account")).status).toBe(429);
  });

  test("what came back is not counted twice", async () => {
    await using world = await startWorld();
    world.heroku.setQuota(0, 60);
    await world.clock.advance(1_000);
    expect((await world.call("/apps")).status).toBe(200);
    await world.clock.advance(500);
    expect((await world.call("/apps")).status).toBe(429);
    await world.clock.advance(500);
    expect((await world.call("/apps")).status).toBe(200);
  });

  test("the usual bucket holds 4500 and gets 75 a minute", async () => {
    await using world = await startWorld();
    expect(world.heroku.remaining).toBe(4_500);
    world.heroku.setQuota(0);
    await world.clock.advance(60_000);
    expect(world.heroku.remaining).toBe(75);
  });
});

describe("the rest", () => {
  test("what is not there is not found", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    world.heroku.deleteApp(app);
    for (const path of ["", "/formation", "/dynos", "/builds", "/releases", "/domains"]) {
      for (const name of ["demo", app.id, "never"]) {
        const { status, body } = await world.call(`/apps/${name}${path}`);
        expect([status, body.id]).toEqual([404, "not_found"]);
        expectNames(body, "error");
      }
    }
    expect((await world.scale("demo", { web: 1 })).status).toBe(404);
    expect((await world.call("/teams/none/apps")).status).toBe(404);
    expect(world.heroku.violations).toEqual([]);
    expect((await world.call("/v1/apps")).status).toBe(404);
    expect(world.heroku.violations).toHaveLength(1);
  });

  test("a name is free again after its app was deleted, and taken before", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    expect(() => world.heroku.addApp("demo")).toThrow();
    world.heroku.deleteApp(app);
    expect(world.heroku.addApp("demo").webUrl).not.toBe(app.webUrl);
  });

  test("a renamed app has its id, and another address that the router knows instead", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("before");
    const oldUrl = app.webUrl;
    app.rename("after");
    expect((await world.call("/apps/before")).status).toBe(404);
    expect((await world.call(`/apps/${app.id}`)).body).toMatchObject({
      name: "after",
      web_url: app.webUrl,
    });
    expect(app.webUrl).toContain("//after-");
    expect([await world.visit({ webUrl: oldUrl }), await world.visit(app)]).toEqual([404, 200]);
    const [domain] = (await world.call("/apps/after/domains")).body;
    expect(domain).toMatchObject({ kind: "heroku", hostname: new URL(app.webUrl ?? "").hostname });
  });

  test("a renamed app that cannot be reached stays so", async () => {
    await using world = await startWorld();
    world.heroku.addApp("before", { isInternal: true }).rename("after");
    expect((await world.call("/apps/after")).body.web_url).toBeNull();
  });

  test("reading the dynos of one app too often is noted; of two apps, after a scale or a failure it is not", async () => {
    await using world = await startWorld({ dynosPollMinMs: 2_500 });
    for (const name of ["one", "two"]) world.heroku.addApp(name);
    await world.call("/apps/one/dynos");
    await world.call("/apps/two/dynos");
    await world.clock.advance(2_500);
    await world.call("/apps/one/dynos");
    await world.scale("one", { web: 0 });
    world.heroku.api.fail("dynos.list", resetsAfter());
    // Bun repeats a GET whose connection was reset by itself.
    await world.call("/apps/one/dynos");
    expect(world.heroku.violations).toEqual([]);
    await world.clock.advance(2_499);
    await world.call("/apps/one/dynos");
    expect(world.heroku.violations).toHaveLength(1);
    expect(world.heroku.violations[0]).toContain("again after 2499 ms");
  });

  test("half an answer, and answers of tomorrow", async () => {
    await using world = await startWorld();
    world.heroku.addApp("demo");
    world.heroku.api.fail("apps.list", answersHalf());
    await expect(world.call("/apps")).rejects.toThrow();
    world.heroku.api.beStrange({ hasUnknownFields: true, words: { state: "hibernating" } });
    const [dyno] = (await world.call("/apps/demo/dynos")).body;
    expect([dyno.state, dyno.x_flag]).toEqual(["hibernating", true]);
  });
});
