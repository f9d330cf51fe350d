/** Pauses between attempts: they grow, and no two programs have the same. */

const FIRST_MS = 50;
const MAX_MS = 2_000;

/** The pauses of one connection. */
export interface Backoff {
  /** The pause before the next attempt, ms. */
  next(): number;
  /** It has worked: the next pause is short again. */
  reset(): void;
}

/** From 25 ms to 2 s. @param random 0 to 1, exclusive */
export function createBackoff(random: () => number): Backoff {
  let attempts = 0;
  return {
    next() {
      const longest = Math.min(FIRST_MS * 2 ** attempts, MAX_MS);
      attempts = Math.min(attempts + 1, 10);
      return Math.round(longest * (0.5 + random() / 2));
    },
    reset() {
      attempts = 0;
    },
  };
}
