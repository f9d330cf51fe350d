/** The nouns of the fake Render: a service and its deploys, and what happens to them over time. */

import type { Clock } from "../../src/clock.ts";

/** `service.suspenders[]`, as in the types of the API. */
export type Suspender =
  | "user"
  | "admin"
  | "billing"
  | "parent_service"
  | "stuck_crashlooping"
  | "hipaa_enablement"
  | "unknown";

/** `deploy.status`, as in the types of the API. */
export type DeployStatus =
  | "created"
  | "queued"
  | "build_in_progress"
  | "pre_deploy_in_progress"
  | "update_in_progress"
  | "live"
  | "deactivated"
  | "build_failed"
  | "update_failed"
  | "pre_deploy_failed"
  | "canceled";

/** What began a deploy. */
export type Trigger = "api" | "new_commit" | "manual" | "service_resumed";

export interface Deploy {
  readonly id: string;
  readonly trigger: Trigger;
  readonly createdAtMs: number;
  status: DeployStatus;
  updatedAtMs: number;
}

/** How a deploy ends. `hangs`: it never does. */
export type Outcome = "live" | "build_failed" | "update_failed" | "hangs";

/** A name of the service's own. */
export interface CustomDomain {
  readonly id: string;
  /** With the port, as addresses of fakes have one. */
  readonly name: string;
  readonly redirectForName: string;
  readonly verificationStatus: "verified" | "unverified";
}

export interface Service {
  readonly id: string;
  /** First label of its address. */
  readonly slug: string;
  readonly ownerId: string;
  readonly type: string;
  readonly createdAtMs: number;
  readonly parent: Service | null;
  /** Newest first. */
  readonly deploys: Deploy[];
  readonly suspenders: Set<Suspender>;
  readonly domains: CustomDomain[];
  /** How its deploys to come end; then they go live. */
  readonly outcomes: Outcome[];
  name: string;
  plan: string;
  numInstances: number;
  hasRenderSubdomain: boolean;
  /** A page of its owner's stands in its place. */
  isMaintained: boolean;
  /** When it was suspended last. */
  suspendedAtMs: number;
  updatedAtMs: number;
  /** The `suspended` that the API shows: may lag behind what was accepted. */
  isShownSuspended: boolean;
  /** Instances that answer requests: the version of the newest deploy that went live, unless it was taken down. */
  isServing: boolean;
  /** Until then the router shows what it showed before, by the fake's clock. */
  routerLagsUntilMs: number;
  /** A free one spins down by itself, and up again for a request. */
  spin: "up" | "down" | "rising";
}

/** What services need of the platform around them. */
export interface World {
  readonly clock: Clock;
  readonly deployMs: number;
  readonly suspendMs: number;
  readonly resumeShowsMs: number;
  readonly deployShowsMs: number;
  readonly routerLagMs: number;
  readonly spinUpMs: number;
  readonly makesDeployOnResume: boolean;
  nextId(kind: string): string;
  later(delayMs: number, action: () => void): void;
  /** What requests lead to may have changed. */
  changed(): void;
}

/** Whether a deploy goes on. */
export function isUnderWay({ status }: Deploy): boolean {
  return ["created", "queued", "build_in_progress", "update_in_progress"].includes(status);
}

/** The stages of a deploy before its end. */
const STAGES: readonly DeployStatus[] = ["created", "build_in_progress", "update_in_progress"];

/** Begins a deploy, which goes through its stages by itself. */
export function beginDeploy(world: World, service: Service, trigger: Trigger): Deploy {
  const nowMs = world.clock.now();
  for (const deploy of service.deploys.filter(isUnderWay)) setStatus(world, deploy, "canceled");
  const deploy: Deploy = {
    id: world.nextId("dep"),
    trigger,
    createdAtMs: nowMs,
    status: "created",
    updatedAtMs: nowMs,
  };
  const outcome = service.outcomes.shift() ?? "live";
  service.deploys.unshift(deploy);
  for (const [index, stage] of STAGES.entries()) {
    const atMs = (world.deployMs * index) / STAGES.length;
    if (index > 0) world.later(atMs, () => isUnderWay(deploy) && setStatus(world, deploy, stage));
  }
  if (outcome !== "hangs")
    world.later(world.deployMs, () => endDeploy(world, service, { deploy, outcome }));
  return deploy;
}

/** Ends a deploy now, unless it has ended. */
export function endDeploy(
  world: World,
  service: Service,
  { deploy, outcome }: { readonly deploy: Deploy; readonly outcome: Exclude<Outcome, "hangs"> },
): void {
  if (!isUnderWay(deploy)) return;
  setStatus(world, deploy, outcome);
  if (outcome === "live") {
    for (const other of service.deploys) {
      if (other !== deploy && other.status === "live") setStatus(world, other, "deactivated");
    }
    service.isServing = true;
    if (deploy.trigger === "service_resumed") {
      service.routerLagsUntilMs = world.clock.now() + world.routerLagMs;
      world.later(world.routerLagMs, world.changed);
    }
  }
  world.changed();
}

function setStatus(world: World, deploy: Deploy, status: DeployStatus): void {
  deploy.status = status;
  deploy.updatedAtMs = world.clock.now();
}

/** Takes a service down, and says so a while later. A deploy that goes on is canceled. */
export function suspend(world: World, service: Service, by: Suspender): void {
  service.suspenders.add(by);
  service.suspendedAtMs = world.clock.now();
  for (const deploy of service.deploys.filter(isUnderWay)) setStatus(world, deploy, "canceled");
  soon(world, world.suspendMs, () => {
    if (service.suspenders.size > 0) show(world, service, { isSuspended: true, isServing: false });
  });
}

/** Brings a service back; with a deploy, where the platform makes one. */
export function resume(world: World, service: Service): void {
  service.suspenders.delete("user");
  const ifStill = (action: () => void) => () => {
    if (service.suspenders.size === 0) action();
  };
  soon(
    world,
    world.resumeShowsMs,
    ifStill(() => show(world, service, { isSuspended: false, isServing: service.isServing })),
  );
  if (world.makesDeployOnResume) {
    const begin = () => void beginDeploy(world, service, "service_resumed");
    soon(world, world.deployShowsMs, ifStill(begin));
    return;
  }
  const isServing = true;
  world.later(
    world.deployMs,
    ifStill(() => show(world, service, { isSuspended: false, isServing })),
  );
}

function soon(world: World, delayMs: number, action: () => void): void {
  if (delayMs === 0) action();
  else world.later(delayMs, action);
}

function show(
  world: World,
  service: Service,
  { isSuspended, isServing }: { readonly isSuspended: boolean; readonly isServing: boolean },
): void {
  service.isShownSuspended = isSuspended;
  service.isServing = isServing;
  service.updatedAtMs = world.clock.now();
  world.changed();
}
