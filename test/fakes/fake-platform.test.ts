/** The kit: what it promises to the fakes that are built on it, and to the tests that use them. */

import { describe, expect, test } from "bun:test";
import { createSystemClock } from "../../src/clock.ts";
import { until } from "../support/until.ts";
import { createVirtualClock } from "../support/virtual-clock.ts";
import { json } from "./fake-answer.ts";
import * as faults from "./fake-faults.ts";
import { countsOf, densestOf, matchesKind } from "./fake-journal.ts";
import { type FakeApi, startFakeApi } from "./fake-platform.ts";
import { type AppAnswer, type Routing, startFakeRouter } from "./fake-router.ts";
import { checkFields, checkJsonBody, checkNoBody, checkQuery } from "./request-checks.ts";

/** A platform that counts: `GET /things/:id` and `POST /things/:id` (`{"by": 1}`). */
async function startCounter(clock = createSystemClock()) {
  const totals = new Map<string, number>();
  const body = (id: string) => ({ thing: { id, total: totals.get(id) ?? 0, state: "up" } });
  const api = await startFakeApi({
    clock,
    name: "counter API",
    routes: [
      {
        kind: "things.read",
        method: "GET",
        path: "/things/:id",
        answer: (call) => {
          checkQuery(call, ["page"]);
          checkNoBody(call);
          return json(body(call.params.id!));
        },
      },
      {
        kind: "things.add",
        method: "POST",
        path: "/things/:id",
        answer: (call) => {
          const fields = checkJsonBody(call);
          if (fields !== null) checkFields(call, fields, { where: "body", allowed: ["by"] });
          const id = call.params.id!;
          totals.set(id, (totals.get(id) ?? 0) + Number(fields?.by ?? 0));
          return json(body(id), 202);
        },
      },
    ],
    before: (call) =>
      call.headers.get("authorization") === "Bearer old" ? { status: 401, body: "no" } : null,
    notFound: () => json({ error: "not found" }, 404),
    headersOf: () => ({ "RateLimit-Remaining": "7" }),
  });
  return { api, totals };
}

