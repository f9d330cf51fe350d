/** A circuit breaker: after failures in a row it lets wakes through, and one other call now and then. */

import type { Clock } from "../clock.ts";
import type { Urgency } from "./platform-api.ts";

/** When it opens, and for how long. */
export interface BreakerOptions {
  /** Failures in a row that open it; at least 1. */
  readonly failuresMax: number;
  /** How long it stays open, in ms; doubles with each probe that fails, from the first to the last. */
  readonly openFirstMs: number;
  readonly openLastMs: number;
  readonly clock: Clock;
}

/** What a call has shown. `none`: nothing about the condition that this breaker watches. */
export type Verdict = "good" | "bad" | "none";

/** What one call has made of the breaker; `null`: it was and stays closed. */
export type Change = "opened" | "still-open" | "closed" | null;

/** Leave to make one call. */
export interface Pass {
  /** To be called once the call is over; only the first counts. @returns what has changed by it */
  settle(verdict: Verdict): Change;
}

/** Made by `createBreaker`. It sets no timer. */
export interface Breaker {
  /** How long a call of this urgency has to be turned away, in ms; 0: it may go. Wakes always may. */
  restMs(urgency: Urgency): number;
  /** Leave to go, for one that may: while the breaker is open, a call that is no wake is its only probe. */
  enter(urgency: Urgency): Pass;
}

/** While a probe is under way, others are told to come back after so long, in ms. */
const PROBE_UNDER_WAY_MS = 1_000;

/** Makes a closed breaker. */
export function createBreaker(options: BreakerOptions): Breaker {
  const { clock } = options;
  let failures = 0;
  let openMs = 0;
  let openUntilMs: number | null = null;
  let probe: Pass | null = null;

  function open(forMs: number): void {
    openMs = Math.min(forMs, options.openLastMs);
    openUntilMs = clock.now() + openMs;
  }
  function good(): Change {
    const wasOpen = openUntilMs !== null;
    failures = 0;
    openUntilMs = null;
    return wasOpen ? "closed" : null;
  }
  function bad(isProbe: boolean): Change {
    failures += 1;
    if (openUntilMs !== null) {
      // Calls from before it opened, and wakes meanwhile, say nothing new.
      if (isProbe || clock.now() >= openUntilMs) open(openMs * 2);
      return "still-open";
    }
    if (failures < options.failuresMax) return null;
    open(options.openFirstMs);
    return "opened";
  }
  return {
    restMs(urgency) {
      if (urgency === "wake" || openUntilMs === null) return 0;
      if (probe !== null) return Math.max(PROBE_UNDER_WAY_MS, openUntilMs - clock.now());
      return Math.max(0, openUntilMs - clock.now());
    },
    enter(urgency) {
      let isSettled = false;
      const pass: Pass = {
        settle(verdict) {
          if (isSettled) return null;
          isSettled = true;
          const isProbe = probe === pass;
          if (isProbe) probe = null;
          if (verdict === "none") return null;
          return verdict === "good" ? good() : bad(isProbe);
        },
      };
      if (openUntilMs !== null && urgency !== "wake") probe = pass;
      return pass;
    },
  };
}
