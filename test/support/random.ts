/** Chance that can be played again from a seed. */

export interface Chance {
  /** 0 to 1, exclusive. */
  next(): number;
  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number;
  oneOf<T>(values: readonly T[]): T;
  /** True with this probability. */
  happens(probability: number): boolean;
}

/** mulberry32: small, quick, and good enough to shuffle events. */
export function createChance(seed: number): Chance {
  let state = seed >>> 0;
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  const between = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    between,
    oneOf(values) {
      const value = values[between(0, values.length - 1)];
      if (value === undefined) throw new Error("nothing to choose from");
      return value;
    },
    happens: (probability) => next() < probability,
  };
}
