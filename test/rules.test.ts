import { describe, expect, test } from "bun:test";
import type { Rule, Settings } from "../src/config.ts";
import { explainPolicy, policyFor, resolveLabel, seatRuleFor } from "../src/rules.ts";

function rule(pattern: string, settings: Settings): Rule {
  return { pattern: new RegExp(pattern), settings };
}

function policy(key: string, rules: readonly Rule[], declared: Settings | null = null) {
  return policyFor({ key, declared }, { rules, maxIdleMs: 900_000, ignoredApps: ["pinned"] });
}

/** The sample of the README. */
const SAMPLE = [
  rule("app-review-pr(\\d+)-(back|front)", { linkedApps: ["app-review-pr$1-front"] }),
  rule("hello-fastify", { linkedApps: ["hellofastifydeux"] }),
  rule("hello-fastify-2", { appName: "hellofastifydeux" }),
  rule(".*fastify.*", { maxIdleMinutes: 0 }),
];

test("rules: without any rule the defaults hold", () => {
  expect(policy("shop", [])).toEqual({
    maxIdleMs: 900_000,
    linkedKeys: [],
    health: { path: null },
    wakeTimeoutMs: null,
    preserveHost: false,
    tlsVerify: true,
    tlsCa: null,
    ignored: false,
    ignore: null,
    keepAwake: null,
    forceSleep: null,
    busyUrl: null,
    keepAwakeHeaderMaxMs: null,
    websocketMaxQuietMs: null,
    hooks: null,
  });
  expect(policy("pinned", []).ignored).toBe(true);
});

describe("rules: the sample", () => {
  test.each<[string, readonly string[], number]>([
    ["app-review-pr12-back", ["app-review-pr12-front"], 900_000],
    ["app-review-pr12-front", [], 900_000],
    ["hello-fastify", ["hellofastifydeux"], 0],
    ["hellofastifydeux", [], 0],
    ["other", [], 900_000],
  ])("%s wakes %j and may idle %d ms", (key, linkedKeys, maxIdleMs) => {
    expect(policy(key, SAMPLE)).toMatchObject({ linkedKeys, maxIdleMs });
  });

  test.each([
    ["hello-fastify-2", "hellofastifydeux"],
    ["Hello-Fastify-2", "hellofastifydeux"],
    ["hello-fastify", "hello-fastify"],
    ["hellofastifydeux", "hellofastifydeux"],
  ])("the label %s stands for %s", (label, key) => {
    expect(resolveLabel(label, SAMPLE)).toBe(key);
  });
});

test("rules: later rules win field by field, and linked_apps replaces", () => {
  const rules = [
    rule("a", { maxIdleMinutes: 1, health: "/one", linkedApps: ["x", "y"] }),
    rule("a", { maxIdleMinutes: "never", linkedApps: ["z"], preserveHost: true }),
    rule("b", { maxIdleMinutes: 9 }),
  ];
  expect(policy("a", rules)).toMatchObject({
    maxIdleMs: null,
    health: { path: "/one" },
    linkedKeys: ["z"],
    preserveHost: true,
    tlsVerify: true,
    tlsCa: null,
  });
});

test("rules: the app's own entry wins over all rules", () => {
  const own = { maxIdleMinutes: 2, linkedApps: ["Own"], wakeTimeoutSeconds: 1.5 };
  expect(policy("a", [rule("a", { maxIdleMinutes: 1, health: "/h" })], own)).toMatchObject({
    maxIdleMs: 120_000,
    linkedKeys: ["own"],
    wakeTimeoutMs: 1500,
    health: { path: "/h" },
  });
});

test.each<[string, string, string, string]>([
  ["(b)?a(\\d)", "a7", "x$2-$1y", "x7-y"],
  ["(a)", "a", "$0$$-$10-$2", "$0$$-a0-"],
  ["(?<name>a+)", "aa", "$1", "aa"],
  ["a", "a", "x$1", "x"],
])("rules: %s on %s turns %s into %s", (pattern, key, text, filled) => {
  const { health, linkedKeys } = policy(key, [
    rule(pattern, { health: `/${text}`, linkedApps: [`l${text}`] }),
  ]);
  expect(health.path).toBe(`/${filled}`);
  expect(linkedKeys).toEqual([`l${filled}`]);
});

test("rules: linked keys are lower case, each once, never empty and never the app itself", () => {
  const linked = rule("shop-(\\d)?", { linkedApps: ["DB", "db", "Shop-", "$1", "api"] });
  expect(policy("shop-", [linked]).linkedKeys).toEqual(["db", "api"]);
});

