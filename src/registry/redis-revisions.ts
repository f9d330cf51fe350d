/** Whether messages about stored records were missed: each carries how many there were, and Redis counts them, too. */

/** Numbers seen, and numbers counted. */
export interface Revisions {
  /** A message with this number came. @returns whether others before it did not */
  came(revision: number): boolean;
  /**
   * Redis has counted so far. What it has counted must be here by the time of the next count.
   * @returns whether something was missed, or Redis has gone back
   */
  counted(revision: number): boolean;
  /** What was missed until now is known of. */
  restart(): void;
}

/** Nothing is known: the first number is taken as it is. */
export function createRevisions(): Revisions {
  let seen: number | null = null;
  let counted: number | null = null;
  return {
    came(revision) {
      const isGap = seen !== null && revision > seen + 1;
      seen = Math.max(seen ?? 0, revision);
      return isGap;
    },
    counted(revision) {
      const before = counted ?? revision;
      const isBack = revision < before;
      const isMissed = isBack || (seen !== null && seen < before);
      counted = revision;
      seen = isBack ? revision : Math.max(seen ?? revision, before);
      return isMissed;
    },
    restart() {
      seen = null;
      counted = null;
    },
  };
}
