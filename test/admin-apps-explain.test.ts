/** What would become of a request: the explanation is what the gate really does. */

import { describe, expect, test } from "bun:test";
import type { App } from "../src/app.ts";
import { type AppsWorld, createAppsWorld } from "./support/apps-world.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt } from "./support/sample-app.ts";

const YAML = `
rules:
  - pattern: ^www-(.*)$
    app_name: $1
  - pattern: shop
    wake:
      ignore:
        - user_agents: [UptimeRobot]
          status: 200
        - paths: [/favicon.ico]
        - prefetch: true
  - pattern: night
    force_sleep:
      - hours: 00:00-24:00
        time_zone: UTC
`;

async function filled(): Promise<AppsWorld> {
  const world = await createAppsWorld({ yaml: YAML, env: { DEFAULT_APP: "" } });
  world.small.add("shop");
  world.small.add("up", { state: awakeAt("up") });
  world.small.add("night");
  world.small.add("broken", {
    state: { kind: "failed", sinceMs: 0, why: "no database", retryAtMs: 9e12 },
  });
  world.small.add("paused", { pause: { kind: "paused", sinceMs: 0 } });
  world.small.add("shut", { pause: { kind: "maintenance", sinceMs: 0, message: "Back at noon" } });
  return world;
}

function explain(world: AppsWorld, query: Readonly<Record<string, string>>) {
  return world.json(`/__explain?${new URLSearchParams(query)}`);
}

const HOLD = { outcome: "hold", status: null, code: "app_waking", wakes: true, countsAsUse: true };

