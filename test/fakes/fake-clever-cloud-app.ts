/** How an app on the fake Clever Cloud changes over time: start, deployment, stop, crash. */

import type {
  CleverApp,
  Deployment,
  DeploymentAction,
  DeploymentState,
  Instance,
  InstanceState,
  Start,
  World,
} from "./fake-clever-cloud-model.ts";

const IN_PROGRESS: readonly DeploymentState[] = ["QUEUED", "WIP", "TASK_RUNNING"];
const BEFORE_UP: readonly InstanceState[] = ["BOOTING", "STARTING", "DEPLOYING", "READY"];

/** The deployment that is not at its end, a stop included; `null`: none. */
export function deploymentInProgress(app: CleverApp): Deployment | null {
  return app.deployments.find(({ state }) => IN_PROGRESS.includes(state)) ?? null;
}

/** Instances that answer, or would if the router knew them. */
export function upInstances(app: CleverApp): Instance[] {
  return app.instances.filter(({ state }) => state === "UP");
}

/** How many instances the router has to send requests to. */
export function servingInstances(world: World, app: CleverApp): number {
  return upInstances(app).filter(({ servesFromMs }) => servesFromMs <= world.clock.now()).length;
}

/** The newest deployment but for stops; `null`: none. */
export function lastDeploy(app: CleverApp): Deployment | null {
  return app.deployments.find(({ action }) => action !== "UNDEPLOY") ?? null;
}

/**
 * Orders a deployment of what was deployed before. One that is in progress is cancelled.
 * @returns it; when it gets lost, one that is nowhere to be found
 */
export function orderStart(world: World, app: CleverApp, cause: string): Deployment {
  const start = app.nextStarts.shift() ?? {};
  cancelInProgress(world, app);
  const deployment = newDeployment(world, app, { action: "DEPLOY", cause, state: "QUEUED" });
  if (start.outcome === "lost") {
    app.lostStartAtMs = world.clock.now();
    return deployment;
  }
  app.lostStartAtMs = null;
  app.deployments.unshift(deployment);
  world.later(start.queueMs ?? world.queueMs, () => {
    if (deployment.state === "QUEUED") runStart(world, app, { deployment, start });
  });
  return deployment;
}

/** Somebody, or something, else deploys: it is `WIP` at once, and until `endDeployment`. */
export function beginDeployment(
  world: World,
  app: CleverApp,
  { action, instances }: { readonly action: DeploymentAction; readonly instances: number },
): Deployment {
  cancelInProgress(world, app);
  const deployment = newDeployment(world, app, { action, cause: "github", state: "QUEUED" });
  app.deployments.unshift(deployment);
  bringUp(world, app, { deployment, instances });
  return deployment;
}

/**
 * Success puts the new instances in place of the old ones; anything else leaves what ran before.
 */
export function endDeployment(
  world: World,
  app: CleverApp,
  { deployment, outcome }: { readonly deployment: Deployment; readonly outcome: DeploymentState },
): void {
  if (outcome === "OK") {
    serve(world, app, { deployment, routerLagMs: 0 });
    succeed(world, app, deployment);
  } else {
    giveUp(world, app, { deployment, outcome });
  }
}

/** Takes all instances away. The app keeps its size. Nothing happens while it stops already. */
export function orderStop(world: World, app: CleverApp, cause: string): void {
  if (app.isStopping) return;
  app.isStopping = true;
  if (app.state !== "SHOULD_BE_DOWN") app.state = world.stopsAs;
  const undeploy = newDeployment(world, app, { action: "UNDEPLOY", cause, state: "WIP" });
  if (world.showsUndeploy === "at-once") app.deployments.unshift(undeploy);
  remove(world, alive(app));
  world.later(world.stopMs, () => {
    if (!app.isStopping) return;
    app.isStopping = false;
    app.state = "SHOULD_BE_DOWN";
    setState(world, undeploy, "OK");
    if (world.showsUndeploy === "at-end") app.deployments.unshift(undeploy);
  });
}

