/** Values out of the cluster's JSON, of which nothing is certain. Pure. */

import { ProviderError } from "./provider.ts";

/** An object that came out of JSON. */
export type Fields = Readonly<Record<string, unknown>>;

/** The object, or one without fields when it is something else. */
export function fieldsOf(value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return value as Fields; // An object that came out of JSON: its fields may be anything.
}

/** The text; empty when it is something else. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The number; `otherwise` when it is something else, as the cluster leaves zeros out. */
export function numberOf(value: unknown, otherwise = 0): number {
  return typeof value === "number" && Number.isFinite(value) ? value : otherwise;
}

/** The list; empty when it is something else, as the cluster leaves empty ones out or writes `null`. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Labels, annotations, selectors: texts by name. What is no text is left out. */
export function textsOf(value: unknown): Readonly<Record<string, string>> {
  const texts = Object.entries(fieldsOf(value)).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return Object.fromEntries(texts);
}

/** What every object is called. */
export interface ObjectName {
  /** Empty for what belongs to no namespace. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Opaque: never compared, only sent back. */
  readonly resourceVersion: string;
}

/** `null` when the object has no name. */
export function objectNameOf(object: unknown): ObjectName | null {
  const { namespace, name, uid, resourceVersion } = fieldsOf(fieldsOf(object).metadata);
  if (textOf(name) === "") return null;
  return {
    namespace: textOf(namespace),
    name: textOf(name),
    uid: textOf(uid),
    resourceVersion: textOf(resourceVersion),
  };
}

/** Identifies an object among those of its kind. */
export function objectKeyOf({ namespace, name }: Pick<ObjectName, "namespace" | "name">): string {
  return `${namespace}/${name}`;
}

/** One page of a list. */
export interface ListPage {
  readonly items: readonly unknown[];
  readonly resourceVersion: string;
  /** Empty: there is no further page. */
  readonly next: string;
}

/** @throws ProviderError `protocol` when there is no list in it */
export function readListPage(body: unknown): ListPage {
  const { items, metadata } = fieldsOf(body);
  const { resourceVersion, continue: next } = fieldsOf(metadata);
  if (!Array.isArray(items) && items !== null) {
    throw new ProviderError("protocol", 'the cluster\'s answer has no "items" in it');
  }
  return { items: items ?? [], resourceVersion: textOf(resourceVersion), next: textOf(next) };
}

/** What the cluster says when it refuses: an object of the kind `Status`. */
export interface Status {
  /** 0: it does not say. */
  readonly code: number;
  /** `NotFound`, `Conflict`, `Expired`, …; empty: it does not say. */
  readonly reason: string;
  readonly message: string;
  /** `null`: it does not say. */
  readonly retryAfterMs: number | null;
}

/** What is missing of it is empty. */
export function readStatus(body: unknown): Status {
  const { code, reason, message, details } = fieldsOf(body);
  const seconds = fieldsOf(details).retryAfterSeconds;
  return {
    code: numberOf(code),
    reason: textOf(reason),
    message: textOf(message),
    retryAfterMs: typeof seconds === "number" && seconds > 0 ? seconds * 1000 : null,
  };
}
