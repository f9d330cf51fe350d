/** The fake Render against what is known of the real one: field names, life, limits, pages. */

import { describe, expect, test } from "bun:test";
import { createVirtualClock, type VirtualClock } from "../support/virtual-clock.ts";
import { type FakeRender, type FakeRenderOptions, startFakeRender } from "./fake-render.ts";

interface World extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly render: FakeRender;
  /** A call as a well-behaved client makes it. */
  call(path: string, more?: RequestInit): Promise<Seen>;
}

interface Seen {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what was read, as it is; each test says what it expects of it
  readonly body: any;
}

async function startWorld(options: Partial<FakeRenderOptions> = {}): Promise<World> {
  const clock = createVirtualClock();
  const render = await startFakeRender({ clock, ...options });
  return {
    clock,
    render,
    async call(path, more = {}) {
      const headers = { accept: "application/json", authorization: `Bearer ${render.token}` };
      const answer = await fetch(render.apiUrl + path, { headers, ...more });
      const text = await answer.text();
      const body = text === "" ? null : JSON.parse(text);
      return { status: answer.status, headers: answer.headers, body };
    },
    [Symbol.asyncDispose]: () => render[Symbol.asyncDispose](),
  };
}

const POST = { method: "POST" };

/** As in the examples that were made from the API's types. */
const NAMES = {
  service:
    "id name ownerId slug type suspended suspenders autoDeploy notifyOnFail rootDir repo branch dashboardUrl createdAt updatedAt serviceDetails",
  serviceDetails:
    "env runtime plan region numInstances healthCheckPath maintenanceMode url openPorts buildPlan renderSubdomainPolicy envSpecificDetails",
  deploy: "id status trigger commit createdAt startedAt updatedAt",
  customDomain:
    "id name domainType publicSuffix redirectForName verificationStatus createdAt server",
} as const;

function expectNames(value: object, name: keyof typeof NAMES): void {
  expect(Object.keys(value).toSorted()).toEqual(NAMES[name].split(" ").toSorted());
}

describe("what it says", () => {
  test("every object has the fields of the API's types, in lists each beside its cursor", async () => {
    await using world = await startWorld();
    const app = world.render.addService("demo");
    app.addDomain("www.demo");
    const [entry] = (await world.call("/services")).body;
    expect(Object.keys(entry)).toEqual(["service", "cursor"]);
    expectNames(entry.service, "service");
    expectNames(entry.service.serviceDetails, "serviceDetails");
    expect((await world.call(`/services/${app.id}`)).body).toEqual(entry.service);
    const [deploy] = (await world.call(`/services/${app.id}/deploys?limit=1`)).body;
    expectNames(deploy.deploy, "deploy");
    const [domain] = (await world.call(`/services/${app.id}/custom-domains`)).body;
    expectNames(domain.customDomain, "customDomain");
    expect(world.render.violations).toEqual([]);
  });

  test("pages follow the cursor of their last element, and the last one is short or empty", async () => {
    await using world = await startWorld();
    for (let n = 0; n < 205; n += 1) world.render.addService(`app-${n}`);
    const lengths: number[] = [];
    const ids = new Set<string>();
    for (let cursor = ""; ; ) {
      const after = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const { body } = await world.call(`/services?type=web_service&limit=100${after}`);
      lengths.push(body.length);
      for (const { service } of body) ids.add(service.id);
      if (body.length < 100) break;
      cursor = body.at(-1).cursor;
    }
    expect([lengths, ids.size]).toEqual([[100, 100, 5], 205]);
    expect((await world.call("/services")).body).toHaveLength(20);
    expect(world.render.violations).toEqual([]);
  });

  test("what is asked for wrongly is a violation", async () => {
    await using world = await startWorld();
    const app = world.render.addService("demo");
    await world.call("/services?limit=1000");
    await world.call("/services?cursor=none");
    await world.call("/services?colour=red");
    await world.call("/nothing");
    await world.call(`/services/${app.id}/suspend`, { ...POST, body: "{}" });
    expect(world.render.violations).toHaveLength(5);
  });
});

