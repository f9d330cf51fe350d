/** Which requests are for the system API, and what becomes of each. */

import { describe, expect, test } from "bun:test";
import { type AdminEntry, createAdminEntry } from "../src/admin-entry.ts";
import type { Decision } from "../src/engines/engine.ts";
import { headerOf } from "./support/own-answer.ts";
import { recordingLog } from "./support/recording-log.ts";
import { headFor } from "./support/request-head.ts";

const TOKEN = "abcd-1234-EFGH-5678";
const OURS = { paastisproxytarget: "system", paastisproxysystemapitoken: TOKEN };

function entryWith(systemToken: string | null): AdminEntry {
  const open = { token: null, allowlist: [], trustedProxies: [], hosts: [], isTls: false };
  const config = { ...open, rateLimit: 10, socketPath: "/tmp/no.sock", soleApp: null };
  return createAdminEntry({
    config: { ...config, systemToken },
    now: () => 1_700_000_000_000,
    log: recordingLog().log,
    isAppLabel: () => true,
    hasDefaultApp: false,
    isSettled: () => true,
    isReady: () => true,
  });
}

function decide(
  headers: Readonly<Record<string, string>>,
  {
    method = "GET",
    target = "/apps",
    systemToken = TOKEN as string | null,
    host = "shop.test",
  } = {},
): Decision | null {
  return entryWith(systemToken).admit(headFor(host, { method, target, headers }));
}

function refusalOf(decision: Decision | null) {
  if (decision?.kind !== "answer") throw new Error(`not refused, but ${decision?.kind}`);
  const { answer } = decision;
  return {
    status: answer.status,
    code: headerOf(answer, "paastis-error"),
    allow: headerOf(answer, "allow"),
    body: JSON.parse(String(answer.body)) as { error: string; message: string },
  };
}

describe("system API: what is for it", () => {
  test.each([
    ["GET", "/apps"],
    ["GET", "/apps?x=1"],
    ["DELETE", "/apps"],
    ["GET", "/events"],
  ])("%s %s with both headers is forwarded to it, on every host", (method, target) => {
    for (const host of ["shop.test", "127.0.0.1", "nobody.test"]) {
      const decision = decide(OURS, { method, target, host });
      expect(decision).toMatchObject({ kind: "forward", target: { socketPath: "/tmp/no.sock" } });
    }
  });

  test.each([
    ["no headers", {}],
    [
      "another target",
      { ...OURS, paastisproxytarget: "upstream", paastisproxysystemapitoken: "x" },
    ],
    ["a token alone that is not ours", { paastisproxysystemapitoken: "the-app's-own" }],
    ["an empty token alone", { paastisproxysystemapitoken: "" }],
    [
      "a preflight that lists the names of the headers",
      { "access-control-request-headers": "paastisproxytarget, paastisproxysystemapitoken" },
    ],
  ])("%s: the request is the app's", (_name, headers) => {
    expect(decide(headers)).toBeNull();
    expect(decide(headers, { method: "OPTIONS" })).toBeNull();
  });

  test("disabled, the same requests are the app's", () => {
    expect(decide(OURS, { systemToken: null })).toBeNull();
    expect(decide({ paastisproxytarget: "system" }, { systemToken: null })).toBeNull();
  });
});

describe("system API: who may not", () => {
  test.each([
    ["missing", { paastisproxytarget: "system" }],
    ["empty", { ...OURS, paastisproxysystemapitoken: "" }],
    ["wrong", { ...OURS, paastisproxysystemapitoken: `${TOKEN}x` }],
    ["a part of it", { ...OURS, paastisproxysystemapitoken: TOKEN.slice(0, -1) }],
    ["in other letters", { ...OURS, paastisproxysystemapitoken: TOKEN.toLowerCase() }],
    ["sent twice", { ...OURS, paastisproxysystemapitoken: `${TOKEN}, ${TOKEN}` }],
  ])("a token that is %s is a 400 that says so, whatever the path", (_name, headers) => {
    for (const target of ["/apps", "/events", "/", "/__switch"]) {
      const { status, code, body } = refusalOf(decide(headers, { target }));
      expect([status, code]).toEqual([400, "system_refused"]);
      expect(body.error).toBe("Wrong or missing Paastis proxy system API token");
      expect(body.message).toContain("PaastisProxySystemApiToken");
      expect(JSON.stringify(body)).not.toContain(TOKEN.slice(0, -1));
    }
  });

  test.each([
    ["/"],
    ["/apps/"],
    ["/apps/shop"],
    ["//apps"],
    ["/Apps"],
    ["/apps%2f"],
    ["/__status"],
    ["/__switch?port=1"],
    ["/constructor"],
  ])("%s is no path of it: 404, and other endpoints stay closed to its token", (target) => {
    for (const method of ["GET", "POST", "DELETE"]) {
      const { status, code } = refusalOf(decide(OURS, { method, target }));
      expect([status, code]).toEqual([404, "system_refused"]);
    }
  });

  test("a wrong method is a 405 that lists the right ones", () => {
    const refused = (method: string, target: string) => {
      const { status, allow } = refusalOf(decide(OURS, { method, target }));
      return [status, allow];
    };
    expect(refused("POST", "/apps")).toEqual([405, "GET, DELETE"]);
    expect(refused("OPTIONS", "/apps")).toEqual([405, "GET, DELETE"]);
    expect(refused("DELETE", "/events")).toEqual([405, "GET"]);
    expect(refused("HEAD", "/events")).toEqual([405, "GET"]);
  });

  test("the right token without the other header goes to nobody: an app would read it", () => {
    for (const headers of [
      { paastisproxysystemapitoken: TOKEN },
      { ...OURS, paastisproxytarget: "System" },
    ]) {
      const { status, body } = refusalOf(decide(headers, { target: "/" }));
      expect(status).toBe(400);
      expect(body.message).toContain("PaastisProxyTarget: system");
      expect(JSON.stringify(body)).not.toContain(TOKEN);
    }
  });
});
