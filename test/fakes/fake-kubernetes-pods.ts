/** Pods of the fake cluster, from their creation to their end: what the scheduler and the kubelet do. */

import {
  type Condition,
  type ContainerState,
  type OwnerReference,
  type Pod,
  timestampOf,
} from "./fake-kubernetes-objects.ts";
import { type Owned, type PodPlan, revisionOf, type World } from "./fake-kubernetes-world.ts";

/** The grace that a pod has by default, in seconds. */
const GRACE_SECONDS = 30;

/** Pods of a workload, those that are ending too. */
export function podsOf({ store, owners }: World, { workload }: Owned): readonly Pod[] {
  const { uid, namespace } = workload.metadata;
  return store
    .list("pods")
    .filter(({ metadata }) => metadata.namespace === namespace && owners.get(metadata.uid) === uid);
}

export function isReady(pod: Pod): boolean {
  return pod.status.conditions.some(({ type, status }) => type === "Ready" && status === "True");
}

export function isEnding(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

/** Which template it is made of. */
export function podRevision({ metadata }: Pod): string {
  const { labels = {} } = metadata;
  return labels["pod-template-hash"] ?? labels["controller-revision-hash"] ?? "";
}

/** A new pod; `isUp`: it has been up for long. */
export function createPod(world: World, owned: Owned, name: string, isUp = false): Pod {
  const { workload } = owned;
  const pod = world.store.create("pods", newPod(world, owned, name));
  world.owners.set(pod.metadata.uid, workload.metadata.uid);
  const plan = world.plans.get(workload.metadata.uid) ?? {};
  if (isUp) become(world, pod, "ready");
  else start(world, pod, plan);
  return pod;
}

function newPod(world: World, owned: Owned, name: string): Pod {
  const { workload } = owned;
  const { template } = workload.spec;
  const revision = revisionOf(workload);
  const isDeployment = owned.resource === "deployments";
  const revisionLabels: Record<string, string> = isDeployment
    ? { "pod-template-hash": revision }
    : {
        "controller-revision-hash": `${workload.metadata.name}-${revision}`,
        "statefulset.kubernetes.io/pod-name": name,
      };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: workload.metadata.namespace,
      uid: world.nextUid(),
      resourceVersion: "",
      creationTimestamp: timestampOf(world.clock.now()),
      labels: { ...template.metadata.labels, ...revisionLabels },
      ownerReferences: [ownerOf(owned, revision)],
    },
    spec: template.spec,
    status: { phase: "Pending", conditions: [] },
  };
}