function post(api: FakeApi, id: string, body: unknown = { by: 1 }): Promise<Response> {
  return fetch(`${api.origin}/things/${id}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    keepalive: false,
  });
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
  return "none";
}

describe("calls", () => {
  test("are answered by their route, journalled and counted by kind", async () => {
    const { api } = await startCounter();
    await using _ = api;
    expect((await post(api, "a%20b")).status).toBe(202);
    const answer = await fetch(`${api.origin}/things/a%20b?page=2`, { headers: { "X-Me": "1" } });
    expect(await answer.json()).toEqual({ thing: { id: "a b", total: 1, state: "up" } });
    expect(answer.headers.get("ratelimit-remaining")).toBe("7");
    expect(api.count()).toBe(2);
    expect(api.count("things.*")).toBe(2);
    expect(countsOf(api.journal)).toEqual({ "things.add": 1, "things.read": 1 });
    expect(api.journal[0]).toMatchObject({ method: "POST", body: { by: 1 }, status: 202 });
    expect(api.journal[1]).toMatchObject({
      path: "/things/a%20b",
      query: { page: "2" },
      body: null,
    });
    expect(api.journal[1]?.headers["x-me"]).toBe("1");
    expect(api.violations).toEqual([]);
    api.forgetCalls();
    expect(api.count()).toBe(0);
  });

  test("of any name below localhost arrive, with the name", async () => {
    const { api } = await startCounter();
    await using _ = api;
    await fetch(`http://api.Some-Region.localhost:${api.port}/things/a`);
    expect(api.journal[0]?.host).toBe("api.some-region.localhost");
  });

  test("to what is no endpoint get the platform's 404 and are violations", async () => {
    const { api } = await startCounter();
    await using _ = api;
    for (const path of ["/thing/a", "/things", "/things/", "/things/a/b", "/things/a/"]) {
      expect((await fetch(api.origin + path)).status).toBe(404);
    }
    expect((await fetch(`${api.origin}/things/a`, { method: "DELETE" })).status).toBe(404);
    expect(api.count("unknown")).toBe(6);
    expect(api.violations).toHaveLength(6);
    expect(api.violations.at(-1)).toBe("counter API: DELETE /things/a: there is no such endpoint");
  });

  test("with a body, query or field that the endpoint does not know are violations", async () => {
    const { api } = await startCounter();
    await using _ = api;
    await post(api, "a", { by: 1, until: 2 });
    await fetch(`${api.origin}/things/a`, { method: "POST", body: "by=1" });
    await fetch(`${api.origin}/things/a?limit=1&page=1&page=2`);
    expect(api.violations.map((text) => text.replace(/^.*things\/a\S*: /, ""))).toEqual([
      'body has the unknown field "until"',
      "without the header content-type",
      'the body must be a JSON object: "by=1"',
      'unknown query parameter "limit"',
      'query parameter "page" more than once',
    ]);
  });

  test("kinds match exactly, by family, or all", () => {
    expect(matchesKind("apps.list", "apps.list")).toBe(true);
    expect(matchesKind("apps.list", "apps.lists")).toBe(false);
    expect(matchesKind("apps.*", "apps.list")).toBe(true);
    expect(matchesKind("apps.*", "appsx.list")).toBe(false);
    expect(matchesKind("*", "unknown")).toBe(true);
  });

  test("the densest span counts calls less than a window apart", async () => {
    const clock = createVirtualClock();
    const { api } = await startCounter(clock);
    await using _ = api;
    for (const waitMs of [0, 10, 50, 39, 1]) {
      await clock.advance(waitMs);
      await post(api, "a");
    }
    expect(densestOf(api.journal, 100)).toBe(4);
    expect(densestOf(api.journal, 101)).toBe(5);
    expect(densestOf(api.journal, 1)).toBe(1);
  });
});

