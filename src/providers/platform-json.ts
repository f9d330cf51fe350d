/** Reading what a platform's API answers, JSON of which nothing is certain: what is missing reads as nothing. Pure. */

import { type Target, targetOf } from "../app.ts";
import { ProviderError } from "./provider.ts";

/** An object that came out of JSON: its fields may be anything, and each is looked at before it is used. */
export type Fields = Readonly<Record<string, unknown>>;

/** Whether it is an object, and no list. */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Its fields; none when it is no object. */
export function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : {};
}

/** Those entries of a list that are objects; none when it is no list. */
export function objectsIn(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}

/** Empty when it is no text. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Where something answers; `null` when it is no web address. */
export function addressIn(value: unknown): Target | null {
  const url = URL.parse(textOf(value));
  return url !== null && /^https?:$/.test(url.protocol) ? targetOf(url.href) : null;
}

/** @param what it should have been: `a list` */
export function unreadable(platform: string, what: string): ProviderError {
  return new ProviderError("protocol", `${platform}'s answer is not ${what}`);
}
