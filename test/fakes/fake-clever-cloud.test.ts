/** The fake Clever Cloud: whose apps are found where, limits, and what calls are refused. */

import { describe, expect, test } from "bun:test";
import { createSystemClock } from "../../src/clock.ts";
import { until } from "../support/until.ts";
import { startFakeCleverCloud } from "./fake-clever-cloud.ts";
import { pathOf, pathV4Of, startWorld } from "./fake-clever-cloud-world.ts";
import { answersHalf, answersHtml, resetsAfter } from "./fake-faults.ts";
import { countsOf } from "./fake-journal.ts";

describe("owners", () => {
  test("the summary has everything in one call: personal apps, organisations, namesakes, 300 apps", async () => {
    await using world = await startWorld();
    const { clever } = world;
    const labs = clever.addOrganisation("Labs");
    clever.addApp("Demo App", { is: "down" });
    clever.addApp("Demo App", { ownerId: labs, is: "never-deployed" });
    clever.addApp("mine", { ownerId: clever.userId });
    for (let index = 0; index < 300; index += 1)
      clever.addApp(`review ${index}`, { ownerId: labs });
    const { user, organisations } = (await world.call("/v2/summary")).body;
    expect(user.applications.map((app: Record<string, string>) => app.name)).toEqual(["mine"]);
    expect(organisations.map((one: Record<string, string>) => one.name)).toEqual(["Acme", "Labs"]);
    expect(organisations[0].applications[0]).toMatchObject({
      name: "Demo App",
      state: "SHOULD_BE_DOWN",
    });
    expect(organisations[1].applications).toHaveLength(301);
    expect(organisations[1].applications[0]).toMatchObject({ name: "Demo App", commit: null });
    expect(clever.count()).toBe(1);
  });

  test("a personal app is found under /v2/self and under the user's id, by v4 under the id alone", async () => {
    await using world = await startWorld();
    const { clever } = world;
    const app = clever.addApp("mine", { ownerId: clever.userId });
    const paths = [
      `/v2/self/applications/${app.id}`,
      `/v2/self/applications/${app.id}/instances`,
      pathOf(app),
      pathOf(app, "/instances"),
      pathV4Of(app, "/instances"),
    ];
    for (const path of paths) expect((await world.call(path)).status).toBe(200);
    const elsewhere = pathV4Of(app, "/instances").replace(app.ownerId, "self");
    expect((await world.call(elsewhere)).status).toBe(404);
    expect(clever.violations).toEqual([]);
  });

  test("/v2/self lists personal apps alone, and finds another one by its id, but nothing below it", async () => {
    await using world = await startWorld();
    const { clever } = world;
    const app = clever.addApp("demo");
    expect((await world.call("/v2/self/applications")).body).toEqual([]);
    expect((await world.call(`/v2/self/applications/${app.id}`)).body.ownerId).toBe(app.ownerId);
    const below = await world.call(`/v2/self/applications/${app.id}/deployments?limit=1`);
    expect(below.status).toBe(404);
    const labs = clever.addOrganisation("Labs");
    const wrongOwner = pathOf(app).replace(app.ownerId, labs);
    expect((await world.call(wrongOwner)).status).toBe(404);
  });

  test("what the token may not see is not in the summary and answers 403, with another number than a limit", async () => {
    await using world = await startWorld();
    const { clever } = world;
    const labs = clever.addOrganisation("Labs");
    const app = clever.addApp("secret", { ownerId: labs });
    clever.hideOrganisation(labs);
    expect((await world.call("/v2/summary")).body.organisations).toHaveLength(1);
    const paths = [pathOf(app), pathV4Of(app, "/instances"), `/v2/self/applications/${app.id}`];
    for (const path of paths) expect((await world.call(path)).status).toBe(403);
    expect((await world.call(pathOf(app))).body.id).not.toBe(403);
    clever.hideOrganisation(labs, false);
    expect((await world.call(pathOf(app))).status).toBe(200);
  });

  test("an app may be forbidden, or its changes alone", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    app.forbid("writes");
    expect((await world.call(pathOf(app))).status).toBe(200);
    expect((await world.stop(app)).status).toBe(403);
    app.forbid("all");
    expect((await world.call(pathOf(app))).status).toBe(403);
    app.forbid(null);
    expect((await world.stop(app)).status).toBe(200);
  });

  test("a deleted app is gone from the API and from the router", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    world.clever.deleteApp(app);
    expect((await world.call(pathOf(app))).status).toBe(404);
    expect((await world.start(app)).status).toBe(404);
    const page = await world.visit(app);
    expect([page.status, page.headers.get("x-clevercloudupgrade")]).toEqual([404, null]);
    expect(world.clever.router.unknownHosts).toHaveLength(1);
  });
});

