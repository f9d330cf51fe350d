import { expect, test } from "bun:test";

import type { App } from "../src/app.ts";
import { createAppTable } from "../src/app-table.ts";
import { sampleApp, samplePolicy } from "./support/sample-app.ts";

/** A table of apps with these links, by key, and the apps. */
function linked(links: Readonly<Record<string, readonly string[]>>) {
  const table = createAppTable();
  for (const key of Object.keys(links)) table.add(sampleApp(key));
  table.applyPolicies(({ key }) => samplePolicy({ linkedKeys: links[key] ?? [] }));
  const keysOf = (apps: readonly App[] | undefined) => apps?.map(({ key }) => key).toSorted();
  return {
    table,
    links: (key: string) => keysOf(table.byKey(key)?.links),
    users: (key: string) => keysOf(table.byKey(key)?.linkedFrom),
  };
}

test("app table: an app is found by key and by identity, and by nothing else", () => {
  const table = createAppTable();
  const app = sampleApp("shop", { ref: { provider: "stub", id: "app-17" } });
  table.add(app);
  expect(table.byKey("shop")).toBe(app);
  expect(table.byRef({ provider: "stub", id: "app-17" })).toBe(app);
  for (const key of ["app-17", "SHOP", "shop ", "", "__proto__", "constructor"]) {
    expect(table.byKey(key)).toBeNull();
  }
  expect(table.byRef({ provider: "other", id: "app-17" })).toBeNull();
  expect(table.byRef({ provider: "stub", id: "shop" })).toBeNull();
});

test("app table: a key or an identity that is taken is refused, and nothing is half added", () => {
  const table = createAppTable();
  const app = sampleApp("shop");
  table.add(app);
  const sameKey = sampleApp("shop", { ref: { provider: "stub", id: "other" } });
  const sameRef = sampleApp("other", { ref: app.ref });
  expect(() => table.add(sameKey)).toThrow("shop");
  expect(() => table.add(sameRef)).toThrow("stub/shop");
  expect(table.all()).toEqual([app]);
  expect(table.byRef(sameKey.ref)).toBeNull();
  expect(table.byKey("other")).toBeNull();
});

test("app table: removing is safe to repeat, and leaves alone who came after", () => {
  const table = createAppTable();
  const first = sampleApp("shop");
  table.add(first);
  table.remove(first);
  table.remove(first);
  expect(table.byKey("shop")).toBeNull();
  const second = sampleApp("shop");
  table.add(second);
  table.remove(first);
  expect(table.byKey("shop")).toBe(second);
  expect(table.byRef(second.ref)).toBe(second);
});

test("app table: the list of all apps is a copy", () => {
  const table = createAppTable();
  table.add(sampleApp("shop"));
  const before = table.all();
  table.add(sampleApp("blog"));
  expect(before).toHaveLength(1);
});

test("app table: links are followed through others", () => {
  const { links, users } = linked({ a: ["b"], b: ["c"], c: [], d: ["c"] });
  expect([links("a"), links("b"), links("c"), links("d")]).toEqual([["b", "c"], ["c"], [], ["c"]]);
  expect([users("a"), users("b"), users("c")]).toEqual([[], ["a"], ["a", "b", "d"]]);
});

test("app table: in a cycle each app is linked once, and never to itself", () => {
  const { links, users } = linked({ a: ["b", "a"], b: ["c", "c"], c: ["a"] });
  expect([links("a"), links("b"), links("c")]).toEqual([
    ["b", "c"],
    ["a", "c"],
    ["a", "b"],
  ]);
  expect(users("a")).toEqual(["b", "c"]);
});

test("app table: a link to an app that is not there is no link, until it comes", () => {
  const { table, links } = linked({ a: ["late"] });
  expect(links("a")).toEqual([]);
  table.add(sampleApp("late"));
  table.applyPolicies(({ policy }) => policy);
  expect(links("a")).toEqual(["late"]);
});

test("app table: who was removed is linked to no more after the next policies", () => {
  const { table, links, users } = linked({ a: ["b"], b: ["c"], c: [] });
  const removed = table.byKey("b");
  if (removed === null) throw new Error("b is lost");
  table.remove(removed);
  table.applyPolicies(({ policy }) => policy);
  // Through `b` the way led to `c`.
  expect(links("a")).toEqual([]);
  expect(users("c")).toEqual([]);
});

test("app table: policies that take a link away take its users away", () => {
  const { table, users } = linked({ a: ["b"], b: [] });
  table.applyPolicies(() => samplePolicy());
  expect(users("b")).toEqual([]);
});

test("app table: an app that no key leads to is known, and not among those that can be reached", () => {
  const table = createAppTable();
  const first = sampleApp("shop");
  const second = sampleApp("shop", { ref: { provider: "other", id: "shop" } });
  table.add(first);
  table.enroll(second);
  expect(table.byRef(second.ref)).toBe(second);
  expect([table.all(), table.known()]).toEqual([[first], [first, second]]);
  expect(() => table.enroll(second)).toThrow("other/shop");
});

test("app table: seats say what leads where, and what apps are called", () => {
  const table = createAppTable();
  const first = sampleApp("shop");
  const second = sampleApp("blog");
  table.add(first);
  table.add(second);
  const holders = new Map([
    ["shop", second],
    ["app-2", second],
  ]);
  table.seat({ holders, keys: new Map([[second, "shop"]]) });
  expect([table.byKey("shop"), table.byKey("app-2")]).toEqual([second, second]);
  expect(table.byKey("blog")).toBeNull();
  expect([first.key, second.key]).toEqual(["shop", "shop"]);
  expect([table.all(), table.known()]).toEqual([[second], [first, second]]);
  table.remove(second);
  expect([table.byKey("shop"), table.byKey("app-2")]).toEqual([null, null]);
  expect(table.known()).toEqual([first]);
});

test("app table: links lead through aliases too, and who lost its key still uses what it links to", () => {
  const table = createAppTable();
  const [shop, db] = [sampleApp("shop"), sampleApp("db")];
  table.enroll(shop);
  table.add(db);
  table.seat({
    holders: new Map([
      ["db", db],
      ["app-db", db],
    ]),
    keys: new Map([[db, "db"]]),
  });
  table.applyPolicies(({ key }) =>
    samplePolicy({ linkedKeys: key === "shop" ? ["app-db"] : ["shop"] }),
  );
  expect(shop.links).toEqual([db]);
  expect(db.linkedFrom).toEqual([shop]);
  expect([db.links, shop.linkedFrom]).toEqual([[], []]);
});
