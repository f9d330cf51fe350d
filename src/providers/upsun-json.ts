/** What Upsun's answers say, taken from JSON of which nothing is certain. Pure. */

import type { Target } from "../app.ts";
import { addressIn, fieldsOf, textOf, unreadable } from "./platform-json.ts";
import { ProviderError } from "./provider.ts";

/** An environment: the unit that sleeps, with all its apps and services. */
export interface UpsunEnvironment {
  readonly projectId: string;
  /** Named after its Git branch: it may hold slashes. */
  readonly id: string;
  /** Part of its addresses, and unique in its project; empty: the answer does not say. */
  readonly machineName: string;
  /** `production`, `staging` or `development`; empty: the answer does not say. */
  readonly type: string;
  /** `active`, `dirty`, `inactive`, `paused` or `deleting`. */
  readonly status: string;
  /** Whether the platform offers to pause it now; `null`: the answer does not say. */
  readonly canPause: boolean | null;
  /** Where it answers, as far as the environment itself says; `null`: it does not. */
  readonly target: Target | null;
  /** The name that Upsun gave it, which DNS entries lead to; `null`: the answer has none. */
  readonly edge: Target | null;
}

/** What was begun on an environment, by us or by others. */
export interface UpsunActivity {
  readonly id: string;
  /** Such as `environment.resume`. */
  readonly type: string;
  /** `pending`, `scheduled`, `staged`, `in_progress`, `complete` or `cancelled`. */
  readonly state: string;
  /** `success` or `failure`, once it is complete. */
  readonly result: string;
}

/** One page of a list, and where the next one is. */
export interface UpsunPage<T> {
  readonly entries: readonly T[];
  /** A path or a URL; `null`: this was the last. */
  readonly next: string | null;
}

const PLATFORM = "Upsun";

/** Who the token belongs to. @throws ProviderError `protocol` */
export function readUser(body: unknown): { readonly id: string; readonly name: string } {
  const { id, username, email } = fieldsOf(body);
  if (typeof id !== "string" || id === "") throw unreadable(PLATFORM, "a user");
  return { id, name: textOf(username) || textOf(email) || id };
}

/** The answer to an exchange. @throws ProviderError `protocol` when there is no token in it */
export function readBearer(
  body: unknown,
  usualSeconds: number,
): { readonly value: string; readonly validMs: number } {
  const { access_token: value, expires_in: seconds } = fieldsOf(body);
  if (typeof value !== "string" || value === "") {
    const message = 'the answer to the exchange of the token has no "access_token"';
    throw new ProviderError("protocol", message);
  }
  const valid = typeof seconds === "number" && seconds > 0 ? seconds : usualSeconds;
  return { value, validMs: valid * 1000 };
}

/** Ids of organizations or projects. @throws ProviderError `protocol` when there is no list in it */
export function readIds(body: unknown): UpsunPage<string> {
  const { items, _links } = fieldsOf(body);
  if (!Array.isArray(items)) throw unreadable(PLATFORM, "a list");
  const entries = items.map(fieldsOf).flatMap(({ id }) => (typeof id === "string" ? [id] : []));
  return { entries, next: textOf(linkIn(_links, "next")) || null };
}

/** @throws ProviderError `protocol` when it is no list */
export function readEnvironments(body: unknown, projectId: string): readonly UpsunEnvironment[] {
  if (!Array.isArray(body)) throw unreadable(PLATFORM, "a list of environments");
  return body.flatMap((entry) => environmentOf(entry, projectId) ?? []);
}

/** @throws ProviderError `protocol` when it is none */
export function readEnvironment(body: unknown, projectId: string): UpsunEnvironment {
  const environment = environmentOf(body, projectId);
  if (environment === null) throw unreadable(PLATFORM, "an environment");
  return environment;
}

/** The address of the primary route, or of the first; `null`: there is none. */
export function readTarget(body: unknown): Target | null {
  const routes = Object.entries(fieldsOf(fieldsOf(body).routes)).flatMap(([url, route]) => {
    const { type, primary } = fieldsOf(route);
    return type === "upstream" ? [{ url, isPrimary: primary === true }] : [];
  });
  const chosen = routes.find(({ isPrimary }) => isPrimary) ?? routes[0];
  return addressIn(chosen?.url);
}

/** Newest first, as they come. @throws ProviderError `protocol` when it is no list */
export function readActivities(body: unknown): readonly UpsunActivity[] {
  if (!Array.isArray(body)) throw unreadable(PLATFORM, "a list of activities");
  return body.flatMap((entry) => activityOf(entry) ?? []);
}

/** @throws ProviderError `protocol` when it is none */
export function readActivity(body: unknown): UpsunActivity {
  const activity = activityOf(body);
  if (activity === null) throw unreadable(PLATFORM, "an activity");
  return activity;
}

/** The activity that an accepted call began; `null`: the answer has none. */
export function readBegun(body: unknown): UpsunActivity | null {
  const { activities } = fieldsOf(fieldsOf(body)._embedded);
  return Array.isArray(activities) ? activityOf(activities[0]) : null;
}

/** A whole one: a single label is no name that leads anywhere. */
const HOST_NAME = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/i;

function environmentOf(value: unknown, projectId: string): UpsunEnvironment | null {
  const fields = fieldsOf(value);
  const { id, machine_name: machineName, type, status, _links: links } = fields;
  const edge = textOf(fields.edge_hostname);
  if (typeof id !== "string" || id === "" || typeof status !== "string") return null;
  return {
    projectId,
    id,
    machineName: textOf(machineName),
    type: textOf(type),
    status,
    canPause: typeof links === "object" && links !== null ? "#pause" in links : null,
    target: addressIn(linkIn(links, "public-url")),
    edge: HOST_NAME.test(edge) ? addressIn(`https://${edge}`) : null,
  };
}

function activityOf(value: unknown): UpsunActivity | null {
  const { id, type, state, result } = fieldsOf(value);
  if (typeof id !== "string" || typeof state !== "string") return null;
  return { id, type: textOf(type), state, result: textOf(result) };
}

function linkIn(links: unknown, name: string): unknown {
  return fieldsOf(fieldsOf(links)[name]).href;
}
