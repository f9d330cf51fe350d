/** Waking and putting to sleep on Render: a resume is a deploy, and is followed as one. */

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
import { SHOWS_MS } from "./platform-patience.ts";
import { type Operation, ProviderError, type Step } from "./provider.ts";
import type { AppOrder } from "./render-api.ts";
import { lookAt, note, type RenderContext, type View } from "./render-context.ts";
import { DEPLOY_ANEW, isResume, progressOf, whyBlocked } from "./render-state.ts";

/**
 * So long a call whose answer was lost may not show, ms. Nothing is documented about it, and a second resume may be a
 * second deploy: longer than any such call takes, and short enough for who waits.
 */
const LOST_SHOWS_MS = 10_000;
/** So long after it was first seen suspended, it may not be suspended in all places, ms. */
const SUSPENDS_MS = 60_000;
/** What was seen so shortly before a suspend need not be looked at again, ms. */
const FRESH_MS = 2_000;

/**
 * Resumes a suspended service; joins what is under way otherwise.
 * @throws ProviderError `forbidden` when somebody else than its owner has suspended it; `failed` when its last resume
 *   failed, as it is not suspended any more and cannot be resumed again
 */
export async function wake(context: RenderContext, order: AppOrder): Promise<Step> {
  return await goOnWaking(context, order, newJob("wake", context.clock.now()));
}

/**
 * Suspends it, unless it is suspended already.
 * @throws ProviderError `busy` while it is deployed; `rate-limited` when it was called off before it was sent
 */
export async function sleep(context: RenderContext, order: AppOrder): Promise<Step> {
  const { clock } = context;
  return await context.sleeping.during(order.id, async () => {
    const phase =
      freshPhaseOf(context, order.id) ?? (await lookAt(context, order)).observation.phase;
    if (phase === "asleep") return { done: true, target: null };
    refuseDeploying(order, phase);
    return await suspend(context, order, newJob("sleep", clock.now()));
  });
}

/** @throws ProviderError `busy` */
export function refuseDeploying({ name }: AppOrder, phase: string): void {
  if (phase !== "deploying" && phase !== "waking") return;
  throw new ProviderError("busy", `${name} is being deployed on Render`);
}

function freshPhaseOf({ clock, seen }: RenderContext, id: string): string | null {
  const last = seen.get(id);
  return last !== undefined && clock.now() - last.atMs < FRESH_MS ? last.observation.phase : null;
}

/** Gives up a suspend as far as it was not sent. Safe to repeat. */
export function callOff({ stops, names }: RenderContext, id: string): void {
  const message = `could not suspend ${names.get(id) ?? id}: it was called off before it was sent`;
  stops.get(id)?.abort(new ProviderError("rate-limited", message));
}

/** Looks how far it is. */
export async function follow(
  context: RenderContext,
  order: AppOrder,
  operation: Operation,
): Promise<Step> {
  const job = jobOf(operation);
  return job.goal === "wake"
    ? await glance(context, order, job)
    : await context.sleeping.during(order.id, () => goOnSleeping(context, order, job));
}

async function goOnSleeping(context: RenderContext, order: AppOrder, job: Job): Promise<Step> {
  const service = await context.api.fetchService(order);
  if (service.isSuspended) {
    note(context, order.id, { phase: "asleep", target: service.target });
    return { done: true, target: null };
  }
  const nowMs = context.clock.now();
  if (!isOverdue(job, LOST_SHOWS_MS, nowMs)) return goOn(job, nowMs);
  if (job.asked === "maybe") {
    refuseEndless(job);
    refuseDeploying(order, (await lookAt(context, order)).observation.phase);
    return await suspend(context, order, job);
  }
  const message = `Render has taken the suspend of ${order.name}, and shows it as not suspended: was it resumed?`;
  throw new ProviderError("failed", message);
}

async function suspend(context: RenderContext, order: AppOrder, job: Job): Promise<Step> {
  const { api, stops } = context;
  const stop = new AbortController();
  stops.set(order.id, stop);
  try {
    const isDone = async () => (await api.fetchService(order)).isSuspended;
    return await ask(context, job, { call: () => api.suspend(order, stop.signal), isDone });
  } finally {
    stops.delete(order.id);
  }
}

/** Of a deploy that goes on it is enough to see that it does. */
async function glance(context: RenderContext, order: AppOrder, job: Job): Promise<Step> {
  if (job.asked !== "no") {
    const deploy = await context.api.fetchNewestDeploy(order);
    const isUnderWay = deploy !== null && progressOf(deploy) === "under-way";
    if (isUnderWay && deploy.id !== job.before) return goOn(job, context.clock.now());
  }
  return await goOnWaking(context, order, job);
}

