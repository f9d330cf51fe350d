/** The fake Scalingo answers with the documented names, and refuses what is to be refused. */

import { describe, expect, test } from "bun:test";
import { answers, resetsAfter } from "./fake-faults.ts";
import type { AppAnswer } from "./fake-router.ts";
import { conflict, internalError } from "./fake-scalingo-json.ts";
import { askForBearer, exchange, JSON_HEADERS, seen, startWorld } from "./scalingo-world.ts";

const NAMES: Readonly<Record<string, readonly string[]>> = {
  app: [
    "id",
    "name",
    "region",
    "status",
    "url",
    "base_url",
    "owner",
    "project",
    "last_deployment_id",
    "last_deployed_at",
    "force_https",
    "flags",
    "limits",
    "created_at",
    "updated_at",
  ],
  owner: ["id", "username", "email"],
  project: ["id", "name"],
  formation: ["name", "amount", "size"],
  container: [
    "id",
    "type",
    "type_index",
    "state",
    "created_at",
    "deleted_at",
    "command",
    "container_size",
  ],
  container_size: ["name", "memory"],
  operation: ["id", "type", "status", "created_at", "finished_at", "error"],
  pagination: ["current_page", "prev_page", "next_page", "total_pages", "total_count"],
  region: ["name", "display_name", "api", "dashboard", "database_api", "ssh"],
  domain: ["id", "name", "ssl", "canonical"],
  autoscaler: [
    "id",
    "app_id",
    "container_type",
    "min_containers",
    "max_containers",
    "metric",
    "target",
    "disabled",
  ],
  deployment: ["id", "app_id", "created_at", "status", "git_ref", "pusher"],
};

function expectNames(object: object, kind: string): void {
  expect(Object.keys(object).toSorted()).toEqual([...(NAMES[kind] ?? [])].toSorted());
}

describe("names", () => {
  test("every object has exactly the documented fields", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo", { formation: { web: 2, clock: 0 } });
    app.addAutoscaler("web");
    app.addDomain("www.demo", true);
    const list = await world.call("/v1/apps");
    expect(Object.keys(list.body)).toEqual(["apps"]);
    expectNames(list.body.apps[0], "app");
    expectNames(list.body.apps[0].owner, "owner");
    expectNames(list.body.apps[0].project, "project");
    const one = await world.call("/v1/apps/demo");
    expect(one.body).toEqual({ app: list.body.apps[0] });
    const formation = await world.call(`/v1/apps/${app.id}/containers`);
    for (const type of formation.body.containers) expectNames(type, "formation");
    const processes = await world.call("/v1/apps/demo/ps");
    for (const container of processes.body.containers) {
      expectNames(container, "container");
      expectNames(container.container_size, "container_size");
    }
    const { body } = await world.call("/v1/apps/demo/deployments?page=1&per_page=1");
    expect(Object.keys(body)).toEqual(["deployments", "meta"]);
    expectNames(body.deployments[0], "deployment");
    expectNames(body.meta.pagination, "pagination");
    const { autoscalers } = (await world.call("/v1/apps/demo/autoscalers")).body;
    expectNames(autoscalers[0], "autoscaler");
    const { domains } = (await world.call("/v1/apps/demo/domains")).body;
    expectNames(domains[0], "domain");
    const { regions } = (await world.call(`${world.scalingo.authUrl}/v1/regions`)).body;
    expectNames(regions[0], "region");
    expect(world.scalingo.violations).toEqual([]);
    const { headers } = await world.scale("demo", { web: 3 });
    const { operation } = (await world.call(headers.get("location") ?? "")).body;
    expectNames(operation, "operation");
  });

  test("a terse fake leaves out what the documents' examples leave out", async () => {
    await using world = await startWorld({ isTerse: true });
    world.scalingo.addApp("demo").addAutoscaler("web");
    const { app } = (await world.call("/v1/apps/demo")).body;
    for (const name of ["region", "base_url", "project"]) expect(app).not.toHaveProperty(name);
    const { autoscalers } = (await world.call("/v1/apps/demo/autoscalers")).body;
    expect(autoscalers[0]).not.toHaveProperty("disabled");
  });

  test("the list has every status in one call, apps of the region alone, and no pages", async () => {
    await using world = await startWorld({ regions: ["osc-fr1", "osc-secnum-fr1"] });
    const { scalingo } = world;
    for (let index = 0; index < 300; index += 1) scalingo.addApp(`review-${index}`);
    scalingo.addApp("asleep", { formation: { web: 0 } });
    scalingo.addApp("fresh", { isDeployed: false });
    scalingo.addApp("worker-only", { formation: { web: 0, worker: 1 } });
    const crashed = scalingo.addApp("broken");
    crashed.crash();
    const secret = scalingo.addApp("secret", { region: "osc-secnum-fr1" });
    secret.showStatus("hibernating");
    const { apps } = (await world.call("/v1/apps")).body;
    expect(apps).toHaveLength(304);
    expect(apps.slice(-4).map((app: Record<string, string>) => app.status)).toEqual([
      "stopped",
      "new",
      "running",
      "crashed",
    ]);
    const elsewhere = await world.call(`${scalingo.apiUrlOf("osc-secnum-fr1")}/v1/apps`);
    expect(elsewhere.body.apps[0]).toMatchObject({ name: "secret", status: "hibernating" });
    expect((await world.call(`/v1/apps/${secret.id}`)).status).toBe(404);
  });

  test("deployments come in pages, newest first", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo");
    app.beginDeploy();
    app.failDeploy("build-error");
    app.beginDeploy("building");
    const page = async (query: string) =>
      (await world.call(`/v1/apps/demo/deployments${query}`)).body;
    const first = await page("?page=1&per_page=2");
    expect(first.deployments.map((one: Record<string, string>) => one.status)).toEqual([
      "building",
      "build-error",
    ]);
    expect(first.meta.pagination).toEqual({
      current_page: 1,
      prev_page: null,
      next_page: 2,
      total_pages: 2,
      total_count: 3,
    });
    const last = await page("?page=2&per_page=2");
    expect(last.meta.pagination).toMatchObject({ prev_page: 1, next_page: null });
    expect((await page("")).deployments).toHaveLength(3);
    expect(world.scalingo.violations).toEqual([]);
  });
});

