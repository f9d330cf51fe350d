/** The calls that are made to Clever Cloud's API, one function each. */

import type { Clock } from "../clock.ts";
import type { CleverCloudConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { createCleverCloudCredentials } from "./clever-cloud-credentials.ts";
import * as json from "./clever-cloud-json.ts";
import { refusalOf } from "./clever-cloud-refusals.ts";
import {
  type ApiCall,
  createPlatformApi,
  type PlatformApi,
  type PlatformFetch,
  type Urgency,
} from "./platform-api.ts";

const IN_FLIGHT_MAX = 10;
/** Calls that may follow each other at once: half a minute's, and at least what one wake needs. */
const BURST_MIN = 10;

/** What the provider is made of. */
export interface CleverCloudDeps {
  readonly config: CleverCloudConfig;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
  readonly fetch: PlatformFetch;
}

/** An app, as calls name it: the API knows none without its owner. */
export interface AppPlace {
  readonly ownerId: string;
  readonly appId: string;
  /** For messages. */
  readonly label: string;
}

/** On whose behalf a call is made, and how long it may take. */
export interface Asked {
  readonly urgency: Urgency;
  readonly signal: AbortSignal;
}

/** The API of everything that one credential may see. Calls throw what `PlatformApi.send` throws, or `protocol`. */
export interface CleverCloudApi {
  /** Every app of every owner, in one call. */
  summary(asked: Asked): Promise<readonly json.Owner[]>;
  /** The apps of one owner, in full. */
  appsOf(owner: Pick<json.Owner, "id" | "name">, asked: Asked): Promise<readonly json.AppDetail[]>;
  app(place: AppPlace, asked: Asked): Promise<json.AppDetail>;
  newestDeployment(place: AppPlace, asked: Asked): Promise<json.Deployment | null>;
  /** The state of each. */
  instances(place: AppPlace, asked: Asked): Promise<readonly string[]>;
  /** Begins a deployment, also of an app that is up. */
  deploy(place: AppPlace, asked: Asked): Promise<void>;
  /** Removes every instance. */
  undeploy(place: AppPlace, asked: Asked): Promise<void>;
  /** How many more calls the platform allows; `null`: it does not say. */
  readonly remaining: number | null;
  /** Ends every call. Safe to repeat. */
  close(): void;
}

/** Nothing is sent before the first call. @throws TypeError when the API's address is no URL */
export function createCleverCloudApi(deps: CleverCloudDeps): CleverCloudApi {
  const { config, clock, random, log, fetch } = deps;
  const api = createPlatformApi({
    provider: "clever-cloud",
    baseUrl: config.apiUrl,
    credentials: createCleverCloudCredentials(config.credentials, { clock, random }),
    budgetVariable: "PROVIDER_CLEVER_CALLS_PER_MINUTE",
    budget: {
      burst: Math.max(BURST_MIN, Math.round(config.callsPerMinute / 2)),
      perMinute: config.callsPerMinute,
      inFlightMax: IN_FLIGHT_MAX,
    },
    understand: refusalOf,
    fetch,
    clock,
    random,
    log,
  });
  const get = (what: string, path: string, asked: Asked) =>
    bodyOf(api, { what, method: "GET", path, ...asked });
  return {
    summary: async (asked) => json.readSummary(await get("list the apps", "/v2/summary", asked)),
    appsOf: async ({ id, name }, asked) =>
      json.readApps(
        await get(`read the apps of ${name || id}`, `${ownerPath(id)}/applications`, asked),
      ),
    app: async (place, asked) =>
      json.readApp(await get(`read ${place.label}`, pathOf(place), asked)),
    newestDeployment: async (place, asked) =>
      json.readNewest(
        await get(
          `read the deployments of ${place.label}`,
          `${pathOf(place)}/deployments?limit=1`,
          asked,
        ),
      ),
    instances: async (place, asked) =>
      json.readInstances(
        await get(`read the instances of ${place.label}`, `${pathOf(place)}/instances`, asked),
      ),
    deploy: (place, asked) => change(api, place, { what: "wake", method: "POST", ...asked }),
    undeploy: (place, asked) =>
      change(api, place, { what: "stop", method: "DELETE", waitMaxMs: STOP_WAIT_MS, ...asked }),
    get remaining() {
      return api.remaining;
    },
    close: () => api.close(),
  };
}

/** Longest a stop waits for its turn, ms: by then a deployment may have begun, and requests wait for it. */
const STOP_WAIT_MS = 5_000;

async function bodyOf(api: PlatformApi, call: ApiCall): Promise<unknown> {
  return (await api.send(call)).body;
}

async function change(
  api: PlatformApi,
  place: AppPlace,
  call: Asked & Pick<ApiCall, "what" | "waitMaxMs"> & { readonly method: "POST" | "DELETE" },
): Promise<void> {
  const what = `${call.what} ${place.label}`;
  // Never repeatable: a second start is a second deployment, and a second stop may hit a start in between.
  await api.send({ ...call, what, path: `${pathOf(place)}/instances` });
}

/** Personal apps are found below the user's id just like those of an organisation. */
function ownerPath(ownerId: string): string {
  return `/v2/organisations/${encodeURIComponent(ownerId)}`;
}

function pathOf({ ownerId, appId }: AppPlace): string {
  return `${ownerPath(ownerId)}/applications/${encodeURIComponent(appId)}`;
}
