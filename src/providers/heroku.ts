/** The provider of apps on Heroku. */

import type { Snapshot } from "../app.ts";
import { messageOf } from "../errors.ts";
import { throwIfAborted } from "./abortable.ts";
import { type AppOrder, createHerokuApi, type HerokuApiDeps } from "./heroku-api.ts";
import {
  appFor,
  fetchDynos,
  fetchFormation,
  type HerokuContext,
  isSurelyUp,
  orderFor,
  remember,
} from "./heroku-context.ts";
import { isDownPage } from "./heroku-down-page.ts";
import { sleepUpdates, snapshotOf } from "./heroku-formation.ts";
import type { HerokuApp } from "./heroku-json.ts";
import { follow, sleep, wake } from "./heroku-scale.ts";
import { NO_ADDRESS, observationOf, sleepsByItself } from "./heroku-state.ts";
import type { Urgency } from "./platform-api.ts";
import {
  type AccountReport,
  type Listing,
  type Observation,
  type Provider,
  ProviderError,
} from "./provider.ts";

/** A boot may take 60 s, of some languages 90 s. Source: help.heroku.com, "R10". */
const WAKE_TIMEOUT_MS = 90_000;
/** Looks and calls before the stop included, which may wait long for their turn when many apps are idle at once. */
const SLEEP_TIMEOUT_MS = 30 * 60_000;

/** Nothing is sent before the first call. */
export function createHerokuProvider(deps: HerokuApiDeps): Provider {
  const { config, clock } = deps;
  const api = createHerokuApi(deps);
  const context: HerokuContext = {
    ...{ config, clock, api },
    apps: new Map(),
    seen: new Map(),
    readings: new Map(),
    changes: new Map(),
  };
  const orderOf = (id: string, urgency: Urgency, signal: AbortSignal) =>
    orderFor(context, id, { urgency, signal });
  return {
    name: "heroku",
    capabilities: {
      listsDeclaredApps: false,
      listHasState: false,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      sleepTimeoutMs: SLEEP_TIMEOUT_MS,
      sleepAfterFailedWake: false,
    },
    list: (signal) => list(context, signal),
    async observe(id, signal, isWanted) {
      const urgency = isWanted === true ? "wake" : urgencyOfLook(context, id);
      return await observe(context, orderOf(id, urgency, signal));
    },
    takeSnapshot: (id, signal) => takeSnapshot(context, orderOf(id, "sleep", signal)),
    async wake(id, snapshot, signal) {
      throwIfAborted(signal, `waking ${id}`);
      return await wake(context, orderOf(id, "wake", signal), snapshot);
    },
    async sleep(id, snapshot, signal) {
      throwIfAborted(signal, `putting ${id} to sleep`);
      return await sleep(context, orderOf(id, "sleep", signal), snapshot);
    },
    async poll(id, operation, signal) {
      throwIfAborted(signal, `following ${id}`);
      const urgency = operation.id.startsWith("wake") ? "wake" : "sleep";
      return await follow(context, orderOf(id, urgency, signal), operation);
    },
    isDownAnswer: (status, header, id) =>
      isDownPage(status, header, id !== undefined && isSurelyUp(context, id)),
    check: (signal) => check(context, signal),
    quotaLeft: () => api.remaining,
    async close() {
      api.close();
    },
  };
}

/** Somebody waits for an app that is waking; one that was up is looked at before it is put to sleep, or woken. */
function urgencyOfLook(context: HerokuContext, id: string): Urgency {
  switch (context.seen.get(id)?.phase) {
    case "waking":
      return "wake";
    case "awake":
    case "stopping":
      return "sleep";
    default:
      return "sweep";
  }
}

