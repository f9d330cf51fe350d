/** What a soak has seen: counts by kind, and faults. */

/** So many faults are shown with all their details. */
const FAULTS_SHOWN = 50;

export interface Tally {
  /** One more of a kind. */
  count(kind: string): void;
  /** Something that must never happen: shown at once. */
  fault(what: string): void;
  readonly faultCount: number;
  /** Bytes of bodies that were checked, both ways. */
  bytes: number;
  /** Requests that were answered as they should be. */
  right: number;
  /** Kinds and their counts, by name. */
  rows(): readonly (readonly [kind: string, count: number])[];
}

export function createTally(): Tally {
  const counts = new Map<string, number>();
  let faultCount = 0;
  return {
    bytes: 0,
    right: 0,
    count: (kind) => void counts.set(kind, (counts.get(kind) ?? 0) + 1),
    fault(what) {
      faultCount += 1;
      if (faultCount <= FAULTS_SHOWN) console.log(`FAULT: ${what}`);
    },
    get faultCount() {
      return faultCount;
    },
    rows: () => [...counts].toSorted(([one], [other]) => one.localeCompare(other)),
  };
}
