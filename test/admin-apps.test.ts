/** The admin endpoints about apps: lists, details, actions, sweeps, and what becomes of nonsense. */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { targetOf } from "../src/app.ts";
import { type AppsWorld, createAppsWorld } from "./support/apps-world.ts";
import { awakeAt } from "./support/sample-app.ts";
import { until } from "./support/until.ts";

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

async function worldWith(yaml = ""): Promise<AppsWorld> {
  const world = await createAppsWorld({ yaml });
  world.small.add("shop", { state: awakeAt("shop") });
  world.small.add("den");
  return world;
}

describe("the list of apps", () => {
  async function filled() {
    const world = await createAppsWorld();
    world.small.add("shop", { state: awakeAt("shop"), lastUsedMs: 1_700_000_000_000 });
    world.small.add("den", { ref: { provider: "stub", id: "den-7" } });
    world.small.add("broken", {
      state: { kind: "failed", sinceMs: 1, why: "no database", retryAtMs: 9e12 },
      lastUsedMs: 1_600_000_000_000,
    });
    return world;
  }

  test.each([
    ["", ["broken", "den", "shop"]],
    ["?search=DEN-7", ["den"]],
    ["?search=%20o%20", ["broken", "shop"]],
    ["?phase=awake", ["shop"]],
    ["?phase=failed&search=b", ["broken"]],
    ["?provider=stub", ["broken", "den", "shop"]],
    ["?provider=docker", []],
    ["?sort=phase", ["broken", "shop", "den"]],
    ["?sort=lastUsed", ["shop", "broken", "den"]],
    ["?sort=sleepsAt", ["shop", "broken", "den"]],
    ["?size=2", ["broken", "den"]],
    ["?size=2&page=2", ["shop"]],
    ["?size=2&page=3", []],
  ])("apps: GET /__apps%p has %p", async (query, keys) => {
    await using world = await filled();
    const { status, body } = await world.json(`/__apps${query}`);
    expect(status).toBe(200);
    expect(body.apps.map(({ key }: { key: string }) => key)).toEqual(keys);
  });

  test("apps: a page says which one it is, and how many there are", async () => {
    await using world = await filled();
    const { body } = await world.json("/__apps?size=2&page=2");
    expect(body).toMatchObject({ page: 2, pages: 2, total: 3 });
  });

  test.each([
    ["page=0", 'page must be a whole number from 1 to 1000000: it is "0"'],
    ["page=x", 'page must be a whole number from 1 to 1000000: it is "x"'],
    ["size=1001", 'size must be a whole number from 1 to 1000: it is "1001"'],
    ["phase=tired", "phase must be one of unknown, asleep"],
    ["sort=age", 'sort must be one of key, phase, lastUsed, sleepsAt: it is "age"'],
    [`search=${"x".repeat(3000)}`, "search must be at most 2000 characters long"],
  ])("apps: GET /__apps?%s is a problem that says what is allowed", async (query, detail) => {
    await using world = await filled();
    const answer = await world.ask(`/__apps?${query}`);
    expect(answer.status).toBe(400);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(answer.headers.get("paastis-error")).toBe("admin_invalid");
    expect(await answer.json()).toMatchObject({
      type: "/__docs#code-admin_invalid",
      status: 400,
      code: "admin_invalid",
      title: expect.any(String),
      detail: expect.stringContaining(detail),
      remedy: expect.any(String),
    });
  });
});

