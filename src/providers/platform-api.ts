/** Calls to a platform's API: who may go when, what is tried again, and what the answers mean. */

import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { Budget, BudgetLimits } from "./platform-budget.ts";
import { createCallContext } from "./platform-context.ts";
import { closeCalls, sendCall } from "./platform-send.ts";
import type { ProviderErrorKind } from "./provider.ts";

/**
 * Who goes first when the budget is short. Nothing is ever taken back from a call that is under way.
 * - `wake`: somebody waits. Goes ahead of all others, may use the whole budget, passes the circuit breaker and
 *   a refused token as their probe, and even a rate limit every few seconds
 * - `sweep`: a list goes ahead of sleeps, as none is decided without it; where there are several, they go by turns.
 *   Waits at most five seconds for the end of a rate limit
 * - `sleep`: waits for the end of a rate limit that lasts at most two minutes
 * Sleeps and sweeps fail at once while the API does not answer or refuses the token, but for one probe now and then.
 * All of them wait for a free place in the budget as long as `signal` lets them.
 */
export type Urgency = "wake" | "sleep" | "sweep";

/** One call to a platform's API. */
export interface ApiCall {
  /** For people; completes "could not …": `list the apps of osc-fr1`. Appears in errors and in the log. */
  readonly what: string;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /**
   * Path and query below the base URL, beginning with `/`; or an absolute URL of the same origin (a `Location`
   * that the API gave). Anything else is refused with `protocol`, unsent: credentials never go to another origin.
   */
  readonly path: string;
  /** Besides `accept: application/json`, which they may replace, and those of the credentials, which they may not. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON with `content-type: application/json`; left out: no body. */
  readonly body?: unknown;
  /** Sent as a form instead of `body`, as servers want it that give tokens. What stands in it counts as secret. */
  readonly form?: Readonly<Record<string, string>>;
  /**
   * Doing it twice does no harm, so it is tried again after a failure. GET always is. Any other call is sent a
   * second time only when the first one certainly did nothing: it never left (connection refused, name without
   * address), or it was answered 401 or with a rate limit.
   */
  readonly isRepeatable?: boolean;
  readonly urgency: Urgency;
  /**
   * Goes ahead of others of its urgency, and fails with `rate-limited` rather than wait longer for its turn, in ms:
   * what it was decided on may have changed by then. Left out: as long as `signal` lets it.
   */
  readonly waitMaxMs?: number;
  /**
   * Aborted while the call waits for its turn: it is not sent, and ends with the signal's reason. Once it is under
   * way, this does nothing. For stops, which somebody who asks for the app may call off.
   */
  readonly callOff?: AbortSignal;
  /** Ends the call at any stage, waiting included. A write that was under way may still have been applied. */
  readonly signal: AbortSignal;
}

/** What the API answered: a status from 200 to 299, or one that `understand` called `done`. */
export interface ApiAnswer {
  readonly status: number;
  /** `null` when it was not sent; several of one name come joined by a comma. */
  header(name: string): string | null;
  /** JSON as it was parsed; text when it is something else; `null` when empty. Nothing about its shape is known. */
  readonly body: unknown;
}

/** Calls to one API with one credential. */
export interface PlatformApi {
  /**
   * Makes one call, waiting for its turn and trying again as the call and the platform allow; always settles
   * when `signal` aborts. The message of what it throws says what could not be done and why, and holds no secret.
   * @throws ProviderError
   * - what `understand` made of an answer of 400 or above; see `Refusal`
   * - `rate-limited`: the platform wants no calls for longer than this one may wait (with `retryAfterMs`); or the call
   *   was given up before its turn came in the budget, and nothing was sent
   * - `auth`: the token is refused; until it is known to work again, for 60 s without asking the platform
   * - `unavailable`: answered 5xx or 408, or does so lately, so that a call that is no wake was not even sent
   * - `network`: no connection, no answer in time, or half an answer
   * - `protocol`: an answer that cannot be what was asked for: HTML, broken JSON, a redirection, over 32 MiB;
   *   or a `path` of another origin
   * - `failed`: `signal` was aborted (its reason is the `cause`), or the API was closed
   * With `isUncertain` set, a write may have been applied: read the state before anything else.
   */
  send(call: ApiCall): Promise<ApiAnswer>;
  /** How many more calls the platform allows, by the newest answer that said so; null: it did not say. */
  readonly remaining: number | null;
  /** Ends every call, waiting or under way, with `failed`; later ones fail at once. Safe to repeat. */
  close(): void;
}

