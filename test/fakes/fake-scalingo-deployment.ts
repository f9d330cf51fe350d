/** How apps on the fake Scalingo come to be: created, deployed, deployed again. */

import { replaceContainers, restingStatus, touch } from "./fake-scalingo-app.ts";
import type {
  Deployment,
  DeploymentStatus,
  Quantity,
  ScalingoApp,
  World,
} from "./fake-scalingo-model.ts";

const IN_PROGRESS: readonly DeploymentStatus[] = ["queued", "building", "pushing", "starting"];

/** Deployed, and at rest in what its formation says. */
export function createApp(
  world: World,
  options: {
    readonly name: string;
    readonly region: string;
    readonly formation: Readonly<Record<string, Quantity>>;
    readonly isDeployed: boolean;
  },
): ScalingoApp {
  const now = world.clock.now();
  const app: ScalingoApp = {
    id: world.nextId(),
    name: options.name,
    region: options.region,
    createdAtMs: now,
    updatedAtMs: now,
    formation: new Map(Object.entries(options.formation).map(([type, one]) => [type, { ...one }])),
    operations: new Map(),
    autoscalers: [],
    domains: [],
    deployments: [],
    containers: [],
    status: "new",
    shownStatus: null,
    lastDeploymentId: null,
    lastDeployedAtMs: null,
    nextBoots: [],
    endHang: null,
    isBlocked: false,
    isForbidden: false,
    trouble: null,
  };
  if (options.isDeployed) {
    endDeployment(world, app, beginDeployment(world, app), "success");
  }
  return app;
}

/** Whether a deployment is in progress, be it only queued. */
export function isDeploying(app: ScalingoApp): boolean {
  return app.deployments.some(({ status }) => IN_PROGRESS.includes(status));
}

/** A push: `queued`. The app goes on as it is. */
export function beginDeployment(world: World, app: ScalingoApp): Deployment {
  const deployment: Deployment = {
    id: world.nextId(),
    createdAtMs: world.clock.now(),
    status: "queued",
  };
  app.deployments.unshift(deployment);
  app.lastDeployedAtMs = deployment.createdAtMs;
  return deployment;
}

/** Further on, but not at its end; from `starting` on the app's status is `booting`. */
export function stepDeployment(
  world: World,
  app: ScalingoApp,
  { deployment, status }: { readonly deployment: Deployment; readonly status: DeploymentStatus },
): void {
  deployment.status = status;
  if (status === "starting") app.status = "booting";
  touch(world, app);
}

/** Success puts fresh containers in place, by the formation; anything else leaves what ran before. */
export function endDeployment(
  world: World,
  app: ScalingoApp,
  deployment: Deployment,
  status: DeploymentStatus,
): void {
  deployment.status = status;
  touch(world, app);
  if (status === "success") {
    if (app.formation.size === 0) app.formation.set("web", { amount: 1, size: "M" });
    app.lastDeploymentId = deployment.id;
    replaceContainers(world, app);
    app.status = restingStatus(app);
  } else if (app.status === "booting") {
    app.status = app.lastDeploymentId === null ? "crashed" : restingStatus(app);
  }
}
