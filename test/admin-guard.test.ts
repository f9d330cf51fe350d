/** The guard of the admin endpoints: whose a path is on which host, limits, probes, what is logged, and how it is sent. */

import { describe, expect, test } from "bun:test";
import type { AdminConfig } from "../src/config.ts";
import type { Answer } from "../src/engines/engine.ts";
import {
  ADMIN_TOKEN,
  answerHeader,
  type GuardedEntry,
  guardedEntry,
  outcomeOf,
} from "./support/admin-entry.ts";
import { headFor, NAVIGATION } from "./support/request-head.ts";

type Outcome = number | "app" | "ok";
type Headers = Readonly<Record<string, string>>;

const WRONG = { "x-admin-token": "wrong" };
const RIGHT = { "x-admin-token": ADMIN_TOKEN };

function ask(
  entry: GuardedEntry,
  target: string,
  { host = "10.0.0.1", method = "GET", from = "127.0.0.1", headers = {} as Headers } = {},
): Outcome {
  return outcomeOf(entry, headFor(host, { method, target, clientAddress: from, headers }));
}

function answerTo(
  entry: GuardedEntry,
  target: string,
  options: { method?: string; host?: string; headers?: Headers; from?: string } = {},
): Answer {
  const { host = "10.0.0.1", method = "GET", headers = {}, from = "127.0.0.1" } = options;
  const decision = entry.admit(headFor(host, { method, target, clientAddress: from, headers }));
  if (decision?.kind !== "answer") throw new Error("it was not answered");
  return decision.answer;
}

describe("hosts", () => {
  const sole: Partial<AdminConfig> = { soleApp: "shop" };
  test.each<[string, string, Partial<AdminConfig>, boolean, readonly Outcome[]]>([
    // What there is, the host, the configuration, whether there is an app for all other hosts:
    // `/__status`, `/__live`, `/__ready`, `/__apps`, `/__` without any credential.
    ["an address", "10.0.0.1:3000", {}, false, [401, 200, 200, 401, 401]],
    ["an address of IPv6", "[fd00::1]:3000", {}, false, [401, 200, 200, 401, 401]],
    ["a name of nobody", "nobody.example", {}, false, [401, 200, 200, 401, 401]],
    ["a very short name", "a", {}, false, [401, 200, 200, 401, 401]],
    ["an app's host", "shop.example", {}, false, ["app", "app", "app", "app", "app"]],
    ["no host", "", {}, false, ["app", "app", "app", "app", "app"]],
    ["nonsense", "a b", {}, false, ["app", "app", "app", "app", "app"]],
    ["an address, with an app for it", "10.0.0.1", {}, true, [401, 200, 200, "app", "app"]],
    ["a name, with an app for it", "nobody.example", {}, true, [401, "app", "app", "app", "app"]],
    [
      "a name of ADMIN_HOST",
      "Shop.Admin.example.:3000",
      { hosts: ["shop.admin.example"] },
      true,
      [401, 200, 200, 401, 401],
    ],
    [
      "a neighbour of ADMIN_HOST",
      "shop.admin.example.evil",
      { hosts: ["shop.admin.example"] },
      true,
      ["app", "app", "app", "app", "app"],
    ],
    [
      "an address of ADMIN_HOST",
      "[fd00::1]:3000",
      { hosts: ["fd00::1"] },
      true,
      [401, 200, 200, 401, 401],
    ],
    ["any name of the only app", "shop.example", sole, true, [401, "app", "app", "app", "app"]],
    ["an address of the only app", "10.0.0.1", sole, true, [401, 200, 200, "app", "app"]],
  ])(
    "on %s what begins as ours do is whose it is",
    (_what, host, config, hasDefaultApp, outcomes) => {
      const paths = ["/__status", "/__live", "/__ready", "/__apps", "/__"];
      const entry = guardedEntry(config, { hasDefaultApp });
      expect(paths.map((path) => ask(entry, path, { host }))).toEqual([...outcomes]);
      const granted = paths.map((path) => ask(entry, path, { host, headers: RIGHT }));
      expect(granted.filter((outcome) => outcome === "app").length).toBe(
        host === "" || host === "a b" ? 5 : 0,
      );
    },
  );

  test("while apps are not listed yet a name may be one's, but for this machine's own", () => {
    const entry = guardedEntry({}, { isSettled: () => false });
    expect(ask(entry, "/__apps", { host: "nobody.example" })).toBe("app");
    expect(ask(entry, "/__apps", { host: "localhost:3000" })).toBe(401);
    expect(ask(entry, "/__apps", { host: "10.0.0.1" })).toBe(401);
    expect(ask(entry, "/__status", { host: "nobody.example" })).toBe(401);
  });
});

