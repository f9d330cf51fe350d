/** The controller of HorizontalPodAutoscalers: keeps sizes within their bounds, and lets what is at zero alone. */

import {
  type Autoscaler,
  type Condition,
  timestampOf,
  type WorkloadResource,
} from "./fake-kubernetes-objects.ts";
import type { World } from "./fake-kubernetes-world.ts";

/** One turn. @param recommended how many it would like; `null`: as many as there are */
export function reconcileAutoscaler(
  world: World,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  recommended: number | null,
): void {
  const { store } = world;
  const autoscaler = store.get("horizontalpodautoscalers", namespace, name);
  if (autoscaler === null) return;
  const { spec } = autoscaler;
  const resource = resourceOf(spec.scaleTargetRef.kind);
  const workload = store.get(resource, namespace, spec.scaleTargetRef.name);
  if (workload === null) {
    tell(world, autoscaler, { current: 0, desired: 0, why: "FailedGetScale" });
    return;
  }
  const current = workload.spec.replicas ?? 1;
  const min = spec.minReplicas ?? 1;
  // Source: Kubernetes, "Horizontal Pod Autoscaling", implicit maintenance-mode deactivation.
  if (current === 0 && min !== 0) {
    tell(world, autoscaler, { current: 0, desired: 0, why: "ScalingDisabled" });
    return;
  }
  const desired = Math.min(spec.maxReplicas, Math.max(min, recommended ?? current));
  tell(world, autoscaler, { current, desired, why: "ValidMetricFound" });
  if (desired === current) return;
  const generation = (workload.metadata.generation ?? 1) + 1;
  store.replace(resource, {
    ...workload,
    metadata: { ...workload.metadata, generation },
    spec: { ...workload.spec, replicas: desired },
  });
}

export function resourceOf(kind: string): WorkloadResource {
  return kind === "StatefulSet" ? "statefulsets" : "deployments";
}

const MESSAGES: Readonly<Record<string, string>> = {
  FailedGetScale: "the HPA controller was unable to get the target's current scale",
  ScalingDisabled: "scaling is disabled since the replica count of the target is zero",
  ValidMetricFound: "the HPA was able to successfully calculate a replica count",
};

function tell(
  { store, clock }: World,
  autoscaler: Autoscaler,
  told: { readonly current: number; readonly desired: number; readonly why: string },
): void {
  const { current, desired, why } = told;
  const isActive = why === "ValidMetricFound";
  const type = why === "FailedGetScale" ? "AbleToScale" : "ScalingActive";
  const before = autoscaler.status.conditions.find((condition) => condition.reason === why);
  const condition: Condition = {
    type,
    status: isActive ? "True" : "False",
    reason: why,
    message: MESSAGES[why] ?? "",
    lastTransitionTime: before?.lastTransitionTime ?? timestampOf(clock.now()),
  };
  store.replace("horizontalpodautoscalers", {
    ...autoscaler,
    status: { currentReplicas: current, desiredReplicas: desired, conditions: [condition] },
  });
}
