/** The fake Upsun against what is known of the real one: field names, activities, tokens, the router. */

import { describe, expect, test } from "bun:test";
import { createVirtualClock, type VirtualClock } from "../support/virtual-clock.ts";
import { type FakeUpsun, type FakeUpsunOptions, startFakeUpsun } from "./fake-upsun.ts";
import type { UpsunControl } from "./fake-upsun-control.ts";

interface World extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly upsun: FakeUpsun;
  /** A call as a well-behaved client makes it, with a new bearer where there is none. */
  call(path: string, more?: RequestInit): Promise<Seen>;
  exchange(form?: Readonly<Record<string, string>>): Promise<Seen>;
}

interface Seen {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what was read, as it is; each test says what it expects of it
  readonly body: any;
}

const BASIC = `Basic ${btoa("platform-api-user:")}`;

async function startWorld(options: Partial<FakeUpsunOptions> = {}): Promise<World> {
  const clock = createVirtualClock();
  const upsun = await startFakeUpsun({ clock, ...options });
  const exchange = async (form: Readonly<Record<string, string>> = {}) => {
    const all = { grant_type: "api_token", api_token: upsun.apiToken, ...form };
    const answer = await fetch(`${upsun.authUrl}/oauth2/token`, {
      method: "POST",
      headers: { authorization: BASIC },
      body: new URLSearchParams(all),
    });
    return seen(answer);
  };
  let bearer: string | null = null;
  return {
    clock,
    upsun,
    exchange,
    async call(path, more = {}) {
      bearer ??= (await exchange()).body.access_token;
      const headers = { accept: "application/json", authorization: `Bearer ${bearer}` };
      const answer = await fetch(upsun.apiUrl + path, { ...more, headers });
      return seen(answer);
    },
    [Symbol.asyncDispose]: () => upsun[Symbol.asyncDispose](),
  };
}

async function seen(answer: Response): Promise<Seen> {
  return { status: answer.status, headers: answer.headers, body: await answer.json() };
}

const POST = { method: "POST" };

function pathOf({ projectId, branch }: UpsunControl): string {
  return `/projects/${projectId}/environments/${encodeURIComponent(branch)}`;
}

/** As in the examples that were made from the API's document. */
const NAMES = {
  environment:
    "id project name machine_name title type status parent is_pr default_domain edge_hostname has_deployment is_dirty last_active_at deployment_state _links",
  activity: "id type state result completion_percent project environments created_at",
  deployment: "id routes webapps services workers",
  route: "type primary id upstream production_url",
  bearer: "access_token expires_in token_type",
} as const;

function expectNames(value: object, name: keyof typeof NAMES): void {
  expect(Object.keys(value).toSorted()).toEqual(NAMES[name].split(" ").toSorted());
}

describe("what it says", () => {
  test("every object has the documented fields, and links say what is offered", async () => {
    await using world = await startWorld();
    const environment = world.upsun.addEnvironment("feature/a");
    const [listed] = (await world.call("/projects/abcdefgh1234567/environments")).body;
    expectNames(listed, "environment");
    expect(Object.keys(listed._links)).toEqual(["self", "public-url", "#pause"]);
    expect((await world.call(pathOf(environment))).body).toEqual(listed);
    const deployment = (await world.call(`${pathOf(environment)}/deployments/current`)).body;
    expectNames(deployment, "deployment");
    expectNames(deployment.routes[environment.url], "route");
    environment.set("paused");
    const paused = (await world.call(pathOf(environment))).body;
    expect([paused.status, "#resume" in paused._links, "#pause" in paused._links]).toEqual([
      "paused",
      true,
      false,
    ]);
    expect(world.upsun.violations).toEqual([]);
  });

  test("the account leads to its organizations, these to projects, page by page", async () => {
    await using world = await startWorld({ pageMax: 2 });
    for (let n = 0; n < 5; n += 1) world.upsun.addEnvironment("main", { project: `project${n}` });
    const { id } = (await world.call("/users/me")).body;
    const organizations = (await world.call(`/users/${id}/organizations`)).body;
    expect(organizations.items).toEqual([{ id: "org-1" }]);
    const ids: string[] = [];
    let path: string | undefined = "/organizations/org-1/projects?page[size]=100";
    while (path !== undefined) {
      const { body }: Seen = await world.call(path);
      expect(body.count).toBe(5);
      ids.push(...body.items.map((item: { id: string }) => item.id));
      path = body._links.next?.href;
    }
    expect(ids).toHaveLength(5);
    expect(world.upsun.violations).toEqual([]);
  });

  test.each([
    ["problem", ["status", "message", "code", "detail"]],
    ["account", ["error"]],
  ] as const)("what is missing is refused in the form %s", async (errorForm, names) => {
    await using world = await startWorld({ errorForm });
    const environment = world.upsun.addEnvironment("pr-1");
    const missing = await world.call(`/projects/${environment.projectId}/environments/none`);
    expect([missing.status, Object.keys(missing.body)]).toEqual([404, [...names]]);
    expect((await world.call("/projects/none/environments")).status).toBe(403);
  });
});