describe("probes", () => {
  test("anybody may ask whether it lives and whether it is ready, by reading alone, and reads nothing else", () => {
    const entry = guardedEntry();
    const from = "203.0.113.5";
    const live = answerTo(entry, "/__live?x=1", { from });
    expect([live.status, live.body]).toEqual([200, '{"live":true}']);
    expect(answerTo(entry, "/__ready", { from }).body).toBe('{"ready":true}');
    entry.isReady = false;
    const busy = answerTo(entry, "/__ready", { from });
    expect([busy.status, busy.body]).toEqual([503, '{"ready":false}']);
    expect(answerTo(entry, "/__live", { from }).status).toBe(200);
    expect(ask(entry, "/__live", { from, method: "HEAD" })).toBe(200);
    expect(ask(entry, "/__live", { from, method: "POST" })).toBe(405);
    expect(ask(entry, "/__live/", { from })).toBe(403);
    expect(entry.lines.map(({ fields }) => fields.path)).toEqual(["/__live/"]);
  });
});

describe("limits", () => {
  test("after ten wrong tokens within a minute none of that address is looked at, not even a right one", () => {
    const entry = guardedEntry();
    for (let count = 0; count < 10; count += 1) {
      expect(ask(entry, "/__apps", { headers: WRONG })).toBe(401);
      entry.nowMs += 1000;
    }
    expect(ask(entry, "/__apps", { headers: RIGHT })).toBe(429);
    expect(ask(entry, "/__status", { headers: RIGHT })).toBe(429);
    const refused = answerTo(entry, "/__apps", { headers: WRONG });
    const head = headFor("10.0.0.1", {
      target: "/__apps",
      clientAddress: "127.0.0.1",
      headers: WRONG,
    });
    expect(answerHeader(entry.admit(head), "retry-after")).toBe("50");
    expect(JSON.parse(String(refused.body))).toMatchObject({ code: "admin_limited", status: 429 });
    expect(ask(entry, "/__apps", { headers: RIGHT, from: "::1" })).toBe("ok");
    entry.nowMs += 50_000;
    expect(ask(entry, "/__apps", { headers: RIGHT })).toBe("ok");
    expect(ask(entry, "/__apps", { headers: WRONG })).toBe(401);
    expect(ask(entry, "/__apps", { headers: RIGHT })).toBe(429);
  });

  test("an open session is not shut out by wrong tokens of its address, and reading has no limit", () => {
    const entry = guardedEntry();
    const cookie = `${entry.sessions.cookieName(false)}=${entry.sessions.open()}`;
    for (let count = 0; count < 20; count += 1) ask(entry, "/__apps", { headers: WRONG });
    for (let count = 0; count < 50; count += 1) {
      expect(ask(entry, "/__apps", { headers: { cookie } })).toBe("ok");
    }
  });

  test("ten changes within a minute are made, the next is told when; those of others are not held up", () => {
    const entry = guardedEntry({ allowlist: ["2001:db8::/32", "127.0.0.1"] });
    const change = (from: string) =>
      ask(entry, "/__apps/shop/wake", { method: "POST", headers: RIGHT, from });
    for (let count = 0; count < 10; count += 1) expect(change("2001:db8:0:1::1")).toBe("ok");
    expect(change("2001:db8::1:0:0:0:2")).toBe(429);
    expect(ask(entry, "/__apps", { headers: RIGHT, from: "2001:db8:0:1::1" })).toBe("ok");
    expect(change("2001:db8:0:2::1")).toBe("ok");
    expect(change("127.0.0.1")).toBe("ok");
    // What was refused does not count.
    entry.nowMs += 59_999;
    expect(change("2001:db8:0:1::1")).toBe(429);
    entry.nowMs += 1;
    expect(change("2001:db8:0:1::1")).toBe("ok");
  });

  test("ADMIN_RATE_LIMIT says how many", () => {
    const entry = guardedEntry({ rateLimit: 2 });
    const change = () => ask(entry, "/__pause", { method: "POST", headers: RIGHT });
    expect([change(), change(), change()]).toEqual(["ok", "ok", 429]);
  });

  test("on an app's host guesses have a limit as well, and none of them is told from what is the app's", () => {
    const entry = guardedEntry();
    const guess = (text: string) =>
      ask(entry, "/__apps", { host: "shop.example", headers: { authorization: `Bearer ${text}` } });
    // An app's own token is one guess, however often it comes.
    for (let count = 0; count < 100; count += 1) expect(guess("the app's own")).toBe("app");
    expect(guess(ADMIN_TOKEN)).toBe("ok");
    for (let count = 0; count < 9; count += 1) expect(guess(`guess ${count}`)).toBe("app");
    expect(guess(ADMIN_TOKEN)).toBe("app");
    // That does not shut out who logs in where he is to.
    expect(ask(entry, "/__apps", { headers: RIGHT })).toBe("ok");
    entry.nowMs += 60_000;
    expect(guess(ADMIN_TOKEN)).toBe("ok");
    expect(entry.lines).toEqual([]);
  });
});

