/** A wake or a sleep under way on Heroku, as the text that the core hands back at each poll. Pure. */

import { type Operation, ProviderError } from "./provider.ts";

/** Everything that is needed to go on. */
export interface HerokuOperation {
  readonly goal: "wake" | "sleep";
  /** Which change of the app it was: a newer one makes an end of it. */
  readonly change: number;
  /** When the formation was changed, ms. */
  readonly sinceMs: number;
}

/** Its id holds all of it. */
export function encodeOperation({ goal, change, sinceMs }: HerokuOperation): Operation {
  return { id: `${goal}/${change}/${sinceMs}` };
}

/** @throws ProviderError `not-found` when `encodeOperation` did not make it */
export function decodeOperation({ id }: Operation): HerokuOperation {
  const [, goal, change, sinceMs] = /^(wake|sleep)\/(\d+)\/(\d+)$/.exec(id) ?? [];
  if (goal !== "wake" && goal !== "sleep") {
    throw new ProviderError("not-found", `Heroku knows of no operation ${id}`);
  }
  return { goal, change: Number(change), sinceMs: Number(sinceMs) };
}

/** Between two polls, in ms, and how long the short one is kept up: each of them costs a call of the account. */
const POLL_SOON_MS = 3_000;
const POLL_SOON_FOR_MS = 60_000;
const POLL_LATER_MS = 10_000;

/** How long to wait before the next poll, ms. Heroku's own command line polls every 10 s. */
export function pollAfterMs(elapsedMs: number): number {
  return elapsedMs < POLL_SOON_FOR_MS ? POLL_SOON_MS : POLL_LATER_MS;
}
