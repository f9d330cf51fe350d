/** What keeps an app awake although nobody uses it: an operator's word, or the app's own. Pure. */

import type { AppState } from "./app.ts";
import { durationText } from "./durations.ts";

/** An operator wants the app to stay awake, whatever its rules say. By the wall clock, which is what people mean. */
export interface KeepAwakeOrder {
  /** Ms since the epoch. */
  readonly untilWallMs: number;
}

/** The app has something to do, as it says itself. */
export interface OwnWord {
  /** When it said so, ms since the epoch by the steady clock: what was said before it was stopped is over. */
  readonly saidMs: number;
  /** So long it is believed, ms since the epoch by the steady clock. */
  readonly untilMs: number;
  /** Where it has said so, for people: `its header Keep-Awake`. */
  readonly by: string;
}

/** The part of an app that is decided from. */
export interface Kept {
  readonly state: AppState;
  readonly keepAwake: KeepAwakeOrder | null;
  readonly ownWord: OwnWord | null;
}

/** The two clocks, ms since the epoch. */
export interface Times {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** Whether an operator's order holds. */
export function isOrderedAwake({ keepAwake }: Pick<Kept, "keepAwake">, wallMs: number): boolean {
  return keepAwake !== null && wallMs < keepAwake.untilWallMs;
}

/** Why an app stays awake although nobody uses it, to follow its name; `null`: for no such reason. */
export function whyKeptAwake(app: Kept, { nowMs, wallMs }: Times): string | null {
  const { keepAwake, ownWord, state } = app;
  if (keepAwake !== null && isOrderedAwake(app, wallMs)) {
    return `is kept awake by an operator, for ${durationText(keepAwake.untilWallMs - wallMs)} yet`;
  }
  const isOfThisRun =
    ownWord !== null && !(state.kind === "awake" && ownWord.saidMs < state.sinceMs);
  if (isOfThisRun && nowMs < ownWord.untilMs) {
    return `has something to do, as said by ${ownWord.by}, for ${durationText(ownWord.untilMs - nowMs)} yet`;
  }
  return null;
}

/** Longest that an operator may order an app to stay awake: a month, ms. For longer there are rules. */
export const ORDERED_MAX_MS = 31 * 86_400_000;

/**
 * The order that `for` (ms) or `until` (ms since the epoch) makes; `null` takes an earlier one back.
 * @returns a sentence where it is none
 */
export function orderedAwake(
  wish: { readonly forMs: number } | { readonly untilWallMs: number },
  wallMs: number,
): KeepAwakeOrder | null | { readonly why: string } {
  const untilWallMs = "forMs" in wish ? wallMs + wish.forMs : wish.untilWallMs;
  if (!Number.isFinite(untilWallMs)) return { why: "it has no end" };
  if ("forMs" in wish && wish.forMs === 0) return null;
  if (untilWallMs <= wallMs) return { why: "its end is over already" };
  if (untilWallMs - wallMs > ORDERED_MAX_MS) {
    return {
      why: `it is longer than ${ORDERED_MAX_MS / 86_400_000} days, for which there are rules`,
    };
  }
  return { untilWallMs };
}
