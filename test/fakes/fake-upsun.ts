/** A fake Upsun: API, authentication server and router, with everything a test can do to them. */

import type { CancelTimer, Clock } from "../../src/clock.ts";
import type { FakeAnswer } from "./fake-answer.ts";
import { type FakeApi, startFakeApi } from "./fake-platform.ts";
import { type FakeRouter, type Routing, startFakeRouter } from "./fake-router.ts";
import { type Access, admit, exchange, expireBearers } from "./fake-upsun-access.ts";
import {
  controlOf,
  createEnvironment,
  type NewEnvironment,
  type UpsunControl,
} from "./fake-upsun-control.ts";
import { refused } from "./fake-upsun-json.ts";
import type { World } from "./fake-upsun-model.ts";
import { labelOf, type State, type UpsunRules, upsunRoutes } from "./fake-upsun-routes.ts";

/** Durations are in ms of `clock`; left out, they are the platform's own, or likely ones where it tells none. */
export interface FakeUpsunOptions extends Partial<UpsunRules> {
  /** Real, or virtual: then a test advances it. */
  readonly clock: Clock;
  /** Default `fake-api-token`. */
  readonly apiToken?: string;
  /** Default 15 minutes. */
  readonly bearerLifeMs?: number;
  /** Default 400. */
  readonly badTokenStatus?: 400 | 401;
  /** Nobody knows of a limit; default a million. */
  readonly callsPerMinute?: number;
  /** Default `null`: a 429 says nothing. */
  readonly retryAfterSeconds?: number | null;
  /** How long an activity is `pending`; default 1 s. */
  readonly pendingMs?: number;
  /** From `in_progress` to its end; default 30 s. */
  readonly activityMs?: number;
  /** From the end of an activity until the environment's status follows; default 0. */
  readonly statusLagMs?: number;
  /** So long after a resume has ended, the router still shows the page of before; default 0. */
  readonly routerLagMs?: number;
  /** Where every route of a paused environment leads; default a page on upsun.com. */
  readonly pausedPage?: string;
}

/** The running fake. Ends with `await using`. */
export interface FakeUpsun extends AsyncDisposable {
  /**
   * Kinds of calls: `users.me`, `organizations.list`, `projects.list`, `environments.list`, `environments.read`,
   * `deployments.current`, `activities.list`, `activities.read`, `pause`, `resume`, `activate`, `deactivate`.
   */
  readonly api: FakeApi;
  /** Kind of call: `tokens.exchange`. */
  readonly auth: FakeApi;
  readonly router: FakeRouter;
  /** What a test asserts to be empty, of both. */
  readonly violations: readonly string[];
  /** For `PROVIDER_UPSUN_API_URL`. */
  readonly apiUrl: string;
  /** For `PROVIDER_UPSUN_AUTH_URL`. */
  readonly authUrl: string;
  /** For `PROVIDER_UPSUN_API_TOKEN`: good until `setAccepted`. */
  readonly apiToken: string;
  /** @param branch @throws when the project has one of this name */
  addEnvironment(branch: string, options?: NewEnvironment): UpsunControl;
  /** Gone: 404 by the API, unknown to the router. */
  deleteEnvironment(environment: UpsunControl): void;
  /** Gone with all of its environments. */
  deleteProject(projectId: string): void;
  /** The account loses, or regains, its right to a project. */
  setForbidden(projectId: string, isForbidden: boolean): void;
  /** Every bearer issued so far gets 401; the API token is good. */
  expireBearers(): void;
  /** Whether the API token is accepted; when not, no bearer is, either. */
  setAccepted(isAccepted: boolean): void;
  setCallsPerMinute(calls: number): void;
  /** Calls that got a 429 so far. */
  readonly rateLimited: number;
}

/** Starts the servers. */
export async function startFakeUpsun(options: FakeUpsunOptions): Promise<FakeUpsun> {
  const { clock, apiToken = "fake-api-token" } = options;
  const timers = new Set<CancelTimer>();
  const state = createState(options, { apiToken, timers, changed: () => router.changed() });
  const { pausedPage = "https://static.upsun.com/paused.html" } = options;
  const router: FakeRouter = startFakeRouter({
    clock,
    routeOf: (host) => routeOf(state, { host, pausedPage }),
    unknownHost: { status: 404, body: "404 Not Found" },
  });
  const violations: string[] = [];
  const notFound = () => refused(404, "not found", "account");
  const api = await startFakeApi({
    ...{ clock, violations, notFound, name: "Upsun API" },
    routes: upsunRoutes(state, router),
    before: (call) => admit(state.access, call),
    maps: ["routes", "_links"],
  });
  const auth = await startFakeApi({
    ...{ clock, violations, notFound, name: "Upsun authentication server" },
    routes: [
      {
        kind: "tokens.exchange",
        method: "POST",
        path: "/oauth2/token",
        answer: (call) => exchange(state.access, call),
      },
    ],
  });
  return {
    ...{ api, auth, router, violations, apiToken },
    apiUrl: api.origin,
    authUrl: auth.origin,
    addEnvironment: (branch, more = {}) =>
      controlOf(state, createEnvironment(state, branch, more), router),
    ...controlsOf(state, apiToken, () => router.changed()),
    get rateLimited() {
      return state.access.refused;
    },
    async [Symbol.asyncDispose]() {
      for (const cancel of timers) cancel();
      await api[Symbol.asyncDispose]();
      await auth[Symbol.asyncDispose]();
      await router[Symbol.asyncDispose]();
    },
  };
}