describe("life", () => {
  test("a suspend is an empty 202 and takes it down; a resume makes a deploy, which brings it up", async () => {
    await using world = await startWorld();
    const app = world.render.addService("demo", { numInstances: 2 });
    const suspended = await world.call(`/services/${app.id}/suspend`, POST);
    expect([suspended.status, suspended.body]).toEqual([202, null]);
    expect([app.isSuspended, app.isServing]).toEqual([true, false]);
    const resumed = await world.call(`/services/${app.id}/resume`, POST);
    expect([resumed.status, resumed.body]).toEqual([202, null]);
    const words: string[] = [];
    for (let step = 0; step < 4; step += 1) {
      const [{ deploy }] = (await world.call(`/services/${app.id}/deploys?limit=1`)).body;
      words.push(`${deploy.trigger} ${deploy.status}`);
      await world.clock.advance(20_000);
    }
    expect(words).toEqual([
      "service_resumed created",
      "service_resumed build_in_progress",
      "service_resumed update_in_progress",
      "service_resumed live",
    ]);
    expect(app.deploys.map(({ status }) => status)).toEqual(["live", "deactivated"]);
    expect([app.isServing, app.numInstances]).toEqual([true, 2]);
    expect(world.render.violations).toEqual([]);
  });

  test("a resume may show late, and may make no deploy", async () => {
    await using late = await startWorld({ resumeShowsMs: 5_000, deployShowsMs: 8_000 });
    const app = late.render.addService("demo", { suspendedBy: "user" });
    await late.call(`/services/${app.id}/resume`, POST);
    expect([app.isSuspended, app.deploys.length]).toEqual([true, 1]);
    await late.clock.advance(5_000);
    expect([app.isSuspended, app.deploys.length]).toEqual([false, 1]);
    await late.clock.advance(3_000);
    expect(app.deploys.length).toBe(2);
    await using none = await startWorld({ makesDeployOnResume: false });
    const other = none.render.addService("demo", { suspendedBy: "user" });
    await none.call(`/services/${other.id}/resume`, POST);
    await none.clock.advance(60_000);
    expect([other.isServing, other.deploys.length]).toEqual([true, 1]);
  });

  test("a deploy that fails leaves what ran before; after a resume nothing did", async () => {
    await using world = await startWorld();
    const app = world.render.addService("demo");
    app.nextDeploys("build_failed", "update_failed");
    app.beginDeploy();
    await world.clock.advance(60_000);
    expect([app.isServing, app.deploys[0]?.status]).toEqual([true, "build_failed"]);
    app.suspend();
    app.resume();
    await world.clock.advance(60_000);
    expect([app.isServing, app.deploys[0]?.status]).toEqual([false, "update_failed"]);
  });

  test("a resume may be refused right after a suspend", async () => {
    await using world = await startWorld({ resumeRefusedMs: 5_000 });
    const app = world.render.addService("demo");
    await world.call(`/services/${app.id}/suspend`, POST);
    expect((await world.call(`/services/${app.id}/resume`, POST)).status).toBe(400);
    await world.clock.advance(5_000);
    expect((await world.call(`/services/${app.id}/resume`, POST)).status).toBe(202);
    expect(world.render.violations).toEqual([]);
  });

  test("who suspends what is being deployed, resumes what is up, or what is not his, does what he must not", async () => {
    await using world = await startWorld({ repeats: "refused" });
    const app = world.render.addService("demo");
    const unpaid = world.render.addService("unpaid", { suspendedBy: "billing" });
    const free = world.render.addService("free", { plan: "free" });
    expect((await world.call(`/services/${app.id}/resume`, POST)).status).toBe(400);
    expect((await world.call(`/services/${unpaid.id}/resume`, POST)).status).toBe(400);
    await world.call(`/services/${free.id}/suspend`, POST);
    app.beginDeploy();
    await world.call(`/services/${app.id}/suspend`, POST);
    expect(app.deploys[0]?.status).toBe("canceled");
    expect(world.render.violations).toHaveLength(4);
    expect((await world.call(`/services/${app.id}/suspend`, POST)).status).toBe(400);
  });
});

