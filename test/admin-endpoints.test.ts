/** The admin endpoints: what they answer, to whom, and what becomes of nonsense. */

import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type SwitchProxy, startSwitchProxy } from "./support/switch-proxy.ts";
import { startTarget } from "./support/switch-targets.ts";
import { until } from "./support/until.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const TOKEN = { "x-admin-token": "secret" };

async function jsonOf(response: Response): Promise<Record<string, unknown>> {
  // What the endpoints answer is an object, or the test fails at its first look.
  return (await response.json()) as Record<string, unknown>;
}

function post(proxy: SwitchProxy, path: string, init: RequestInit = {}): Promise<Response> {
  return proxy.admin(path, { method: "POST", ...init });
}

test("admin: a switch answers with what was switched, and the status shows it from then on", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  await using proxy = await startSwitchProxy({ port: old.port });
  expect(await jsonOf(await proxy.admin("/__status?details=1"))).toMatchObject({
    activePort: old.port,
    drainUntil: null,
    lastSwitch: null,
  });
  const answer = await post(proxy, `/__switch?port=${next.port}`);
  expect(answer.status).toBe(200);
  const body = await jsonOf(answer);
  const done = {
    from: old.port,
    to: next.port,
    at: expect.stringMatching(TIME),
    reason: "manual",
    id: expect.stringMatching(UUID),
  };
  expect(body).toMatchObject({ success: true, message: `Switched to port ${next.port}` });
  expect(body.switch).toEqual(done);
  const status = await jsonOf(await proxy.admin("/__status"));
  expect(status).toMatchObject({ activePort: next.port, drainUntil: expect.stringMatching(TIME) });
  expect(status.lastSwitch).toEqual(done);
  const stored = JSON.parse(readFileSync(proxy.stateFile, "utf8"));
  expect(stored).toMatchObject({
    activePort: next.port,
    apps: { shop: { active: next_(next.port) } },
  });
});

function next_(port: number): string {
  return `http://127.0.0.1:${port}`;
}

test("admin: an unhealthy port is refused with what was seen, and nothing has changed", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  next.health = 503;
  await using proxy = await startSwitchProxy({ port: old.port });
  const answer = await post(proxy, `/__switch?port=${next.port}`);
  expect(answer.status).toBe(409);
  expect(await jsonOf(answer)).toMatchObject({
    error: "Health check failed",
    message: `Port ${next.port} did not respond with 2xx at /health`,
    health: { status: 503, body: "next is here", ms: expect.any(Number) },
  });
  expect(await jsonOf(await proxy.admin("/__status?details=1"))).toMatchObject({
    activePort: old.port,
    lastSwitch: null,
    switching: null,
  });
});

test("admin: while a switch runs, another is refused and told which one it is", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  next.health = 503;
  await using proxy = await startSwitchProxy({ port: old.port });
  const first = post(proxy, `/__switch?port=${next.port}`);
  const second = await post(proxy, `/__switch?port=${old.port + 1}`);
  expect(second.status).toBe(409);
  expect(await jsonOf(second)).toMatchObject({
    error: "Switch in progress",
    switch: { to: next.port, id: expect.stringMatching(UUID) },
  });
  expect((await first).status).toBe(409);
});

test("admin: the same Idempotency-Key gets the same answer, also while the switch runs", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  await using proxy = await startSwitchProxy({ port: old.port });
  const init = { headers: { "idempotency-key": "once" } };
  const path = `/__switch?port=${next.port}`;
  const [one, two] = await Promise.all([post(proxy, path, init), post(proxy, path, init)]);
  const first = await jsonOf(one);
  expect(await jsonOf(two)).toEqual(first);
  await post(proxy, `/__switch?port=${old.port}`);
  expect(await jsonOf(await post(proxy, path, init))).toEqual(first);
  expect((await jsonOf(await proxy.admin("/__status"))).activePort).toBe(old.port);
  const reused = await post(proxy, `/__switch?port=${old.port}`, init);
  expect(reused.status).toBe(422);
});

