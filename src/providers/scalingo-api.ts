/** The calls that Scalingo's API is made of for us: one API per region, one account, bearers of an hour. */

import type { Clock } from "../clock.ts";
import type { ScalingoConfig } from "../config.ts";
import type { Log } from "../log.ts";
import {
  type ApiAnswer,
  type ApiCall,
  createPlatformApi,
  type PlatformApi,
  type PlatformFetch,
  type Refusal,
} from "./platform-api.ts";
import { createBudget } from "./platform-budget.ts";
import { quoteOf } from "./platform-quote.ts";
import { createToken, type FetchedToken, fixedCredentials } from "./platform-token.ts";
import { ProviderError } from "./provider.ts";

/** An account, all of its regions. */
export interface ScalingoApi {
  /** One call to a region. @throws ProviderError as `PlatformApi.send`; `not-found` when the region is none of ours */
  send(region: string, call: ApiCall): Promise<ApiAnswer>;
  /** The address of an operation: absolute, whatever form it was given in. */
  locate(region: string, location: string): string;
  /** Safe to repeat. */
  close(): void;
}

/** What calls are made with. */
export interface ScalingoApiDeps {
  readonly config: ScalingoConfig;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly fetch: PlatformFetch;
}

/** How long a bearer is good, in ms. Source: Scalingo's API documentation, "Tokens". */
const BEARER_MS = 60 * 60_000;
/** How long the platform is left alone after a 429, which says nothing about it, in ms: its limit is per minute. */
const LIMITED_MS = 60_000;
/** Calls under way at the same time. */
const IN_FLIGHT_MAX = 6;
/** A few, in case tokens die early: each counts for the platform's limit too. */
const AUTH_BUDGET = { burst: 3, perMinute: 6, inFlightMax: 2 } as const;

/** Nothing is sent before the first call. */
export function createScalingoApi(deps: ScalingoApiDeps): ScalingoApi {
  const { config, clock } = deps;
  const auth = createAuthApi(deps);
  const credentials = createToken({ clock, fetchToken: (signal) => fetchBearer(auth, signal) });
  const { callsPerMinute } = config;
  // At 40 a minute: 12 at once, so that no minute sees more than 52 of the platform's 60.
  const burst = Math.max(2, Math.round(callsPerMinute * 0.3));
  const budget = createBudget(
    { burst, perMinute: callsPerMinute, inFlightMax: IN_FLIGHT_MAX },
    clock,
  );
  const regions = new Map(
    config.regions.map((region) => {
      const baseUrl = apiUrlOf(config, region);
      const api = createPlatformApi({
        ...deps,
        provider: "scalingo",
        baseUrl,
        credentials,
        budget,
        budgetVariable: "PROVIDER_SCALINGO_CALLS_PER_MINUTE",
        understand,
      });
      return [region, { api, baseUrl }] as const;
    }),
  );
  return {
    send: (region, call) => apiOf(regions, region).api.send(call),
    locate: (region, location) => new URL(location, apiOf(regions, region).baseUrl).href,
    close() {
      for (const { api } of regions.values()) api.close();
      credentials.close();
      auth.close();
      budget.close();
    },
  };
}

interface RegionApi {
  readonly api: PlatformApi;
  readonly baseUrl: string;
}

function apiOf(regions: ReadonlyMap<string, RegionApi>, region: string): RegionApi {
  const found = regions.get(region);
  if (found !== undefined) return found;
  const names = [...regions.keys()].join(", ");
  const message = `the region ${region} is not looked after: PROVIDER_REGION has ${names}`;
  throw new ProviderError("not-found", message);
}

function apiUrlOf({ apiUrl }: ScalingoConfig, region: string): string {
  return (apiUrl ?? "https://api.{region}.scalingo.com").replaceAll("{region}", region);
}

/** Takes the API token as the password of nobody. */
function createAuthApi(deps: ScalingoApiDeps): PlatformApi {
  const password = Buffer.from(`:${deps.config.token}`).toString("base64");
  return createPlatformApi({
    ...deps,
    provider: "scalingo",
    baseUrl: deps.config.authUrl,
    credentials: fixedCredentials({ authorization: `Basic ${password}` }),
    budget: AUTH_BUDGET,
    understand,
  });
}

async function fetchBearer(auth: PlatformApi, signal: AbortSignal): Promise<FetchedToken> {
  const { body } = await auth.send({
    what: "exchange PROVIDER_SCALINGO_API_TOKEN",
    method: "POST",
    path: "/v1/tokens/exchange",
    body: {},
    // A second bearer does no harm to the first.
    isRepeatable: true,
    urgency: "wake",
    signal,
  });
  const { token } = (body ?? {}) as { readonly token?: unknown }; // Of JSON, or a text: it may be anything.
  if (typeof token !== "string" || token === "") {
    throw new ProviderError("protocol", 'the answer to the exchange of the token has no "token"');
  }
  return { value: token, validMs: BEARER_MS };
}

/** What Scalingo's refusals mean where that is not the usual. */
export function understand(
  answer: ApiAnswer & { readonly call: ApiCall },
): Refusal | "done" | null {
  const { status, body } = answer;
  const { error, errors, resource } = (body ?? {}) as Readonly<Record<string, unknown>>; // Of JSON.
  if (status === 400 && typeof error === "string" && /^no change\b/i.test(error)) return "done";
  if (status === 429) {
    const message = "Scalingo allows 60 calls a minute, and there were more";
    return { kind: "rate-limited", message, retryAfterMs: LIMITED_MS };
  }
  if (status === 404 && resource === "container_type") {
    return { kind: "invalid", message: "the app no longer has one of its process types" };
  }
  const isAboutApp = typeof errors === "object" && errors !== null && "app" in errors;
  if (status === 422 && isAboutApp) {
    return {
      kind: "busy",
      message: `Scalingo is busy with it (${quoteOf({ error: errors.app })})`,
    };
  }
  return null;
}
