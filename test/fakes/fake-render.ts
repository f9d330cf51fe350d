/** A fake Render: API and public router, with everything a test can do to them. */

import type { CancelTimer, Clock } from "../../src/clock.ts";
import type { FakeAnswer } from "./fake-answer.ts";
import { type FakeApi, startFakeApi } from "./fake-platform.ts";
import { type Access, admit, limitHeaders } from "./fake-render-access.ts";
import {
  controlOf,
  createService,
  type NewService,
  type RenderControl,
} from "./fake-render-control.ts";
import { refused } from "./fake-render-json.ts";
import type { Service, World } from "./fake-render-model.ts";
import { type DownPages, noServerPage, routingOf } from "./fake-render-pages.ts";
import { type RenderRules, renderRoutes, type State } from "./fake-render-routes.ts";
import { type FakeRouter, startFakeRouter } from "./fake-router.ts";

/** Durations are in ms of `clock`; left out, they are likely ones, as the platform tells none. */
export interface FakeRenderOptions extends Partial<RenderRules> {
  /** Real, or virtual: then a test advances it. */
  readonly clock: Clock;
  /** What addresses of services look like: see `FakeRouterOptions`. Default `name`. */
  readonly addressing?: "name" | "port";
  /** Default `rnd_fake`. */
  readonly token?: string;
  /** Default 400. */
  readonly readsPerMinute?: number;
  /** Suspends, resumes and deploys of one service; default 10. */
  readonly changesPerMinute?: number;
  /** What `RateLimit-Reset` counts; default `seconds`. */
  readonly resetIs?: "seconds" | "epoch";
  /** A 429 has `Retry-After`; default true. */
  readonly saysRetryAfter?: boolean;
  /** From the beginning of a deploy to its end; default 60 s. */
  readonly deployMs?: number;
  /** From an accepted suspend until the service shows it, and its instances end; default 0. */
  readonly suspendMs?: number;
  /** From an accepted resume until the service is no longer shown as suspended; default 0. */
  readonly resumeShowsMs?: number;
  /** From an accepted resume until its deploy is listed; default 0. */
  readonly deployShowsMs?: number;
  /** So long after a deploy is live, the router still shows the page of before; default 0. */
  readonly routerLagMs?: number;
  /** From a request for a free service that spun down until it answers; default 30 s. */
  readonly spinUpMs?: number;
  /** Default true; else what was live before runs again after `deployMs`, without a deploy. */
  readonly makesDeployOnResume?: boolean;
  /** How the router's own pages look; default `marked`. */
  readonly pages?: DownPages;
}

/** The running fake. Ends with `await using`. */
export interface FakeRender extends AsyncDisposable {
  /** Kinds of calls: `services.list`, `services.read`, `deploys.list`, `domains.list`, `suspend`, `resume`. */
  readonly api: FakeApi;
  readonly router: FakeRouter;
  /** What a test asserts to be empty. */
  readonly violations: readonly string[];
  /** For `PROVIDER_RENDER_API_URL`, with its path. */
  readonly apiUrl: string;
  /** For `PROVIDER_RENDER_API_TOKEN`: good until `setToken`. */
  readonly token: string;
  /** @throws when there is a service of this name */
  addService(name: string, options?: NewService): RenderControl;
  /** Gone: 404 by the API, unknown to the router. */
  deleteService(service: RenderControl): void;
  /** Whether the key is accepted. */
  setAccepted(isAccepted: boolean): void;
  setReadsPerMinute(reads: number): void;
  /** Calls that got a 429 so far. */
  readonly rateLimited: number;
}

/** Starts the API and the router. */
export async function startFakeRender(options: FakeRenderOptions): Promise<FakeRender> {
  const { clock, token = "rnd_fake", pages = "marked" } = options;
  const timers = new Set<CancelTimer>();
  const state = createState(options, { token, timers, changed: () => router.changed() });
  const router: FakeRouter = startFakeRouter({
    clock,
    addressing: options.addressing ?? "name",
    routeOf: (host) => {
      const service = serviceAt(state, host, router);
      return service === null ? null : routingOf(state.world, service, pages);
    },
    unknownHost: noServerPage(),
  });
  const api: FakeApi = await startFakeApi({
    clock,
    name: "Render API",
    routes: renderRoutes(state, router),
    before: (call) => admit(state.access, call),
    notFound: (): FakeAnswer => refused(404, "not found"),
    headersOf: (call) => limitHeaders(state.access, call),
  });
  return {
    api,
    router,
    violations: api.violations,
    apiUrl: `${api.origin}/v1`,
    token,
    addService: (name, service = {}) =>
      controlOf(state, createService(state, name, service), router),
    deleteService({ id }) {
      for (const service of state.services) if (service.id === id) state.services.delete(service);
      router.changed();
    },
    setAccepted(isAccepted) {
      state.access.token = isAccepted ? token : null;
    },
    setReadsPerMinute(reads) {
      state.access.readsPerMinute = reads;
    },
    get rateLimited() {
      return state.access.refused;
    },
    async [Symbol.asyncDispose]() {
      for (const cancel of timers) cancel();
      await api[Symbol.asyncDispose]();
      await router[Symbol.asyncDispose]();
    },
  };
}

interface Given {
  readonly token: string;
  readonly timers: Set<CancelTimer>;
  readonly changed: () => void;
}

function createState(options: FakeRenderOptions, given: Given): State {
  const access: Access = {
    token: given.token,
    readsPerMinute: options.readsPerMinute ?? 400,
    changesPerMinute: options.changesPerMinute ?? 10,
    resetIs: options.resetIs ?? "seconds",
    saysRetryAfter: options.saysRetryAfter ?? true,
    times: new Map(),
    refused: 0,
  };
  const { pageMax = 100, repeats = "accepted", resumeRefusedMs = 0 } = options;
  return {
    rules: { pageMax, repeats, resumeRefusedMs },
    access,
    services: new Set(),
    world: createWorld(options, given),
  };
}

function createWorld(options: FakeRenderOptions, { timers, changed }: Given): World {
  const { clock } = options;
  let ids = 0;
  return {
    clock,
    deployMs: options.deployMs ?? 60_000,
    suspendMs: options.suspendMs ?? 0,
    resumeShowsMs: options.resumeShowsMs ?? 0,
    deployShowsMs: options.deployShowsMs ?? 0,
    routerLagMs: options.routerLagMs ?? 0,
    spinUpMs: options.spinUpMs ?? 30_000,
    makesDeployOnResume: options.makesDeployOnResume ?? true,
    nextId(kind) {
      ids += 1;
      return `${kind}-${ids.toString(36).padStart(20, "0")}`;
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

/** Of a service whose name on Render is switched off, only its own names lead there. */
function serviceAt({ services }: State, host: string, router: FakeRouter): Service | null {
  for (const service of services) {
    const isNamed = service.hasRenderSubdomain && router.hostOf(service.slug) === host;
    if (isNamed || service.domains.some(({ name }) => name.replace(/:\d+$/, "") === host)) {
      return service;
    }
  }
  return null;
}
