/** The calls that Heroku's API is made of for us: one account, one token that is never renewed. */

import type { Clock } from "../clock.ts";
import type { HerokuConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { understand } from "./heroku-errors.ts";
import {
  type HerokuApp,
  type HerokuDyno,
  type HerokuType,
  isNewestPending,
  readAccount,
  readApp,
  readApps,
  readDynos,
  readFormation,
  readRemaining,
} from "./heroku-json.ts";
import { NEWEST_BUILD, NEWEST_RELEASE, readPages } from "./heroku-page.ts";
import {
  type ApiAnswer,
  type ApiCall,
  createPlatformApi,
  type PlatformApi,
  type PlatformFetch,
  type ToldLimits,
  type Urgency,
} from "./platform-api.ts";
import { fixedCredentials } from "./platform-token.ts";

/** What calls are made with. */
export interface HerokuApiDeps {
  readonly config: HerokuConfig;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly fetch: PlatformFetch;
}

/** An app, and how urgent a call about it is. */
export interface AppOrder {
  /** Heroku's own id of it. */
  readonly id: string;
  /** What it is called in messages. */
  readonly name: string;
  readonly urgency: Urgency;
  readonly signal: AbortSignal;
}

/** What is written to a formation: types that are left out stay as they are. */
export interface FormationUpdate {
  readonly type: string;
  readonly quantity: number;
}

/** Each method is one call and rejects as `PlatformApi.send` does, or with `protocol`. */
export interface HerokuApi {
  /** Every app the token may see; one call per thousand. */
  fetchApps(order: Omit<AppOrder, "id" | "name">): Promise<readonly HerokuApp[]>;
  fetchApp(order: AppOrder): Promise<HerokuApp>;
  /** Every process type, those at 0 included. */
  fetchFormation(order: AppOrder): Promise<readonly HerokuType[]>;
  fetchDynos(order: AppOrder): Promise<readonly HerokuDyno[]>;
  /** Whether the newest build is still going on: it ends with a release. */
  isBuilding(order: AppOrder): Promise<boolean>;
  /** Whether the newest release is still going on: its release phase runs. */
  isReleasing(order: AppOrder): Promise<boolean>;
  /** Never sent twice by itself, so that it can be told whether it was needed twice. */
  patchFormation(order: AppOrder, updates: readonly FormationUpdate[]): Promise<void>;
  /** Heroku starts it anew at once, which it does by itself only after ever longer pauses. */
  restartDyno(order: AppOrder, dyno: string): Promise<void>;
  /** Whose token it is; empty: the answer does not say. */
  fetchAccount(signal: AbortSignal): Promise<string>;
  /** Calls that are left; a call that does not count itself. */
  fetchRemaining(signal: AbortSignal): Promise<number | null>;
  /** How many more calls the platform allows, by its newest answer; `null`: none has said so. */
  readonly remaining: number | null;
  /** Safe to repeat. */
  close(): void;
}

const ACCEPT = "application/vnd.heroku+json; version=3";
/** Calls under way at the same time. */
const IN_FLIGHT_MAX = 8;

/** Nothing is sent before the first call. */
export function createHerokuApi(deps: HerokuApiDeps): HerokuApi {
  const { config, random } = deps;
  const { callsPerMinute } = config;
  const api = createPlatformApi({
    ...deps,
    provider: "heroku",
    baseUrl: config.apiUrl,
    credentials: fixedCredentials({ authorization: `Bearer ${config.token}` }),
    budgetVariable: "PROVIDER_HEROKU_CALLS_PER_MINUTE",
    budget: { burst: callsPerMinute, perMinute: callsPerMinute, inFlightMax: IN_FLIGHT_MAX },
    limitsOf,
    understand,
  });
  const send: Send = (call) => sendNamed(api, random, call);
  const read = (order: AppOrder, call: Pick<ApiCall, "path" | "what" | "headers">) =>
    send({ ...callFor(order, { ...call, method: "GET" }) });
  return {
    async fetchApps(order) {
      const call = { what: "list the apps on Heroku", method: "GET", path: "/apps" } as const;
      const pages = await readPages((range) => send({ ...call, ...order, headers: { range } }));
      return unique(pages.flatMap(readApps));
    },
    async fetchApp(order) {
      return readApp((await read(order, { path: "", what: "read the app" })).body);
    },
    async fetchFormation(order) {
      const call = { path: "/formation", what: "read the formation of" };
      return readFormation((await read(order, call)).body);
    },
    async fetchDynos(order) {
      return readDynos((await read(order, { path: "/dynos", what: "read the dynos of" })).body);
    },
    async isBuilding(order) {
      const headers = { range: NEWEST_BUILD };
      const call = { path: "/builds", what: "read the newest build of", headers };
      return isNewestPending((await read(order, call)).body);
    },
    async isReleasing(order) {
      const headers = { range: NEWEST_RELEASE };
      const call = { path: "/releases", what: "read the newest release of", headers };
      return isNewestPending((await read(order, call)).body);
    },
    ...writesOf(send),
    ...accountOf(send),
    get remaining() {
      return api.remaining;
    },
    close: () => api.close(),
  };
}

/** Longest a stop waits for its turn, ms: by then a deployment may have begun, and requests wait for it. */
const STOP_WAIT_MS = 5_000;

type Send = (call: ApiCall) => Promise<ApiAnswer>;

function writesOf(send: Send): Pick<HerokuApi, "patchFormation" | "restartDyno"> {
  return {
    async patchFormation(order, updates) {
      const call = { method: "PATCH", path: "/formation", what: "scale", body: { updates } };
      const waitMaxMs = order.urgency === "sleep" ? STOP_WAIT_MS : undefined;
      const patch = callFor(order, { ...call, method: "PATCH" });
      await send(waitMaxMs === undefined ? patch : { ...patch, waitMaxMs });
    },
    async restartDyno(order, dyno) {
      const path = `/dynos/${encodeURIComponent(dyno)}`;
      const call = { method: "DELETE", path, what: `restart ${dyno} of`, isRepeatable: true };
      await send(callFor(order, { ...call, method: "DELETE" }));
    },
  };
}

/** For somebody who waits at a terminal. */
function accountOf(send: Send): Pick<HerokuApi, "fetchAccount" | "fetchRemaining"> {
  const call = { method: "GET", urgency: "wake" } as const;
  return {
    async fetchAccount(signal) {
      const what = "read the account on Heroku";
      return readAccount((await send({ ...call, what, path: "/account", signal })).body);
    },
    async fetchRemaining(signal) {
      const what = "read how many calls are left on Heroku";
      const path = "/account/rate-limits";
      return readRemaining((await send({ ...call, what, path, signal })).body);
    },
  };
}

/** A call about one app; `path` counts from the app's own resource, `what` goes before its name. */
function callFor(
  { id, name, urgency, signal }: AppOrder,
  call: Pick<ApiCall, "method" | "path" | "what" | "headers" | "body" | "isRepeatable">,
): ApiCall {
  const path = `/apps/${encodeURIComponent(id)}${call.path}`;
  return { ...call, path, what: `${call.what} ${name}`, urgency, signal };
}

/** Under an id of ours, by which Heroku's support finds the call. Source: Platform API Reference, "Request Id". */
function sendNamed(api: PlatformApi, random: () => number, call: ApiCall): Promise<ApiAnswer> {
  const headers = { ...call.headers, accept: ACCEPT, "request-id": requestId(random) };
  return api.send({ ...call, headers });
}

/** A UUID of version 4. */
function requestId(random: () => number): string {
  return "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replaceAll("x", () =>
    Math.floor(random() * 16).toString(16),
  );
}

/** Source: Platform API Reference, "Rate Limits": one bucket per account, on every answer what is left in it. */
function limitsOf(_status: number, header: (name: string) => string | null): ToldLimits {
  const remaining = Number.parseInt(header("ratelimit-remaining") ?? "", 10);
  return Number.isNaN(remaining) ? {} : { remaining };
}

/** An app that was renamed between two parts of the list may be in both. */
function unique(apps: readonly HerokuApp[]): readonly HerokuApp[] {
  return [...new Map(apps.map((app) => [app.id, app])).values()];
}
