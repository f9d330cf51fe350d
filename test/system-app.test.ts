/** What the system API says: its shapes, and its answers over the core. */

import { describe, expect, test } from "bun:test";
import { createSystemApp, isSystemRequest, type SystemDeps } from "../src/admin/system-app.ts";
import { systemApp } from "../src/admin/system-shapes.ts";
import type { App } from "../src/app.ts";
import { createMemoryEventStore } from "../src/event-store/memory.ts";
import type { PaastisEvent } from "../src/events.ts";
import type { Facts } from "../src/providers/provider.ts";
import { patient } from "./contract/provider.ts";
import { recordingLog } from "./support/recording-log.ts";
import { awakeAt, SAMPLE_START_MS, sampleApp, samplePolicy } from "./support/sample-app.ts";
import { startScalingo } from "./support/scalingo-provider.ts";

const NOW_MS = SAMPLE_START_MS + 60_000;

const FACTS: Facts = {
  id: "54100930736f7563d5030000",
  region: "osc-fr1",
  status: "new",
  url: "https://shop.example.org",
  gitUrl: "git@ssh.osc-fr1.scalingo.com:shop.git",
  createdMs: SAMPLE_START_MS,
  updatedMs: SAMPLE_START_MS + 1,
  deployedMs: null,
  forceHttps: true,
  stickySession: false,
};

function shapeOf(app: App, view: { facts?: Facts | null; isReachable?: boolean } = {}) {
  return systemApp(app, { facts: null, isReachable: true, nowMs: NOW_MS, ...view });
}

describe("shape of an app", () => {
  test("every field of Paastis 0.1 is there, from our state and from what the platform says", () => {
    const app = sampleApp("shop", {
      ref: { provider: "scalingo", id: "osc-fr1/54100930736f7563d5030000" },
      policy: samplePolicy({ maxIdleMs: 15 * 60_000 }),
      lastUsedMs: SAMPLE_START_MS,
    });
    expect(shapeOf(app, { facts: FACTS })).toEqual({
      created_at: "2023-11-14T22:13:20.000Z",
      force_https: true,
      git_url: "git@ssh.osc-fr1.scalingo.com:shop.git",
      id: "54100930736f7563d5030000",
      last_deployed_at: null,
      name: "shop",
      region: "osc-fr1",
      status: "stopped",
      sticky_session: false,
      updated_at: "2023-11-14T22:13:20.001Z",
      url: "https://shop.example.org",
      is_monitored: true,
      provider: "scalingo",
      max_idle_time: 15,
      last_accessed_at: "2023-11-14T22:13:20.000Z",
    });
  });

  test("what a platform does not say is null, and never left out", () => {
    expect(shapeOf(sampleApp("shop", { state: awakeAt("shop") }))).toEqual({
      created_at: null,
      force_https: null,
      git_url: null,
      id: "shop",
      last_deployed_at: null,
      name: "shop",
      region: null,
      status: "running",
      sticky_session: null,
      updated_at: null,
      url: "http://shop.test:8080",
      is_monitored: true,
      provider: "stub",
      max_idle_time: 1,
      last_accessed_at: null,
    });
  });

  test("ignored apps and apps that no key leads to are not monitored, and say less", () => {
    const ignored = sampleApp("shop", { policy: samplePolicy({ ignored: true }) });
    for (const shape of [shapeOf(ignored), shapeOf(sampleApp(), { isReachable: false })]) {
      expect(shape.is_monitored).toBe(false);
      expect(Object.keys(shape)).toHaveLength(12);
    }
  });

  test("an app that Paastis never stops has no idle time, and one in use is accessed now", () => {
    const never = sampleApp("shop", { policy: samplePolicy({ maxIdleMs: null }), leases: 2 });
    expect(shapeOf(never)).toMatchObject({
      max_idle_time: null,
      last_accessed_at: new Date(NOW_MS).toISOString(),
    });
    expect(shapeOf(sampleApp("shop", { sleepsByItself: true })).max_idle_time).toBeNull();
    expect(shapeOf(sampleApp("x", { policy: samplePolicy({ maxIdleMs: 0 }) })).max_idle_time).toBe(
      0,
    );
  });

  test("states have Scalingo's words; where we do not know, the platform's own word is said", () => {
    const fence = 1;
    const sinceMs = SAMPLE_START_MS;
    const { target } = awakeAt("shop") as Extract<App["state"], { kind: "awake" }>;
    const statusOf = (state: App["state"], facts: Facts | null = null) =>
      shapeOf(sampleApp("shop", { state }), { facts }).status;
    expect(statusOf({ kind: "asleep", sinceMs }, FACTS)).toBe("stopped");
    expect(statusOf({ kind: "waking", sinceMs, fence })).toBe("scaling");
    const draining = { kind: "draining", sinceMs, awakeSinceMs: sinceMs, fence, target } as const;
    expect(statusOf(draining)).toBe("running");
    expect(statusOf({ kind: "stopping", sinceMs, fence })).toBe("scaling");
    expect(statusOf({ kind: "failed", sinceMs, why: "", retryAtMs: 0 })).toBe("crashed");
    expect(statusOf({ kind: "unknown", sinceMs })).toBeNull();
    expect(statusOf({ kind: "unknown", sinceMs }, FACTS)).toBe("new");
  });
});

