/** Provider calls that fail in passing: tried again while there is time, and never done twice unseen. */

import type { Clock } from "./clock.ts";
import { deadline, sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { ProviderErrorKind } from "./providers/provider.ts";
import { ProviderError } from "./providers/provider.ts";

/** Failures that say nothing about the next try. */
const PASSING_KINDS: ReadonlySet<ProviderErrorKind> = new Set<ProviderErrorKind>([
  "busy",
  "network",
  "rate-limited",
  "unavailable",
]);

/** Whether the same call may succeed in a while. What was perhaps done must be looked into, whatever it is called. */
export function isPassing(error: unknown): error is ProviderError {
  return error instanceof ProviderError && (PASSING_KINDS.has(error.kind) || error.isUncertain);
}

const PAUSE_FIRST_MS = 1000;
const PAUSE_LAST_MS = 15_000;

/**
 * How long to wait before the next try, ms: doubling pauses, spread by chance between half and all, and no shorter
 * than the platform wishes. Pure.
 * @param tries how many there were so far
 * @param chance 0 to 1, exclusive
 */
export function retryPauseMs(error: ProviderError, tries: number, chance: number): number {
  const wholeMs = Math.min(PAUSE_LAST_MS, PAUSE_FIRST_MS * 2 ** Math.min(tries - 1, 10));
  const ownMs = wholeMs * (0.5 + chance / 2);
  // Many that were told the same time must not all come back in the same moment.
  const wishedMs = error.retryAfterMs === null ? 0 : error.retryAfterMs + chance * PAUSE_FIRST_MS;
  return Math.round(Math.max(ownMs, wishedMs));
}

/** What a call is tried again with. */
export interface Persistence<T = unknown> {
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly signal: AbortSignal;
  /** A try that would begin later makes no sense; ms since the epoch. */
  readonly untilMs: number;
  /**
   * Asked before a call is made again that may have been applied; what it finds is the result, `null`: nothing was
   * applied. When it fails, it is asked again, never the call. Left out: the call does no harm twice.
   */
  readonly reread?: () => Promise<T | null>;
  /** Told of each failure that does not end it. */
  readonly onFailure?: (error: ProviderError) => void;
  /** Fulfilled when the platform answers again: ends a pause early. Left out: nobody could tell. */
  readonly untilBack?: (signal: AbortSignal) => Promise<void>;
}

/**
 * Does `work` until it succeeds, or fails in a way that does not pass, or there is no time for another try.
 * @throws what `work` or `reread` threw last
 */
export async function persist<T>(work: () => Promise<T>, options: Persistence<T>): Promise<T> {
  const { clock, random, signal, untilMs, reread, onFailure } = options;
  let mayBeDone = false;
  for (let tries = 1; ; tries += 1) {
    try {
      const found = mayBeDone ? await reread?.() : null;
      if (found !== null && found !== undefined) return found;
      mayBeDone = false;
      return await work();
    } catch (error) {
      if (!isPassing(error) || signal.aborted) throw error;
      mayBeDone ||= error.isUncertain;
      const pauseMs = retryPauseMs(error, tries, random());
      if (clock.now() + pauseMs >= untilMs) throw error;
      onFailure?.(error);
      await pause(error, pauseMs, options);
    }
  }
}

/** Failures that are over as soon as the platform answers. */
const AWAY_KINDS: ReadonlySet<ProviderErrorKind> = new Set<ProviderErrorKind>([
  "network",
  "unavailable",
]);

/** Ends early where the platform was away, did not say for how long, and is back. */
async function pause(
  { kind, retryAfterMs }: ProviderError,
  pauseMs: number,
  { clock, signal, untilBack }: Pick<Persistence, "clock" | "signal" | "untilBack">,
): Promise<void> {
  if (untilBack === undefined || retryAfterMs !== null || !AWAY_KINDS.has(kind)) {
    return await sleep(clock, pauseMs, signal);
  }
  const limit = deadline(clock, pauseMs, { reason: new Error("long enough"), parent: signal });
  try {
    await untilBack(limit.signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!limit.signal.aborted) throw error;
  } finally {
    limit.end();
  }
}

/** What failures mean that do not pass, for people. */
const MEANINGS: Readonly<Partial<Record<ProviderErrorKind, string>>> = {
  auth: "does not accept the credentials it was given",
  forbidden: "does not allow it with these credentials",
  payment: "wants a payment first",
  "not-found": "does not know the app any more",
  invalid: "refuses the call itself",
};

/** Why a call failed, in a sentence that begins with what it means. */
export function sentenceOf(provider: string, error: unknown): string {
  const meaning = error instanceof ProviderError ? MEANINGS[error.kind] : undefined;
  return meaning === undefined ? messageOf(error) : `${provider} ${meaning}: ${messageOf(error)}`;
}
