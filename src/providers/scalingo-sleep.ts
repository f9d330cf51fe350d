/** Putting to sleep on Scalingo, in five calls for most apps: three looks, one scale, and a look that sees it down. */

import type { Snapshot } from "../app.ts";
import { type Observation, ProviderError, type Step } from "./provider.ts";
import {
  type AppOrder,
  fetchApp,
  fetchAutoscaledTypes,
  fetchFormation,
  fetchRunningDeployment,
  nameOf,
  placeOf,
  type ScalingoContext,
} from "./scalingo-context.ts";
import { formationOf, sleepChanges, snapshotOf } from "./scalingo-formation.ts";
import type { ScaleJob } from "./scalingo-job.ts";
import {
  begin,
  doneWith,
  failed,
  follow,
  goOn,
  isLate,
  isOverdue,
  newJob,
  POLL_MS,
  readProgress,
} from "./scalingo-scale.ts";
import { isBusy, observationOf, type ScalingoType } from "./scalingo-state.ts";

/** What sleeps need besides. */
export interface SleepContext extends ScalingoContext {
  /** By app: what calls off a stop that was not sent yet. */
  readonly stops: Map<string, AbortController>;
  /** By app: what the look that ended its sleep saw, and when. */
  readonly seen: Map<string, { readonly observation: Observation; readonly atMs: number }>;
}

/** How long it is believed that an app cannot be put to sleep, ms. */
const UNMANAGED_MS = 10 * 60_000;
/** A stop that takes long is looked at ever more seldom, at least so often, ms. */
const POLL_LAST_MS = 5_000;
/** So long an app that was seen asleep at the end of its sleep needs no other look, ms. */
const SEEN_MS = 1_000;

/**
 * Waits for the turn of the sleep that follows, as until then a request can still call it off; only then it looks, as
 * what is seen before may have changed by then. The app's own status is not asked for: a busy app refuses the scale.
 * @throws ProviderError `busy` while it is deployed; `invalid` when an autoscaler would be disabled by a scale, or when
 *   something runs that answers no requests
 */
export async function takeSnapshot(context: SleepContext, order: AppOrder): Promise<Snapshot> {
  const { id, signal } = order;
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
    refuseUnmanaged(context, id, whyUnmanaged(formation, autoscaled));
    context.turns.rest(id);
    return snapshotOf(formation);
  } catch (error) {
    context.turns.give(id);
    throw error;
  }
}

function whyUnmanaged(
  formation: readonly ScalingoType[],
  autoscaled: readonly string[],
): string | null {
  if (autoscaled.length > 0) {
    return `it has an autoscaler for ${autoscaled.join(", ")}, which putting it to sleep would disable`;
  }
  const running = formation.filter(({ amount }) => amount > 0);
  if (running.length === 0 || running.some(({ name }) => name === "web")) return null;
  // The snapshot of before may know what web was; this one would take its place.
  return "it has no container of the type web; what else runs, somebody wants";
}

/** Found out by calls, and so not found out again for a while. */
function refuseUnmanaged(context: SleepContext, id: string, why: string | null): void {
  if (why === null) {
    context.unmanaged.delete(id);
    return;
  }
  context.unmanaged.set(id, { why, untilMs: context.clock.now() + UNMANAGED_MS });
  throw new ProviderError("invalid", why);
}

/**
 * Takes down what the snapshot says to run.
 * @throws ProviderError `busy` while the platform does something else with the app; `rate-limited` when it was called
 *   off, or its turn did not come, before it was sent
 */
export async function sleep(
  context: SleepContext,
  order: AppOrder,
  snapshot: Snapshot,
): Promise<Step> {
  placeOf(order.id);
  context.seen.delete(order.id);
  return await context.sleeping.during(order.id, async () => {
    const formation = formationOf(snapshot) ?? (await fetchFormation(context, order));
    try {
      return await takeDown(context, order, formation);
    } catch (error) {
      // The formation has changed since: a process type is gone.
      if (!(error instanceof ProviderError && error.kind === "invalid")) throw error;
      return await takeDown(context, order, await fetchFormation(context, order));
    }
  });
}

async function takeDown(
  context: SleepContext,
  order: AppOrder,
  formation: readonly ScalingoType[],
): Promise<Step> {
  const changes = sleepChanges(formation);
  if (changes.length === 0) return doneWith(null);
  const stop = new AbortController();
  context.stops.set(order.id, stop);
  try {
    const job = newJob(context, "sleep", null);
    return await begin(context, { ...order, callOff: stop.signal }, { job, changes });
  } finally {
    context.stops.delete(order.id);
  }
}

/** Gives up a sleep as far as nothing was sent: its stop, or the turn that was taken for it. Safe to repeat. */
export function callOff(context: SleepContext, id: string): void {
  const stop = context.stops.get(id);
  const message = `could not put ${nameOf(context, id)} to sleep: it was called off before it was sent`;
  if (stop !== undefined) stop.abort(new ProviderError("rate-limited", message));
  else if (!context.sleeping.has(id)) context.turns.give(id);
}

/** Looks how far a sleep is. */
export function followSleep(context: SleepContext, order: AppOrder, job: ScaleJob): Promise<Step> {
  const { id } = order;
  return context.sleeping.during(id, () =>
    follow(context, { id, job }, () => look(context, order, job)),
  );
}

/** The app itself says more than the operation: that it is down. Only when it says neither, the operation is read. */
async function look(context: SleepContext, order: AppOrder, job: ScaleJob): Promise<Step> {
  const { id } = order;
  const nowMs = context.clock.now();
  // Turns are short: an operation that takes long must not keep other apps waiting.
  if (isOverdue(context, job)) context.turns.give(id);
  const app = await fetchApp(context, order);
  const pollMs = Math.min(POLL_LAST_MS, Math.max(POLL_MS, (nowMs - job.sinceMs) / 2));
  if (app.status === "stopped") {
    const observation = observationOf(app, null);
    context.known.set(id, { name: app.name, phase: observation.phase });
    context.seen.set(id, { observation, atMs: context.clock.now() });
    return doneWith(null);
  }
  const why = `it is "${app.status}" still`;
  if (isLate(job, nowMs)) throw failed(context, id, { job, why });
  if (isBusy(app.status)) return goOn(job, pollMs);
  switch (await readProgress(context, order, job)) {
    case "done":
      return doneWith(null);
    case "going-on":
      return goOn(job, pollMs);
    case "unknown":
      throw failed(context, id, { job, why });
  }
}

/** What the look that ended a sleep has just seen, once: another look would see the same. `null`: there was none. */
export function takeSeen({ seen, clock }: SleepContext, id: string): Observation | null {
  const last = seen.get(id);
  seen.delete(id);
  return last !== undefined && clock.now() - last.atMs < SEEN_MS ? last.observation : null;
}
