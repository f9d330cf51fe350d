/** Calls to platforms, counted: each time that one is sent, whatever becomes of it. */

/** How a call ended. */
export type CallOutcome =
  /** 1xx to 3xx. */
  | "ok"
  /** 4xx. */
  | "refused"
  /** 429. */
  | "rate_limited"
  /** 5xx. */
  | "unavailable"
  /** No answer. */
  | "network"
  /** We took it back, or its time was over, before there was an answer. */
  | "given_up";

/** Calls that ended alike. */
export interface CallCount {
  readonly provider: string;
  readonly outcome: CallOutcome;
  /** `2xx`; `none`: there was no answer. */
  readonly statusClass: string;
  readonly calls: number;
}

/** The part of `fetch` that platforms are called with. */
export type CallingFetch = (url: string, init: BunFetchRequestInit) => Promise<Response>;

/** Counts calls. */
export interface ProviderCalls {
  /** The same `fetch`, counted for a provider. */
  watched(provider: string, fetch: CallingFetch): CallingFetch;
  /** Since the program started. */
  counts(): readonly CallCount[];
}

/** Nothing is counted yet. */
export function createProviderCalls(): ProviderCalls {
  const counts = new Map<string, { -readonly [K in keyof CallCount]: CallCount[K] }>();
  const note = (provider: string, outcome: CallOutcome, statusClass: string) => {
    const key = `${provider} ${outcome} ${statusClass}`;
    const known = counts.get(key) ?? { provider, outcome, statusClass, calls: 0 };
    known.calls += 1;
    counts.set(key, known);
  };
  return {
    watched(provider, fetch) {
      return async (url, init) => {
        try {
          const response = await fetch(url, init);
          const digit = Math.floor(response.status / 100);
          note(provider, outcomeOf(response.status), `${digit}xx`);
          return response;
        } catch (error) {
          note(provider, init.signal?.aborted === true ? "given_up" : "network", "none");
          throw error;
        }
      };
    },
    counts: () => [...counts.values()],
  };
}

function outcomeOf(status: number): CallOutcome {
  if (status === 429) return "rate_limited";
  if (status >= 500) return "unavailable";
  return status >= 400 ? "refused" : "ok";
}
