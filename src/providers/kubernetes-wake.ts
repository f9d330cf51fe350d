/** Waking a workload: one scale, and what the pods behind it make of it. */

import type { Snapshot } from "../app.ts";
import { sleep as pause } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { throwIfAborted, unlessAborted } from "./abortable.ts";
import {
  type AppOrder,
  type KubernetesContext,
  look,
  nameOf,
  type Seen,
  troubleWith,
} from "./kubernetes-context.ts";
import { untilReady } from "./kubernetes-ready.ts";
import { refuseUnmanaged, scale, untilNobodyIsQuicker } from "./kubernetes-scale.ts";
import { isUp, replicasToWake } from "./kubernetes-state.ts";
import { placeOf, type Workload, type WorkloadPlace } from "./kubernetes-workload.ts";
import { type Operation, ProviderError, type Step } from "./provider.ts";

/** How long one poll waits for the first ready pod, ms: longer with each. */
const WAIT_FIRST_MS = 2_000;
const WAIT_LAST_MS = 10_000;
/** Before the next look where nothing can be watched, ms. */
const LOOK_AGAIN_MS = 1_000;
/** Looks at a workload that is gone: whoever replaces one deletes it first. */
const GONE_LOOKS_MAX = 3;
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
  refuseDeleted(workload);
  if (isUp(observation, workload)) return { done: true, target: observation.target };
  context.troubles.delete(id);
  if (workload.replicas > 0) return goOn(1, 0);
  const { uid, generation } = workload;
  context.woken.set(id, { uid, generation });
  const to = replicasToWake(workload, { snapshot, scaling });
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

/**
 * How far a wake is: waits a while for the first pod that takes requests.
 * @throws ProviderError `failed` when it does not start: why, in the cluster's words, and what to do
 */
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
    throw signal.aborted ? gaveUp(context, order) : error;
  }
}

async function followWake(
  context: KubernetesContext,
  order: AppOrder,
  round: number,
): Promise<Step> {
  const { id } = order;
  const seen = await lookForReplaced(context, order);
  const { workload, observation, route } = seen;
  refuseUnmanaged(seen);
  refuseEnded(context, workload);
  if (route.kind === "unknown") throw new ProviderError("invalid", route.why);
  const isStuck = observation.phase === "failed";
  const waitMs = isStuck ? 0 : Math.min(WAIT_LAST_MS, WAIT_FIRST_MS * round);
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
  const why = trouble?.why ?? observation.reason;
  if (why !== undefined) context.troubles.set(id, why);
  if (isStuck || trouble?.isFinal) throw doesNotStart(workload, why ?? "");
  return goOn(round + 1, readiness === "unwatched" ? LOOK_AGAIN_MS : 0);
}

/** A look that does not give up at once where the workload is gone: it may be on its way back. */
async function lookForReplaced(context: KubernetesContext, order: AppOrder): Promise<Seen> {
  for (let looks = 1; ; looks += 1) {
    try {
      return await look(context, order);
    } catch (error) {
      const isGone = error instanceof ProviderError && error.kind === "not-found";
      if (!isGone || looks > GONE_LOOKS_MAX) throw error;
      await pause(context.clock, LOOK_AGAIN_MS, order.signal);
    }
  }
}

function goOn(round: number, pollAfterMs: number): Step {
  return { done: false, operation: { id: `wake:${round}` }, pollAfterMs };
}

function doesNotStart(place: WorkloadPlace, why: string, when = ""): ProviderError {
  return new ProviderError("failed", `${nameOf(place)} does not start${when}: ${why}`);
}

/** The wait has ended before the app was up: says what was in its way, as far as anybody has seen. */
function gaveUp({ troubles }: KubernetesContext, { id, signal }: AppOrder): ProviderError {
  const place = placeOf(id);
  const { namespace, kind, name } = place;
  const given = messageOf(signal.reason);
  const seen = troubles.get(id);
  // A watch has told why it ends; otherwise it was not up in time.
  if (seen === undefined && signal.reason instanceof ProviderError)
    return doesNotStart(place, given);
  const more = `\`kubectl -n ${namespace} describe ${kind} ${name}\` says more`;
  return doesNotStart(place, seen ?? `none of its pods took requests: ${more}`, ` (${given})`);
}

/** What an app was woken for is undone: waiting for it makes no sense. */
function refuseEnded({ woken }: KubernetesContext, workload: Workload): void {
  refuseDeleted(workload);
  if (workload.replicas > 0) return;
  const before = woken.get(workload.id);
  const isAnother = before !== undefined && before.uid !== workload.uid;
  throw doesNotStart(
    workload,
    isAnother
      ? "somebody has replaced it by one with 0 replicas; the next request wakes that"
      : "somebody has scaled it to 0 again; a GitOps tool must leave its replicas alone",
  );
}

function refuseDeleted(workload: Workload): void {
  if (workload.isDeleting) {
    throw new ProviderError("failed", `${nameOf(workload)} is being deleted`);
  }
}
