/** Waking and putting to sleep on Upsun: one call, then the activity that it began is followed to its end. */

import {
  goOn,
  isOverdue,
  type Job,
  jobOf,
  newJob,
  refuseEndless,
  taken,
  unanswered,
} from "./platform-job.ts";
import { type Operation, ProviderError, type Step } from "./provider.ts";
import type { AppOrder } from "./upsun-api.ts";
import { idOf, locate, lookAt, type UpsunContext, type View } from "./upsun-context.ts";
import type { UpsunEnvironment } from "./upsun-json.ts";
import { observationOf, PAUSE, progressOf, RESUME, whyUnmanaged } from "./upsun-state.ts";

/** So long a call whose answer was lost may not show, ms: the activity that it begins is listed at once. */
const LOST_SHOWS_MS = 3_000;
/** What was seen so shortly before a pause need not be looked at again, ms. */
const FRESH_MS = 2_000;

/** From which status to which, by which call, seen as which activity. Never deactivated: that destroys its data. */
const GOALS = {
  wake: { from: "paused", to: "active", verb: "resume", type: RESUME, opposite: PAUSE },
  sleep: { from: "active", to: "paused", verb: "pause", type: PAUSE, opposite: RESUME },
} as const;

/**
 * Resumes it, or joins what does; what else goes on with it is waited for.
 * @throws ProviderError `busy` when it cannot be resumed now; `invalid` when it is none to be changed
 */
export async function wake(context: UpsunContext, order: AppOrder): Promise<Step> {
  const { clock } = context;
  const job = newJob("wake", clock.now());
  if (context.sleeping.has(idOf(order))) return goOn(job, clock.now());
  return await advance(context, order, { job, view: await lookAt(context, order) });
}

/**
 * That it may be paused is looked at once, right before.
 * @throws ProviderError `busy` while something goes on with it; `invalid` when it is none to be paused
 */
export async function refuseUnlessFree(context: UpsunContext, order: AppOrder): Promise<void> {
  const view = await lookAt(context, order);
  const { phase, reason = `it is ${phase}` } = observationOf(view.environment, view.running);
  if (phase === "unmanaged" || phase === "blocked" || phase === "unknown") {
    throw new ProviderError("invalid", reason);
  }
  refuseBusy(order, view);
  context.looked.set(idOf(order), { ...view, atMs: context.clock.now() });
}

function refuseBusy(order: AppOrder, { running }: View): void {
  if (running === null || running.type === PAUSE) return;
  const message = `Upsun is busy with ${order.environmentId}: ${running.type}`;
  throw new ProviderError("busy", message);
}

/**
 * Pauses it, or joins what does.
 * @throws ProviderError as `refuseUnlessFree`; `rate-limited` when it was called off before it was sent
 */
export async function sleep(context: UpsunContext, order: AppOrder): Promise<Step> {
  const { clock, looked } = context;
  return await context.sleeping.during(idOf(order), async () => {
    const last = looked.get(idOf(order));
    looked.delete(idOf(order));
    const isFresh = last !== undefined && clock.now() - last.atMs < FRESH_MS;
    const view = isFresh ? last : await lookAt(context, order);
    refuseBusy(order, view);
    return await advance(context, order, { job: newJob("sleep", clock.now()), view });
  });
}

/** Gives up a pause as far as it was not sent. Safe to repeat. */
export function callOff({ stops }: UpsunContext, id: string): void {
  const message = `could not pause ${id}: it was called off before it was sent`;
  stops.get(id)?.abort(new ProviderError("rate-limited", message));
}

/** Looks how far it is. */
export async function follow(
  context: UpsunContext,
  order: AppOrder,
  operation: Operation,
): Promise<Step> {
  const job = jobOf(operation);
  if (job.goal === "sleep") {
    return await context.sleeping.during(idOf(order), () => goOnWith(context, order, job));
  }
  if (context.sleeping.has(idOf(order))) return goOn(job, context.clock.now());
  return await goOnWith(context, order, job);
}

