/** A fake Fly.io: Machines API and proxy, with everything a test can do to them. */

import type { CancelTimer, Clock } from "../../src/clock.ts";
import type { FakeAnswer } from "./fake-answer.ts";
import { type Access, admit } from "./fake-fly-access.ts";
import { controlOf, createApp, type FlyControl, type NewApp } from "./fake-fly-control.ts";
import { refused } from "./fake-fly-json.ts";
import { type FlyApp, isServing, start, type World } from "./fake-fly-model.ts";
import { type FlyRules, findApp, flyRoutes, type State } from "./fake-fly-routes.ts";
import { type FakeApi, startFakeApi } from "./fake-platform.ts";
import { type FakeRouter, type Routing, startFakeRouter } from "./fake-router.ts";

/** Durations are in ms of `clock`; left out, they are the platform's own, or likely ones where it tells none. */
export interface FakeFlyOptions extends Partial<FlyRules> {
  /** Real, or virtual: then a test advances it. */
  readonly clock: Clock;
  /** Default `fm2_fake`, which wants the scheme `FlyV1`. */
  readonly token?: string;
  /** From the order to `started`; default 1 s. */
  readonly bootMs?: number;
  /** From SIGTERM to `stopped`; default 1 s. */
  readonly stopMs?: number;
  /** From the order to `suspended`; default 500 ms. */
  readonly suspendMs?: number;
  /** From `started` until the proxy gets an answer of the app; default 0. */
  readonly listenMs?: number;
  /** What the proxy says while no machine takes requests; default 502. */
  readonly noMachineStatus?: number;
  /** Whether calls are counted: one a second of a kind for a machine or an app; default true. */
  readonly isLimited?: boolean;
  /** Default `null`: a 429 says nothing. */
  readonly retryAfterSeconds?: number | null;
}

/** The running fake. Ends with `await using`. */
export interface FakeFly extends AsyncDisposable {
  /**
   * Kinds of calls: `apps.list`, `apps.read`, `machines.list`, `machines.read`, `start`, `stop`, `suspend`, `wait`,
   * `lease`, `certificates.list`.
   */
  readonly api: FakeApi;
  readonly router: FakeRouter;
  /** What a test asserts to be empty. */
  readonly violations: readonly string[];
  /** For `PROVIDER_FLY_API_URL`. */
  readonly apiUrl: string;
  /** For `PROVIDER_FLY_APP_URL`: with `{app}` in it. */
  readonly appUrl: string;
  /** For `PROVIDER_FLY_API_TOKEN`, without its scheme. */
  readonly token: string;
  /** @throws when there is an app of this name */
  addApp(name: string, options?: NewApp): FlyControl;
  /** Gone: 404 by the API, unknown to the proxy. */
  deleteApp(app: FlyControl): void;
  /** Whether the token is accepted. */
  setAccepted(isAccepted: boolean): void;
  /** Whether every call is one too many. */
  setFull(isFull: boolean): void;
  /** Calls that got a 429 so far. */
  readonly rateLimited: number;
}

/** Starts the API and the proxy. */
export async function startFakeFly(options: FakeFlyOptions): Promise<FakeFly> {
  const { clock } = options;
  const timers = new Set<CancelTimer>();
  const changed = () => {
    router.changed();
    for (const look of [...state.waiting]) look();
  };
  const state = createState(options, { timers, changed });
  const router: FakeRouter = startFakeRouter({
    clock,
    routeOf: (host) => routeOf(state, host, proxyPage(options.noMachineStatus ?? 502)),
    unknownHost: proxyPage(404),
  });
  const api: FakeApi = await startFakeApi({
    clock,
    name: "Fly.io API",
    routes: flyRoutes(state),
    before: (call) => admit(state.access, call),
    notFound: () => refused(404, "not found"),
    headersOf: () => ({ "fly-request-id": state.world.nextId("req") }),
  });
  return {
    api,
    router,
    violations: api.violations,
    apiUrl: api.origin,
    appUrl: router.addressOf("{app}"),
    token: state.access.token,
    addApp: (name, app = {}) => controlOf(state, createApp(state, name, app), router),
    deleteApp({ name }) {
      const app = findApp(state, name);
      if (app !== null) state.apps.delete(app);
      changed();
    },
    setAccepted(isAccepted) {
      state.access.isAccepted = isAccepted;
    },
    setFull(isFull) {
      state.access.isFull = isFull;
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
  readonly timers: Set<CancelTimer>;
  readonly changed: () => void;
}

function createState(options: FakeFlyOptions, given: Given): State {
  const { token = "fm2_fake" } = options;
  const access: Access = {
    token,
    scheme: /^(?:fm2|fm1r)_/.test(token) ? "FlyV1" : "Bearer",
    isAccepted: true,
    isFull: false,
    isLimited: options.isLimited ?? true,
    retryAfterSeconds: options.retryAfterSeconds ?? null,
    buckets: new Map(),
    refused: 0,
  };
  const { startOfStarted = "refused", noRoomStatus = 422, startsFailed = true } = options;
  return {
    rules: { startOfStarted, noRoomStatus, startsFailed },
    access,
    apps: new Set(),
    world: createWorld(options, given),
    waiting: new Set(),
  };
}

function createWorld(options: FakeFlyOptions, { timers, changed }: Given): World {
  const { clock } = options;
  let ids = 0;
  return {
    clock,
    bootMs: options.bootMs ?? 1_000,
    stopMs: options.stopMs ?? 1_000,
    suspendMs: options.suspendMs ?? 500,
    listenMs: options.listenMs ?? 0,
    nextId(kind) {
      ids += 1;
      return `${kind}${ids.toString(16).padStart(12, "0")}`;
    },
    later(delayMs, action) {
      const cancel = clock.after(delayMs, () => {
        timers.delete(cancel);
        action();
      });
      timers.add(cancel);
      return () => {
        timers.delete(cancel);
        cancel();
      };
    },
    changed,
  };
}

/** How long the proxy holds a request for a machine that it starts. */
const QUEUE_MS = 60_000;

/** A machine whose service has `autostart` is started by the request; of others none is. */
function routeOf(state: State, host: string, noMachine: FakeAnswer): Routing | null {
  const app = findApp(state, host.replace(/\.localhost$/, ""));
  if (app === null) return null;
  const { world } = state;
  const serving = app.machines.filter((machine) => isServing(world, machine));
  const own = app.ownStatus === null ? {} : { answer: proxyPage(app.ownStatus) };
  if (serving.length > 0) {
    return { kind: "app", name: app.name, instances: serving.length, ...own };
  }
  const isComing = app.machines.some(({ hasServices, autostart, ...machine }) => {
    const isUnderWay = machine.state === "starting" || machine.state === "started";
    return hasServices && autostart && isUnderWay;
  });
  if (isComing || autostart(world, app)) {
    return { kind: "queue", timeoutMs: QUEUE_MS, onTimeout: noMachine };
  }
  return { kind: "page", answer: noMachine };
}

function autostart(world: World, app: FlyApp): boolean {
  const idle = app.machines.find(
    (machine) =>
      machine.hasServices && machine.autostart && /^(?:stopped|suspended)$/.test(machine.state),
  );
  return idle !== undefined && start(world, idle);
}

/** What the proxy itself answers: it has no body, and a server of its own. */
export function proxyPage(status: number): FakeAnswer {
  return {
    status,
    headers: { server: "Fly/c1ba5a4f (2026-05-01)", via: "1.1 fly.io", "fly-request-id": "01-cdg" },
  };
}
