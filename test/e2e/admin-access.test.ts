/** The admin endpoints of the compiled program, from outside: who is let in, and by what. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join, resolve } from "node:path";
import {
  accessibilityFaults,
  CHROMIUM,
  type Chromium,
  photograph,
  startChromium,
} from "../support/chromium.ts";
import { type RunningPaastis, startPaastis, untilInFlight } from "../support/start-paastis.ts";

const TOKEN = "a-token-of-these-tests";
const ECHO = resolve(import.meta.dir, "../support/apps/echo-headers.ts");
const APP = `apps: { shop: { command: "exec ${process.execPath} --no-install ${ECHO}" } }\n`;

type Headers = Record<string, string>;

function ask(
  { port }: RunningPaastis,
  path: string,
  { method = "GET", headers = {} as Headers, body = undefined as string | undefined } = {},
): Promise<Response> {
  const init = body === undefined ? {} : { body };
  return fetch(`http://127.0.0.1:${port}${path}`, { method, headers, redirect: "manual", ...init });
}

function viaSocket({ folder }: RunningPaastis, path: string, init: RequestInit = {}) {
  return fetch(`http://a${path}`, { unix: join(folder, ".paastis", "admin.sock"), ...init });
}

async function logIn(paastis: RunningPaastis, token: string): Promise<Response> {
  return await ask(paastis, "/__/login", {
    method: "POST",
    body: new URLSearchParams({ token }).toString(),
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      accept: "text/html",
      origin: `http://127.0.0.1:${paastis.port}`,
    },
  });
}

test("without ADMIN_TOKEN the log has a token and where it opens the dashboard; reading what was always read needs none", async () => {
  await using paastis = await startPaastis({ config: APP });
  const line = paastis.lines.find(({ dashboard }) => typeof dashboard === "string");
  expect(line?.dashboard).toBe(`http://127.0.0.1:${paastis.port}/__/`);
  const token = /with the token ([0-9a-f]{40})$/.exec(line?.msg ?? "")?.[1] ?? "";
  expect(token).not.toBe("");
  expect(paastis.lines.filter(({ msg }) => msg.includes(token))).toHaveLength(1);

  expect((await ask(paastis, "/__status")).status).toBe(200);
  expect((await ask(paastis, "/__apps")).status).toBe(401);
  expect((await ask(paastis, "/__pause", { method: "POST" })).status).toBe(403);
  const headers = { authorization: `Bearer ${token}` };
  expect((await ask(paastis, "/__apps", { headers })).status).toBe(200);
  expect((await ask(paastis, "/__pause", { method: "POST", headers })).status).toBe(200);
  expect((await viaSocket(paastis, "/__resume", { method: "POST" })).status).toBe(200);

  const opened = await logIn(paastis, token);
  expect([opened.status, opened.headers.get("location")]).toEqual([303, "/__/"]);
  const cookie = opened.headers.get("set-cookie")?.split(";")[0] ?? "";
  expect((await ask(paastis, "/__apps", { headers: { cookie } })).status).toBe(200);
});

test("a smaller matrix: each credential opens the same as in process", async () => {
  const env = { ADMIN_TOKEN: TOKEN, ADMIN_HOST: "shop.admin.example", ADMIN_RATE_LIMIT: "100" };
  await using paastis = await startPaastis({ config: APP, env });
  expect(paastis.lines.filter(({ dashboard }) => dashboard !== undefined)).toEqual([]);
  const cookie = (await logIn(paastis, TOKEN)).headers.get("set-cookie")?.split(";")[0] ?? "";
  const credentials: Record<string, Headers> = {
    none: {},
    wrong: { "x-admin-token": "wrong" },
    header: { "x-admin-token": TOKEN },
    bearer: { authorization: `Bearer ${TOKEN}` },
    session: { cookie, "sec-fetch-site": "same-origin" },
    "session, from another site": { cookie, "sec-fetch-site": "cross-site" },
  };
  const hosts = [`127.0.0.1:${paastis.port}`, "shop.admin.example", "shop.example"];
  const seen: Record<string, unknown> = {};
  for (const [name, headers] of Object.entries(credentials)) {
    const row: unknown[] = [];
    for (const host of hosts) {
      for (const method of ["GET", "POST"]) {
        const path = method === "GET" ? "/__apps" : "/__apps/shop/wake";
        const answer = await ask(paastis, path, { method, headers: { ...headers, host } });
        const text = await answer.text();
        row.push(text.includes('"path":"/__apps') ? "app" : answer.status);
      }
    }
    seen[name] = row.join(" ");
  }
  expect(seen).toEqual({
    none: "401 401 401 401 app app",
    wrong: "401 401 401 401 app app",
    header: "200 200 200 200 200 200",
    bearer: "200 200 200 200 200 200",
    session: "200 200 200 200 200 200",
    "session, from another site": "200 403 200 403 200 403",
  });
  const refused = paastis.lines.filter(({ msg }) => msg === "an admin request is refused");
  expect(refused).toHaveLength(1);
  expect(JSON.stringify(paastis.lines)).not.toContain(TOKEN);
});

test("an app gets its own paths and headers, and neither our token nor our cookie", async () => {
  const env = { ADMIN_TOKEN: TOKEN };
  await using paastis = await startPaastis({ config: APP, env });
  const cookie = (await logIn(paastis, TOKEN)).headers.get("set-cookie")?.split(";")[0] ?? "";
  const headers = { "x-admin-token": TOKEN, cookie: `${cookie}; own=1` };
  const seen = (await (await paastis.get("shop", { path: "/x", headers })).json()) as Headers;
  expect([seen.path, seen["x-admin-token"], seen.cookie]).toEqual(["/x", undefined, "own=1"]);
  const own = await paastis.get("shop", { path: "/__next?x", headers: { "x-admin-token": "own" } });
  expect(await own.json()).toMatchObject({ path: "/__next", "x-admin-token": "own" });
});

test("orchestrators learn without a token whether it lives and is ready", async () => {
  const env = { ADMIN_TOKEN: TOKEN, ADMIN_ALLOWLIST: "192.0.2.1", DEFAULT_APP: "shop" };
  await using paastis = await startPaastis({ config: APP, env });
  const live = await ask(paastis, "/__live");
  expect([live.status, await live.text()]).toEqual([200, '{"live":true}']);
  const ready = await ask(paastis, "/__ready");
  expect([ready.status, await ready.text()]).toEqual([200, '{"ready":true}']);
  expect((await ask(paastis, "/__status")).status).toBe(403);
});

test("once it is told to stop it is not ready any more, while it finishes what is under way", async () => {
  await using paastis = await startPaastis({ config: APP, env: { ADMIN_TOKEN: TOKEN } });
  await (await paastis.get("shop")).text();
  const under = paastis.get("shop", { path: "/slow" });
  await untilInFlight(paastis, "shop", 1);
  paastis.signal("SIGTERM");
  await paastis.untilLine(({ msg }) => msg.startsWith("stopping"));
  const ready = await viaSocket(paastis, "/__ready");
  expect([ready.status, await ready.json()]).toEqual([503, { ready: false }]);
  expect((await viaSocket(paastis, "/__live")).status).toBe(200);
  expect((await under).status).toBe(200);
});

describe.skipIf(CHROMIUM === null)("a browser", () => {
  let browser: Chromium;
  beforeAll(async () => {
    browser = await startChromium();
  });
  afterAll(() => browser?.[Symbol.asyncDispose]());

  test.each([true, false])(
    "logs in by the form and out again, with JavaScript: %p",
    async (javaScriptEnabled) => {
      const env = { ADMIN_TOKEN: TOKEN, ADMIN_RATE_LIMIT: "20" };
      await using paastis = await startPaastis({ config: APP, env });
      await using visitor = await browser.visitor(javaScriptEnabled ? {} : { javaScriptEnabled });
      const { page } = visitor;
      const origin = `http://localhost:${paastis.port}`;
      await page.goto(`${origin}/__docs`);
      expect(page.url()).toBe(`${origin}/__/login?next=%2F__docs`);
      await page.getByLabel("Admin token").fill("wrong");
      await page.getByRole("button", { name: "Log in" }).click();
      expect(await page.getByRole("alert").textContent()).toBe("That is not the token.");
      await page.getByLabel("Admin token").fill(TOKEN);
      await page.keyboard.press("Enter");
      await page.waitForURL(`${origin}/__docs`);
      const [cookie] = await page.context().cookies();
      expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict", secure: false });
      // From elsewhere the cookie stays behind at first: nobody is asked to log in again for that.
      await page.goto(`data:text/html,<a href="${origin}/__status">go</a>`);
      await page.goto(`http://127.0.0.1:${paastis.port}/__/login`);
      await page.setContent(`<a href="${origin}/__docs">go</a>`);
      await page.getByText("go").click();
      await page.waitForURL(`${origin}/__docs`);
      expect(await page.title()).not.toBe("Log in to Paastis");
      await page.goto(`${origin}/__status?app=shop`);
      expect(await page.textContent("body")).toContain('"app":"shop"');
      await page.goto(`${origin}/__/login`);
      await page.getByRole("button", { name: "Log out" }).click();
      await page.waitForURL(`${origin}/__/login`);
      expect(await page.title()).toBe("Log in to Paastis");
      expect(await page.context().cookies(origin)).toEqual([]);
      expect(visitor.complaints).toEqual([]);
    },
  );

  test("a page of ours may change things, a neighbour of the same site may not", async () => {
    await using paastis = await startPaastis({ config: APP, env: { ADMIN_TOKEN: TOKEN } });
    await using neighbour = await startPaastis({
      config: APP,
      env: { ADMIN_TOKEN: "another-token-entirely" },
    });
    // What keeps our pages from asking anybody is not what is to be seen here.
    await using visitor = await browser.visitor({ bypassCSP: true });
    const { page } = visitor;
    const origin = `http://localhost:${paastis.port}`;
    const logInAt = async (where: string, token: string) => {
      await page.goto(`${where}/__/login?next=/__status`);
      await page.getByLabel("Admin token").fill(token);
      await page.keyboard.press("Enter");
      await page.waitForURL(`${where}/__status`);
    };
    await logInAt(origin, TOKEN);
    const pause = (to: string) =>
      page.evaluate(async (url) => {
        const answer = await fetch(url, { method: "POST", credentials: "include" }).catch(
          () => null,
        );
        return answer?.status ?? "refused";
      }, `${to}/__pause?app=shop`);
    const paused = async () => {
      const status = (await (await viaSocket(paastis, "/__status?app=shop")).json()) as {
        pause: unknown;
      };
      return status.pause !== null;
    };
    // Both are of one site, as cookies see it: another port makes no difference.
    await logInAt(`http://localhost:${neighbour.port}`, "another-token-entirely");
    expect(await pause(origin)).toBe("refused");
    expect(await paused()).toBe(false);
    expect(paastis.lines.find(({ path }) => path === "/__pause")).toMatchObject({
      reason: expect.stringContaining("A page of another site"),
    });
    await page.goto(`${origin}/__status`);
    expect(await pause(origin)).toBe(200);
    expect(await paused()).toBe(true);
  });

  test("the page for the token is fit for everybody, in light and in dark", async () => {
    await using paastis = await startPaastis({ config: APP, env: { ADMIN_TOKEN: TOKEN } });
    for (const colorScheme of ["light", "dark"] as const) {
      await using visitor = await browser.visitor({
        colorScheme,
        viewport: { width: 375, height: 700 },
      });
      await visitor.page.goto(`http://localhost:${paastis.port}/__/login`);
      expect(await accessibilityFaults(visitor.page)).toEqual([]);
      expect(visitor.complaints).toEqual([]);
      await photograph(visitor.page, `log-in-${colorScheme}`);
    }
  });
});
