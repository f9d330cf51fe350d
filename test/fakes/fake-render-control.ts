/** What a test does to a service on the fake Render, as its owner, on the dashboard, or as fate. */

import {
  beginDeploy,
  type Deploy,
  endDeploy,
  isUnderWay,
  type Outcome,
  resume,
  type Service,
  type Suspender,
  suspend,
} from "./fake-render-model.ts";
import type { State } from "./fake-render-routes.ts";
import type { FakeRouter } from "./fake-router.ts";

export interface NewService {
  /** Default `not_suspended`, deployed and serving. */
  readonly suspendedBy?: Suspender;
  /** Default `starter`. */
  readonly plan?: string;
  /** Default `web_service`. */
  readonly type?: string;
  /** Default 1. */
  readonly numInstances?: number;
  /** Default the name and four characters. */
  readonly slug?: string;
  /** Default `tea-1`. */
  readonly ownerId?: string;
  /** It is a preview of this one. */
  readonly parent?: RenderControl;
  /** Default true; else there is no deploy. */
  readonly isDeployed?: boolean;
}

/** A handle on one service. */
export interface RenderControl {
  readonly id: string;
  /** As it is called now. */
  readonly name: string;
  readonly slug: string;
  /** As the API shows it. */
  readonly isSuspended: boolean;
  /** It answers requests. */
  readonly isServing: boolean;
  readonly numInstances: number;
  /** Newest first. */
  readonly deploys: readonly Deploy[];
  /** Where it answers, as the API says. */
  readonly address: string;
  /** Requests that it has answered itself. */
  readonly requests: number;
  /** How its deploys to come end, one after the other; then they go live. */
  nextDeploys(...outcomes: readonly Outcome[]): void;
  /** Somebody suspends it; or the platform does. */
  suspend(by?: Suspender): void;
  /** Somebody resumes it on the dashboard. */
  resume(): void;
  /** Its address stays. */
  rename(name: string): void;
  /** A push: a deploy begins, and ends by itself after its time, unless `outcome` says otherwise. */
  beginDeploy(outcome?: Outcome): void;
  /** Ends the deploy that goes on, at once. */
  endDeploy(outcome?: Exclude<Outcome, "hangs">): void;
  /** A name of its own; a label below `localhost`. */
  addDomain(
    label: string,
    options?: { readonly isVerified?: boolean; readonly redirectsTo?: string },
  ): void;
  /** Its name on Render is switched off: the list says no address. */
  disableSubdomain(): void;
  setMaintenance(isMaintained: boolean): void;
  /** A free one spins down for want of requests. */
  spinDown(): void;
}

/** Adds a service. @throws when there is one of this name */
export function createService(state: State, name: string, options: NewService): Service {
  const { world, services } = state;
  if ([...services].some((one) => one.name === name)) throw new Error(`${name} is there already`);
  const nowMs = world.clock.now();
  const id = world.nextId("srv");
  const { suspendedBy, isDeployed = true, parent } = options;
  const service: Service = {
    id,
    name,
    slug: options.slug ?? `${name}-${id.slice(-4)}`.toLowerCase(),
    ownerId: options.ownerId ?? "tea-1",
    type: options.type ?? "web_service",
    createdAtMs: nowMs,
    parent: [...services].find((one) => one.id === parent?.id) ?? null,
    deploys: [],
    suspenders: new Set(suspendedBy === undefined ? [] : [suspendedBy]),
    domains: [],
    outcomes: [],
    plan: options.plan ?? "starter",
    numInstances: options.numInstances ?? 1,
    hasRenderSubdomain: true,
    isMaintained: false,
    suspendedAtMs: Number.NEGATIVE_INFINITY,
    updatedAtMs: nowMs,
    isShownSuspended: suspendedBy !== undefined,
    isServing: isDeployed && suspendedBy === undefined,
    routerLagsUntilMs: 0,
    spin: "up",
  };
  if (isDeployed) {
    const status = "live";
    const id = world.nextId("dep");
    service.deploys.push({
      id,
      trigger: "new_commit",
      createdAtMs: nowMs,
      status,
      updatedAtMs: nowMs,
    });
  }
  services.add(service);
  return service;
}

export function controlOf(state: State, service: Service, router: FakeRouter): RenderControl {
  const { world } = state;
  const running = () => service.deploys.find(isUnderWay);
  return {
    id: service.id,
    get name() {
      return service.name;
    },
    slug: service.slug,
    get isSuspended() {
      return service.isShownSuspended;
    },
    get isServing() {
      return service.isServing && !service.isShownSuspended;
    },
    get numInstances() {
      return service.numInstances;
    },
    deploys: service.deploys,
    get address() {
      return router.addressOf(service.slug);
    },
    get requests() {
      const hosts = [router.hostOf(service.slug), ...service.domains.map(({ name }) => bare(name))];
      return hosts.reduce((sum, host) => sum + router.appRequests(host), 0);
    },
    nextDeploys: (...outcomes) => void service.outcomes.push(...outcomes),
    suspend: (by = "user") => suspend(world, service, by),
    resume: () => resume(world, service),
    rename(name) {
      service.name = name;
    },
    beginDeploy(outcome) {
      if (outcome !== undefined) service.outcomes.unshift(outcome);
      beginDeploy(world, service, "new_commit");
    },
    endDeploy(outcome = "live") {
      const deploy = running();
      if (deploy === undefined) throw new Error(`nothing of ${service.name} is being deployed`);
      endDeploy(world, service, { deploy, outcome });
    },
    addDomain(label, { isVerified = true, redirectsTo = "" } = {}) {
      service.domains.push({
        id: world.nextId("cdm"),
        name: `${router.hostOf(label)}:${router.port}`,
        redirectForName: redirectsTo,
        verificationStatus: isVerified ? "verified" : "unverified",
      });
    },
    disableSubdomain() {
      service.hasRenderSubdomain = false;
    },
    setMaintenance(isMaintained) {
      service.isMaintained = isMaintained;
      world.changed();
    },
    spinDown() {
      service.spin = "down";
      world.changed();
    },
  };
}

function bare(name: string): string {
  return name.replace(/:\d+$/, "");
}