describe("one app", () => {
  test("app: its details say when it sleeps, why, and where each setting comes from", async () => {
    await using world = await worldWith(
      "rules:\n  - pattern: ^sh\n    app_max_idle_time: 30\n    wake_timeout: 7\n",
    );
    const { clock } = world.small;
    const { status, body } = await world.json("/__apps/SHOP");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      key: "shop",
      provider: "stub",
      id: "shop",
      phase: "awake",
      since: iso(1_700_000_000_000),
      failure: null,
      pause: null,
      leases: 0,
      idleSince: iso(clock.now()),
      lastUsed: null,
      keptAwakeUntil: null,
      lastWake: null,
      target: "http://shop.test:8080",
      holders: [],
      links: [],
      wakes: { historyMs: [], medianMs: null, p95Ms: null },
      next: { sleep: false, sleepsAt: iso(clock.now() + 30 * MINUTE) },
    });
    expect(body.settings).toContainEqual({
      name: "app_max_idle_time",
      value: 30,
      from: "rules[0] (^sh)",
    });
    expect(body.settings).toContainEqual({
      name: "wake_timeout",
      value: 7,
      from: "rules[0] (^sh)",
    });
    expect(body.settings).toContainEqual({ name: "preserve_host", value: false, from: "default" });
    expect(body.activity).toHaveLength(48);
  });

  test("app: the time that it sleeps at is when the sweep would really put it to sleep", async () => {
    await using world = await worldWith("rules:\n  - pattern: shop\n    app_max_idle_time: 30\n");
    const { clock, core } = world.small;
    await core.sweeper.sweep();
    const { body } = await world.json("/__apps/shop");
    const atMs = Date.parse(body.next.sleepsAt);
    await clock.advance(atMs - clock.now() - 1);
    expect(core.sweeper.plan().find(({ app }) => app.key === "shop")?.sleep).toBe(false);
    await clock.advance(1);
    expect(core.sweeper.plan().find(({ app }) => app.key === "shop")?.sleep).toBe(true);
  });

  test("app: who holds it is told, and then it has no time to sleep", async () => {
    await using world = await worldWith();
    const app = world.small.core.table.byKey("shop");
    if (app === null) throw new Error("there is no shop");
    app.leases = 3;
    app.waiting = 1;
    app.leasesElsewhere = 2;
    const { body } = await world.json("/__apps/shop");
    expect(body.holders).toEqual([
      { kind: "request", count: 2 },
      { kind: "held", count: 1 },
      { kind: "at another instance", count: 2 },
    ]);
    expect(body.next).toEqual({ sleep: false, why: "is in use", sleepsAt: null });
    expect(body.idleSince).toBeNull();
  });

  test("app: its wakes have percentiles, the last one its cause, and its events are there", async () => {
    await using world = await worldWith();
    const app = world.small.core.table.byKey("den");
    if (app === null) throw new Error("there is no den");
    app.wakeHistoryMs = [400, 100, 300, 200];
    await world.small.core.lifecycle.wake(app, {
      kind: "request",
      detail: "GET /cart from 192.0.2.1",
    });
    const { body } = await world.json("/__apps/den");
    expect(body.wakes).toMatchObject({ medianMs: 200, p95Ms: 400 });
    expect(body.lastWake).toMatchObject({
      at: expect.stringMatching(TIME),
      cause: "GET /cart from 192.0.2.1",
      durationMs: expect.any(Number),
      failure: null,
    });
    expect(body.events.map(({ name }: { name: string }) => name)).toEqual([
      "APP_STARTED",
      "APP_WAKING",
    ]);
  });

  test("app: its requests are counted by half hour", async () => {
    await using world = await worldWith();
    const { core, clock } = world.small;
    const app = core.table.byKey("shop");
    if (app === null) throw new Error("there is no shop");
    app.traffic.requests += 5;
    await clock.advance(30 * MINUTE);
    app.traffic.requests += 2;
    const { body } = await world.json("/__apps/shop");
    expect(body.activity.slice(-2)).toEqual([5, 2]);
    await clock.advance(25 * HOUR);
    expect((await world.json("/__apps/shop")).body.activity).toEqual(new Array(48).fill(0));
  });
});

