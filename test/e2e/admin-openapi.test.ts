/** The whole API of the compiled program, held against its own description: neither may know anything that the other does not. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import type { Body } from "../support/apps-world.ts";
import { everythingApp } from "../support/everything-app.ts";
import { createOpenApiChecker, type OpenApiChecker } from "../support/openapi-checker.ts";
import { makeFolder, type RunningPaastis, startPaastis } from "../support/start-paastis.ts";
import { startTarget } from "../support/switch-targets.ts";

const TOKEN = "a-token-of-a-test";
const RATE_LIMIT = 20;
/** Any of them may ask; each request comes from another one, so that none comes too often. */
const ALLOWED = "10.0.0.0/8";
const STRANGER = "192.0.2.7";
const NAVIGATION = { accept: "text/html", "sec-fetch-mode": "navigate" };

/** What is described and cannot be made to happen here, and why. */
const NOT_SEEN: readonly (readonly [what: RegExp, because: string])[] = [
  [/ 413$/, "nobody sends so much"],
  [/ 500 /, "nothing is broken here, and the disk has room"],
  [/^GET \/__ready 503 /, "the program has started before its port is known"],
  [/^GET \/__apps\/stream 503 /, "a hundred streams would have to be open"],
  [/^GET \/__events 503 /, "the events are in a file that is there"],
  [/^POST \/__(switch|deploy) 503 /, "nothing stops while it is switched"],
];

interface Walk extends AsyncDisposable {
  readonly checker: OpenApiChecker;
  readonly paastis: RunningPaastis;
  readonly complaints: string[];
  /** Asks as an operator over TCP. @returns its status, and the JSON that it holds */
  ask(
    request: string,
    init?: Asked | undefined,
  ): Promise<{ status: number; body: Body; headers: Headers }>;
}

interface Asked {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Who asks. Left out: somebody who has not asked yet. */
  readonly from?: string;
  /** Left out: the right one; `null`: none. */
  readonly token?: string | null;
  /** The path of a socket, in place of the port. */
  readonly unix?: string;
}

async function startWalk(engine: string, port: number): Promise<Walk> {
  const folder = makeFolder();
  const config = [
    `apps:\n${everythingApp("shop")}${everythingApp("den")}`,
    "  broken: { provider: process, command: exit 3 }",
    `  site: { provider: ports, port: ${port} }`,
    `  stream: { provider: ports, port: ${port} }`,
    "rules:\n  - pattern: ^shop$\n    wake: { ignore: [{ user_agents: [UptimeRobot], status: 200 }] }\n",
  ].join("\n");
  const paastis = await startPaastis({
    folder,
    config,
    env: {
      ENGINE: engine,
      PROVIDER_NAME: "process,ports",
      ADMIN_TOKEN: TOKEN,
      ADMIN_RATE_LIMIT: String(RATE_LIMIT),
      ADMIN_ALLOWLIST: ALLOWED,
      ADMIN_UNIX_SOCKET: join(folder, "admin.sock"),
      TRUSTED_PROXIES: "127.0.0.1",
      HEALTH_TIMEOUT_MS: "500",
      PRICE_PER_HOUR: "0.1",
      DEBUG_UPSTREAM: "1",
      WEBHOOK_URLS: `http://127.0.0.1:${port}/hook`,
      START_AND_STOP_MAX_IDLE_TIME: "60",
    },
  });
  let asked = 0;
  const complaints: string[] = [];
  const send = async (request: string, init: Asked = {}) => {
    const [method = "", path = ""] = request.split(" ");
    asked += 1;
    const from = init.from ?? `10.1.${asked >> 8}.${asked & 255}`;
    const { token = TOKEN } = init;
    const answer = await fetch(`http://127.0.0.1:${paastis.port}${path}`, {
      method,
      redirect: "manual",
      headers: {
        "x-forwarded-for": from,
        ...(token !== null && { "x-admin-token": token }),
        ...init.headers,
      },
      ...(init.body !== undefined && { body: init.body }),
      ...(init.unix !== undefined && { unix: init.unix }),
    });
    return { method, path, answer };
  };
  const document: Body = await (await send("GET /__openapi.json")).answer.json();
  const checker = createOpenApiChecker(document);
  return {
    checker,
    paastis,
    complaints,
    async ask(request, init = {}) {
      const { method, path, answer } = await send(request, init);
      const { status, headers } = answer;
      const { complaints: own, text } = await checker.check({ method, path, answer });
      complaints.push(...own);
      const isJson = headers.get("content-type")?.includes("json") === true && text !== "";
      return { status, headers, body: isJson ? JSON.parse(text) : null };
    },
    [Symbol.asyncDispose]: () => paastis[Symbol.asyncDispose](),
  };
}