describe("credentials", () => {
  test("an API token is exchanged for a bearer that lives one hour, on all regions", async () => {
    await using world = await startWorld({ regions: ["osc-fr1", "osc-secnum-fr1"] });
    await world.clock.advance(3_599_999);
    expect((await world.call("/v1/apps")).status).toBe(200);
    const elsewhere = `${world.scalingo.apiUrlOf("osc-secnum-fr1")}/v1/apps`;
    expect((await world.call(elsewhere)).status).toBe(200);
    await world.clock.advance(1);
    expect((await world.call("/v1/apps")).status).toBe(401);
    const bearer = await exchange(world.scalingo);
    expect((await seen(`${world.scalingo.api.origin}/v1/apps`, { bearer })).status).toBe(200);
    expect(world.scalingo.auth.count("tokens.exchange")).toBe(2);
    expect(world.scalingo.violations).toEqual([]);
  });

  test("bearers can be made to expire, and the API token be revoked", async () => {
    await using world = await startWorld();
    world.scalingo.expireBearers();
    expect((await world.call("/v1/apps")).status).toBe(401);
    world.scalingo.setApiToken(null);
    expect((await askForBearer(world.scalingo, ":tk-us-fake")).status).toBe(401);
    expect(world.scalingo.violations).toEqual([]);
  });

  test("anything but an empty user and the token, or an issued bearer, is a violation", async () => {
    await using world = await startWorld();
    const { scalingo } = world;
    expect((await askForBearer(scalingo, "tk-us-fake:")).status).toBe(401);
    expect((await askForBearer(scalingo, "john:tk-us-fake")).status).toBe(401);
    const bare = await fetch(`${scalingo.authUrl}/v1/tokens/exchange`, {
      method: "POST",
      headers: { ...JSON_HEADERS, authorization: "Bearer tk-us-fake" },
      body: '{"token":{}}',
    });
    expect(bare.status).toBe(401);
    const url = `${scalingo.api.origin}/v1/apps`;
    expect((await seen(url, { bearer: "tk-us-fake" })).status).toBe(401);
    expect((await fetch(url, { headers: JSON_HEADERS })).status).toBe(401);
    expect(scalingo.violations).toHaveLength(6);
  });

  test("a region that is not for this account answers 403, and one that does not exist is a violation", async () => {
    await using world = await startWorld({ restrictedRegions: ["osc-secnum-fr1"] });
    const { scalingo } = world;
    const refused = await world.call(`${scalingo.apiUrlOf("osc-secnum-fr1")}/v1/apps`);
    expect([refused.status, Object.keys(refused.body)]).toEqual([403, ["error", "code"]]);
    const { regions } = (await world.call(`${scalingo.authUrl}/v1/regions`)).body;
    expect(regions.map((one: Record<string, string>) => one.name)).toEqual(["osc-fr1"]);
    expect(regions[0].api).toBe(scalingo.apiUrlOf("osc-fr1"));
    expect(scalingo.violations).toEqual([]);
    expect((await world.call(`${scalingo.apiUrlOf("osc-fr-1")}/v1/apps`)).status).toBe(404);
    expect(scalingo.violations).toHaveLength(1);
  });
});