/** What is remembered of apps that are gone goes with them. */
async function list(context: HerokuContext, signal: AbortSignal): Promise<readonly Listing[]> {
  const { api, apps, seen, readings, changes } = context;
  const listed = await api.fetchApps({ urgency: "sweep", signal });
  const ids = new Set(listed.map(({ id }) => id));
  for (const memory of [apps, seen, readings, changes]) {
    for (const id of memory.keys()) if (!ids.has(id)) memory.delete(id);
  }
  for (const app of listed) apps.set(app.id, app);
  return listed.map((app) => listingOf(context, app));
}

/**
 * Only of an app that nobody can reach the list says enough. That its dynos are Eco is known after the first look,
 * and said from the next list on; `takeSnapshot` refuses to put it to sleep until then.
 */
function listingOf({ seen }: HerokuContext, { id, name, target }: HerokuApp): Listing {
  const observation: Observation | null =
    target === null ? { phase: "unmanaged", target, reason: NO_ADDRESS } : null;
  return {
    id,
    key: name.toLowerCase(),
    observation,
    target,
    sleepsByItself: seen.get(id)?.sleepsByItself ?? false,
  };
}

/** Two calls; a third for an app that the newest list did not have. */
async function observe(context: HerokuContext, order: AppOrder): Promise<Observation> {
  throwIfAborted(order.signal, `observing ${order.name}`);
  const app = await appFor(context, order);
  try {
    return await observeApp(context, order, app);
  } catch (error) {
    const blocked = blockedBy(error, app);
    if (blocked === null) throw error;
    return blocked;
  }
}

async function observeApp(
  context: HerokuContext,
  order: AppOrder,
  app: HerokuApp,
): Promise<Observation> {
  const [formation, read] = await Promise.all([
    fetchFormation(context, order),
    fetchDynos(context, order),
  ]);
  const observation = observationOf({ app, formation, ...read });
  remember(context, order.id, { phase: observation.phase });
  return observation;
}

/** A bill, a suspension, or a right that the token does not have: somebody has to see to it. */
function blockedBy(error: unknown, { target }: HerokuApp): Observation | null {
  const isHuman =
    error instanceof ProviderError && (error.kind === "payment" || error.kind === "forbidden");
  return isHuman ? { phase: "blocked", target, reason: messageOf(error) } : null;
}

/**
 * One call, and two more for an app that runs: only the newest build tells that one goes on (its dyno is not among
 * the app's), and only the newest release that its release phase does. They are asked here and not at every look,
 * as this is the last thing before a sleep.
 * @throws ProviderError `busy` while it is deployed; `invalid` when Heroku itself puts it to sleep
 */
async function takeSnapshot(context: HerokuContext, order: AppOrder): Promise<Snapshot> {
  throwIfAborted(order.signal, `taking a snapshot of ${order.name}`);
  const { api } = context;
  const formation = await fetchFormation(context, order);
  if (sleepUpdates(formation).length === 0) return snapshotOf(formation);
  if (sleepsByItself(formation)) {
    throw new ProviderError("invalid", "its dynos are Eco: Heroku puts it to sleep by itself");
  }
  const [isBuilding, isReleasing] = await Promise.all([
    api.isBuilding(order),
    api.isReleasing(order),
  ]);
  if (isBuilding) throw new ProviderError("busy", "it is being deployed: its build is running");
  if (isReleasing) {
    throw new ProviderError("busy", "it is being deployed: its release phase is running");
  }
  return snapshotOf(formation);
}

async function check(
  { api }: HerokuContext,
  signal: AbortSignal,
): Promise<readonly AccountReport[]> {
  const apps = await api.fetchApps({ urgency: "wake", signal });
  const account = await unlessForbidden(api.fetchAccount(signal));
  const remaining = await unlessForbidden(api.fetchRemaining(signal));
  const who = account || "(the token does not say whose it is)";
  return [{ account: who, region: null, apps: apps.length, remaining }];
}

/** A token may be good for apps alone. */
async function unlessForbidden<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof ProviderError && error.kind === "forbidden") return null;
    throw error;
  }
}
