import { expect, test } from "bun:test";

import { leftAloneBecause, whyLeftAlone } from "../src/last-word.ts";
import type { Phase } from "../src/providers/provider.ts";

const PHASES: readonly (readonly [Phase, string])[] = [
  ["unmanaged", "it runs, but is left alone: it has no web process"],
  ["deploying", "it is being deployed: it has no web process"],
  ["blocked", "the platform blocks it: it has no web process"],
  ["waking", "it is starting: it has no web process"],
  ["unknown", "its platform does not say how it is: it has no web process"],
];

test.each(PHASES)("last word: an app that is %s is left alone because %s", (phase, why) => {
  const observation = { phase, target: null, reason: "it has no web process" };
  expect(whyLeftAlone({ observation, atMs: 0 }, 1000)).toBe(why);
  expect(leftAloneBecause({ phase, target: null })).toBe(why.split(":")[0] ?? "");
});
