/** A fake Scalingo: authentication API, region APIs and public router, with everything a test can do to them. */

import type { CancelTimer, Clock } from "../../src/clock.ts";
import type { FakeAnswer } from "./fake-answer.ts";
import { type Call, type FakeApi, startFakeApi } from "./fake-platform.ts";
import { type FakeRouter, type Routing, startFakeRouter } from "./fake-router.ts";
import {
  authenticate,
  checkForm,
  createAccess,
  expireBearers,
  limit,
} from "./fake-scalingo-access.ts";
import { isServing } from "./fake-scalingo-app.ts";
import {
  controlOf,
  type Formation,
  quantitiesOf,
  type ScalingoControl,
} from "./fake-scalingo-control.ts";
import { createApp } from "./fake-scalingo-deployment.ts";
import { forbidden, notFound, routerPage } from "./fake-scalingo-json.ts";
import type { ScalingoApp, World } from "./fake-scalingo-model.ts";
import {
  type Answering,
  apiRoutes,
  apiUrlOf,
  authRoutes,
  findApp,
  regionOf,
  type State,
} from "./fake-scalingo-routes.ts";

/** Durations are in ms of `clock`; left out, they are the platform's own. */
export interface FakeScalingoOptions extends Answering {
  /** Real, or virtual: then a test advances it. */
  readonly clock: Clock;
  /** Default `osc-fr1` alone. The first is the one that `http://127.0.0.1:<port>` means. */
  readonly regions?: readonly string[];
  /** Regions that exist, but not for this account: 403, and not in the list of regions. */
  readonly restrictedRegions?: readonly string[];
  /** What addresses of apps look like: see `FakeRouterOptions`. Default `name`. */
  readonly addressing?: "name" | "port";
  /** Default `tk-us-fake`. */
  readonly apiToken?: string;
  /** Default an hour. */
  readonly bearerLifeMs?: number;
  /** Default 60 within `limitWindowMs`, counted over all regions and the authentication API. */
  readonly requestsPerWindow?: number;
  /** Default a minute. */
  readonly limitWindowMs?: number;
  /** From the order to containers that accept; default 5 s. */
  readonly bootMs?: number;
  /** From SIGTERM to the end of a container; default 2 s. */
  readonly stopMs?: number;
  /** How long an operation is `pending`; default 0.5 s. */
  readonly pendingMs?: number;
  /** More unfinished scales than this make the next operation fail; default unlimited. */
  readonly scalesInFlightMax?: number;
  /** `/ps` keeps ended containers as `stopped`; default false. */
  readonly keepsStoppedContainers?: boolean;
}

/** The running fake. Ends with `await using`. */
export interface FakeScalingo extends AsyncDisposable {
  /**
   * All region APIs. Kinds of calls: `apps.list`, `apps.read`, `formation.read`, `containers.read`, `scale`,
   * `restart`, `operations.read`, `deployments.list`, `domains.list`, `autoscalers.list`.
   */
  readonly api: FakeApi;
  /** The authentication API. Kinds of calls: `tokens.exchange`, `regions.list`. */
  readonly auth: FakeApi;
  readonly router: FakeRouter;
  /** What a test asserts to be empty, of both APIs. */
  readonly violations: readonly string[];
  readonly apiToken: string;
  /** For `PROVIDER_SCALINGO_AUTH_URL`. */
  readonly authUrl: string;
  /** For `PROVIDER_SCALINGO_API_URL`: with `{region}` in it. */
  readonly apiUrl: string;
  /** The API of one region. */
  apiUrlOf(region: string): string;
  /** @throws when the region has an app of this name */
  addApp(name: string, options?: NewApp): ScalingoControl;
  /** Gone: 404 by the API, unknown to the router. */
  deleteApp(app: ScalingoControl): void;
  /** Where the app answers, as its `base_url` says. */
  addressOf(app: ScalingoControl): string;
  /** Requests that the app has answered itself, at its own address. */
  appRequests(app: ScalingoControl): number;
  /** Every bearer issued so far gets 401; the API token is good. */
  expireBearers(): void;
  /** `null`: the API token is revoked, and all bearers with it. */
  setApiToken(token: string | null): void;
  setRequestsPerWindow(requests: number): void;
  /** Somebody else uses up the account's budget. */
  useUp(requests: number): void;
  /** Calls that got a 429 so far. */
  readonly rateLimited: number;
  /** The most scales by the API that were unfinished at the same time. */
  readonly scalesInFlightPeak: number;
}

export interface NewApp {
  /** Default the first region. */
  readonly region?: string;
  /** Default `{ web: 1 }`. */
  readonly formation?: Formation;
  /** Default true; else its status is `new`. */
  readonly isDeployed?: boolean;
}

