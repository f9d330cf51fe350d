/** What a switch of an app keeps to: its health gate, how the old target drains, and what rolls it back. Pure. */

import type { Rule } from "./config.ts";
import { appliesTo } from "./rules.ts";
import type { GateSettings } from "./switch-gate.ts";
import type { VerdictThresholds } from "./switch-verdict.ts";

/**
 * What becomes of WebSockets and event streams that still go to the old target:
 * - `spread`: closed politely, one after the other over the drain time
 * - `keep`: left alone until the drain time is over
 * - `immediate`: closed politely at once
 */
export type DrainManner = "spread" | "keep" | "immediate";

/** The same, for checking. */
export const DRAIN_MANNERS = ["spread", "keep", "immediate"] as const;

/** Everything that decides about the switches of one app. */
export interface SwitchPolicy {
  readonly gate: GateSettings;
  /** Hosts that may be switched to besides 127.0.0.1; in lower case, IPv6 in brackets. */
  readonly hosts: readonly string[];
  readonly drain: DrainManner;
  /** Longest that what is under way on the old target may go on. */
  readonly drainMs: number;
  /** How long the old target is kept as the way back; 0: not at all. */
  readonly windowMs: number;
  readonly checkEveryMs: number;
  /** Health checks that fail in a row before the switch is rolled back. */
  readonly failsMax: number;
  readonly traffic: VerdictThresholds;
}

/** What `switch` of a rule or an app may say; a missing field leaves what earlier rules said. */
export interface SwitchSettings {
  readonly hosts?: readonly string[];
  readonly drain?: DrainManner;
  readonly drainSeconds?: number;
  readonly windowSeconds?: number;
  readonly healthPath?: string;
  readonly healthMethod?: "GET" | "HEAD";
  readonly healthHost?: string;
  readonly healthStatuses?: GateSettings["statuses"];
  readonly healthSuccesses?: number;
  readonly healthTimeoutSeconds?: number;
  readonly errorRequestsMin?: number;
  readonly errorRateMin?: number;
  readonly errorTimesWorse?: number;
}

/** What the environment says about every switch. */
export interface SwitchDefaults {
  readonly healthPath: string;
  readonly healthTimeoutMs: number;
  readonly drainMs: number;
  readonly windowMs: number;
  readonly checkEveryMs: number;
  readonly failsMax: number;
}

/** Fewer requests than these say nothing about a new version. */
const ERROR_REQUESTS_MIN = 20;
/** Fewer errors among all requests are not worth going back for. */
const ERROR_RATE_MIN = 0.1;
/** An old version that failed now and then itself excuses as much, but not much more. */
const ERROR_TIMES_WORSE = 2;

/** The policy of one app: all rules that match its key, then its own entry, field by field. */
export function switchPolicyFor(
  app: { readonly key: string; readonly declared: SwitchSettings | null },
  context: { readonly rules: readonly Rule[]; readonly defaults: SwitchDefaults },
): SwitchPolicy {
  const { rules, defaults } = context;
  const matching = rules.filter((rule) => appliesTo(rule, app.key));
  const layers = [...matching.map(({ settings }) => settings.switching), app.declared];
  const said: SwitchSettings = Object.assign({}, ...layers);
  return {
    gate: {
      path: said.healthPath ?? defaults.healthPath,
      method: said.healthMethod ?? "GET",
      host: said.healthHost ?? null,
      statuses: said.healthStatuses ?? [[200, 299]],
      successes: said.healthSuccesses ?? 1,
      timeoutMs: inMs(said.healthTimeoutSeconds) ?? defaults.healthTimeoutMs,
    },
    hosts: said.hosts ?? [],
    drain: said.drain ?? "spread",
    drainMs: inMs(said.drainSeconds) ?? defaults.drainMs,
    windowMs: inMs(said.windowSeconds) ?? defaults.windowMs,
    checkEveryMs: defaults.checkEveryMs,
    failsMax: defaults.failsMax,
    traffic: {
      requestsMin: said.errorRequestsMin ?? ERROR_REQUESTS_MIN,
      errorRateMin: said.errorRateMin ?? ERROR_RATE_MIN,
      timesWorse: said.errorTimesWorse ?? ERROR_TIMES_WORSE,
    },
  };
}

function inMs(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Math.round(seconds * 1000);
}
