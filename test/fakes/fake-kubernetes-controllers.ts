/** Everything in the fake cluster that acts by itself, and what sets it in motion. */

import { reconcileAutoscaler } from "./fake-kubernetes-autoscalers.ts";
import { reconcileDeployment } from "./fake-kubernetes-deployments.ts";
import { reconcileSlices, SERVICE_NAME, type SliceOptions } from "./fake-kubernetes-endpoints.ts";
import type { KubeObject, ResourceName, Service } from "./fake-kubernetes-objects.ts";
import { endPod } from "./fake-kubernetes-pods.ts";
import { hasLabels } from "./fake-kubernetes-selectors.ts";
import { reconcileStatefulSet } from "./fake-kubernetes-statefulsets.ts";
import type { Change } from "./fake-kubernetes-store.ts";
import { createSoon, type Soon } from "./fake-kubernetes-traffic.ts";
import type { World } from "./fake-kubernetes-world.ts";

/** Made by `startControllers`. */
export interface Controllers {
  /** Brings what follows from this object about at once, instead of after the usual time. */
  settle(resource: ResourceName, namespace: string, name: string): void;
  /** What an autoscaler would like; by `namespace/name`. */
  readonly recommended: Map<string, number>;
  /** Nothing acts any more until `resume`: objects stay as they are. */
  pause(): void;
  resume(): void;
  end(): void;
}

interface State {
  readonly world: World;
  readonly slices: SliceOptions;
  readonly recommended: Map<string, number>;
  /** Where connections are accepted is brought up to date, for a Service: `namespace/name`. */
  readonly connect: (key: string) => void;
  isPaused: boolean;
}

type Queues = Readonly<Record<"workloads" | "services" | "traffic" | "autoscalers", Soon>>;

export function startControllers(
  world: World,
  options: SliceOptions & { readonly connect: (key: string) => void },
): Controllers {
  const { connect, ...slices } = options;
  const state: State = { world, slices, recommended: new Map(), connect, isPaused: false };
  const { controllerMs, endpointMs, dataPlaneMs, autoscalerMs } = world.durations;
  const soon = (delayMs: number, resourceless: (key: string) => void) =>
    createSoon(world.clock, delayMs, (key) => {
      if (!state.isPaused) resourceless(key);
    });
  const queues: Queues = {
    workloads: soon(controllerMs, (key) => reconcileWorkload(state, key)),
    services: soon(endpointMs, (key) => reconcileSlices(world, placeOf(key), slices)),
    traffic: soon(dataPlaneMs, connect),
    autoscalers: soon(autoscalerMs, (key) => autoscale(state, key)),
  };
  const unsubscribe = world.store.subscribe((change) => react(state, queues, change));
  return {
    recommended: state.recommended,
    settle: (resource, namespace, name) => settle(state, resource, `${namespace}/${name}`),
    pause() {
      state.isPaused = true;
    },
    resume() {
      state.isPaused = false;
      askAll(state, queues);
    },
    end() {
      unsubscribe();
      for (const queue of Object.values(queues)) queue.end();
    },
  };
}

function placeOf(key: string): { readonly namespace: string; readonly name: string } {
  const [namespace = "", name = ""] = key.split("/").slice(-2);
  return { namespace, name };
}

/** @param key `deployments/preview/demo` */
function reconcileWorkload({ world }: State, key: string): void {
  const { namespace, name } = placeOf(key);
  if (key.startsWith("deployments/")) reconcileDeployment(world, namespace, name);
  else reconcileStatefulSet(world, namespace, name);
}

function autoscale({ world, recommended }: State, key: string): void {
  reconcileAutoscaler(world, placeOf(key), recommended.get(key) ?? null);
}

function settle(state: State, resource: ResourceName, key: string): void {
  if (resource === "services") {
    reconcileSlices(state.world, placeOf(key), state.slices);
    state.connect(key);
  } else if (resource === "horizontalpodautoscalers") autoscale(state, key);
  else reconcileWorkload(state, `${resource}/${key}`);
}

function react({ world }: State, queues: Queues, change: Change): void {
  const { resource, object, before, type } = change;
  const { namespace, name } = object.metadata;
  switch (resource) {
    case "deployments":
    case "statefulsets":
      queues.workloads.ask(`${resource}/${namespace}/${name}`);
      if (type === "DELETED") endPodsOf(world, object);
      askAutoscalers(world, queues, namespace);
      return;
    case "pods":
      askOwner(world, queues, object);
      askServices(world, queues, before === null ? [object] : [object, before]);
      return;
    case "services":
      queues.services.ask(`${namespace}/${name}`);
      queues.traffic.ask(`${namespace}/${name}`);
      return;
    case "endpointslices":
      queues.traffic.ask(`${namespace}/${object.metadata.labels?.[SERVICE_NAME]}`);
      return;
    case "horizontalpodautoscalers":
      queues.autoscalers.ask(`${namespace}/${name}`);
      return;
    default:
      resource satisfies never;
  }
}

function askAll({ world: { store } }: State, queues: Queues): void {
  for (const resource of ["deployments", "statefulsets"] as const) {
    for (const { metadata } of store.list(resource)) {
      queues.workloads.ask(`${resource}/${metadata.namespace}/${metadata.name}`);
    }
  }
  for (const { metadata } of store.list("services")) {
    queues.services.ask(`${metadata.namespace}/${metadata.name}`);
    queues.traffic.ask(`${metadata.namespace}/${metadata.name}`);
  }
}

/** What belonged to a workload that was deleted goes with it. */
function endPodsOf(world: World, { metadata }: KubeObject): void {
  for (const pod of world.store.list("pods")) {
    if (world.owners.get(pod.metadata.uid) === metadata.uid) endPod(world, pod);
  }
}

function askOwner({ owners, store }: World, queues: Queues, pod: KubeObject): void {
  const uid = owners.get(pod.metadata.uid);
  for (const resource of ["deployments", "statefulsets"] as const) {
    const owner = store.list(resource).find(({ metadata }) => metadata.uid === uid);
    if (owner === undefined) continue;
    queues.workloads.ask(`${resource}/${owner.metadata.namespace}/${owner.metadata.name}`);
  }
}

function askServices({ store }: World, queues: Queues, pods: readonly KubeObject[]): void {
  const isBehind = ({ metadata, spec }: Service) =>
    pods.some(
      (pod) =>
        pod.metadata.namespace === metadata.namespace &&
        hasLabels(pod.metadata.labels ?? {}, spec.selector ?? {}),
    );
  for (const service of store.list("services").filter(isBehind)) {
    queues.services.ask(`${service.metadata.namespace}/${service.metadata.name}`);
  }
}

function askAutoscalers({ store }: World, queues: Queues, namespace: string): void {
  for (const { metadata } of store.list("horizontalpodautoscalers")) {
    if (metadata.namespace === namespace) queues.autoscalers.ask(`${namespace}/${metadata.name}`);
  }
}
