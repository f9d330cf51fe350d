/**
 * Many apps on a fake Scalingo, and the whole core in front of them, in virtual time: calls go over real sockets, but
 * time stands still until all that are under way have come back, so that every figure is exact.
 */

import type { App } from "../../src/app.ts";
import { sleep } from "../../src/clock.ts";
import { type Core, createCore } from "../../src/core.ts";
import type { Admission } from "../../src/engines/engine.ts";
import { createEventBus, type PaastisEvent } from "../../src/events.ts";
import { createProbe } from "../../src/health.ts";
import type { PlatformFetch } from "../../src/providers/platform-api.ts";
import { createScalingoProvider } from "../../src/providers/scalingo.ts";
import { createMemoryRegistry } from "../../src/registry/memory.ts";
import {
  type FakeScalingo,
  type FakeScalingoOptions,
  startFakeScalingo,
} from "../fakes/fake-scalingo.ts";
import type { Formation, ScalingoControl } from "../fakes/fake-scalingo-control.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";
import { headFor } from "./request-head.ts";
import { samplePolicy } from "./sample-app.ts";
import { createVirtualClock, settled, type VirtualClock } from "./virtual-clock.ts";

/** What became of one visitor's request. */
export interface Visit {
  /** `told`: an answer of Paastis itself. */
  readonly kind: "served" | "told";
  readonly status: number;
  readonly ms: number;
}

export interface FleetWorld extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly fake: FakeScalingo;
  readonly core: Core;
  readonly apps: readonly ScalingoControl[];
  readonly events: readonly PaastisEvent[];
  readonly lines: readonly LogLine[];
  /** The most apps that were draining or stopping at any one time. */
  readonly transitPeak: number;
  /** The longest that one of them was, without a break, ms. */
  readonly transitMsMax: number;
  /** Calls to the region's API since the last `forgetCalls`, by kind. */
  calls(): Readonly<Record<string, number>>;
  /** How many apps are in each state. */
  states(): Readonly<Record<string, number>>;
  app(key: string): App;
  /** Somebody's request, followed to its end. */
  visit(key: string): Promise<Visit>;
  /** Lets time pass, with a sweep at every full minute, until `isOver` or for so long. @returns how long it took, ms */
  pass(longestMs: number, isOver?: () => boolean): Promise<number>;
}

/** How long an app may be idle, ms: the program's default. */
export const MAX_IDLE_MS = 15 * 60_000;
const SWEEP_EVERY_MS = 60_000;
/** How long one call to the API takes, ms. */
const CALL_MS = 200;
/** How exactly the end is seen, ms. */
const STEP_MS = 100;

