/** The provider of apps on Fly.io. */

import { throwIfAborted } from "./abortable.ts";
import { type AppOrder, createFlyApi, type FlyDeps } from "./fly-api.ts";
import { type FlyContext, freshLook, isKnownUp, lookAt } from "./fly-context.ts";
import { jobOf } from "./fly-job.ts";
import type { FlyApp } from "./fly-json.ts";
import { goOnSleeping, sleep, takeSnapshot } from "./fly-sleep.ts";
import { idsOf, targetOfApp } from "./fly-state.ts";
import { goOnWaking, wake } from "./fly-wake.ts";
import type { Urgency } from "./platform-api.ts";
import { createSleeping } from "./platform-sleeping.ts";
import type { AccountReport, Listing, Observation, Provider } from "./provider.ts";

/** A machine is up within seconds; its app may take longer. */
const WAKE_TIMEOUT_MS = 90_000;
/** Looks and calls before the stop included. */
const SLEEP_TIMEOUT_MS = 5 * 60_000;

/** Nothing is sent before the first call. */
export function createFlyProvider(deps: FlyDeps): Provider {
  const { config, clock } = deps;
  const api = createFlyApi(deps);
  const sleeping = createSleeping(clock);
  const context: FlyContext = {
    ...{ config, clock, api, sleeping },
    ...{ seen: new Map(), owed: new Map(), ended: new Set() },
  };
  const orderOf = (name: string, urgency: Urgency, signal: AbortSignal): AppOrder => {
    throwIfAborted(signal, `asking Fly.io about ${name}`);
    return { name, urgency, signal };
  };
  return {
    name: "fly",
    capabilities: {
      listsDeclaredApps: false,
      listHasState: false,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      sleepTimeoutMs: SLEEP_TIMEOUT_MS,
      sleepAfterFailedWake: false,
      snapshotLooks: true,
    },
    list: (signal) => list(context, signal),
    async observe(id, signal) {
      return await observe(context, orderOf(id, urgencyOfLook(context, id), signal));
    },
    async takeSnapshot(id, signal) {
      return await takeSnapshot(context, orderOf(id, "sleep", signal));
    },
    async wake(id, snapshot, signal) {
      return await wake(context, orderOf(id, "wake", signal), snapshot);
    },
    async sleep(id, snapshot, signal) {
      return await sleep(context, orderOf(id, "sleep", signal), snapshot);
    },
    async poll(id, operation, signal) {
      const job = jobOf(operation);
      const order = orderOf(id, job.goal, signal);
      const goOn = job.goal === "wake" ? goOnWaking : goOnSleeping;
      return await goOn(context, order, job);
    },
    isDownAnswer: (status, _header, id = "") => isNoMachine(status) && !isKnownUp(context, id),
    mayBeDownAnswer: (status) => isNoMachine(status) || status === 504,
    recallSleep(id, _atMs, left) {
      const ids = left === undefined ? null : idsOf(left);
      if (ids !== null) context.owed.set(id, new Set(ids));
    },
    check: (signal) => check(context, signal),
    async close() {
      api.close();
    },
  };
}

/**
 * What the proxy answers while no machine takes connections, or not yet on all of the proxy's nodes. It puts its
 * name on the app's own answers, too: only how the app is tells whose it was. Source: Fly.io's documentation,
 * "Machine states" (a short delay before all nodes know of a start).
 */
function isNoMachine(status: number): boolean {
  return status === 502 || status === 503;
}

/** The look that ended a sleep will do for the one that asks whether it is asleep: looks are one a second. */
async function observe(context: FlyContext, order: AppOrder): Promise<Observation> {
  const hasEnded = context.ended.delete(order.name);
  const look = hasEnded ? await freshLook(context, order) : await lookAt(context, order);
  return look.observation;
}

/** Somebody waits for an app that is waking; one that was up is looked at before it is put to sleep. */
function urgencyOfLook({ seen }: FlyContext, id: string): Urgency {
  const phase = seen.get(id)?.observation.phase;
  if (phase === "waking") return "wake";
  return phase === "awake" || phase === "stopping" ? "sleep" : "sweep";
}

/** What is remembered of apps that are gone goes with them. */
async function list(context: FlyContext, signal: AbortSignal): Promise<readonly Listing[]> {
  throwIfAborted(signal, "listing the apps on Fly.io");
  const { api, seen, owed, ended } = context;
  const apps = await api.fetchApps({ urgency: "sweep", signal });
  const names = new Set(apps.map(({ name }) => name));
  for (const memory of [seen, owed, ended]) {
    for (const name of memory.keys()) if (!names.has(name)) memory.delete(name);
  }
  return apps.map((app) => listingOf(context, app));
}

/** That Fly.io's proxy stops its machines is known after the first look, and said from the next list on. */
function listingOf({ config, seen }: FlyContext, { name, machines }: FlyApp): Listing {
  const target = targetOfApp(config.appUrl, name);
  const observation: Observation | null =
    machines === 0 ? { phase: "unmanaged", target: null, reason: "it has no machines" } : null;
  const sleepsByItself = seen.get(name)?.sleepsByItself ?? false;
  return { id: name, key: name.toLowerCase(), observation, target, sleepsByItself };
}

async function check(
  { api, config }: FlyContext,
  signal: AbortSignal,
): Promise<readonly AccountReport[]> {
  const apps = await api.fetchApps({ urgency: "wake", signal });
  return [{ account: config.organization, region: null, apps: apps.length, remaining: null }];
}
