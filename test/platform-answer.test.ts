import { describe, expect, test } from "bun:test";

import { retryAfterMsOf, usualRefusal } from "../src/providers/platform-answer.ts";
import { quoteOf, safeText, secretsOf } from "../src/providers/platform-quote.ts";
import { within } from "./support/pace.ts";

const WALL_MS = Date.parse("2026-05-01T10:00:00Z");

describe("Retry-After", () => {
  const cases: readonly (readonly [string | null, string | null, number | null])[] = [
    [null, null, null],
    ["", null, null],
    ["0", null, 0],
    [" 7 ", null, 7000],
    ["1.5", null, 1500],
    ["-3", null, null],
    ["soon", null, null],
    ["999999999999", null, 3_600_000],
    ["Fri, 01 May 2026 10:00:30 GMT", null, 30_000],
    ["Fri, 01 May 2026 09:00:00 GMT", null, 0],
    ["Fri, 01 May 2027 09:00:00 GMT", null, 3_600_000],
    // Their clock is a day ahead of ours.
    ["Sat, 02 May 2026 10:00:30 GMT", "Sat, 02 May 2026 10:00:00 GMT", 30_000],
    ["Fri, 01 May 2026 10:00:30 GMT", "nonsense", 30_000],
  ];
  for (const [value, date, expected] of cases) {
    test(`${value} with the date ${date} is ${expected} ms`, () => {
      const headers: Readonly<Record<string, string | null>> = { "retry-after": value, date };
      expect(retryAfterMsOf((name) => headers[name] ?? null, WALL_MS)).toBe(expected);
    });
  }
});

describe("quoting a platform", () => {
  test("its words are found where the platforms put them", () => {
    expect(quoteOf({ id: "rate_limit", message: "Slow down", url: "x" })).toBe('"Slow down"');
    expect(quoteOf({ error: "no change in containers" })).toBe('"no change in containers"');
    expect(quoteOf({ errors: { app: ["is booting"] } })).toBe('"{"app":["is booting"]}"');
    expect(quoteOf({ resource: "app", error: "not found" })).toBe('"not found"');
    expect(quoteOf("Retry later\n")).toBe('"Retry later"');
    expect(quoteOf({ code: 4014 })).toBe('"{"code":4014}"');
    expect(quoteOf(17)).toBe('"17"');
    for (const nothing of [null, undefined, "", "  \n"]) expect(quoteOf(nothing)).toBe("");
  });

  test("it is one line of at most 200 characters, without control and escape sequences", () => {
    const line = quoteOf({ message: "\u001b[31mred\u001b[0m\r\n\ttwo\u202e  \u2028three\u0000" });
    expect(line).toBe('"red two three"');
    expect(quoteOf("word ".repeat(1e6))).toHaveLength(203);
    expect(usualRefusal(500, { message: "x ".repeat(5000) }).message.length).toBeLessThan(300);
  });

  test("ids, hosts, paths and sentences stay", () => {
    const plain = [
      "Couldn't find that app 01234567-89ab-4def-8123-456789abcdef.",
      "app_0210ab5c-6baf-477b-8c0f-32c18a0e7fb6 of orga_3c5e0f27-1d0c-4b1c-9b83-0f3f7b1a2c3d",
      "/v1/apps/54100930736f7563d5030000/operations/52fd2357356330032b080000",
      "my-rather-long-review-app-pr12-0123456789ab.herokuapp.com is not there: why?",
      "at 2026-05-01T10:17:53.690+02:00 the token had expired",
      "the tokenizer, a basic plan and the authorization of it",
    ];
    for (const text of plain) expect(safeText(text)).toBe(text);
  });

  test("what looks like a token, a password or a signature goes", () => {
    const secrets = [
      "bad token tk-us-AbCdEf0123456789abcdef-xyz here",
      "HRKU-AAabcdef-0123 is revoked",
      "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl expired",
      "Authorization: Bearer abc.def.ghi",
      '{"authorization":"Basic OnRrLXVzLXNlY3JldA=="}',
      "GET https://me:hunter22@api.example/ failed",
      "me:hunter22@api.example",
      'oauth_signature="MwPRy5JGgHQNrMP9%2FJPs"',
      "client_secret=swordfish99&x=1",
      "0123456789abcdef0123456789abcdef",
      "MwPRy5JGgHQNrMP9JPsTnqYsP7Po9hm326IvsJEhGBrjP5mF53xNvMO3N0Txvx0D",
      '{"password": "open sesame"}',
    ];
    const telling =
      /AbCdEf|AAabc|eyJ|c2ln|abc\.def|OnRr|hunter|MwPR|swordfish|0123456789abcdef|sesame|"open/;
    for (const text of secrets) {
      expect(safeText(text)).not.toMatch(telling);
      expect(safeText(text)).toContain("***");
    }
  });

  test("the pieces of our own credentials go wherever they stand, decoded as well", () => {
    const basic = `Basic ${Buffer.from(":shortsecret").toString("base64")}`;
    const cases: readonly (readonly [string, readonly string[]])[] = [
      [basic, ["shortsecret", basic.slice(6)]],
      ["Bearer 01234567-89ab-4def-8123-456789abcdef", ["01234567-89ab-4def-8123-456789abcdef"]],
      ["Bearer onlyletters", ["onlyletters"]],
      ['OAuth oauth_token="plain", oauth_signature="a%26bcdefg"', ["a%26bcdefg", "a&bcdefg"]],
    ];
    for (const [authorization, secrets] of cases) {
      const known = secretsOf({ authorization });
      for (const secret of secrets) {
        expect(safeText(`you said ${secret} to us`)).toContain(secret);
        expect(safeText(`you said ${secret} to us`, known)).toBe("you said *** to us");
      }
    }
    expect(secretsOf({ authorization: "Bearer x" })).toEqual([]);
  });

  test("hostile text is searched in no time", () => {
    const hostile = [
      "a".repeat(1e6),
      ":@".repeat(1e5),
      "token=".repeat(1e5),
      "<".repeat(1e6),
      "<html><script>".repeat(1e5),
      "eyJ.".repeat(1e5),
      `<html>${"<title".repeat(1e5)}`,
    ];
    const startMs = performance.now();
    for (const text of hostile) quoteOf(text);
    expect(performance.now() - startMs).toBeLessThan(within(500));
  });
});
