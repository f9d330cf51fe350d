/** What a test does to a workload on the fake cluster, as its owner, as somebody with `kubectl`, or as fate. */

import type { FakeAnswer } from "./fake-answer.ts";
import type { Controllers } from "./fake-kubernetes-controllers.ts";
import type {
  Autoscaler,
  Pod,
  Service,
  Texts,
  Workload,
  WorkloadResource,
} from "./fake-kubernetes-objects.ts";
import { apiVersionOf, RESOURCES, timestampOf } from "./fake-kubernetes-objects.ts";
import { crashPod, endPod, isEnding, isReady, podsOf, restartPod } from "./fake-kubernetes-pods.ts";
import type { Entrance } from "./fake-kubernetes-traffic.ts";
import type { PodPlan, World } from "./fake-kubernetes-world.ts";

/** A handle on one workload and what stands in front of it. */
export interface WorkloadControl {
  readonly name: string;
  readonly namespace: string;
  readonly resource: WorkloadResource;
  /** As the API has it. @throws when it was deleted */
  readonly object: Workload;
  /** Wanted. */
  readonly replicas: number;
  /** Pods that take requests. */
  readonly ready: number;
  readonly pods: readonly Pod[];
  readonly annotations: Texts;
  /** Where its Service answers, one for each port. */
  readonly entrances: readonly Entrance[];
  /** Requests that it has answered. */
  readonly requests: number;
  /** Somebody scales it with `kubectl`. */
  scale(replicas: number): void;
  /** `null` takes one away. */
  annotate(annotations: Readonly<Record<string, string | null>>): void;
  label(labels: Readonly<Record<string, string | null>>): void;
  /** How pods fare that are created from now on. */
  podsGo(plan: PodPlan): void;
  /** What kept its pods down is mended; those that there are boot anew. */
  mend(): void;
  /** A new image: pods are replaced as the strategy says. */
  rollOut(image: string): void;
  /** A rollout that does not get on until `endRollout`; what runs goes on. */
  beginRollout(): void;
  endRollout(): void;
  /** Its rollouts wait (Deployments alone). */
  pauseRollouts(isPaused: boolean): void;
  /** All its containers end by themselves, and do not come up again until `mend`. */
  crash(): void;
  /** All its pods are ended, as when a node is drained; others come. */
  evict(): void;
  /** The API says this of it from now on, whatever the controller would say. */
  changeObject(change: (object: Workload) => Workload): void;
  /** @returns its name; `bounds.min` left out: there is none, which means 1 */
  addAutoscaler(bounds: { readonly min?: number; readonly max: number }): string;
  /** How many its autoscaler would like. */
  recommend(replicas: number): void;
  deleteAutoscaler(): void;
  deleteService(): void;
  changeService(change: (service: Service) => Service): void;
  /** Another answer than the usual one, from now on; `null`: the usual. */
  answerWith(answer: FakeAnswer | null): void;
  /** It is being deleted, and a finalizer keeps it there until `delete`. */
  beginDelete(): void;
  /** With its pods; its Service stays. */
  delete(): void;
}

export interface ControlDeps {
  readonly world: World;
  readonly controllers: Controllers;
  readonly resource: WorkloadResource;
  readonly namespace: string;
  readonly name: string;
  readonly service: string | null;
  readonly entrances: readonly Entrance[];
}

/** The workload is in the store already. */
export function controlOf(deps: ControlDeps): WorkloadControl {
  const { world, controllers, resource, namespace, name, entrances } = deps;
  const { store } = world;
  const object = () => {
    const found = store.get(resource, namespace, name);
    if (found === null) throw new Error(`${namespace}/${name} is not there any more`);
    return found;
  };
  const pods = () => podsOf(world, { resource, workload: object() });
  const { uid } = object().metadata;
  return {
    ...{ name, namespace, resource, entrances },
    get object() {
      return object();
    },
    get replicas() {
      return object().spec.replicas ?? 1;
    },
    get ready() {
      return pods().filter((pod) => isReady(pod) && !isEnding(pod)).length;
    },
    get pods() {
      return pods();
    },
    get annotations() {
      return object().metadata.annotations ?? {};
    },
    get requests() {
      return entrances.reduce((sum, { requests }) => sum + requests, 0);
    },
    ...sizeOf(deps, object),
    podsGo: (plan) => void world.plans.set(uid, plan),
    mend() {
      world.plans.delete(uid);
      for (const pod of pods()) if (!isReady(pod)) restartPod(world, pod);
    },
    crash() {
      world.plans.set(uid, { outcome: "crash-loop" });
      for (const pod of pods()) crashPod(world, pod);
    },
    evict() {
      for (const pod of pods()) endPod(world, pod);
    },
    ...rolloutOf(deps, object),
    changeObject: (change) => void store.replace(resource, change(object())),
    ...neighboursOf(deps),
    answerWith(answer) {
      for (const entrance of entrances) entrance.answerWith(answer);
    },
    beginDelete() {
      const deletionTimestamp = timestampOf(world.clock.now());
      const finalizers = ["foregroundDeletion"];
      changeMeta(deps, object(), { deletionTimestamp, finalizers });
    },
    delete: () => store.remove(resource, namespace, name),
    recommend(replicas) {
      controllers.recommended.set(`${namespace}/${name}`, replicas);
      controllers.settle("horizontalpodautoscalers", namespace, name);
    },
  };
}