test.each([
  "",
  "?port=",
  "?port=0",
  "?port=65536",
  "?port=-1",
  "?port=8081.5",
  "?port=0x1f91",
  "?port=8e3",
  "?port=%208081",
  "?port=8081%00",
  "?port=eight",
  "?port=8081&port=8082",
  "?port[]=8081",
  `?port=${"9".repeat(5000)}`,
  "?Port=8081",
])("admin: a switch to %p is refused with 400, and nothing breaks", async (query) => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port });
  const answer = await post(proxy, `/__switch${query}`);
  expect(answer.status).toBe(400);
  expect(await jsonOf(answer)).toMatchObject({ error: "Invalid port" });
  expect(proxy.lines.filter(({ level }) => level === "error")).toEqual([]);
});

test("admin: another host, and the port of Paastis itself, are refused with 400", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port });
  expect((await post(proxy, "/__switch?port=8081&host=10.0.0.5")).status).toBe(400);
  expect((await post(proxy, `/__switch?port=${proxy.port}`)).status).toBe(400);
});

test.each([
  ["/__status?app=nobody", "GET", 404],
  ["/__switch?port=8081&app=nobody", "POST", 404],
  ["/__status?app=shop&app=den", "GET", 400],
  ["/__pause?app=", "POST", 404],
  ["/__status?app=%E0%A4%A", "GET", 404],
])("admin: %p is refused, and nothing breaks", async (path, method, status) => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port });
  const answer = await proxy.admin(path, { method });
  expect(answer.status).toBe(status);
  expect(await jsonOf(answer)).toMatchObject({ error: expect.any(String) });
  expect(proxy.lines.filter(({ level }) => level === "error")).toEqual([]);
});

test.each([
  ["/__switch?port=8081", "GET", "POST"],
  ["/__switch?port=8081", "PUT", "POST"],
  ["/__status", "POST", "GET, HEAD"],
  ["/__status", "DELETE", "GET, HEAD"],
  ["/__pause", "PATCH", "POST"],
])(
  "admin: %p with %p is answered with 405 and the method that is right",
  async (path, method, right) => {
    await using old = startTarget("old");
    await using proxy = await startSwitchProxy({ port: old.port });
    const answer = await proxy.admin(path, { method });
    expect(answer.status).toBe(405);
    expect(answer.headers.get("allow")).toBe(right);
  },
);

test.each([
  ["application/json", "{"],
  ["application/json", "[1]"],
  ["application/json", '{"message":7}'],
  ["application/json", JSON.stringify({ message: "x".repeat(2001) })],
  ["text/plain", "back soon"],
  ["application/x-www-form-urlencoded", "message=hello"],
  ["multipart/form-data", "nonsense"],
])("admin: maintenance with a body of %p, %p is refused with 400", async (type, body) => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port });
  const answer = await post(proxy, "/__maintenance", { body, headers: { "content-type": type } });
  expect(answer.status).toBe(400);
  expect(proxy.app.pause).toBeNull();
  expect(proxy.lines.filter(({ level }) => level === "error")).toEqual([]);
});

test("admin: a body that nobody asked for, whatever it is, changes nothing about a switch", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  await using proxy = await startSwitchProxy({ port: old.port });
  const headers = { "content-type": "application/json" };
  const answer = await post(proxy, `/__switch?port=${next.port}`, { body: "{nonsense", headers });
  expect(answer.status).toBe(200);
});

test("admin: a huge body is refused, and the endpoints go on", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port });
  const answer = await fetch(`${proxy.origin}/__maintenance`, {
    method: "POST",
    headers: TOKEN,
    body: Buffer.alloc(3_000_000, 32),
  });
  expect([400, 413]).toContain(answer.status);
  expect((await fetch(`${proxy.origin}/__status`, { headers: TOKEN })).status).toBe(200);
});

