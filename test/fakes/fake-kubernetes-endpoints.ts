/** The controller of EndpointSlices: behind which addresses a Service is, following the pods. */

import {
  type Endpoint,
  type EndpointSlice,
  type Pod,
  type Service,
  timestampOf,
} from "./fake-kubernetes-objects.ts";
import { isEnding, isReady } from "./fake-kubernetes-pods.ts";
import { hasLabels } from "./fake-kubernetes-selectors.ts";
import type { World } from "./fake-kubernetes-world.ts";

export interface SliceOptions {
  /** Source: kube-controller-manager, `--max-endpoints-per-slice`, 100. */
  readonly endpointsPerSlice: number;
  /** `conditions` come without `ready`, which then counts as true, and addresses that are not ready do not come at all. */
  readonly leavesOutReady: boolean;
}

export const SERVICE_NAME = "kubernetes.io/service-name";

/** Brings the slices of a Service to what its pods are now; without the Service they are removed. */
export function reconcileSlices(
  world: World,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  options: SliceOptions,
): void {
  const { store } = world;
  const service = store.get("services", namespace, name);
  const present = slicesOf(world, namespace, name);
  const { selector } = service?.spec ?? {};
  if (service === null) {
    for (const { metadata } of present) store.remove("endpointslices", namespace, metadata.name);
    return;
  }
  // Whoever made one without a selector makes its slices too; and a name elsewhere has none.
  if (selector === undefined || service.spec.type === "ExternalName") return;
  const pods = store
    .list("pods")
    .filter(({ metadata }) => metadata.namespace === namespace)
    .filter(({ metadata }) => hasLabels(metadata.labels ?? {}, selector));
  const endpoints = pods.flatMap((pod) => endpointOf(service, pod, options));
  const parts = partsOf(endpoints, options.endpointsPerSlice);
  for (const [index, part] of parts.entries()) {
    const old = present[index];
    const content = { endpoints: part.length === 0 ? null : part, ports: portsOf(service, pods) };
    if (old === undefined) store.create("endpointslices", newSlice(world, service, content));
    else store.replace("endpointslices", { ...old, ...content });
  }
  for (const { metadata } of present.slice(parts.length)) {
    store.remove("endpointslices", namespace, metadata.name);
  }
}

/** Slices of a Service; those of IPv4 that the controller made. */
export function slicesOf(
  { store }: World,
  namespace: string,
  service: string,
): readonly EndpointSlice[] {
  return store
    .list("endpointslices")
    .filter(({ metadata }) => metadata.namespace === namespace)
    .filter(({ metadata }) => metadata.labels?.[SERVICE_NAME] === service);
}

function endpointOf(service: Service, pod: Pod, { leavesOutReady }: SliceOptions): Endpoint[] {
  const { podIP } = pod.status;
  if (podIP === undefined) return [];
  const isUp = isReady(pod);
  const ready = service.spec.publishNotReadyAddresses === true || (isUp && !isEnding(pod));
  if (leavesOutReady && !ready) return [];
  const { namespace, name, uid } = pod.metadata;
  return [
    {
      addresses: [podIP],
      conditions: leavesOutReady ? {} : { ready, serving: isUp, terminating: isEnding(pod) },
      nodeName: pod.spec.nodeName ?? "node-1",
      targetRef: { kind: "Pod", namespace, name, uid },
    },
  ];
}

/** At least one: a Service without pods has an empty slice. */
function partsOf(endpoints: readonly Endpoint[], size: number): Endpoint[][] {
  const parts: Endpoint[][] = [];
  for (let from = 0; from === 0 || from < endpoints.length; from += size) {
    parts.push(endpoints.slice(from, from + size));
  }
  return parts;
}

/** Those of the pods. A name that no container port has leads nowhere. */
function portsOf({ spec }: Service, [pod]: readonly Pod[]): EndpointSlice["ports"] {
  const containers = pod?.spec.containers ?? [];
  const named = containers.flatMap(({ ports }) => ports);
  const ports = (spec.ports ?? []).flatMap(({ name = "", targetPort, protocol }) => {
    const port =
      typeof targetPort === "number"
        ? targetPort
        : named.find((candidate) => candidate.name === targetPort)?.containerPort;
    return port === undefined ? [] : [{ name, port, protocol }];
  });
  return pod === undefined ? null : ports;
}

function newSlice(
  world: World,
  { metadata }: Service,
  content: Pick<EndpointSlice, "endpoints" | "ports">,
): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${metadata.name}-${world.nextSuffix()}`,
      namespace: metadata.namespace,
      uid: world.nextUid(),
      resourceVersion: "",
      generation: 1,
      creationTimestamp: timestampOf(world.clock.now()),
      labels: {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        [SERVICE_NAME]: metadata.name,
      },
    },
    addressType: "IPv4",
    ...content,
  };
}