/** All instances are gone at once; what the API says otherwise stays as it was. */
export function loseInstances(world: World, app: CleverApp): void {
  for (const instance of alive(app)) setDeleted(world, instance);
  world.changed();
}

/** The platform takes the app away from its owner: no instances, and this state. */
export function blockApp(
  world: World,
  app: CleverApp,
  state: "MODERATED" | "DEFAULT_OF_PAYMENT",
): void {
  cancelInProgress(world, app);
  app.isStopping = false;
  app.state = state;
  loseInstances(world, app);
}

/** A task runs: an instance that serves nobody. */
export function beginTask(world: World, app: CleverApp): Deployment {
  const task = newDeployment(world, app, {
    action: "DEPLOY",
    cause: "task",
    state: "TASK_RUNNING",
  });
  app.deployments.unshift(task);
  app.instances.push({ ...newInstance(world, task, 0), state: "TASK_IN_PROGRESS" });
  return task;
}

/** As if it had been so for long: a deployment that ended well, and its instances. */
export function putUp(world: World, app: CleverApp): void {
  const deployment = newDeployment(world, app, {
    action: "DEPLOY",
    cause: "git push",
    state: "WIP",
  });
  app.deployments.unshift(deployment);
  addInstances(world, app, { deployment, count: app.minInstances });
  endDeployment(world, app, { deployment, outcome: "OK" });
}

/** As if it had been so for long: deployed once, and stopped. */
export function putDown(world: World, app: CleverApp): void {
  putUp(world, app);
  app.instances = [];
  app.state = "SHOULD_BE_DOWN";
  if (world.showsUndeploy === "never") return;
  const undeploy = newDeployment(world, app, {
    action: "UNDEPLOY",
    cause: "Console",
    state: "WIP",
  });
  setState(world, undeploy, "OK");
  app.deployments.unshift(undeploy);
}

/** Whatever they were: from now on there are instances in these states. */
export function setInstances(world: World, app: CleverApp, states: readonly InstanceState[]): void {
  const [deployment = newDeployment(world, app, { action: "NONE", cause: "", state: "OK" })] =
    app.deployments;
  app.instances = states.map((state, index) => ({
    ...newInstance(world, deployment, index),
    state,
    servesFromMs: world.clock.now(),
  }));
  world.changed();
}

function runStart(
  world: World,
  app: CleverApp,
  { deployment, start }: { readonly deployment: Deployment; readonly start: Start },
): void {
  const ms = start.ms ?? app.startMs ?? world.startMs;
  const fresh = bringUp(world, app, { deployment, instances: app.minInstances });
  for (const [step, state] of BEFORE_UP.entries()) {
    world.later((ms * step) / BEFORE_UP.length, () => {
      if (deployment.state !== "WIP") return;
      for (const instance of fresh) instance.state = state;
    });
  }
  const end = (outcome: "ok" | "fail" | "cancelled") => {
    app.endHang = null;
    if (deployment.state !== "WIP") return;
    if (outcome === "ok") finish(world, app, { deployment, start });
    else giveUp(world, app, { deployment, outcome: outcome === "fail" ? "FAIL" : "CANCELLED" });
  };
  const { outcome = "ok" } = start;
  if (outcome === "hangs") app.endHang = end;
  else if (outcome !== "lost") world.later(ms, () => end(outcome));
}

/** The deployment begins: new instances; with `homogeneous` the old ones go first. */
function bringUp(
  world: World,
  app: CleverApp,
  { deployment, instances }: { readonly deployment: Deployment; readonly instances: number },
): Instance[] {
  setState(world, deployment, "WIP");
  if (app.state === "SHOULD_BE_DOWN" || app.state === "WANTS_TO_BE_UP") app.state = world.startsAs;
  if (app.homogeneous) remove(world, alive(app));
  return addInstances(world, app, { deployment, count: instances });
}