test("admin: the metrics have their names and count what happened", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port });
  await (await fetch(proxy.origin)).text();
  old.status = 503;
  await (await fetch(proxy.origin)).text();
  old.status = 404;
  await (await fetch(proxy.origin)).text();
  await until(() => proxy.app.leases === 0);
  await until(async () => (await jsonOf(await proxy.admin("/__metrics"))).health !== null);
  const metrics = await jsonOf(await proxy.admin("/__metrics"));
  expect(Object.keys(metrics).sort()).toEqual(
    [
      "startedAt",
      "inflight",
      "inflightMax",
      "totalRequests",
      "totalProxyErrors",
      "statusCounters",
      "rollingRps60",
      "health",
      "lastProxyError",
      "stores",
      "providers",
      "webhooks",
    ].sort(),
  );
  expect(metrics).toMatchObject({
    startedAt: expect.stringMatching(TIME),
    inflight: 0,
    inflightMax: 1,
    totalRequests: 3,
    totalProxyErrors: 0,
    statusCounters: { "2xx": 1, "3xx": 0, "4xx": 1, "5xx": 1 },
    lastProxyError: null,
  });
  expect(metrics.rollingRps60).toBeGreaterThan(0);
});

test("admin: the health endpoint says 200 or 503, and asking it often takes no switch back", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  await using proxy = await startSwitchProxy({
    port: old.port,
    policy: { checkEveryMs: 60_000, failsMax: 3 },
  });
  expect((await proxy.admin("/__health")).status).toBe(200);
  await post(proxy, `/__switch?port=${next.port}`);
  next.health = 500;
  for (let count = 0; count < 10; count += 1) {
    expect((await proxy.admin("/__health")).status).toBe(503);
  }
  expect(proxy.eventsNamed("APP_ROLLED_BACK")).toEqual([]);
  expect((await jsonOf(await proxy.admin("/__status"))).activePort).toBe(next.port);
});

test("admin guard: over TCP the right token is asked for, on any host of the only app", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port });
  const status = (headers: Record<string, string>) =>
    fetch(`${proxy.origin}/__status`, { headers }).then(({ status: code }) => code);
  expect(await status({})).toBe(401);
  expect(await status({ "x-admin-token": "" })).toBe(401);
  expect(await status({ "x-admin-token": "secre" })).toBe(401);
  expect(await status({ "x-admin-token": "secret, secret" })).toBe(401);
  expect(await status(TOKEN)).toBe(200);
  expect(await status({ ...TOKEN, host: "anything.example" })).toBe(200);
});

test("admin guard: who is not on the list is refused, whatever the token", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({
    port: old.port,
    admin: { allowlist: ["192.0.2.0/24"] },
  });
  const answer = await fetch(`${proxy.origin}/__status`, { headers: TOKEN });
  expect(answer.status).toBe(403);
  // A header that anybody can send makes nobody trusted.
  const forged = { ...TOKEN, "x-forwarded-for": "192.0.2.1" };
  expect((await fetch(`${proxy.origin}/__status`, { headers: forged })).status).toBe(403);
});

test("admin guard: without a token TCP may only read, and only without a proxy in between", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port, admin: { token: null } });
  expect((await fetch(`${proxy.origin}/__status`)).status).toBe(200);
  const forwarded = { headers: { "x-forwarded-for": "192.0.2.1" } };
  expect((await fetch(`${proxy.origin}/__status`, forwarded)).status).toBe(403);
  expect((await fetch(`${proxy.origin}/__pause`, { method: "POST" })).status).toBe(403);
  expect(proxy.app.pause).toBeNull();
});

test("admin guard: other paths are the app's, also those that look alike", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port });
  for (const path of [
    "/__statusx",
    "/__status/",
    "/__",
    "/x/__status",
    "/__%73tatus",
    "/__STATUS",
  ]) {
    const answer = await fetch(proxy.origin + path);
    expect({ path, by: answer.headers.get("x-version") }).toEqual({ path, by: "old" });
  }
});