describe("faults", () => {
  test("an answer in place of the right one leaves the state alone unless it is applied", async () => {
    const { api, totals } = await startCounter();
    await using _ = api;
    api.fail("things.add", faults.answersText(429, "Retry later"));
    api.fail("things.add", faults.answersHtml(200));
    api.fail("things.add", faults.appliesAndAnswers({ status: 502, body: "bad gateway" }));
    const limited = await post(api, "a");
    expect([limited.status, await limited.text()]).toEqual([429, "Retry later"]);
    const page = await post(api, "a");
    expect(page.headers.get("content-type")).toContain("text/html");
    expect(await page.text()).toContain("<!DOCTYPE html>");
    expect(totals.get("a")).toBeUndefined();
    expect((await post(api, "a")).status).toBe(502);
    expect(totals.get("a")).toBe(1);
    expect((await post(api, "a")).status).toBe(202);
    expect(api.count("things.add")).toBe(4);
  });

  test("a reset comes before the call is processed, or after", async () => {
    const { api, totals } = await startCounter();
    await using _ = api;
    api.fail("things.add", faults.resetsBefore());
    expect(await failureOf(post(api, "a"))).toBe("ECONNRESET");
    expect(totals.get("a")).toBeUndefined();
    api.fail("things.add", faults.resetsAfter());
    expect(await failureOf(post(api, "a"))).toBe("ECONNRESET");
    expect(totals.get("a")).toBe(1);
    expect(api.journal.map(({ status }) => status)).toEqual([null, null]);
  });

  test("half of the JSON parses badly, a cut body fails, a stalled one never ends", async () => {
    const { api } = await startCounter();
    await using _ = api;
    api.fail("things.read", faults.answersHalf());
    const half = await fetch(`${api.origin}/things/a`);
    expect(half.status).toBe(200);
    expect(await half.text()).toBe('{"thing":{"id":"a","t');
    api.fail("things.read", faults.cutsBody());
    expect(await failureOf(fetch(`${api.origin}/things/a`).then((one) => one.text()))).toBe(
      "ECONNRESET",
    );
    api.fail("things.read", faults.stallsInBody());
    const hurry = new AbortController();
    const stalled = await fetch(`${api.origin}/things/a`, { signal: hurry.signal });
    const text = failureOf(stalled.text());
    hurry.abort();
    expect(await text).toBe("20"); // DOMException.ABORT_ERR
  });

  test("a slow answer comes by the fake's clock, and a call without one stays in flight", async () => {
    const clock = createVirtualClock();
    const { api, totals } = await startCounter(clock);
    await using _ = api;
    api.fail("things.add", faults.answersAfter(30_000));
    let isAnswered = false;
    const slow = post(api, "a").finally(() => {
      isAnswered = true;
    });
    await until(() => api.count() === 1);
    expect(totals.get("a")).toBe(1);
    await clock.advance(29_999);
    expect(isAnswered).toBe(false);
    await clock.advance(1);
    expect((await slow).status).toBe(202);
    api.fail("things.read", faults.neverAnswers());
    const hurry = new AbortController();
    const never = failureOf(fetch(`${api.origin}/things/a`, { signal: hurry.signal }));
    await until(() => api.inFlight === 1);
    hurry.abort();
    await never;
    await until(() => api.inFlight === 0);
  });

  test("last as often as told, or until healed, for the calls that match", async () => {
    const { api } = await startCounter();
    await using _ = api;
    api.fail("things.*", faults.answers({ status: 500 }), 2);
    api.fail((call) => call.params.id === "bad", faults.answers({ status: 503 }), Infinity);
    const statuses: number[] = [];
    for (const id of ["a", "bad", "a", "bad", "bad"]) statuses.push((await post(api, id)).status);
    expect(statuses).toEqual([500, 500, 202, 503, 503]);
    api.heal();
    expect((await post(api, "bad")).status).toBe(202);
  });

  test("an API that is down refuses connections or answers the same to all, and comes back on its port", async () => {
    const { api, totals } = await startCounter();
    await using _ = api;
    await api.goDown("refuse");
    expect(await failureOf(post(api, "a"))).toBe("ECONNREFUSED");
    await api.comeUp();
    expect((await post(api, "a")).status).toBe(202);
    await api.goDown({ status: 503, body: "maintenance" });
    expect((await post(api, "a")).status).toBe(503);
    await api.comeUp();
    expect(totals.get("a")).toBe(1);
  });

  test("an API may be told to go down twice, and end while it is down", async () => {
    const { api } = await startCounter();
    await api.goDown("refuse");
    await api.goDown("refuse");
    expect(await failureOf(post(api, "a"))).toBe("ECONNREFUSED");
    await api[Symbol.asyncDispose]();
    expect(await failureOf(post(api, "a"))).toBe("ECONNREFUSED");
  });

  test("strange answers have more fields in every object and other words", async () => {
    const { api } = await startCounter();
    await using _ = api;
    api.beStrange({ hasUnknownFields: true, words: { state: "levitating" } });
    const strange = (await (await fetch(`${api.origin}/things/a`)).json()) as {
      thing: Record<string, unknown>;
    }; // What this fake answers.
    expect(Object.keys(strange)).toEqual(["thing", "a_field_of_tomorrow", "x_flag"]);
    expect(strange.thing).toMatchObject({ id: "a", state: "levitating", x_flag: true });
    api.beStrange({});
    expect(await (await fetch(`${api.origin}/things/a`)).json()).toEqual({
      thing: { id: "a", total: 0, state: "up" },
    });
  });
});