test.each([
  ["GET", "/__apps/nobody"],
  ["POST", "/__apps/nobody/wake"],
  ["POST", "/__apps/nobody/sleep"],
  ["POST", "/__apps/nobody/pause"],
  ["POST", "/__apps/nobody/resume"],
  ["POST", "/__apps/nobody/keep-awake?for=1h"],
])("app: %s %s is a problem with 404", async (method, path) => {
  await using world = await worldWith();
  const { status, body } = await world.json(path, { method });
  expect(status).toBe(404);
  expect(body).toMatchObject({
    code: "unknown_app",
    detail: 'There is no app with the key "nobody"',
  });
});

test.each([
  ["POST", "/__apps", "GET, HEAD"],
  ["DELETE", "/__apps/shop", "GET, HEAD"],
  ["GET", "/__apps/shop/wake", "POST"],
  ["PUT", "/__sweep", "GET, HEAD, POST"],
  ["POST", "/__savings", "GET, HEAD"],
  ["POST", "/__openapi.json", "GET, HEAD"],
])(
  "admin: %s %s is a problem with 405 and the methods that are right",
  async (method, path, allow) => {
    await using world = await worldWith();
    const answer = await world.ask(path, { method });
    expect(answer.status).toBe(405);
    expect(answer.headers.get("allow")).toBe(allow);
    expect(await answer.json()).toMatchObject({ code: "admin_method", status: 405 });
  },
);

describe("wake and sleep", () => {
  test("wake: without wait it is answered at once, and the wake goes on", async () => {
    await using world = await worldWith();
    const { status, body } = await world.post("/__apps/den/wake");
    expect(status).toBe(202);
    expect(body).toMatchObject({ app: "den", message: "den is waking" });
    const { body: later } = await world.post("/__apps/den/wake?wait=1m");
    expect(later).toMatchObject({ phase: "awake" });
  });

  test("wake: who waits is told that it is awake, and who asks again that it is already", async () => {
    await using world = await worldWith();
    expect(await world.post("/__apps/den/wake?wait=1m")).toMatchObject({
      status: 200,
      body: { phase: "awake", message: "den is awake" },
    });
    expect((await world.post("/__apps/den/wake")).body.message).toBe("den is awake already");
  });

  test("wake: one that fails is a problem that says why", async () => {
    await using world = await worldWith();
    world.small.provider.script.wake = async () => {
      throw new Error("there is no room");
    };
    const asked = world.post("/__apps/den/wake?wait=10m");
    await world.small.clock.advance(2 * MINUTE);
    const { status, body } = await asked;
    expect(status).toBe(503);
    expect(body).toMatchObject({ code: "app_failed", app: "den" });
    expect(body.detail).toContain("there is no room");
    expect((await world.json("/__apps/den")).body).toMatchObject({
      phase: "failed",
      failure: expect.stringContaining("there is no room"),
      lastWake: { failure: expect.stringContaining("there is no room") },
    });
  });

  test("sleep: an app that nobody uses sleeps at once, whatever its idle time", async () => {
    await using world = await worldWith();
    expect(await world.post("/__apps/shop/sleep")).toMatchObject({
      status: 200,
      body: { phase: "asleep", message: "shop is asleep" },
    });
    expect((await world.post("/__apps/shop/sleep")).body.message).toBe("shop is asleep already");
  });

  test("sleep: one that is in use stays awake, and that is a problem with 409", async () => {
    await using world = await worldWith();
    const app = world.small.core.table.byKey("shop");
    if (app === null) throw new Error("there is no shop");
    world.small.core.activity.begin(app);
    const { status, body } = await world.post("/__apps/shop/sleep");
    expect(status).toBe(409);
    expect(body).toMatchObject({ code: "app_kept", app: "shop" });
    expect(app.state.kind).toBe("awake");
  });

  test.each(["wake?wait=soon", "sleep?drain=-1"])("%s is a problem", async (path) => {
    await using world = await worldWith();
    const { status, body } = await world.post(`/__apps/shop/${path}`);
    expect(status).toBe(400);
    expect(body.detail).toContain("must be a duration such as 90s, 20m");
  });
});