test("admin: an Idempotency-Key that is too long to be remembered is refused", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port });
  const headers = { "idempotency-key": "k".repeat(256) };
  expect((await post(proxy, `/__switch?port=${old.port}`, { headers })).status).toBe(400);
});

test("admin: what cannot be stored is answered with 500, and nothing has changed; later it works again", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  await using proxy = await startSwitchProxy({ port: old.port });
  // A folder stands where the file would be written first: that stops root as well.
  const obstacle = `${proxy.stateFile}.${process.pid}.tmp`;
  mkdirSync(obstacle);
  writeFileSync(`${obstacle}/x`, "");
  const headers = { "idempotency-key": "once" };
  const path = `/__switch?port=${next.port}`;
  for (const what of [path, "/__pause", "/__maintenance"]) {
    const answer = await post(proxy, what, { headers });
    expect({ what, status: answer.status }).toEqual({ what, status: 500 });
    expect(await jsonOf(answer)).toMatchObject({ error: "State not saved" });
  }
  expect(await jsonOf(await proxy.admin("/__status?details=1"))).toMatchObject({
    activePort: old.port,
    lastSwitch: null,
    pause: null,
    switching: null,
  });
  expect(await (await fetch(proxy.origin)).text()).toBe("old");
  rmSync(obstacle, { recursive: true });
  expect((await post(proxy, path, { headers })).status).toBe(200);
  expect(await (await fetch(proxy.origin)).text()).toBe("next");
});

test("admin: what keeps state, and how that is, is told with details and in the metrics, and nowhere else", async () => {
  await using old = startTarget("old");
  const atMs = Date.UTC(2026, 0, 15, 10, 30);
  const trouble = "Redis at 10.0.0.9:6379: it cannot be reached";
  await using proxy = await startSwitchProxy({
    port: old.port,
    stores: {
      registry: {
        ...{ type: "redis", trouble, sinceMs: atMs },
        ...{ instance: "one", others: ["two"], isLeader: false, leader: "two" },
      },
      events: { type: "postgres", trouble: null, sinceMs: null, waiting: 3, dropped: 2 },
    },
    providers: [
      { name: "ports", trouble: null },
      { name: "heroku", trouble: "its API does not answer" },
    ],
    webhooks: [
      {
        ...{ webhook: "https://hooks.example", waiting: 2, attempts: 9 },
        outcomes: { delivered: 5, refused: 1, givenUp: 0, dropped: 0 },
        lastFailure: { atMs, why: "status 500" },
      },
    ],
  });
  const expected = {
    stores: {
      registry: {
        ...{ type: "redis", reachable: false, trouble, since: "2026-01-15T10:30:00.000Z" },
        ...{ instance: "one", otherInstances: ["two"], leader: false, leaderInstance: "two" },
      },
      events: {
        ...{ type: "postgres", reachable: true, trouble: null, since: null },
        ...{ waiting: 3, dropped: 2 },
      },
    },
    providers: {
      ports: { reachable: true, trouble: null },
      heroku: { reachable: false, trouble: "its API does not answer" },
    },
    webhooks: [
      {
        ...{ webhook: "https://hooks.example", waiting: 2, attempts: 9 },
        ...{ delivered: 5, refused: 1, givenUp: 0, dropped: 0 },
        lastFailure: { at: "2026-01-15T10:30:00.000Z", why: "status 500" },
      },
    ],
  };
  const short = await jsonOf(await proxy.admin("/__status"));
  expect(Object.keys(short)).toEqual(["activePort", "drainUntil", "lastSwitch"]);
  const long = await jsonOf(await proxy.admin("/__status?app=shop"));
  expect(long).not.toContainKeys(["stores", "providers"]);
  expect(await jsonOf(await proxy.admin("/__status?details=1"))).toEqual({ ...long, ...expected });
  expect(await jsonOf(await proxy.admin("/__metrics"))).toMatchObject(expected);
});

