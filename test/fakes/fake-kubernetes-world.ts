/** What the parts of the fake cluster that do something by themselves share. */

import type { Clock } from "../../src/clock.ts";
import type { Workload, WorkloadResource } from "./fake-kubernetes-objects.ts";
import type { Store } from "./fake-kubernetes-store.ts";

/** All in ms of the clock. */
export interface Durations {
  /** From a change to the controller that acts on it; so long `observedGeneration` lags. */
  readonly controllerMs: number;
  /** From the creation of a pod to the moment when it is ready. */
  readonly bootMs: number;
  /** From SIGTERM to the end of a pod. */
  readonly stopMs: number;
  /** From a pod's readiness to its EndpointSlice. */
  readonly endpointMs: number;
  /** From an EndpointSlice to connections that are accepted, or refused. */
  readonly dataPlaneMs: number;
  /** From a size outside of an autoscaler's bounds to its correction. */
  readonly autoscalerMs: number;
}

/** How pods of a workload fare that are created from now on. */
export interface PodPlan {
  /**
   * - `ok` (default)
   * - `crash-loop`: starts and ends with status 1, again and again
   * - `image-pull`: its image cannot be had
   * - `config-error`: a Secret that it needs is not there
   * - `unschedulable`: no node has room for it
   * - `never-ready`: runs, and its readiness probe fails
   */
  readonly outcome?:
    | "ok"
    | "crash-loop"
    | "image-pull"
    | "config-error"
    | "unschedulable"
    | "never-ready";
  /** Default the cluster's. */
  readonly bootMs?: number;
  /** Default the cluster's. */
  readonly stopMs?: number;
}

export interface World {
  readonly clock: Clock;
  readonly store: Store;
  readonly durations: Durations;
  /** By `uid` of the workload. */
  readonly plans: Map<string, PodPlan>;
  /** By `uid` of the pod: the `uid` of its workload. */
  readonly owners: Map<string, string>;
  /** By `uid` of a Deployment: the template that has been rolled out completely. */
  readonly rolledOut: Map<string, string>;
  /** By `uid` of a Deployment: since when nothing has got better. */
  readonly stuckSince: Map<string, number>;
  readonly reportsTerminating: boolean;
  /** Five letters and digits, never the same. */
  nextSuffix(): string;
  nextUid(): string;
  nextAddress(): string;
  later(delayMs: number, action: () => void): void;
}

/** Which workload a pod belongs to. */
export interface Owned {
  readonly resource: WorkloadResource;
  readonly workload: Workload;
}

/** What a template is called in the names of its pods. */
export function revisionOf(workload: Workload): string {
  return Bun.hash(JSON.stringify(workload.spec.template)).toString(36).slice(0, 10);
}
