/** The provider of apps on Scalingo. */

import type { Snapshot } from "../app.ts";
import { throwIfAborted } from "./abortable.ts";
import type { Urgency } from "./platform-api.ts";
import {
  type AccountReport,
  type Listing,
  type Observation,
  type Provider,
  ProviderError,
} from "./provider.ts";
import { createScalingoApi, type ScalingoApiDeps } from "./scalingo-api.ts";
import {
  type AppOrder,
  fetchApp,
  fetchAutoscaledTypes,
  fetchFormation,
  fetchRunningDeployment,
  nameOf,
  placeOf,
  type ScalingoContext,
  withUnmanaged,
} from "./scalingo-context.ts";
import { snapshotOf } from "./scalingo-formation.ts";
import { decodeJob } from "./scalingo-job.ts";
import { createRegionLists, fetchRegion, type RegionLists } from "./scalingo-list.ts";
import { follow, sleep, wake } from "./scalingo-scale.ts";
import { observationOf } from "./scalingo-state.ts";
import { createScaleTurns } from "./scalingo-turns.ts";

/** A boot may take 60 s, and is tried again when it fails. Source: Scalingo, "Container Management". */
const WAKE_TIMEOUT_MS = 120_000;
/** Looks and calls before the stop included, which may wait long for their turn when many apps are idle at once. */
const SLEEP_TIMEOUT_MS = 30 * 60_000;
/** Scales that the platform works on for us at the same time. */
const SCALES_MAX = 2;
/** How long it is believed that an app cannot be put to sleep, ms. */
const UNMANAGED_MS = 10 * 60_000;

/** Nothing is sent before the first call. */
export function createScalingoProvider(deps: ScalingoApiDeps): Provider {
  const { config, clock } = deps;
  const api = createScalingoApi(deps);
  const turns = createScaleTurns(clock, SCALES_MAX);
  const context: ScalingoContext = {
    ...{ config, clock, api, turns },
    known: new Map(),
    sleeping: new Map(),
    unmanaged: new Map(),
  };
  const lists = createRegionLists(context);
  return {
    name: "scalingo",
    capabilities: {
      listsDeclaredApps: false,
      listHasState: true,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      sleepTimeoutMs: SLEEP_TIMEOUT_MS,
      sleepAfterFailedWake: false,
    },
    list: (signal) => list(lists, signal),
    observe: (id, signal) => observe(context, id, signal),
    takeSnapshot: (id, signal) => takeSnapshot(context, { id, urgency: "sleep", signal }),
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
      return await follow(context, { id, urgency: job.goal, signal }, job);
    },
    isDownAnswer,
    check: (signal) => check(context, signal),
    async close() {
      turns.close();
      api.close();
    },
  };
}

/**
 * Pages of the router: 503 when the app is stopped or has no web, 502 when all its containers are in quarantine. A
 * 504 is an app that is up and slow. Source: Scalingo, "Routing".
 */
function isDownAnswer(status: number, header: (name: string) => string | null): boolean {
  return (status === 503 || status === 502) && header("x-scalingo-error") !== null;
}

async function list(lists: RegionLists, signal: AbortSignal): Promise<readonly Listing[]> {
  throwIfAborted(signal, "listing the apps on Scalingo");
  return await lists.fetch(signal);
}

async function observe(
  context: ScalingoContext,
  id: string,
  signal: AbortSignal,
): Promise<Observation> {
  throwIfAborted(signal, `observing ${id}`);
  const order: AppOrder = { id, urgency: urgencyOfLook(context, id), signal };
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

/**
 * Waits for the turn of the sleep that follows, as until then a request can still call it off.
 * @throws ProviderError `busy` while it is deployed; `invalid` when an autoscaler would be disabled by a scale
 */
async function takeSnapshot(context: ScalingoContext, order: AppOrder): Promise<Snapshot> {
  const { id, signal } = order;
  throwIfAborted(signal, `taking a snapshot of ${id}`);
  placeOf(id);
  await context.turns.take(id, "sleep", signal);
  try {
    const [formation, deployment, autoscaled] = await Promise.all([
      fetchFormation(context, order),
      fetchRunningDeployment(context, order),
      fetchAutoscaledTypes(context, order),
    ]);
    if (deployment !== null) {
      const message = `${nameOf(context, id)} is being deployed (${deployment})`;
      throw new ProviderError("busy", message);
    }
    refuseAutoscaled(context, id, autoscaled);
    // The snapshot of before knows what web was; this one would take its place.
    const isWebDown = formation.some(({ name, amount }) => name === "web" && amount === 0);
    if (isWebDown && formation.some(({ amount }) => amount > 0)) {
      throw new ProviderError("invalid", "its web is down already; what else runs, somebody wants");
    }
    return snapshotOf(formation);
  } catch (error) {
    context.turns.give(id);
    throw error;
  }
}

function refuseAutoscaled(context: ScalingoContext, id: string, types: readonly string[]): void {
  if (types.length === 0) {
    context.unmanaged.delete(id);
    return;
  }
  const why = `it has an autoscaler for ${types.join(", ")}, which putting it to sleep would disable`;
  context.unmanaged.set(id, { why, untilMs: context.clock.now() + UNMANAGED_MS });
  throw new ProviderError("invalid", why);
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
