/** A fake Clever Cloud: API, bridge and public router, with everything a test can do to them. */

import type { CancelTimer, Clock } from "../../src/clock.ts";
import {
  type Access,
  authenticateBearer,
  authenticateOAuth,
  limit,
} from "./fake-clever-cloud-access.ts";
import {
  addApp,
  addOrganisation,
  appOfHost,
  hostOf,
  type NewApp,
} from "./fake-clever-cloud-account.ts";
import { servingInstances } from "./fake-clever-cloud-app.ts";
import { type CleverControl, controlOf } from "./fake-clever-cloud-control.ts";
import { notFound } from "./fake-clever-cloud-json.ts";
import type { CleverApp, World } from "./fake-clever-cloud-model.ts";
import type { OAuthCredentials } from "./fake-clever-cloud-oauth1.ts";
import type { Ordering } from "./fake-clever-cloud-orders.ts";
import { type CleverRouter, startCleverRouter } from "./fake-clever-cloud-router.ts";
import { cleverRoutes, type State } from "./fake-clever-cloud-routes.ts";
import { type FakeApi, startFakeApi } from "./fake-platform.ts";
import type { FakeRouter } from "./fake-router.ts";

/** Durations are in ms of `clock`; left out, they are about the platform's own. */
export interface FakeCleverCloudOptions extends Ordering {
  /**
   * Real, or virtual: then a test advances it. Its wall clock is the platform's own: OAuth1
   * timestamps must agree.
   */
  readonly clock: Clock;
  /** What the apps speak with the world; `https` is trusted with `ROUTER_CA`. Default `http`. */
  readonly scheme?: "http" | "https";
  /** The router's "not up" has LF line ends, as it had in 2022; default false. */
  readonly hasBareLineFeeds?: boolean;
  /** Default `fake-api-token`. */
  readonly apiToken?: string;
  /** The secrets have characters that must be encoded, unless given. */
  readonly oauth?: OAuthCredentials;
  /** Default five minutes. */
  readonly timestampSkewMs?: number;
  /** A nonce may be used once; default true. Whether the platform looks is not known. */
  readonly checksNonces?: boolean;
  /** Default unlimited, as nothing is known; `setLimit` changes it. */
  readonly requestsPerWindow?: number;
  /** Default a minute. */
  readonly limitWindowMs?: number;
  /**
   * From the order to the beginning of a deployment; until then nothing is to be seen. Default 2 s.
   */
  readonly queueMs?: number;
  /** How long a start's deployment takes; default a minute. */
  readonly startMs?: number;
  /** From STOPPING to the end of an instance; default 5 s. */
  readonly stopMs?: number;
  /** From the order on: how long v4 does not know a deployment by its id. Default 1 s. */
  readonly idLagMs?: number;
  /** See `World`. Default `WANTS_TO_BE_UP`. */
  readonly startsAs?: World["startsAs"];
  /** See `World`. Default `SHOULD_BE_UP`. */
  readonly stopsAs?: World["stopsAs"];
  /** See `World`. Default `WANTS_TO_BE_UP`. */
  readonly failsAs?: World["failsAs"];
  /** See `World`. Default `at-once`. */
  readonly showsUndeploy?: World["showsUndeploy"];
}

