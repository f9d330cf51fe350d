/** A fake Heroku: Platform API and public router, with everything a test can do to them. */

import type { CancelTimer, Clock } from "../../src/clock.ts";
import { admit, createAccess, remaining, setQuota } from "./fake-heroku-access.ts";
import {
  controlOf,
  type Formation,
  type HerokuControl,
  labelOf,
  setFormation,
} from "./fake-heroku-control.ts";
import { notFound, uuidOf } from "./fake-heroku-json.ts";
import type { HerokuApp, RefusalId, World } from "./fake-heroku-model.ts";
import { addRelease } from "./fake-heroku-release.ts";
import { findApp, herokuRoutes, type State } from "./fake-heroku-routes.ts";
import { noSuchAppPage, routingOf } from "./fake-heroku-routing.ts";
import { type Call, type FakeApi, startFakeApi } from "./fake-platform.ts";
import { type FakeRouter, type Routing, startFakeRouter } from "./fake-router.ts";

/**
 * Durations are in ms of `clock`; left out, they are the platform's own, or likely ones where it
 * tells none.
 */
export interface FakeHerokuOptions {
  /** Real, or virtual: then a test advances it. */
  readonly clock: Clock;
  /** What addresses of apps look like: see `FakeRouterOptions`. Default `name`. */
  readonly addressing?: "name" | "port";
  /** Default `HRKU-fake-token`. */
  readonly token?: string;
  /** Calls that the bucket holds, and that it begins with; default 4,500. */
  readonly quota?: number;
  /** Calls that come back a minute; default 75. */
  readonly quotaPerMinute?: number;
  /** From `starting` to `up`; default 5 s. */
  readonly bootMs?: number;
  /** A web dyno that is not up by then crashes; default 60 s. */
  readonly bootLimitMs?: number;
  /** From the order until new dynos are listed; default 300 ms. */
  readonly appearMs?: number;
  /** From SIGTERM to the end of a dyno, at most 30 s; default 2 s. */
  readonly stopMs?: number;
  /** The state of a dyno that was up, between SIGTERM and its end; default `up`. */
  readonly lingersAs?: "up" | "down";
  /** How long requests wait for dynos that start; default 75 s. */
  readonly queueMs?: number;
  /** Without a request for so long, Eco dynos sleep; default 30 min. */
  readonly ecoIdleMs?: number;
  /**
   * How long a crashed dyno waits before each of its next starts; the last one counts for all
   * further; empty: it stays crashed. Default 10, 20, 40 and 80 s. The platform tells only that the
   * time grows.
   */
  readonly crashBackoffMs?: readonly number[];
  /** A scale makes a release; default false. */
  readonly makesReleaseOnScale?: boolean;
  /** Scaling down Eco apps is no violation; default false. */
  readonly mayScaleEco?: boolean;
  /** `id` of the 422 to a second Eco or Basic dyno; default `invalid_params`. */
  readonly limitErrorId?: string;
  /**
   * Reading the dynos of one app more often than so is a violation, unless it was scaled in
   * between; default 2.5 s.
   */
  readonly dynosPollMinMs?: number;
  /** Going on after so many 401s, or 429s, within a minute is a violation; default 20. */
  readonly refusedPerMinuteMax?: number;
}

/** The running fake. Ends with `await using`. */
export interface FakeHeroku extends AsyncDisposable {
  /**
   * Kinds of calls: `apps.list`, `teams.apps`, `apps.read`, `formation.read`, `scale`,
   * `dynos.list`, `builds.list`, `releases.list`, `domains.list`, `account.read`, `limits.read`.
   */
  readonly api: FakeApi;
  readonly router: FakeRouter;
  /** What a test asserts to be empty. */
  readonly violations: readonly string[];
  /** For `PROVIDER_HEROKU_API_URL`. */
  readonly apiUrl: string;
  /** For `PROVIDER_HEROKU_API_TOKEN`: good until `revokeToken`. */
  readonly token: string;
  /** @throws when there is an app of this name */
  addApp(name: string, options?: NewApp): HerokuControl;
  /** Gone: 404 by the API, unknown to the router. */
  deleteApp(app: HerokuControl): void;
  /** So many calls are left now, and so many come back a minute (left out: as before). */
  setQuota(left: number, perMinute?: number): void;
  /** As the header says. */
  readonly remaining: number;
  /** Calls that got a 429 so far. */
  readonly rateLimited: number;
  /** Every call gets 401. */
  revokeToken(): void;
  /** Ends `revokeToken`: the token is good again. */
  acceptToken(): void;
  /** Every call is refused for a reason of the account; `null`: no more. */
  refuse(id: RefusalId | null): void;
}

export interface NewApp {
  /** Default `{ web: 1 }`. */
  readonly formation?: Formation;
  /** Of types whose formation does not say it; default `Standard-1X`. */
  readonly size?: string;
  /** The same as size `Eco`. */
  readonly isEco?: boolean;
  /** Default `us`. */
  readonly region?: string;
  /** Name of the team that owns it; default none. */
  readonly team?: string;
  /** Default true; else there is no formation, and no release but the first, empty one. */
  readonly isDeployed?: boolean;
  /** Its subdomain is its name alone, as until June 2023; default false. */
  readonly hasOldAddress?: boolean;
  /** `web_url` is `null`, and the router does not know it; default false. */
  readonly isInternal?: boolean;
}

