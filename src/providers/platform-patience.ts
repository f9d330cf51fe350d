/** How patient we are with what a platform goes on with: when to look, and when to ask for it once more. Pure. */

/** What is soon over is soon seen: the first pauses between looks, and all later ones, ms. */
const LOOK_FIRST_MS: readonly number[] = [1_000, 2_000, 3_000];
const LOOK_LATER_MS = 5_000;

/**
 * How long to wait for the next look, ms.
 * @param elapsedMs since it was begun
 */
export function lookAfterMs(elapsedMs: number): number {
  let dueMs = 0;
  for (const pauseMs of LOOK_FIRST_MS) {
    dueMs += pauseMs;
    if (elapsedMs < dueMs) return pauseMs;
  }
  return LOOK_LATER_MS;
}

/** So long an app may look as it did although a call was accepted, ms: no platform documents anything about it. */
export const SHOWS_MS = 30_000;

/** How often a call is made at most whose answers are lost, one after the other. */
export const ASKS_MAX = 5;

/**
 * How long a call whose answer was lost may still show, ms: then it never arrived, and is made once more. The more often
 * that was so, the longer, up to `SHOWS_MS`.
 * @param firstMs after the first such call
 * @param lost how many such calls there were, the one in question included; 0: nobody saw it go, nor knows when it did
 */
export function mayShowMs(firstMs: number, lost: number): number {
  return lost === 0 ? SHOWS_MS : Math.min(SHOWS_MS, firstMs * 2 ** (lost - 1));
}
