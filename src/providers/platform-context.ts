/** What all calls to one API have in common: its budget, and what is known about the API and its token. */

import type { ApiCall, PlatformApiOptions } from "./platform-api.ts";
import { type Breaker, createBreaker } from "./platform-breaker.ts";
import { type Budget, createBudget } from "./platform-budget.ts";
import { type Condition, createCondition } from "./platform-condition.ts";
import type { ProviderErrorKind, Trouble } from "./provider.ts";

/** The state of one API. */
export interface CallContext {
  readonly options: PlatformApiOptions;
  readonly base: URL;
  readonly budget: Budget;
  /** The budget was made here, so it ends here. */
  readonly ownsBudget: boolean;
  /** Whether the API answers at all. */
  readonly outage: Obstacle;
  /** Whether it accepts the token. */
  readonly token: Obstacle;
  /** Whether it wants fewer calls. */
  readonly limit: { readonly condition: Condition; why: string };
  readonly running: Set<Running>;
  remaining: number | null;
  isClosed: boolean;
}

/** Something known about the API because of which calls are turned away unsent. */
export interface Obstacle {
  /** What such calls end with. */
  readonly kind: ProviderErrorKind;
  readonly breaker: Breaker;
  readonly condition: Condition;
  /** Where the log has it from: the condition above, or that of whoever could not get a token. */
  trouble: Trouble;
  /** What was wrong the last time, without secrets. */
  why: string;
}

/** One call, from `send` to its end. */
export interface Running {
  readonly call: ApiCall;
  readonly url: URL;
  /** JSON, or a form; `null`: no body. */
  readonly payload: string | null;
  /** Aborted with the ProviderError that the call then ends with. */
  readonly life: AbortController;
  /** Not under way: it can be turned away without a doubt about what it did. */
  isWaiting: boolean;
  tries: number;
  hasRenewed: boolean;
  /** How often a rate limit sent it away. */
  limits: number;
  /** How often one of unknown length did that, and it was not counted. */
  spared: number;
  /** Some attempt may have been applied. */
  isUncertain: boolean;
  /** Pieces of the credential that it was sent with. */
  secrets: readonly string[];
}

const OUTAGE_FAILURES_MAX = 5;
const OUTAGE_FIRST_MS = 10_000;
const OUTAGE_LAST_MS = 60_000;
const TOKEN_REFUSED_MS = 60_000;

/** A context in which all is well. @throws TypeError when the base URL is none */
export function createCallContext(options: PlatformApiOptions): CallContext {
  const { clock, log, provider, budget } = options;
  const base = new URL(options.baseUrl);
  const fields = { provider, api: base.host };
  const outage = createBreaker({
    failuresMax: OUTAGE_FAILURES_MAX,
    openFirstMs: OUTAGE_FIRST_MS,
    openLastMs: OUTAGE_LAST_MS,
    clock,
  });
  const token = createBreaker({
    failuresMax: 1,
    openFirstMs: TOKEN_REFUSED_MS,
    openLastMs: TOKEN_REFUSED_MS,
    clock,
  });
  const warned = () => createCondition({ bad: log.warn, good: log.info, fields, clock });
  const reported = createCondition({ bad: log.error, good: log.info, fields, clock });
  return {
    options,
    base,
    budget: "enter" in budget ? budget : createBudget(budget, clock),
    ownsBudget: !("enter" in budget),
    outage: obstacleOf("unavailable", outage, warned()),
    token: obstacleOf("auth", token, reported),
    limit: { condition: warned(), why: "" },
    running: new Set(),
    remaining: null,
    isClosed: false,
  };
}

function obstacleOf(kind: ProviderErrorKind, breaker: Breaker, condition: Condition): Obstacle {
  return { kind, breaker, condition, trouble: condition, why: "" };
}
