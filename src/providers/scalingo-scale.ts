/** One scale on Scalingo, or one restart, from its turn to the end of its operation. What it is for, others know. */

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
import { type AmountChange, isAsked } from "./scalingo-formation.ts";
import { encodeJob, type ScaleJob } from "./scalingo-job.ts";
import { isBusy, readOperation } from "./scalingo-state.ts";

/** Between two looks at an operation; the first comes sooner, as most sleeps take no time, ms. */
const POLL_FIRST_MS = 2_000;
/** The same, ms. */
export const POLL_MS = 2_500;
/** Longest a stop waits for its turn, ms: by then a deployment may have begun, and requests wait for it. */
const STOP_WAIT_MS = 5_000;

/** An app, how urgent a call about it is, and what calls a stop of it off. */
export interface ScaleOrder extends AppOrder {
  /** Aborted: a stop that was not sent yet is not sent, and ends with the reason. Only stops have one. */
  readonly callOff?: AbortSignal;
}

/** What is to be sent. */
export interface ScaleWork {
  readonly job: ScaleJob;
  /** `null`: a restart, for an app whose formation says that it runs, which it does not. */
  readonly changes: readonly AmountChange[] | null;
}

/** A scale that was sent. */
type Sent =
  /** The platform goes on with it; `location` of the operation, where it said one. */
  | { readonly kind: "begun"; readonly location: string | null }
  | { readonly kind: "done" }
  | { readonly kind: "never-deployed" };

/** A job that is about to begin. */
export function newJob(
  { clock }: ScalingoContext,
  goal: ScaleJob["goal"],
  snapshot: Snapshot | null,
): ScaleJob {
  const sinceMs = clock.now();
  return { goal, location: null, isSent: false, sinceMs, target: null, snapshot };
}

/**
 * Waits for a turn, and sends it.
 * @throws ProviderError; with `isUncertain` it may have been applied
 */
export async function begin(
  context: ScalingoContext,
  order: ScaleOrder,
  work: ScaleWork,
): Promise<Step> {
  const { job } = work;
  await takeTurn(context, order, job.goal);
  let isGoingOn = false;
  try {
    const sent = await sendOnce(context, order, work);
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
    if (isGoingOn) context.turns.rest(order.id);
    else context.turns.give(order.id);
  }
}

async function takeTurn(
  { turns }: ScalingoContext,
  { callOff, id, signal }: ScaleOrder,
  goal: ScaleJob["goal"],
): Promise<void> {
  if (callOff === undefined) return await turns.take(id, goal, signal);
  try {
    await turns.take(id, goal, AbortSignal.any([signal, callOff]));
  } catch (error) {
    throw callOff.aborted ? callOff.reason : error;
  }
}

/** A write whose answer was lost is made again only where the app shows that it was not carried out. */
async function sendOnce(
  context: ScalingoContext,
  order: ScaleOrder,
  work: ScaleWork,
): Promise<Sent> {
  const { changes } = work;
  try {
    return await send(context, order, work);
  } catch (error) {
    if (!(error instanceof ProviderError && error.isUncertain)) throw error;
    const [app, formation] = await Promise.all([
      fetchApp(context, order),
      fetchFormation(context, order),
    ]);
    if (isBusy(app.status)) return { kind: "begun", location: null };
    if (changes !== null && isAsked(formation, changes)) return { kind: "begun", location: null };
    return await send(context, order, work);
  }
}

async function send(
  context: ScalingoContext,
  order: ScaleOrder,
  { job, changes }: ScaleWork,
): Promise<Sent> {
  const { callOff, id } = order;
  const name = nameOf(context, id);
  const does = job.goal === "wake" ? `wake ${name}` : `put ${name} to sleep`;
  const answer = await sendFor(context, order, {
    what: does,
    method: "POST",
    ...(callOff === undefined ? {} : { waitMaxMs: STOP_WAIT_MS, callOff }),
    ...(changes === null
      ? { path: "/restart", body: {} }
      : { path: "/scale", body: { containers: changes } }),
  });
  if (answer.status === 400) return { kind: "done" };
  const location = answer.header("location");
  if (location === null && answer.status === 200) return { kind: "never-deployed" };
  const { region } = placeOf(id);
  return {
    kind: "begun",
    location: location === null ? null : context.api.locate(region, location),
  };
}

