/** OAuth1 as the fake Clever Cloud verifies it: the test vector, and every way to be wrong. */

import { describe, expect, test } from "bun:test";
import { baseStringOf, hmacOf, isSignedBy, readAuthorization } from "./fake-clever-cloud-oauth1.ts";
import { type CleverWorld, type Signing, seen, startWorld } from "./fake-clever-cloud-world.ts";

const REQUEST = {
  method: "GET",
  url: "https://api.clever-cloud.com/v2/organisations/orga_1/applications/app_1/deployments?limit=1",
};
const CREDENTIALS = {
  consumerKey: "ck",
  consumerSecret: "consumer+secret/1",
  token: "tk",
  tokenSecret: "token=secret 2",
};
const PARAMETERS = {
  oauth_consumer_key: "ck",
  oauth_token: "tk",
  oauth_signature_method: "HMAC-SHA512",
  oauth_timestamp: "1700000000",
  oauth_nonce: "n0nce",
  oauth_version: "1.0",
};
const SIGNATURE =
  "MwPRy5JGgHQNrMP9JPsTnqYsP7Po9hm326IvsJEhGBrjP5mF53xNvMO3N0Txvx0DhqR9ToWHB6fTSxU/tioOjw==";

describe("signatures", () => {
  test("the test vector of the platform's sheet", () => {
    expect(hmacOf(REQUEST, PARAMETERS, CREDENTIALS)).toBe(SIGNATURE);
    const signed = { ...PARAMETERS, oauth_signature: SIGNATURE };
    expect(isSignedBy(REQUEST, signed, CREDENTIALS)).toBe(true);
    expect(isSignedBy({ ...REQUEST, method: "POST" }, signed, CREDENTIALS)).toBe(false);
  });

  test("the base string of RFC 5849 section 3.4.1.1, its form parameters put into the query", () => {
    const request = {
      method: "post",
      url: "HTTP://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b&c2&a3=2+q",
    };
    const parameters = {
      oauth_consumer_key: "9djdj82h48djs9d2",
      oauth_token: "kkk9d7dh3k39sjv7",
      oauth_signature_method: "HMAC-SHA1",
      oauth_timestamp: "137131201",
      oauth_nonce: "7d8f3e4a",
      oauth_signature: "bYT5CMsGcbgUdFHObYMEfcx6bsw=",
    };
    expect(baseStringOf(request, parameters)).toBe(
      "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26" +
        "oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26" +
        "oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7",
    );
  });

  test("signatures of RFC 5849 section 1.2", () => {
    const secrets = { ...CREDENTIALS, consumerSecret: "kd94hf93k423kf44" };
    const shared = {
      oauth_consumer_key: "dpf43f3p2l4k3l03",
      oauth_signature_method: "HMAC-SHA1",
    };
    const exchange = {
      ...shared,
      oauth_token: "hh5s93j4hdidpola",
      oauth_timestamp: "137131201",
      oauth_nonce: "walatlh",
      oauth_verifier: "hfdp7dh39dks9884",
    };
    const post = { method: "POST", url: "https://photos.example.net/token" };
    const temporary = { ...secrets, tokenSecret: "hdhd0244k9j7ao03" };
    expect(hmacOf(post, exchange, temporary)).toBe("gKgrFCywp7rO0OXSjdot/IHF7IU=");
    const read = {
      ...shared,
      oauth_token: "nnch734d00sl2jdk",
      oauth_timestamp: "137131202",
      oauth_nonce: "chapoH",
    };
    const url = "http://photos.example.net/photos?file=vacation.jpg&size=original";
    const lasting = { ...secrets, tokenSecret: "pfkkdhi9sl3r4s00" };
    expect(hmacOf({ method: "GET", url }, read, lasting)).toBe("MdpQcU8iPSUjWoN/UDMsK2sui9I=");
  });

  test("parameters are sorted by name and then by value, not as name=value", () => {
    const request = { method: "GET", url: "http://a/?b-c=1&b=2&b=1" };
    expect(decodeURIComponent(baseStringOf(request, {}))).toEndWith("&b=1&b=2&b-c=1");
  });

  test("a header in a form that RFC 5849 does not have is not read", () => {
    for (const header of [
      "",
      "OAuth oauth_token=tk",
      'OAuth oauth_token="a+b"',
      'OAuth oauth_token="a%2fb"',
      'OAuth oauth_token="a", oauth_token="b"',
      'OAuth oauth_tokn="a"',
    ]) {
      expect(readAuthorization(header)).toBeString();
    }
    const read = readAuthorization('OAuth realm="", oauth_token="a%2Fb",oauth_nonce="1"');
    expect(read).toEqual({ oauth_token: "a/b", oauth_nonce: "1" });
  });
});

