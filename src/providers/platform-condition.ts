/** Says once in the log that something has become bad, and once that it is good again: never a line a minute. */

import type { Clock } from "../clock.ts";
import type { LogFields } from "../log.ts";
import type { Trouble } from "./provider.ts";

/** One line. */
type Say = (fields: LogFields, message: string) => void;

/** Something that is either bad or good; good at first. */
export interface Condition extends Trouble {
  /** It is bad. Said once until it is good, and not within ten minutes of the last time: then with a later call. */
  begin(message: string): void;
  /** It is good. Said if it was said to be bad. */
  end(message: string): void;
}

/** Shortest time between two lines that say "bad", in ms: what comes and goes must not fill the log. */
const LINE_GAP_MS = 10 * 60_000;

/** Makes a condition; `bad` and `good` write the lines, both with `fields`. */
export function createCondition(options: {
  readonly bad: Say;
  readonly good: Say;
  readonly fields: LogFields;
  readonly clock: Clock;
}): Condition {
  const { clock, fields } = options;
  let isBad = false;
  let isSaid = false;
  let isTakenOver = false;
  let saidMs = Number.NEGATIVE_INFINITY;
  return {
    begin(message) {
      isBad = true;
      if (isSaid || isTakenOver || clock.now() - saidMs < LINE_GAP_MS) return;
      isSaid = true;
      saidMs = clock.now();
      options.bad(fields, message);
    },
    end(message) {
      if (isSaid) options.good(fields, message);
      isBad = false;
      isSaid = false;
      isTakenOver = false;
    },
    isKnown: () => isBad || isTakenOver,
    takeOver() {
      isTakenOver = true;
    },
  };
}
