/** Credentials: headers that never change, and tokens that are fetched once for all and renewed. */

import { type Clock, deadline } from "../clock.ts";
import { unlessAborted } from "./abortable.ts";
import type { Credentials } from "./platform-api.ts";
import { ProviderError } from "./provider.ts";

/** The same headers for every call: a token that never has to be exchanged. */
export function fixedCredentials(headers: Readonly<Record<string, string>>): Credentials {
  return { headers: () => Promise.resolve(headers) };
}

/** A token as it was given. */
export interface FetchedToken {
  readonly value: string;
  /** How long the platform accepts it from now on, in ms. */
  readonly validMs: number;
}

/** How a token is got. */
export interface TokenOptions {
  /**
   * Gets a new token. One at a time, for everybody who waits; it goes on when one of those gives up. Its own calls
   * want urgency `wake`, as a wake may be among those who wait, and a budget other than that of the calls which
   * need the token: these keep their places meanwhile.
   * @throws ProviderError
   */
  readonly fetchToken: (signal: AbortSignal) => Promise<FetchedToken>;
  readonly clock: Clock;
}

/** Credentials that own something. */
export interface TokenCredentials extends Credentials {
  /** Gives up a token that is being fetched; who waits for it gets a ProviderError `failed`. Safe to repeat. */
  close(): void;
}

/** A token is renewed when a twelfth of its time is left: five minutes of an hour. */
const RENEW_AFTER = 11 / 12;
/** Between two tries to renew a token that still works, in ms. */
const RENEW_GAP_MS = 30_000;
/** Longest that fetching one may take, whatever it does, in ms. */
const FETCH_MS_MAX = 5 * 60_000;

interface HeldToken {
  readonly authorization: string;
  readonly renewAtMs: number;
  readonly endsAtMs: number;
}

interface State {
  readonly options: TokenOptions;
  readonly closing: AbortController;
  held: HeldToken | null;
  fetching: Promise<HeldToken> | null;
  renewNotBeforeMs: number;
}

/**
 * Credentials of the form `Authorization: Bearer <token>`. The token is fetched by the first call that needs it, and
 * by a call in the last twelfth of its time, which does not wait for it: should that fail, the old one is used to its
 * end. After a 401 it is forgotten.
 */
export function createToken(options: TokenOptions): TokenCredentials {
  const state: State = {
    options,
    closing: new AbortController(),
    held: null,
    fetching: null,
    renewNotBeforeMs: 0,
  };
  return {
    async headers({ signal }) {
      const { authorization } = await tokenNow(state, signal);
      return { authorization };
    },
    renew(used) {
      if (state.held?.authorization === used.authorization) state.held = null;
      return true;
    },
    close() {
      state.closing.abort(
        new ProviderError("failed", "Paastis no longer calls this platform: it is shutting down"),
      );
    },
  };
}

function tokenNow(state: State, signal: AbortSignal): HeldToken | Promise<HeldToken> {
  const { held } = state;
  const nowMs = state.options.clock.now();
  if (held === null || nowMs >= held.endsAtMs) {
    return unlessAborted(fetchOnce(state), signal, "getting a token");
  }
  if (nowMs >= held.renewAtMs && nowMs >= state.renewNotBeforeMs) {
    state.renewNotBeforeMs = nowMs + RENEW_GAP_MS;
    // Its failure is the next one's to report, once the old token has ended.
    fetchOnce(state).catch(() => undefined);
  }
  return held;
}

function fetchOnce(state: State): Promise<HeldToken> {
  state.fetching ??= fetchNow(state).finally(() => {
    state.fetching = null;
  });
  return state.fetching;
}

async function fetchNow(state: State): Promise<HeldToken> {
  const { clock, fetchToken } = state.options;
  const { signal, end } = deadline(clock, FETCH_MS_MAX, {
    reason: new ProviderError("network", "getting a token took too long"),
    parent: state.closing.signal,
  });
  try {
    const askedMs = clock.now();
    const { value, validMs } = await fetchToken(signal);
    state.held = {
      authorization: `Bearer ${value}`,
      renewAtMs: askedMs + validMs * RENEW_AFTER,
      endsAtMs: askedMs + validMs,
    };
    return state.held;
  } finally {
    end();
  }
}