/**
 * Goes on with a job, which keeps its turn until it is done.
 * @param look one look at how far it is
 */
export async function follow(
  context: ScalingoContext,
  { id, job }: { readonly id: string; readonly job: ScaleJob },
  look: () => Promise<Step>,
): Promise<Step> {
  context.turns.keep(id);
  try {
    const step = await lookPatiently(context, job, look);
    if (step.done) context.turns.give(id);
    else context.turns.rest(id);
    return step;
  } catch (error) {
    context.turns.give(id);
    throw error;
  }
}

const AWAY: readonly string[] = ["network", "unavailable", "rate-limited", "auth"];

/** What was begun goes on while the API cannot be asked; an app that comes up shows that by itself. */
async function lookPatiently(
  { clock }: ScalingoContext,
  job: ScaleJob,
  look: () => Promise<Step>,
): Promise<Step> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof ProviderError) || !AWAY.includes(error.kind) || !job.isSent) throw error;
    if (job.goal === "wake" && job.target !== null) return doneWith(job.target);
    const mayWait = job.goal === "sleep" && error.kind !== "auth" && !isLate(job, clock.now());
    if (!mayWait) throw error;
    return goOn(job, error.retryAfterMs ?? POLL_MS);
  }
}

/** Longest to wait for the platform to stop an app, ms: requests for it wait meanwhile. It kills after 30 s. */
const SLEEP_MS_MAX = 180_000;

/** Whether a sleep takes longer than any does. */
export function isLate({ sinceMs }: ScaleJob, nowMs: number): boolean {
  return nowMs - sinceMs > SLEEP_MS_MAX;
}

/** Whether the operation is no longer worth following. */
export function isOverdue({ clock, config }: ScalingoContext, { sinceMs }: ScaleJob): boolean {
  return clock.now() - sinceMs >= config.operationTimeoutMs;
}

/**
 * How far the operation is. `unknown`: there is none, or it cannot be read, which says nothing about the app.
 * @throws ProviderError `failed` when it failed, in the platform's words
 */
export async function readProgress(
  context: ScalingoContext,
  order: AppOrder,
  job: ScaleJob,
): Promise<"going-on" | "done" | "unknown"> {
  const { location } = job;
  if (location === null) return "unknown";
  const { id, signal, urgency } = order;
  const { region } = placeOf(id);
  const what = `follow the scaling of ${nameOf(context, id)}`;
  try {
    const call = { what, method: "GET", path: location, urgency, signal } as const;
    const { progress, error } = readOperation((await context.api.send(region, call)).body);
    if (progress === "error") throw failed(context, id, { job, why: error });
    return progress;
  } catch (error) {
    if (!isLost(error)) throw error;
    return "unknown";
  }
}

function isLost(error: unknown): boolean {
  if (!(error instanceof ProviderError)) return false;
  return error.kind === "not-found" || error.kind === "protocol" || error.kind === "forbidden";
}

/** A step that was the last. */
export function doneWith(target: Target | null): Step {
  return { done: true, target };
}

/** A step that is not. */
export function goOn(job: ScaleJob, pollAfterMs: number): Step {
  return { done: false, operation: { id: encodeJob(job) }, pollAfterMs };
}

/** The platform did not do it. */
export function failed(
  context: ScalingoContext,
  id: string,
  { job, why }: { readonly job: ScaleJob; readonly why: string },
): ProviderError {
  const name = nameOf(context, id);
  const what = job.goal === "wake" ? `start ${name}` : `stop ${name}`;
  const reason = why === "" ? "it does not say why" : why;
  return new ProviderError("failed", `Scalingo could not ${what}: ${reason}`);
}

/** There is no code that could run. */
export function neverDeployed(context: ScalingoContext, id: string): ProviderError {
  const message = `${nameOf(context, id)} was never deployed on Scalingo: there is nothing to wake`;
  return new ProviderError("failed", message);
}