/** Starts the API and the router. */
export async function startFakeHeroku(options: FakeHerokuOptions): Promise<FakeHeroku> {
  const { clock, token = "HRKU-fake-token" } = options;
  const state = createState(options, {
    token,
    changed: () => router.changed(),
    entryOfNow: () => api.journal.at(-1),
  });
  const router: FakeRouter = startFakeRouter({
    clock,
    addressing: options.addressing ?? "name",
    routeOf: (host) => routeOf(state, router, { host, queueMs: options.queueMs ?? 75_000 }),
    unknownHost: noSuchAppPage(),
  });
  const api: FakeApi = await startFakeApi({
    clock,
    name: "Heroku API",
    routes: herokuRoutes(state, router),
    before: (call) => admit(state.access, call),
    notFound: () => notFound("that path"),
    headersOf: (call) => headersOf(state, call),
  });
  return {
    api,
    router,
    violations: api.violations,
    apiUrl: api.origin,
    token,
    addApp: (name, newApp = {}) => controlOf(state, addApp(state, name, newApp), router),
    deleteApp({ id }) {
      const app = findApp(state, id);
      if (app !== null) state.apps.delete(app);
      router.changed();
    },
    setQuota: (left, perMinute = state.access.perMinute) =>
      setQuota(state.access, { left, perMinute, nowMs: clock.now() }),
    get remaining() {
      return remaining(state.access, clock.now());
    },
    get rateLimited() {
      return state.access.rateLimited;
    },
    revokeToken() {
      state.access.token = null;
    },
    acceptToken() {
      state.access.token = token;
    },
    refuse(id) {
      state.access.refusal = id;
    },
    async [Symbol.asyncDispose]() {
      for (const cancel of state.timers) cancel();
      await api[Symbol.asyncDispose]();
      await router[Symbol.asyncDispose]();
    },
  };
}

interface Given extends Pick<State, "entryOfNow"> {
  readonly token: string;
  readonly changed: () => void;
}

function createState(options: FakeHerokuOptions, given: Given): State {
  const timers = new Set<CancelTimer>();
  const access = createAccess({
    token: given.token,
    bucketMax: options.quota ?? 4_500,
    perMinute: options.quotaPerMinute ?? 75,
    refusedPerMinuteMax: options.refusedPerMinuteMax ?? 20,
    nowMs: options.clock.now(),
  });
  const { mayScaleEco = false, limitErrorId = "invalid_params" } = options;
  return {
    rules: { mayScaleEco, limitErrorId },
    dynosPollMinMs: options.dynosPollMinMs ?? 2_500,
    access,
    apps: new Set(),
    answers: new Map(),
    world: createWorld(options, { timers, changed: given.changed }),
    timers,
    lastReads: new Map(),
    entryOfNow: given.entryOfNow,
  };
}

function createWorld(
  options: FakeHerokuOptions,
  { timers, changed }: { readonly timers: Set<CancelTimer>; readonly changed: () => void },
): World {
  const { clock } = options;
  let ids = 0;
  return {
    clock,
    bootMs: options.bootMs ?? 5_000,
    bootLimitMs: options.bootLimitMs ?? 60_000,
    appearMs: options.appearMs ?? 300,
    stopMs: options.stopMs ?? 2_000,
    lingersAs: options.lingersAs ?? "up",
    ecoIdleMs: options.ecoIdleMs ?? 30 * 60_000,
    crashBackoffMs: options.crashBackoffMs ?? [10_000, 20_000, 40_000, 80_000],
    makesReleaseOnScale: options.makesReleaseOnScale ?? false,
    nextId() {
      ids += 1;
      return uuidOf(`heroku ${ids}`);
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

function addApp(state: State, name: string, newApp: NewApp): HerokuApp {
  if (findApp(state, name) !== null) throw new Error(`${name} is there already`);
  const { world } = state;
  const nowMs = world.clock.now();
  const { isInternal = false, hasOldAddress = false, isDeployed = true } = newApp;
  const label = hasOldAddress ? name : labelOf(state, name);
  const app: HerokuApp = {
    id: world.nextId(),
    createdAtMs: nowMs,
    region: newApp.region ?? "us",
    team: newApp.team ?? null,
    processTypes: new Map(),
    releases: [],
    builds: [],
    domains: [],
    nextBoots: [],
    name,
    label: isInternal ? null : label,
    dynos: [],
    isMaintained: false,
    updatedAtMs: nowMs,
    releasedAtMs: isDeployed ? nowMs : null,
    usualBoot: {},
    stopMs: world.stopMs,
    lastRequestMs: nowMs,
    isWatchedForIdling: false,
    refusal: null,
  };
  addRelease(world, app, { status: "succeeded", what: "Initial release" });
  if (isDeployed) {
    addRelease(world, app, { status: "succeeded", what: "Deploy abcdef12" });
    setFormation(state, app, sized(newApp));
  }
  state.apps.add(app);
  return app;
}

function sized({ formation = { web: 1 }, isEco = false, size }: NewApp): Formation {
  const usual = isEco ? "Eco" : (size ?? "Standard-1X");
  return Object.fromEntries(
    Object.entries(formation).map(([type, one]) => [
      type,
      typeof one === "number" ? { quantity: one, size: usual } : one,
    ]),
  );
}

function headersOf(state: State, call: Call): Record<string, string> {
  const theirs = call.headers.get("request-id");
  const ours = state.world.nextId();
  return {
    "Request-Id": theirs === null ? ours : `${theirs},${ours}`,
    "RateLimit-Remaining": String(remaining(state.access, call.atMs)),
  };
}

function routeOf(
  state: State,
  router: FakeRouter,
  { host, queueMs }: { readonly host: string; readonly queueMs: number },
): Routing | null {
  const app = [...state.apps].find(
    ({ label, domains }) =>
      (label !== null && router.hostOf(label) === host) ||
      domains.some(({ hostname }) => hostname === host),
  );
  if (app === undefined) return null;
  return routingOf(state.world, app, { queueMs, answers: state.answers });
}
