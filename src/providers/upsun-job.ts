/** What is under way on Upsun, as the text that the core hands back at each poll. Pure. */

import { type Operation, ProviderError, type Step } from "./provider.ts";

/** A wake or a sleep that goes on. */
export interface UpsunJob {
  readonly goal: "wake" | "sleep";
  /** When it was begun, ms. */
  readonly sinceMs: number;
  /** Whether the platform was asked for it; `maybe`: no answer came. */
  readonly asked: "no" | "maybe" | "yes";
  /** When it was asked, or its activity came to its end, ms: from then on the environment must follow. */
  readonly askedMs: number;
  /** What is waited for: our own activity, or while nothing was asked one of somebody else; empty: the environment. */
  readonly activityId: string;
}

/** Nothing was asked for yet. */
export function newJob(goal: UpsunJob["goal"], nowMs: number): UpsunJob {
  return { goal, sinceMs: nowMs, asked: "no", askedMs: 0, activityId: "" };
}

/** Between two looks, ms: an activity takes tens of seconds to minutes. */
const POLL_FIRST_MS = 3_000;
const POLL_LAST_MS = 5_000;
/** From this age on it is looked at more seldom, ms. */
const OLD_MS = 30_000;

/** It goes on. */
export function goOn(job: UpsunJob, nowMs: number): Step {
  const { goal, sinceMs, asked, askedMs, activityId } = job;
  const id = [goal, sinceMs, asked, askedMs, activityId].join("/");
  const pollAfterMs = nowMs - sinceMs < OLD_MS ? POLL_FIRST_MS : POLL_LAST_MS;
  return { done: false, operation: { id }, pollAfterMs };
}

/** @throws ProviderError `not-found` when it is none of ours */
export function jobOf({ id }: Operation): UpsunJob {
  const [goal, sinceMs, asked, askedMs, activityId] = id.split("/");
  const isGoal = goal === "wake" || goal === "sleep";
  const isAsked = asked === "no" || asked === "maybe" || asked === "yes";
  if (!isGoal || !isAsked || activityId === undefined) {
    throw new ProviderError("not-found", `Upsun knows of no operation ${id}`);
  }
  return { goal, sinceMs: Number(sinceMs), asked, askedMs: Number(askedMs), activityId };
}
