/** Waking and putting to sleep in the cluster: one scale, and what the pods behind it make of it. */

import type { Snapshot } from "../app.ts";
import { throwIfAborted, unlessAborted } from "./abortable.ts";
import { PREVIOUS_REPLICAS } from "./kubernetes-annotations.ts";
import {
  type AppOrder,
  type KubernetesContext,
  look,
  nameOf,
  pathOf,
  type Seen,
  take,
  troubleWith,
} from "./kubernetes-context.ts";
import { untilReady } from "./kubernetes-ready.ts";
import { isUp, replicasToWake } from "./kubernetes-state.ts";
import { placeOf, readWorkload, type Workload } from "./kubernetes-workload.ts";
import type { ApiAnswer, ApiCall } from "./platform-api.ts";
import { type Operation, ProviderError, type Step } from "./provider.ts";

/** As the cluster shows whose change it was. */
const MANAGER = "fieldManager=paastis";
/** Leaves alone what it does not name, and never conflicts unless it names a version. Source: RFC 7396. */
const MERGE_PATCH = { "content-type": "application/merge-patch+json" } as const;
/** Tries at a change that others are quicker with. */
const TRIES_MAX = 5;
/** How long one poll waits for the first ready pod, ms: longer with each. */
const WAIT_FIRST_MS = 2_000;
const WAIT_LAST_MS = 10_000;
/** Before the next look where nothing can be watched, ms. */
const LOOK_AGAIN_MS = 1_000;
const WAKING = /^wake:(\d{1,6})$/;

/**
 * Gives the app the replicas that it had. Whatever is being done to it meanwhile, scaling up is right.
 * @throws ProviderError `invalid` when it cannot be reached, or somebody else scales it
 */
export async function wake(
  context: KubernetesContext,
  order: AppOrder,
  snapshot: Snapshot | null,
): Promise<Step> {
  const { id, signal } = order;
  throwIfAborted(signal, `waking ${id}`);
  await afterSleep(context, order);
  return await untilNobodyIsQuicker(id, () => scaleUp(context, order, snapshot));
}

async function scaleUp(
  context: KubernetesContext,
  order: AppOrder,
  snapshot: Snapshot | null,
): Promise<Step | "conflict"> {
  const { id } = order;
  const seen = await look(context, order);
  refuseUnmanaged(seen);
  const { workload, observation, scaling } = seen;
  if (isUp(observation, workload)) return { done: true, target: observation.target };
  context.troubles.delete(id);
  if (workload.replicas > 0) return goOn(1, 0);
  const { uid, generation } = workload;
  context.woken.set(id, { uid, generation });
  const stored = storedReplicas(snapshot, id);
  const to = replicasToWake(workload, { stored, scaling });
  const answer = await scale(context, order, { workload, to });
  return answer === "conflict" ? answer : goOn(1, 0);
}

/** The core waits for the one before it asks for the other; others may not. */
async function afterSleep({ sleeping }: KubernetesContext, order: AppOrder): Promise<void> {
  const { id, signal } = order;
  const under = sleeping.get(id);
  if (under === undefined) return;
  await unlessAborted(
    under.catch(() => undefined),
    signal,
    `waking ${id}`,
  );
}

function storedReplicas(snapshot: Snapshot | null, id: string): number | null {
  if (snapshot?.kind !== "replicas") return null;
  return snapshot.workloads.find((one) => one.id === id)?.replicas ?? null;
}

/** What `wake` will need; it is written on the workload as well when it is put to sleep. */
export async function takeSnapshot(context: KubernetesContext, order: AppOrder): Promise<Snapshot> {
  throwIfAborted(order.signal, `taking a snapshot of ${order.id}`);
  const seen = await look(context, order);
  refuseSleep(seen);
  return { kind: "replicas", workloads: [{ id: order.id, replicas: seen.workload.replicas }] };
}

/**
 * Writes down how many replicas the app has, then scales it to 0. Both only as long as it is as we have seen it: a
 * rollout that begins meanwhile is not stopped.
 * @throws ProviderError `busy` while it is rolled out; `invalid` when somebody else scales it
 */
export async function sleep(context: KubernetesContext, order: AppOrder): Promise<Step> {
  const { id, signal } = order;
  throwIfAborted(signal, `putting ${id} to sleep`);
  const work = untilNobodyIsQuicker(id, () => scaleDown(context, order));
  context.sleeping.set(id, work);
  try {
    return await work;
  } finally {
    if (context.sleeping.get(id) === work) context.sleeping.delete(id);
  }
}

async function scaleDown(context: KubernetesContext, order: AppOrder): Promise<Step | "conflict"> {
  const seen = await look(context, order);
  if (seen.workload.replicas > 0) {
    refuseSleep(seen);
    context.woken.delete(order.id);
    const workload = await remember(context, order, seen);
    if (workload === "conflict") return workload;
    const { resourceVersion } = workload;
    const answer = await scale(context, order, { workload, to: 0, resourceVersion });
    if (answer === "conflict") return answer;
  }
  // Pods may take their time to end: whoever asked looks when they have.
  return { done: true, target: null };
}

/** How far a wake is: waits a while for the first pod that takes requests. */
export async function poll(
  context: KubernetesContext,
  order: AppOrder,
  operation: Operation,
): Promise<Step> {
  const { id, signal } = order;
  throwIfAborted(signal, `waiting for ${id}`);
  const [, digits] = WAKING.exec(operation.id) ?? [];
  placeOf(id);
  if (digits === undefined) {
    throw new ProviderError("invalid", `${id} has no operation ${operation.id} to ask for`);
  }
  try {
    return await followWake(context, order, Number(digits));
  } catch (error) {
    throw withTroubleOf(context, order, error);
  }
}