/** Pods of a Deployment belong to its ReplicaSet. */
function ownerOf({ resource, workload }: Owned, revision: string): OwnerReference {
  const { name, uid } = workload.metadata;
  const isDeployment = resource === "deployments";
  return {
    apiVersion: "apps/v1",
    kind: isDeployment ? "ReplicaSet" : "StatefulSet",
    name: isDeployment ? `${name}-${revision}` : name,
    uid: isDeployment ? `${uid.slice(0, -2)}rs` : uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Where a pod is in its life. */
type Moment =
  | "unschedulable"
  | "creating"
  | "running"
  | "ready"
  | "crashed"
  | "crash-loop"
  | "pull-failed"
  | "pull-backoff"
  | "config-error";

/** What is said half way and at the end of a boot. */
const BOOTS: Readonly<Record<NonNullable<PodPlan["outcome"]>, readonly [Moment, Moment]>> = {
  ok: ["running", "ready"],
  "crash-loop": ["crashed", "crash-loop"],
  "image-pull": ["pull-failed", "pull-backoff"],
  "config-error": ["config-error", "config-error"],
  unschedulable: ["unschedulable", "unschedulable"],
  "never-ready": ["running", "running"],
};

function start(world: World, pod: Pod, plan: PodPlan): void {
  const bootMs = plan.bootMs ?? world.durations.bootMs;
  const [half, end] = BOOTS[plan.outcome ?? "ok"];
  become(world, pod, half === "unschedulable" ? half : "creating");
  if (half === "unschedulable") return;
  world.later(bootMs / 2, () => become(world, pod, half));
  world.later(bootMs, () => become(world, pod, end));
}

/** What keeps pods down is mended: they boot anew. */
export function restartPod(world: World, pod: Pod): void {
  start(world, pod, {});
}

/** Its process has ended by itself, and will again. */
export function crashPod(world: World, pod: Pod): void {
  become(world, pod, "crashed");
  world.later(world.durations.bootMs / 2, () => become(world, pod, "crash-loop"));
}

/** SIGTERM; it is gone some time later. Nothing happens to one that is ending already. */
export function endPod(world: World, pod: Pod): void {
  const { metadata } = pod;
  const current = world.store.get("pods", metadata.namespace, metadata.name);
  if (current === null || isEnding(current)) return;
  const plan = world.plans.get(world.owners.get(metadata.uid) ?? "") ?? {};
  if (current.spec.nodeName === undefined) {
    remove(world, pod);
    return;
  }
  const deletionTimestamp = timestampOf(world.clock.now() + GRACE_SECONDS * 1_000);
  world.store.replace("pods", {
    ...current,
    metadata: {
      ...current.metadata,
      deletionTimestamp,
      deletionGracePeriodSeconds: GRACE_SECONDS,
    },
  });
  world.later(plan.stopMs ?? world.durations.stopMs, () => remove(world, pod));
}

function remove(world: World, { metadata }: Pod): void {
  const current = world.store.get("pods", metadata.namespace, metadata.name);
  if (current?.metadata.uid !== metadata.uid) return;
  world.store.remove("pods", metadata.namespace, metadata.name);
  world.owners.delete(metadata.uid);
}

/** A pod that has gone, or is ending, becomes nothing any more. */
function become(world: World, { metadata }: Pod, moment: Moment): void {
  const pod = world.store.get("pods", metadata.namespace, metadata.name);
  if (pod === null || pod.metadata.uid !== metadata.uid || isEnding(pod)) return;
  const isScheduled = moment !== "unschedulable";
  const podIP = pod.status.podIP ?? world.nextAddress();
  const spec = isScheduled ? { ...pod.spec, nodeName: "node-1" } : pod.spec;
  const hasRun = ["running", "ready", "crashed", "crash-loop"].includes(moment);
  world.store.replace("pods", {
    ...pod,
    spec,
    status: {
      phase: hasRun ? "Running" : "Pending",
      conditions: conditionsOf(world, moment),
      ...(isScheduled && { podIP, containerStatuses: containersOf(world, pod, moment) }),
    },
  });
}

function conditionsOf(world: World, moment: Moment): Condition[] {
  const lastTransitionTime = timestampOf(world.clock.now());
  if (moment === "unschedulable") {
    const message =
      "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.";
    const why = { reason: "Unschedulable", message };
    return [{ type: "PodScheduled", status: "False", ...why, lastTransitionTime }];
  }
  const isUp = moment === "ready";
  const why = isUp
    ? {}
    : { reason: "ContainersNotReady", message: "containers with unready status: [web]" };
  const status = isUp ? "True" : "False";
  return [
    { type: "Initialized", status: "True", lastTransitionTime },
    { type: "Ready", status, ...why, lastTransitionTime },
    { type: "ContainersReady", status, ...why, lastTransitionTime },
    { type: "PodScheduled", status: "True", lastTransitionTime },
  ];
}

function containersOf(world: World, pod: Pod, moment: Moment) {
  const now = timestampOf(world.clock.now());
  const failed = { exitCode: 1, reason: "Error", startedAt: now, finishedAt: now };
  return pod.spec.containers.map(({ name, image }) => ({
    name,
    image,
    ready: moment === "ready",
    started: moment === "ready" || moment === "running",
    restartCount: moment === "crash-loop" ? 1 : 0,
    state: stateOf(moment, { now, image, container: name, pod: pod.metadata.name, failed }),
    lastState: moment === "crash-loop" ? { terminated: failed } : {},
  }));
}

function stateOf(
  moment: Moment,
  told: {
    readonly now: string;
    readonly image: string;
    readonly container: string;
    readonly pod: string;
    readonly failed: Extract<ContainerState, { terminated: unknown }>["terminated"];
  },
): ContainerState {
  const { now, image, container, pod, failed } = told;
  const waiting = (reason: string, message: string) => ({ waiting: { reason, message } });
  switch (moment) {
    case "running":
    case "ready":
      return { running: { startedAt: now } };
    case "crashed":
      return { terminated: failed };
    case "crash-loop":
      return waiting(
        "CrashLoopBackOff",
        `back-off 10s restarting failed container=${container} pod=${pod}`,
      );
    case "pull-failed":
      return waiting(
        "ErrImagePull",
        `failed to pull and unpack image "${image}": failed to resolve reference "${image}": not found`,
      );
    case "pull-backoff":
      return waiting("ImagePullBackOff", `Back-off pulling image "${image}"`);
    case "config-error":
      return waiting("CreateContainerConfigError", 'secret "web-env" not found');
    default:
      return { waiting: { reason: "ContainerCreating" } };
  }
}
