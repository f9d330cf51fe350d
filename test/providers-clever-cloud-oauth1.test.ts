import { expect, test } from "bun:test";
import { createCleverCloudCredentials } from "../src/providers/clever-cloud-credentials.ts";
import { oauth1Header, signatureOf } from "../src/providers/clever-cloud-oauth1.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const SECRETS = {
  consumerKey: "ck",
  consumerSecret: "consumer+secret/1",
  token: "tk",
  secret: "token=secret 2",
};
const REQUEST = {
  method: "GET",
  url: new URL(
    "https://api.clever-cloud.com/v2/organisations/orga_1/applications/app_1/deployments?limit=1",
  ),
  nonce: "n0nce",
  timestampS: 1_700_000_000,
};
const SIGNATURE =
  "MwPRy5JGgHQNrMP9JPsTnqYsP7Po9hm326IvsJEhGBrjP5mF53xNvMO3N0Txvx0DhqR9ToWHB6fTSxU/tioOjw==";

test("oauth1: the signature is that of another implementation", () => {
  expect(signatureOf(REQUEST, SECRETS)).toBe(SIGNATURE);
});

test("oauth1: the header has all seven fields, and the signature percent-encoded", () => {
  const header = oauth1Header(REQUEST, SECRETS);
  expect(header).toStartWith("OAuth ");
  const fields = Object.fromEntries(
    header
      .slice("OAuth ".length)
      .split(", ")
      .map((pair) => {
        const [, name = "", value = ""] = /^(\w+)="([^"]*)"$/.exec(pair) ?? [];
        return [name, decodeURIComponent(value)];
      }),
  );
  expect(fields).toEqual({
    oauth_consumer_key: "ck",
    oauth_token: "tk",
    oauth_signature_method: "HMAC-SHA512",
    oauth_timestamp: "1700000000",
    oauth_nonce: "n0nce",
    oauth_version: "1.0",
    oauth_signature: SIGNATURE,
  });
  expect(header).toContain(
    'oauth_signature="MwPRy5JGgHQNrMP9JPsTnqYsP7Po9hm326IvsJEhGBrjP5mF53xNvMO3N0Txvx0DhqR9ToWHB6fTSxU%2FtioOjw%3D%3D"',
  );
});

test("oauth1: method, path, query, every secret, nonce and time change the signature; a fragment does not", () => {
  const sign = (changes: object, secrets: object = {}) =>
    signatureOf({ ...REQUEST, ...changes }, { ...SECRETS, ...secrets });
  const others = [
    sign({ method: "POST" }),
    sign({ url: new URL("https://api.clever-cloud.com/v2/self?limit=1") }),
    sign({ url: new URL(REQUEST.url.href.replace("limit=1", "limit=2")) }),
    sign({ nonce: "other" }),
    sign({ timestampS: 1_700_000_001 }),
    sign({}, { consumerKey: "x" }),
    sign({}, { consumerSecret: "x" }),
    sign({}, { token: "x" }),
    sign({}, { secret: "x" }),
  ];
  expect(new Set([...others, SIGNATURE]).size).toBe(others.length + 1);
  expect(sign({ url: new URL(`${REQUEST.url.href}#part`) })).toBe(SIGNATURE);
});

test("oauth1: the order of a query does not matter, as parameters are sorted by their encoded form", () => {
  const sign = (query: string) =>
    signatureOf({ ...REQUEST, url: new URL(`https://x.test/v2/a?${query}`) }, SECRETS);
  expect(sign("b=2&a=1&a=0&%C3%A9=!")).toBe(sign("%C3%A9=!&a=0&a=1&b=2"));
});

test("credentials: each call is signed anew with the wall clock's second and another nonce", async () => {
  const clock = createVirtualClock(1_700_000_000_999);
  let chance = 0;
  const credentials = createCleverCloudCredentials(
    { kind: "oauth1", ...SECRETS },
    {
      clock,
      random: () => {
        chance += 0.01;
        return chance;
      },
    },
  );
  const { method, url } = REQUEST;
  const request = { method, url, urgency: "sweep", signal: AbortSignal.timeout(1000) } as const;
  const one = (await credentials.headers(request)).authorization ?? "";
  const other = (await credentials.headers(request)).authorization ?? "";
  expect(one).toContain('oauth_timestamp="1700000000"');
  const nonces = [one, other].map((header) => /oauth_nonce="([0-9a-f]{32})"/.exec(header)?.[1]);
  expect(nonces[0]).toBeDefined();
  expect(nonces[0]).not.toBe(nonces[1]);
});

test("credentials: an API token is a bearer", async () => {
  const deps = { clock: createVirtualClock(), random: Math.random };
  const credentials = createCleverCloudCredentials({ kind: "token", token: "t0k" }, deps);
  const { method, url } = REQUEST;
  const signal = AbortSignal.timeout(1000);
  const headers = await credentials.headers({ method, url, urgency: "wake", signal });
  expect(headers).toEqual({ authorization: "Bearer t0k" });
});
