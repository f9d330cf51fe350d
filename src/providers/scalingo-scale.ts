/** Waking and putting to sleep on Scalingo: one scale, followed to its end, then judged by the app's own state. */

import type { Snapshot, Target } from "../app.ts";
import { ProviderError, type Step } from "./provider.ts";
import {
  type AppOrder,
  fetchApp,
  fetchFormation,
  nameOf,
  placeOf,
  type ScalingoContext,
  sendFor,
} from "./scalingo-context.ts";
import {
  type AmountChange,
  formationOf,
  isAsked,
  sleepChanges,
  wakeChanges,
} from "./scalingo-formation.ts";
import { encodeJob, type ScaleJob } from "./scalingo-job.ts";
import { isBusy, readOperation, type ScalingoApp, type ScalingoType } from "./scalingo-state.ts";

/** Between two looks at an operation; the first comes sooner, as most sleeps take no time, ms. */
const POLL_FIRST_MS = 2_000;
const POLL_MS = 2_500;
/** Whoever has not looked for so long does not follow it any more, ms. */
const FORGOTTEN_MS = 15_000;
/** Longest to wait for the platform to stop an app, ms: requests for it wait meanwhile. It kills after 30 s. */
const SLEEP_MS_MAX = 180_000;

/** Longest a stop waits for its turn, ms: by then a deployment may have begun, and requests wait for it. */
const STOP_WAIT_MS = 5_000;

/** A scale that was sent. */
type Sent =
  /** The platform goes on with it; `location` of the operation, where it said one. */
  | { readonly kind: "begun"; readonly location: string | null }
  | { readonly kind: "done" }
  | { readonly kind: "never-deployed" };

/**
 * Wakes an app from whatever state it is in. What was busy when we came is waited for first, and then looked at anew.
 * @throws ProviderError
 */
export async function wake(
  context: ScalingoContext,
  order: AppOrder,
  snapshot: Snapshot | null,
): Promise<Step> {
  if (isSleeping(context, order.id)) return goOn(newJob(context, "wake", snapshot), POLL_MS);
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
    if (!formation.some(({ amount }) => amount > 0)) throw nothingToWake(context, order.id);
    return await begin(context, order, { job, changes: null });
  }
  return { done: true, target: app.target };
}

/**
 * Takes down what the snapshot says to run.
 * @throws ProviderError `busy` while the platform does something else with the app
 */