async function followWake(
  context: KubernetesContext,
  order: AppOrder,
  round: number,
): Promise<Step> {
  const { id } = order;
  const seen = await look(context, order);
  const { workload, observation, route } = seen;
  refuseUnmanaged(seen);
  refuseEnded(seen);
  if (route.kind === "unknown") throw new ProviderError("invalid", route.why);
  const waitMs = Math.min(WAIT_LAST_MS, WAIT_FIRST_MS * round);
  const readiness = await untilReady(
    context,
    { workload, service: route.service },
    { ...order, waitMs },
  );
  if (readiness === "ready") {
    context.troubles.delete(id);
    return { done: true, target: observation.target };
  }
  const trouble = await troubleWith(context, seen, order);
  if (trouble?.isFinal) {
    throw new ProviderError("failed", `${nameOf(workload)} does not start: ${trouble.why}`);
  }
  const why = trouble?.why ?? observation.reason;
  if (why !== undefined) context.troubles.set(id, why);
  return goOn(round + 1, readiness === "unwatched" ? LOOK_AGAIN_MS : 0);
}

function goOn(round: number, pollAfterMs: number): Step {
  return { done: false, operation: { id: `wake:${round}` }, pollAfterMs };
}

/** A wait that was given up says what it waited for. */
function withTroubleOf(context: KubernetesContext, { id, signal }: AppOrder, error: unknown) {
  const trouble = context.troubles.get(id);
  if (!signal.aborted || trouble === undefined || !(error instanceof ProviderError)) return error;
  const text = `${error.message}; the last that was seen: ${trouble}`;
  return new ProviderError(error.kind, text, { cause: error });
}

/** What an app was woken for is undone: waiting for it makes no sense. */
function refuseEnded({ workload, observation }: Seen): void {
  const name = nameOf(workload);
  if (observation.phase === "failed") {
    throw new ProviderError("failed", `${name} does not start: ${observation.reason ?? ""}`);
  }
  if (workload.isDeleting) throw new ProviderError("failed", `${name} is being deleted`);
  if (workload.replicas === 0) {
    const who = "somebody has scaled it to 0 again; a GitOps tool must leave its replicas alone";
    throw new ProviderError("failed", `${name} does not start: ${who}`);
  }
}

function refuseUnmanaged({ workload, observation }: Seen): void {
  if (observation.phase !== "unmanaged") return;
  const message = `${nameOf(workload)} is left alone: ${observation.reason ?? ""}`;
  throw new ProviderError("invalid", message);
}

function refuseSleep(seen: Seen): void {
  refuseUnmanaged(seen);
  const { workload, observation } = seen;
  if (observation.phase !== "deploying") return;
  const message = `${nameOf(workload)} must not be stopped now: ${observation.reason ?? ""}`;
  throw new ProviderError("busy", message);
}

/** The annotation stays when the app wakes: should our store be lost, it still says the size. */
async function remember(
  context: KubernetesContext,
  order: AppOrder,
  { scope, workload }: Seen,
): Promise<Workload | "conflict"> {
  const { marks, replicas, resourceVersion, kind } = workload;
  if (marks.previousReplicas === replicas) return workload;
  const annotations = { [PREVIOUS_REPLICAS]: `${replicas}` };
  const answer = await patch(context, order, {
    what: `write the size of ${nameOf(workload)} on it`,
    path: pathOf(workload),
    isRepeatable: true,
    body: { metadata: { resourceVersion, annotations } },
  });
  if (answer === "conflict") return answer;
  const written = readWorkload(kind, answer.body);
  if (written !== null) return take(scope, written);
  throw new ProviderError("protocol", `the answer about ${nameOf(workload)} is no ${kind}`);
}

function scale(
  context: KubernetesContext,
  order: AppOrder,
  scaling: {
    readonly workload: Workload;
    readonly to: number;
    /** Only while it is this one; left out: whatever it is. */
    readonly resourceVersion?: string;
  },
): Promise<ApiAnswer | "conflict"> {
  const { workload, to, resourceVersion } = scaling;
  const name = nameOf(workload);
  return patch(context, order, {
    what: to === 0 ? `put ${name} to sleep` : `wake ${name}`,
    path: `${pathOf(workload)}/scale`,
    // Whoever was quicker than a second try would be overruled by it.
    isRepeatable: resourceVersion !== undefined,
    body: {
      ...(resourceVersion !== undefined && { metadata: { resourceVersion } }),
      spec: { replicas: to },
    },
  });
}

/** @returns `conflict` when it has to be looked at anew: somebody else was quicker, or nobody knows whether we were */
async function patch(
  { api }: KubernetesContext,
  { urgency, signal }: AppOrder,
  change: Pick<ApiCall, "what" | "path" | "body" | "isRepeatable">,
): Promise<ApiAnswer | "conflict"> {
  try {
    return await api.send({
      ...change,
      method: "PATCH",
      path: `${change.path}?${MANAGER}`,
      headers: MERGE_PATCH,
      urgency,
      signal,
    });
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    if (error.kind === "busy" || error.isUncertain) return "conflict";
    throw error;
  }
}

/** What somebody else has changed at the same time is looked at anew, and decided anew. */
async function untilNobodyIsQuicker(
  id: string,
  work: () => Promise<Step | "conflict">,
): Promise<Step> {
  for (let tries = 1; tries <= TRIES_MAX; tries += 1) {
    const step = await work();
    if (step !== "conflict") return step;
  }
  throw new ProviderError("busy", `${id} is changed by somebody else, again and again`);
}
