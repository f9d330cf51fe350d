/** The objects of the fake cluster as its API has them, typed as far as the fake looks at them. */

/** Everything that the fake has lists of. */
export const RESOURCES = {
  deployments: { group: "apps", version: "v1", kind: "Deployment", singular: "deployment" },
  statefulsets: { group: "apps", version: "v1", kind: "StatefulSet", singular: "statefulset" },
  services: { group: "", version: "v1", kind: "Service", singular: "service" },
  pods: { group: "", version: "v1", kind: "Pod", singular: "pod" },
  endpointslices: {
    group: "discovery.k8s.io",
    version: "v1",
    kind: "EndpointSlice",
    singular: "endpointslice",
  },
  horizontalpodautoscalers: {
    group: "autoscaling",
    version: "v2",
    kind: "HorizontalPodAutoscaler",
    singular: "horizontalpodautoscaler",
  },
} as const;

export type ResourceName = keyof typeof RESOURCES;
export type WorkloadResource = "deployments" | "statefulsets";

/** `apps/v1`, or `v1` for the core group. */
export function apiVersionOf(resource: ResourceName): string {
  const { group, version } = RESOURCES[resource];
  return group === "" ? version : `${group}/${version}`;
}

/** As messages and RBAC call it: `deployments.apps`, `services`. */
export function qualifiedName(resource: ResourceName): string {
  const { group } = RESOURCES[resource];
  return group === "" ? resource : `${resource}.${group}`;
}

export type Texts = Readonly<Record<string, string>>;

export interface ObjectMeta {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly creationTimestamp: string;
  readonly generation?: number;
  readonly labels?: Texts;
  readonly annotations?: Texts;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
  readonly managedFields?: readonly ManagedField[];
  readonly [field: string]: unknown;
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller: boolean;
  readonly blockOwnerDeletion: boolean;
}

export interface ManagedField {
  readonly manager: string;
  readonly operation: "Update" | "Apply";
  readonly apiVersion: string;
  readonly time: string;
  readonly subresource?: string;
  readonly fieldsType: "FieldsV1";
  readonly fieldsV1: Readonly<Record<string, unknown>>;
}

/** Any object. Never changed in place. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

export interface LabelSelector {
  readonly matchLabels?: Texts;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
    readonly values?: readonly string[];
  }[];
}

export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime: string;
  readonly lastUpdateTime?: string;
}

export interface ContainerPort {
  readonly name?: string;
  readonly containerPort: number;
  readonly protocol: "TCP";
}

export interface PodTemplate {
  readonly metadata: { readonly labels: Texts; readonly annotations?: Texts };
  readonly spec: {
    readonly containers: readonly {
      readonly name: string;
      readonly image: string;
      readonly ports: readonly ContainerPort[];
    }[];
  };
}

/** A Deployment or a StatefulSet. */
export interface Workload extends KubeObject {
  readonly spec: {
    /** Left out: 1. */
    readonly replicas?: number;
    readonly selector: LabelSelector;
    readonly template: PodTemplate;
    /** Of Deployments, from here on. */
    readonly paused?: boolean;
    readonly progressDeadlineSeconds?: number;
    readonly strategy?: { readonly type: "RollingUpdate" | "Recreate" };
    /** Of StatefulSets, from here on. */
    readonly podManagementPolicy?: "OrderedReady" | "Parallel";
    readonly serviceName?: string;
    readonly updateStrategy?: {
      readonly type: "RollingUpdate" | "OnDelete";
      readonly rollingUpdate?: { readonly partition?: number };
    };
    readonly [field: string]: unknown;
  };
  /** Zeros are left out, as Go does. */
  readonly status: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly readyReplicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
    readonly unavailableReplicas?: number;
    readonly terminatingReplicas?: number;
    readonly currentReplicas?: number;
    readonly currentRevision?: string;
    readonly updateRevision?: string;
    readonly collisionCount?: number;
    readonly conditions?: readonly Condition[];
  };
}

/** What a container of a pod does. */
export type ContainerState =
  | { readonly waiting: { readonly reason: string; readonly message?: string } }
  | { readonly running: { readonly startedAt: string } }
  | {
      readonly terminated: {
        readonly exitCode: number;
        readonly reason: string;
        readonly startedAt: string;
        readonly finishedAt: string;
      };
    };

export interface Pod extends KubeObject {
  readonly spec: PodTemplate["spec"] & { readonly nodeName?: string };
  readonly status: {
    readonly phase: "Pending" | "Running" | "Succeeded" | "Failed";
    readonly podIP?: string;
    readonly conditions: readonly Condition[];
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly ready: boolean;
      readonly started: boolean;
      readonly restartCount: number;
      readonly image: string;
      readonly state: ContainerState;
      readonly lastState: ContainerState | Readonly<Record<string, never>>;
    }[];
  };
}

export interface ServicePort {
  readonly name?: string;
  readonly port: number;
  readonly targetPort: number | string;
  readonly protocol: "TCP" | "UDP";
  readonly appProtocol?: string;
}

export interface Service extends KubeObject {
  readonly spec: {
    readonly type: "ClusterIP" | "ExternalName" | "NodePort";
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly selector?: Texts;
    readonly ports?: readonly ServicePort[];
    readonly externalName?: string;
    readonly publishNotReadyAddresses?: boolean;
    readonly [field: string]: unknown;
  };
}

export interface Endpoint {
  readonly addresses: readonly string[];
  readonly conditions: {
    readonly ready?: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  };
  readonly nodeName?: string;
  readonly targetRef: {
    readonly kind: "Pod";
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
  };
}

export interface EndpointSlice extends KubeObject {
  readonly addressType: "IPv4" | "IPv6" | "FQDN";
  /** `null` when there are none: the API server keeps empty lists as no lists. */
  readonly endpoints: readonly Endpoint[] | null;
  readonly ports:
    | readonly { readonly name: string; readonly port: number; readonly protocol: string }[]
    | null;
}

export interface Autoscaler extends KubeObject {
  readonly spec: {
    readonly scaleTargetRef: {
      readonly apiVersion: string;
      readonly kind: string;
      readonly name: string;
    };
    /** Left out: 1. */
    readonly minReplicas?: number;
    readonly maxReplicas: number;
    readonly [field: string]: unknown;
  };
  readonly status: {
    readonly currentReplicas: number;
    readonly desiredReplicas: number;
    readonly conditions: readonly Condition[];
  };
}

interface Objects {
  readonly deployments: Workload;
  readonly statefulsets: Workload;
  readonly services: Service;
  readonly pods: Pod;
  readonly endpointslices: EndpointSlice;
  readonly horizontalpodautoscalers: Autoscaler;
}

/** What a list of this resource is made of. */
export type ObjectOf<R extends ResourceName> = Objects[R];

/** A point in time as the API writes it: whole seconds. */
export function timestampOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
