/** Putting a workload to sleep: its size is written down, then it is scaled to 0. */

import type { Snapshot } from "../app.ts";
import { throwIfAborted } from "./abortable.ts";
import { PREVIOUS_REPLICAS } from "./kubernetes-annotations.ts";
import {
  type AppOrder,
  type KubernetesContext,
  look,
  nameOf,
  pathOf,
  type Seen,
  take,
} from "./kubernetes-context.ts";
import { patch, refuseUnmanaged, scale, untilNobodyIsQuicker } from "./kubernetes-scale.ts";
import { snapshotOf } from "./kubernetes-state.ts";
import { readWorkload, type Workload } from "./kubernetes-workload.ts";
import { ProviderError, type Step } from "./provider.ts";

/**
 * What `wake` will need; it is written on the workload as well when it is put to sleep.
 * @throws ProviderError as `sleep`
 */
export async function takeSnapshot(context: KubernetesContext, order: AppOrder): Promise<Snapshot> {
  throwIfAborted(order.signal, `taking a snapshot of ${order.id}`);
  const seen = await look(context, order);
  refuseSleep(seen);
  return snapshotOf(seen.workload);
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