/** What operators ask for, and what it is answered with: with the right and with the wrong parameters. */
const READ: readonly (readonly [request: string, status: number, init?: Asked])[] = [
  ["GET /__live", 200],
  ["GET /__ready", 200],
  ["GET /__status", 200],
  ["GET /__status?app=shop&details=1", 200],
  ["GET /__status?details=1", 200],
  ["GET /__status?details=2", 400],
  ["GET /__status?app=nobody", 404],
  ["GET /__metrics", 400],
  ["GET /__metrics?app=shop", 200],
  ["GET /__metrics?app=site", 200],
  ["GET /__metrics?app=nobody", 404],
  ["GET /__metrics?format=prometheus", 200],
  ["GET /__metrics?format=openmetrics&app=shop", 200],
  ["GET /__metrics?format=bogus", 400],
  ["GET /__metrics", 200, { headers: { accept: "text/plain" } }],
  ["GET /__health?app=site", 200],
  ["GET /__health?app=broken", 503],
  ["GET /__health", 400],
  ["GET /__health?app=site&app=shop", 400],
  ["GET /__health?app=nobody", 404],
  ["GET /__apps", 200],
  ["GET /__apps?search=s&phase=asleep&provider=process&sort=sleepsAt&page=1&size=2", 200],
  ["GET /__apps?page=0", 400],
  ["GET /__apps?search=shop&search=slow", 400],
  ["GET /__apps/shop", 200],
  ["GET /__apps/site", 200],
  ["GET /__apps/nobody", 404],
  ["GET /__apps/%zz", 400],
  ["GET /__apps/stream", 200],
  ["GET /__apps/stream", 200, { headers: { accept: "text/event-stream" } }],
  ["GET /__events", 200],
  ["GET /__events?app=shop&name=APP_STARTED&since=2h&after=0&limit=10", 200],
  ["GET /__events?id=no-such-one", 200],
  ["GET /__events?limit=5", 200, { headers: { "last-event-id": "0" } }],
  ["GET /__events", 200, { headers: { accept: "text/event-stream", "last-event-id": "0" } }],
  ["GET /__events?since=2026-02-31T00:00:00Z", 400],
  ["GET /__explain?url=shop.example&method=POST&user_agent=curl&accept=*/*&prefetch=1", 200],
  ["GET /__explain?url=/foo", 400],
  ["GET /__sweep?dry_run=1", 200],
  ["GET /__sweep?dry_run=2", 400],
  ["GET /__config", 200],
  ["GET /__savings", 200],
  ["GET /__openapi.json", 200],
  ["GET /__docs", 200],
  ["GET /__/", 200],
  ["GET /__/apps/shop", 200],
  ["GET /__/apps/%zz", 400],
  ["GET /__/dashboard.js", 200],
  ["GET /__/dashboard.css", 200],
  ["GET /__/icon.svg", 200],
  ["GET /__/login?next=/__docs", 200],
];

