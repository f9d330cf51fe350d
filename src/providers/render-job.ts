/** What is under way on Render, as the text that the core hands back at each poll. Pure. */

import { type Operation, ProviderError, type Step } from "./provider.ts";

/** A wake or a sleep that goes on. */
export interface RenderJob {
  readonly goal: "wake" | "sleep";
  /** When it was begun, ms. */
  readonly sinceMs: number;
  /** Whether the platform was asked for it; `maybe`: no answer came. */
  readonly asked: "no" | "maybe" | "yes";
  /** When it was asked, ms; 0: it was not. */
  readonly askedMs: number;
  /** The newest deploy before that; empty: there was none. */
  readonly before: string;
}

/** Nothing was asked for yet. */
export function newJob(goal: RenderJob["goal"], nowMs: number): RenderJob {
  return { goal, sinceMs: nowMs, asked: "no", askedMs: 0, before: "" };
}

/** It goes on. */
export function goOn(job: RenderJob, pollAfterMs: number): Step {
  const { goal, sinceMs, asked, askedMs, before } = job;
  const id = [goal, sinceMs, asked, askedMs, before].join("/");
  return { done: false, operation: { id }, pollAfterMs };
}

/** @throws ProviderError `not-found` when it is none of ours */
export function jobOf({ id }: Operation): RenderJob {
  const [goal, sinceMs, asked, askedMs, before] = id.split("/");
  const isGoal = goal === "wake" || goal === "sleep";
  const isAsked = asked === "no" || asked === "maybe" || asked === "yes";
  if (!isGoal || !isAsked || before === undefined) {
    throw new ProviderError("not-found", `Render knows of no operation ${id}`);
  }
  return { goal, sinceMs: Number(sinceMs), asked, askedMs: Number(askedMs), before };
}
