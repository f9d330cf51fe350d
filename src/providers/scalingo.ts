/** The provider of apps on Scalingo. */

import { throwIfAborted } from "./abortable.ts";
import type { Urgency } from "./platform-api.ts";
import { createSleeping } from "./platform-sleeping.ts";
import type { AccountReport, Listing, Observation, Provider } from "./provider.ts";
import { createScalingoApi, type ScalingoApiDeps } from "./scalingo-api.ts";
import {
  type AppOrder,
  fetchApp,
  fetchFormation,
  type ScalingoContext,
  withUnmanaged,
} from "./scalingo-context.ts";
import { decodeJob } from "./scalingo-job.ts";
import { createRegionLists, fetchRegion, type RegionLists } from "./scalingo-list.ts";
import {
  callOff,
  followSleep,
  type SleepContext,
  sleep,
  takeSeen,
  takeSnapshot,
} from "./scalingo-sleep.ts";
import { observationOf } from "./scalingo-state.ts";
import { createScaleTurns } from "./scalingo-turns.ts";
import { followWake, wake } from "./scalingo-wake.ts";

/** Of many that wake at once each waits for its turn; the boot itself has two minutes of it. */
const WAKE_TIMEOUT_MS = 5 * 60_000;
/** Before the stop its turn and a pause of all calls may have to be waited for, and stops take up to 3 minutes each. */
const SLEEP_TIMEOUT_MS = 10 * 60_000;
/** Scales that the platform works on for us at the same time. */
const SCALES_MAX = 2;

/** Nothing is sent before the first call. */
export function createScalingoProvider(deps: ScalingoApiDeps): Provider {
  const { config, clock } = deps;
  const api = createScalingoApi(deps);
  const turns = createScaleTurns(clock, SCALES_MAX);
  const context: SleepContext = {
    ...{ config, clock, api, turns },
    known: new Map(),
    sleeping: createSleeping(clock),
    unmanaged: new Map(),
    stops: new Map(),
    seen: new Map(),
  };
  const lists = createRegionLists(context, deps.log);
  return {
    name: "scalingo",
    capabilities: {
      listsDeclaredApps: false,
      listHasState: true,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      sleepTimeoutMs: SLEEP_TIMEOUT_MS,
      sleepAfterFailedWake: false,
      snapshotLooks: true,
    },
    list: (signal) => list(lists, signal),
    whyUnlisted: lists.whyUnlisted,
    isWhole: lists.isWhole,
    observe: (id, signal, isWanted = false) => observe(context, id, { signal, isWanted }),
    async takeSnapshot(id, signal) {
      throwIfAborted(signal, `taking a snapshot of ${id}`);
      return await takeSnapshot(context, { id, urgency: "sleep", signal });
    },
    async wake(id, snapshot, signal) {
      throwIfAborted(signal, `waking ${id}`);
      return await wake(context, { id, urgency: "wake", signal }, snapshot);
    },
    async sleep(id, snapshot, signal) {
      throwIfAborted(signal, `putting ${id} to sleep`);
      return await sleep(context, { id, urgency: "sleep", signal }, snapshot);
    },
    async poll(id, operation, signal) {
      throwIfAborted(signal, `following ${id}`);
      const job = decodeJob(operation.id);
      const order: AppOrder = { id, urgency: job.goal, signal };
      return await (job.goal === "wake" ? followWake : followSleep)(context, order, job);
    },
    callOff: (id) => callOff(context, id),
    isDownAnswer,
    check: (signal) => check(context, signal),
    async close() {
      turns.close();
      api.close();
    },
  };
}

/**
 * Pages of the router: 503 when the app is stopped or has no web, 502 when all its containers are in quarantine, 404
 * (our guess) for a name that no app has any more. A 504 is an app that is up and slow. Source: Scalingo, "Routing".
 */
function isDownAnswer(status: number, header: (name: string) => string | null): boolean {
  const isPage = status === 503 || status === 502 || status === 404;
  return isPage && header("x-scalingo-error") !== null;
}

async function list(lists: RegionLists, signal: AbortSignal): Promise<readonly Listing[]> {
  throwIfAborted(signal, "listing the apps on Scalingo");
  return await lists.fetch(signal);
}

async function observe(
  context: SleepContext,
  id: string,
  { signal, isWanted }: { readonly signal: AbortSignal; readonly isWanted: boolean },
): Promise<Observation> {
  throwIfAborted(signal, `observing ${id}`);
  const seenBefore = takeSeen(context, id);
  if (seenBefore !== null) return seenBefore;
  const urgency = isWanted ? "wake" : urgencyOfLook(context, id);
  const order: AppOrder = { id, urgency, signal };
  const app = await fetchApp(context, order);
  const needsFormation = app.status === "running" || app.status === "scaling";
  const formation = needsFormation ? await fetchFormation(context, order) : null;
  const seen = observationOf(app, formation);
  context.known.set(id, { name: app.name, phase: seen.phase });
  return withUnmanaged(context, id, seen);
}

/** Whoever looks at an app that is up wants to put it to sleep, or to know whether it sleeps; others wait for it. */
function urgencyOfLook(context: ScalingoContext, id: string): Urgency {
  return context.known.get(id)?.phase === "awake" ? "sleep" : "wake";
}

async function check(
  context: ScalingoContext,
  signal: AbortSignal,
): Promise<readonly AccountReport[]> {
  const { regions } = context.config;
  return await Promise.all(
    regions.map(async (region) => {
      const apps = await fetchRegion(context, { region, urgency: "wake", signal });
      const owners = [...new Set(apps.flatMap(({ owner }) => owner ?? []))];
      const account = owners.join(", ") || "(no app says whose it is)";
      return { account, region, apps: apps.length, remaining: null };
    }),
  );
}
