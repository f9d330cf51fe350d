/** One signal out of several. */

import { expect, test } from "bun:test";
import { eitherOf } from "../src/providers/either-signal.ts";

test("either signal: the first that aborts gives its reason, later ones change nothing", () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const { signal } = eitherOf([one.signal, other.signal]);
  expect(signal.aborted).toBe(false);
  other.abort("other");
  one.abort("one");
  expect([signal.aborted, signal.reason]).toEqual([true, "other"]);
});

test("either signal: one that was aborted before counts at once", () => {
  const { signal } = eitherOf([new AbortController().signal, AbortSignal.abort("before")]);
  expect([signal.aborted, signal.reason]).toEqual([true, "before"]);
});

test("either signal: nothing reaches it after its end", () => {
  const one = new AbortController();
  const { signal, end } = eitherOf([one.signal]);
  end();
  one.abort("late");
  expect(signal.aborted).toBe(false);
});
