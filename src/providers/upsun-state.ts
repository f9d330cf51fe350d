/** From an environment and what goes on with it to a phase, and which environments are looked after. Pure. */

import { safeText } from "./platform-quote.ts";
import type { Observation, Phase } from "./provider.ts";
import type { UpsunActivity, UpsunEnvironment } from "./upsun-json.ts";

/** Types of the two activities of ours. Source: upsun/cli. */
export const RESUME = "environment.resume";
export const PAUSE = "environment.pause";

/** How far an activity is. */
export type ActivityProgress = "going-on" | "done" | "failed";

/** A word that we do not know is one that goes on. */
export function progressOf({ state, result }: UpsunActivity): ActivityProgress {
  if (state === "cancelled") return "failed";
  if (state !== "complete") return "going-on";
  return result === "failure" ? "failed" : "done";
}

/** Why nothing of it is put to sleep or woken; `null` when it can be. */
export function whyUnmanaged({ type, status, canPause }: UpsunEnvironment): string | null {
  if (type === "production") return "it is a production environment";
  if (status === "inactive") return "it is not deployed";
  if (status === "active" && canPause === false) return "Upsun does not offer to pause it";
  return null;
}

/**
 * What the words of Upsun mean; `dirty` is told by what goes on. Source: Upsun's API, `Environment.status`.
 * @param activity the newest that goes on; `null`: not asked for, or none does
 */
export function observationOf(
  environment: UpsunEnvironment,
  activity: UpsunActivity | null,
): Observation {
  const { status, target } = environment;
  const said = (phase: Phase, reason?: string): Observation =>
    reason === undefined ? { phase, target } : { phase, target, reason };
  const unmanaged = whyUnmanaged(environment);
  if (unmanaged !== null) return said("unmanaged", unmanaged);
  switch (status) {
    case "active":
      return said("awake");
    case "paused":
      return said("asleep");
    case "dirty":
      return said(...goingOn(activity));
    case "deleting":
      return said("blocked", "it is being deleted");
    default:
      return said("unknown", `Upsun says that it is "${safeText(status)}"`);
  }
}

function goingOn(activity: UpsunActivity | null): [Phase, string] {
  if (activity?.type === RESUME) return ["waking", "Upsun is resuming it"];
  if (activity?.type === PAUSE) return ["stopping", "Upsun is pausing it"];
  const what = activity === null ? "something" : safeText(activity.type);
  return ["deploying", `Upsun is busy with it: ${what}`];
}