describe("explain", () => {
  test.each([
    [
      { url: "https://shop.example.com/cart?secret=1" },
      { app: "shop", label: "shop", outcome: "page", status: 503, wakes: true, countsAsUse: true },
    ],
    [
      { url: "shop.example.com", user_agent: "curl/8" },
      { app: "shop", ...HOLD },
    ],
    [
      { url: "http://SHOP.example/", method: "post" },
      { app: "shop", ...HOLD },
    ],
    [
      { url: "shop.example", user_agent: "UptimeRobot/2.0" },
      { outcome: "ignored", status: 200, code: "app_asleep", wakes: false, countsAsUse: false },
    ],
    [
      { url: "http://shop.example/a/../favicon.ico", accept: "*/*" },
      { request: { method: "GET", host: "shop.example", path: "/a/../favicon.ico" }, ...HOLD },
    ],
    [
      { url: "shop.example", prefetch: "1" },
      { outcome: "ignored", status: 503, wakes: false, countsAsUse: false },
    ],
    [
      { url: "night.example", accept: "*/*" },
      {
        outcome: "refused",
        why: "Nobody wakes it now: it sleeps for days to come, by its schedule",
      },
    ],
    [
      { url: "shop.example/favicon.ico" },
      { outcome: "ignored", status: 503, wakes: false, countsAsUse: false },
    ],
    [
      { url: "www-shop.example", accept: "*/*" },
      { app: "shop", label: "www-shop", ...HOLD },
    ],
    [
      { url: "up.example" },
      { app: "up", outcome: "forward", status: null, code: null, wakes: false },
    ],
    [
      { url: "night.example" },
      { app: "night", outcome: "refused", status: 503, code: "app_asleep", wakes: false },
    ],
    [
      { url: "broken.example" },
      { app: "broken", outcome: "refused", status: 503, code: "app_failed", wakes: false },
    ],
    [{ url: "paused.example" }, { outcome: "hold", code: "app_paused", wakes: false }],
    [
      { url: "shut.example" },
      { outcome: "refused", status: 503, code: "app_maintenance", why: "Back at noon" },
    ],
    [
      { url: "nobody.example" },
      { app: null, outcome: "refused", status: 404, code: "unknown_app", settings: [], next: null },
    ],
    [{ url: "http://127.0.0.1:3000/" }, { app: null, label: null, status: 404 }],
    [{ url: "http://127.0.0.1:3000/__status" }, { app: null, outcome: "admin" }],
    [{ url: "up.example/__status" }, { app: "up", outcome: "forward" }],
    [
      { url: "up.example", method: "TRACE" },
      { outcome: "refused", status: 405 },
    ],
  ])("explain: %p is %p", async (query, expected) => {
    await using world = await filled();
    const { status, body } = await explain(world, query as Record<string, string>);
    expect(status).toBe(200);
    expect(body).toMatchObject(expected);
    expect(body.why).not.toBe("");
    expect(JSON.stringify(body)).not.toContain("secret=1");
  });

  test("explain: the rules that say something are named, and what each gives", async () => {
    await using world = await filled();
    const { body } = await explain(world, { url: "shop.example" });
    expect(body.rules).toEqual([{ index: 1, pattern: "shop" }]);
    expect(body.settings).toContainEqual({
      name: "wake.ignore",
      value: [
        expect.stringContaining("uptimerobot"),
        expect.stringContaining("/favicon.ico"),
        expect.stringContaining("a prefetch"),
      ],
      from: "rules[1] (shop)",
    });
    expect(body.next).toMatchObject({ sleep: false, why: "is asleep" });
  });

  test.each([
    [{}, "url must be an address such as https://shop.example.com/cart: it is missing"],
    [{ url: "" }, "url must be an address"],
    [{ url: "/foo" }, "url must be an address"],
    [{ url: "ftp://x" }, "url must be an address"],
    [{ url: "http://[" }, "url must be an address"],
    [{ url: "x", method: "GE T" }, "method must be the method of a request"],
  ])("explain: %p is a problem", async (query, detail) => {
    await using world = await filled();
    const { status, body } = await explain(world, query as Record<string, string>);
    expect(status).toBe(400);
    expect(body.detail).toStartWith(detail);
  });

  test("explain: nothing comes of it, and the gate then does what was said", async () => {
    await using world = await filled();
    const { core } = world.small;
    const questions = [
      ["shop", "curl/8", "*/*"],
      ["shop", "UptimeRobot", "*/*"],
      ["up", "curl/8", "*/*"],
      ["night", "curl/8", "*/*"],
      ["broken", "curl/8", "*/*"],
      ["paused", "curl/8", "*/*"],
      ["shut", "curl/8", "*/*"],
    ] as const;
    for (const [key, userAgent, accept] of questions) {
      const url = `http://${key}.example/`;
      const app = core.table.byKey(key) as App;
      const { requests } = app.traffic;
      const before = core.lifecycle.wakeAskedMs(app);
      const { body } = await explain(world, { url, user_agent: userAgent, accept });
      const { leases, traffic } = app;
      expect({ key, leases, requests: traffic.requests }).toEqual({ key, leases: 0, requests });
      expect(core.lifecycle.wakeAskedMs(app)).toBe(before);
      const head = headFor(`${key}.example`, { headers: { "user-agent": userAgent, accept } });
      const admission = core.gate.admit(app, head);
      const kinds = { forward: "forward", held: "hold", answer: body.outcome } as const;
      expect({ key, kind: kinds[admission.kind] }).toEqual({ key, kind: body.outcome });
      if (admission.kind === "answer") expect(admission.answer.status).toBe(body.status);
      if (admission.kind === "held") {
        expect({ key, wakes: core.lifecycle.wakeAskedMs(app) !== before }).toEqual({
          key,
          wakes: body.wakes,
        });
        admission.abandon();
      }
    }
  });
});