describe("limits", () => {
  test("the 61st call within a minute gets plain text, exchanges included", async () => {
    await using world = await startWorld({ requestsPerWindow: 60 });
    for (let call = 0; call < 59; call += 1) {
      expect((await world.call("/v1/apps")).status).toBe(200);
      await world.clock.advance(100);
    }
    const refused = await world.call("/v1/apps");
    expect([refused.status, refused.text]).toEqual([429, "Retry later"]);
    expect(refused.headers.get("content-type")).toBe("text/plain");
    expect(refused.headers.get("retry-after")).toBeNull();
    expect((await askForBearer(world.scalingo, ":tk-us-fake")).status).toBe(429);
    expect(world.scalingo.rateLimited).toBe(2);
    await world.clock.advance(60_000 - 59 * 100 - 1);
    expect((await world.call("/v1/apps")).status).toBe(429);
    await world.clock.advance(1);
    expect((await world.call("/v1/apps")).status).toBe(200);
    expect(world.scalingo.violations).toEqual([]);
  });

  test("others use up the same budget", async () => {
    await using world = await startWorld({ requestsPerWindow: 60 });
    world.scalingo.useUp(58);
    expect((await world.call("/v1/apps")).status).toBe(200);
    expect((await world.call("/v1/apps")).status).toBe(429);
    world.scalingo.setRequestsPerWindow(61);
    expect((await world.call("/v1/apps")).status).toBe(200);
  });
});

