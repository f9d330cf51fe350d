/** The calls that Fly.io's Machines API is made of for us: one organization, one token that is never renewed. */

import type { Clock } from "../clock.ts";
import type { FlyConfig } from "../config.ts";
import type { Log } from "../log.ts";
import {
  type FlyApp,
  type FlyMachine,
  readApps,
  readErrorStatus,
  readMachines,
} from "./fly-json.ts";
import { usualRefusal } from "./platform-answer.ts";
import {
  type ApiAnswer,
  type ApiCall,
  createPlatformApi,
  type PlatformFetch,
  type Refusal,
  type Urgency,
} from "./platform-api.ts";
import { quoteOf } from "./platform-quote.ts";
import { fixedCredentials } from "./platform-token.ts";
import { ProviderError } from "./provider.ts";

/** Everything the provider is made of. */
export interface FlyDeps {
  readonly config: FlyConfig;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
  readonly fetch: PlatformFetch;
}

/** An app, and how urgent a call about it is. */
export interface AppOrder {
  /** Its name, which is its id. */
  readonly name: string;
  readonly urgency: Urgency;
  readonly signal: AbortSignal;
}

/** Each method is one call and rejects as `PlatformApi.send` does, or with `protocol`. */
export interface FlyApi {
  /** Every app of the organization. */
  fetchApps(order: Omit<AppOrder, "name">): Promise<readonly FlyApp[]>;
  /** Those that are the app's, see `readMachines`. */
  fetchMachines(order: AppOrder): Promise<readonly FlyMachine[]>;
  /** `busy` also where its answer was lost: a look has to tell. Never sent twice by itself. */
  start(order: AppOrder, machine: FlyMachine): Promise<"started" | "no-room" | "busy" | "gone">;
  /**
   * Never sent twice by itself: the second would be refused, as if it could not be suspended.
   * @throws ProviderError `invalid` or `forbidden` when this machine cannot be suspended
   */
  suspend(order: AppOrder, machine: FlyMachine): Promise<void>;
  /** Stopping what is stopped does no harm. */
  stop(order: AppOrder, machine: FlyMachine): Promise<void>;
  /** Whether somebody holds it, as whoever deploys does. */
  isLeased(order: AppOrder, machine: FlyMachine): Promise<boolean>;
  /** Until a machine runs, `WAIT_SECONDS` at most. Whether it does, or is still there, a look has to tell. */
  waitForStart(order: AppOrder, machineId: string): Promise<void>;
  /** Safe to repeat. */
  close(): void;
}

const IN_FLIGHT_MAX = 10;
/** How long one call waits for a machine to run, s: one that has ended is not told of before. */
const WAIT_SECONDS = 5;
/** Longest a stop waits for its turn, ms: by then a deployment may have begun, and requests wait for it. */
const STOP_WAIT_MS = 5_000;

