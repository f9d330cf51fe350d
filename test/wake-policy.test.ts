import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  IGNORED_STATUS,
  type IgnoreRule,
  ignoredBy,
  ignoreText,
  isPrefetch,
  matches,
} from "../src/wake-policy.ts";
import { within } from "./support/pace.ts";
import { headFor } from "./support/request-head.ts";

const NOBODY: IgnoreRule = {
  userAgents: null,
  paths: null,
  methods: null,
  bots: false,
  prefetch: false,
  status: IGNORED_STATUS,
};
const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const UPTIME = "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)";

interface Asked {
  readonly method?: string;
  readonly target?: string;
  readonly agent?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function isIgnored(rule: Partial<IgnoreRule>, { method, target, agent, headers }: Asked): boolean {
  const head = headFor("shop.test", {
    ...(method !== undefined && { method }),
    ...(target !== undefined && { target }),
    headers: { ...headers, ...(agent !== undefined && { "user-agent": agent }) },
  });
  return ignoredBy([{ ...NOBODY, ...rule }], head) !== null;
}

describe("ignored requests", () => {
  test.each<[string, Partial<IgnoreRule>, Asked, boolean]>([
    ["a bot", { bots: true }, { agent: GOOGLEBOT }, true],
    ["a program", { bots: true }, { agent: "curl/8.5.0" }, true],
    ["a browser is no bot", { bots: true }, { agent: FIREFOX }, false],
    ["who says nothing is no bot", { bots: true }, {}, false],
    ["a text browser", { bots: true }, { agent: "Lynx/2.9.0dev.12 libwww-FM/2.14" }, false],
    ["another one", { bots: true }, { agent: "w3m/0.5.3+git20230121" }, false],
    ["a user agent, in any case", { userAgents: ["uptimerobot"] }, { agent: UPTIME }, true],
    ["a part of one", { userAgents: ["compatible; *robot/2"] }, { agent: UPTIME }, true],
    ["another user agent", { userAgents: ["uptimerobot"] }, { agent: FIREFOX }, false],
    ["one of several", { userAgents: ["pingdom", "uptimerobot"] }, { agent: UPTIME }, true],
    ["a path", { paths: ["/healthz"] }, { target: "/healthz" }, true],
    ["a path with a query", { paths: ["/healthz"] }, { target: "/healthz?full=1" }, true],
    ["a longer path", { paths: ["/healthz"] }, { target: "/healthz/x" }, false],
    ["a path below", { paths: ["/static/*"] }, { target: "/static/a/b.css" }, true],
    ["a file by its ending", { paths: ["*.ico"] }, { target: "/favicon.ico" }, true],
    ["paths heed case", { paths: ["/Healthz"] }, { target: "/healthz" }, false],
    ["a method", { methods: ["HEAD", "OPTIONS"] }, { method: "HEAD" }, true],
    ["another method", { methods: ["HEAD"] }, { method: "GET" }, false],
    ["a prefetch", { prefetch: true }, { headers: { "sec-purpose": "prefetch;prerender" } }, true],
    ["no prefetch", { prefetch: true }, {}, false],
    ["all of an entry", { paths: ["/"], methods: ["HEAD"] }, { method: "HEAD", target: "/" }, true],
    ["not only a part of it", { paths: ["/"], methods: ["HEAD"] }, { target: "/" }, false],
    ["agent and bot", { userAgents: ["google"], bots: true }, { agent: GOOGLEBOT }, true],
  ])("%s: %j, %j", (_, rule, asked, expected) => {
    expect(isIgnored(rule, asked)).toBe(expected);
  });

  test("the first entry that applies says which status", () => {
    const rules = [
      { ...NOBODY, userAgents: ["uptimerobot"], status: 200 },
      { ...NOBODY, bots: true },
    ];
    const statusFor = (agent: string) =>
      ignoredBy(rules, headFor("shop.test", { headers: { "user-agent": agent } }))?.status;
    expect(statusFor(UPTIME)).toBe(200);
    expect(statusFor(GOOGLEBOT)).toBe(503);
    expect(statusFor(FIREFOX)).toBeUndefined();
  });

  test("they can be said in words", () => {
    const rule = { ...NOBODY, methods: ["GET", "HEAD"], userAgents: ["uptime"], paths: ["/"] };
    expect(ignoreText(rule)).toBe("GET or HEAD, User-Agent with uptime, for /");
    expect(ignoreText({ ...NOBODY, bots: true, prefetch: true })).toBe("a prefetch, a bot");
  });
});

test.each([
  [{ "sec-purpose": "prefetch" }, true],
  [{ "sec-purpose": "prefetch;anonymous-client-ip" }, true],
  [{ purpose: "prefetch" }, true],
  [{ "x-purpose": "preview" }, true],
  [{ "x-moz": "prefetch" }, true],
  [{ "x-moz": "other" }, false],
  [{ "sec-purpose": "" }, false],
  [{}, false],
])("prefetch: %j is one: %j", (headers, expected) => {
  expect(isPrefetch(headFor("shop.test", { headers }))).toBe(expected);
});

test("patterns: say the same as a regular expression with .* for each star", () => {
  const letters = (more: string) =>
    fc.string({ unit: fc.constantFrom("a", "b", "/", ...more), maxLength: 12 });
  fc.assert(
    fc.property(letters("*"), letters(""), (pattern, text) => {
      const pieces = pattern.split("*").map((piece) => piece.replaceAll("/", "\\/"));
      expect(matches(pattern, text)).toBe(new RegExp(`^${pieces.join(".*")}$`).test(text));
    }),
    { numRuns: 2000 },
  );
});

test("patterns: a text made up to be slow is not", () => {
  const pattern = `${"a*".repeat(50)}b`;
  const startMs = performance.now();
  expect(matches(pattern, "a".repeat(60_000))).toBe(false);
  expect(performance.now() - startMs).toBeLessThan(within(500));
});
