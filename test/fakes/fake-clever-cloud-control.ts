/**
 * What a test does to an app on the fake Clever Cloud, as its owner, as the console, or as fate.
 */

import {
  beginDeployment,
  beginTask,
  blockApp,
  deploymentInProgress,
  endDeployment,
  loseInstances,
  orderStart,
  orderStop,
  servingInstances,
  setInstances,
} from "./fake-clever-cloud-app.ts";
import type {
  AppState,
  CleverApp,
  Deployment,
  DeploymentAction,
  Instance,
  InstanceState,
  Start,
  World,
} from "./fake-clever-cloud-model.ts";

/** A handle on one app. */
export interface CleverControl {
  readonly id: string;
  /** As it is called now. */
  readonly name: string;
  readonly ownerId: string;
  /** What the API would say, but for `showState`. */
  readonly state: AppState;
  /** Newest first; those that v2 does not list yet included. */
  readonly deployments: readonly Deployment[];
  /** Those that are gone included. */
  readonly instances: readonly Instance[];
  /** How many the router sends requests to. */
  readonly serving: number;
  /** Without a port: `app-….cleverapps.localhost/`. */
  readonly vhosts: readonly string[];
  /** How the starts to come go, one after the other; then they are normal again. */
  nextStarts(...starts: readonly Start[]): void;
  /** `nextStarts` with one that fails at its end. */
  failNextStart(): void;
  /** All starts of this app take so long; `null`: as long as everybody's. */
  setSlowStart(ms: number | null): void;
  /** Ends a start that hangs. @throws when none does */
  endHang(outcome: "ok" | "fail" | "cancelled"): void;
  /** Somebody starts or redeploys it in the console. */
  startByHand(): void;
  /** Somebody stops it in the console. */
  stopByHand(): void;
  /**
   * A push, or the platform's scaler: `WIP` at once and until told.
   * @param action default `DEPLOY`
   * @param instances how many there will be; default the app's `minInstances`
   */
  beginDeploy(action?: DeploymentAction, instances?: number): void;
  /** @throws when none is in progress, like the next two */
  finishDeploy(): void;
  failDeploy(): void;
  cancelDeploy(): void;
  /** `TASK_RUNNING`, until `finishDeploy` or `failDeploy`. */
  beginTask(): void;
  /** All instances are gone; the API says `SHOULD_BE_UP` all the same. */
  crash(): void;
  /** There are instances in these states, and no others. */
  setInstances(states: readonly InstanceState[]): void;
  /** The platform blocks it; `null`: it may be started again. */
  moderate(state?: "MODERATED" | "DEFAULT_OF_PAYMENT" | null): void;
  archive(isArchived?: boolean): void;
  /** Id and addresses stay. */
  rename(name: string): void;
  /** The list and the app say this word instead of the state; `null`: the true one again. */
  showState(word: string | null): void;
  /**
   * Calls for this app answer 403, or those that change something; the summary has it all the same.
   */
  forbid(which: CleverApp["forbidden"]): void;
  /**
   * `host/path`, without a port: `www.example.localhost/`, `www.example.localhost/api`,
   * `*.example.localhost/`.
   */
  addVhost(vhost: string): void;
  removeVhost(vhost: string): void;
  /** One of its vhosts, or `null`. */
  setFavourite(vhost: string | null): void;
}

type Reading = Pick<
  CleverControl,
  "id" | "name" | "ownerId" | "state" | "deployments" | "instances" | "serving" | "vhosts"
>;
type Starting = Pick<
  CleverControl,
  "nextStarts" | "failNextStart" | "setSlowStart" | "endHang" | "startByHand" | "stopByHand"
>;
type Deploying = Pick<
  CleverControl,
  "beginDeploy" | "finishDeploy" | "failDeploy" | "cancelDeploy" | "beginTask"
>;
type Meddling = Omit<CleverControl, keyof Reading | keyof Starting | keyof Deploying>;

export function controlOf(world: World, app: CleverApp): CleverControl {
  const orders = { ...starting(world, app), ...deploying(world, app), ...meddling(world, app) };
  // Assigned to and not spread, which would read the getters once and for all.
  return Object.assign(reading(world, app), orders);
}

function reading(world: World, app: CleverApp): Reading {
  return {
    id: app.id,
    get name() {
      return app.name;
    },
    ownerId: app.ownerId,
    get state() {
      return app.state;
    },
    deployments: app.deployments,
    get instances() {
      return app.instances;
    },
    get serving() {
      return servingInstances(world, app);
    },
    get vhosts() {
      return app.vhosts;
    },
  };
}

function starting(world: World, app: CleverApp): Starting {
  return {
    nextStarts: (...starts) => void app.nextStarts.push(...starts),
    failNextStart: () => void app.nextStarts.push({ outcome: "fail" }),
    setSlowStart(ms) {
      app.startMs = ms;
    },
    endHang(outcome) {
      if (app.endHang === null) throw new Error(`no start of ${app.name} hangs`);
      app.endHang(outcome);
    },
    startByHand: () => void orderStart(world, app, "Console"),
    stopByHand: () => orderStop(world, app, "Console"),
  };
}

function deploying(world: World, app: CleverApp): Deploying {
  const end = (outcome: "OK" | "FAIL" | "CANCELLED") => {
    const deployment = deploymentInProgress(app);
    if (deployment === null) throw new Error(`${app.name} is not being deployed`);
    endDeployment(world, app, { deployment, outcome });
  };
  return {
    beginDeploy: (action = "DEPLOY", instances = app.minInstances) =>
      void beginDeployment(world, app, { action, instances }),
    finishDeploy: () => end("OK"),
    failDeploy: () => end("FAIL"),
    cancelDeploy: () => end("CANCELLED"),
    beginTask: () => void beginTask(world, app),
  };
}

function meddling(world: World, app: CleverApp): Meddling {
  return {
    crash: () => loseInstances(world, app),
    setInstances: (states) => setInstances(world, app, states),
    moderate(state = "MODERATED") {
      if (state === null) app.state = "SHOULD_BE_DOWN";
      else blockApp(world, app, state);
    },
    archive(isArchived = true) {
      app.isArchived = isArchived;
    },
    rename(name) {
      app.name = name;
    },
    showState(word) {
      app.shownState = word;
    },
    forbid(which) {
      app.forbidden = which;
    },
    addVhost: (vhost) => void app.vhosts.push(vhost),
    removeVhost(vhost) {
      app.vhosts = app.vhosts.filter((one) => one !== vhost);
      if (app.favourite === vhost) app.favourite = null;
    },
    setFavourite(vhost) {
      if (vhost !== null && !app.vhosts.includes(vhost)) throw new Error(`${vhost} is no vhost`);
      app.favourite = vhost;
    },
  };
}