test("admin: with FAST_PATH the metrics hold the essential counters alone", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port, isFast: true });
  expect(Object.keys(await jsonOf(await proxy.admin("/__metrics"))).sort()).toEqual(
    ["startedAt", "inflight", "totalRequests", "totalProxyErrors"].sort(),
  );
});

test("admin: a target that is down counts as a proxy error, with its code and where it was", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port, holdMs: 200 });
  await (await fetch(proxy.origin)).text();
  await old.crash();
  expect((await fetch(proxy.origin)).status).toBe(503);
  expect(await jsonOf(await proxy.admin("/__metrics"))).toMatchObject({
    totalProxyErrors: expect.any(Number),
    lastProxyError: {
      code: expect.stringMatching(/^upstream_(unreachable|broken)$/),
      message: expect.any(String),
      target: old.port,
      at: expect.stringMatching(TIME),
    },
  });
  old.comeBack();
});

test("admin: a switch under way when the program stops ends with a no, and changes nothing", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  next.health = 503;
  const proxy = await startSwitchProxy({ port: old.port, policy: {} });
  const answer = post(proxy, `/__switch?port=${next.port}`);
  const { app, board } = proxy;
  await until(() => board.deskOf(app).running !== null);
  await proxy[Symbol.asyncDispose]();
  expect((await answer).status).toBe(503);
  expect(board.deskOf(app).record.lastSwitch).toBeNull();
});

test("admin guard: behind a trusted proxy the address counts that it names, and behind any other its own", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({
    port: old.port,
    admin: { allowlist: ["192.0.2.0/24"], trustedProxies: ["127.0.0.1", "10.0.0.0/8"] },
  });
  const status = async (forwardedFor: string | null) => {
    const named = forwardedFor === null ? {} : { "x-forwarded-for": forwardedFor };
    const answer = await fetch(`${proxy.origin}/__status`, { headers: { ...TOKEN, ...named } });
    const { message = null } = await jsonOf(answer);
    return [answer.status, message];
  };
  expect(await status("192.0.2.1")).toEqual([200, null]);
  expect(await status("203.0.113.9, 192.0.2.1:4711, 10.1.1.1")).toEqual([200, null]);
  const refused = "is not in ADMIN_ALLOWLIST";
  // Whoever the client says it was asked by: only what proxies add counts.
  expect(await status("192.0.2.1, 203.0.113.9")).toEqual([403, `203.0.113.9 ${refused}`]);
  expect(await status("192.0.2.1, nonsense")).toEqual([403, `This client ${refused}`]);
  expect(await status(null)).toEqual([403, `127.0.0.1 ${refused}`]);
});

test("admin guard: without a token, reading through a proxy is refused in words that fit", async () => {
  await using old = startTarget("old");
  await using proxy = await startSwitchProxy({ port: old.port, admin: { token: null } });
  const headers = { "x-forwarded-for": "192.0.2.1" };
  const answer = await fetch(`${proxy.origin}/__status`, { headers });
  expect(await jsonOf(answer)).toMatchObject({
    message: expect.stringMatching(/^Without ADMIN_TOKEN nobody is let in through a proxy: /),
  });
});

test("admin: a refusal names the statuses that were expected, where they are others than 2xx", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  const gate = {
    method: "GET",
    host: null,
    successes: 1,
    timeoutMs: 100,
    path: "/health",
  } as const;
  await using proxy = await startSwitchProxy({
    port: old.port,
    policy: {
      gate: {
        ...gate,
        statuses: [
          [204, 204],
          [300, 399],
          [410, 412],
        ],
      },
    },
  });
  const answer = await post(proxy, `/__switch?port=${next.port}`);
  expect(await jsonOf(answer)).toMatchObject({
    message: `Port ${next.port} did not respond with 204 or 3xx or 410-412 at /health`,
  });
});
