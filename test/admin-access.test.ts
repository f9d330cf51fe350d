/** Who may use the admin endpoints: the whole matrix of credentials, senders, actions and hosts. */

import { describe, expect, test } from "bun:test";
import type { AdminConfig } from "../src/config.ts";
import { ADMIN_TOKEN, type GuardedEntry, guardedEntry, outcomeOf } from "./support/admin-entry.ts";
import { headFor } from "./support/request-head.ts";

type Outcome = number | "app" | "ok";
type Headers = Readonly<Record<string, string>>;

const PROXY = "10.9.9.9";
const CONFIG: Partial<AdminConfig> = { hosts: ["shop.admin.example"], trustedProxies: [PROXY] };

/** From whom: the other end of the connection, and what it says of whom it asks for. */
const SENDERS = {
  listed: { clientAddress: "127.0.0.1" },
  "not listed": { clientAddress: "192.0.2.7" },
  "listed, behind a trusted proxy": { clientAddress: PROXY, forwarded: "127.0.0.1" },
  "not listed, behind a trusted proxy": { clientAddress: PROXY, forwarded: "127.0.0.1, 192.0.2.7" },
  "a stranger that claims to be listed": { clientAddress: "192.0.2.7", forwarded: "127.0.0.1" },
} as const;

type Sender = keyof typeof SENDERS;
const WELCOME: readonly Sender[] = ["listed", "listed, behind a trusted proxy"];

const HOSTS = {
  "an address": "198.51.100.1:3000",
  "a name that is no app's": "nobody.example",
  "a host of ADMIN_HOST": "shop.admin.example:3000",
  "an app's host": "shop.example",
} as const;

type Host = keyof typeof HOSTS;

const CREDENTIALS = [
  "none",
  "a wrong token",
  "the token",
  "the token as bearer",
  "a wrong bearer",
  "a session",
  "a session that has ended",
  "a session of another secret",
  "the token in the address",
  "the password of somebody else",
] as const;

type CredentialName = (typeof CREDENTIALS)[number];

const ACTIONS = ["read", "change", "change from another site"] as const;

type Action = (typeof ACTIONS)[number];

/** By credential, for those who are on the list: read, change, change from another site. */
const OWN: Readonly<Record<CredentialName, readonly [Outcome, Outcome, Outcome]>> = {
  none: [401, 401, 401],
  "a wrong token": [401, 401, 401],
  "the token": ["ok", "ok", "ok"],
  "the token as bearer": ["ok", "ok", "ok"],
  "a wrong bearer": [401, 401, 401],
  "a session": ["ok", "ok", 403],
  "a session that has ended": [401, 401, 401],
  "a session of another secret": [401, 401, 401],
  "the token in the address": [401, 401, 401],
  "the password of somebody else": [401, 401, 401],
};

const APP = ["app", "app", "app"] as const;
const OF_APP: typeof OWN = {
  none: APP,
  "a wrong token": APP,
  "the token": ["ok", "ok", "ok"],
  "the token as bearer": ["ok", "ok", "ok"],
  "a wrong bearer": APP,
  "a session": ["ok", "ok", 403],
  "a session that has ended": APP,
  "a session of another secret": APP,
  "the token in the address": APP,
  "the password of somebody else": APP,
};

function expectedFor(sender: Sender, host: Host, credential: CredentialName): readonly Outcome[] {
  const isOfApp = host === "an app's host";
  if (!WELCOME.includes(sender)) return isOfApp ? APP : [403, 403, 403];
  return (isOfApp ? OF_APP : OWN)[credential];
}

function headersOf(entry: GuardedEntry, credential: CredentialName): Headers {
  const cookie = (value: string) => ({
    cookie: `theme=dark; ${entry.sessions.cookieName(false)}=${value}; a=b`,
  });
  switch (credential) {
    case "none":
    case "the token in the address":
      return {};
    case "a wrong token":
      return { "x-admin-token": `${ADMIN_TOKEN}x` };
    case "the token":
      return { "x-admin-token": ADMIN_TOKEN };
    case "the token as bearer":
      return { authorization: `bearer ${ADMIN_TOKEN}` };
    case "a wrong bearer":
      return { authorization: "Bearer nonsense" };
    case "the password of somebody else":
      return { authorization: `Basic ${btoa(`x:${ADMIN_TOKEN}`)}` };
    case "a session":
      return cookie(entry.sessions.open());
    case "a session that has ended": {
      const value = entry.sessions.open();
      entry.nowMs += 12 * 3_600_000;
      return cookie(value);
    }
    case "a session of another secret":
      return cookie(guardedEntry({ token: "another-one" }).sessions.open());
  }
}

