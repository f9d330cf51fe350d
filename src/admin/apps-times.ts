/** Times and durations of the admin endpoints: what is read from requests, and how they are written. Pure. */

import { keepAwakeMs } from "../busy.ts";

/** An ISO 8601 time in UTC. @param ms since the epoch */
export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

/** The same where there may be none. */
export function timeTextOrNull(ms: number | null): string | null {
  return ms === null ? null : timeText(ms);
}

/** Completes "must be …". */
export const DURATION_ALLOWED = "a duration such as 90s, 20m, 2h, 1h30m or 2d";
/** Completes "must be …". */
export const TIME_ALLOWED = "a time such as 2026-12-24T18:00:00Z";

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?$/i;

/** A duration in ms; seconds where it has no unit. `null`: it is none. */
export function readDuration(text: string): number | null {
  return keepAwakeMs(text);
}

/** A time, ms since the epoch; without a zone by the clocks of this machine. `null`: it is none. */
export function readTime(text: string): number | null {
  if (!TIME.test(text.trim()) || !isDay(text.trim().slice(0, DAY_CHARACTERS))) return null;
  const ms = Date.parse(text.trim().toUpperCase());
  return Number.isNaN(ms) ? null : ms;
}

const DAY_CHARACTERS = "2026-12-24".length;

/** The runtime takes 31 February for a day in March. */
function isDay(text: string): boolean {
  const ms = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(ms) && timeText(ms).startsWith(text);
}

/** How long something is to last. */
export type Span = { readonly forMs: number } | { readonly untilWallMs: number };

/** As it was given: one of the two, or none. */
export interface GivenSpan {
  readonly for?: string | undefined;
  readonly until?: string | undefined;
}

/** @returns `null`: nothing was given; a sentence where it cannot be used */
export function readSpan(given: GivenSpan): Span | { readonly why: string } | null {
  const { for: duration, until } = given;
  if (duration !== undefined && until !== undefined) {
    return { why: "for and until both say how long: give one of them" };
  }
  if (duration !== undefined) {
    const forMs = readDuration(duration);
    return forMs === null
      ? { why: `for must be ${DURATION_ALLOWED}: it is ${quoted(duration)}` }
      : { forMs };
  }
  if (until === undefined) return null;
  const untilWallMs = readTime(until);
  return untilWallMs === null
    ? { why: `until must be ${TIME_ALLOWED}: it is ${quoted(until)}` }
    : { untilWallMs };
}

/** What somebody sent, for a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 79)}…` : text);
}