async function goOnWith(context: UpsunContext, order: AppOrder, job: Job): Promise<Step> {
  const { api, clock, config } = context;
  if (job.follows === "") {
    return await advance(context, order, { job, view: await lookAt(context, order) });
  }
  const activity = await api.fetchActivity(order, job.follows);
  const progress = activity === null ? "done" : progressOf(activity);
  const isOurs = job.asked !== "no";
  if (progress === "going-on") {
    // From then on the environment itself decides, too.
    const isLate = clock.now() - job.sinceMs > config.operationTimeoutMs;
    const environment = isLate ? await api.fetchEnvironment(order) : null;
    if (environment?.status !== GOALS[job.goal].to) return goOn(job, clock.now());
    return await doneWith(context, order, { job, environment });
  }
  if (progress === "failed" && isOurs) {
    throw failed(order, job, activity?.result || activity?.state || "");
  }
  const view = await lookAt(context, order);
  const next = { ...job, follows: "", askedMs: isOurs ? clock.now() : 0 };
  return await advance(context, order, { job: next, view });
}

interface Turn {
  readonly job: Job;
  readonly view: View;
}

async function advance(context: UpsunContext, order: AppOrder, { job, view }: Turn): Promise<Step> {
  const { clock } = context;
  const { environment, running } = view;
  const { status } = environment;
  const { from, to, opposite } = GOALS[job.goal];
  const heard = heardOf(job, view);
  if (heard !== null) return goOn(taken(job, clock.now(), heard), clock.now());
  // What somebody else has begun is waited for: it may bring the environment up, too.
  if (running !== null && (status !== to || running.type === opposite)) {
    return goOn({ ...job, follows: running.id }, clock.now());
  }
  if (status === to) return await doneWith(context, order, { job, environment });
  const unmanaged = job.asked === "no" ? whyUnmanaged(environment) : null;
  if (unmanaged !== null) {
    throw new ProviderError("invalid", `${order.environmentId}: ${unmanaged}`);
  }
  const isEarly = job.asked !== "no" && !isOverdue(job, LOST_SHOWS_MS, clock.now());
  // Nothing goes on with it, and it is busy: that will soon be over.
  if (isEarly || status === "dirty") return goOn({ ...job, follows: "" }, clock.now());
  if (job.asked === "yes" || status !== from) throw failed(order, job, `it is "${status}"`);
  refuseEndless(job);
  return await change(context, order, { ...job, before: newestOf(job, view) });
}

/** The activity that is ours, or as good as: one of its kind that goes on, or that came of a call without an answer. */
function heardOf(job: Job, view: View): string | null {
  const { running } = view;
  if (running !== null && running.type === GOALS[job.goal].type) return running.id;
  const newest = newestOf(job, view);
  return job.asked === "maybe" && newest !== job.before ? newest : null;
}

/** The newest activity of the kind that is asked for; empty: there is none. */
function newestOf({ goal }: Job, { activities }: View): string {
  return activities.find(({ type }) => type === GOALS[goal].type)?.id ?? "";
}

/** A call whose answer was lost is not made again here: its activity shows, or the environment, what came of it. */
async function change(context: UpsunContext, order: AppOrder, job: Job): Promise<Step> {
  const { api, clock, stops } = context;
  const { verb } = GOALS[job.goal];
  const stop = new AbortController();
  if (job.goal === "sleep") stops.set(idOf(order), stop);
  try {
    const begun = await api.change(order, verb, stop.signal);
    return goOn(taken(job, clock.now(), begun?.id ?? ""), clock.now());
  } catch (error) {
    if (!(error instanceof ProviderError && error.isUncertain)) throw error;
    return goOn(unanswered(job, error, clock.now()), clock.now());
  } finally {
    stops.delete(idOf(order));
  }
}

async function doneWith(
  context: UpsunContext,
  order: AppOrder,
  { job, environment }: { readonly job: Job; readonly environment: UpsunEnvironment },
): Promise<Step> {
  if (job.goal === "sleep") return { done: true, target: null };
  return { done: true, target: await locate(context, order, environment) };
}

function failed(order: AppOrder, { goal }: Job, why: string): ProviderError {
  const message = `Upsun could not ${GOALS[goal].verb} ${order.environmentId}: ${why}`;
  return new ProviderError("failed", message);
}