describe("who may call", () => {
  test("without a good key 401, without Accept 406, of what is gone 404", async () => {
    await using world = await startWorld();
    const app = world.render.addService("demo");
    const authorization = `Bearer ${world.render.token}`;
    const noAccept = await world.call("/services", { headers: { authorization } });
    expect(noAccept.status).toBe(406);
    world.render.setAccepted(false);
    expect((await world.call("/services")).status).toBe(401);
    world.render.setAccepted(true);
    world.render.deleteService(app);
    const gone = await world.call(`/services/${app.id}`);
    expect([gone.status, Object.keys(gone.body)]).toEqual([404, ["id", "message"]]);
  });

  test("reads count for the account, changes for their service; both say what is left", async () => {
    await using world = await startWorld({ readsPerMinute: 5, changesPerMinute: 1 });
    const app = world.render.addService("demo");
    const other = world.render.addService("other");
    const first = await world.call(`/services/${app.id}/suspend`, POST);
    expect(first.headers.get("ratelimit-limit")).toBe("1");
    const second = await world.call(`/services/${app.id}/suspend`, POST);
    expect([second.status, second.headers.get("retry-after"), second.body]).toEqual([
      429,
      "60",
      { message: "rate limit exceeded" },
    ]);
    expect((await world.call(`/services/${other.id}/suspend`, POST)).status).toBe(202);
    for (let n = 4; n >= 0; n -= 1) {
      const { headers } = await world.call("/services");
      expect(headers.get("ratelimit-remaining")).toBe(String(n));
    }
    expect((await world.call("/services")).status).toBe(429);
    await world.clock.advance(60_000);
    expect((await world.call("/services")).status).toBe(200);
    expect(world.render.rateLimited).toBe(2);
  });
});

describe("the router", () => {
  test.each([
    ["marked", 503, "suspend-by-user"],
    ["bare", 503, null],
    ["ok", 200, null],
  ] as const)("a suspended service shows a page (%s)", async (pages, status, mark) => {
    await using world = await startWorld({ pages });
    const app = world.render.addService("demo", { suspendedBy: "user" });
    const answer = await fetch(app.address);
    expect([answer.status, answer.headers.get("x-render-routing")]).toEqual([status, mark]);
    expect(await answer.text()).toContain("Service Suspended");
    expect(app.requests).toBe(0);
  });

  test("one in maintenance shows a page of its own", async () => {
    await using world = await startWorld();
    const app = world.render.addService("demo");
    app.setMaintenance(true);
    expect((await fetch(app.address)).status).toBe(503);
    app.setMaintenance(false);
    expect((await fetch(app.address)).status).toBe(200);
  });

  test("one that did not come back shows an error, a name of nobody 404", async () => {
    await using world = await startWorld();
    const app = world.render.addService("demo", { suspendedBy: "user" });
    app.nextDeploys("build_failed");
    app.resume();
    await world.clock.advance(60_000);
    expect((await fetch(app.address)).status).toBe(502);
    const nowhere = `http://nobody.localhost:${world.render.router.port}`;
    expect((await fetch(nowhere)).headers.get("x-render-routing")).toBe("no-server");
  });

  test("it may lag behind a deploy, and a free service spins up for a request", async () => {
    await using world = await startWorld({ routerLagMs: 3_000 });
    const app = world.render.addService("demo", { suspendedBy: "user" });
    app.resume();
    await world.clock.advance(60_000);
    expect((await fetch(app.address)).status).toBe(503);
    await world.clock.advance(3_000);
    expect((await fetch(app.address)).status).toBe(200);
    const free = world.render.addService("free", { plan: "free" });
    free.spinDown();
    const answer = fetch(free.address);
    while (world.render.router.queued === 0) await Bun.sleep(1);
    await world.clock.advance(30_000);
    expect((await answer).status).toBe(200);
  });
});
