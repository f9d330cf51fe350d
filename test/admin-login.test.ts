/** Logging in and out by a browser, and what apps see of it: over real connections, on both engines. */

import { describe, expect, test } from "bun:test";
import type { AdminConfig } from "../src/config.ts";
import type { Engine, EngineOptions } from "../src/engines/engine.ts";
import { createFetchEngine } from "../src/engines/fetch.ts";
import { createSocketEngine } from "../src/engines/socket.ts";
import { exchangeRaw } from "./support/raw-client.ts";
import { type SwitchProxy, startSwitchProxy } from "./support/switch-proxy.ts";

const TOKEN = "correct-horse-battery-staple";
const FORM = "application/x-www-form-urlencoded";

/** An app that says which headers it got. */
function startEcho() {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ headers, url }) => Response.json({ url: new URL(url).pathname, ...headers.toJSON() }),
  });
  return { port: server.port ?? 0, [Symbol.asyncDispose]: () => server.stop(true) };
}

const ENGINES: readonly (readonly [string, (options: EngineOptions) => Engine])[] = [
  ["socket", createSocketEngine],
  ["fetch", createFetchEngine],
];

describe.each(ENGINES)("log-in (%s engine)", (_name, createEngine) => {
  const start = (port: number, admin: Partial<AdminConfig> = {}) =>
    startSwitchProxy({
      port,
      createEngine,
      admin: { token: TOKEN, hosts: ["127.0.0.1"], rateLimit: 3, ...admin },
    });

  function ask(
    { origin }: SwitchProxy,
    path: string,
    init: RequestInit & { headers?: Record<string, string> } = {},
  ) {
    return fetch(origin + path, { redirect: "manual", ...init });
  }

  function logIn(proxy: SwitchProxy, token: string, query = "", headers: object = {}) {
    return ask(proxy, `/__/login${query}`, {
      method: "POST",
      body: new URLSearchParams({ user: "paastis", token }).toString(),
      headers: { "content-type": FORM, accept: "text/html", origin: proxy.origin, ...headers },
    });
  }

  const cookieIn = (response: Response) => response.headers.get("set-cookie") ?? "";
  const pairIn = (response: Response) => cookieIn(response).split(";")[0] ?? "";

  test("a page asks for the token; the right one opens a session, which can change things and be ended", async () => {
    await using app = startEcho();
    await using proxy = await start(app.port);
    const page = await ask(proxy, "/__/login");
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toContain("form-action 'self'");
    const html = await page.text();
    expect(html).toContain('<form method="post" action="/__/login?next=%2F__%2F">');
    expect(html).not.toContain("<script");

    const opened = await logIn(proxy, TOKEN);
    expect([opened.status, opened.headers.get("location")]).toEqual([303, "/__/"]);
    expect(cookieIn(opened)).toMatch(
      /^paastis-[0-9a-f]{8}=[\w.-]+; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
    );
    const cookie = pairIn(opened);
    expect((await ask(proxy, "/__status", { headers: { cookie } })).status).toBe(200);
    const pause = (headers: Record<string, string>) =>
      ask(proxy, "/__pause", { method: "POST", headers: { cookie, ...headers } });
    expect((await pause({ "sec-fetch-site": "cross-site" })).status).toBe(403);
    expect(proxy.app.pause).toBeNull();
    expect((await pause({ "sec-fetch-site": "same-origin" })).status).toBe(200);
    expect(proxy.app.pause).not.toBeNull();

    const headers = { cookie, origin: proxy.origin, accept: "text/html" };
    const stolen = await ask(proxy, "/__/logout", { method: "POST", headers: { cookie } });
    expect(stolen.status).toBe(403);
    const ended = await ask(proxy, "/__/logout", { method: "POST", headers });
    expect([ended.status, ended.headers.get("location")]).toEqual([303, "/__/login"]);
    expect(cookieIn(ended)).toMatch(/^paastis-[0-9a-f]{8}=; Path=\/; Max-Age=0;/);
    expect((await ask(proxy, "/__status", { headers: { cookie } })).status).toBe(401);
    const said = proxy.lines.map(({ message }) => message);
    expect(said).toContain("somebody has logged in");
    expect(JSON.stringify(proxy.lines)).not.toContain(TOKEN);
    expect(proxy.app.leases).toBe(0);
  });

  test("a wrong token opens nothing, says so on the page, and a few of them end the trying for a minute", async () => {
    await using app = startEcho();
    await using proxy = await start(app.port);
    for (const token of ["", "wrong", `${TOKEN} `]) {
      const answer = await logIn(proxy, token, "?next=/__docs");
      expect([answer.status, cookieIn(answer)]).toEqual([401, ""]);
      const html = await answer.text();
      expect(html).toContain('role="alert">That is not the token.');
      expect(html).toContain('action="/__/login?next=%2F__docs"');
    }
    const late = await logIn(proxy, TOKEN);
    expect([late.status, cookieIn(late)]).toEqual([429, ""]);
    expect(Number(late.headers.get("retry-after"))).toBeWithin(1, 61);
    const line = proxy.lines.find(({ level }) => level === "warn");
    expect(line).toMatchObject({
      fields: {
        client: "127.0.0.1",
        path: "/__/login",
        reason: "the token that was typed in is wrong",
      },
    });
  });

  test("tries that come all at once have the same limit as tries one after the other", async () => {
    await using app = startEcho();
    await using proxy = await start(app.port);
    const answers = await Promise.all(Array.from({ length: 20 }, () => logIn(proxy, "wrong")));
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([401, 401, 401, ...Array.from({ length: 17 }, () => 429)]);
  });

  test("right ones do not count", async () => {
    await using app = startEcho();
    await using proxy = await start(app.port);
    for (let count = 0; count < 8; count += 1) {
      expect((await logIn(proxy, TOKEN)).status).toBe(303);
    }
  });

  test("a form of another site is not read, so that it cannot use up anybody's tries", async () => {
    await using app = startEcho();
    await using proxy = await start(app.port);
    for (let count = 0; count < 5; count += 1) {
      const answer = await logIn(proxy, "wrong", "", { origin: "https://evil.example" });
      expect(answer.status).toBe(403);
    }
    expect((await logIn(proxy, TOKEN)).status).toBe(303);
  });

  test.each([
    ["?next=/__docs", "/__docs"],
    ["?next=%2F__apps%3Fpage%3D2", "/__apps?page=2"],
    ["?next=https://evil.example/", "/__/"],
    ["?next=//evil.example/__", "/__/"],
    ["?next=/__\\evil.example", "/__/"],
    ["?next=/", "/__/"],
    ["?next=/__/login", "/__/"],
    ["?next=/__%0d%0aset-cookie:x=y", "/__/"],
    [`?next=/__${"x".repeat(1000)}`, "/__/"],
  ])("after a log-in at %p the way leads to %p", async (query, where) => {
    await using app = startEcho();
    await using proxy = await start(app.port);
    expect((await logIn(proxy, TOKEN, query)).headers.get("location")).toBe(where);
  });

  test("whoever opens a page of ours without a session is sent to log in; from another site the page is asked for again first", async () => {
    await using app = startEcho();
    await using proxy = await start(app.port);
    const navigation = { accept: "text/html", "sec-fetch-mode": "navigate" };
    const open = (path: string, headers: Record<string, string> = {}) =>
      ask(proxy, path, { headers: { ...navigation, ...headers } });
    const direct = await open("/__/");
    expect([direct.status, direct.headers.get("location")]).toEqual([303, "/__/login"]);
    const deep = await open("/__docs?a=b");
    expect(deep.headers.get("location")).toBe("/__/login?next=%2F__docs%3Fa%3Db");
    const linked = await open("/__/?app=shop", { "sec-fetch-site": "cross-site" });
    expect(linked.status).toBe(200);
    expect(await linked.text()).toContain('http-equiv="refresh" content="0;url=/__/?app=shop"');
    expect((await open("/__status")).status).toBe(401);
  });

  test("by TLS, or where a trusted proxy says so, the cookie is for TLS alone", async () => {
    await using app = startEcho();
    const secure =
      /^__Host-paastis-[0-9a-f]{8}=[\w.-]+; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure$/;
    {
      await using proxy = await start(app.port, { isTls: true });
      expect(cookieIn(await logIn(proxy, TOKEN))).toMatch(secure);
    }
    const claims = { "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https" };
    {
      await using proxy = await start(app.port, { trustedProxies: ["127.0.0.1"] });
      expect(cookieIn(await logIn(proxy, TOKEN, "", claims))).toMatch(secure);
    }
    await using proxy = await start(app.port);
    expect(cookieIn(await logIn(proxy, TOKEN, "", claims))).not.toContain("Secure");
  });

  test("an app sees nothing of our token and of our sessions, and all that is its own", async () => {
    await using app = startEcho();
    await using proxy = await start(app.port);
    const cookie = pairIn(await logIn(proxy, TOKEN));
    const seen = async (headers: Record<string, string>) => {
      const answer = await ask(proxy, "/x", { headers });
      // The app answers with an object of texts.
      const all = (await answer.json()) as Record<string, string | undefined>;
      return [all["x-admin-token"], all.authorization, all.cookie];
    };
    const none = [undefined, undefined, undefined];
    expect(await seen({ "x-admin-token": TOKEN })).toEqual(none);
    expect(await seen({ authorization: `Bearer ${TOKEN}` })).toEqual(none);
    expect(await seen({ cookie })).toEqual(none);
    expect(await seen({ cookie: `a=1; ${cookie}; b=2` })).toEqual([
      undefined,
      undefined,
      "a=1; b=2",
    ]);
    expect(await seen({ cookie: `__Host-${cookie};b=2` })).toEqual([undefined, undefined, "b=2"]);
    const own = {
      "x-admin-token": "the app's own",
      authorization: "Bearer of-the-app",
      cookie: "paastis-theme=dark;x;  y=1; paastis-0123456789=1",
    };
    expect(await seen(own)).toEqual([own["x-admin-token"], own.authorization, own.cookie]);
    const basic = `Basic ${btoa("user:pass")}`;
    expect(await seen({ authorization: basic })).toEqual([undefined, basic, undefined]);
  });

  test("a refused request for an app's own path reaches the app as it came", async () => {
    await using app = startEcho();
    await using proxy = await start(app.port, { hosts: [] });
    const answer = await ask(proxy, "/__vite_ping?x=1", { headers: { "x-admin-token": "mine" } });
    expect(await answer.json()).toMatchObject({ url: "/__vite_ping", "x-admin-token": "mine" });
  });
});