describe("calls", () => {
  async function refused(world: CleverWorld, changes: Partial<Signing>): Promise<string> {
    const before = world.clever.violations.length;
    const { status, body } = await world.signed("/v2/summary", changes);
    expect([status, body.type]).toEqual([401, "error"]);
    expect(world.clever.violations).toHaveLength(before + 1);
    return world.clever.violations.at(-1) ?? "";
  }

  test("HMAC-SHA512, HMAC-SHA1 and PLAINTEXT are taken, with queries and other methods too", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { is: "down" });
    const path = `/v2/organisations/${app.ownerId}/applications/${app.id}`;
    const statuses: number[] = [];
    for (const signatureMethod of ["HMAC-SHA512", "HMAC-SHA1", "PLAINTEXT"]) {
      statuses.push(
        (await world.signed(`${path}/deployments?limit=1`, { signatureMethod })).status,
      );
    }
    statuses.push((await world.signed(`${path}/instances`, { method: "POST" })).status);
    expect(statuses).toEqual([200, 200, 200, 200]);
    expect(world.clever.violations).toEqual([]);
  });

  test("PLAINTEXT as the official clients send it: no method, nonce, time or version", async () => {
    await using world = await startWorld({
      oauth: { consumerKey: "ck", consumerSecret: "cs", token: "tk", tokenSecret: "ts" },
    });
    const url = `${world.clever.api.origin}/v2/summary`;
    const authorization =
      'OAuth oauth_consumer_key="ck", oauth_token="tk", oauth_signature="cs%26ts"';
    expect((await seen(await fetch(url, { headers: { authorization } }))).status).toBe(200);
    expect(world.clever.violations).toEqual([]);
  });

  test("a nonce counts once per second", async () => {
    await using world = await startWorld();
    expect((await world.signed("/v2/summary", { nonce: "n" })).status).toBe(200);
    expect(await refused(world, { nonce: "n" })).toContain("nonce was used before");
    await world.clock.advance(1_000);
    expect((await world.signed("/v2/summary", { nonce: "n" })).status).toBe(200);
  });

  test("a nonce may come again where the fake is told not to look", async () => {
    await using world = await startWorld({ checksNonces: false });
    await world.signed("/v2/summary", { nonce: "n" });
    expect((await world.signed("/v2/summary", { nonce: "n" })).status).toBe(200);
    expect(world.clever.violations).toEqual([]);
  });

  test("a time that is far from the platform's wall clock is refused, before and after", async () => {
    await using world = await startWorld();
    const nowS = Math.floor(world.clock.wallMs() / 1_000);
    for (const seconds of [-299, 299]) {
      const { status } = await world.signed("/v2/summary", { timestamp: String(nowS + seconds) });
      expect(status).toBe(200);
    }
    expect(await refused(world, { timestamp: String(nowS - 301) })).toContain("-301 s ahead");
    expect(await refused(world, { timestamp: String(nowS + 301) })).toContain("301 s ahead");
    world.clock.setWall(3_600_000);
    expect(await refused(world, { timestamp: String(nowS) })).toContain("-3600 s ahead");
  });

  test("a wrong signature, a missing field, an odd time or an unknown method is refused", async () => {
    await using world = await startWorld();
    expect(await refused(world, { signature: "AAAA" })).toContain("signature is wrong");
    const { oauth } = world.clever;
    for (const secrets of [{ consumerSecret: "other" }, { tokenSecret: "other" }]) {
      const credentials = { ...oauth, ...secrets };
      expect(await refused(world, { credentials })).toContain("signature is wrong");
      const plain = { credentials, signatureMethod: "PLAINTEXT" };
      expect(await refused(world, plain)).toContain("signature is wrong");
    }
    for (const field of ["consumer_key", "token", "timestamp", "nonce", "version", "signature"]) {
      const name = `oauth_${field}`;
      expect(await refused(world, { without: [name] })).toContain(`${name} is missing`);
    }
    expect(await refused(world, { timestamp: "1700000000.5" })).toContain("whole seconds");
    expect(await refused(world, { signatureMethod: "RSA-SHA1" })).toContain("unknown method");
  });

  test("another address than the signed one is refused", async () => {
    await using world = await startWorld();
    const { api, violations } = world.clever;
    await world.signed("/v2/summary");
    const { authorization = "" } = api.journal[0]?.headers ?? {};
    const elsewhere = [
      `${api.origin}/v2/summary?x=1`,
      `${api.origin}/v2/self/applications`,
      `http://localhost:${api.port}/v2/summary`,
    ];
    for (const url of elsewhere) {
      expect((await fetch(url, { headers: { authorization } })).status).toBe(401);
      expect(violations.at(-1)).toContain("signature is wrong");
    }
    expect(violations).toHaveLength(3);
  });

  test("bearers work at the bridge alone, OAuth1 at the API alone", async () => {
    await using world = await startWorld();
    const { clever } = world;
    const headers = { authorization: `Bearer ${clever.apiToken}` };
    expect((await fetch(`${clever.bridge.origin}/v2/summary`, { headers })).status).toBe(200);
    expect((await world.signed("/v2/summary")).status).toBe(200);
    expect(clever.violations).toEqual([]);
    expect((await fetch(`${clever.api.origin}/v2/summary`, { headers })).status).toBe(401);
    expect((await world.signed(`${clever.bridge.origin}/v2/summary`)).status).toBe(401);
    expect((await fetch(`${clever.bridge.origin}/v2/summary`)).status).toBe(401);
    expect((await fetch(`${clever.api.origin}/v2/summary`)).status).toBe(401);
    expect(clever.violations).toHaveLength(4);
  });

  test("credentials that nobody knows, or that are revoked, get 401 and are no violation", async () => {
    await using world = await startWorld();
    const { clever } = world;
    const strange = { ...clever.oauth, token: "other" };
    expect((await world.signed("/v2/summary", { credentials: strange })).status).toBe(401);
    const headers = { authorization: "Bearer other" };
    expect((await fetch(`${clever.bridge.origin}/v2/summary`, { headers })).status).toBe(401);
    clever.revokeToken();
    expect((await world.signed("/v2/summary")).status).toBe(401);
    const refusal = await world.call("/v4/orchestration/organisations/a/applications/b/instances");
    expect([refusal.status, Object.keys(refusal.body)]).toEqual([
      401,
      ["code", "error", "context"],
    ]);
    clever.restoreToken();
    expect((await world.call("/v2/summary")).status).toBe(200);
    expect(clever.violations).toEqual([]);
  });
});