/** All apps are up, and listed once; nobody has asked for any. */
export async function startFleet(
  options: Partial<FakeScalingoOptions> & {
    readonly apps: number;
    readonly formation?: Formation;
    readonly callsPerMinute?: number;
    readonly maxIdleMs?: number;
  },
): Promise<FleetWorld> {
  const net = createPatientNet(() => watch());
  const clock = createVirtualClock(undefined, net.quiet);
  const fake = await startFakeScalingo({ ...options, clock });
  const apps = Array.from({ length: options.apps }, (_none, n) =>
    fake.addApp(`app-number-${n}`, { formation: options.formation ?? { web: 1 } }),
  );
  const { log, lines } = recordingLog();
  const provider = createScalingoProvider({
    config: {
      token: fake.apiToken,
      regions: options.regions ?? ["osc-fr1"],
      operationTimeoutMs: 30_000,
      callsPerMinute: options.callsPerMinute ?? 40,
      apiUrl: fake.apiUrl,
      authUrl: fake.authUrl,
    },
    clock,
    random: () => 0.5,
    log,
    async fetch(url, init) {
      await sleep(clock, CALL_MS, init.signal ?? undefined);
      return await net.fetch(url, init);
    },
  });
  const events: PaastisEvent[] = [];
  const bus = createEventBus({
    now: clock.now,
    random: () => 0.5,
    onListenerError(error) {
      throw error;
    },
  });
  bus.subscribe((event) => events.push(event));
  const core = createCore({
    clock,
    random: () => 0.5,
    log,
    registry: createMemoryRegistry(),
    providers: [provider],
    events: bus,
    hooks: {
      run: async () => ({ ok: true }),
      runLater: () => undefined,
      close: async () => undefined,
    },
    probe: createProbe(net.fetch),
    policyOf: () => samplePolicy({ maxIdleMs: options.maxIdleMs ?? MAX_IDLE_MS }),
    keyOf: (label) => label,
    defaultKey: null,
    hold: { maxMs: 25_000, graceMs: 1000, maxPerApp: 10_000, maxTotal: 20_000, maxUploads: 100 },
    showAppOutput: "always",
    isStopping: () => false,
  });
  let transitPeak = 0;
  let transitMsMax = 0;
  const sinceMs = new Map<App, number>();
  function watch() {
    let inTransit = 0;
    for (const app of core.table.all()) {
      if (app.state.kind === "draining" || app.state.kind === "stopping") {
        inTransit += 1;
        if (!sinceMs.has(app)) sinceMs.set(app, clock.now());
      } else if (sinceMs.has(app)) {
        transitMsMax = Math.max(transitMsMax, clock.now() - (sinceMs.get(app) ?? 0));
        sinceMs.delete(app);
      }
    }
    transitPeak = Math.max(transitPeak, inTransit);
  }
  function appOf(key: string): App {
    const app = core.table.byKey(key);
    if (app === null) throw new Error(`there is no app ${key}`);
    return app;
  }
  async function visit(key: string): Promise<Visit> {
    const beganMs = clock.now();
    let admission: Admission = core.handler.admit(headFor(`${key}.example`));
    for (;;) {
      if (admission.kind === "held") admission = await admission.decision;
      if (admission.kind === "answer") {
        return { kind: "told", status: admission.answer.status, ms: clock.now() - beganMs };
      }
      const exchange = admission;
      const answer = await net.fetch(exchange.target.origin, { redirect: "manual" });
      const again = core.handler.answered(
        exchange,
        { status: answer.status, header: (name) => answer.headers.get(name) },
        true,
      );
      if (again === null) {
        core.handler.release(exchange);
        return { kind: "served", status: answer.status, ms: clock.now() - beganMs };
      }
      admission = again;
    }
  }
  let nextSweepMs = clock.now() + SWEEP_EVERY_MS;
  const listed = core.reconciler.run({ kind: "start", detail: "start" });
  await clock.advance(5_000);
  await listed;
  return {
    clock,
    fake,
    core,
    apps,
    events,
    lines,
    get transitPeak() {
      return transitPeak;
    },
    get transitMsMax() {
      return transitMsMax;
    },
    calls: () => countsOf(fake.api.journal),
    states: () => countsOf(core.table.all().map(({ state }) => state)),
    app: appOf,
    visit,
    async pass(longestMs, isOver = () => false) {
      const beganMs = clock.now();
      while (!isOver() && clock.now() - beganMs < longestMs) {
        await clock.advance(Math.min(STEP_MS, nextSweepMs - clock.now()));
        if (clock.now() < nextSweepMs) continue;
        nextSweepMs += SWEEP_EVERY_MS;
        void core.sweeper.sweep();
      }
      return clock.now() - beganMs;
    },
    async [Symbol.asyncDispose]() {
      core.unwatch();
      let isClosed = false;
      const closing = core.lifecycle.close().then(() => {
        isClosed = true;
      });
      await provider.close();
      while (!isClosed) await clock.advance(STEP_MS);
      await closing;
      await fake[Symbol.asyncDispose]();
    },
  };
}

function countsOf(things: readonly { readonly kind: string }[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of things) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** A `fetch` that hands over whole answers, and `quiet`, which waits until none is under way. */
function createPatientNet(onQuiet: () => void): {
  readonly fetch: PlatformFetch;
  readonly quiet: () => Promise<void>;
} {
  const underWay = new Set<Promise<unknown>>();
  async function whole(url: string, init: BunFetchRequestInit): Promise<Response> {
    const answer = await fetch(url, init);
    const { headers, status } = answer;
    return new Response(await answer.bytes(), { headers, status });
  }
  return {
    fetch(url, init) {
      const call = whole(url, init);
      underWay.add(call);
      const over = () => underWay.delete(call);
      call.then(over, over);
      return call;
    },
    async quiet() {
      do {
        await Promise.allSettled(underWay);
        await settled();
        await settled();
      } while (underWay.size > 0);
      onQuiet();
    },
  };
}
