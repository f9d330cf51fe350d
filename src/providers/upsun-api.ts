/** The calls that Upsun's API is made of for us: one account, bearers of a quarter of an hour. */

import type { Target } from "../app.ts";
import type { Clock } from "../clock.ts";
import type { UpsunConfig } from "../config.ts";
import type { Log } from "../log.ts";
import {
  type ApiAnswer,
  type ApiCall,
  createPlatformApi,
  type PlatformApi,
  type PlatformFetch,
  type Refusal,
  type Urgency,
} from "./platform-api.ts";
import { quoteOf } from "./platform-quote.ts";
import { createToken, type FetchedToken, fixedCredentials } from "./platform-token.ts";
import { ProviderError } from "./provider.ts";
import {
  readActivities,
  readActivity,
  readBearer,
  readBegun,
  readEnvironment,
  readEnvironments,
  readIds,
  readTarget,
  readUser,
  type UpsunActivity,
  type UpsunEnvironment,
  type UpsunPage,
} from "./upsun-json.ts";

/** Everything the provider is made of. */
export interface UpsunDeps {
  readonly config: UpsunConfig;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
  readonly fetch: PlatformFetch;
}

/** Any call: how urgent it is. */
export interface Asked {
  readonly urgency: Urgency;
  readonly signal: AbortSignal;
}

/** An environment, and how urgent a call about it is. */
export interface AppOrder extends Asked {
  readonly projectId: string;
  readonly environmentId: string;
}

/** Each method is one call, but for lists of several pages, and rejects as `PlatformApi.send` does, or with `protocol`. */
export interface UpsunApi {
  fetchUser(asked: Asked): Promise<{ readonly id: string; readonly name: string }>;
  /** Ids of the projects of all organizations of a user; one call for the organizations, one for each. */
  fetchProjects(userId: string, asked: Asked): Promise<readonly string[]>;
  fetchEnvironments(projectId: string, asked: Asked): Promise<readonly UpsunEnvironment[]>;
  fetchEnvironment(order: AppOrder): Promise<UpsunEnvironment>;
  /** Where it answers; `null`: it has no route, or was never deployed. */
  fetchTarget(order: AppOrder): Promise<Target | null>;
  /** Newest first. */
  fetchActivities(order: AppOrder): Promise<readonly UpsunActivity[]>;
  /** `null`: it is not known any more. */
  fetchActivity(order: AppOrder, activityId: string): Promise<UpsunActivity | null>;
  /**
   * Never sent twice by itself.
   * @param callOff aborted: it is not sent any more, unless it was
   * @returns the activity that was begun; `null`: the answer does not say
   */
  change(
    order: AppOrder,
    verb: "pause" | "resume",
    callOff?: AbortSignal,
  ): Promise<UpsunActivity | null>;
  /** Safe to repeat. */
  close(): void;
}

const IN_FLIGHT_MAX = 6;
/** A list that does not end is no list. */
const PAGES_MAX = 100;
/** Longest a pause waits for its turn, ms: by then a deployment may have begun, and requests wait for it. */
const PAUSE_WAIT_MS = 5_000;

/** Nothing is sent before the first call. */
export function createUpsunApi(deps: UpsunDeps): UpsunApi {
  const { config, clock } = deps;
  const { callsPerMinute } = config;
  const auth = createAuthApi(deps);
  const credentials = createToken({
    clock,
    fetchToken: (signal) => fetchBearer(auth, config, signal),
  });
  const api = createPlatformApi({
    ...deps,
    provider: "upsun",
    baseUrl: config.apiUrl,
    credentials,
    budgetVariable: "PROVIDER_UPSUN_CALLS_PER_MINUTE",
    budget: {
      burst: Math.max(2, Math.round(callsPerMinute / 2)),
      perMinute: callsPerMinute,
      inFlightMax: IN_FLIGHT_MAX,
    },
    understand,
  });
  const read = async (asked: Asked, path: string, what: string) =>
    (await api.send({ method: "GET", path, what, ...callOf(asked) })).body;
  const about = (order: AppOrder, path: string, what: string) =>
    read(order, pathOf(order) + path, `${what} ${order.environmentId}`);
  return {
    fetchUser: async (asked) =>
      readUser(await read(asked, "/users/me", "read the account on Upsun")),
    fetchProjects: (userId, asked) =>
      fetchProjects((path, what) => read(asked, path, what), userId),
    async fetchEnvironments(projectId, asked) {
      const path = `/projects/${encodeURIComponent(projectId)}/environments`;
      const what = `list the environments of ${projectId}`;
      return readEnvironments(await read(asked, path, what), projectId);
    },
    fetchEnvironment: async (order) =>
      readEnvironment(await about(order, "", "read the environment"), order.projectId),
    async fetchTarget(order) {
      const reading = about(order, "/deployments/current", "read the routes of");
      return readTarget(await unlessMissing(reading));
    },
    fetchActivities: async (order) =>
      readActivities(await about(order, "/activities", "read the activities of")),
    async fetchActivity(order, activityId) {
      const project = encodeURIComponent(order.projectId);
      const path = `/projects/${project}/activities/${encodeURIComponent(activityId)}`;
      const body = await unlessMissing(read(order, path, `follow ${order.environmentId}`));
      return body === null ? null : readActivity(body);
    },
    async change(order, verb, callOff) {
      const path = `${pathOf(order)}/${verb}`;
      const what = `${verb} ${order.environmentId}`;
      const waits = verb === "pause" ? { waitMaxMs: PAUSE_WAIT_MS } : {};
      const stops = callOff === undefined ? {} : { callOff };
      const call = { method: "POST", path, what, ...waits, ...stops, ...callOf(order) } as const;
      return readBegun((await api.send(call)).body);
    },
    close() {
      api.close();
      credentials.close();
      auth.close();
    },
  };
}

