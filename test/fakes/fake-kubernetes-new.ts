/** New workloads and Services of the fake cluster, as their owners write them. */

import type { Service, ServicePort, Texts, Workload } from "./fake-kubernetes-objects.ts";
import { apiVersionOf, RESOURCES, timestampOf } from "./fake-kubernetes-objects.ts";
import type { World } from "./fake-kubernetes-world.ts";

/** What is different from a Deployment of one pod with a Service in front, which wants to be looked after. */
export interface NewWorkload {
  /** Default `preview`. */
  readonly namespace?: string;
  /** Default `Deployment`. */
  readonly kind?: "Deployment" | "StatefulSet";
  /** Default 1; `null`: the object does not say, which means 1. */
  readonly replicas?: number | null;
  /** Default `{ "paastis.dev/enabled": "true" }`. */
  readonly labels?: Texts;
  readonly annotations?: Texts;
  /** Labels of its pods, and its selector; default `{ app: <name> }`. */
  readonly podLabels?: Texts;
  /** `null`: there is none. */
  readonly service?: NewService | null;
  readonly progressDeadlineSeconds?: number;
  readonly podManagementPolicy?: "OrderedReady" | "Parallel";
  readonly updateStrategy?: NonNullable<Workload["spec"]["updateStrategy"]>;
}

/** What is different from a Service of the workload's name with one port `http`. */
export interface NewService {
  readonly name?: string;
  /** Default `[{ name: "http" }]`. Each gets a port number of its own; they all lead to the pods. */
  readonly ports?: readonly Partial<Omit<ServicePort, "port">>[];
  /** Default the labels of the pods. */
  readonly selector?: Texts;
  readonly isHeadless?: boolean;
  readonly publishNotReadyAddresses?: boolean;
  readonly annotations?: Texts;
}

/** Port of the containers, by the name `web`. */
const CONTAINER_PORT = 8_080;

export function newWorkload(world: World, name: string, options: NewWorkload): Workload {
  const { namespace = "preview", kind = "Deployment", replicas = 1 } = options;
  const { podLabels = { app: name }, labels = { "paastis.dev/enabled": "true" } } = options;
  const { annotations, progressDeadlineSeconds, podManagementPolicy, updateStrategy } = options;
  const resource = kind === "Deployment" ? "deployments" : "statefulsets";
  const ports = [{ name: "web", containerPort: CONTAINER_PORT, protocol: "TCP" as const }];
  const containers = [{ name: "web", image: `${name}:1`, ports }];
  const own =
    kind === "Deployment"
      ? { strategy: { type: "RollingUpdate" as const }, progressDeadlineSeconds: 600 }
      : { serviceName: name, podManagementPolicy: "OrderedReady" as const };
  return {
    apiVersion: apiVersionOf(resource),
    kind: RESOURCES[resource].kind,
    metadata: {
      ...{ name, namespace, uid: world.nextUid(), resourceVersion: "", generation: 1 },
      creationTimestamp: timestampOf(world.clock.now()),
      labels,
      ...(annotations && { annotations }),
    },
    spec: {
      ...(replicas !== null && { replicas }),
      selector: { matchLabels: podLabels },
      template: { metadata: { labels: podLabels }, spec: { containers } },
      ...own,
      ...(progressDeadlineSeconds !== undefined && { progressDeadlineSeconds }),
      ...(podManagementPolicy !== undefined && { podManagementPolicy }),
      ...(updateStrategy !== undefined && { updateStrategy }),
    },
    status: {},
  };
}

/** @param at where it answers: an address, and a port for each of its own */
export function newService(
  world: World,
  { metadata, spec }: Workload,
  options: NewService & {
    readonly at: { readonly clusterIp: string; readonly ports: readonly number[] };
  },
): Service {
  const { at, isHeadless = false, publishNotReadyAddresses, annotations } = options;
  const { ports = [{ name: "http" }], name = metadata.name } = options;
  const clusterIP = isHeadless ? "None" : at.clusterIp;
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      ...{ name, namespace: metadata.namespace, uid: world.nextUid(), resourceVersion: "" },
      creationTimestamp: timestampOf(world.clock.now()),
      ...(annotations && { annotations }),
    },
    spec: {
      type: "ClusterIP",
      clusterIP,
      clusterIPs: [clusterIP],
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      internalTrafficPolicy: "Cluster",
      sessionAffinity: "None",
      selector: options.selector ?? spec.template.metadata.labels,
      ports: ports.map((port, index) => portOf(port, at.ports[index] ?? 0, isHeadless)),
      ...(publishNotReadyAddresses !== undefined && { publishNotReadyAddresses }),
    },
  };
}

/** Behind a headless Service there is no forwarding: its ports are those of the pods. */
function portOf(
  port: Partial<Omit<ServicePort, "port">>,
  number: number,
  isHeadless: boolean,
): ServicePort {
  const targetPort = isHeadless ? number : "web";
  return { protocol: "TCP", targetPort, ...port, port: number };
}
