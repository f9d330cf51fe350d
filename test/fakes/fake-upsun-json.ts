/** What the fake Upsun says, field by field as in its OpenAPI document, and its refusals. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import { type Activity, type Environment, goesOn, type Project } from "./fake-upsun-model.ts";

/** How much an environment tells of itself. */
export interface Telling {
  /** `_links` of operations and addresses; else none at all. */
  readonly hasLinks: boolean;
  /** Among them `public-url`. */
  readonly hasPublicUrl: boolean;
  /** The name that DNS entries lead to: a whole one, as of a real environment, which leads nowhere here. */
  readonly hasEdge: boolean;
  /** While an activity goes on the status is `dirty`; else it is what it was. */
  readonly showsDirty: boolean;
}

/** @param url where it answers, with a slash at its end */
export function environmentJson(
  environment: Environment,
  url: string,
  telling: Telling,
): Record<string, unknown> {
  const { activities, id, machineName, project, shown, type } = environment;
  const isBusy = activities.some(goesOn);
  const status = isBusy && telling.showsDirty && shown !== "inactive" ? "dirty" : shown;
  const links = telling.hasLinks ? { _links: linksOf(environment, url, telling) } : {};
  return {
    id,
    project: project.id,
    name: id,
    machine_name: machineName,
    title: id.toUpperCase(),
    type,
    status,
    parent: type === "production" ? null : "main",
    is_pr: id.startsWith("pr-"),
    default_domain: null,
    edge_hostname: telling.hasEdge ? new URL(url).hostname : null,
    has_deployment: shown !== "inactive",
    is_dirty: isBusy,
    last_active_at: "2026-05-01T10:00:00+00:00",
    deployment_state: {
      last_deployment_successful: activities.find((one) => !goesOn(one))?.result !== "failure",
      last_deployment_failure_reason: null,
    },
    ...links,
  };
}

function linksOf(environment: Environment, url: string, { hasPublicUrl }: Telling): object {
  const { canPause, condition, id, project } = environment;
  const self = `/projects/${project.id}/environments/${encodeURIComponent(id)}`;
  return {
    self: { href: self },
    ...(hasPublicUrl && condition !== "inactive" ? { "public-url": { href: url } } : {}),
    ...(condition === "active" && canPause ? { "#pause": { href: `${self}/pause` } } : {}),
    ...(condition === "paused" ? { "#resume": { href: `${self}/resume` } } : {}),
  };
}

export function activityJson(
  { project, id }: Environment,
  activity: Activity,
): Record<string, unknown> {
  return {
    id: activity.id,
    type: activity.type,
    state: activity.state,
    result: activity.result,
    completion_percent: activity.percent,
    project: project.id,
    environments: [id],
    created_at: new Date(activity.createdAtMs).toISOString(),
  };
}

/** Its routes: a redirection first, as often, and the one that counts. */
export function deploymentJson(environment: Environment, url: string): Record<string, unknown> {
  const www = url.replace("//", "//www.");
  const redirection = {
    type: "redirect",
    primary: false,
    id: null,
    to: url,
    production_url: "https://www.example.com/",
  };
  const upstream = {
    type: "upstream",
    primary: true,
    id: null,
    upstream: "app:http",
    production_url: "https://example.com/",
  };
  return {
    id: "current",
    routes: {
      [www]: redirection,
      ...(environment.hasRoute ? { [url]: upstream } : {}),
    },
    webapps: {},
    services: {},
    workers: {},
  };
}

export function projectJson(project: Project): Record<string, unknown> {
  return {
    id: project.id,
    organization_id: project.organizationId,
    title: project.title,
    region: "fr-3.platform.sh",
    status: "active",
  };
}

/** A page of a list that is cut: where the next one is stands in it. */
export function pageJson(
  items: readonly object[],
  {
    count,
    self,
    next,
  }: { readonly count: number; readonly self: string; readonly next: string | null },
): Record<string, unknown> {
  const more = next === null ? {} : { next: { href: next } };
  return { count, items, _links: { self: { href: self }, ...more } };
}

/** `account`: as account endpoints refuse; `problem`: as those of projects are thought to. */
export type ErrorForm = "account" | "problem";

export function refused(status: number, message: string, form: ErrorForm): FakeAnswer {
  if (form === "account") return json({ error: message }, status);
  return json(
    { status: "error", message: "It cannot be done.", code: status, detail: message },
    status,
  );
}