/** In this order. */
const CHANGES = (next: number): readonly (readonly [string, number, Asked?])[] => [
  ["POST /__apps/shop/wake?wait=20s", 200],
  ["POST /__apps/den/wake", 202],
  ["POST /__apps/broken/wake?wait=20s", 503],
  ["POST /__apps/shop/wake?wait=soon", 400],
  ["POST /__apps/nobody/wake", 404],
  ["POST /__apps/shop/sleep?drain=1s", 200],
  ["POST /__apps/site/sleep", 409],
  ["POST /__apps/shop/sleep?drain=x", 400],
  ["POST /__apps/nobody/sleep", 404],
  ["POST /__apps/shop/keep-awake?for=1h", 200],
  ["POST /__apps/shop/keep-awake?until=2099-01-01T00:00:00Z", 400],
  ["POST /__apps/shop/keep-awake", 200, { body: '{"for":"2h"}' }],
  ["POST /__apps/nobody/keep-awake?for=1h", 404],
  ["POST /__apps/shop/pause?until=2099-01-01T00:00:00Z", 200],
  ["POST /__apps/shop/pause", 200, { body: '{"for":"1h"}', headers: JSON_TYPE }],
  ["POST /__apps/shop/pause?for=x", 400],
  ["POST /__apps/shop/pause", 400, { body: '{"fro":"1h"}' }],
  ["POST /__apps/nobody/pause?for=1m", 404],
  ["POST /__apps/shop/resume", 200],
  ["POST /__apps/shop/resume", 200, { body: "{no json", headers: JSON_TYPE }],
  ["POST /__apps/%zz/resume", 400],
  ["POST /__apps/nobody/resume", 404],
  ["POST /__sweep?dry_run=1", 200],
  ["POST /__sweep?dry_run=yes", 400],
  ["POST /__sweep", 200, { body: "{no json", headers: JSON_TYPE }],
  [
    `POST /__switch?app=site&port=${next}&host=127.0.0.1`,
    200,
    { headers: { "idempotency-key": "k" } },
  ],
  [`POST /__switch?app=site&port=${next}`, 200, { body: "{no json", headers: JSON_TYPE }],
  ["POST /__switch?app=site&port=1", 422, { headers: { "idempotency-key": "k" } }],
  ["POST /__switch?app=site&port=1", 409],
  ["POST /__switch?app=shop&port=1", 409],
  ["POST /__switch?app=site&port=x", 400],
  ["POST /__switch?app=nobody&port=1", 404],
  ["POST /__deploy?app=shop", 200, { body: "{no json", headers: JSON_TYPE }],
  ["POST /__deploy?app=broken", 409],
  ["POST /__deploy?app=site", 409],
  ["POST /__deploy", 400],
  ["POST /__deploy?app=nobody", 404],
  ["POST /__pause?app=shop", 200, { body: "{no json", headers: JSON_TYPE }],
  ["POST /__pause?app=shop&app=den", 400],
  ["POST /__pause?app=nobody", 404],
  ["POST /__resume?app=shop", 200, { body: "{no json", headers: JSON_TYPE }],
  ["POST /__resume?app=shop&app=den", 400],
  ["POST /__resume?app=nobody", 404],
  ["POST /__maintenance?app=den", 200],
  ["POST /__maintenance?app=den", 200, { body: '{"message":"Back at noon"}', headers: JSON_TYPE }],
  ["POST /__maintenance?app=den", 400, { body: "{no json", headers: JSON_TYPE }],
  ["POST /__maintenance?app=nobody", 404],
];

const JSON_TYPE = { "content-type": "application/json" };
const FORM = { "content-type": "application/x-www-form-urlencoded" };

