/** What every place for shared switches keeps to. */

import { expect, test } from "bun:test";
import { LOCK_MS, type SwitchHash, type SwitchSpace } from "../../src/redis/switch-space.ts";
import { until } from "../support/until.ts";

/** Two instances over one place of their own. */
export interface SwitchSpaces extends AsyncDisposable {
  readonly one: SwitchSpace;
  readonly other: SwitchSpace;
  /** Lets so much time pass there. */
  pass(ms: number): Promise<void>;
}

/** Declares the tests. @param skip those that show nothing there, each with its reason */
export function testSwitchSpace(
  name: string,
  open: () => Promise<SwitchSpaces>,
  skip: readonly { readonly test: "expiry"; readonly because: string }[] = [],
): void {
  const PUT = { hash: "switches", key: "shop", seen: null, lock: null } as const;

  test(`${name}: what one instance puts is read by the other, and of each app only its own`, async () => {
    await using spaces = await open();
    const { one, other } = spaces;
    expect(await one.put({ ...PUT, text: "a" })).toBeNull();
    expect(await one.put({ ...PUT, hash: "pauses", text: "b" })).toBeNull();
    expect(await other.read("shop")).toEqual({ switches: "a", pauses: "b" });
    expect(await other.read("den")).toEqual({ switches: null, pauses: null });
    const all = await other.load();
    expect([...all.switches]).toEqual([["shop", "a"]]);
    expect([...all.pauses]).toEqual([["shop", "b"]]);
  });

  test(`${name}: nothing is put over what was not seen, and what stands there is told`, async () => {
    await using spaces = await open();
    const { one, other } = spaces;
    await one.put({ ...PUT, text: "a" });
    expect(await other.put({ ...PUT, text: "b" })).toEqual({ instead: "a" });
    expect(await other.put({ ...PUT, key: "den", seen: "a", text: "b" })).toEqual({
      instead: null,
    });
    expect(await other.put({ ...PUT, seen: "a", text: "b" })).toBeNull();
    expect((await one.read("shop")).switches).toBe("b");
  });

  test(`${name}: of many puts at once over the same one is stored`, async () => {
    await using spaces = await open();
    const { one, other } = spaces;
    const puts = Array.from({ length: 20 }, (_, n) =>
      (n % 2 === 0 ? one : other).put({ ...PUT, text: `text ${n}` }),
    );
    const outcomes = await Promise.all(puts);
    expect(outcomes.filter((outcome) => outcome === null)).toHaveLength(1);
  });

  test(`${name}: what is put is heard by every instance, with all of its characters`, async () => {
    await using spaces = await open();
    const { one, other } = spaces;
    const heard: [SwitchHash, string, string][] = [];
    const ends = [one, other].map((space) => space.listen((...told) => heard.push(told)));
    let ready = 0;
    const endReady = other.onReady(() => {
      ready += 1;
    });
    await until(() => ready > 0);
    const text = JSON.stringify({ message: 'Zurück um 12 "Uhr"\n\u0000☕' });
    // Subscriptions of a moment ago may not be there yet.
    for (let seen: string | null = null; heard.length < 2; seen = text) {
      await one.put({ ...PUT, seen, text });
      await spaces.pass(20);
    }
    expect(heard[0]).toEqual(["switches", "shop", text]);
    for (const end of [...ends, endReady]) end();
    const { length } = heard;
    await one.put({ ...PUT, seen: text, text: "more" });
    await spaces.pass(20);
    expect(heard).toHaveLength(length);
  });

  test(`${name}: a lock is held by one instance, whose fence grows with every taking`, async () => {
    await using spaces = await open();
    const { one, other } = spaces;
    const first = await one.take("shop", "what one does");
    if (!("lock" in first)) throw new Error("it is held");
    expect(await other.take("shop", "what the other does")).toEqual({ heldBy: "what one does" });
    expect(await other.take("den", "something else")).toMatchObject({ fence: 1 });
    await other.give("shop", "1 a lock of nobody");
    expect(await one.renew("shop", first.lock)).toBe(true);
    await one.give("shop", first.lock);
    expect(await one.renew("shop", first.lock)).toBe(false);
    expect(await other.take("shop", "what the other does")).toMatchObject({
      fence: first.fence + 1,
    });
  });

  test(`${name}: nothing is put under a lock that somebody else has, or nobody`, async () => {
    await using spaces = await open();
    const { one, other } = spaces;
    const stale = await one.take("shop", "stale");
    if (!("lock" in stale)) throw new Error("it is held");
    expect(await one.put({ ...PUT, text: "a", lock: stale.lock })).toBeNull();
    await one.give("shop", stale.lock);
    expect(await one.put({ ...PUT, seen: "a", text: "b", lock: stale.lock })).toBe("lost");
    await other.take("shop", "newer");
    expect(await one.put({ ...PUT, seen: "a", text: "b", lock: stale.lock })).toBe("lost");
    expect((await one.read("shop")).switches).toBe("a");
  });

  test.skipIf(skip.some((one) => one.test === "expiry"))(
    `${name}: a lock that is not renewed ends by itself`,
    async () => {
      await using spaces = await open();
      const { one, other } = spaces;
      await one.take("shop", "forgotten");
      await spaces.pass(LOCK_MS - 1000);
      expect(await other.take("shop", "next")).toEqual({ heldBy: "forgotten" });
      await spaces.pass(2000);
      expect(await other.take("shop", "next")).toMatchObject({ fence: 2 });
    },
    60_000,
  );
}