/** The running fake. Ends with `await using`. */
export interface FakeCleverCloud extends AsyncDisposable {
  /**
   * `api.clever-cloud.com`: OAuth1 alone. Kinds of calls, here and at the bridge: `summary`,
   * `apps.list`, `apps.read`,
   * `start`, `stop`, `deployments.list`, `deployments.read`, `deployments.cancel`,
   * `instances.list`, `vhosts.list`,
   * `vhosts.favourite`, `v4.deployments.list`, `v4.deployments.read`, `v4.instances.list`.
   */
  readonly api: FakeApi;
  /** `api-bridge.clever-cloud.com`: bearers alone. */
  readonly bridge: FakeApi;
  /** Calls of this kind to both; see `FakeApi.count`. */
  count(pattern?: string): number;
  readonly router: FakeRouter;
  /** What a test asserts to be empty, of both. */
  readonly violations: readonly string[];
  readonly apiToken: string;
  readonly oauth: OAuthCredentials;
  /** What the program is told about the account. */
  environmentOf(credentials: "token" | "oauth1"): Record<string, string>;
  readonly userId: string;
  /** The one that is there from the beginning: `Acme`. */
  readonly organisationId: string;
  /** @returns its id */
  addOrganisation(name: string): string;
  /** The token may not see it any more: not in the summary, and 403. Or it may again. */
  hideOrganisation(id: string, isHidden?: boolean): void;
  /** Names may be any, and the same more than once. */
  addApp(name: string, options?: NewApp): CleverControl;
  /** Gone: 404 by the API, unknown to the router. */
  deleteApp(app: CleverControl): void;
  /** Where the app answers by its first vhost. @throws when it has none */
  addressOf(app: CleverControl): string;
  /** Requests that the app has answered itself, by any of its vhosts. */
  appRequests(app: CleverControl): number;
  /** Requests that the router answered with "not up", by any of its vhosts. */
  downPages(app: CleverControl): number;
  /** Both kinds of credentials get 401 from now on. */
  revokeToken(): void;
  /** They are good again. */
  restoreToken(): void;
  /** @param windowMs default as it is */
  setLimit(requests: number, windowMs?: number): void;
  /** Somebody else uses up the account's budget. */
  useUp(requests: number): void;
  /** Calls that were refused because of the limit so far. */
  readonly rateLimited: number;
}

const OAUTH: OAuthCredentials = {
  consumerKey: "fake-consumer",
  consumerSecret: "consumer+secret/1",
  token: "fake-oauth-token",
  tokenSecret: "token=secret 2",
};

interface Parts {
  readonly options: FakeCleverCloudOptions;
  readonly state: State;
  readonly access: Access;
  readonly router: CleverRouter;
  readonly timers: Set<CancelTimer>;
  readonly api: FakeApi;
  readonly bridge: FakeApi;
}

/** Starts both servers and the router. */
export async function startFakeCleverCloud(
  options: FakeCleverCloudOptions,
): Promise<FakeCleverCloud> {
  const { clock } = options;
  const apps = new Set<CleverApp>();
  const timers = new Set<CancelTimer>();
  const router = await startCleverRouter({
    clock,
    scheme: options.scheme ?? "http",
    hasBareLineFeeds: options.hasBareLineFeeds ?? false,
    instancesOf(host) {
      const app = appOfHost(apps, host);
      return app === null ? null : { name: app.name, count: servingInstances(state.world, app) };
    },
  });
  const world = createWorld(options, timers, () => router.changed());
  const state: State = {
    rules: options,
    user: { id: `user_${world.nextUuid()}`, name: "me" },
    organisations: new Set(),
    apps,
    world,
    vhostOf: (vhost) => vhost.replace("/", `:${router.port}/`),
  };
  const access = createAccess(options);
  const violations: string[] = [];
  const shared = {
    clock,
    violations,
    routes: cleverRoutes(state),
    notFound: ({ path }: { readonly path: string }) => notFound(path, "resource"),
    headersOf: () => ({ "Sozu-Id": world.nextUuid().toUpperCase() }),
  };
  const api = await startFakeApi({
    ...shared,
    name: "Clever Cloud API",
    before: (call) => authenticateOAuth(access, call, clock.wallMs()) ?? limit(access, call),
  });
  const bridge = await startFakeApi({
    ...shared,
    name: "Clever Cloud API bridge",
    before: (call) => authenticateBearer(access, call) ?? limit(access, call),
  });
  return assemble({ options, state, access, router, timers, api, bridge });
}

function createWorld(
  options: FakeCleverCloudOptions,
  timers: Set<CancelTimer>,
  changed: () => void,
): World {
  let ids = 0;
  return {
    clock: options.clock,
    queueMs: options.queueMs ?? 2_000,
    startMs: options.startMs ?? 60_000,
    stopMs: options.stopMs ?? 5_000,
    idLagMs: options.idLagMs ?? 1_000,
    startsAs: options.startsAs ?? "WANTS_TO_BE_UP",
    stopsAs: options.stopsAs ?? "SHOULD_BE_UP",
    failsAs: options.failsAs ?? "WANTS_TO_BE_UP",
    showsUndeploy: options.showsUndeploy ?? "at-once",
    nextUuid() {
      ids += 1;
      return `0210ab5c-6baf-477b-8c0f-${ids.toString(16).padStart(12, "0")}`;
    },
    later(delayMs, action) {
      const cancel = options.clock.after(delayMs, () => {
        timers.delete(cancel);
        action();
        changed();
      });
      timers.add(cancel);
    },
    changed,
  };
}