describe("the unix socket", () => {
  test("asks for no token, has no limit, and heeds no site: whoever can open it may do everything", async () => {
    await using app = startEcho();
    await using proxy = await startSwitchProxy({
      port: app.port,
      admin: { token: TOKEN, rateLimit: 1, allowlist: [] },
    });
    const unix = proxy.socketPath;
    const ask = (path: string, init: RequestInit = {}) =>
      fetch(`http://a${path}`, { unix, redirect: "manual", ...init });
    const senders = [
      {},
      { "x-admin-token": "wrong" },
      { authorization: "Bearer wrong" },
      { cookie: "paastis-01234567=x" },
      {
        "x-forwarded-for": "203.0.113.1",
        origin: "https://evil.example",
        "sec-fetch-site": "cross-site",
      },
    ];
    for (const headers of senders) {
      expect((await ask("/__status", { headers })).status).toBe(200);
      for (let count = 0; count < 5; count += 1) {
        expect((await ask("/__resume", { method: "POST", headers })).status).toBe(200);
      }
    }
    const live = await ask("/__live");
    expect([live.status, await live.text()]).toEqual([200, '{"live":true}']);
    expect(await (await ask("/__ready")).json()).toEqual({ ready: true });
    expect(live.headers.get("x-content-type-options")).toBe("nosniff");
    expect(live.headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
  });

  test("a host as short as can be leads to the same endpoints", async () => {
    await using app = startEcho();
    await using proxy = await startSwitchProxy({ port: app.port });
    for (const host of ["a", "ab", "abc", "abcd", "localhost"]) {
      const { status } = await fetch(`http://${host}/__status`, { unix: proxy.socketPath });
      expect({ host, status }).toEqual({ host, status: 200 });
    }
  });
});

test("headers: a header that a client declares to be for one connection stays behind, whoever's token is in it", async () => {
  await using app = startEcho();
  await using proxy = await startSwitchProxy({ port: app.port, admin: { token: TOKEN } });
  const head = "GET /x HTTP/1.1\r\nHost: shop.example\r\nConnection: close, x-admin-token\r\n";
  const answer = await exchangeRaw(proxy.port, `${head}X-Admin-Token: the app's own\r\n\r\n`);
  expect(JSON.parse(answer.body)).not.toHaveProperty("x-admin-token");
  const { body } = await exchangeRaw(
    proxy.port,
    "GET /x HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nX-Admin-Token: the app's own\r\n\r\n",
  );
  expect(JSON.parse(body)).toMatchObject({ "x-admin-token": "the app's own" });
});
