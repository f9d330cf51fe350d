/** Waking and putting to sleep on Heroku: one change of the formation, followed by the dynos to its end. */

import type { Snapshot } from "../app.ts";
import { sleep as pause } from "../clock.ts";
import type { AppOrder } from "./heroku-api.ts";
import {
  appFor,
  type DynosRead,
  fetchApp,
  fetchDynos,
  fetchFormation,
  forgetDynos,
  type HerokuContext,
  inTurn,
  remember,
} from "./heroku-context.ts";
import {
  type QuantityUpdate,
  sleepUpdates,
  stillMissing,
  storedIn,
  wakeUpdates,
} from "./heroku-formation.ts";
import type { HerokuApp } from "./heroku-json.ts";
import {
  decodeOperation,
  encodeOperation,
  type HerokuOperation,
  pollAfterMs,
} from "./heroku-operation.ts";
import {
  areAllCrashed,
  crashOf,
  isServed,
  maintenanceOf,
  quantityOf,
  webDynosOf,
  whyUnmanaged,
} from "./heroku-state.ts";
import { type Operation, ProviderError, type Step } from "./provider.ts";

/** Heroku was busy with the app: how long to wait before the one other try, ms. */
const BUSY_PAUSE_MS = 1_000;

/** Brings back exactly what the snapshot holds. */
export function wake(
  context: HerokuContext,
  order: AppOrder,
  snapshot: Snapshot | null,
): Promise<Step> {
  return inTurn(context, order, async (change) => {
    const app = await usableApp(context, order);
    const formation = await fetchFormation(context, order);
    const why = whyUnmanaged(app, formation);
    if (why !== null) throw cannot(order, why);
    const updates = wakeUpdates(formation, snapshot);
    remember(context, order.id, { phase: "waking" });
    const operation: HerokuOperation = { goal: "wake", change, sinceMs: context.clock.now() };
    if (updates.length > 0) await scale(context, order, updates);
    if (quantityOf(formation, "web") === 0) return goOn(context, operation);
    return await joinWake(context, order, operation);
  });
}

function cannot({ name }: AppOrder, why: string): ProviderError {
  return new ProviderError("invalid", `could not wake ${name}: ${why}`);
}

/** Maintenance may have ended since the newest list. @throws ProviderError `invalid` while it goes on */
async function usableApp(context: HerokuContext, order: AppOrder): Promise<HerokuApp> {
  const listed = await appFor(context, order);
  if (!listed.isInMaintenance) return listed;
  const app = await fetchApp(context, order);
  if (app.isInMaintenance) throw cannot(order, maintenanceOf(app));
  return app;
}

/** Its web is to run already: it does, or somebody is bringing it up, or it has crashed and wants to be started anew. */
async function joinWake(
  context: HerokuContext,
  order: AppOrder,
  operation: HerokuOperation,
): Promise<Step> {
  const read = await fetchDynos(context, order);
  const webDynos = webDynosOf(read.dynos);
  if (!areAllCrashed(webDynos)) return await wakeStep(context, order, { operation, read });
  for (const { name } of webDynos) await restart(context, order, name);
  forgetDynos(context, order.id);
  return goOn(context, operation);
}

/** One that is gone has been replaced meanwhile. */
async function restart(context: HerokuContext, order: AppOrder, dyno: string): Promise<void> {
  try {
    await context.api.restartDyno(order, dyno);
  } catch (error) {
    if (!(error instanceof ProviderError) || error.kind !== "not-found") throw error;
  }
}

/** Takes down every process type that runs. */
export function sleep(context: HerokuContext, order: AppOrder, snapshot: Snapshot): Promise<Step> {
  return inTurn(context, order, async (change) => {
    const stored = sleepUpdates(storedIn(snapshot));
    const updates = stored.length > 0 ? stored : sleepUpdates(await fetchFormation(context, order));
    const operation: HerokuOperation = { goal: "sleep", change, sinceMs: context.clock.now() };
    // Its last dynos may still be going: who looks at it sees that.
    if (updates.length === 0) return { done: true, target: null };
    await scale(context, order, updates);
    remember(context, order.id, { phase: "stopping" });
    return goOn(context, operation);
  });
}

/**
 * One PATCH. Only when nobody can say whether it was done, or when Heroku was busy or no longer knows a type, what is
 * then still missing is asked for once more.
 */
async function scale(
  context: HerokuContext,
  order: AppOrder,
  updates: readonly QuantityUpdate[],
): Promise<void> {
  try {
    await context.api.patchFormation(order, updates);
  } catch (error) {
    if (!isWorthALook(error) || order.signal.aborted) throw error;
    await pause(context.clock, BUSY_PAUSE_MS, order.signal);
    const missing = stillMissing(await fetchFormation(context, order), updates);
    if (missing.length > 0) await context.api.patchFormation(order, missing);
  } finally {
    forgetDynos(context, order.id);
  }
}

function isWorthALook(error: unknown): error is ProviderError {
  if (!(error instanceof ProviderError)) return false;
  return error.isUncertain || error.kind === "busy" || error.kind === "not-found";
}

/** Asks how far a wake or a sleep is. @throws ProviderError `not-found` when there is no such operation */
export async function follow(
  context: HerokuContext,
  order: AppOrder,
  id: Operation,
): Promise<Step> {
  const operation = decodeOperation(id);
  if (operation.goal === "sleep") return await sleepStep(context, order, operation);
  const read = await fetchDynos(context, order);
  return await wakeStep(context, order, { operation, read });
}

/** @throws ProviderError `failed` when all web dynos have crashed, at two looks in a row */
async function wakeStep(
  context: HerokuContext,
  order: AppOrder,
  seen: { readonly operation: HerokuOperation; readonly read: DynosRead },
): Promise<Step> {
  const { operation, read } = seen;
  const webDynos = webDynosOf(read.dynos);
  if (read.hadCrashed) {
    remember(context, order.id, { phase: "failed" });
    throw new ProviderError("failed", crashOf(webDynos));
  }
  const isServing = isServed(webDynos);
  if (isServing) remember(context, order.id, { phase: "awake" });
  const isOver = context.clock.now() - operation.sinceMs >= context.config.operationTimeoutMs;
  // After that the app's address is asked, and the app is looked at now and then.
  if (!isServing && !isOver) return goOn(context, operation);
  const { target } = await appFor(context, order);
  return { done: true, target };
}

/** @throws ProviderError `failed` when somebody has scaled it up since: waiting longer would not end that */
async function sleepStep(
  context: HerokuContext,
  order: AppOrder,
  operation: HerokuOperation,
): Promise<Step> {
  const newest = context.changes.get(order.id)?.number ?? operation.change;
  // A wake that was asked for since decides what becomes of the app.
  if (newest !== operation.change) return { done: true, target: null };
  const { dynos } = await fetchDynos(context, order);
  if (webDynosOf(dynos).length === 0) return { done: true, target: null };
  const formation = await fetchFormation(context, order);
  if (quantityOf(formation, "web") > 0) {
    const message = `somebody has scaled ${order.name} up while it was put to sleep`;
    throw new ProviderError("failed", message);
  }
  return goOn(context, operation);
}

function goOn(context: HerokuContext, operation: HerokuOperation): Step {
  const elapsedMs = context.clock.now() - operation.sinceMs;
  return {
    done: false,
    operation: encodeOperation(operation),
    pollAfterMs: pollAfterMs(elapsedMs),
  };
}