function finish(
  world: World,
  app: CleverApp,
  { deployment, start }: { readonly deployment: Deployment; readonly start: Start },
): void {
  const { routerLagMs = 0, instanceLagMs = 0, deploymentLagMs = 0, crashesAfterMs } = start;
  after(world, instanceLagMs, () => serve(world, app, { deployment, routerLagMs }));
  after(world, deploymentLagMs, () => {
    if (deployment.state === "WIP") succeed(world, app, deployment);
  });
  if (crashesAfterMs !== undefined) world.later(crashesAfterMs, () => loseInstances(world, app));
}

function after(world: World, delayMs: number, action: () => void): void {
  if (delayMs === 0) action();
  else world.later(delayMs, action);
}

function serve(
  world: World,
  app: CleverApp,
  { deployment, routerLagMs }: { readonly deployment: Deployment; readonly routerLagMs: number },
): void {
  const fresh = app.instances.filter(
    ({ deploymentId, state }) => deploymentId === deployment.uuid && BEFORE_UP.includes(state),
  );
  for (const instance of fresh) {
    instance.state = "UP";
    instance.servesFromMs = world.clock.now() + routerLagMs;
  }
  remove(
    world,
    alive(app).filter(({ deploymentId }) => deploymentId !== deployment.uuid),
  );
}

function succeed(world: World, app: CleverApp, deployment: Deployment): void {
  setState(world, deployment, "OK");
  app.isDeployed = true;
  app.state = "SHOULD_BE_UP";
}

function giveUp(
  world: World,
  app: CleverApp,
  { deployment, outcome }: { readonly deployment: Deployment; readonly outcome: DeploymentState },
): void {
  setState(world, deployment, outcome);
  for (const instance of alive(app)) {
    if (instance.deploymentId === deployment.uuid) setDeleted(world, instance);
  }
  const hasNothing = upInstances(app).length === 0 && !app.homogeneous;
  if (hasNothing || app.state === "WANTS_TO_BE_UP") app.state = world.failsAs;
  world.changed();
}

function cancelInProgress(world: World, app: CleverApp): void {
  const running = deploymentInProgress(app);
  if (running === null) return;
  setState(world, running, "CANCELLED");
  app.isStopping = false;
  for (const instance of app.instances) {
    if (instance.deploymentId === running.uuid) setDeleted(world, instance);
  }
}

function alive(app: CleverApp): Instance[] {
  return app.instances.filter(({ state }) => state !== "DELETED" && state !== "STOPPING");
}

/** `STOPPING`, and gone after the fake's `stopMs`. */
function remove(world: World, instances: readonly Instance[]): void {
  for (const instance of instances) instance.state = "STOPPING";
  world.later(world.stopMs, () => {
    for (const instance of instances) setDeleted(world, instance);
  });
  world.changed();
}

function setDeleted(world: World, instance: Instance): void {
  instance.state = "DELETED";
  instance.deletedAtMs ??= world.clock.now();
}

function setState(world: World, deployment: Deployment, state: DeploymentState): void {
  deployment.state = state;
  deployment.steps.push({ state, atMs: world.clock.now() });
}

function addInstances(
  world: World,
  app: CleverApp,
  { deployment, count }: { readonly deployment: Deployment; readonly count: number },
): Instance[] {
  const fresh = Array.from({ length: count }, (_, index) => newInstance(world, deployment, index));
  app.instances.push(...fresh);
  deployment.instances = count;
  return fresh;
}

function newInstance(world: World, { uuid }: Deployment, number: number): Instance {
  return {
    id: world.nextUuid(),
    deploymentId: uuid,
    number,
    createdAtMs: world.clock.now(),
    state: "BOOTING",
    deletedAtMs: null,
    servesFromMs: Number.POSITIVE_INFINITY,
  };
}

function newDeployment(
  world: World,
  app: CleverApp,
  what: Pick<Deployment, "action" | "cause" | "state">,
): Deployment {
  const nowMs = world.clock.now();
  return {
    ...what,
    number: app.deployments.length + 1,
    uuid: `deployment_${world.nextUuid()}`,
    createdAtMs: nowMs,
    knownFromMs: nowMs + world.idLagMs,
    steps: [{ state: what.state, atMs: nowMs }],
    instances: 0,
  };
}