describe("the configuration", () => {
  test("config: no secret is in it, whichever variable is set", async () => {
    const { VARIABLES } = await import("../src/variables.ts");
    const secrets = Object.values(VARIABLES).filter(({ secret }) => secret);
    expect(secrets.length).toBeGreaterThan(10);
    const env: Record<string, string> = { ROUTING_SYSTEM_API_ENABLED: "1" };
    for (const { name } of secrets) env[name] = "s3cret-that-nobody-may-see";
    env.REGISTRY_REDIS_URL = "redis://user:s3cret-that-nobody-may-see@redis.example:6379";
    env.WEBHOOK_URLS = "https://user:s3cret-that-nobody-may-see@hooks.example/";
    for (const { name } of secrets) {
      if (/DATABASE|POSTGRES|EVENTS/.test(name)) {
        env[name] = "postgres://user:s3cret-that-nobody-may-see@db.example/paastis";
      }
    }
    await using world = await createAppsWorld({
      env,
      yaml: `apps:
  shop:
    command: PASSWORD=s3cret-that-nobody-may-see ./start
    env: { KEY: s3cret-that-nobody-may-see }
    health: /up?token=s3cret-that-nobody-may-see
    busy: { url: "/busy?token=s3cret-that-nobody-may-see" }
    hooks: { before_start: "curl s3cret-that-nobody-may-see" }
rules:
  - pattern: shop
    health: /up?token=s3cret-that-nobody-may-see
    busy: { url: "/busy?token=s3cret-that-nobody-may-see" }
    hooks: { after_stop: "curl s3cret-that-nobody-may-see" }
`,
    });
    world.small.add("shop");
    for (const path of ["/__config", "/__apps/shop", "/__explain?url=shop.example"]) {
      const { status, body } = await world.json(path);
      expect({ path, status }).toEqual({ path, status: 200 });
      expect({ path, text: JSON.stringify(body) }).toEqual({
        path,
        text: expect.not.stringContaining("s3cret"),
      });
    }
    const { body } = await world.json("/__config");
    for (const { name } of secrets) {
      const shown = body.variables.find((one: { name: string }) => one.name === name);
      expect(shown).toMatchObject({ value: "(secret)", from: "given" });
    }
  });

  test("config: what is given is told from what is not, and apps and rules from paastis.yml are there", async () => {
    await using world = await createAppsWorld({
      yaml: "apps:\n  shop:\n    command: ./start\n    app_max_idle_time: 5\nrules:\n  - pattern: ^pr-\n    linked_apps: [db]\n",
      env: { LISTEN_PORT: "8080" },
    });
    const { body } = await world.json("/__config");
    const of = (name: string) => body.variables.find((one: { name: string }) => one.name === name);
    expect(of("PORT")).toMatchObject({ value: "8080", from: "given" });
    expect(of("HOLD_MAX_MS")).toMatchObject({ value: "25000", from: "default" });
    expect(of("DEFAULT_APP")).toMatchObject({ value: null, from: "default" });
    expect(body.file).toEndWith("/paastis.yml");
    expect(body.apps).toEqual([
      {
        key: "shop",
        provider: "process",
        settings: [{ name: "app_max_idle_time", value: 5, from: "apps" }],
      },
    ]);
    expect(body.rules).toEqual([{ index: 0, pattern: "^pr-", says: ["linked_apps"] }]);
  });
});

describe("savings", () => {
  const HOUR = 3_600_000;

  test("savings: hours asleep and awake are counted to the moment, and priced", async () => {
    await using world = await createAppsWorld({
      env: { PRICE_PER_HOUR: "0.5", PRICE_CURRENCY: "usd" },
    });
    const { clock, core } = world.small;
    const shop = world.small.add("shop", { state: awakeAt("shop") });
    world.small.add("den");
    world.deps.watch.attend(core.table.all());
    await clock.advance(HOUR + 1234);
    await world.post("/__apps/shop/sleep");
    expect(shop.state.kind).toBe("asleep");
    await clock.advance(3 * HOUR - 1234);
    const { body } = await world.json("/__savings");
    expect(body).toEqual({
      since: new Date(1_700_000_000_000).toISOString(),
      asleepHours: 7,
      awakeHours: 1,
      share: 0.875,
      money: { amount: 3.5, currency: "USD" },
    });
  });

  test("savings: without a price there is no money, and a restart in the same folder goes on", async () => {
    const first = await createAppsWorld();
    const { folder } = first;
    await using _ = first;
    first.small.add("den");
    first.deps.watch.attend(first.small.core.table.all());
    await first.small.clock.advance(2 * HOUR);
    await first.deps.watch.close();
    await using next = await createAppsWorld({ folder });
    next.small.add("den");
    next.deps.watch.attend(next.small.core.table.all());
    await next.small.clock.advance(HOUR);
    expect((await next.json("/__savings")).body).toMatchObject({
      asleepHours: 3,
      share: 1,
      money: null,
    });
  });

  test("savings: an app counts from the start on, or from when it came, however late somebody looks", async () => {
    await using world = await createAppsWorld();
    const { clock } = world.small;
    world.small.add("den");
    await clock.advance(HOUR);
    world.small.add("shop", { state: awakeAt("shop", clock.now()) });
    expect((await world.json("/__savings")).body).toMatchObject({ asleepHours: 1, awakeHours: 0 });
  });

  test("savings: apps that their platform puts to sleep by itself do not count", async () => {
    await using world = await createAppsWorld();
    world.small.add("elsewhere", { sleepsByItself: true });
    world.deps.watch.attend(world.small.core.table.all());
    await world.small.clock.advance(HOUR);
    expect((await world.json("/__savings")).body).toMatchObject({ asleepHours: 0, share: 0 });
  });
});
