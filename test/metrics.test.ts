/** What Prometheus is told: which samples there are, whom they name, and that it can read them. */

import { describe, expect, test } from "bun:test";
import type { NewEvent } from "../src/events.ts";
import { groupApps, OTHER } from "../src/metrics/app-groups.ts";
import { createAppTimes } from "../src/metrics/app-times.ts";
import { type MetricsForm, metricsFormOf } from "../src/metrics/prometheus-asked.ts";
import { createProviderCalls } from "../src/metrics/provider-calls.ts";
import { countedSweeper } from "../src/metrics/sweep-counts.ts";
import { createMeteredWorld, type MeteredWorld } from "./support/metered-world.ts";
import {
  checkMetrics,
  checkOpenMetrics,
  HAS_PROMTOOL,
  WITHOUT_PROMTOOL,
} from "./support/promtool.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt, sampleApp } from "./support/sample-app.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

/** Carries a request for an app through the core. */
async function visit(
  { world }: MeteredWorld,
  host: string,
  facts: { readonly status: number; readonly tookMs: number },
): Promise<void> {
  const admission = world.core.handler.admit(headFor(host));
  if (admission.kind !== "forward") return;
  await world.clock.advance(facts.tookMs);
  world.core.handler.answered(admission, { status: facts.status, header: () => null }, true);
  admission.sentBytes += 2000;
  admission.receivedBytes += 30;
  world.core.handler.release(admission);
}

/** Something of everything. */
async function busyWorld(): Promise<MeteredWorld> {
  const metered = createMeteredWorld();
  const { world, calls } = metered;
  world.add("shop", { state: awakeAt("shop") });
  world.add("blog");
  await visit(metered, "shop.test", { status: 200, tookMs: 40 });
  await visit(metered, "shop.test", { status: 404, tookMs: 7000 });
  metered.emit(event("shop", "APP_STARTED", { durationMs: 3000 }));
  metered.emit(event("blog", "APP_START_FAILED"));
  metered.emit(event("blog", "APP_CRASHED"));
  metered.emit(event("shop", "APP_STOP_CANCELLED"));
  const call = calls.watched("docker", async () => new Response("", { status: 429 }));
  await call("http://engine", {});
  await world.core.sweeper.sweep();
  const outcomes = { delivered: 5, refused: 1, givenUp: 2, dropped: 3 };
  const counts = { waiting: 4, attempts: 20, outcomes };
  metered.webhooks = [
    { webhook: "https://one.example", ...counts, lastFailure: { atMs: 1500, why: "status 500" } },
    { webhook: "https://two.example", ...counts, lastFailure: null },
  ];
  return metered;
}

function event(app: string, name: NewEvent["name"], details: NewEvent["details"] = {}): NewEvent {
  const cause = { kind: "request", detail: "GET / from 192.0.2.1" } as const;
  return { name, app, ref: { provider: "stub", id: app }, cause, details };
}