describe("limits", () => {
  test("one too many is 403 with the number 403 by v2, and 429 by v4, until the window has passed", async () => {
    await using world = await startWorld({ requestsPerWindow: 2 });
    const app = world.clever.addApp("demo");
    await world.call("/v2/summary");
    expect((await world.signed("/v2/summary")).status).toBe(200);
    const v2 = await world.call("/v2/summary");
    expect([v2.status, v2.body.id, v2.body.type]).toEqual([403, 403, "error"]);
    const v4 = await world.call(pathV4Of(app, "/instances"));
    expect([v4.status, Object.keys(v4.body)]).toEqual([429, ["code", "error", "context"]]);
    expect(world.clever.rateLimited).toBe(2);
    await world.clock.advance(60_000);
    expect((await world.call("/v2/summary")).status).toBe(200);
  });

  test("a test sets it, and lets others use it up", async () => {
    await using world = await startWorld();
    world.clever.setLimit(5, 10_000);
    world.clever.useUp(5);
    expect((await world.call("/v2/summary")).status).toBe(403);
    await world.clock.advance(10_000);
    expect((await world.call("/v2/summary")).status).toBe(200);
    world.clever.setLimit(Number.POSITIVE_INFINITY);
    world.clever.useUp(500);
    expect((await world.call("/v2/summary")).status).toBe(200);
  });
});

