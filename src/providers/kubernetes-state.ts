/** What the state of a workload means for the app that it is. Pure. */

import type { Snapshot } from "../app.ts";
import type { Scaling } from "./kubernetes-autoscaler.ts";
import type { Route } from "./kubernetes-service.ts";
import type { Condition, Workload } from "./kubernetes-workload.ts";
import { safeText } from "./platform-quote.ts";
import type { Observation } from "./provider.ts";

/** What an observation is made of, besides the workload. */
export interface Surroundings {
  readonly route: Route;
  readonly scaling: Scaling;
}

/**
 * What the cluster says about an app. What is wanted goes before what there is: ready pods are still counted for a
 * moment after a workload was scaled to 0.
 */
export function observationOf(workload: Workload, { route, scaling }: Surroundings): Observation {
  const { replicas, isDeleting } = workload;
  if (route.kind === "unknown") return { phase: "unmanaged", target: null, reason: route.why };
  const { target } = route;
  if (scaling.kind === "fights") return { phase: "unmanaged", target, reason: scaling.why };
  if (workload.losesVolumes) return { phase: "unmanaged", target, reason: LOSES_VOLUMES };
  if (isDeleting) return { phase: "stopping", target, reason: "it is being deleted" };
  if (replicas === 0) {
    const { status } = workload;
    const isEnding = status.replicas > 0 || status.terminating > 0;
    return { phase: isEnding ? "stopping" : "asleep", target };
  }
  const seen = { ...wantedAs(workload), target };
  return workload.status.ready > 0 ? { ...seen, snapshot: snapshotOf(workload) } : seen;
}

const LOSES_VOLUMES =
  "its volumes would be deleted with its pods (persistentVolumeClaimRetentionPolicy.whenScaled is Delete): " +
  "set that to Retain, and it can sleep";

/** How many replicas it has, and how many are written on it: whoever changes that later means it. */
export function snapshotOf({ id, replicas, marks }: Workload): Snapshot {
  return { kind: "replicas", workloads: [{ id, replicas, written: marks.previousReplicas }] };
}

type Seen = Pick<Observation, "phase" | "reason">;

/** One that is to have replicas. */
function wantedAs(workload: Workload): Seen {
  const stuck = whyStuck(workload);
  if (workload.status.ready > 0) {
    // What runs still answers, and must not be stopped under a rollout that somebody wants to mend.
    const rollout = stuck ?? whyDeploying(workload);
    return rollout === null ? { phase: "awake" } : { phase: "deploying", reason: rollout };
  }
  if (stuck !== null) return { phase: "failed", reason: stuck };
  const hindrance = whyNoPods(workload);
  return { phase: "waking", reason: hindrance ?? "none of its pods is ready yet" };
}

/** Nothing that is said of an earlier generation counts. */
function isObserved({ status, generation }: Workload): boolean {
  return status.observedGeneration >= generation;
}

/**
 * A rollout that does not come forward; `null`: there is none. The word of an earlier one stays until the first pod of
 * the next has been counted. Source: Kubernetes, "Deployments", failed deployment; its controller resets the condition
 * as soon as a count goes up.
 */
function whyStuck(workload: Workload): string | null {
  if (!isObserved(workload) || workload.status.updated === 0) return null;
  const found = workload.status.conditions.find(
    ({ type, status, reason }) =>
      type === "Progressing" && status === "False" && reason === "ProgressDeadlineExceeded",
  );
  return found === undefined ? null : `its rollout does not come forward${saidBy(found)}`;
}

/** Why the cluster makes no pods, such as a quota; `null`: it does not say. */
function whyNoPods(workload: Workload): string | null {
  const found = workload.status.conditions.find(
    ({ type, status }) => type === "ReplicaFailure" && status === "True",
  );
  return found === undefined ? null : `its pods cannot be made${saidBy(found)}`;
}

function saidBy({ reason, message }: Condition): string {
  return ` (${safeText([reason, message].filter(Boolean).join(": "))})`;
}

/** Why it must not be touched now; `null`: all its pods are of the newest kind. */
function whyDeploying(workload: Workload): string | null {
  const { status, replicas, updatedWanted, isPaused } = workload;
  if (!isObserved(workload)) return "the cluster has not yet taken up its newest change";
  if (updatedWanted === null) return null;
  const hasOld = workload.kind === "deployment" && status.replicas > status.updated;
  if (status.updated >= updatedWanted && !hasOld) return null;
  const counts = `${status.updated} of ${Math.max(replicas, status.replicas)} pods are new`;
  return isPaused ? `its rollout is paused: ${counts}` : `it is being rolled out: ${counts}`;
}

/** Whether a wake has nothing left to do but to wait for an answer. Pure. */
export function isUp({ phase }: Observation, { status }: Workload): boolean {
  return phase === "awake" || (phase === "deploying" && status.ready > 0);
}

/**
 * How many replicas a wake gives: what was stored, else what is written on it, else what its owner wants, else 1. What
 * was written on it after the size was stored goes first: another Paastis has put it to sleep since, or somebody has
 * changed it by hand.
 */
export function replicasToWake(
  workload: Workload,
  { snapshot, scaling }: { readonly snapshot: Snapshot | null; readonly scaling: Scaling },
): number {
  // An autoscaler goes on from its least, whatever it had reached before.
  if (scaling.kind === "autoscaled") return Math.max(1, scaling.minReplicas);
  const { previousReplicas, replicas: wanted } = workload.marks;
  const workloads = snapshot?.kind === "replicas" ? snapshot.workloads : [];
  const { replicas: stored, written } = workloads.find(({ id }) => id === workload.id) ?? {};
  const isNewer = written !== undefined && written !== previousReplicas;
  const known = isNewer ? [previousReplicas, stored] : [stored, previousReplicas];
  return [...known, wanted].find((count) => (count ?? 0) > 0) ?? 1;
}