function siteHeaders(action: Action, host: string): Headers {
  switch (action) {
    case "read":
      return {};
    case "change":
      return { origin: `http://${host}`, "sec-fetch-site": "same-origin" };
    case "change from another site":
      return { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
  }
}

function request(
  entry: GuardedEntry,
  asked: { sender: Sender; host: Host; credential: CredentialName; action: Action; path: string },
) {
  const { sender, credential, action, path } = asked;
  const { clientAddress, ...said } = SENDERS[sender];
  const host = HOSTS[asked.host];
  const query =
    credential === "the token in the address"
      ? `?token=${ADMIN_TOKEN}&x-admin-token=${ADMIN_TOKEN}`
      : "";
  return headFor(host, {
    method: action === "read" ? "GET" : "POST",
    target: path + query,
    clientAddress,
    headers: {
      ...("forwarded" in said ? { "x-forwarded-for": said.forwarded } : {}),
      ...siteHeaders(action, host),
      ...headersOf(entry, credential),
    },
  });
}

const SENDER_NAMES = Object.keys(SENDERS) as Sender[];
const HOST_NAMES = Object.keys(HOSTS) as Host[];

describe("access matrix", () => {
  for (const sender of SENDER_NAMES) {
    for (const host of HOST_NAMES) {
      test(`${sender}, on ${host}: each credential opens what it is to open`, () => {
        const seen: Record<string, readonly Outcome[]> = {};
        const expected: Record<string, readonly Outcome[]> = {};
        for (const path of ["/__apps", "/__status", "/__", "/__/app.js", "/__nothing/here"]) {
          for (const credential of CREDENTIALS) {
            const name = `${path} with ${credential}`;
            seen[name] = ACTIONS.map((action) => {
              const entry = guardedEntry(CONFIG);
              return outcomeOf(entry, request(entry, { sender, host, credential, action, path }));
            });
            const rows = expectedFor(sender, host, credential);
            // Where the dashboard is said to be one slash further.
            expected[name] = path === "/__" ? rows.map((row) => (row === "ok" ? 303 : row)) : rows;
          }
        }
        expect(seen).toEqual(expected);
      });
    }
  }

  test("paths that do not begin as ours do are an app's, whatever is sent along", () => {
    const entry = guardedEntry(CONFIG);
    for (const host of Object.values(HOSTS)) {
      for (const target of ["/", "/_", "/_/__status", "//__status", "/%5f_status", "/x/__status"]) {
        const headers = { "x-admin-token": ADMIN_TOKEN };
        const head = headFor(host, { target, clientAddress: "127.0.0.1", headers });
        expect({ target, outcome: outcomeOf(entry, head) }).toEqual({ target, outcome: "app" });
      }
    }
  });

  test("a token wins over a session: whoever sends a wrong one is told so", () => {
    const entry = guardedEntry();
    const cookie = `${entry.sessions.cookieName(false)}=${entry.sessions.open()}`;
    const headers = { cookie, "x-admin-token": "wrong" };
    const head = headFor("10.0.0.1", { target: "/__apps", clientAddress: "127.0.0.1", headers });
    expect(outcomeOf(entry, head)).toBe(401);
  });

  test("of several cookies of the name one that is open will do: a neighbour's cannot shut anybody out", () => {
    const entry = guardedEntry();
    const name = entry.sessions.cookieName(false);
    const cookie = `${name}=nonsense; ${name}=${entry.sessions.open()}`;
    const options = { target: "/__apps", clientAddress: "127.0.0.1", headers: { cookie } };
    expect(outcomeOf(entry, headFor("10.0.0.1", options))).toBe("ok");
  });

  test("a path that URLs write otherwise is not passed on, so that what was allowed is what is asked", () => {
    const entry = guardedEntry();
    for (const target of ["/__/../apps", "/__apps/..", "/__/%2e%2e/apps", "/__\\..\\apps"]) {
      const headers = { "x-admin-token": ADMIN_TOKEN };
      const head = headFor("10.0.0.1", { target, clientAddress: "127.0.0.1", headers });
      expect({ target, outcome: outcomeOf(entry, head) }).toEqual({ target, outcome: 404 });
    }
  });
});

describe("changes from pages", () => {
  const change = (
    headers: Headers,
    config: Partial<AdminConfig> = {},
    clientAddress = "127.0.0.1",
  ) => {
    const entry = guardedEntry(config);
    const cookie = `${entry.sessions.cookieName(false)}=${entry.sessions.open()}`;
    const target = "/__apps/shop/sleep";
    const all = { cookie, ...headers };
    return outcomeOf(
      entry,
      headFor("admin.example:3000", { method: "POST", target, clientAddress, headers: all }),
    );
  };

  test.each<[Headers, Outcome]>([
    [{ "sec-fetch-site": "same-origin" }, "ok"],
    [{ "sec-fetch-site": "same-site" }, 403],
    [{ "sec-fetch-site": "cross-site" }, 403],
    [{ "sec-fetch-site": "none" }, 403],
    [{ "sec-fetch-site": "cross-site", origin: "http://admin.example:3000" }, 403],
    [{ origin: "http://admin.example:3000" }, "ok"],
    [{ origin: "https://ADMIN.example:3000" }, "ok"],
    [{ origin: "http://admin.example" }, 403],
    [{ origin: "http://shop.example:3000" }, 403],
    [{ origin: "http://admin.example:3000.evil.example" }, 403],
    [{ origin: "null" }, 403],
    [{ referer: "http://admin.example:3000/__/" }, 403],
    [{}, 403],
  ])("with a session and %p: %p", (headers, outcome) => {
    expect(change(headers)).toBe(outcome);
  });

  test("behind a trusted proxy the host counts that the browser asked for, behind any other it does not", () => {
    const headers = {
      ...{ "x-forwarded-host": "outside.example", "x-forwarded-for": "127.0.0.1" },
      origin: "https://outside.example",
    };
    expect(change(headers, { trustedProxies: [PROXY] }, PROXY)).toBe("ok");
    expect(change(headers, {}, "127.0.0.1")).toBe(403);
  });
});

describe("behind a trusted proxy", () => {
  const ask = (headers: Headers) =>
    outcomeOf(
      guardedEntry({ trustedProxies: ["127.0.0.1"], allowlist: ["127.0.0.1", "10.9.0.0/16"] }),
      headFor("198.51.100.1:3000", {
        ...{ method: "GET", target: "/__apps", clientAddress: "127.0.0.1" },
        headers: { "x-admin-token": ADMIN_TOKEN, ...headers },
      }),
    );

  test.each<[Headers, Outcome]>([
    [{}, "ok"],
    [{ forwarded: "for=8.8.8.8" }, 403],
    [{ forwarded: "for=10.9.1.1" }, 403],
    [{ forwarded: "for=unknown" }, 403],
    [{ forwarded: "for=8.8.8.8", "x-forwarded-for": "10.9.1.1" }, "ok"],
    [{ forwarded: "for=10.9.1.1", "x-forwarded-for": "8.8.8.8" }, 403],
    [{ "x-forwarded-for": "::ffff:10.9.1.1" }, "ok"],
    [{ "x-forwarded-for": "::ffff:0a09:0101" }, "ok"],
    [{ "x-forwarded-for": "::ffff:808:808" }, 403],
  ])("%p: %p", (headers, outcome) => {
    expect(ask(headers)).toBe(outcome);
  });
});

describe("without ADMIN_TOKEN", () => {
  const START_TOKEN = "made-up-at-the-start";
  const ask = (
    method: string,
    target: string,
    headers: Headers = {},
    config: Partial<AdminConfig> = {},
  ) =>
    outcomeOf(
      guardedEntry({ token: null, startToken: START_TOKEN, ...config }),
      headFor("localhost:3000", { method, target, clientAddress: "127.0.0.1", headers }),
    );

  test.each<[string, string, Outcome]>([
    ["GET", "/__status?app=shop", "ok"],
    ["HEAD", "/__status", "ok"],
    ["GET", "/__metrics", "ok"],
    ["GET", "/__health", "ok"],
    ["POST", "/__pause", 403],
    ["OPTIONS", "/__status", 403],
    ["GET", "/__apps", 401],
    ["GET", "/__config", 401],
    ["GET", "/__", 401],
    ["POST", "/__apps/shop/wake", 401],
  ])("a client of this machine that sends nothing asks %s %s: %p", (method, target, outcome) => {
    expect(ask(method, target)).toBe(outcome);
    const throughProxy = ask(method, target, { "x-forwarded-for": "192.0.2.1" });
    expect(throughProxy).toBe(outcome === "ok" ? 403 : outcome);
    for (const header of ["x-forwarded-proto", "x-forwarded-host", "cf-connecting-ip"]) {
      expect(ask(method, target, { [header]: "https" })).toBe(throughProxy);
    }
    expect(ask(method, target, {}, { allowlist: ["192.0.2.1"] })).toBe(403);
  });

  test("the token of the start opens everything, a wrong one nothing", () => {
    for (const [method, target] of [
      ["GET", "/__status"],
      ["POST", "/__pause"],
      ["GET", "/__apps"],
    ] as const) {
      expect(ask(method, target, { "x-admin-token": START_TOKEN })).toBe("ok");
      expect(ask(method, target, { authorization: `Bearer ${START_TOKEN}` })).toBe("ok");
      expect(ask(method, target, { "x-admin-token": "" })).toBe(401);
    }
  });

  test("where there is no token at all, none is right", () => {
    const entry = guardedEntry({ token: null });
    for (const text of ["", "null", "undefined"]) {
      const headers = { "x-admin-token": text };
      const options = { target: "/__apps", clientAddress: "127.0.0.1", headers };
      expect(outcomeOf(entry, headFor("localhost", options))).toBe(401);
    }
  });
});