test("rules: a pattern matches anywhere unless anchored", () => {
  expect(policy("my-shop-1", [rule("shop", { maxIdleMinutes: 1 })]).maxIdleMs).toBe(60_000);
  expect(policy("my-shop-1", [rule("^shop$", { maxIdleMinutes: 1 })]).maxIdleMs).toBe(900_000);
});

test("rules: settings beside a fixed app_name apply to the app it names", () => {
  const rules = [
    rule("alias", { appName: "Shop", maxIdleMinutes: 1 }),
    rule("(x)alias", { appName: "sho$1", maxIdleMinutes: 2 }),
  ];
  expect(policy("shop", rules).maxIdleMs).toBe(60_000);
  expect(policy("shox", rules).maxIdleMs).toBe(900_000);
});

test("rules: of several names the last wins, nothing is resolved twice, and an empty one is none", () => {
  const rules = [
    rule("^a", { appName: "b" }),
    rule("^ab", { appName: "c$1" }),
    rule("^b", { appName: "z" }),
    rule("^x(y)?", { appName: "$1" }),
  ];
  expect(resolveLabel("a", rules)).toBe("b");
  expect(resolveLabel("AB", rules)).toBe("c");
  expect(resolveLabel("x", rules)).toBe("x");
});

test("rules: who names a CA has certificates verified, unless the same entry says otherwise", () => {
  const off = { tlsVerify: false };
  const policyOf = (declared: Settings) =>
    policyFor(
      { key: "shop", declared },
      { rules: [rule(".", off)], maxIdleMs: 5, ignoredApps: [] },
    );
  expect(policyOf({}).tlsVerify).toBe(false);
  expect(policyOf({ tlsCa: "PEM" })).toMatchObject({ tlsCa: "PEM", tlsVerify: true });
  expect(policyOf({ tlsCa: "PEM", ...off }).tlsVerify).toBe(false);
});

test("rules: a policy says which rule gave each field", () => {
  const { policy: explained, sources } = explainPolicy(
    {
      key: "shop",
      declared: { preserveHost: true },
      labelled: { health: "/up", preserveHost: false },
    },
    {
      rules: [rule("s", { maxIdleMinutes: 1 }), rule("hop", { maxIdleMinutes: 2 })],
      maxIdleMs: 5,
      ignoredApps: ["shop"],
    },
  );
  expect(explained.health).toEqual({ path: "/up" });
  expect(sources).toEqual({
    maxIdleMs: { kind: "rule", index: 1, pattern: "hop" },
    linkedKeys: { kind: "default" },
    health: { kind: "label" },
    wakeTimeoutMs: { kind: "default" },
    preserveHost: { kind: "app" },
    tlsVerify: { kind: "default" },
    tlsCa: { kind: "default" },
    ignored: { kind: "variable", name: "REGISTRY_IGNORED_APPS" },
    ignore: { kind: "default" },
    keepAwake: { kind: "default" },
    forceSleep: { kind: "default" },
    busyUrl: { kind: "default" },
    keepAwakeHeaderMaxMs: { kind: "default" },
    websocketMaxQuietMs: { kind: "default" },
    hooks: { kind: "default" },
    provider: { kind: "default" },
  });
});

test("rules: whose app has a key is what the last rule says that matches and names a provider", () => {
  const rules = [
    rule("^shop", { provider: "process" }),
    rule("^shop$", { provider: "http", maxIdleMinutes: 1 }),
    rule("shop", { maxIdleMinutes: 2 }),
    rule("^alias$", { appName: "Blog", provider: "http" }),
  ];
  expect(seatRuleFor("shop", rules)).toEqual({ provider: "http", rule: "rules[1] (^shop$)" });
  expect(seatRuleFor("shop-2", rules)).toEqual({ provider: "process", rule: "rules[0] (^shop)" });
  expect(seatRuleFor("blog", rules)).toEqual({ provider: "http", rule: "rules[3] (^alias$)" });
  expect(seatRuleFor("other", rules)).toBeNull();
  const explain = (key: string) =>
    explainPolicy({ key, declared: null }, { rules, maxIdleMs: 5, ignoredApps: [] });
  expect([explain("shop").provider, explain("other").provider]).toEqual(["http", null]);
  expect(explain("shop").sources.provider).toEqual({ kind: "rule", index: 1, pattern: "^shop$" });
  expect(explain("shop").policy.maxIdleMs).toBe(120_000);
});
