/** Who else decides how many replicas a workload has: autoscalers, KEDA, Knative. Pure. */

import { fieldsOf, listOf, numberOf, objectNameOf, textOf, textsOf } from "./kubernetes-json.ts";
import type { Workload } from "./kubernetes-workload.ts";

/** A HorizontalPodAutoscaler. */
export interface Autoscaler {
  readonly namespace: string;
  readonly name: string;
  /** What it scales: `Deployment` or `StatefulSet`, and its name. */
  readonly targetKind: string;
  readonly targetName: string;
  readonly minReplicas: number;
  /** Name of the KEDA ScaledObject that it belongs to; `null`: to none. */
  readonly scaledObject: string | null;
}

/** What somebody else's scaling means for a workload. */
export type Scaling =
  /** Nobody else scales it. */
  | { readonly kind: "none" }
  /** It rests at 0 replicas and goes on from `minReplicas` once there are some. */
  | { readonly kind: "autoscaled"; readonly minReplicas: number }
  /** Scaling it to 0, or from 0, would be undone. */
  | { readonly kind: "fights"; readonly why: string };

/** @returns `null` when it is no autoscaler with a name */
export function readAutoscaler(object: unknown): Autoscaler | null {
  const named = objectNameOf(object);
  if (named === null) return null;
  const { spec, metadata } = fieldsOf(object);
  const { scaleTargetRef, minReplicas } = fieldsOf(spec);
  const { kind, name } = fieldsOf(scaleTargetRef);
  return {
    namespace: named.namespace,
    name: named.name,
    targetKind: textOf(kind),
    targetName: textOf(name),
    // Left out means 1. Source: Kubernetes' OpenAPI schema, HorizontalPodAutoscalerSpec.
    minReplicas: numberOf(minReplicas, 1),
    scaledObject: scaledObjectOf(metadata),
  };
}

/** KEDA owns the autoscalers that it makes, and labels them. Source: KEDA, "Scaling Deployments". */
function scaledObjectOf(metadata: unknown): string | null {
  const { ownerReferences, labels, name } = fieldsOf(metadata);
  const owner = listOf(ownerReferences)
    .map(fieldsOf)
    .find(({ kind }) => kind === "ScaledObject");
  if (owner !== undefined) return textOf(owner.name);
  const texts = textsOf(labels);
  const isKeda = texts["app.kubernetes.io/managed-by"] === "keda-operator";
  return texts["scaledobject.keda.sh/name"] ?? (isKeda ? textOf(name) : null);
}

/** Knative's own; it makes a Deployment for each revision. Source: Knative, "Revisions". */
const KNATIVE_LABEL = "serving.knative.dev/revision";

/** Who else scales a workload, among the autoscalers of its namespace. */
export function scalingOf(workload: Workload, autoscalers: readonly Autoscaler[]): Scaling {
  if (KNATIVE_LABEL in workload.labels) {
    return { kind: "fights", why: "Knative puts it to sleep and wakes it by itself" };
  }
  const kind = workload.kind === "deployment" ? "Deployment" : "StatefulSet";
  const theirs = autoscalers.filter(
    ({ namespace, targetKind, targetName }) =>
      namespace === workload.namespace && targetKind === kind && targetName === workload.name,
  );
  const keda = theirs.find(({ scaledObject }) => scaledObject !== null);
  if (keda !== undefined) {
    const why = `KEDA's ScaledObject ${keda.scaledObject} decides how many replicas it has`;
    return { kind: "fights", why };
  }
  // At 0 replicas an autoscaler rests, unless it may go down to 0 itself. Source: Kubernetes, "Horizontal Pod
  // Autoscaling", implicit maintenance-mode deactivation.
  const active = theirs.find(({ minReplicas }) => minReplicas < 1);
  if (active !== undefined) {
    const why = `its autoscaler ${active.name} may scale it to 0 and up again by itself (minReplicas is 0)`;
    return { kind: "fights", why };
  }
  if (theirs.length === 0) return { kind: "none" };
  const minReplicas = Math.max(...theirs.map((one) => one.minReplicas));
  return { kind: "autoscaled", minReplicas };
}