describe("metrics: read by Prometheus' own tool", () => {
  test.skipIf(!HAS_PROMTOOL)(`the text form has no mistake${WITHOUT_PROMTOOL}`, async () => {
    const metered = await busyWorld();
    expect(await checkMetrics(await metered.text())).toBe("");
    // It does find mistakes.
    expect(await checkMetrics("# TYPE x counter\nx 1\n")).toContain("x");
  });

  test.skipIf(!HAS_PROMTOOL)(`OpenMetrics has no mistake${WITHOUT_PROMTOOL}`, async () => {
    const metered = await busyWorld();
    expect(await checkOpenMetrics(await metered.text("?format=openmetrics"))).toBe("");
    expect(await checkOpenMetrics("# TYPE x counter\nx 1\n")).not.toBe("");
  });

  test("in OpenMetrics a counter's family goes without the ending that its samples have", async () => {
    const metered = await busyWorld();
    const text = await metered.text("?format=openmetrics");
    expect(text).toContain("# TYPE paastis_requests counter\n");
    expect(text).toContain('\npaastis_requests_total{app="shop",class="2xx"} 1\n');
    expect(text).not.toContain("_total_total");
  });

  test.skipIf(!HAS_PROMTOOL)(`so many apps are in one piece${WITHOUT_PROMTOOL}`, async () => {
    const metered = createMeteredWorld();
    for (let count = 0; count < 300; count += 1) {
      metered.world.add(`app-${count}`, { state: awakeAt(`app-${count}`) });
      await visit(metered, `app-${count}.test`, { status: 200, tookMs: 1 });
    }
    const text = await metered.text();
    expect(text.match(/^# TYPE paastis_request_duration_seconds histogram$/gm)).toHaveLength(1);
    expect(text.match(/^paastis_request_duration_seconds_count/gm)).toHaveLength(300);
    expect(await checkMetrics(text)).toBe("");
  });
});

describe("metrics: what is told", () => {
  test("requests, how long they took and what they carried, by app and class of status", async () => {
    const { sampleOf } = await busyWorld();
    const samples = [
      'paastis_requests_total{app="shop",class="2xx"}',
      'paastis_requests_total{app="shop",class="4xx"}',
      'paastis_request_duration_seconds_bucket{le="0.025",app="shop",class="2xx"}',
      'paastis_request_duration_seconds_bucket{le="0.05",app="shop",class="2xx"}',
      'paastis_request_duration_seconds_bucket{le="+Inf",app="shop",class="2xx"}',
      'paastis_request_duration_seconds_sum{app="shop",class="4xx"}',
      'paastis_request_duration_seconds_count{app="shop",class="4xx"}',
      'paastis_response_bytes_total{app="shop",class="2xx"}',
      'paastis_request_bytes_total{app="shop",class="4xx"}',
    ];
    const values = await Promise.all(samples.map(sampleOf));
    expect(values).toEqual([1, 1, 0, 1, 1, 7, 1, 2000, 30]);
  });

  test("wakes, sleeps and crashes by what became of them, phases, and the time in them", async () => {
    const { sampleOf } = await busyWorld();
    const samples = [
      'paastis_wakes_total{app="shop",cause="request",outcome="started"}',
      'paastis_wakes_total{app="blog",cause="request",outcome="failed"}',
      'paastis_sleeps_total{app="shop",cause="request",outcome="cancelled"}',
      'paastis_crashes_total{app="blog"}',
      'paastis_wake_duration_seconds_bucket{le="2.5",provider="stub"}',
      'paastis_wake_duration_seconds_bucket{le="5",provider="stub"}',
      'paastis_app_phase{app="shop",provider="stub",phase="awake"}',
      'paastis_app_phase{app="shop",provider="stub",phase="asleep"}',
      'paastis_apps{provider="stub",phase="asleep"}',
      'paastis_apps{provider="stub",phase="failed"}',
      'paastis_app_awake_seconds_total{app="shop"}',
      'paastis_app_asleep_seconds_total{app="shop"}',
      'paastis_app_asleep_seconds_total{app="blog"}',
    ];
    const values = await Promise.all(samples.map(sampleOf));
    expect(values).toEqual([1, 1, 1, 1, 0, 1, 1, null, 1, 0, 7.04, 0, 7.04]);
  });

  test("platforms, sweeps, stores, connections and the process", async () => {
    const { text, sampleOf } = await busyWorld();
    const samples = [
      'paastis_provider_calls_total{provider="docker",outcome="rate_limited",class="4xx"}',
      'paastis_provider_quota_remaining{provider="docker"}',
      'paastis_provider_reachable{provider="docker"}',
      "paastis_sweep_duration_seconds_count",
      'paastis_sweep_decisions_total{decision="keep"}',
      "paastis_registry_reachable",
      "paastis_registry_leader",
      "paastis_registry_other_instances",
      "paastis_events_waiting",
      "paastis_events_dropped_total",
      "paastis_upstream_connections_total",
    ];
    const values = await Promise.all(samples.map(sampleOf));
    expect(values).toEqual([1, 4321, 1, 1, 2, 1, 1, 1, 3, 2, 7]);
    for (const name of ["resident_memory_bytes", "cpu_seconds_total", "open_fds", "max_fds"]) {
      expect(await sampleOf(`process_${name}`)).toBeGreaterThan(0);
    }
    expect(await text()).toContain("paastis_event_loop_lag_seconds ");
  });

  test("webhooks: events by what became of them, tries, what waits, and the last failure", async () => {
    const { sampleOf } = await busyWorld();
    const one = 'webhook="https://one.example"';
    const samples = [
      `paastis_webhook_events_total{${one},outcome="delivered"}`,
      `paastis_webhook_events_total{${one},outcome="given_up"}`,
      `paastis_webhook_attempts_total{${one}}`,
      `paastis_webhook_waiting{${one}}`,
      `paastis_webhook_last_failure_timestamp_seconds{${one}}`,
      'paastis_webhook_last_failure_timestamp_seconds{webhook="https://two.example"}',
    ];
    const values = await Promise.all(samples.map(sampleOf));
    expect(values).toEqual([5, 2, 20, 4, 1.5, null]);
  });

  test("a registry that is away shows, and so does who has lost the lead", async () => {
    const metered = createMeteredWorld();
    const { registry } = metered.stores;
    const away = { ...registry, trouble: "refused", sinceMs: 1, isLeader: false };
    metered.stores = { ...metered.stores, registry: away };
    expect(await metered.sampleOf("paastis_registry_reachable")).toBe(0);
    expect(await metered.sampleOf("paastis_registry_leader")).toBe(0);
  });

  test("requests that wait are held, and those under way in flight", async () => {
    const metered = createMeteredWorld();
    metered.world.add("blog");
    metered.world.provider.script.wake = () => new Promise(() => undefined);
    const admission = metered.world.core.handler.admit(headFor("blog.test"));
    expect(admission.kind).toBe("held");
    expect(await metered.sampleOf('paastis_requests_held{app="blog"}')).toBe(1);
    expect(await metered.sampleOf('paastis_requests_in_flight{app="blog"}')).toBe(1);
    expect(await metered.sampleOf("paastis_visitors_waiting")).toBe(1);
    if (admission.kind === "held") admission.abandon();
    expect(await metered.sampleOf('paastis_requests_held{app="blog"}')).toBe(0);
    expect(await metered.sampleOf('paastis_requests_total{app="blog",class="none"}')).toBe(1);
  });

  test("requests that lead to no app count by the code they were answered with", async () => {
    const metered = await busyWorld();
    for (const host of ["one.test", "two.test", "not a host"]) {
      expect(metered.world.core.handler.admit(headFor(host)).kind).toBe("answer");
    }
    expect(await metered.sampleOf('paastis_stray_requests_total{code="unknown_app"}')).toBe(2);
    expect(await metered.sampleOf('paastis_stray_requests_total{code="invalid_host"}')).toBe(1);
  });

  test("what Paastis answers by itself counts by its status, and with how long it took", async () => {
    const metered = createMeteredWorld();
    const retryAtMs = metered.world.clock.now() + 60_000;
    metered.world.add("blog", { state: { kind: "failed", sinceMs: 0, why: "ended", retryAtMs } });
    expect(metered.world.core.handler.admit(headFor("blog.test")).kind).toBe("answer");
    const text = await metered.text();
    expect(text).toContain('paastis_requests_total{app="blog",class="5xx"} 1\n');
    expect(text).toContain('paastis_request_duration_seconds_count{app="blog",class="5xx"} 1\n');
    expect(text).not.toContain('class="none"');
  });

  test("with FAST_PATH there are no durations and no bytes", async () => {
    const metered = createMeteredWorld({ isFast: true });
    metered.world.add("shop", { state: awakeAt("shop") });
    await visit(metered, "shop.test", { status: 200, tookMs: 5 });
    const text = await metered.text();
    expect(text).not.toContain("paastis_request_duration_seconds");
    expect(text).not.toContain("_bytes_total");
    expect(text).toContain('paastis_requests_total{app="shop",class="2xx"} 1');
  });
});

describe("metrics: labels have bounds", () => {
  test("a Host that leads to no app names none", async () => {
    const metered = await busyWorld();
    await visit(metered, "nobody.test", { status: 200, tookMs: 0 });
    const before = (await metered.text()).split("\n").length;
    for (let count = 0; count < 100; count += 1) {
      await visit(metered, `nobody-${count}.test`, { status: 200, tookMs: 0 });
    }
    const text = await metered.text();
    expect(text).not.toContain("nobody");
    expect(text.split("\n")).toHaveLength(before);
  });

  test("an app that is gone is told of no more", async () => {
    const metered = await busyWorld();
    const { table } = metered.world.core;
    const blog = table.byKey("blog");
    if (blog !== null) table.remove(blog);
    metered.emit(event("blog", "APP_UNREGISTERED"));
    expect(await metered.text()).not.toContain("blog");
  });

  test("apps beyond the limit share one label that no app can have, and nothing of them is lost", () => {
    const apps = ["a", "b", "c", "d"].map((key) => sampleApp(key));
    const labels = (max: number) =>
      groupApps(apps, max).map(({ label, members }) => [label, members.map(({ key }) => key)]);
    expect(labels(4)).toEqual([
      ["a", ["a"]],
      ["b", ["b"]],
      ["c", ["c"]],
      ["d", ["d"]],
    ]);
    expect(labels(2)).toEqual([
      ["a", ["a"]],
      ["b", ["b"]],
      [OTHER, ["c", "d"]],
    ]);
  });

  test("5,000 apps have labels of their own, and what the others did is added up", async () => {
    const metered = createMeteredWorld();
    for (let count = 0; count < 5003; count += 1) {
      const { traffic } = sampleApp();
      traffic.statuses[2] = 2;
      metered.world.core.table.add(sampleApp(`app-${count}`, { traffic }));
    }
    const text = await metered.text();
    expect(text.match(/^paastis_requests_total\{/gm)).toHaveLength(5001);
    expect(text).toContain('paastis_requests_total{app="_other",class="2xx"} 6\n');
    expect(text).toContain('paastis_app_phase{app="_other",provider="stub",phase="asleep"} 3\n');
  });

  test("one app can be asked for alone", async () => {
    const { world, metrics } = await busyWorld();
    const shop = world.core.table.all().filter(({ key }) => key === "shop");
    const request = new Request("http://admin/__metrics?app=shop&format=prometheus");
    const text = await (await metrics.answer(request, shop))?.text();
    expect(text).toContain('paastis_app_phase{app="shop"');
    expect(text).not.toContain('app="blog"');
  });
});

describe("metrics: who gets which form", () => {
  const PROMETHEUS =
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
  const cases: readonly (readonly [string | null, string | null, MetricsForm])[] = [
    [null, null, "json"],
    [null, "*/*", "json"],
    [null, "application/json", "json"],
    // As axios asks, which wants JSON.
    [null, "application/json, text/plain, */*", "json"],
    // As a browser asks.
    [null, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"],
    [null, "text/plain", "text"],
    [null, "TEXT/PLAIN; version=0.0.4", "text"],
    [null, "text/plain;q=0.2, application/json", "json"],
    [null, "text/plain;q=0", "json"],
    [null, "text/plain;q=nonsense", "json"],
    [null, "application/openmetrics-text", "openmetrics"],
    [null, PROMETHEUS, "openmetrics"],
    [null, "", "json"],
    ["prometheus", null, "text"],
    ["prometheus", "*/*", "text"],
    ["prometheus", PROMETHEUS, "openmetrics"],
    ["openmetrics", "text/plain", "openmetrics"],
    ["json", "text/plain", "json"],
    ["unheard-of", "*/*", "json"],
  ];
  for (const [format, accept, form] of cases) {
    test(`format ${format}, accept ${accept}: ${form}`, () => {
      expect(metricsFormOf(format, accept)).toBe(form);
    });
  }

  test("each form says what it is, and that it depends on the header", async () => {
    const metered = createMeteredWorld();
    expect(await metered.answer("")).toBeNull();
    const text = await metered.answer("", "text/plain");
    const open = await metered.answer("", "application/openmetrics-text");
    expect(text?.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(open?.headers.get("content-type")).toStartWith("application/openmetrics-text");
    expect(text?.headers.get("vary")).toBe("accept");
    expect(await open?.text()).toEndWith("# EOF\n");
    expect(await text?.text()).not.toContain("# EOF");
  });
});

test("metrics: without somebody who asks, nothing runs", () => {
  const metered = createMeteredWorld();
  expect(metered.world.clock.pending()).toBe(0);
  metered.metrics.close();
  metered.world.add("shop");
  metered.emit(event("shop", "APP_STARTED"));
  expect(metered.world.clock.pending()).toBe(0);
});

describe("metrics: the time apps were awake and asleep", () => {
  test("counts from the start, changes between two looks included", () => {
    let nowMs = 10_000;
    const times = createAppTimes(() => nowMs);
    const app = sampleApp("shop", { state: { kind: "asleep", sinceMs: 0 } });
    nowMs = 15_000;
    expect(times.of(app)).toMatchObject({ awakeMs: 0, asleepMs: 5000 });
    nowMs = 25_000;
    app.state = { kind: "waking", sinceMs: 18_000, fence: 1 };
    expect(times.of(app)).toMatchObject({ awakeMs: 7000, asleepMs: 8000 });
    app.state = { kind: "failed", sinceMs: 25_000, why: "", retryAtMs: 0 };
    nowMs = 99_000;
    expect(times.of(app)).toMatchObject({ awakeMs: 7000, asleepMs: 8000 });
  });

  test("an app that was found later counts from then, and a drain that was called off stays awake", () => {
    let nowMs = 10_000;
    const times = createAppTimes(() => nowMs);
    nowMs = 20_000;
    const target = { origin: "http://shop.test", host: "shop.test" };
    const app = sampleApp("shop", { state: { kind: "awake", sinceMs: 19_000, target } });
    expect(times.of(app).awakeMs).toBe(1000);
    app.state = { kind: "draining", sinceMs: 20_000, awakeSinceMs: 19_000, fence: 1, target };
    nowMs = 21_000;
    times.look(app);
    app.state = { kind: "awake", sinceMs: 19_000, target };
    nowMs = 22_000;
    expect(times.of(app)).toMatchObject({ awakeMs: 3000, asleepMs: 0 });
  });
});

describe("metrics: calls to platforms", () => {
  const cases = [
    [200, "ok 2xx"],
    [304, "ok 3xx"],
    [404, "refused 4xx"],
    [429, "rate_limited 4xx"],
    [503, "unavailable 5xx"],
  ] as const;
  for (const [status, expected] of cases) {
    test(`an answer ${status} counts as ${expected}`, async () => {
      const calls = createProviderCalls();
      const body = status === 304 ? null : "";
      await calls.watched("fly", async () => new Response(body, { status }))("http://x", {});
      expect(calls.counts().map((one) => `${one.outcome} ${one.statusClass}`)).toEqual([expected]);
    });
  }

  test("a call without an answer counts by whether it was us who gave it up, and still throws", async () => {
    const calls = createProviderCalls();
    const call = calls.watched("fly", async () => {
      throw new Error("reset");
    });
    await expect(call("http://x", {})).rejects.toThrow("reset");
    await expect(call("http://x", { signal: AbortSignal.abort() })).rejects.toThrow("reset");
    expect(calls.counts()).toMatchObject([
      { provider: "fly", outcome: "network", statusClass: "none", calls: 1 },
      { outcome: "given_up", calls: 1 },
    ]);
  });
});

test("metrics: a sweep that finds another one under way counts as skipped, and decides nothing", async () => {
  const clock = createVirtualClock();
  const gate = Promise.withResolvers<void>();
  const entries = [true, false, false].map((sleep) => ({ sleep, why: "", app: sampleApp() }));
  const { sweeper, sweeps } = countedSweeper(
    {
      plan: () => [],
      verdictOf: () => ({ sleep: false, why: "" }),
      async sweep() {
        await gate.promise;
        return { entries, done: Promise.resolve() };
      },
    },
    clock,
  );
  const first = sweeper.sweep();
  const second = sweeper.sweep();
  await clock.advance(700);
  gate.resolve();
  await Promise.all([first, second]);
  expect(sweeps).toMatchObject({ skipped: 1, sleeps: 1, keeps: 2, endedMs: clock.wallMs() });
  expect(sweeps.durations.sumMs).toBe(700);
});
