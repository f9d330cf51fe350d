/** Notices that a platform which was away answers again, from the calls that are made anyway. */

import type { CancelTimer, Clock } from "../clock.ts";
import { unlessAborted } from "./abortable.ts";
import type { PlatformFetch } from "./platform-api.ts";

/** The calls to a platform, and who waits for it. */
export interface Recovery {
  /** The calls, watched: all of them have to go through it. */
  readonly fetch: PlatformFetch;
  /**
   * Fulfilled when the platform answers after it did not, or when it is the caller's turn to find out: one of all who
   * wait goes every two seconds. See `Provider.untilBack`.
   * @throws ProviderError `failed` when `signal` aborts
   */
  untilBack(signal: AbortSignal): Promise<void>;
}

/** Between two of those who wait that go and find out, ms. */
const TURN_MS = 2_000;

/** Nothing is known of the platform yet. */
export function createRecovery(fetch: PlatformFetch, clock: Clock): Recovery {
  /** Origins whose last call was not answered, or with 5xx: an account may have several. */
  const away = new Set<string>();
  const waiting = new Set<() => void>();
  let cancelTurn: CancelTimer | null = null;

  function giveTurns(): void {
    cancelTurn = clock.after(TURN_MS, () => {
      const [oldest] = waiting;
      oldest?.();
      giveTurns();
    });
  }
  function learn(origin: string, isAnswer: boolean): void {
    if (!isAnswer) away.add(origin);
    else if (away.delete(origin)) for (const go of [...waiting]) go();
  }
  return {
    async fetch(url, init) {
      const { origin } = new URL(url);
      try {
        const response = await fetch(url, init);
        learn(origin, response.status < 500);
        return response;
      } catch (error) {
        learn(origin, false);
        throw error;
      }
    },
    async untilBack(signal) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const go = () => {
        waiting.delete(go);
        resolve();
      };
      waiting.add(go);
      if (cancelTurn === null) giveTurns();
      try {
        await unlessAborted(promise, signal, "waiting for the platform to answer");
      } finally {
        waiting.delete(go);
        if (waiting.size === 0) {
          cancelTurn?.();
          cancelTurn = null;
        }
      }
    },
  };
}
