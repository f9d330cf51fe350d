/** What the fake Render says, field by field as in the types of its API, and its refusals. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import type { CustomDomain, Deploy, Service } from "./fake-render-model.ts";

/** @param url its address on Render; left out where that is switched off, as nobody knows what stands there then */
export function serviceJson(service: Service, url: string | null): Record<string, unknown> {
  const { parent } = service;
  return {
    id: service.id,
    name: service.name,
    ownerId: service.ownerId,
    slug: service.slug,
    type: service.type,
    suspended: service.isShownSuspended ? "suspended" : "not_suspended",
    suspenders: service.isShownSuspended ? [...service.suspenders] : [],
    autoDeploy: "yes",
    notifyOnFail: "default",
    rootDir: "",
    repo: `https://github.com/acme/${service.name}`,
    branch: "main",
    dashboardUrl: `https://dashboard.render.com/web/${service.id}`,
    createdAt: dateOf(service.createdAtMs),
    updatedAt: dateOf(service.updatedAtMs),
    serviceDetails: {
      env: "node",
      runtime: "node",
      plan: service.plan,
      region: "frankfurt",
      numInstances: service.numInstances,
      healthCheckPath: "/health",
      maintenanceMode: { enabled: service.isMaintained, uri: "" },
      ...(url === null ? {} : { url }),
      openPorts: [],
      buildPlan: "starter",
      renderSubdomainPolicy: service.hasRenderSubdomain ? "enabled" : "disabled",
      envSpecificDetails: { buildCommand: "bun install", startCommand: "bun start" },
      ...(parent === null ? {} : { parentServer: { id: parent.id, name: parent.name } }),
    },
  };
}

export function deployJson(deploy: Deploy): Record<string, unknown> {
  return {
    id: deploy.id,
    status: deploy.status,
    trigger: deploy.trigger,
    commit: { id: "f00", message: "x", createdAt: dateOf(deploy.createdAtMs) },
    createdAt: dateOf(deploy.createdAtMs),
    startedAt: dateOf(deploy.createdAtMs),
    updatedAt: dateOf(deploy.updatedAtMs),
  };
}

export function domainJson(service: Service, domain: CustomDomain): Record<string, unknown> {
  return {
    id: domain.id,
    name: domain.name,
    domainType: "subdomain",
    publicSuffix: "com",
    redirectForName: domain.redirectForName,
    verificationStatus: domain.verificationStatus,
    createdAt: dateOf(service.createdAtMs),
    server: { id: service.id, name: service.name },
  };
}

/** All fields of an error are optional; the fake sends the two that people have seen. */
export function refused(status: number, message: string): FakeAnswer {
  return json({ id: `err-${status}`, message }, status);
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString();
}