function createAccess(options: FakeCleverCloudOptions): Access {
  return {
    apiToken: options.apiToken ?? "fake-api-token",
    oauth: options.oauth ?? OAUTH,
    timestampSkewMs: options.timestampSkewMs ?? 300_000,
    checksNonces: options.checksNonces ?? true,
    nonces: new Set(),
    requestsMax: options.requestsPerWindow ?? Number.POSITIVE_INFINITY,
    windowMs: options.limitWindowMs ?? 60_000,
    times: [],
    refused: 0,
  };
}

function assemble(parts: Parts): FakeCleverCloud {
  const { options, state, access, router, api, bridge } = parts;
  const { apiToken = "fake-api-token", oauth = OAUTH } = options;
  const organisationId = addOrganisation(state, "Acme");
  return {
    api,
    bridge,
    count: (pattern) => api.count(pattern) + bridge.count(pattern),
    router: router.inner,
    violations: api.violations,
    apiToken,
    oauth,
    environmentOf: (credentials) =>
      credentials === "token"
        ? { PROVIDER_CLEVER_API_HOST: bridge.origin, PROVIDER_CLEVER_API_TOKEN: apiToken }
        : oauthEnvironment(api.origin, oauth),
    userId: state.user.id,
    organisationId,
    addOrganisation: (name) => addOrganisation(state, name),
    hideOrganisation(id, isHidden = true) {
      for (const one of state.organisations) if (one.id === id) one.isHidden = isHidden;
    },
    addApp: (name, newApp = {}) =>
      controlOf(state.world, addApp(state, name, { ownerId: organisationId, ...newApp })),
    deleteApp({ id }) {
      for (const app of state.apps) if (app.id === id) state.apps.delete(app);
      router.changed();
    },
    addressOf({ name, vhosts: [vhost] }) {
      if (vhost === undefined) throw new Error(`${name} has no vhost`);
      return `${options.scheme ?? "http"}://${state.vhostOf(vhost).replace(/\/$/, "")}`;
    },
    appRequests: ({ vhosts }) => sumOver(vhosts, (host) => router.inner.appRequests(host)),
    downPages: ({ vhosts }) => sumOver(vhosts, (host) => router.pages(host)),
    revokeToken() {
      access.apiToken = null;
      access.oauth = null;
    },
    restoreToken() {
      access.apiToken = apiToken;
      access.oauth = oauth;
    },
    setLimit(requests, windowMs = access.windowMs) {
      access.requestsMax = requests;
      access.windowMs = windowMs;
    },
    useUp(requests) {
      const nowMs = options.clock.now();
      for (let used = 0; used < requests; used += 1) access.times.push(nowMs);
    },
    get rateLimited() {
      return access.refused;
    },
    [Symbol.asyncDispose]: () => end(parts),
  };
}

function oauthEnvironment(origin: string, oauth: OAuthCredentials): Record<string, string> {
  return {
    PROVIDER_CLEVER_API_HOST: origin,
    PROVIDER_CLEVER_OAUTH_CONSUMER_KEY: oauth.consumerKey,
    PROVIDER_CLEVER_OAUTH_CONSUMER_SECRET: oauth.consumerSecret,
    PROVIDER_CLEVER_TOKEN: oauth.token,
    PROVIDER_CLEVER_SECRET: oauth.tokenSecret,
  };
}

async function end({ timers, api, bridge, router }: Parts): Promise<void> {
  for (const cancel of timers) cancel();
  await api[Symbol.asyncDispose]();
  await bridge[Symbol.asyncDispose]();
  await router[Symbol.asyncDispose]();
}

function sumOver(vhosts: readonly string[], count: (host: string) => number): number {
  return vhosts.map(hostOf).reduce((sum, host) => sum + count(host), 0);
}