/** What is not there, or not any more, is nothing: whether its environment is there, others tell. */
async function unlessMissing(reading: Promise<unknown>): Promise<unknown> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof ProviderError && error.kind === "not-found") return null;
    throw error;
  }
}

function callOf({ urgency, signal }: Asked): Pick<ApiCall, "urgency" | "signal"> {
  return { urgency, signal };
}

function pathOf({ projectId, environmentId }: AppOrder): string {
  const project = encodeURIComponent(projectId);
  return `/projects/${project}/environments/${encodeURIComponent(environmentId)}`;
}

async function fetchProjects(
  read: (path: string, what: string) => Promise<unknown>,
  userId: string,
): Promise<readonly string[]> {
  const organizations = await readPages(
    async (path) => {
      return readIds(await read(path, "list the organizations on Upsun"));
    },
    `/users/${encodeURIComponent(userId)}/organizations`,
  );
  const projects = await Promise.all(
    organizations.map((id) =>
      readPages(
        async (path) => {
          return readIds(await read(path, "list the projects on Upsun"));
        },
        `/organizations/${encodeURIComponent(id)}/projects?page[size]=100`,
      ),
    ),
  );
  return [...new Set(projects.flat())];
}

/** A cursor is never made by hand: the next page is where the answer says. */
async function readPages(
  fetchPage: (path: string) => Promise<UpsunPage<string>>,
  first: string,
): Promise<readonly string[]> {
  const entries: string[] = [];
  let path: string | null = first;
  for (let pages = 0; path !== null && pages < PAGES_MAX; pages += 1) {
    const page: UpsunPage<string> = await fetchPage(path);
    entries.push(...page.entries);
    path = page.next;
  }
  return entries;
}

/** As long as a bearer lives at least, in s. Source: Upsun's documentation, "Authentication". */
const BEARER_SECONDS = 900;
/** A few, in case tokens die early. */
const AUTH_BUDGET = { burst: 3, perMinute: 6, inFlightMax: 2 } as const;
/** The name that clients with an API token go by; it has no password. Source: the same. */
const CLIENT = Buffer.from("platform-api-user:").toString("base64");

/** Where the API token is exchanged for bearers. */
function createAuthApi(deps: UpsunDeps): PlatformApi {
  return createPlatformApi({
    ...deps,
    provider: "upsun",
    baseUrl: deps.config.authUrl,
    credentials: fixedCredentials({ authorization: `Basic ${CLIENT}` }),
    budget: AUTH_BUDGET,
    understand: ({ status, body }) =>
      status === 400 || status === 401 ? refusedToken(status, body) : null,
  });
}

async function fetchBearer(
  auth: PlatformApi,
  { token }: UpsunConfig,
  signal: AbortSignal,
): Promise<FetchedToken> {
  const { body } = await auth.send({
    what: "exchange PROVIDER_UPSUN_API_TOKEN",
    method: "POST",
    path: "/oauth2/token",
    form: { grant_type: "api_token", api_token: token },
    // A second bearer does no harm to the first.
    isRepeatable: true,
    urgency: "wake",
    signal,
  });
  return readBearer(body, BEARER_SECONDS);
}

function refusedToken(status: number, body: unknown): Refusal {
  const words = quoteOf(body) || `status ${status}`;
  return { kind: "auth", message: `Upsun does not accept PROVIDER_UPSUN_API_TOKEN (${words})` };
}

/** Where an environment is in no state for what was asked, it may be in the next moment. */
function understand({
  status,
  body,
  call,
}: ApiAnswer & { readonly call: ApiCall }): Refusal | null {
  const words = quoteOf(body) || `status ${status}`;
  if (status === 401) return refusedToken(status, body);
  if (call.method === "POST" && (status === 400 || status === 422)) {
    return { kind: "busy", message: `Upsun is busy with it (${words})` };
  }
  return null;
}
