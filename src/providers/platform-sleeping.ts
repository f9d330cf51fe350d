/** Which apps of a platform are being put to sleep: a wake waits for the end of that. */

import type { Clock } from "../clock.ts";
import type { Step } from "./provider.ts";

/** The core waits for a sleep before it asks for a wake; others may not. */
export interface Sleeping {
  /** Does one step of a sleep. What it throws ends the sleep, and so does a step that is done. */
  during(id: string, work: () => Promise<Step>): Promise<Step>;
  /** Whether a sleep of this app is under way, as far as anybody follows it. */
  has(id: string): boolean;
}

/** Whoever has not looked for so long does not follow a sleep any more, ms. */
const FORGOTTEN_MS = 15_000;

/** Nothing sleeps yet. */
export function createSleeping(clock: Clock): Sleeping {
  const untilMs = new Map<string, number>();
  return {
    async during(id, work) {
      untilMs.set(id, Number.POSITIVE_INFINITY);
      try {
        const step = await work();
        if (step.done) untilMs.delete(id);
        else untilMs.set(id, clock.now() + FORGOTTEN_MS);
        return step;
      } catch (error) {
        untilMs.delete(id);
        throw error;
      }
    },
    has(id) {
      const believedMs = untilMs.get(id);
      if (believedMs === undefined || clock.now() < believedMs) return believedMs !== undefined;
      untilMs.delete(id);
      return false;
    },
  };
}