function sizeOf(
  deps: ControlDeps,
  object: () => Workload,
): Pick<WorkloadControl, "scale" | "annotate" | "label"> {
  return {
    scale: (replicas) => changeSpec(deps, object(), { replicas }),
    annotate(changes) {
      const annotations = changed(object().metadata.annotations, changes);
      changeMeta(deps, object(), { annotations });
    },
    label(changes) {
      changeMeta(deps, object(), { labels: changed(object().metadata.labels, changes) });
    },
  };
}

function changed(
  texts: Texts | undefined,
  changes: Readonly<Record<string, string | null>>,
): Texts {
  const all = Object.entries({ ...texts, ...changes });
  return Object.fromEntries(all.flatMap(([key, value]) => (value === null ? [] : [[key, value]])));
}

function changeSpec(
  { world, resource }: ControlDeps,
  object: Workload,
  change: Partial<Workload["spec"]>,
): void {
  const generation = (object.metadata.generation ?? 1) + 1;
  world.store.replace(resource, {
    ...object,
    metadata: { ...object.metadata, generation },
    spec: { ...object.spec, ...change },
  });
}

function changeMeta(
  { world, resource }: ControlDeps,
  object: Workload,
  change: Partial<Workload["metadata"]>,
): void {
  world.store.replace(resource, { ...object, metadata: { ...object.metadata, ...change } });
}

/** A boot that lasts until somebody ends it. */
const ENDLESS_MS = 0x7fff_ffff;

function rolloutOf(
  deps: ControlDeps,
  object: () => Workload,
): Pick<WorkloadControl, "rollOut" | "beginRollout" | "endRollout" | "pauseRollouts"> {
  const { world, resource } = deps;
  const rollOut = (image: string) => {
    const { template } = object().spec;
    const containers = template.spec.containers.map((container) => ({ ...container, image }));
    const spec = { ...template.spec, containers };
    changeSpec(deps, object(), { template: { ...template, spec } });
  };
  return {
    rollOut,
    beginRollout() {
      world.plans.set(object().metadata.uid, { bootMs: ENDLESS_MS });
      rollOut(`demo:${world.nextSuffix()}`);
    },
    endRollout() {
      world.plans.delete(object().metadata.uid);
      for (const pod of podsOf(world, { resource, workload: object() })) {
        if (!isReady(pod)) restartPod(world, pod);
      }
    },
    pauseRollouts: (paused) => changeSpec(deps, object(), { paused }),
  };
}

function neighboursOf(
  deps: ControlDeps,
): Pick<WorkloadControl, "addAutoscaler" | "deleteAutoscaler" | "deleteService" | "changeService"> {
  const { world, resource, namespace, name, service } = deps;
  const { store } = world;
  return {
    addAutoscaler(bounds) {
      store.create("horizontalpodautoscalers", newAutoscaler(deps, bounds));
      return name;
    },
    deleteAutoscaler: () => store.remove("horizontalpodautoscalers", namespace, name),
    deleteService: () => store.remove("services", namespace, service ?? ""),
    changeService(change) {
      const found = store.get("services", namespace, service ?? "");
      if (found === null) throw new Error(`${resource} ${name} has no Service`);
      store.replace("services", change(found));
    },
  };
}

function newAutoscaler(
  { world, resource, namespace, name }: ControlDeps,
  { min, max }: { readonly min?: number; readonly max: number },
): Autoscaler {
  return {
    apiVersion: apiVersionOf("horizontalpodautoscalers"),
    kind: "HorizontalPodAutoscaler",
    metadata: {
      ...{ name, namespace, uid: world.nextUid(), resourceVersion: "" },
      creationTimestamp: timestampOf(world.clock.now()),
    },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: RESOURCES[resource].kind, name },
      ...(min !== undefined && { minReplicas: min }),
      maxReplicas: max,
      metrics: [
        {
          type: "Resource",
          resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } },
        },
      ],
    },
    status: { currentReplicas: 0, desiredReplicas: 0, conditions: [] },
  };
}
