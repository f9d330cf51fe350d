/** Tests of one file that run beside each other, but only so many at a time: more would keep each other from being in time. */

import { test } from "bun:test";

/** Longest a test may wait for its turn and run, ms: the time begins for all of them at once. */
const TEST_MAX_MS = 300_000;

/** @returns what registers a test, as `test` does */
export function testsInTurn(atOnce: number): (what: string, play: () => Promise<void>) => void {
  const queue: (() => void)[] = [];
  let free = atOnce;
  async function inTurn(play: () => Promise<void>): Promise<void> {
    if (free === 0) await new Promise<void>((resolve) => queue.push(resolve));
    else free -= 1;
    try {
      await play();
    } finally {
      const next = queue.shift();
      if (next === undefined) free += 1;
      else next();
    }
  }
  return (what, play) => test.concurrent(what, () => inTurn(play), TEST_MAX_MS);
}
