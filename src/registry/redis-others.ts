/** The other instances: who was heard of lately. */

import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";

/** Those that count as alive. */
export interface Others {
  /** Something came from it, or is known of it, that is so old, ms. */
  heard(instance: string, ageMs: number): void;
  /** Whether an instance was heard of as another run of it before, which has ended without a word then. */
  isOtherRun(instance: string, run: string): boolean;
  /** It said goodbye. @returns whether it was known */
  left(instance: string): boolean;
  /** Those that were silent for too long; they are told once. */
  takeSilent(): readonly string[];
  /** In order. */
  names(): readonly string[];
}

/**
 * @param lifeMs so long after its last sign an instance counts as gone
 * @param log hears who came and went
 */
export function createOthers(
  clock: Clock,
  lifeMs: number,
  log: Pick<Log, "info" | "warn">,
): Others {
  const heardMs = new Map<string, number>();
  const runs = new Map<string, string>();
  /** What was under way when an instance left says nothing about it any more. */
  const leftMs = new Map<string, number>();

  function isSilent(sinceMs: number): boolean {
    return clock.now() - sinceMs >= lifeMs;
  }
  return {
    heard(instance, ageMs) {
      const atMs = clock.now() - ageMs;
      if (atMs <= (leftMs.get(instance) ?? 0) || isSilent(atMs)) return;
      if (!heardMs.has(instance)) log.info({ instance }, "another instance is there");
      heardMs.set(instance, Math.max(heardMs.get(instance) ?? 0, atMs));
    },
    isOtherRun(instance, run) {
      const before = runs.get(instance);
      runs.set(instance, run);
      return before !== undefined && before !== run && heardMs.has(instance);
    },
    left(instance) {
      leftMs.set(instance, clock.now());
      const wasKnown = heardMs.delete(instance);
      if (wasKnown) log.info({ instance }, "another instance has ended");
      return wasKnown;
    },
    takeSilent() {
      const silent = [...heardMs].filter(([, atMs]) => isSilent(atMs)).map(([name]) => name);
      for (const name of silent) {
        heardMs.delete(name);
        log.warn(
          { instance: name },
          "another instance is not heard of: what it uses counts no more",
        );
      }
      for (const [name, atMs] of [...leftMs]) if (isSilent(atMs)) leftMs.delete(name);
      return silent;
    },
    names: () => [...heardMs.keys()].toSorted(),
  };
}