/** Starts both APIs and the router. */
export async function startFakeScalingo(options: FakeScalingoOptions): Promise<FakeScalingo> {
  const state = createState(options);
  const router = startFakeRouter({
    clock: options.clock,
    addressing: options.addressing ?? "name",
    routeOf: (host) => routeOf(state, router, host),
    unknownHost: routerPage(404, "application not found"),
  });
  const violations: string[] = [];
  const api = await startFakeApi({
    clock: options.clock,
    name: "Scalingo API",
    violations,
    routes: apiRoutes(state, router),
    before: (call) => admit(state, call) ?? admitToRegion(state, call),
    notFound: () => notFound("route"),
    maps: ["flags", "limits"],
  });
  const auth = await startFakeApi({
    clock: options.clock,
    name: "Scalingo authentication API",
    violations,
    routes: authRoutes(state, api.port),
    before: (call) => admit(state, call),
    notFound: () => notFound("route"),
  });
  const appOf = (control: ScalingoControl) => findApp(state, control.region, control.id);
  return {
    api,
    auth,
    router,
    violations,
    get apiToken() {
      return state.access.apiToken ?? "revoked";
    },
    authUrl: auth.origin,
    apiUrl: `http://api.{region}.localhost:${api.port}`,
    apiUrlOf: (region) => apiUrlOf(region, api.port),
    addApp(name, newApp = {}) {
      const app = addApp(state, name, newApp);
      return controlOf(state.world, app, router.hostOf);
    },
    deleteApp(control) {
      const app = appOf(control);
      if (app !== null) state.apps.delete(app);
    },
    addressOf: ({ name, region }) => router.addressOf(`${name}.${region}`),
    appRequests: ({ name, region }) => router.appRequests(router.hostOf(`${name}.${region}`)),
    expireBearers: () => expireBearers(state.access),
    setApiToken(token) {
      state.access.apiToken = token;
      if (token === null) expireBearers(state.access);
    },
    setRequestsPerWindow(requests) {
      state.access.requestsMax = requests;
    },
    useUp(requests) {
      const nowMs = options.clock.now();
      for (let used = 0; used < requests; used += 1) state.access.times.push(nowMs);
    },
    get rateLimited() {
      return state.access.refused;
    },
    get scalesInFlightPeak() {
      return state.scalesInFlightPeak;
    },
    async [Symbol.asyncDispose]() {
      for (const cancel of state.timers) cancel();
      await api[Symbol.asyncDispose]();
      await auth[Symbol.asyncDispose]();
      await router[Symbol.asyncDispose]();
    },
  };
}

function createState(options: FakeScalingoOptions): State {
  const apps = new Set<ScalingoApp>();
  const timers = new Set<CancelTimer>();
  let ids = 0;
  const world: World = {
    clock: options.clock,
    bootMs: options.bootMs ?? 5_000,
    stopMs: options.stopMs ?? 2_000,
    pendingMs: options.pendingMs ?? 500,
    keepsStoppedContainers: options.keepsStoppedContainers ?? false,
    scalesInFlightMax: options.scalesInFlightMax ?? Number.POSITIVE_INFINITY,
    nextId() {
      ids += 1;
      return `5410093${ids.toString(16).padStart(17, "0")}`;
    },
    later(delayMs, action) {
      const cancel = options.clock.after(delayMs, () => {
        timers.delete(cancel);
        action();
      });
      timers.add(cancel);
    },
    scalesInFlight: () => [...apps].filter(hasOurScale).length,
  };
  const access = createAccess({
    apiToken: options.apiToken ?? "tk-us-fake",
    bearerLifeMs: options.bearerLifeMs ?? 3_600_000,
    windowMs: options.limitWindowMs ?? 60_000,
    requestsMax: options.requestsPerWindow ?? 60,
  });
  const regions = options.regions ?? ["osc-fr1"];
  const restrictedRegions = options.restrictedRegions ?? [];
  return {
    options,
    regions,
    restrictedRegions,
    access,
    apps,
    world,
    timers,
    scalesInFlightPeak: 0,
  };
}

function hasOurScale({ operations }: ScalingoApp): boolean {
  return [...operations.values()].some(
    ({ isOurs, status }) => isOurs && (status === "pending" || status === "running"),
  );
}

function addApp(state: State, name: string, newApp: NewApp): ScalingoApp {
  const { region = state.regions[0] ?? "", formation = { web: 1 }, isDeployed = true } = newApp;
  if (findApp(state, region, name) !== null) throw new Error(`${name} is there already`);
  const app = createApp(state.world, {
    name,
    region,
    isDeployed,
    formation: quantitiesOf(formation),
  });
  state.apps.add(app);
  return app;
}

/** Limit first, as it stands in front; then form, then credentials. */
function admit(state: State, call: Call): FakeAnswer | null {
  checkForm(call);
  const refusal = limit(state.access, call);
  if (refusal !== null || call.kind === "tokens.exchange") return refusal;
  return authenticate(state.access, call);
}

function admitToRegion(state: State, call: Call): FakeAnswer | null {
  const region = regionOf(state, call);
  if (state.restrictedRegions.includes(region)) return forbidden();
  if (state.regions.includes(region)) return null;
  call.violation(`there is no region ${region}`);
  return notFound("route");
}

function routeOf(state: State, router: FakeRouter, host: string): Routing | null {
  const app = [...state.apps].find(
    ({ name, region, domains }) =>
      router.hostOf(`${name}.${region}`) === host || domains.some((domain) => domain.name === host),
  );
  if (app === undefined) return null;
  const page = pageOf(state.world, app);
  if (page !== null) return { kind: "page", answer: page };
  const instances = app.containers.filter(
    ({ type, state: word }) => type === "web" && word === "running",
  ).length;
  return { kind: "app", name: app.name, instances };
}

function pageOf(world: World, app: ScalingoApp): FakeAnswer | null {
  if (!isServing(world, app)) {
    const isAlive = app.containers.some(({ state }) => state === "running");
    return routerPage(503, isAlive ? "no web container" : "application is stopped");
  }
  if (app.trouble === "quarantined") return routerPage(502, "all containers are in quarantine");
  if (app.trouble === "timeout") return routerPage(504, "application timed out");
  return app.trouble === "queue-full" ? routerPage(503, "requests queue is full") : null;
}