describe("scale", () => {
  test("down: 202 and an operation, containers stop, amounts are zero, sizes stay", async () => {
    await using world = await startWorld();
    const { scalingo, clock } = world;
    const large = { amount: 2, size: "L" };
    const app = scalingo.addApp("demo", { formation: { web: large, worker: 3, clock: 0 } });
    const answer = await world.scale("demo", { web: 0, worker: 0 });
    expect(answer.status).toBe(202);
    expect(answer.body.containers).toEqual([
      { name: "web", amount: 0, size: "L" },
      { name: "worker", amount: 0, size: "M" },
      { name: "clock", amount: 0, size: "M" },
    ]);
    const location = answer.headers.get("location") ?? "";
    expect(location).toStartWith(`${scalingo.api.origin}/v1/apps/demo/operations/`);
    const operation = async () => (await world.call(location)).body.operation;
    expect(await operation()).toMatchObject({ type: "scale", status: "pending", error: "" });
    expect(await world.statusOf("demo")).toBe("scaling");
    await clock.advance(500);
    expect(await operation()).toMatchObject({ status: "running", finished_at: null });
    const { containers } = (await world.call("/v1/apps/demo/ps")).body;
    expect(new Set(containers.map((one: Record<string, string>) => one.state))).toEqual(
      new Set(["stopping"]),
    );
    expect((await fetch(scalingo.addressOf(app))).status).toBe(503);
    await clock.advance(1_500);
    expect((await operation()).status).toBe("done");
    expect(await world.statusOf("demo")).toBe("stopped");
    expect((await world.call("/v1/apps/demo/ps")).body.containers).toEqual([]);
    expect(app.amounts).toEqual({ web: 0, worker: 0, clock: 0 });
    expect(scalingo.violations).toEqual([]);
  });

  test("up: 503 by the router until the containers accept, then the app answers", async () => {
    await using world = await startWorld();
    const { scalingo, clock } = world;
    const app = scalingo.addApp("demo", { formation: { web: 0, worker: 0 } });
    const down = await fetch(scalingo.addressOf(app));
    expect([down.status, down.headers.get("x-scalingo-error")]).toEqual([
      503,
      "application is stopped",
    ]);
    await world.scale("demo", { web: 2, worker: 3 });
    await clock.advance(4_999);
    expect(await world.statusOf("demo")).toBe("scaling");
    expect((await fetch(scalingo.addressOf(app))).status).toBe(503);
    await clock.advance(1);
    expect(await world.statusOf("demo")).toBe("running");
    const up = (await (await fetch(scalingo.addressOf(app))).json()) as AppAnswer; // The fake's.
    expect(up).toMatchObject({ app: "demo", instances: 2, request: 1 });
    expect(scalingo.appRequests(app)).toBe(1);
  });

  test("one of size: as it is when empty or left out", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo", { formation: { web: { amount: 1, size: "L" } } });
    const change = (size: string) =>
      world.call("/v1/apps/demo/scale", { containers: [{ name: "web", amount: 1, size }] });
    expect((await change("")).status).toBe(400);
    expect((await change("XL")).status).toBe(202);
    expect(app.sizes).toEqual({ web: "XL" });
    expect(world.scalingo.violations).toEqual([]);
  });

  test("the same formation: 400; a busy app: 422; which of them first is open", async () => {
    await using world = await startWorld();
    world.scalingo.addApp("demo", { formation: { web: 1 } });
    const same = await world.scale("demo", { web: 1 });
    expect([same.status, same.body]).toEqual([400, { error: "no change in containers formation" }]);
    await world.scale("demo", { web: 2 });
    const busy = await world.scale("demo", { web: 3 });
    expect([busy.status, busy.body]).toEqual([422, { errors: { app: ["is scaling"] } }]);
    expect((await world.scale("demo", { web: 2 })).status).toBe(422);
    await using other = await startWorld({ saysNoChangeFirst: true });
    other.scalingo.addApp("demo", { formation: { web: 1 } });
    await other.scale("demo", { web: 2 });
    expect((await other.scale("demo", { web: 2 })).status).toBe(400);
  });

  test("an app that was never deployed: 200 without an operation", async () => {
    await using world = await startWorld();
    world.scalingo.addApp("demo", { isDeployed: false });
    const answer = await world.scale("demo", { web: 2 });
    expect([answer.status, answer.headers.get("location")]).toEqual([200, null]);
    expect(await world.statusOf("demo")).toBe("new");
  });

  test("unknown app and type: 404 with what was not found", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo");
    const unknownType = await world.scale("demo", { web: 0, cron: 1 });
    expect([unknownType.status, unknownType.body]).toEqual([
      404,
      { resource: "container_type", error: "not found" },
    ]);
    expect(app.amounts).toEqual({ web: 1 });
    world.scalingo.deleteApp(app);
    const unknownApp = await world.scale("demo", { web: 0 });
    expect([unknownApp.status, unknownApp.body]).toEqual([
      404,
      { resource: "app", error: "not found" },
    ]);
    expect((await fetch(world.scalingo.addressOf(app))).status).toBe(404);
    expect(world.scalingo.violations).toEqual([]);
  });

  test("402 for who must pay, 403 for who may not, 409 and 500 on demand", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo", { formation: { web: 0 } });
    app.block();
    const blocked = await world.scale("demo", { web: 1 });
    expect([blocked.status, Object.keys(blocked.body)]).toEqual([402, ["error", "url"]]);
    app.forbid();
    expect((await world.scale("demo", { web: 1 })).status).toBe(403);
    expect((await world.call("/v1/apps")).body.apps).toHaveLength(1);
    app.block(false);
    app.forbid(false);
    world.scalingo.api.fail("scale", answers(conflict()));
    expect((await world.scale("demo", { web: 1 })).status).toBe(409);
    world.scalingo.api.fail("scale", answers(internalError()));
    expect((await world.scale("demo", { web: 1 })).status).toBe(500);
    expect((await world.scale("demo", { web: 1 })).status).toBe(202);
  });

  test("it was applied although the connection was reset", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo", { formation: { web: 0 } });
    world.scalingo.api.fail("scale", resetsAfter());
    await expect(world.scale("demo", { web: 2 })).rejects.toThrow();
    expect(app.amounts).toEqual({ web: 2 });
    expect(world.scalingo.api.count("scale")).toBe(1);
  });

  const WRONG_BODIES: readonly (readonly [string, unknown, number, number])[] = [
    ["no containers", {}, 422, 1],
    ["an empty list", { containers: [] }, 422, 1],
    ["something beside containers", { containers: [{ name: "web", amount: 2 }], force: 1 }, 202, 1],
    ["a field more", { containers: [{ name: "web", amount: 2, command: "x" }] }, 202, 1],
    ["no name", { containers: [{ amount: 2 }] }, 422, 1],
    ["no amount", { containers: [{ name: "web" }] }, 422, 1],
    ["a negative amount", { containers: [{ name: "web", amount: -1 }] }, 422, 1],
    ["an amount as text", { containers: [{ name: "web", amount: "2" }] }, 422, 1],
    ["eleven", { containers: [{ name: "web", amount: 11 }] }, 422, 1],
    ["ten", { containers: [{ name: "web", amount: 10 }] }, 202, 0],
    ["an unknown size", { containers: [{ name: "web", amount: 2, size: "Huge" }] }, 422, 1],
    ["an array", [{ name: "web", amount: 2 }], 400, 1],
    [
      "a type twice",
      {
        containers: [
          { name: "web", amount: 2 },
          { name: "web", amount: 3 },
        ],
      },
      202,
      1,
    ],
  ];
  for (const [what, body, status, violations] of WRONG_BODIES) {
    test(`a body with ${what}: ${status}, violations: ${violations}`, async () => {
      await using world = await startWorld();
      world.scalingo.addApp("demo");
      expect((await world.call("/v1/apps/demo/scale", body)).status).toBe(status);
      expect(world.scalingo.violations).toHaveLength(violations);
    });
  }

  test("the wrong form of a call is a violation: accept, content type, query, bodies, endpoints", async () => {
    await using world = await startWorld();
    const { scalingo } = world;
    scalingo.addApp("demo");
    const bearer = await exchange(scalingo);
    const authorization = `Bearer ${bearer}`;
    const url = `${scalingo.api.origin}/v1/apps`;
    await fetch(url, { headers: { authorization } });
    await fetch(`${url}/demo/scale`, {
      method: "POST",
      headers: { authorization, accept: "application/json", "content-type": "text/plain" },
      body: '{"containers":[{"name":"web","amount":0}]}',
    });
    await world.call("/v1/apps?per_page=100");
    expect((await world.call("/v1/apps/demo/stop", {})).status).toBe(404);
    expect((await world.call("/v1/apps/demo/deployments?page=0")).status).toBe(200);
    expect(scalingo.violations.map((text) => text.replace(/^.*?: .*?: /, ""))).toEqual([
      'accept is "*/*", not /^application\\/json\\b/i',
      'content-type is "text/plain", not /^application\\/json\\b/i',
      'unknown query parameter "per_page"',
      "there is no such endpoint",
      'page must be a number from 1: "0"',
    ]);
  });

  test("a type with an enabled autoscaler loses it, which is a violation unless allowed", async () => {
    await using world = await startWorld();
    const app = world.scalingo.addApp("demo", { formation: { web: 1, worker: 1 } });
    app.addAutoscaler("web");
    await world.scale("demo", { worker: 0 });
    expect(app.hasEnabledAutoscaler).toBe(true);
    await world.clock.advance(2_000);
    await world.scale("demo", { web: 0 });
    expect(app.hasEnabledAutoscaler).toBe(false);
    expect(world.scalingo.violations).toHaveLength(1);
    await using other = await startWorld({ mayDisableAutoscalers: true });
    other.scalingo.addApp("demo").addAutoscaler("web");
    await other.scale("demo", { web: 0 });
    expect(other.scalingo.violations).toEqual([]);
  });

  test("more unfinished scales than the platform bears: an operation fails, the peak is known", async () => {
    await using world = await startWorld({ scalesInFlightMax: 2 });
    for (const name of ["one", "two", "three"]) {
      world.scalingo.addApp(name, { formation: { web: 0 } });
      await world.scale(name, { web: 1 });
    }
    await world.clock.advance(5_000);
    expect(await world.statusOf("two")).toBe("running");
    expect(await world.statusOf("three")).toBe("stopped");
    expect(world.scalingo.scalesInFlightPeak).toBe(3);
  });
});
