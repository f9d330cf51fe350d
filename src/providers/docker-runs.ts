/** What is remembered of the runs of containers: who ended them, and whether they have answered yet. */

import type { Clock } from "../clock.ts";
import { type Knowledge, WAKE_TIMEOUT_MS } from "./docker-state.ts";

/** Told by the engine, or by ourselves. */
export interface DockerRuns {
  /** What the state of a container means besides what the engine says. */
  knowledgeOf(containerId: string): Knowledge;
  /** Somebody has told a container to end, and will not be surprised that it does. */
  toldToEnd(containerId: string): void;
  /** We are about to stop it. */
  endsOnPurpose(containerId: string): void;
  ended(containerId: string): void;
  /** It runs anew, or goes on after all. */
  started(containerId: string): void;
  /** It has just begun to run: its program may not listen yet. */
  boots(containerId: string): void;
  /** It answers. */
  answers(containerId: string): void;
  /** Ends may be missed from now on. */
  forgetEnding(): void;
  /** Keeps nothing of other containers. */
  keepOnly(containerIds: { has(containerId: string): boolean }): void;
}

/** So long a container counts as being ended that was told to end and goes on, ms. */
const ENDING_MS_MAX = 2 * 60_000;

/** Nothing is known yet. */
export function createRuns(clock: Clock): DockerRuns {
  const ending = new Map<string, number>();
  const onPurpose = new Set<string>();
  const booting = new Map<string, number>();
  function isWithin(sinceMs: number | undefined, durationMs: number): boolean {
    return sinceMs !== undefined && clock.now() - sinceMs < durationMs;
  }
  return {
    knowledgeOf: (containerId) => ({
      isEndedOnPurpose: onPurpose.has(containerId),
      isBeingEnded: isWithin(ending.get(containerId), ENDING_MS_MAX),
      isBooting: isWithin(booting.get(containerId), WAKE_TIMEOUT_MS),
      nowMs: clock.wallMs(),
    }),
    toldToEnd: (containerId) => void ending.set(containerId, clock.now()),
    endsOnPurpose: (containerId) => void onPurpose.add(containerId),
    ended(containerId) {
      if (ending.delete(containerId)) onPurpose.add(containerId);
      booting.delete(containerId);
    },
    started(containerId) {
      ending.delete(containerId);
      onPurpose.delete(containerId);
    },
    boots: (containerId) => void booting.set(containerId, clock.now()),
    answers: (containerId) => void booting.delete(containerId),
    forgetEnding: () => ending.clear(),
    keepOnly(containerIds) {
      for (const remembered of [ending, onPurpose, booting]) {
        for (const id of remembered.keys()) if (!containerIds.has(id)) remembered.delete(id);
      }
    },
  };
}
