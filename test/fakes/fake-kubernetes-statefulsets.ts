/** The controller of StatefulSets: pods with numbers, made and ended one after the other, and what is said of it. */

import type { Pod, Workload } from "./fake-kubernetes-objects.ts";
import {
  createPod,
  endPod,
  isEnding,
  isReady,
  podRevision,
  podsOf,
} from "./fake-kubernetes-pods.ts";
import { type Owned, revisionOf, type World } from "./fake-kubernetes-world.ts";

/** One turn: what has been seen is said first, then the next step is taken. */
export function reconcileStatefulSet(world: World, namespace: string, name: string): void {
  const workload = world.store.get("statefulsets", namespace, name);
  if (workload === null || workload.metadata.deletionTimestamp !== undefined) return;
  const owned: Owned = { resource: "statefulsets", workload };
  const pods = podsOf(world, owned);
  tell(world, workload, pods);
  const { create, remove } = planStatefulSet(workload, pods);
  for (const pod of remove) endPod(world, pod);
  for (const ordinal of create) createPod(world, owned, `${name}-${ordinal}`);
}

interface Plan {
  /** Numbers of pods. */
  readonly create: readonly number[];
  readonly remove: readonly Pod[];
}

const NOTHING: Plan = { create: [], remove: [] };

/** Pure. A pod that is ending keeps its name: the next of that name waits for it. */
export function planStatefulSet(workload: Workload, pods: readonly Pod[]): Plan {
  const wanted = workload.spec.replicas ?? 1;
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(pod), pod]));
  const missing = [...Array(wanted).keys()].filter((ordinal) => !byOrdinal.has(ordinal));
  const surplus = pods
    .filter((pod) => ordinalOf(pod) >= wanted)
    .toSorted((one, other) => ordinalOf(other) - ordinalOf(one));
  if (workload.spec.podManagementPolicy === "Parallel") return { create: missing, remove: surplus };
  if (pods.some(isEnding)) return NOTHING;
  const [next] = missing;
  // One after the other: all before it must be ready.
  const isHeldUp = pods.some((pod) => ordinalOf(pod) < (next ?? wanted) && !isReady(pod));
  if (next !== undefined) return isHeldUp ? NOTHING : { create: [next], remove: [] };
  const [last] = surplus;
  if (last !== undefined) return { create: [], remove: [last] };
  return isHeldUp ? NOTHING : { create: [], remove: outdated(workload, pods) };
}

/** The one that is brought up to date next. */
function outdated(workload: Workload, pods: readonly Pod[]): Pod[] {
  const { updateStrategy, replicas = 1 } = workload.spec;
  if (updateStrategy?.type === "OnDelete") return [];
  const partition = updateStrategy?.rollingUpdate?.partition ?? 0;
  const name = updateRevision(workload);
  return pods
    .filter((pod) => podRevision(pod) !== name)
    .filter((pod) => ordinalOf(pod) >= Math.min(partition, replicas))
    .toSorted((one, other) => ordinalOf(other) - ordinalOf(one))
    .slice(0, 1);
}

function ordinalOf({ metadata }: Pod): number {
  return Number(metadata.name.split("-").at(-1));
}

function updateRevision(workload: Workload): string {
  return `${workload.metadata.name}-${revisionOf(workload)}`;
}

/** Unlike those of Deployments, two of the numbers are said when they are 0, and there are no conditions. */
function tell(world: World, workload: Workload, pods: readonly Pod[]): void {
  const newest = updateRevision(workload);
  const ready = pods.filter((pod) => isReady(pod) && !isEnding(pod)).length;
  const updated = pods.filter((pod) => podRevision(pod) === newest).length;
  const wanted = workload.spec.replicas ?? 1;
  const { currentRevision: before = newest } = workload.status;
  const isRolledOut = updated === pods.length && pods.length === wanted;
  const currentRevision = isRolledOut ? newest : before;
  const current = pods.filter((pod) => podRevision(pod) === currentRevision).length;
  world.store.replace("statefulsets", {
    ...workload,
    status: {
      observedGeneration: workload.metadata.generation ?? 1,
      // Those that are ending count, until they are gone.
      replicas: pods.length,
      ...(ready > 0 && { readyReplicas: ready }),
      ...(current > 0 && { currentReplicas: current }),
      ...(updated > 0 && { updatedReplicas: updated }),
      currentRevision,
      updateRevision: newest,
      collisionCount: 0,
      availableReplicas: ready,
    },
  });
}
