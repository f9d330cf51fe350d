/** What the fake Clever Cloud says, field by field as documented, and its refusals. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import type {
  CleverApp,
  Deployment,
  DeploymentState,
  Instance,
  Organisation,
} from "./fake-clever-cloud-model.ts";

const V4_STATES: Readonly<Record<DeploymentState, string>> = {
  QUEUED: "QUEUED",
  WIP: "WORK_IN_PROGRESS",
  OK: "SUCCEEDED",
  FAIL: "FAILED",
  CANCELLED: "CANCELLED",
  TASK_RUNNING: "TASK_IN_PROGRESS",
};

/** Whose account it is. */
export interface User {
  readonly id: string;
  readonly name: string;
}

/** An app within `/v2/summary`. */
export function summaryAppJson(app: CleverApp): Record<string, unknown> {
  return {
    id: app.id,
    name: app.name,
    instanceType: "node",
    variantSlug: "node",
    state: app.shownState ?? app.state,
    commit: app.isDeployed ? "abcdef1234567890" : null,
    archived: app.isArchived,
    homogeneous: app.homogeneous,
  };
}

export function organisationJson(
  { id, name, role }: Organisation,
  apps: readonly CleverApp[],
): Record<string, unknown> {
  return { id, name, role, applications: apps.map(summaryAppJson) };
}

/** @param vhostOf what stands in `fqdn`: with a port, as no real one has */
export function appJson(
  app: CleverApp,
  vhostOf: (vhost: string) => string,
): Record<string, unknown> {
  const git = `push-n3-par-clevercloud-customers.services.clever-cloud.com/${app.id}.git`;
  return {
    id: app.id,
    name: app.name,
    ownerId: app.ownerId,
    zone: "par",
    state: app.shownState ?? app.state,
    homogeneous: app.homogeneous,
    archived: app.isArchived,
    vhosts: app.vhosts.map((vhost) => ({ fqdn: vhostOf(vhost) })),
    instance: {
      minInstances: app.minInstances,
      maxInstances: app.maxInstances,
      minFlavor: { name: "XS" },
      maxFlavor: { name: "S" },
      lifetime: app.lifetime,
    },
    deployment: {
      shutdownable: false,
      type: "GIT",
      repoState: "CREATED",
      url: `git+ssh://git@${git}`,
      httpUrl: `https://${git}`,
    },
    forceHttps: "DISABLED",
    last_deploy: app.deployments.length,
    creationDate: app.createdAtMs,
  };
}

/** Of API v2. */
export function deploymentJson(deployment: Deployment, author: User): Record<string, unknown> {
  return {
    id: deployment.number,
    uuid: deployment.uuid,
    date: deployment.createdAtMs,
    state: deployment.state,
    action: deployment.action,
    commit: "abcdef1234567890",
    cause: deployment.cause,
    instances: deployment.instances,
    author: { id: author.id, name: author.name },
  };
}

/** Of API v4. */
export function deploymentV4Json(
  app: CleverApp,
  deployment: Deployment,
  author: User,
): Record<string, unknown> {
  return {
    id: deployment.uuid,
    ownerId: app.ownerId,
    applicationId: app.id,
    startDate: dateOf(deployment.createdAtMs),
    state: V4_STATES[deployment.state],
    steps: deployment.steps.map(({ state, atMs }) => ({
      state: V4_STATES[state],
      date: dateOf(atMs),
    })),
    version: { commitId: "abcdef1234567890" },
    origin: {
      action: deployment.action,
      cause: deployment.cause,
      source: "API",
      authorId: author.id,
      constraints: [],
      priority: "DEFAULT",
    },
    hasDedicatedBuild: false,
  };
}

/** Of API v2. */
export function instanceJson(app: CleverApp, instance: Instance): Record<string, unknown> {
  return {
    id: instance.id,
    appId: app.id,
    ip: "10.2.3.4",
    appPort: 8080,
    state: instance.state,
    flavor: { name: "XS" },
    deployId: instance.deploymentId,
    instanceNumber: instance.number,
    displayName: nameOf(instance),
    creationDate: instance.createdAtMs,
  };
}

/** Of API v4. */
export function instanceV4Json(app: CleverApp, instance: Instance): Record<string, unknown> {
  return {
    id: instance.id,
    ownerId: app.ownerId,
    applicationId: app.id,
    deploymentId: instance.deploymentId,
    name: nameOf(instance),
    flavor: "XS",
    index: instance.number,
    state: instance.state,
    hypervisorId: "hv-par1-042",
    creationDate: dateOf(instance.createdAtMs),
    deletionDate: instance.deletedAtMs === null ? null : dateOf(instance.deletedAtMs),
    network: "10.2.3.4:8080",
    isBuildVm: false,
  };
}

function nameOf({ number }: Instance): string {
  return `Fancy Fake ${number}`;
}

function dateOf(atMs: number): string {
  return new Date(atMs).toISOString();
}

/** 200 to what was ordered. */
export function message(text: string, more: Readonly<Record<string, unknown>> = {}): FakeAnswer {
  return json({ id: 200, message: text, type: "success", ...more });
}

/**
 * An error in the form of the API whose path it is. @param id number of v2; v4 has codes of its own
 */
export function refusal(
  path: string,
  { status, id, message: text }: { status: number; id: number; message: string },
): FakeAnswer {
  if (path.startsWith("/v4/")) {
    return json({ code: `clever.core.${status}`, error: text, context: {} }, status);
  }
  return json({ id, message: text, type: "error" }, status);
}

/** 401. Number and wording are made up, as are those of the next ones. */
export function unauthorized(path: string): FakeAnswer {
  return refusal(path, { status: 401, id: 2001, message: "You must be authenticated" });
}

/** 403 that is not the rate limit's. */
export function forbidden(path: string): FakeAnswer {
  return refusal(path, { status: 403, id: 4003, message: "You don't have the right to do this" });
}

/** 404. */
export function notFound(path: string, what: string): FakeAnswer {
  return refusal(path, { status: 404, id: 4004, message: `The ${what} does not exist` });
}

/** 404 with the number that means that there is no favourite. */
export function noFavourite(path: string): FakeAnswer {
  return refusal(path, {
    status: 404,
    id: 4021,
    message: "This application has no favourite vhost",
  });
}

/** To the start of an app that was never deployed; the status is made up, the number is not. */
export function neverDeployed(path: string): FakeAnswer {
  return refusal(path, {
    status: 400,
    id: 4014,
    message: "This application has never been deployed",
  });
}

/** 409: in the middle of something else. */
export function busy(path: string): FakeAnswer {
  return refusal(path, { status: 409, id: 4009, message: "Another operation is in progress" });
}

/** To a start or stop of an app that the platform blocks: 402 where it is about money. */
export function blocked(path: string, state: "MODERATED" | "DEFAULT_OF_PAYMENT"): FakeAnswer {
  if (state === "MODERATED") return forbidden(path);
  return refusal(path, { status: 402, id: 4002, message: "Payment required" });
}

/** The router's word for an app that is down. Its body is made up. */
export function downPage(): FakeAnswer {
  return {
    status: 404,
    headers: { "content-type": "text/html; charset=utf-8", "X-CleverCloudUpgrade": "true" },
    body: "<!DOCTYPE html><html><head><title>404</title></head><body>This app is not up</body></html>",
  };
}

/** The router's word for a host that leads nowhere. */
export function unknownHostPage(): FakeAnswer {
  return {
    status: 404,
    headers: { "content-type": "text/html; charset=utf-8" },
    body: "<!DOCTYPE html><html><head><title>404</title></head><body>No such host</body></html>",
  };
}