function controlsOf(
  { access, environments, projects }: State,
  apiToken: string,
  changed: () => void,
): Pick<
  FakeUpsun,
  | "deleteEnvironment"
  | "deleteProject"
  | "setForbidden"
  | "expireBearers"
  | "setAccepted"
  | "setCallsPerMinute"
> {
  return {
    deleteEnvironment({ id }) {
      for (const one of environments) {
        if (`${one.project.id}/${one.id}` === id) environments.delete(one);
      }
      changed();
    },
    deleteProject(projectId) {
      for (const one of environments) if (one.project.id === projectId) environments.delete(one);
      for (const one of projects) if (one.id === projectId) projects.delete(one);
      changed();
    },
    setForbidden(projectId, isForbidden) {
      for (const one of projects) if (one.id === projectId) one.isForbidden = isForbidden;
    },
    expireBearers: () => expireBearers(access),
    setAccepted(isAccepted) {
      access.apiToken = isAccepted ? apiToken : null;
      if (!isAccepted) expireBearers(access);
    },
    setCallsPerMinute(calls) {
      access.callsPerMinute = calls;
    },
  };
}

interface Given {
  readonly apiToken: string;
  readonly timers: Set<CancelTimer>;
  readonly changed: () => void;
}

function createState(options: FakeUpsunOptions, given: Given): State {
  const access: Access = {
    apiToken: given.apiToken,
    bearerLifeMs: options.bearerLifeMs ?? 900_000,
    badTokenStatus: options.badTokenStatus ?? 400,
    retryAfterSeconds: options.retryAfterSeconds ?? null,
    callsPerMinute: options.callsPerMinute ?? 1_000_000,
    bearers: new Map(),
    times: [],
    refused: 0,
  };
  return {
    rules: {
      hasLinks: options.hasLinks ?? true,
      hasPublicUrl: options.hasPublicUrl ?? true,
      hasEdge: options.hasEdge ?? true,
      showsDirty: options.showsDirty ?? true,
      errorForm: options.errorForm ?? "problem",
      repeats: options.repeats ?? "refused",
      embedsActivities: options.embedsActivities ?? true,
      missingProject: options.missingProject ?? 403,
      pageMax: options.pageMax ?? 100,
    },
    access,
    organizations: new Set(),
    projects: new Set(),
    environments: new Set(),
    world: createWorld(options, given),
  };
}

function createWorld(options: FakeUpsunOptions, { timers, changed }: Given): World {
  const { clock } = options;
  let ids = 0;
  return {
    clock,
    pendingMs: options.pendingMs ?? 1_000,
    activityMs: options.activityMs ?? 30_000,
    statusLagMs: options.statusLagMs ?? 0,
    routerLagMs: options.routerLagMs ?? 0,
    nextId() {
      ids += 1;
      return `act${ids.toString(36).padStart(10, "0")}`;
    },
    later(delayMs, action) {
      const cancel = clock.after(delayMs, () => {
        timers.delete(cancel);
        action();
      });
      timers.add(cancel);
    },
    changed,
  };
}

function routeOf(
  { environments, world }: State,
  { host, pausedPage }: { readonly host: string; readonly pausedPage: string },
): Routing | null {
  for (const environment of environments) {
    if (`${labelOf(environment)}.localhost`.toLowerCase() !== host) continue;
    const { condition, instances, machineName, routerLagsUntilMs } = environment;
    const name = machineName.replace(/-[a-z0-9]{7}$/, "");
    const isLagging = world.clock.now() < routerLagsUntilMs;
    if (condition === "inactive" || condition === "deleting") return null;
    if (condition === "paused" || isLagging)
      return { kind: "page", answer: redirection(pausedPage) };
    return { kind: "app", name, instances };
  }
  return null;
}

function redirection(location: string): FakeAnswer {
  return { status: 302, headers: { location } };
}