describe("keep-awake", () => {
  test.each([
    ["?for=2h", undefined],
    ["", { for: "2h" }],
    [`?until=${iso(1_700_000_000_000 + 2 * HOUR)}`, undefined],
    ["", { until: iso(1_700_000_000_000 + 2 * HOUR) }],
  ])("keep-awake: %p with %p keeps sweeps away for two hours", async (query, sent) => {
    await using world = await worldWith();
    const { clock, core } = world.small;
    await core.sweeper.sweep();
    const { status, body } = await world.post(`/__apps/shop/keep-awake${query}`, sent);
    const untilMs = 1_700_000_000_000 + 2 * HOUR;
    expect({ status, body }).toMatchObject({ status: 200, body: { keptAwakeUntil: iso(untilMs) } });
    const isSleepy = () => core.sweeper.plan().find(({ app }) => app.key === "shop")?.sleep;
    await clock.advance(2 * HOUR - 1);
    expect(isSleepy()).toBe(false);
    expect((await world.json("/__apps/shop")).body).toMatchObject({
      next: {
        sleepsAt: iso(untilMs),
        why: expect.stringContaining("is kept awake by an operator"),
      },
      holders: [{ kind: expect.stringContaining("operator"), count: 1 }],
    });
    await clock.advance(1);
    expect(isSleepy()).toBe(true);
  });

  test("keep-awake: an app that is asleep is woken", async () => {
    await using world = await worldWith();
    await world.post("/__apps/den/keep-awake?for=1h");
    await world.small.clock.advance(1000);
    expect(world.small.core.table.byKey("den")?.state.kind).toBe("awake");
  });

  test("keep-awake: for=0 takes it back, and so does a sleep", async () => {
    await using world = await worldWith();
    const keptUntil = async () => (await world.json("/__apps/shop")).body.keptAwakeUntil;
    await world.post("/__apps/shop/keep-awake?for=1h");
    await world.post("/__apps/shop/keep-awake?for=0");
    expect(await keptUntil()).toBeNull();
    await world.post("/__apps/shop/keep-awake?for=1h");
    await world.post("/__apps/shop/sleep");
    expect(await keptUntil()).toBeNull();
    const { body } = await world.json(
      "/__events?app=shop&name=APP_KEPT_AWAKE,APP_KEPT_AWAKE_ENDED",
    );
    const until = iso(1_700_000_000_000 + HOUR);
    expect(body.events).toMatchObject([
      { name: "APP_KEPT_AWAKE", cause: "an operator", details: { until } },
      { name: "APP_KEPT_AWAKE_ENDED" },
      { name: "APP_KEPT_AWAKE", details: { until } },
      { name: "APP_KEPT_AWAKE_ENDED" },
    ]);
  });

  test("keep-awake: it outlives a restart in the same folder, and an order that is over does not", async () => {
    await using world = await worldWith();
    await world.post("/__apps/shop/keep-awake?for=2h");
    await world.post("/__apps/den/keep-awake?for=10m");
    await using next = await createAppsWorld({ folder: world.folder });
    await next.small.clock.advance(20 * MINUTE);
    const apps = [next.small.add("shop", { state: awakeAt("shop") }), next.small.add("den")];
    next.deps.watch.attend(apps);
    const { body } = await next.json("/__apps/shop");
    expect(body.keptAwakeUntil).toBe(iso(1_700_000_000_000 + 2 * HOUR));
    expect((await next.json("/__apps/den")).body.keptAwakeUntil).toBeNull();
  });

  test.each([
    ["", undefined, "for or until must say how long"],
    [
      "?for=soon",
      undefined,
      'for must be a duration such as 90s, 20m, 2h, 1h30m or 2d: it is "soon"',
    ],
    [
      "?until=tomorrow",
      undefined,
      'until must be a time such as 2026-12-24T18:00:00Z: it is "tomorrow"',
    ],
    ["?until=2001-01-01T00:00:00Z", undefined, "its end is over already"],
    ["?for=32d", undefined, "it is longer than 31 days"],
    ["?for=1h&until=2030-01-01T00:00:00Z", undefined, "give one of them"],
    ["", { fro: "1h" }, "The body must be JSON such as"],
    ["?for=1h", { for: "2h" }, "The query and the body both say how long"],
    ["", { for: 7 }, "The body must be JSON such as"],
    ["", [], "The body must be JSON such as"],
    ["", { for: "x".repeat(20_000) }, "The body must be JSON such as"],
  ])("keep-awake: %p with %p is a problem", async (query, sent, detail) => {
    await using world = await worldWith();
    const { status, body } = await world.post(`/__apps/shop/keep-awake${query}`, sent);
    expect(status).toBe(400);
    expect(body.detail).toContain(detail);
    expect((await world.json("/__apps/shop")).body.keptAwakeUntil).toBeNull();
  });

  test("keep-awake: a body that is no JSON is a problem", async () => {
    await using world = await worldWith();
    for (const type of ["application/json", "text/plain"]) {
      const init = { method: "POST", body: "{no", headers: { "content-type": type } };
      expect((await world.json("/__apps/shop/keep-awake", init)).status).toBe(400);
    }
  });
});

