/** A wake or a sleep under way on Scalingo, as the text that the core hands back at each poll. Pure. */

import type { Snapshot, Target } from "../app.ts";
import { ProviderError } from "./provider.ts";

/** Everything that is needed to go on. */
export interface ScaleJob {
  readonly goal: "wake" | "sleep";
  /** URL of the operation; `null`: there is none that could be followed. */
  readonly location: string | null;
  /** Our own scale was accepted. Otherwise somebody else's work is waited for, before ours is decided anew. */
  readonly isSent: boolean;
  /** When it was sent, or when the waiting began. */
  readonly sinceMs: number;
  /** Where the app will answer; `null`: that was not said. */
  readonly target: Target | null;
  readonly snapshot: Snapshot | null;
}

/** The id of the operation. */
export function encodeJob(job: ScaleJob): string {
  return JSON.stringify(job);
}

/** @throws ProviderError `not-found` when `encodeJob` did not make it */
export function decodeJob(id: string): ScaleJob {
  try {
    const job: unknown = JSON.parse(id);
    if (typeof job === "object" && job !== null && "goal" in job) return job as ScaleJob; // Our own words.
  } catch {
    // Answered below: whoever asks for what we never began is told so.
  }
  throw new ProviderError("not-found", "Scalingo knows of no such operation");
}
