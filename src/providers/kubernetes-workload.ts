/** A Deployment or StatefulSet, as far as it matters here, taken from the cluster's JSON. Pure. */

import { type Marks, readMarks } from "./kubernetes-annotations.ts";
import {
  type Fields,
  fieldsOf,
  listOf,
  numberOf,
  type ObjectName,
  objectNameOf,
  textOf,
  textsOf,
} from "./kubernetes-json.ts";
import { ProviderError } from "./provider.ts";

export type WorkloadKind = "deployment" | "statefulset";

/** Where a workload is. */
export interface WorkloadPlace {
  readonly namespace: string;
  readonly kind: WorkloadKind;
  readonly name: string;
}

/** A workload that Paastis is told something about. */
export interface Workload extends WorkloadPlace, ObjectName {
  /** Our id of it. */
  readonly id: string;
  /** Counts changes of what is wanted, and nothing else; never goes back while the `uid` is the same. */
  readonly generation: number;
  readonly marks: Marks;
  readonly labels: Readonly<Record<string, string>>;
  /** How many replicas are wanted. */
  readonly replicas: number;
  /** It is being deleted. */
  readonly isDeleting: boolean;
  readonly isPaused: boolean;
  /** Its volumes are deleted with the pods that it is scaled down by. */
  readonly losesVolumes: boolean;
  /** How many of its replicas a rollout brings up to date: fewer with a partition, `null` when nobody does that. */
  readonly updatedWanted: number | null;
  /** Finds its pods: a label selector as it stands in a URL, not yet encoded; empty: it has none. */
  readonly podSelector: string;
  readonly podLabels: Readonly<Record<string, string>>;
  /** Ports of its containers that have a name. */
  readonly podPorts: ReadonlyMap<string, number>;
  readonly status: WorkloadStatus;
}

/** What the cluster says about a workload; it may speak of an earlier generation. */
export interface WorkloadStatus {
  readonly observedGeneration: number;
  /** Pods that there are, but for those that are ending. */
  readonly replicas: number;
  readonly ready: number;
  readonly updated: number;
  /** Pods that are ending, where the cluster counts them. */
  readonly terminating: number;
  readonly conditions: readonly Condition[];
}

/** Something that the cluster says about a workload. */
export interface Condition {
  readonly type: string;
  /** `True`, `False` or `Unknown`. */
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** Our id of a workload. */
export function idOf({ namespace, kind, name }: WorkloadPlace): string {
  return `${namespace}/${kind}/${name}`;
}

/** @throws ProviderError `not-found` when it is no id of ours */
export function placeOf(id: string): WorkloadPlace {
  const [, namespace, kind, name] = /^([^/]+)\/(deployment|statefulset)\/([^/]+)$/.exec(id) ?? [];
  if (namespace !== undefined && name !== undefined) {
    return { namespace, kind: kind === "deployment" ? "deployment" : "statefulset", name };
  }
  throw new ProviderError("not-found", `there is no workload ${id} in the cluster`);
}

/** @returns `null` when it is no object with a name */
export function readWorkload(kind: WorkloadKind, object: unknown): Workload | null {
  const named = objectNameOf(object);
  if (named === null) return null;
  const { metadata, spec: specField, status } = fieldsOf(object);
  const { labels, annotations, generation, deletionTimestamp } = fieldsOf(metadata);
  const spec = fieldsOf(specField);
  const template = fieldsOf(spec.template);
  // Left out means 1. Source: Kubernetes' OpenAPI schema, DeploymentSpec and StatefulSetSpec.
  const replicas = numberOf(spec.replicas, 1);
  return {
    ...named,
    kind,
    id: idOf({ ...named, kind }),
    generation: numberOf(generation),
    marks: readMarks(textsOf(labels), textsOf(annotations)),
    labels: textsOf(labels),
    replicas,
    isDeleting: textOf(deletionTimestamp) !== "",
    isPaused: spec.paused === true,
    losesVolumes: losesVolumes(spec),
    updatedWanted: updatedWantedOf(spec.updateStrategy, replicas),
    podSelector: selectorText(spec.selector),
    podLabels: textsOf(fieldsOf(template.metadata).labels),
    podPorts: podPortsOf(fieldsOf(template.spec)),
    status: readWorkloadStatus(status),
  };
}

function readWorkloadStatus(value: unknown): WorkloadStatus {
  const status = fieldsOf(value);
  return {
    observedGeneration: numberOf(status.observedGeneration),
    replicas: numberOf(status.replicas),
    ready: numberOf(status.readyReplicas),
    updated: numberOf(status.updatedReplicas),
    terminating: numberOf(status.terminatingReplicas),
    conditions: listOf(status.conditions).map((entry) => {
      const { type, status: word, reason, message } = fieldsOf(entry);
      const [said, why] = [textOf(reason), textOf(message)];
      return { type: textOf(type), status: textOf(word), reason: said, message: why };
    }),
  };
}

/**
 * Only StatefulSets have an `updateStrategy`. With `OnDelete` somebody deletes pods by hand; with a partition only
 * those above it are brought up to date. Source: Kubernetes, "StatefulSets", update strategies.
 */
function updatedWantedOf(updateStrategy: unknown, replicas: number): number | null {
  const { type, rollingUpdate } = fieldsOf(updateStrategy);
  if (type === "OnDelete") return null;
  return Math.max(0, replicas - numberOf(fieldsOf(rollingUpdate).partition));
}

/** Source: Kubernetes, "StatefulSets", PersistentVolumeClaim retention; left out, volumes are kept. */
function losesVolumes(spec: Fields): boolean {
  const { whenScaled } = fieldsOf(spec.persistentVolumeClaimRetentionPolicy);
  return whenScaled === "Delete" && listOf(spec.volumeClaimTemplates).length > 0;
}

function podPortsOf(podSpec: Fields): ReadonlyMap<string, number> {
  const ports = listOf(podSpec.containers).flatMap((one) => listOf(fieldsOf(one).ports));
  return new Map(
    ports.flatMap((port) => {
      const { name, containerPort } = fieldsOf(port);
      const number = numberOf(containerPort);
      return textOf(name) === "" || number === 0 ? [] : [[textOf(name), number] as const];
    }),
  );
}

/** A `LabelSelector` in the form that list calls take. Source: Kubernetes, "Labels and Selectors". */
function selectorText(value: unknown): string {
  const { matchLabels, matchExpressions } = fieldsOf(value);
  const equal = Object.entries(textsOf(matchLabels)).map(([name, text]) => `${name}=${text}`);
  const others = listOf(matchExpressions).flatMap((entry) => {
    const { key, operator, values } = fieldsOf(entry);
    const list = listOf(values).map(textOf).join(",");
    switch (operator) {
      case "In":
        return `${textOf(key)} in (${list})`;
      case "NotIn":
        return `${textOf(key)} notin (${list})`;
      case "Exists":
        return textOf(key);
      case "DoesNotExist":
        return `!${textOf(key)}`;
      default:
        return [];
    }
  });
  return [...equal, ...others].join(",");
}