/** As a browser does, and over the socket. */
async function logInAndOut({ ask, paastis }: Walk): Promise<void> {
  const host = `127.0.0.1:${paastis.port}`;
  const own = { ...FORM, accept: "text/html", origin: `http://${host}` };
  const logIn = async () => {
    const body = `token=${TOKEN}`;
    const opened = await ask("POST /__/login?next=/__docs", { token: null, body, headers: own });
    expect(opened.status).toBe(303);
    expect(opened.headers.get("location")).toBe("/__docs");
    const cookie = opened.headers.get("set-cookie")?.split(";")[0] ?? "";
    return { cookie, origin: own.origin };
  };
  for (const [token, headers, status] of [
    ["wrong", own, 401],
    ["wrong", { ...FORM, origin: own.origin }, 401],
    [TOKEN, { ...own, origin: "http://elsewhere.example" }, 403],
  ] as const) {
    const refused = await ask("POST /__/login", { token: null, body: `token=${token}`, headers });
    expect({ token, status: refused.status }).toEqual({ token, status });
  }
  const inside = { token: null, headers: await logIn() };
  expect((await ask("GET /__/login", inside)).status).toBe(200);
  expect((await ask("POST /__apps/shop/resume", inside)).status).toBe(200);
  const strange = { ...inside, headers: { ...inside.headers, origin: "http://elsewhere.example" } };
  expect((await ask("POST /__apps/shop/resume", strange)).status).toBe(403);
  expect((await ask("POST /__/logout", inside)).body).toEqual({ loggedOut: true });
  const asPage = { token: null, headers: { ...(await logIn()), accept: "text/html" } };
  expect((await ask("POST /__/logout", asPage)).status).toBe(303);
  expect((await ask("POST /__/logout", asPage)).status).toBe(200);

  const unix = join(paastis.folder, "admin.sock");
  for (const [request, status, body] of [
    ["GET /__/login", 200],
    ["POST /__/login", 204, `token=${TOKEN}`],
    ["POST /__/login", 403, "token=wrong"],
    ["POST /__/logout", 200],
  ] as const) {
    const answer = await ask(request, { unix, token: null, ...(body !== undefined && { body }) });
    expect({ request, status: answer.status }).toEqual({ request, status });
  }
}

/** Who may not is told so, wherever. */
async function turnAwayEverywhere({ ask, checker }: Walk): Promise<void> {
  const often = "10.9.9.9";
  for (let count = 0; count < RATE_LIMIT; count += 1) {
    await ask("GET /__apps", { from: often, token: "wrong" });
  }
  for (const { method, path } of checker.operations) {
    const one = `${method} ${path.replace("{app}", "shop")}`;
    const statuses: number[] = [];
    for (const headers of [{}, NAVIGATION]) {
      for (const init of [
        { token: "wrong" },
        { from: STRANGER },
        { from: often },
        ...(method === "GET" ? [{ token: null }] : []),
      ]) {
        statuses.push((await ask(one, { ...init, headers })).status);
      }
      const { status, headers: said } = await ask(one.replace(/^\w+/, "DELETE"), { headers });
      expect({ one, status, allow: said.get("allow") }).toEqual({
        one,
        status: 405,
        allow: expect.stringContaining(method),
      });
    }
    if (path === "/__live" || path === "/__ready") continue;
    expect({ one, statuses: statuses.slice(0, 3) }).toEqual({ one, statuses: [401, 403, 429] });
  }
}

test.each(["socket", "fetch"])(
  "openapi: whatever the program answers is described, and whatever is described is answered, %s engine",
  async (engine) => {
    await using old = startTarget("old");
    await using next = startTarget("next");
    await using walk = await startWalk(engine, old.port);
    const { ask, checker, complaints, paastis } = walk;
    await paastis.get("shop");
    for (const [request, status, init] of [...READ, ...CHANGES(next.port), ...READ]) {
      const answer = await ask(request, init);
      expect({ request, status: answer.status, body: answer.body }).toMatchObject({ status });
    }
    await logInAndOut(walk);
    await turnAwayEverywhere(walk);
    expect([...new Set(complaints)].slice(0, 20)).toEqual([]);
    const missing = checker.described.filter(
      (one) => !checker.seen.has(one) && !NOT_SEEN.some(([what]) => what.test(one)),
    );
    expect(missing).toEqual([]);
    expect(checker.parameters.filter((one) => !checker.sent.has(one))).toEqual([]);
  },
  120_000,
);
