/** The nouns of the fake Scalingo: an app and all that belongs to it. */

import type { Clock } from "../../src/clock.ts";

/** `app.status`, as documented. */
export type AppStatus =
  | "new"
  | "running"
  | "stopped"
  | "crashed"
  | "restarting"
  | "scaling"
  | "booting";

/** `deployment.status`; the first four are in progress. */
export type DeploymentStatus =
  | "queued"
  | "building"
  | "pushing"
  | "starting"
  | "success"
  | "crashed-error"
  | "timeout-error"
  | "build-error"
  | "hook-error"
  | "aborted";

export interface Quantity {
  amount: number;
  size: string;
}

export interface Container {
  readonly id: string;
  readonly type: string;
  readonly index: number;
  readonly createdAtMs: number;
  readonly command: string;
  size: string;
  state: "booting" | "running" | "stopping" | "stopped";
  /** From when on the router sends it requests; `Infinity` while it boots. */
  servesFromMs: number;
}

export interface Operation {
  readonly id: string;
  readonly type: "scale" | "restart";
  readonly createdAtMs: number;
  /** The API was asked for it, rather than somebody on the dashboard. */
  readonly isOurs: boolean;
  status: "pending" | "running" | "done" | "error";
  finishedAtMs: number | null;
  error: string;
}

export interface Deployment {
  readonly id: string;
  readonly createdAtMs: number;
  status: DeploymentStatus;
}

export interface Autoscaler {
  readonly id: string;
  readonly type: string;
  disabled: boolean;
}

/** How the next boot goes. */
export interface Boot {
  /** From the order to containers that accept; default the fake's `bootMs`. */
  readonly ms?: number;
  /**
   * - `ok` (default)
   * - `error`: at its end the operation is `error` and the new containers are gone
   * - `hangs`: the platform goes on trying: `scaling` until `endHang` of the control
   */
  readonly outcome?: "ok" | "error" | "hangs";
  /** The router still says 503 for so long after the API says `done`; default 0. */
  readonly routerLagMs?: number;
  /** The API says `done` only so long after the router serves the app; default 0. */
  readonly apiLagMs?: number;
  /** So long after it was up, it crashes for good; left out: never. */
  readonly crashesAfterMs?: number;
}

export interface ScalingoApp {
  readonly id: string;
  readonly region: string;
  readonly createdAtMs: number;
  readonly formation: Map<string, Quantity>;
  readonly operations: Map<string, Operation>;
  readonly autoscalers: Autoscaler[];
  readonly domains: { readonly id: string; readonly name: string; readonly canonical: boolean }[];
  /** Newest first. */
  readonly deployments: Deployment[];
  name: string;
  containers: Container[];
  status: AppStatus;
  /** Shown instead of `status`: a word of tomorrow. */
  shownStatus: string | null;
  updatedAtMs: number;
  lastDeploymentId: string | null;
  lastDeployedAtMs: number | null;
  nextBoots: Boot[];
  /** Ends the boot that hangs. */
  endHang: ((outcome: "ok" | "error") => void) | null;
  isBlocked: boolean;
  isForbidden: boolean;
  trouble: "quarantined" | "queue-full" | "timeout" | null;
}

/** What apps need of the platform around them. */
export interface World {
  readonly clock: Clock;
  readonly bootMs: number;
  readonly stopMs: number;
  readonly pendingMs: number;
  readonly keepsStoppedContainers: boolean;
  /** More unfinished scales than this at once make the operation fail. */
  readonly scalesInFlightMax: number;
  /** 24 hexadecimal digits. */
  nextId(): string;
  later(delayMs: number, action: () => void): void;
  /** Scales that the API was asked for and that are not finished. */
  scalesInFlight(): number;
}

/** A change of one process type, as it was asked for. */
export interface Change {
  readonly name: string;
  readonly amount: number;
  /** Empty: as it is. */
  readonly size: string;
}
