/** How many events stay, and when a store looks for those that must go. */

/** What stays. */
export interface Retention {
  /** The newest so many, and up to a tenth (at most 1,000) more until the next trim. Default 100,000. */
  readonly keep?: number;
  /** Those that are no older, ms; default `null`: however old. */
  readonly keepMs?: number | null;
  /** What the wall clock says, as in the events' times; needed with `keepMs`. */
  readonly now?: () => number;
}

/** Tells a store when to trim. */
export interface TrimPlan {
  readonly keep: number;
  /** Events before this moment go; `null`: none for their age. */
  bornBeforeMs(): number | null;
  /** Whether a trim goes with an append of so many events. */
  isDue(adding: number): boolean;
  /** So many were added. */
  added(count: number, how: { readonly isTrimmed: boolean }): void;
}

/** A store that adds little must still forget what is old. */
const AGE_CHECK_EVERY_MS = 60 * 60 * 1000;

export function createTrimPlan({ keep = 100_000, keepMs = null, now }: Retention): TrimPlan {
  const nowMs = () => now?.() ?? 0;
  // Small, so that no trim takes long (1,000 rows in SQLite: 5 ms).
  const every = Math.max(1, Math.min(1_000, Math.floor(keep / 10)));
  // The first append trims: an instance that never lives long enough for `every` must not let the store grow.
  let addedSinceTrim = every;
  let trimmedAtMs = nowMs();
  const isLongAgo = () => Math.abs(nowMs() - trimmedAtMs) >= AGE_CHECK_EVERY_MS;
  return {
    keep,
    bornBeforeMs: () => (keepMs === null || now === undefined ? null : now() - keepMs),
    isDue: (adding) => addedSinceTrim + adding >= every || (keepMs !== null && isLongAgo()),
    added(count, { isTrimmed }) {
      addedSinceTrim = isTrimmed ? 0 : addedSinceTrim + count;
      if (isTrimmed) trimmedAtMs = nowMs();
    },
  };
}