describe("pause and resume", () => {
  test("pause: with a duration it ends by itself", async () => {
    await using world = await worldWith();
    const { clock, core } = world.small;
    world.deps.watch.attend(core.table.all());
    const { status, body } = await world.post("/__apps/shop/pause?for=10m");
    const end = iso(clock.now() + 10 * MINUTE);
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { pause: { kind: "paused", until: end } },
    });
    await clock.advance(10 * MINUTE - 1000);
    expect(core.table.byKey("shop")?.pause?.kind).toBe("paused");
    await clock.advance(2000);
    await until(() => core.table.byKey("shop")?.pause === null);
  });

  test("pause: without one it lasts until somebody resumes", async () => {
    await using world = await worldWith();
    const { clock, core } = world.small;
    await world.post("/__apps/shop/pause");
    await clock.advance(24 * HOUR);
    expect(core.table.byKey("shop")?.pause?.kind).toBe("paused");
    expect((await world.post("/__apps/shop/resume")).body.message).toContain(
      "takes requests again",
    );
    expect(core.table.byKey("shop")?.pause).toBeNull();
    expect((await world.post("/__apps/shop/resume")).body.message).toContain("was not paused");
  });

  test("maintenance: its message is read from the body, and a body that is none is refused", async () => {
    await using world = await worldWith();
    const headers = { "content-type": "application/json" };
    const maintain = (body: string) =>
      world.json("/__maintenance?app=shop", { method: "POST", headers, body });
    expect(await maintain('{"message":"Back at noon"}')).toMatchObject({
      status: 200,
      body: { success: true, app: "shop", paused: "maintenance" },
    });
    const { body } = await world.json("/__apps/shop");
    expect(body.pause).toMatchObject({ kind: "maintenance", message: "Back at noon" });
    for (const nonsense of ["{no json", '"Back at noon"', "[]", '{"message":1}']) {
      expect(await maintain(nonsense)).toMatchObject({
        status: 400,
        body: { error: "Invalid message" },
      });
    }
  });

  test.each([
    "/__pause?app=shop",
    "/__resume?app=shop",
    "/__apps/shop/resume",
    "/__apps/shop/wake",
  ])("body: %s needs none, and does not look at one", async (path) => {
    await using world = await worldWith();
    const headers = { "content-type": "application/json" };
    const { status } = await world.json(path, { method: "POST", headers, body: "{no json" });
    expect(status).toBeLessThan(300);
  });

  test("pause: the end of an earlier pause does not end a later one", async () => {
    await using world = await worldWith();
    const { clock, core } = world.small;
    world.deps.watch.attend(core.table.all());
    await world.post("/__apps/shop/pause?for=10m");
    await clock.advance(MINUTE);
    await world.post("/__resume?app=shop");
    await clock.advance(MINUTE);
    await world.post("/__pause?app=shop");
    await clock.advance(HOUR);
    const orders = `${world.folder}/orders.json`;
    await until(() => JSON.stringify(JSON.parse(readFileSync(orders, "utf8")).pauses) === "{}");
    expect(core.table.byKey("shop")?.pause?.kind).toBe("paused");
  });

  test("pause: its end outlives a restart in the same folder", async () => {
    await using world = await worldWith();
    await world.post("/__apps/shop/pause?for=10m");
    await using next = await createAppsWorld({ folder: world.folder });
    const app = next.small.add("shop", { state: awakeAt("shop") });
    next.board.attend([app]);
    next.deps.watch.attend([app]);
    expect(app.pause?.kind).toBe("paused");
    await next.small.clock.advance(11 * MINUTE);
    await until(() => app.pause === null);
  });
});