describe("calls", () => {
  test("unknown endpoints, queries and bodies are violations", async () => {
    await using world = await startWorld();
    const { clever } = world;
    const app = clever.addApp("demo", { is: "down" });
    expect((await world.call("/v2/applications")).status).toBe(404);
    expect((await world.call("/v2/summary", "POST")).status).toBe(404);
    await world.call("/v2/summary?full=yes");
    await world.call(pathOf(app, "/deployments?page=2"));
    await world.call(pathOf(app, "/deployments?limit=0"));
    await world.call(pathV4Of(app, "/instances?limit=1001"));
    await world.call(pathV4Of(app, "/instances?state=UP"));
    await world.call(pathV4Of(app, "/deployments?order=desc"));
    await fetch(clever.bridge.origin + pathOf(app, "/instances"), {
      method: "POST",
      headers: { authorization: `Bearer ${clever.apiToken}` },
      body: "{}",
    });
    expect(clever.violations).toHaveLength(9);
  });

  test("a start may say which commit, and leave the cache alone", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { is: "down" });
    const path = pathOf(app, "/instances?useCache=no&commit=abc");
    expect((await world.call(path, "POST")).status).toBe(200);
    expect(world.clever.violations).toEqual([]);
  });

  test("v4 filters and sorts instances and deployments; without DESC the oldest come first", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { minInstances: 2 });
    await world.stop(app);
    await world.clock.advance(5_000);
    await world.start(app);
    await world.clock.advance(62_000);
    const states = async (query: string) =>
      (await world.call(pathV4Of(app, `/instances${query}`))).body.map(
        (one: Record<string, string>) => one.state,
      );
    expect(await states("")).toEqual(["DELETED", "DELETED", "UP", "UP"]);
    expect(await states("?includeState=UP&limit=10")).toEqual(["UP", "UP"]);
    expect(await states("?includeState=UP&includeState=DELETED&limit=3")).toHaveLength(3);
    expect(await states("?excludeState=UP&order=DESC")).toEqual(["DELETED", "DELETED"]);
    const newest = app.deployments[0]?.uuid;
    expect(await states(`?deploymentId=${newest}`)).toEqual(["UP", "UP"]);
    const actions = async (query: string) =>
      (await world.call(pathV4Of(app, `/deployments${query}`))).body.map(
        (one: Record<string, Record<string, string>>) => one.origin?.action,
      );
    expect(await actions("?limit=2")).toEqual(["DEPLOY", "UNDEPLOY"]);
    expect(await actions("?limit=2&order=DESC")).toEqual(["DEPLOY", "UNDEPLOY"]);
    expect(await actions("")).toEqual(["DEPLOY", "UNDEPLOY", "DEPLOY"]);
    expect(world.clever.violations).toEqual([]);
  });

  test("are counted by kind, at the API and at the bridge", async () => {
    await using world = await startWorld();
    const { clever } = world;
    const app = clever.addApp("demo");
    await world.call("/v2/summary");
    await world.signed("/v2/summary");
    await world.look(app);
    expect(clever.count("summary")).toBe(2);
    expect(countsOf(clever.bridge.journal)).toEqual({
      summary: 1,
      "apps.read": 1,
      "deployments.list": 1,
      "instances.list": 1,
    });
  });

  test("go wrong on demand: a start that is carried out unanswered, half a body, a page of a gateway", async () => {
    await using world = await startWorld();
    const { clever } = world;
    const app = clever.addApp("demo", { is: "down" });
    clever.bridge.fail("start", resetsAfter());
    await expect(world.start(app)).rejects.toThrow();
    await world.clock.advance(2_000);
    expect(app.state).toBe("WANTS_TO_BE_UP");
    clever.bridge.fail("summary", answersHalf());
    await expect(world.call("/v2/summary")).rejects.toThrow();
    clever.bridge.fail("summary", answersHtml());
    expect((await world.call("/v2/summary")).status).toBe(502);
    await clever.bridge.goDown("refuse");
    await expect(world.call("/v2/summary")).rejects.toThrow();
    await clever.bridge.comeUp();
    expect((await world.call("/v2/summary")).status).toBe(200);
  });

  test("unknown words and fields on demand, for all or for one app", async () => {
    await using world = await startWorld();
    const { clever } = world;
    const app = clever.addApp("demo");
    app.showState("HIBERNATING");
    const { organisations } = (await world.call("/v2/summary")).body;
    expect(organisations[0].applications[0].state).toBe("HIBERNATING");
    expect((await world.call(pathOf(app))).body.state).toBe("HIBERNATING");
    app.showState(null);
    clever.bridge.beStrange({ hasUnknownFields: true, words: { state: "ODD" } });
    const strange = (await world.call(pathOf(app))).body;
    expect([strange.state, strange.x_flag]).toEqual(["ODD", true]);
  });
});

test("with the real clock and short durations, through the variables that the program reads", async () => {
  await using clever = await startFakeCleverCloud({
    clock: createSystemClock(),
    queueMs: 5,
    startMs: 20,
    stopMs: 5,
    idLagMs: 1,
  });
  const app = clever.addApp("demo", { is: "down" });
  const environment = clever.environmentOf("token");
  const url = `${environment.PROVIDER_CLEVER_API_HOST}${pathOf(app, "/instances")}`;
  const headers = { authorization: `Bearer ${environment.PROVIDER_CLEVER_API_TOKEN}` };
  expect((await fetch(url, { method: "POST", headers })).status).toBe(200);
  await until(() => app.state === "SHOULD_BE_UP" && app.serving === 1);
  expect((await fetch(clever.addressOf(app))).status).toBe(200);
  expect((await fetch(url, { method: "DELETE", headers })).status).toBe(200);
  await until(() => app.state === "SHOULD_BE_DOWN");
  expect(Object.keys(clever.environmentOf("oauth1"))).toHaveLength(5);
  expect(clever.violations).toEqual([]);
});