describe("activities", () => {
  test("a pause is a 202 with its activity, during which the environment is dirty", async () => {
    await using world = await startWorld();
    const environment = world.upsun.addEnvironment("pr-1");
    const { status, body } = await world.call(`${pathOf(environment)}/pause`, POST);
    expect([status, body.status, body.code]).toEqual([202, "Accepted", 202]);
    const [begun] = body._embedded.activities;
    expectNames(begun, "activity");
    expect([begun.type, begun.state, begun.result]).toEqual(["environment.pause", "pending", null]);
    const words: string[] = [];
    for (const ms of [1_000, 30_000, 0]) {
      const activity = (await world.call(`/projects/abcdefgh1234567/activities/${begun.id}`)).body;
      const seen = (await world.call(pathOf(environment))).body;
      words.push(`${activity.state} ${activity.result} ${seen.status}`);
      await world.clock.advance(ms);
    }
    expect(words).toEqual([
      "pending null dirty",
      "in_progress null dirty",
      "complete success paused",
    ]);
    expect(world.upsun.violations).toEqual([]);
  });

  test("those of one environment follow each other, and a failure changes nothing", async () => {
    await using world = await startWorld();
    const environment = world.upsun.addEnvironment("pr-1", { condition: "paused" });
    environment.nextActivities("failure");
    environment.resume();
    environment.resume();
    await world.clock.advance(31_000);
    const { body } = await world.call(`${pathOf(environment)}/activities`);
    expect(body.map(({ state, result }: Record<string, unknown>) => `${state} ${result}`)).toEqual([
      "pending null",
      "complete failure",
    ]);
    expect(environment.condition).toBe("paused");
    await world.clock.advance(31_000);
    expect(environment.condition).toBe("active");
  });

  test("it can be terse: no activity in the 202, no links, the status late and never dirty", async () => {
    await using world = await startWorld({
      ...{ embedsActivities: false, hasLinks: false, showsDirty: false, statusLagMs: 5_000 },
    });
    const environment = world.upsun.addEnvironment("pr-1");
    const { body } = await world.call(`${pathOf(environment)}/pause`, POST);
    expect(body).toEqual({ status: "Accepted", code: 202 });
    const statusNow = async () => (await world.call(pathOf(environment))).body.status;
    expect(await statusNow()).toBe("active");
    await world.clock.advance(31_000);
    expect([environment.condition, await statusNow()]).toEqual(["paused", "active"]);
    await world.clock.advance(5_000);
    expect(await statusNow()).toBe("paused");
    expect((await world.call(pathOf(environment))).body._links).toBeUndefined();
  });

  test("who deactivates, touches production, or pauses under a push does what he must not", async () => {
    await using world = await startWorld();
    const environment = world.upsun.addEnvironment("pr-1");
    const main = world.upsun.addEnvironment("main", { type: "production" });
    await world.call(`${pathOf(environment)}/deactivate`, POST);
    await world.call(`${pathOf(main)}/pause`, POST);
    environment.beginActivity();
    await world.call(`${pathOf(environment)}/pause`, POST);
    expect(world.upsun.violations).toHaveLength(3);
    const other = world.upsun.addEnvironment("pr-2", { canPause: false });
    expect((await world.call(`${pathOf(other)}/pause`, POST)).status).toBe(400);
  });
});

describe("who may call", () => {
  test("an API token buys a bearer of 15 minutes, and nothing else does", async () => {
    await using world = await startWorld({ badTokenStatus: 401 });
    const good = await world.exchange();
    expectNames(good.body, "bearer");
    expect([good.body.expires_in, good.body.token_type]).toEqual([900, "bearer"]);
    const bad = await world.exchange({ api_token: "wrong" });
    expect([bad.status, bad.body.error]).toEqual([401, "invalid_grant"]);
    expect(world.upsun.violations).toEqual([]);
    await world.exchange({ grant_type: "password" });
    await world.exchange({ scope: "all" });
    expect(world.upsun.violations).toHaveLength(2);
  });

  test("a bearer is good for its time, and until it is told otherwise", async () => {
    await using world = await startWorld();
    expect((await world.call("/users/me")).status).toBe(200);
    await world.clock.advance(899_999);
    expect((await world.call("/users/me")).status).toBe(200);
    await world.clock.advance(1);
    expect((await world.call("/users/me")).status).toBe(401);
    world.upsun.setAccepted(false);
    expect((await world.exchange()).status).toBe(400);
    expect(world.upsun.violations).toEqual([]);
  });

  test("calls beyond a limit are refused, with or without a word about it", async () => {
    await using world = await startWorld({ callsPerMinute: 2, retryAfterSeconds: 30 });
    for (const status of [200, 200, 429])
      expect((await world.call("/users/me")).status).toBe(status);
    expect((await world.call("/users/me")).headers.get("retry-after")).toBe("30");
    await world.clock.advance(60_000);
    expect((await world.call("/users/me")).status).toBe(200);
    expect(world.upsun.rateLimited).toBe(2);
  });
});

describe("the router", () => {
  test("every route of a paused environment leads to a page, until it is up and a while longer", async () => {
    await using world = await startWorld({ routerLagMs: 2_000 });
    const environment = world.upsun.addEnvironment("pr-1", { condition: "paused" });
    const visit = () => fetch(`${environment.url}any?a=1`, { redirect: "manual" });
    const page = await visit();
    expect([page.status, page.headers.get("location")]).toEqual([
      302,
      "https://static.upsun.com/paused.html",
    ]);
    environment.resume();
    await world.clock.advance(31_000);
    expect([environment.condition, (await visit()).status]).toEqual(["active", 302]);
    await world.clock.advance(2_000);
    expect(await (await visit()).json()).toMatchObject({ app: "pr-1", path: "/any?a=1" });
    environment.set("inactive");
    expect((await visit()).status).toBe(404);
  });
});