/** The part of `fetch` that calls need. */
export type PlatformFetch = (url: string, init: BunFetchRequestInit) => Promise<Response>;

/** Limits that an answer tells about. */
export interface ToldLimits {
  /** How many more calls the platform allows now. */
  readonly remaining?: number;
  /** For how long the platform wants no more calls, in ms. */
  readonly pauseMs?: number;
}

/** What an answer of 400 or above means. */
export interface Refusal {
  /**
   * Some kinds make the layer act: `auth` renews the token once, then marks it as refused; `rate-limited` pauses
   * the account; `unavailable` counts for the circuit breaker, and the call is tried again if it is repeatable.
   */
  readonly kind: ProviderErrorKind;
  /** For people; completes "could not <what>: …". Secrets are taken out of it. `quoteOf(body)` has the platform's words. */
  readonly message: string;
  /** From now; for `rate-limited` the length of the pause, unless the answer's headers or `limitsOf` say one. */
  readonly retryAfterMs?: number;
}

/** Signs or authorizes calls. */
export interface Credentials {
  /**
   * Headers for one attempt; asked for right before it is sent, so that a timestamp is fresh. `url` is the whole
   * URL. May have to fetch a token first: single flight (`createToken` does that).
   * @throws ProviderError when there is no token to be had; `auth` marks this API's credential as refused
   */
  headers(request: {
    readonly method: string;
    readonly url: URL;
    readonly urgency: Urgency;
    readonly signal: AbortSignal;
  }): Promise<Readonly<Record<string, string>>>;
  /**
   * After a refusal of kind `auth`: forgets a token that can be renewed, if it is still the one in `used`.
   * @param used what `headers` had returned
   * @returns whether a second try makes sense; called at most once per call
   */
  renew?(used: Readonly<Record<string, string>>): boolean;
}

export interface PlatformApiOptions {
  /** For messages and logs. */
  readonly provider: string;
  /** `https://host`, optionally with a port and a path prefix. @throws TypeError when it is no URL */
  readonly baseUrl: string;
  /** For one attempt, from sending it to the last byte of its answer; default 30 s. */
  readonly timeoutMs?: number;
  readonly credentials: Credentials;
  /** Limits of our own, or a budget that several APIs of one account share (`createBudget`; its maker closes it). */
  readonly budget: BudgetLimits | Budget;
  /** The variable that sets the budget, named when a call waits for its turn in vain; left out: none does. */
  readonly budgetVariable?: string;
  /** Asked about every answer, whatever its status. `Retry-After` of a 429 is understood without it. */
  readonly limitsOf?: (
    status: number,
    header: (name: string) => string | null,
    body: unknown,
  ) => ToldLimits;
  /**
   * What an answer of 400 or above means; `null`: the usual (401 auth, 402 payment, 403 forbidden, 404 and 410
   * not-found, 408 unavailable, 409, 412 and 423 busy, 429 rate-limited, 5xx unavailable, others invalid).
   * `done`: as good as success.
   */
  readonly understand?: (answer: ApiAnswer & { readonly call: ApiCall }) => Refusal | "done" | null;
  readonly fetch: PlatformFetch;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
}

/** Makes the API of one account. Nothing is sent, and no timer set, before the first call. */
export function createPlatformApi(options: PlatformApiOptions): PlatformApi {
  const context = createCallContext(options);
  return {
    send: (call) => sendCall(context, call),
    get remaining() {
      return context.remaining;
    },
    close: () => closeCalls(context),
  };
}