async function goOnWaking(context: RenderContext, order: AppOrder, job: Job): Promise<Step> {
  if (context.sleeping.has(order.id)) return goOn(job, context.clock.now());
  const view = await lookAt(context, order);
  const blocked = whyBlocked(view.service);
  if (blocked !== null) throw new ProviderError("forbidden", `${order.name}: ${blocked}`);
  const step = view.service.isSuspended
    ? await wakeSuspended(context, order, { job, view })
    : await wakeResumed(context, { job, view });
  if (step.done) {
    context.recalled.delete(order.id);
    note(context, order.id, { phase: "awake", target: step.target });
  }
  return step;
}

interface Turn {
  readonly job: Job;
  readonly view: View;
}

async function wakeSuspended(
  context: RenderContext,
  order: AppOrder,
  { job, view }: Turn,
): Promise<Step> {
  const nowMs = context.clock.now();
  const before = view.deploy?.id ?? "";
  if (job.asked === "no") {
    const recalledMs = recalledWake(context, order.id);
    if (recalledMs === null) return await resume(context, order, { ...job, before });
    return goOn({ ...job, asked: "maybe", askedMs: recalledMs, before }, nowMs);
  }
  const isHeard = before !== job.before;
  const hasEnded = isHeard && view.deploy !== null && progressOf(view.deploy) === "failed";
  if (!isOverdue(job, LOST_SHOWS_MS, nowMs) && !hasEnded) return goOn(job, nowMs);
  // No deploy came of it, and no word that it was taken: it never arrived.
  if (job.asked === "maybe" && !isHeard) {
    refuseEndless(job);
    return await resume(context, order, job);
  }
  const message = `Render shows ${order.name} as suspended although it was resumed: has somebody suspended it again?`;
  throw new ProviderError("failed", message);
}

/** @throws ProviderError `busy` when it was refused so soon after a suspend that it may only have come too early */
async function resume(context: RenderContext, order: AppOrder, job: Job): Promise<Step> {
  const { api, clock, seen } = context;
  const isDone = async () => !(await api.fetchService(order)).isSuspended;
  try {
    return await ask(context, job, { call: () => api.resume(order), isDone });
  } catch (error) {
    if (!(error instanceof ProviderError && error.kind === "invalid")) throw error;
    if (clock.now() - (seen.get(order.id)?.sinceMs ?? 0) > SUSPENDS_MS) throw error;
    throw new ProviderError("busy", error.message, { cause: error });
  }
}

/** An earlier run may have resumed it, and the platform not show it yet. */
function recalledWake({ clock, recalled }: RenderContext, id: string): number | null {
  const begunMs = recalled.get(id);
  recalled.delete(id);
  if (begunMs === undefined) return null;
  // That run may have had another time.
  const askedMs = Math.min(begunMs, clock.now());
  return clock.now() - askedMs < SHOWS_MS ? askedMs : null;
}

/**
 * A call whose answer was lost is not made again here: the service shows what came of it, sooner or later. One that
 * was refused as it is done already is as good as accepted.
 */
async function ask(
  { clock }: RenderContext,
  job: Job,
  order: { readonly call: () => Promise<void>; readonly isDone: () => Promise<boolean> },
): Promise<Step> {
  try {
    await order.call();
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    if (error.isUncertain) return goOn(unanswered(job, error, clock.now()), clock.now());
    if (error.kind !== "invalid" || !(await order.isDone())) throw error;
  }
  return goOn(taken(job, clock.now()), clock.now());
}

async function wakeResumed(context: RenderContext, { job, view }: Turn): Promise<Step> {
  const { clock, config } = context;
  const { service, deploy } = view;
  const { name, target, oddWord } = service;
  const nowMs = clock.now();
  const isOld = job.asked !== "no" && (deploy?.id ?? "") === job.before;
  if (isOld && nowMs - job.askedMs < SHOWS_MS) return goOn(job, nowMs);
  if (deploy === null) throw new ProviderError("failed", `${name} was never deployed on Render`);
  switch (oddWord === "" ? progressOf(deploy) : "other") {
    case "under-way":
      return goOn(job, nowMs);
    case "live":
      return { done: true, target };
    case "failed": {
      // A deploy that somebody else made may fail while the version before it serves.
      const isOurs = job.asked === "no" ? isResume(deploy) : !isOld;
      if (!isOurs) return { done: true, target };
      const message = `Render could not start ${name}: its deploy ended with ${deploy.status}; ${DEPLOY_ANEW}`;
      throw new ProviderError("failed", message);
    }
    case "other":
      // Nobody knows what that means; in the end the app's own address tells.
      if (nowMs - job.sinceMs < config.operationTimeoutMs) return goOn(job, nowMs);
      return { done: true, target };
  }
}
