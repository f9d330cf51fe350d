/** The calls that Render's API is made of for us: one key, all workspaces of its user. */

import type { Clock } from "../clock.ts";
import type { RenderConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { usualRefusal } from "./platform-answer.ts";
import {
  type ApiAnswer,
  type ApiCall,
  createPlatformApi,
  type PlatformFetch,
  type Refusal,
  type ToldLimits,
  type Urgency,
} from "./platform-api.ts";
import { quoteOf } from "./platform-quote.ts";
import { fixedCredentials } from "./platform-token.ts";
import { ProviderError } from "./provider.ts";
import {
  type RenderDeploy,
  type RenderService,
  readDomains,
  readNewestDeploy,
  readService,
  readServices,
} from "./render-json.ts";

/** Everything the provider is made of. */
export interface RenderDeps {
  readonly config: RenderConfig;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
  readonly fetch: PlatformFetch;
}

/** A service, and how urgent a call about it is. */
export interface AppOrder {
  readonly id: string;
  /** What it is called in messages. */
  readonly name: string;
  readonly urgency: Urgency;
  readonly signal: AbortSignal;
}

/** Each method is one call, but for the list's pages, and rejects as `PlatformApi.send` does, or with `protocol`. */
export interface RenderApi {
  /** Every web service; one call per hundred. */
  fetchServices(order: Omit<AppOrder, "id" | "name">): Promise<readonly RenderService[]>;
  fetchService(order: AppOrder): Promise<RenderService>;
  /** `null`: it was never deployed. */
  fetchNewestDeploy(order: AppOrder): Promise<RenderDeploy | null>;
  /** Names of its own that lead to it. */
  fetchDomains(order: AppOrder): Promise<readonly string[]>;
  /** Never sent twice by itself. @param callOff aborted: it is not sent any more, unless it was */
  suspend(order: AppOrder, callOff: AbortSignal): Promise<void>;
  /** Never sent twice by itself: each makes a deploy. */
  resume(order: AppOrder): Promise<void>;
  /** How many calls the platform allows now; `null`: it did not say. */
  readonly remaining: number | null;
  /** Safe to repeat. */
  close(): void;
}

const IN_FLIGHT_MAX = 6;
/** Longest page. Source: api-docs.render.com, "Pagination"; a shorter one is understood, too. */
const PAGE_ENTRIES = 100;
/** A list that does not end is no list: 10,000 services. */
const PAGES_MAX = 100;
/** Longest a suspend waits for its turn, ms: by then a deploy may have begun, and requests wait for it. */
const SUSPEND_WAIT_MS = 5_000;

/** Nothing is sent before the first call. */
export function createRenderApi(deps: RenderDeps): RenderApi {
  const { callsPerMinute, apiUrl, token } = deps.config;
  const api = createPlatformApi({
    ...deps,
    provider: "render",
    baseUrl: apiUrl,
    credentials: fixedCredentials({ authorization: `Bearer ${token}` }),
    budget: {
      burst: Math.max(2, Math.round(callsPerMinute / 2)),
      perMinute: callsPerMinute,
      inFlightMax: IN_FLIGHT_MAX,
    },
    budgetVariable: "PROVIDER_RENDER_CALLS_PER_MINUTE",
    limitsOf,
    understand,
  });
  const send = (
    order: AppOrder,
    call: Pick<ApiCall, "method" | "path" | "what" | "waitMaxMs" | "callOff">,
  ) => {
    const path = `/services/${encodeURIComponent(order.id)}${call.path}`;
    const { urgency, signal } = order;
    return api.send({ ...call, path, what: `${call.what} ${order.name}`, urgency, signal });
  };
  const read = async (order: AppOrder, path: string, what: string) =>
    (await send(order, { method: "GET", path, what })).body;
  return {
    fetchServices: (order) => readPages((call) => api.send({ ...call, ...order })),
    fetchService: async (order) => readService(await read(order, "", "read the service")),
    fetchNewestDeploy: async (order) =>
      readNewestDeploy(await read(order, "/deploys?limit=1", "read the newest deploy of")),
    fetchDomains: async (order) =>
      readDomains(await read(order, "/custom-domains?limit=20", "read the domains of")),
    async suspend(order, callOff) {
      const call = { method: "POST", path: "/suspend", what: "suspend" } as const;
      await send(order, { ...call, waitMaxMs: SUSPEND_WAIT_MS, callOff });
    },
    async resume(order) {
      await send(order, { method: "POST", path: "/resume", what: "resume" });
    },
    get remaining() {
      return api.remaining;
    },
    close: () => api.close(),
  };
}

async function readPages(
  send: (call: Pick<ApiCall, "method" | "path" | "what">) => Promise<ApiAnswer>,
): Promise<readonly RenderService[]> {
  const services = new Map<string, RenderService>();
  const base = `/services?type=web_service&includePreviews=true&limit=${PAGE_ENTRIES}`;
  let path = base;
  for (let pages = 0; pages < PAGES_MAX; pages += 1) {
    const answer = await send({ method: "GET", path, what: "list the services on Render" });
    const { entries, cursor, length } = readServices(answer.body);
    for (const service of entries) services.set(service.id, service);
    if (cursor === null || !mayBeFull(length)) return [...services.values()];
    path = `${base}&cursor=${encodeURIComponent(cursor)}`;
  }
  throw new ProviderError("protocol", "could not list the services on Render: the list never ends");
}

/** Nobody knows how long a page really may be; whatever it is, it is a round number. */
function mayBeFull(entries: number): boolean {
  return entries > 0 && entries % 5 === 0;
}

/**
 * Reads count for the account. Suspends and resumes count for their service alone, ten a minute: what is said of them
 * is nothing about the account. Source: api-docs.render.com, "Rate limiting".
 */
const ACCOUNT_LIMIT_MIN = 100;

function limitsOf(status: number, header: (name: string) => string | null): ToldLimits {
  const limit = Number(header("ratelimit-limit") || Number.NaN);
  if (limit < ACCOUNT_LIMIT_MIN) return {};
  const remaining = Number(header("ratelimit-remaining") || Number.NaN);
  const pauseMs = status === 429 && header("retry-after") === null ? resetMsOf(header) : undefined;
  return {
    ...(remaining >= 0 && limit >= ACCOUNT_LIMIT_MIN ? { remaining } : {}),
    ...(pauseMs === undefined ? {} : { pauseMs }),
  };
}

/** Seconds until the limit is lifted. Some of Render's pages show seconds since the epoch, which are far more. */
const RESET_SECONDS_MAX = 1_000_000;

function resetMsOf(header: (name: string) => string | null): number | undefined {
  const seconds = Number(header("ratelimit-reset") || Number.NaN);
  return seconds >= 0 && seconds < RESET_SECONDS_MAX ? seconds * 1000 : undefined;
}

function understand({
  status,
  header,
  body,
  call,
}: ApiAnswer & { readonly call: ApiCall }): Refusal | null {
  if (status === 401) {
    const words = quoteOf(body) || `status ${status}`;
    return { kind: "auth", message: `Render does not accept PROVIDER_RENDER_API_TOKEN (${words})` };
  }
  if (status === 406) return { ...usualRefusal(status, body), kind: "protocol" };
  if (status === 429 && call.method === "POST") {
    const message = "Render allows ten suspends and resumes of a service a minute";
    const resetMs = header("retry-after") === null ? resetMsOf(header) : undefined;
    return { kind: "busy", message, ...(resetMs === undefined ? {} : { retryAfterMs: resetMs }) };
  }
  return null;
}
