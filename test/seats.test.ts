import { describe, expect, test } from "bun:test";

import type { Claimant, SeatRule } from "../src/seats.ts";
import { assignSeats, describeConflict, mergeOrder } from "../src/seats.ts";

/** `heroku/a shop alias1 alias2` */
function claimant(text: string): Claimant {
  const [ref = "", key = "", ...aliases] = text.split(" ");
  const [provider = "", id = ""] = ref.split("/");
  return { ref: { provider, id }, key, aliases };
}

/** Who has which key, as `key=provider/id`, in the order of the keys. */
function seatsOf(texts: readonly string[], rules: Readonly<Record<string, string>> = {}) {
  const ruleOf = (key: string): SeatRule | null => {
    const provider = rules[key];
    return provider === undefined ? null : { provider, rule: `rules[0] (${key})` };
  };
  const seats = assignSeats(texts.map(claimant), ruleOf);
  const name = ({ ref }: Claimant) => `${ref.provider}/${ref.id}`;
  return {
    leads: [...seats.holders].map(([key, holder]) => `${key}=${name(holder)}`).toSorted(),
    called: [...seats.keys].map(([holder, key]) => `${name(holder)}=${key}`),
    conflicts: seats.conflicts,
  };
}

describe("seats", () => {
  test.each<[string, readonly string[], Record<string, string>, readonly string[]]>([
    ["nobody", [], {}, []],
    ["each its own", ["a/1 shop", "b/2 blog"], {}, ["blog=b/2", "shop=a/1"]],
    ["who comes first has it", ["a/1 shop", "b/2 shop"], {}, ["shop=a/1"]],
    ["a rule decides", ["a/1 shop", "b/2 shop"], { shop: "b" }, ["shop=b/2"]],
    [
      "a rule for nobody that wants it",
      ["a/1 shop", "b/2 blog"],
      { shop: "b" },
      ["blog=b/2", "shop=a/1"],
    ],
    ["among apps of that provider, the first", ["a/1 s", "b/2 s", "b/3 s"], { s: "b" }, ["s=b/2"]],
    ["a rule for another key", ["a/1 shop", "b/2 shop"], { blog: "b" }, ["shop=a/1"]],
    ["an alias that nobody wants", ["a/1 shop x"], {}, ["shop=a/1", "x=a/1"]],
    [
      "an alias that somebody is called",
      ["a/1 shop blog", "b/2 blog"],
      {},
      ["blog=b/2", "shop=a/1"],
    ],
    ["so too if that one comes first", ["b/2 blog", "a/1 shop blog"], {}, ["blog=b/2", "shop=a/1"]],
    ["an alias of two", ["a/1 p x", "b/2 q x"], {}, ["p=a/1", "q=b/2", "x=a/1"]],
    ["a rule about an alias", ["a/1 p x", "b/2 q x"], { x: "b" }, ["p=a/1", "q=b/2", "x=b/2"]],
    ["its own key as an alias, twice", ["a/1 p p x x"], {}, ["p=a/1", "x=a/1"]],
  ])("seats: %s", (_, texts, rules, leads) => {
    expect(seatsOf(texts, rules).leads).toEqual([...leads]);
  });

  test("seats: who loses its key is called by its first free alias, or by nothing", () => {
    const texts = ["a/1 shop", "b/2 shop taken free other", "c/3 taken", "d/4 shop"];
    expect(seatsOf(texts).called).toEqual(["a/1=shop", "b/2=free", "c/3=taken"]);
  });

  test("seats: a conflict names both, who has the key, by what, and what would change it", () => {
    const [conflict, ...others] = seatsOf(["a/1 shop", "b/2 shop app-2", "a/3 shop"]).conflicts;
    expect(others).toEqual([]);
    if (conflict === undefined) throw new Error("there is no conflict");
    expect(describeConflict(conflict)).toEqual({
      why: "shop (a, 1) has the key by the order of providers and of their lists, and not shop (b), which is reached as app-2; shop (a, 3), which nothing leads to",
      next: "rename one of them, or let a rule decide: { pattern: '^shop$', provider: b }",
    });
  });

  test("seats: what a rule has decided is said to be so, and the way back too", () => {
    const [conflict] = seatsOf(["a/1 shop", "b/2 shop"], { shop: "b" }).conflicts;
    if (conflict === undefined) throw new Error("there is no conflict");
    const { why, next } = describeConflict(conflict);
    expect(why).toStartWith("shop (b) has the key by rules[0] (shop), and not shop (a)");
    expect(next).toContain("provider: a }");
  });

  test("seats: in a conflict each app is called as people know it, by its id only where nothing else helps", () => {
    const inParis = { ...claimant("cloud/osc-fr1/60b8 shop"), label: "shop in osc-fr1" };
    const inSecret = { ...claimant("cloud/osc-secnum-fr1/9a17 shop"), label: "shop in osc-secnum" };
    const [conflict] = assignSeats([inParis, inSecret], () => null).conflicts;
    if (conflict === undefined) throw new Error("there is no conflict");
    const { why } = describeConflict(conflict);
    expect(why).toStartWith("shop in osc-fr1 (cloud) has the key");
    expect(why).toContain("not shop in osc-secnum (cloud), which nothing leads to");
  });

  test("seats: of two apps of one provider no rule is spoken of", () => {
    const [conflict] = seatsOf(["a/1 shop", "a/2 shop"]).conflicts;
    if (conflict === undefined) throw new Error("there is no conflict");
    expect(describeConflict(conflict).next).toBe(
      "rename one of them: no rule tells apps of one provider apart",
    );
  });

  test("seats: two that share an alias are no conflict", () => {
    expect(seatsOf(["a/1 p x", "b/2 q x"]).conflicts).toEqual([]);
  });
});

describe("order", () => {
  const letters = (text: string) => [...text];
  test.each<[string, string, string, string]>([
    ["", "abc", "", "abc"],
    ["abc", "cab", "", "cab"],
    ["abc", "ac", "b", "abc"],
    ["abc", "ac", "", "ac"],
    // What was left out keeps its place before whom it was before.
    ["mnab", "b", "mna", "mnab"],
    ["axb", "xb", "a", "axb"],
    ["abc", "ab", "c", "abc"],
    ["abcd", "dax", "bc", "bcdax"],
  ])("order: %s, then a list of %s, of the others %s stays: %s", (before, listed, stays, after) => {
    const order = mergeOrder(letters(before), letters(listed), (id) => stays.includes(id));
    expect(order.join("")).toBe(after);
  });
});
