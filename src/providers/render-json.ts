/** What Render's answers say, taken from JSON of which nothing is certain. Pure. */

import type { Target } from "../app.ts";
import { addressIn, type Fields, fieldsOf, textOf, unreadable } from "./platform-json.ts";

/** A web service. */
export interface RenderService {
  readonly id: string;
  readonly name: string;
  /** Part of its address on Render, and unique; empty: the answer does not say. */
  readonly slug: string;
  readonly ownerId: string;
  readonly isSuspended: boolean;
  /** What the platform says instead of "suspended" or "not_suspended"; empty: one of them. */
  readonly oddWord: string;
  /** Who suspended it: `user`, `billing`, …; empty while nobody did. */
  readonly suspenders: readonly string[];
  /** It runs on a free instance, which Render stops and starts by itself. */
  readonly isFree: boolean;
  /** Its owner has put a page for maintenance in its place. */
  readonly isMaintained: boolean;
  /** Of a preview, the name of the service that it follows; empty: it is none. */
  readonly parentName: string;
  /** Where it answers; `null`: the answer does not say. */
  readonly target: Target | null;
}

/** A deploy. */
export interface RenderDeploy {
  readonly id: string;
  /** The platform's own word, such as `live`. */
  readonly status: string;
  /** What began it, such as `service_resumed`. */
  readonly trigger: string;
}

/** One page of a list. */
export interface RenderPage<T> {
  readonly entries: readonly T[];
  /** Of the last element, for the page after it; `null`: there is none. */
  readonly cursor: string | null;
  /** Elements, those that make no sense included. */
  readonly length: number;
}

const PLATFORM = "Render";

/** @throws ProviderError `protocol` when it is no list; services of other types, and nonsense, are left out */
export function readServices(body: unknown): RenderPage<RenderService> {
  return pageOf(body, (entry) => serviceOf(entry.service));
}

/** @throws ProviderError `protocol` when it is no web service */
export function readService(body: unknown): RenderService {
  const service = serviceOf(body);
  if (service === null) throw unreadable(PLATFORM, "a web service");
  return service;
}

/** The newest deploy, which comes first; `null`: it was never deployed. @throws ProviderError `protocol` */
export function readNewestDeploy(body: unknown): RenderDeploy | null {
  return pageOf(body, (entry) => deployOf(entry.deploy)).entries[0] ?? null;
}

/** Names that lead to the service itself and work. @throws ProviderError `protocol` when it is no list */
export function readDomains(body: unknown): readonly string[] {
  return pageOf(body, ({ customDomain }) => {
    const { name, verificationStatus, redirectForName } = fieldsOf(customDomain);
    const isGood = verificationStatus === "verified" && textOf(redirectForName) === "";
    return isGood && typeof name === "string" && name !== "" ? name : null;
  }).entries;
}

function pageOf<T>(body: unknown, read: (entry: Fields) => T | null): RenderPage<T> {
  if (!Array.isArray(body)) throw unreadable(PLATFORM, "a list");
  const entries = body.map(fieldsOf);
  const cursor = textOf(entries.at(-1)?.cursor);
  return {
    entries: entries.flatMap((entry) => read(entry) ?? []),
    cursor: cursor === "" ? null : cursor,
    length: body.length,
  };
}

/** Source: types of Render's API, `service.suspended`. An answer without it says nothing against the service. */
const WORDS: readonly string[] = ["suspended", "not_suspended", ""];

function serviceOf(value: unknown): RenderService | null {
  const { id, name, type, slug, ownerId, suspended, suspenders, serviceDetails } = fieldsOf(value);
  if (type !== "web_service" || typeof id !== "string" || id === "") return null;
  const { url, plan, renderSubdomainPolicy, parentServer, maintenanceMode } =
    fieldsOf(serviceDetails);
  const word = textOf(suspended);
  return {
    id,
    name: textOf(name) || id,
    slug: textOf(slug),
    ownerId: textOf(ownerId),
    isSuspended: word === "suspended",
    oddWord: WORDS.includes(word) ? "" : word,
    suspenders: Array.isArray(suspenders) ? suspenders.map(textOf) : [],
    isFree: plan === "free",
    isMaintained: fieldsOf(maintenanceMode).enabled === true,
    parentName: textOf(fieldsOf(parentServer).name),
    target: renderSubdomainPolicy === "disabled" ? null : addressIn(url),
  };
}

function deployOf(value: unknown): RenderDeploy | null {
  const { id, status, trigger } = fieldsOf(value);
  if (typeof id !== "string") return null;
  return { id, status: textOf(status), trigger: textOf(trigger) };
}
