/** What is under way on a platform, as the text that the core hands back at each poll. Pure. */

import { ASKS_MAX, lookAfterMs, mayShowMs, SHOWS_MS } from "./platform-patience.ts";
import { type Operation, ProviderError, type Step } from "./provider.ts";

/** A wake or a sleep that goes on. */
export interface Job {
  readonly goal: "wake" | "sleep";
  /** When it was begun, ms. */
  readonly sinceMs: number;
  /** Whether the platform was asked for it; `maybe`: no answer came. */
  readonly asked: "no" | "maybe" | "yes";
  /** When it was asked, or last told something new, ms; 0: it was not. From then on it must show. */
  readonly askedMs: number;
  /** How often it was asked without an answer. */
  readonly lost: number;
  /** What was wrong the last time, for people; empty: nothing. */
  readonly why: string;
  /** The newest that the platform told of such changes before it was asked; empty: nothing, or it was not asked. */
  readonly before: string;
  /** What is waited for: something that the platform goes on with; empty: the app itself. */
  readonly follows: string;
}

/** Nothing was asked for yet. */
export function newJob(goal: Job["goal"], nowMs: number): Job {
  const unasked = { asked: "no", askedMs: 0, lost: 0, why: "", before: "", follows: "" } as const;
  return { goal, sinceMs: nowMs, ...unasked };
}

/** The platform has taken it. @param follows what it goes on with; left out: the app itself shows */
export function taken(job: Job, nowMs: number, follows = ""): Job {
  return { ...job, asked: "yes", askedMs: nowMs, follows };
}

/** The platform was asked, and nobody knows whether it has heard of it: what comes of it must show. */
export function unanswered(job: Job, { message }: ProviderError, nowMs: number): Job {
  return {
    ...{ ...job, asked: "maybe", askedMs: nowMs, follows: "" },
    ...{ lost: job.lost + 1, why: message },
  };
}

/**
 * Whether nothing can come of it any more that does not show by now.
 * @param lostShowsMs so long a call whose answer was lost may not show, ms
 */
export function isOverdue({ asked, askedMs, lost }: Job, lostShowsMs: number, nowMs: number) {
  return nowMs - askedMs >= (asked === "maybe" ? mayShowMs(lostShowsMs, lost) : SHOWS_MS);
}

/** @throws ProviderError `failed` when it was asked without an answer as often as makes sense */
export function refuseEndless({ lost, why }: Job): void {
  if (lost < ASKS_MAX) return;
  throw new ProviderError("failed", `${why}; it was tried ${lost} times, and nothing came of it`);
}

/** It goes on. */
export function goOn(job: Job, nowMs: number): Step {
  const { goal, sinceMs, asked, askedMs, lost, why, before, follows } = job;
  const fields = [goal, sinceMs, asked, askedMs, lost, why, before, follows];
  const id = fields.map((field) => encodeURIComponent(field)).join("/");
  const pollAfterMs = lookAfterMs(nowMs - (askedMs || sinceMs));
  return { done: false, operation: { id }, pollAfterMs };
}

/** @throws ProviderError `not-found` when it is none of ours */
export function jobOf({ id }: Operation): Job {
  const fields = id.split("/").map(decodeURIComponent);
  const [goal, sinceMs, asked, askedMs, lost, why, before, follows] = fields;
  const isGoal = goal === "wake" || goal === "sleep";
  const isAsked = asked === "no" || asked === "maybe" || asked === "yes";
  if (!isGoal || !isAsked || follows === undefined) {
    throw new ProviderError("not-found", `nothing is known of an operation ${id}`);
  }
  return {
    ...{ goal, sinceMs: Number(sinceMs), asked, askedMs: Number(askedMs) },
    ...{ lost: Number(lost), why: why ?? "", before: before ?? "", follows },
  };
}
