/** The controller of Deployments: pods by the size and the template, replaced step by step, and what is said of it. */

import { type Condition, type Pod, timestampOf, type Workload } from "./fake-kubernetes-objects.ts";
import {
  createPod,
  endPod,
  isEnding,
  isReady,
  podRevision,
  podsOf,
} from "./fake-kubernetes-pods.ts";
import { type Owned, revisionOf, type World } from "./fake-kubernetes-world.ts";

/** Source: OpenAPI, DeploymentSpec. */
const DEADLINE_SECONDS = 600;

/** One turn: what has been seen is said first, then the next step is taken. */
export function reconcileDeployment(world: World, namespace: string, name: string): void {
  const workload = world.store.get("deployments", namespace, name);
  if (workload === null || workload.metadata.deletionTimestamp !== undefined) return;
  const owned: Owned = { resource: "deployments", workload };
  const pods = podsOf(world, owned);
  tell(world, workload, pods);
  const { create, remove } = planDeployment(workload, pods);
  for (const pod of remove) endPod(world, pod);
  for (let count = 0; count < create; count += 1) {
    createPod(world, owned, `${name}-${revisionOf(workload)}-${world.nextSuffix()}`);
  }
}

/** Pure. Surge and unavailability are the usual quarter. */
export function planDeployment(
  { spec, ...rest }: Workload,
  pods: readonly Pod[],
): { readonly create: number; readonly remove: readonly Pod[] } {
  const wanted = spec.replicas ?? 1;
  const live = pods.filter((pod) => !isEnding(pod));
  if (wanted === 0) return { create: 0, remove: live };
  const newest = revisionOf({ spec, ...rest } as Workload); // The same object, in two parts.
  const isHeld = spec.paused === true && live.some((pod) => podRevision(pod) !== newest);
  const revision = isHeld ? podRevision(live[0] as Pod) : newest; // There is one that is older.
  const young = live.filter((pod) => podRevision(pod) === revision);
  const old = live.filter((pod) => podRevision(pod) !== revision);
  const surge = old.length === 0 ? 0 : Math.ceil(wanted / 4);
  const create = Math.max(0, Math.min(wanted - young.length, wanted + surge - live.length));
  const surplus = young.toSorted((one, other) => Number(isReady(one)) - Number(isReady(other)));
  return {
    create,
    remove: [
      ...surplus.slice(0, Math.max(0, young.length - wanted)),
      ...oldToEnd(old, live, wanted),
    ],
  };
}

/** Those that are not ready, and of the others as many as can be missed. */
function oldToEnd(old: readonly Pod[], live: readonly Pod[], wanted: number): Pod[] {
  const readyMin = wanted - Math.floor(wanted / 4);
  const spare = Math.max(0, live.filter(isReady).length - readyMin);
  const unready = old.filter((pod) => !isReady(pod));
  return [...unready, ...old.filter(isReady).slice(0, spare)];
}

function tell(world: World, workload: Workload, pods: readonly Pod[]): void {
  const { metadata, spec, status: before } = workload;
  const live = pods.filter((pod) => !isEnding(pod));
  const revision = revisionOf(workload);
  const wanted = spec.replicas ?? 1;
  const ready = live.filter(isReady).length;
  const updated = live.filter((pod) => podRevision(pod) === revision).length;
  const isComplete = updated === wanted && live.length === wanted && ready === wanted;
  const isBetter =
    (before.readyReplicas ?? 0) < ready ||
    (before.updatedReplicas ?? 0) < updated ||
    (before.replicas ?? 0) > live.length;
  const isRolling = rolling(world, workload, { revision, isComplete, isBetter });
  const ending = world.reportsTerminating ? pods.length - live.length : 0;
  world.store.replace("deployments", {
    ...workload,
    status: {
      observedGeneration: metadata.generation ?? 1,
      ...(live.length > 0 && { replicas: live.length }),
      ...(updated > 0 && { updatedReplicas: updated }),
      ...(ready > 0 && { readyReplicas: ready, availableReplicas: ready }),
      ...(live.length > ready && { unavailableReplicas: live.length - ready }),
      ...(ending > 0 && { terminatingReplicas: ending }),
      conditions: [
        condition(world, before.conditions, availability(ready, wanted)),
        condition(world, before.conditions, progress(world, workload, { isRolling, revision })),
      ],
    },
  });
}

/**
 * Whether a rollout is under way. The deadline is for rollouts alone: who is scaled up again after all of it was rolled out
 * is never too late. Source: `kubernetes`, `pkg/controller/deployment/progress.go`.
 */
function rolling(
  world: World,
  { metadata: { uid, namespace, name }, spec }: Workload,
  now: { readonly revision: string; readonly isComplete: boolean; readonly isBetter: boolean },
): boolean {
  if (now.isComplete) {
    world.rolledOut.set(uid, now.revision);
    world.stuckSince.delete(uid);
    return false;
  }
  if (world.rolledOut.get(uid) === now.revision) return false;
  if (now.isBetter || !world.stuckSince.has(uid)) {
    world.stuckSince.set(uid, world.clock.now());
    const deadlineMs = (spec.progressDeadlineSeconds ?? DEADLINE_SECONDS) * 1_000;
    world.later(deadlineMs + 1, () => reconcileDeployment(world, namespace, name));
  }
  return true;
}

type Said = Pick<Condition, "type" | "status" | "reason" | "message">;

function availability(ready: number, wanted: number): Said {
  const isEnough = ready >= wanted - Math.floor(wanted / 4);
  return isEnough
    ? {
        ...{ type: "Available", status: "True", reason: "MinimumReplicasAvailable" },
        message: "Deployment has minimum availability.",
      }
    : {
        ...{ type: "Available", status: "False", reason: "MinimumReplicasUnavailable" },
        message: "Deployment does not have minimum availability.",
      };
}

function progress(
  world: World,
  { metadata, spec }: Workload,
  { isRolling, revision }: { readonly isRolling: boolean; readonly revision: string },
): Said {
  const type = "Progressing";
  const set = `ReplicaSet "${metadata.name}-${revision}"`;
  if (!isRolling) {
    const message = `${set} has successfully progressed.`;
    return { type, status: "True", reason: "NewReplicaSetAvailable", message };
  }
  const stuckMs = world.clock.now() - (world.stuckSince.get(metadata.uid) ?? 0);
  if (stuckMs > (spec.progressDeadlineSeconds ?? DEADLINE_SECONDS) * 1_000) {
    const message = `${set} has timed out progressing.`;
    return { type, status: "False", reason: "ProgressDeadlineExceeded", message };
  }
  return { type, status: "True", reason: "ReplicaSetUpdated", message: `${set} is progressing.` };
}

/** The same as before keeps its time. */
function condition(
  { clock }: World,
  before: readonly Condition[] | undefined,
  said: Said,
): Condition {
  const old = before?.find(({ type }) => type === said.type);
  const now = timestampOf(clock.now());
  const isSame = old?.reason === said.reason && old?.message === said.message;
  const lastTransitionTime = old?.status === said.status ? old.lastTransitionTime : now;
  return {
    ...said,
    lastUpdateTime: isSame ? (old?.lastUpdateTime ?? now) : now,
    lastTransitionTime,
  };
}