describe("router", () => {
  function startRouter(routings: Map<string, Routing>, clock = createSystemClock()) {
    return startFakeRouter({
      clock,
      routeOf: (host) => routings.get(host) ?? null,
      unknownHost: { status: 404, body: "no such app" },
    });
  }
  const demo: Routing = { kind: "app", name: "demo", instances: 2 };
  const down: Routing = {
    kind: "page",
    answer: { status: 503, headers: { "X-Why": "stopped" }, body: "stopped" },
  };

  test("the address leads to the app, which says its name and counts", async () => {
    const routings = new Map([["demo.osc.localhost", demo]]);
    await using router = startRouter(routings);
    const address = router.addressOf("demo.osc");
    const answer = await fetch(`${address}/a?b=c`, { method: "POST", body: "12345" });
    const { port, ...said } = {
      port: router.port,
      ...((await answer.json()) as AppAnswer), // What the built-in app answers.
    };
    expect(said).toEqual({
      app: "demo",
      instances: 2,
      request: 1,
      method: "POST",
      path: "/a?b=c",
      host: `demo.osc.localhost:${port}`,
      bodyBytes: 5,
    });
    expect(answer.headers.get("x-fake-app")).toBe("demo");
    expect(router.appRequests(router.hostOf("demo.osc"))).toBe(1);
  });

  test("an app may have a port of its own, for clients that do not know names below localhost", async () => {
    const routings = new Map<string, Routing>([["demo.localhost", demo]]);
    await using router = startFakeRouter({
      clock: createSystemClock(),
      routeOf: (host) => routings.get(host) ?? null,
      unknownHost: { status: 404 },
      addressing: "port",
    });
    const address = router.addressOf("demo");
    expect(router.addressOf("Demo")).toBe(address);
    expect(new URL(address).hostname).toBe("127.0.0.1");
    expect((await fetch(address)).status).toBe(200);
    expect(router.appRequests("demo.localhost")).toBe(1);
    expect((await fetch(address, { headers: { host: "demo.example" } })).status).toBe(404);
    expect((await fetch(router.addressOf("other"))).status).toBe(404);
    expect(router.unknownHosts).toEqual(["demo.example", "other.localhost"]);
  });

  test("a host that is down gets the platform's page, an unknown one is noted", async () => {
    await using router = startRouter(new Map([["demo.localhost", down]]));
    const page = await fetch(router.addressOf("demo"));
    expect([page.status, page.headers.get("x-why"), await page.text()]).toEqual([
      503,
      "stopped",
      "stopped",
    ]);
    expect(router.pages("demo.localhost")).toBe(1);
    expect(router.unknownHosts).toEqual([]);
    expect((await fetch(router.addressOf("other"))).status).toBe(404);
    expect(router.unknownHosts).toEqual(["other.localhost"]);
  });

  test("a queue is left when the app is up, or with an error when it takes too long", async () => {
    const clock = createVirtualClock();
    const queue: Routing = { kind: "queue", timeoutMs: 30_000, onTimeout: { status: 503 } };
    const routings = new Map<string, Routing>([["demo.localhost", queue]]);
    await using router = startRouter(routings, clock);
    const first = fetch(router.addressOf("demo"));
    await until(() => router.queued === 1);
    router.changed();
    expect(router.queued).toBe(1);
    routings.set("demo.localhost", demo);
    router.changed();
    expect((await first).status).toBe(200);
    routings.set("demo.localhost", queue);
    const second = fetch(router.addressOf("demo"));
    await until(() => router.queued === 1);
    await clock.advance(30_000);
    expect((await second).status).toBe(503);
    expect(clock.pending()).toBe(0);
  });

  test("the app echoes WebSocket messages", async () => {
    await using router = startRouter(new Map([["demo.localhost", demo]]));
    const socket = new WebSocket(router.addressOf("demo").replace("http", "ws"));
    const heard: string[] = [];
    socket.onmessage = ({ data }) => void heard.push(String(data));
    socket.onopen = () => socket.send("ping");
    await until(() => heard.length === 2);
    expect(heard).toEqual(["hello from demo", "ping"]);
    socket.close();
  });
});
