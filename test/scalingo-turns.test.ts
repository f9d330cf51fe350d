/** Turns to scale: how many at once, who goes first, and what happens to those nobody gives back. */

import { expect, test } from "bun:test";
import { createScaleTurns } from "../src/providers/scalingo-turns.ts";
import { rejection } from "./contract/provider.ts";
import { createVirtualClock, settled } from "./support/virtual-clock.ts";

function world(max: number) {
  const clock = createVirtualClock();
  const turns = createScaleTurns(clock, max);
  const order: string[] = [];
  const { signal } = new AbortController();
  const take = async (id: string, urgency: "wake" | "sleep", with_ = signal) => {
    await turns.take(id, urgency, with_);
    order.push(id);
  };
  return { clock, turns, order, take };
}

test("turns: wakes before sleeps, otherwise in order, and the last one is for wakes", async () => {
  const { turns, order, take } = world(3);
  const all = ["a", "b", "c", "d"].map((id) => take(id, "sleep"));
  await settled();
  expect(order).toEqual(["a", "b"]);
  all.push(...["w", "x", "y"].map((id) => take(id, "wake")));
  await settled();
  expect(order).toEqual(["a", "b", "w"]);
  turns.give("a");
  await settled();
  expect(order).toEqual(["a", "b", "w", "x"]);
  for (const id of ["b", "w", "x", "y", "c"]) turns.give(id);
  await settled();
  for (const id of ["y", "c"]) turns.give(id);
  await Promise.all(all);
  expect(order).toEqual(["a", "b", "w", "x", "y", "c", "d"]);
});

test("turns: an app that has one keeps it, and gives it back once", async () => {
  const { turns, order, take } = world(2);
  await take("a", "sleep");
  await take("a", "wake");
  const other = take("b", "sleep");
  await settled();
  expect(order).toEqual(["a", "a"]);
  turns.give("a");
  turns.give("a");
  turns.give("z");
  await other;
});

test("turns: one that somebody works in lasts, however long that takes", async () => {
  const { clock, turns, order, take } = world(2);
  await take("a", "wake");
  await take("z", "wake");
  turns.rest("z");
  turns.keep("z");
  const other = take("b", "wake");
  await clock.advance(600_000);
  expect([order, clock.pending()]).toEqual([["a", "z"], 0]);
  turns.give("a");
  await other;
  turns.rest("a");
  expect(clock.pending()).toBe(0);
});

test("turns: one that rests, and that nobody keeps, ends by itself", async () => {
  const { clock, turns, order, take } = world(2);
  await take("a", "wake");
  await take("z", "wake");
  const other = take("b", "wake");
  for (const id of ["a", "z"]) turns.rest(id);
  await clock.advance(10_000);
  for (const id of ["a", "z"]) {
    turns.keep(id);
    turns.rest(id);
  }
  await clock.advance(14_000);
  expect([order.length, clock.pending()]).toEqual([2, 1]);
  await clock.advance(2_000);
  await other;
  turns.close();
  expect(clock.pending()).toBe(0);
});

test("turns: who gives up waiting is passed over", async () => {
  const { turns, take } = world(2);
  await take("a", "wake");
  await take("z", "wake");
  const controller = new AbortController();
  const gaveUp = rejection(take("b", "wake", controller.signal));
  const other = take("c", "sleep");
  controller.abort(new Error("enough"));
  expect((await gaveUp).kind).toBe("failed");
  turns.give("a");
  turns.give("z");
  await other;
});

test("turns: at the end nobody waits on for a turn that nobody will give back", async () => {
  const { clock, turns, take } = world(2);
  await take("a", "sleep");
  turns.rest("a");
  const waiting = ["b", "c"].map((id) => rejection(take(id, "sleep")));
  await settled();
  turns.close();
  const late = rejection(take("d", "wake"));
  for (const error of await Promise.all([...waiting, late])) expect(error.kind).toBe("failed");
  expect(clock.pending()).toBe(0);
});
