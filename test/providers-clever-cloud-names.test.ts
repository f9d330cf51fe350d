import { expect, test } from "bun:test";
import { keysOf, type Named } from "../src/providers/clever-cloud-keys.ts";
import { targetOfVhosts } from "../src/providers/clever-cloud-target.ts";
import { aliasOf, slugOf } from "../src/providers/slug.ts";

const UUID = "0210ab5c-6baf-477b-8c0f-32c18a0e7fb6";
const APP_ID = `app_${UUID}`;

test.each([
  ["demo", "demo"],
  ["My Shop", "my-shop"],
  ["Été à Paris (2)", "ete-a-paris-2"],
  ["  API -- v2.1_beta ", "api-v2-1-beta"],
  ["Straße Œuvre Ærø Łódź İstanbul", "strasse-oeuvre-aero-lodz-istanbul"],
  ["ﬁn ①", "fin-1"],
  ["日本語", ""],
  ["🚀", ""],
  ["", ""],
  ["---", ""],
  [`${"a".repeat(62)} bc`, "a".repeat(62)],
  ["b".repeat(100), "b".repeat(63)],
])("slug: %p is %p", (name, slug) => {
  expect(slugOf(name)).toBe(slug);
});

test("slug: an app's id becomes a label of a host name", () => {
  expect(aliasOf(APP_ID)).toBe(`app-${UUID}`);
});

function named(id: string, name: string, createdMs: number | null = null): Named {
  return { id: `orga_1/app_${id}`, appId: `app_${id}`, name, createdMs };
}

function keysFor(apps: readonly Named[], before: ReadonlyMap<string, string> = new Map()) {
  const { keyed, holders } = keysOf(apps, before);
  return { keys: keyed.map(({ app, key }) => [app.appId, key]), holders };
}

test("keys: a name of its own is the key, and a name without letters is reached by the id", () => {
  const { keys } = keysFor([named("1", "My Shop"), named("2", "日本語"), named("3", "")]);
  expect(keys).toEqual([
    ["app_1", "my-shop"],
    ["app_2", "app-2"],
    ["app_3", "app-3"],
  ]);
});

test("keys: of apps with the same name the oldest comes first, however they are listed", () => {
  const apps = [named("1", "Demo", 300), named("2", "demo", 100), named("3", "démo", 200)];
  const wanted = [
    ["app_2", "demo"],
    ["app_3", "demo"],
    ["app_1", "demo"],
  ];
  expect(keysFor(apps).keys).toEqual(wanted);
  expect(keysFor(apps.toReversed()).keys).toEqual(wanted);
});

test("keys: until all ages are known nobody gets a shared name, unless it had it before", () => {
  const first = [named("1", "demo", 300), named("2", "demo")];
  expect(keysFor(first).keys.toSorted()).toEqual([
    ["app_1", "app-1"],
    ["app_2", "app-2"],
  ]);
  const alone = keysFor([named("1", "demo")]);
  expect(keysFor(first, alone.holders).keys.toSorted()).toEqual([
    ["app_1", "demo"],
    ["app_2", "app-2"],
  ]);
});

test.each([
  [
    "the default domain",
    [`app-${UUID}.cleverapps.io/`, "shop.example.com/"],
    `https://app-${UUID}.cleverapps.io`,
  ],
  [
    "the default domain, last in the list",
    ["shop.example.com", `APP-${UUID}.cleverapps.io/`],
    `https://app-${UUID}.cleverapps.io`,
  ],
  [
    "another name of the platform before the user's",
    ["shop.example.com/", "shop.cleverapps.io/"],
    "https://shop.cleverapps.io",
  ],
  ["the user's, when there is no other", ["shop.example.com/"], "https://shop.example.com"],
  ["a name without a path", ["example.com/api", "shop.example.com/"], "https://shop.example.com"],
  ["a name with a path, when there is no other", ["example.com/api"], "https://example.com"],
  ["http for names that no certificate covers", ["a.b.cleverapps.io/"], "http://a.b.cleverapps.io"],
  [
    "names with a certificate before those without",
    ["a.b.cleverapps.io/", "shop.example.com/"],
    "https://shop.example.com",
  ],
  ["http on this machine", [`app-${UUID}.localhost:4000/`], `http://app-${UUID}.localhost:4000`],
  ["http for an address", ["127.0.0.1:4000/"], "http://127.0.0.1:4000"],
  ["never a wildcard", ["*.example.com/"], null],
  ["nothing without domains", [], null],
  ["nothing of what is no host", ["", "/", "a b", "x@y/", "host:port/", "[::1"], null],
])("target: %s", (_what, vhosts, origin) => {
  const target = targetOfVhosts(APP_ID, vhosts);
  expect(target?.origin ?? null).toBe(origin);
  expect(target?.host ?? null).toBe(origin === null ? null : new URL(origin).host);
});