describe("sweeps", () => {
  test.each([
    ["GET", "/__sweep"],
    ["GET", "/__sweep?dry_run=1"],
    ["POST", "/__sweep?dry_run=1"],
  ])("sweep: %s %s says what would be done, and does nothing", async (method, path) => {
    await using world = await worldWith();
    await world.small.core.sweeper.sweep();
    await world.small.clock.advance(20 * MINUTE);
    const { status, body } = await world.json(path, { method });
    expect(status).toBe(200);
    expect(body).toEqual({
      dryRun: true,
      entries: [
        { app: "shop", provider: "stub", sleep: true, why: "idle for 20 min" },
        { app: "den", provider: "stub", sleep: false, why: "is asleep" },
      ],
    });
    await world.small.clock.advance(1000);
    expect(world.small.core.table.byKey("shop")?.state.kind).toBe("awake");
  });

  test.each([
    [200, { sleep: false, why: expect.stringMatching(/^is busy: status 200 from .*\/busy\?…$/) }],
    [204, { sleep: true, why: "idle for 20 min" }],
  ])(
    "sweep: an app that says %i when asked whether it is busy is planned with accordingly",
    async (status, expected) => {
      await using app = Bun.serve({ port: 0, fetch: () => new Response(null, { status }) });
      const url = `http://127.0.0.1:${app.port}/busy`;
      const rule = `{ pattern: shop, app_max_idle_time: 10, busy: { url: "${url}?key=secret" } }`;
      await using world = await createAppsWorld({ yaml: `rules: [${rule}]` });
      world.small.add("shop", { state: awakeAt("shop"), lastTarget: targetOf("http://shop.test") });
      await world.small.core.sweeper.sweep();
      await world.small.clock.advance(20 * MINUTE);
      const { body } = await world.json("/__sweep?dry_run=1");
      expect(body.entries).toMatchObject([{ app: "shop", ...expected }]);
      const { body: shown } = await world.json("/__apps/shop");
      const why = `idle for 20 min, unless ${url}?… says it is busy`;
      expect(shown.next).toMatchObject({ sleep: true, why });
      expect(world.small.core.table.byKey("shop")?.ownWord).toBeNull();
    },
  );

  test("sweep: POST /__sweep begins the sleeps that it says", async () => {
    await using world = await worldWith();
    await world.small.core.sweeper.sweep();
    await world.small.clock.advance(20 * MINUTE);
    const { body } = await world.post("/__sweep");
    expect(body).toMatchObject({ dryRun: false, entries: [{ app: "shop", sleep: true }, {}] });
    await world.small.clock.advance(1000);
    expect(world.small.core.table.byKey("shop")?.state.kind).toBe("asleep");
  });

  test("sweep: dry_run=yes is a problem", async () => {
    await using world = await worldWith();
    const { status, body } = await world.post("/__sweep?dry_run=yes");
    expect(status).toBe(400);
    expect(body.detail).toBe('dry_run must be 1 or 0: it is "yes"');
  });
});
