/** The nouns of the fake Clever Cloud: owners, apps, and what belongs to an app. */

import type { Clock } from "../../src/clock.ts";

/** `app.state`, as documented. */
export type AppState =
  | "SHOULD_BE_UP"
  | "SHOULD_BE_DOWN"
  | "WANTS_TO_BE_UP"
  | "MODERATED"
  | "DEFAULT_OF_PAYMENT";

/** The words of API v2; `QUEUED` is one of v4 alone, and v2 does not list such a deployment yet. */
export type DeploymentState = "QUEUED" | "WIP" | "OK" | "FAIL" | "CANCELLED" | "TASK_RUNNING";

export type DeploymentAction =
  | "DEPLOY"
  | "UNDEPLOY"
  | "UPSCALE"
  | "DOWNSCALE"
  | "REPLACE"
  | "CANCEL"
  | "NONE";

export type InstanceState =
  | "BOOTING"
  | "STARTING"
  | "DEPLOYING"
  | "BUILDING"
  | "READY"
  | "UP"
  | "MIGRATION_IN_PROGRESS"
  | "TASK_IN_PROGRESS"
  | "GHOST"
  | "STOPPING"
  | "DELETED";

export interface Deployment {
  /** Counted per app; `id` in v2. */
  readonly number: number;
  /** `deployment_<uuid>`; `id` in v4. */
  readonly uuid: string;
  readonly createdAtMs: number;
  readonly action: DeploymentAction;
  readonly cause: string;
  /** From when on v4 knows it by its id. */
  readonly knownFromMs: number;
  readonly steps: { readonly state: DeploymentState; readonly atMs: number }[];
  state: DeploymentState;
  instances: number;
}

export interface Instance {
  readonly id: string;
  readonly deploymentId: string;
  readonly number: number;
  readonly createdAtMs: number;
  state: InstanceState;
  deletedAtMs: number | null;
  /** From when on the router sends it requests, provided that it is `UP`. */
  servesFromMs: number;
}

/** How a start to come goes. Durations are in ms. */
export interface Start {
  /**
   * From the beginning of the deployment to its end; default the app's, then the fake's `startMs`.
   */
  readonly ms?: number;
  /**
   * From the order to the beginning of the deployment: until then nothing is to be seen. Default
   * the fake's `queueMs`.
   */
  readonly queueMs?: number;
  /**
   * - `ok` (default)
   * - `fail`, `cancelled`: at its end the deployment is so, and the new instances are gone
   * - `hangs`: goes on until `endHang` of the control
   * - `lost`: the order is accepted, and no deployment ever appears
   */
  readonly outcome?: "ok" | "fail" | "cancelled" | "hangs" | "lost";
  /**
   * The router still says that the app is down for so long after its instances are `UP`; default 0.
   */
  readonly routerLagMs?: number;
  /** The instances are `UP` only so long after the deployment is `OK`; default 0. */
  readonly instanceLagMs?: number;
  /**
   * The deployment is `OK`, and the app `SHOULD_BE_UP`, only so long after the instances are `UP`;
   * default 0.
   */
  readonly deploymentLagMs?: number;
  /** So long after its end all instances are gone, and nothing says why; left out: never. */
  readonly crashesAfterMs?: number;
}

export interface CleverApp {
  readonly id: string;
  readonly ownerId: string;
  readonly createdAtMs: number;
  readonly homogeneous: boolean;
  readonly lifetime: "REGULAR" | "TASK";
  readonly minInstances: number;
  readonly maxInstances: number;
  /** Newest first. */
  readonly deployments: Deployment[];
  name: string;
  /** Hosts with a path, without a port: `app-….cleverapps.localhost/`. */
  vhosts: string[];
  /** One of `vhosts`. */
  favourite: string | null;
  /** Those that are gone included. */
  instances: Instance[];
  state: AppState;
  /** Shown instead of `state`: a word of tomorrow. */
  shownState: string | null;
  isArchived: boolean;
  /** Was deployed at least once. */
  isDeployed: boolean;
  isStopping: boolean;
  /**
   * When a start was ordered whose deployment never appeared; `null`: none, or a later start was
   * not lost.
   */
  lostStartAtMs: number | null;
  nextStarts: Start[];
  /** Default of the app's starts; `null`: the fake's. */
  startMs: number | null;
  /** Ends the start that hangs. */
  endHang: ((outcome: "ok" | "fail" | "cancelled") => void) | null;
  /** Calls that answer 403. */
  forbidden: "all" | "writes" | null;
}

export interface Organisation {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  /** The token may not see it: not in the summary, and 403. */
  isHidden: boolean;
}

/** What apps need of the platform around them. */
export interface World {
  readonly clock: Clock;
  readonly queueMs: number;
  readonly startMs: number;
  readonly stopMs: number;
  readonly idLagMs: number;
  /** `state` while the first deployment of a sleeping app runs. */
  readonly startsAs: "WANTS_TO_BE_UP" | "SHOULD_BE_UP";
  /** `state` while instances stop. */
  readonly stopsAs: "SHOULD_BE_UP" | "SHOULD_BE_DOWN";
  /** `state` after a start from nothing failed. */
  readonly failsAs: "WANTS_TO_BE_UP" | "SHOULD_BE_DOWN";
  /** When a stop is listed as a deployment: from its beginning, from its end, or never. */
  readonly showsUndeploy: "at-once" | "at-end" | "never";
  nextUuid(): string;
  later(delayMs: number, action: () => void): void;
  /** Tells the router to look again. */
  changed(): void;
}
