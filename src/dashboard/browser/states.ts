/** The states of apps, in words. Pure. */

import type { AppSummary, ShownPhase } from "../../admin/views.ts";

/** What is shown of an app's state: its phase, or that it is paused whatever its phase is. */
export type ShownState = ShownPhase | "paused" | "maintenance";

/** In the order in which somebody looks for them. */
export const PHASES: readonly ShownPhase[] = [
  "failed",
  "waking",
  "awake",
  "draining",
  "stopping",
  "asleep",
  "unknown",
];

/** For people. */
export const STATE_WORDS: Readonly<Record<ShownState, string>> = {
  failed: "Failed",
  waking: "Waking",
  awake: "Awake",
  draining: "Draining",
  stopping: "Stopping",
  asleep: "Asleep",
  unknown: "Unknown",
  paused: "Paused",
  maintenance: "Maintenance",
};

/** A pause is what visitors meet first. */
export function stateOf({ pause, phase }: Pick<AppSummary, "pause" | "phase">): ShownState {
  return pause?.kind ?? phase;
}

/** Since when it is in that state. */
export function sinceOf({ pause, since }: Pick<AppSummary, "pause" | "since">): string {
  return pause?.since ?? since;
}