/** Nothing is sent before the first call. */
export function createFlyApi(deps: FlyDeps): FlyApi {
  const { callsPerMinute, apiUrl, organization, token } = deps.config;
  const api = createPlatformApi({
    ...deps,
    provider: "fly",
    baseUrl: apiUrl,
    credentials: fixedCredentials({ authorization: authorizationOf(token) }),
    budgetVariable: "PROVIDER_FLY_CALLS_PER_MINUTE",
    budget: {
      burst: Math.max(2, Math.round(callsPerMinute / 2)),
      perMinute: callsPerMinute,
      inFlightMax: IN_FLIGHT_MAX,
    },
    understand,
  });
  const send = (
    { name, urgency, signal }: AppOrder,
    call: Pick<ApiCall, "method" | "path" | "what" | "body" | "isRepeatable" | "waitMaxMs">,
  ) => {
    const path = `/v1/apps/${encodeURIComponent(name)}${call.path}`;
    return api.send({ ...call, path, what: `${call.what} ${name}`, urgency, signal });
  };
  const change = async (
    order: AppOrder,
    { id }: FlyMachine,
    call: Pick<ApiCall, "body" | "waitMaxMs"> & { readonly verb: "start" | "stop" | "suspend" },
  ) => {
    const { verb, ...rest } = call;
    const path = `/machines/${encodeURIComponent(id)}/${verb}`;
    const what = `${verb} a machine of`;
    const isRepeatable = verb === "stop";
    return await send(order, { method: "POST", path, what, isRepeatable, ...rest });
  };
  return {
    async fetchApps(order) {
      const path = `/v1/apps?org_slug=${encodeURIComponent(organization)}`;
      const what = `list the apps of ${organization}`;
      return readApps((await api.send({ ...order, what, method: "GET", path })).body);
    },
    async fetchMachines(order) {
      const call = { method: "GET", path: "/machines", what: "read the machines of" } as const;
      return readMachines((await send(order, call)).body);
    },
    async start(order, machine) {
      try {
        const { status, body } = await change(order, machine, { verb: "start" });
        if (status < 300) return "started";
        if (status === 404) return "gone";
        return readErrorStatus(body) === NO_ROOM ? "no-room" : "busy";
      } catch (error) {
        if (error instanceof ProviderError && error.isUncertain && !order.signal.aborted) {
          return "busy";
        }
        throw error;
      }
    },
    async suspend(order, machine) {
      await change(order, machine, { verb: "suspend", waitMaxMs: STOP_WAIT_MS });
    },
    async stop(order, machine) {
      await change(order, machine, { verb: "stop", body: {}, waitMaxMs: STOP_WAIT_MS });
    },
    async isLeased(order, { id }) {
      const path = `/machines/${encodeURIComponent(id)}/lease`;
      const what = "read the lease of a machine of";
      return (await send(order, { method: "GET", path, what })).status < 300;
    },
    async waitForStart(order, machineId) {
      const query = `state=started&timeout=${WAIT_SECONDS}`;
      const path = `/machines/${encodeURIComponent(machineId)}/wait?${query}`;
      await send(order, { method: "GET", path, what: "wait for a machine of" });
    },
    close: () => api.close(),
  };
}

/**
 * People copy a token with its scheme. Those of the newer kinds have a scheme of their own.
 * Source: superfly/fly-go, `auth.go`.
 */
export function authorizationOf(token: string): string {
  const bare = token.replace(/^(?:FlyV1|Bearer)\s+/i, "");
  const isNew = bare.split(",").some((part) => /^(?:fm2|fm1r)_/.test(part.trim()));
  return `${isNew ? "FlyV1" : "Bearer"} ${bare}`;
}

/** The platform's word for a host that is full. Source: Fly.io's documentation, "Machines API". */
const NO_ROOM = "insufficient_capacity";
/** One call a second of a kind is allowed for a machine or an app, ms. Source: the same, "Rate limits". */
const LIMITED_MS = 1_500;

/** Source: Fly.io's documentation, "Machines API"; superfly/flyctl. */
function understand(answer: ApiAnswer & { readonly call: ApiCall }): Refusal | "done" | null {
  const { status, body, call } = answer;
  const words = quoteOf(body) || `status ${status}`;
  if (status === 401) {
    return { kind: "auth", message: `Fly.io does not accept PROVIDER_FLY_API_TOKEN (${words})` };
  }
  const verb = /\/machines\/[^/]+\/(\w+)(?:\?|$)/.exec(call.path)?.[1] ?? "";
  if (status === 429 && call.path.includes("/machines")) {
    const message = "Fly.io allows one call a second of a kind for one machine or app";
    return { kind: "rate-limited", message, retryAfterMs: LIMITED_MS };
  }
  if (status >= 400 && isWordAbout(verb, answer)) return "done";
  // The machine is replaced, or in the hands of somebody else.
  if (status === 409 || (status === 412 && verb !== "suspend")) {
    return { ...usualRefusal(status, body), kind: "busy" };
  }
  // It is in no state to be suspended, or none that could.
  return status === 412 ? { ...usualRefusal(status, body), kind: "invalid" } : null;
}

/** Answers that say what is the matter with a machine, rather than with the call. */
function isWordAbout(verb: string, { status, body }: ApiAnswer): boolean {
  if (verb === "start") {
    return [404, 409, 412].includes(status) || readErrorStatus(body) === NO_ROOM;
  }
  if (verb === "lease") return status === 404;
  // It does not run yet, or is gone: the wait is over, not the machine's start.
  return verb === "wait" && [400, 404, 408].includes(status);
}
