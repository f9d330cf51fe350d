/** Waking on Scalingo: one scale, followed to its end, then judged by the app's own state. */

import type { Snapshot } from "../app.ts";
import { ProviderError, type Step } from "./provider.ts";
import {
  type AppOrder,
  fetchApp,
  fetchFormation,
  nameOf,
  type ScalingoContext,
} from "./scalingo-context.ts";
import { wakeChanges } from "./scalingo-formation.ts";
import { decodeJob, type ScaleJob } from "./scalingo-job.ts";
import {
  begin,
  doneWith,
  failed,
  follow,
  goOn,
  isOverdue,
  neverDeployed,
  newJob,
  POLL_MS,
  readProgress,
} from "./scalingo-scale.ts";
import { isBusy, type ScalingoApp, type ScalingoType } from "./scalingo-state.ts";

/**
 * Wakes an app from whatever state it is in. What was busy when we came is waited for first, and then looked at anew.
 * It has its turn before it looks: of many that wake at once, all would look, and none would be through in time.
 * @throws ProviderError
 */
export async function wake(
  context: ScalingoContext,
  order: AppOrder,
  snapshot: Snapshot | null,
): Promise<Step> {
  const { id, signal } = order;
  if (context.sleeping.has(id)) return goOn(newJob(context, "wake", snapshot), POLL_MS);
  await context.turns.take(id, "wake", signal);
  let isSent = false;
  try {
    const step = await wakeInTurn(context, order, snapshot);
    isSent = !step.done && decodeJob(step.operation.id).isSent;
    return step;
  } finally {
    if (!isSent) context.turns.give(id);
  }
}

async function wakeInTurn(
  context: ScalingoContext,
  order: AppOrder,
  snapshot: Snapshot | null,
): Promise<Step> {
  // Both at once: somebody waits.
  const [app, formation] = await Promise.all([
    fetchApp(context, order),
    fetchFormation(context, order),
  ]);
  const job: ScaleJob = { ...newJob(context, "wake", snapshot), target: app.target };
  if (app.status === "new") throw neverDeployed(context, order.id);
  if (isBusy(app.status)) return goOn(job, POLL_MS);
  const changes = wakeChanges(formation, snapshot);
  if (changes.length > 0) return await begin(context, order, { job, changes });
  if (app.status === "stopped" || app.status === "crashed") {
    const running = formation.filter(({ amount }) => amount > 0);
    if (running.length === 0) throw nothingToWake(context, order.id);
    return await startAnew(context, order, { job, running });
  }
  return { done: true, target: app.target };
}

/** A restart, as its formation says that it runs; where that call is not known, the same amounts once more. */
async function startAnew(
  context: ScalingoContext,
  order: AppOrder,
  { job, running }: { readonly job: ScaleJob; readonly running: readonly ScalingoType[] },
): Promise<Step> {
  try {
    return await begin(context, order, { job, changes: null });
  } catch (error) {
    if (!(error instanceof ProviderError) || error.kind !== "not-found") throw error;
    const changes = running.map(({ name, amount }) => ({ name, amount }));
    return await begin(context, order, { job, changes });
  }
}

/** Looks how far a wake is. */
export function followWake(
  context: ScalingoContext,
  order: AppOrder,
  job: ScaleJob,
): Promise<Step> {
  return follow(context, { id: order.id, job }, () => look(context, order, job));
}

async function look(context: ScalingoContext, order: AppOrder, job: ScaleJob): Promise<Step> {
  if (isOverdue(context, job)) return await judge(context, order, job);
  switch (await readProgress(context, order, job)) {
    case "done":
      return doneWith(job.target);
    case "going-on":
      return goOn(job, POLL_MS);
    case "unknown":
      return await judge(context, order, { ...job, location: null });
  }
}

/** A boot may take 60 s, and is tried again when it fails, ms. Source: Scalingo, "Container Management". */
const BOOT_MS_MAX = 120_000;

/** What the app itself says, where no operation can. */
async function judge(context: ScalingoContext, order: AppOrder, job: ScaleJob): Promise<Step> {
  // Turns are short: an operation that takes long must not keep other apps waiting.
  context.turns.give(order.id);
  if (!job.isSent) return await wake(context, order, job.snapshot);
  return verdictOn(context, order.id, { app: await fetchApp(context, order), job });
}

function verdictOn(
  context: ScalingoContext,
  id: string,
  { app, job }: { readonly app: ScalingoApp; readonly job: ScaleJob },
): Step {
  if (isBusy(app.status)) {
    if (context.clock.now() - job.sinceMs < BOOT_MS_MAX) return goOn(job, POLL_MS);
    throw failed(context, id, { job, why: `it is "${app.status}" after ${BOOT_MS_MAX / 1000} s` });
  }
  if (app.status === "stopped" || app.status === "crashed") {
    throw failed(context, id, { job, why: `it is "${app.status}"` });
  }
  return doneWith(app.target ?? job.target);
}

function nothingToWake(context: ScalingoContext, id: string): ProviderError {
  const message = `${nameOf(context, id)} has no process type "web" on Scalingo, which alone gets requests`;
  return new ProviderError("failed", message);
}