export async function sleep(
  context: ScalingoContext,
  order: AppOrder,
  snapshot: Snapshot,
): Promise<Step> {
  placeOf(order.id);
  return await whileSleeping(context, order.id, async () => {
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
  context: ScalingoContext,
  order: AppOrder,
  formation: readonly ScalingoType[],
): Promise<Step> {
  const changes = sleepChanges(formation);
  if (changes.length === 0) return doneWith(null);
  return await begin(context, order, { job: newJob(context, "sleep", null), changes });
}

/** The core waits for the one before it asks for the other; others may not. */
async function whileSleeping(
  context: ScalingoContext,
  id: string,
  work: () => Promise<Step>,
): Promise<Step> {
  context.sleeping.set(id, Number.POSITIVE_INFINITY);
  try {
    const step = await work();
    if (step.done) context.sleeping.delete(id);
    else context.sleeping.set(id, context.clock.now() + FORGOTTEN_MS);
    return step;
  } catch (error) {
    context.sleeping.delete(id);
    throw error;
  }
}

function isSleeping({ sleeping, clock }: ScalingoContext, id: string): boolean {
  return (sleeping.get(id) ?? 0) > clock.now();
}

function newJob(
  { clock }: ScalingoContext,
  goal: ScaleJob["goal"],
  snapshot: Snapshot | null,
): ScaleJob {
  const sinceMs = clock.now();
  return { goal, location: null, isSent: false, sinceMs, target: null, snapshot };
}

/** Looks how far a job is. */
export async function follow(
  context: ScalingoContext,
  order: AppOrder,
  job: ScaleJob,
): Promise<Step> {
  context.turns.keep(order.id);
  const work = () => lookPatiently(context, order, job);
  try {
    const step = job.goal === "wake" ? await work() : await whileSleeping(context, order.id, work);
    if (step.done) context.turns.give(order.id);
    return step;
  } catch (error) {
    context.turns.give(order.id);
    throw error;
  }
}

/** What was begun goes on while the API cannot be asked; an app that comes up shows that by itself. */
async function lookPatiently(
  context: ScalingoContext,
  order: AppOrder,
  job: ScaleJob,
): Promise<Step> {
  try {
    return await look(context, order, job);
  } catch (error) {
    const step = unlessAway(context, job, error);
    if (step === null) throw error;
    return step;
  }
}

const AWAY: readonly string[] = ["network", "unavailable", "rate-limited", "auth"];

function unlessAway(context: ScalingoContext, job: ScaleJob, error: unknown): Step | null {
  if (!(error instanceof ProviderError) || !AWAY.includes(error.kind) || !job.isSent) return null;
  if (job.goal === "wake") return job.target === null ? null : doneWith(job.target);
  const isLate = context.clock.now() - job.sinceMs > SLEEP_MS_MAX;
  return isLate || error.kind === "auth" ? null : goOn(job, error.retryAfterMs ?? POLL_MS);
}

/** @param what.changes `null`: a restart, for an app whose formation says that it runs, which it does not */
async function begin(
  context: ScalingoContext,
  order: AppOrder,
  what: { readonly job: ScaleJob; readonly changes: readonly AmountChange[] | null },
): Promise<Step> {
  const { job } = what;
  const urgency = job.goal;
  await context.turns.take(order.id, urgency, order.signal);
  let isGoingOn = false;
  try {
    const sent = await sendOnce(context, order, what);
    if (sent.kind === "never-deployed") throw neverDeployed(context, order.id);
    if (sent.kind === "done") return { done: true, target: job.target };
    isGoingOn = true;
    const sinceMs = context.clock.now();
    return goOn({ ...job, location: sent.location, isSent: true, sinceMs }, POLL_FIRST_MS);
  } catch (error) {
    // Somebody else was quicker: what they do is waited for.
    if (job.goal === "wake" && error instanceof ProviderError && error.kind === "busy") {
      return goOn(job, POLL_MS);
    }
    throw error;
  } finally {
    if (!isGoingOn) context.turns.give(order.id);
  }
}

/** A write whose answer was lost is made again only where the app shows that it was not carried out. */
async function sendOnce(
  context: ScalingoContext,
  order: AppOrder,
  what: { readonly job: ScaleJob; readonly changes: readonly AmountChange[] | null },
): Promise<Sent> {
  const { changes } = what;
  try {
    return await send(context, order, what);
  } catch (error) {
    if (!(error instanceof ProviderError && error.isUncertain)) throw error;
    const [app, formation] = await Promise.all([
      fetchApp(context, order),
      fetchFormation(context, order),
    ]);
    if (isBusy(app.status)) return { kind: "begun", location: null };
    if (changes !== null && isAsked(formation, changes)) return { kind: "begun", location: null };
    return await send(context, order, what);
  }
}

async function send(
  context: ScalingoContext,
  order: AppOrder,
  what: { readonly job: ScaleJob; readonly changes: readonly AmountChange[] | null },
): Promise<Sent> {
  const { job, changes } = what;
  const name = nameOf(context, order.id);
  const does = job.goal === "wake" ? `wake ${name}` : `put ${name} to sleep`;
  const answer = await sendFor(context, order, {
    what: does,
    method: "POST",
    ...(job.goal === "sleep" ? { waitMaxMs: STOP_WAIT_MS } : {}),
    ...(changes === null
      ? { path: "/restart", body: {} }
      : { path: "/scale", body: { containers: changes } }),
  });
  if (answer.status === 400) return { kind: "done" };
  const location = answer.header("location");
  if (location === null && answer.status === 200) return { kind: "never-deployed" };
  const { region } = placeOf(order.id);
  return {
    kind: "begun",
    location: location === null ? null : context.api.locate(region, location),
  };
}

async function look(context: ScalingoContext, order: AppOrder, job: ScaleJob): Promise<Step> {
  const { location } = job;
  const ageMs = context.clock.now() - job.sinceMs;
  if (location === null || ageMs >= context.config.operationTimeoutMs) {
    return await judge(context, order, job);
  }
  const { region } = placeOf(order.id);
  const { urgency, signal } = order;
  const what = `follow the scaling of ${nameOf(context, order.id)}`;
  try {
    const call = { what, method: "GET", path: location, urgency, signal } as const;
    const { progress, error } = readOperation((await context.api.send(region, call)).body);
    if (progress === "error") throw failed(context, order.id, { job, why: error });
    return progress === "done" ? doneWith(job.target) : goOn(job, POLL_MS);
  } catch (error) {
    if (!isLost(error)) throw error;
    return await judge(context, order, { ...job, location: null });
  }
}

/** The operation cannot be read, which says nothing about the app. */
function isLost(error: unknown): boolean {
  if (!(error instanceof ProviderError)) return false;
  return error.kind === "not-found" || error.kind === "protocol" || error.kind === "forbidden";
}

/** What the app itself says, where no operation can. */
async function judge(context: ScalingoContext, order: AppOrder, job: ScaleJob): Promise<Step> {
  // Turns are short: an operation that takes long must not keep other apps waiting.
  context.turns.give(order.id);
  if (job.goal === "wake" && !job.isSent) return await wake(context, order, job.snapshot);
  const app = await fetchApp(context, order);
  if (job.goal === "wake") return judgeWake(context, order.id, { app, job });
  if (app.status === "stopped") return doneWith(null);
  const isLate = context.clock.now() - job.sinceMs > SLEEP_MS_MAX;
  if (isBusy(app.status) && !isLate) return goOn(job, POLL_MS);
  throw failed(context, order.id, { job, why: `it is "${app.status}" still` });
}

function judgeWake(
  context: ScalingoContext,
  id: string,
  { app, job }: { readonly app: ScalingoApp; readonly job: ScaleJob },
): Step {
  if (isBusy(app.status)) return goOn(job, POLL_MS);
  if (app.status === "stopped" || app.status === "crashed") {
    throw failed(context, id, { job, why: `it is "${app.status}"` });
  }
  return doneWith(app.target ?? job.target);
}

function doneWith(target: Target | null): Step {
  return { done: true, target };
}

function goOn(job: ScaleJob, pollAfterMs: number): Step {
  return { done: false, operation: { id: encodeJob(job) }, pollAfterMs };
}

function failed(
  context: ScalingoContext,
  id: string,
  { job, why }: { readonly job: ScaleJob; readonly why: string },
): ProviderError {
  const name = nameOf(context, id);
  const what = job.goal === "wake" ? `start ${name}` : `stop ${name}`;
  const reason = why === "" ? "it does not say why" : why;
  return new ProviderError("failed", `Scalingo could not ${what}: ${reason}`);
}

function neverDeployed(context: ScalingoContext, id: string): ProviderError {
  const message = `${nameOf(context, id)} was never deployed on Scalingo: there is nothing to wake`;
  return new ProviderError("failed", message);
}

function nothingToWake(context: ScalingoContext, id: string): ProviderError {
  const message = `${nameOf(context, id)} has no process type "web" on Scalingo, which alone gets requests`;
  return new ProviderError("failed", message);
}