describe("scalingo", () => {
  test("a list tells what the system API shows besides, and nothing more is asked for it", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 1 } });
    const [listing] = await world.provider.list(patient());
    expect(listing?.facts).toMatchObject({
      id: app.id,
      region: "osc-fr1",
      status: "running",
      gitUrl: null,
      forceHttps: true,
      stickySession: null,
    });
    expect(listing?.facts?.createdMs).toBeGreaterThan(0);
    expect(listing?.facts?.url).toStartWith("http");
    expect(world.fake.api.journal.map(({ kind }) => kind)).toEqual(["apps.list"]);
    world.fake.api.beStrange({ hasUnknownFields: true, words: { created_at: "yesterday" } });
    const [strange] = await world.provider.list(patient());
    expect(strange?.facts).toMatchObject({ createdMs: null, forceHttps: true });
  });
});

function eventAt(n: number): PaastisEvent {
  return {
    id: String(n).padStart(6, "0"),
    name: n % 2 === 0 ? "APP_STARTED" : "APP_STOPPED",
    app: "shop",
    ref: { provider: "stub", id: "shop" },
    atMs: SAMPLE_START_MS + n,
    cause: { kind: "sweep", detail: "secret detail" },
    reason: "",
    details: {},
  };
}

function systemWith(changes: Partial<SystemDeps> = {}) {
  const { log, lines } = recordingLog();
  const app = createSystemApp({
    apps: () => [sampleApp("shop"), sampleApp("blog")],
    isReachable: ({ key }) => key === "shop",
    factsOf: () => null,
    forget: async () => undefined,
    events: createMemoryEventStore(),
    now: () => NOW_MS,
    log,
    ...changes,
  });
  const ask = (path: string, method = "GET") =>
    app(new Request(`http://localhost${path}`, { method }));
  return { ask, lines };
}

describe("answers", () => {
  test("GET /apps: an array of every app there is", async () => {
    const answer = await systemWith().ask("/apps?x=1");
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"]);
    expect(answer.headers.get("content-type")).toStartWith("application/json");
    const apps = (await answer.json()) as { name: string; is_monitored: boolean }[];
    expect(apps.map(({ name, is_monitored }) => [name, is_monitored])).toEqual([
      ["shop", true],
      ["blog", false],
    ]);
  });

  test("GET /apps: without apps it is an empty array", async () => {
    const answer = await systemWith({ apps: () => [] }).ask("/apps");
    expect([answer.status, await answer.json()]).toEqual([200, []]);
  });

  test("GET /events: the newest thousand, oldest first, with three fields each; 204 when there are none", async () => {
    const events = createMemoryEventStore();
    const { ask } = systemWith({ events });
    const none = await ask("/events");
    expect([none.status, await none.text()]).toEqual([204, ""]);
    await events.append(Array.from({ length: 1200 }, (_, n) => eventAt(n)));
    const answer = await ask("/events");
    const told = (await answer.json()) as object[];
    expect([answer.status, told.length]).toEqual([200, 1000]);
    expect(told[0]).toEqual({
      oid: "shop",
      name: "APP_STARTED",
      date: new Date(SAMPLE_START_MS + 200).toISOString(),
    });
    expect(told.at(-1)).toMatchObject({ name: "APP_STOPPED" });
  });

  test("DELETE /apps: 204, once the registry is forgotten", async () => {
    const causes: string[] = [];
    const { ask } = systemWith({
      forget: async ({ kind, detail }) => void causes.push(`${kind}: ${detail}`),
    });
    const answer = await ask("/apps", "DELETE");
    expect([answer.status, await answer.text()]).toEqual([204, ""]);
    expect(causes).toEqual(["command: DELETE /apps of the system API"]);
  });

  test("a store that cannot be reached is a 503 without its words, which are in the log", async () => {
    const down = async () => {
      throw new Error("postgres://user@db is down");
    };
    const { ask, lines } = systemWith({ forget: down, events: { list: down } });
    for (const answer of [await ask("/apps", "DELETE"), await ask("/events")]) {
      expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "5"]);
      expect(await answer.text()).not.toContain("postgres");
    }
    expect(lines.map(({ fields }) => fields.reason)).toEqual(
      Array.from({ length: 2 }, () => "postgres://user@db is down"),
    );
  });

  test("over the socket itself there is nothing else, and the admin endpoints keep their paths", async () => {
    expect((await systemWith().ask("/apps", "POST")).status).toBe(404);
    const isOurs = (path: string) => isSystemRequest(new Request(`http://localhost${path}`));
    expect(["/apps", "/events?x", "/__status", "/__switch", "/"].map(isOurs)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});
