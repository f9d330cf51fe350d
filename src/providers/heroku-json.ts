/** What Heroku's answers say, taken from JSON of which nothing is certain. Pure. */

import { type Target, targetOf } from "../app.ts";
import { ProviderError } from "./provider.ts";

/** An app as the list and the app's own resource show it; neither says whether it runs. */
export interface HerokuApp {
  /** Stays the same when the app is renamed. */
  readonly id: string;
  readonly name: string;
  /** Where it answers, by `web_url`; `null`: nowhere outside of its Private Space. */
  readonly target: Target | null;
  /** Its router serves a page of its own to everybody, whatever runs. */
  readonly isInMaintenance: boolean;
}

/** How many dynos of one process type there are to be. */
export interface HerokuType {
  readonly type: string;
  readonly quantity: number;
  /** `Eco`, `Standard-1X`, …; empty: the answer does not say. */
  readonly size: string;
}

/** A dyno that exists, whatever it was made for. */
export interface HerokuDyno {
  /** `web.1` */
  readonly name: string;
  /** A process type, or `run`, `release`, `scheduler`. */
  readonly type: string;
  /** `crashed`, `down`, `idle`, `starting`, `up`; or a word of tomorrow. */
  readonly state: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws ProviderError `protocol` when it is no list; entries that make no sense are left out */
export function readApps(body: unknown): readonly HerokuApp[] {
  return listOf(body, "apps").flatMap((entry) => appOf(entry) ?? []);
}

/** @throws ProviderError `protocol` when it is no app */
export function readApp(body: unknown): HerokuApp {
  const app = appOf(body);
  if (app === null) throw unreadable("an app");
  return app;
}

/** @throws ProviderError `protocol` when it is no list */
export function readFormation(body: unknown): readonly HerokuType[] {
  return listOf(body, "process types").flatMap((entry) => {
    const { type, quantity, size, dyno_size: dynoSize } = fieldsOf(entry);
    if (typeof type !== "string" || typeof quantity !== "number") return [];
    return [{ type, quantity, size: textOf(fieldsOf(dynoSize).name) || textOf(size) }];
  });
}

/** @throws ProviderError `protocol` when it is no list */
export function readDynos(body: unknown): readonly HerokuDyno[] {
  return listOf(body, "dynos").flatMap((entry) => {
    const { name, type, state } = fieldsOf(entry);
    if (typeof type !== "string") return [];
    return [{ name: textOf(name), type, state: textOf(state) }];
  });
}

/**
 * Whether the newest of these builds or releases is still under way, whatever order they come in.
 * @throws ProviderError `protocol` when it is no list
 */
export function isNewestPending(body: unknown): boolean {
  const entries = listOf(body, "builds or releases").map(fieldsOf);
  const newest = entries.reduce<Fields | null>(
    (best, entry) => (best === null || madeAt(entry) > madeAt(best) ? entry : best),
    null,
  );
  return newest?.status === "pending";
}

/** Both are in ISO 8601 and UTC: they sort as text. */
function madeAt({ created_at: createdAt }: Fields): string {
  return textOf(createdAt);
}

/** Whose token it is; empty: the answer does not say. */
export function readAccount(body: unknown): string {
  return textOf(fieldsOf(body).email);
}

/** How many calls are left; `null`: the answer does not say. */
export function readRemaining(body: unknown): number | null {
  const { remaining } = fieldsOf(body);
  return typeof remaining === "number" ? remaining : null;
}

/** The `id` of an error, such as `rate_limit`; empty: there is none. */
export function readErrorId(body: unknown): string {
  return textOf(fieldsOf(body).id);
}

function appOf(entry: unknown): HerokuApp | null {
  const { id, name, web_url: webUrl, maintenance } = fieldsOf(entry);
  if (typeof id !== "string" || typeof name !== "string" || id === "" || name === "") return null;
  return { id, name, target: addressIn(webUrl), isInMaintenance: maintenance === true };
}

/** With a slash at its end, and of either scheme. */
function addressIn(webUrl: unknown): Target | null {
  const url = typeof webUrl === "string" ? URL.parse(webUrl) : null;
  return url !== null && /^https?:$/.test(url.protocol) ? targetOf(url.href) : null;
}

function listOf(body: unknown, what: string): readonly unknown[] {
  if (Array.isArray(body)) return body;
  throw unreadable(`a list of ${what}`);
}

function unreadable(what: string): ProviderError {
  return new ProviderError("protocol", `Heroku's answer is not ${what}`);
}

function fieldsOf(value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return value as Fields; // An object that came out of JSON: its fields may be anything.
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
