/** Waking and putting to sleep on Render: a resume is a deploy, and is followed as one. */

import { type Operation, ProviderError, type Step } from "./provider.ts";
import type { AppOrder } from "./render-api.ts";
import { lookAt, note, type RenderContext, type View } from "./render-context.ts";
import { goOn, jobOf, newJob, type RenderJob } from "./render-job.ts";
import { DEPLOY_ANEW, isResume, progressOf, whyBlocked } from "./render-state.ts";

/** Between two looks at a deploy, ms: it takes minutes. */
const DEPLOY_POLL_MS = 5_000;
/** Between two looks at a service that is being suspended, ms. */
const SUSPEND_POLL_MS = 2_000;
/** So long a service may look as it did although a call was accepted, ms: nothing is documented about it. */
const SHOWS_MS = 30_000;
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
    const asked = await suspend(context, order);
    const job: RenderJob = { ...newJob("sleep", clock.now()), asked, askedMs: clock.now() };
    return goOn(job, SUSPEND_POLL_MS);
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

async function goOnSleeping(
  context: RenderContext,
  order: AppOrder,
  job: RenderJob,
): Promise<Step> {
  const service = await context.api.fetchService(order);
  if (service.isSuspended) {
    note(context, order.id, { phase: "asleep", target: service.target });
    return { done: true, target: null };
  }
  if (context.clock.now() - job.askedMs < SHOWS_MS) return goOn(job, SUSPEND_POLL_MS);
  if (job.asked === "maybe") {
    refuseDeploying(order, (await lookAt(context, order)).observation.phase);
    await suspend(context, order);
    return goOn({ ...job, asked: "yes", askedMs: context.clock.now() }, SUSPEND_POLL_MS);
  }
  const message = `Render has taken the suspend of ${order.name}, and shows it as not suspended: was it resumed?`;
  throw new ProviderError("failed", message);
}

async function suspend(context: RenderContext, order: AppOrder): Promise<RenderJob["asked"]> {
  const { api, stops } = context;
  const stop = new AbortController();
  stops.set(order.id, stop);
  try {
    const isDone = async () => (await api.fetchService(order)).isSuspended;
    return await askOnce(() => api.suspend(order, stop.signal), isDone);
  } finally {
    stops.delete(order.id);
  }
}

/** Of a deploy that goes on it is enough to see that it does. */
async function glance(context: RenderContext, order: AppOrder, job: RenderJob): Promise<Step> {
  if (job.asked !== "no") {
    const deploy = await context.api.fetchNewestDeploy(order);
    const isUnderWay = deploy !== null && progressOf(deploy) === "under-way";
    if (isUnderWay && deploy.id !== job.before) return goOn(job, DEPLOY_POLL_MS);
  }
  return await goOnWaking(context, order, job);
}

async function goOnWaking(context: RenderContext, order: AppOrder, job: RenderJob): Promise<Step> {
  if (context.sleeping.has(order.id)) return goOn(job, SUSPEND_POLL_MS);
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
  readonly job: RenderJob;
  readonly view: View;
}

async function wakeSuspended(
  context: RenderContext,
  order: AppOrder,
  { job, view }: Turn,
): Promise<Step> {
  const { clock } = context;
  const before = view.deploy?.id ?? "";
  if (job.asked === "no") {
    const recalledMs = recalledWake(context, order.id);
    if (recalledMs !== null) {
      return goOn({ ...job, asked: "maybe", askedMs: recalledMs, before }, DEPLOY_POLL_MS);
    }
    return await resume(context, order, { ...job, before });
  }
  const isHeard = before !== job.before;
  const hasEnded = isHeard && view.deploy !== null && progressOf(view.deploy) === "failed";
  const isLate = clock.now() - job.askedMs >= SHOWS_MS;
  if (!isLate && !hasEnded) return goOn(job, DEPLOY_POLL_MS);
  // No deploy came of it, and no word that it was taken: it never arrived.
  if (job.asked === "maybe" && !isHeard) return await resume(context, order, { ...job, before });
  const message = `Render shows ${order.name} as suspended although it was resumed: has somebody suspended it again?`;
  throw new ProviderError("failed", message);
}

/** @throws ProviderError `busy` when it was refused so soon after a suspend that it may only have come too early */
async function resume(context: RenderContext, order: AppOrder, job: RenderJob): Promise<Step> {
  const { api, clock, seen } = context;
  const isDone = async () => !(await api.fetchService(order)).isSuspended;
  try {
    const asked = await askOnce(() => api.resume(order), isDone);
    return goOn({ ...job, asked, askedMs: clock.now() }, DEPLOY_POLL_MS);
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
async function askOnce(
  call: () => Promise<void>,
  isDone: () => Promise<boolean>,
): Promise<RenderJob["asked"]> {
  try {
    await call();
    return "yes";
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    if (error.isUncertain) return "maybe";
    if (error.kind === "invalid" && (await isDone())) return "yes";
    throw error;
  }
}

async function wakeResumed(context: RenderContext, { job, view }: Turn): Promise<Step> {
  const { clock, config } = context;
  const { service, deploy } = view;
  const { name, target, oddWord } = service;
  const nowMs = clock.now();
  const isOld = job.asked !== "no" && (deploy?.id ?? "") === job.before;
  if (isOld && nowMs - job.askedMs < SHOWS_MS) return goOn(job, DEPLOY_POLL_MS);
  if (deploy === null) throw new ProviderError("failed", `${name} was never deployed on Render`);
  switch (oddWord === "" ? progressOf(deploy) : "other") {
    case "under-way":
      return goOn(job, DEPLOY_POLL_MS);
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
      if (nowMs - job.sinceMs < config.operationTimeoutMs) return goOn(job, DEPLOY_POLL_MS);
      return { done: true, target };
  }
}