describe("what is logged", () => {
  test("a refusal is logged without what was sent, once per address and minute, with what was left unsaid", () => {
    const entry = guardedEntry();
    const secret = "hunter2-hunter2";
    for (let count = 0; count < 5; count += 1) {
      ask(entry, `/__apps?token=${secret}`, { headers: { "x-admin-token": secret } });
    }
    ask(entry, "/__apps", { headers: { authorization: `Bearer ${secret}` }, from: "::1" });
    expect(entry.lines.map(({ fields }) => fields.client)).toEqual(["127.0.0.1", "::1"]);
    expect(entry.lines[0]).toMatchObject({
      level: "warn",
      message: "an admin request is refused",
      fields: { path: "/__apps", method: "GET", reason: expect.stringContaining("x-admin-token") },
    });
    expect(entry.lines[1]?.fields).toMatchObject({ unsaid: 4 });
    entry.nowMs += 60_000;
    ask(entry, "/__apps", { headers: WRONG });
    expect(entry.lines).toHaveLength(3);
    expect(JSON.stringify(entry.lines)).not.toContain(secret);
  });

  test("however many addresses are refused, the log gets sixty lines a minute", () => {
    const entry = guardedEntry();
    for (let count = 0; count < 5000; count += 1) {
      ask(entry, "/__apps", { from: `10.${count >> 8}.${count & 255}.1` });
    }
    expect(entry.lines).toHaveLength(60);
    entry.nowMs += 60_000;
    ask(entry, "/__apps", { from: "192.0.2.1" });
    expect(entry.lines.at(-1)?.fields).toMatchObject({ unsaid: 4940 });
  });

  test("an address that somebody has made up is not repeated in the log", () => {
    const entry = guardedEntry({ trustedProxies: ["10.0.0.9"] });
    const headers = { "x-forwarded-for": "<script>" };
    expect(ask(entry, "/__apps", { headers, from: "10.0.0.9" })).toBe(403);
    expect(entry.lines[0]?.fields.client).toBe("an unknown address");
  });
});

describe("how it is sent", () => {
  const STRICT = {
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
  };

  test.each<[string, string, Headers]>([
    ["GET", "/__status", WRONG],
    ["GET", "/__apps", {}],
    ["GET", "/__", { ...NAVIGATION }],
    ["GET", "/__/login", {}],
    ["GET", "/__live", {}],
    ["POST", "/__/logout", RIGHT],
  ])("%s %s: with strict headers", (method, target, headers) => {
    const { headers: sent } = answerTo(guardedEntry(), target, { method, headers });
    const given = Object.fromEntries(sent);
    expect(given).toMatchObject(STRICT);
    expect(given["content-security-policy"]).toContain("default-src 'none'");
    expect(given["content-security-policy"]).toContain("frame-ancestors 'none'");
    expect(new Set(sent.map(([name]) => name)).size).toBe(sent.length);
  });

  test("the older endpoints are refused in their own form, newer ones with problem details, people with a page", () => {
    const entry = guardedEntry({ allowlist: ["192.0.2.1"] });
    const old = answerTo(entry, "/__status");
    expect(JSON.parse(String(old.body))).toEqual({
      error: "Forbidden",
      message: "127.0.0.1 is not in ADMIN_ALLOWLIST",
    });
    const newer = answerTo(entry, "/__apps?token=x");
    expect(Object.fromEntries(newer.headers)["content-type"]).toBe("application/problem+json");
    expect(JSON.parse(String(newer.body))).toMatchObject({
      type: "/__docs#code-admin_refused",
      status: 403,
      code: "admin_refused",
      detail: "GET /__apps: 127.0.0.1 is not in ADMIN_ALLOWLIST",
    });
    const page = answerTo(entry, "/__", { headers: { ...NAVIGATION } });
    expect(page.status).toBe(403);
    expect(String(page.body)).toStartWith("<!doctype html>");
    for (const { headers } of [old, newer, page]) {
      expect(Object.fromEntries(headers)["paastis-error"]).toBe("admin_refused");
    }
  });

  test("who is told that a token is missing is told which kind", () => {
    const { headers } = answerTo(guardedEntry(), "/__apps");
    expect(Object.fromEntries(headers)["www-authenticate"]).toBe('Bearer realm="Paastis"');
  });
});
