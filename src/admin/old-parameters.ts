/** What the older admin endpoints refuse before they look at anything else. Pure. */

import { type AdminAnswer, refusal } from "../switch-answers.ts";
import { quoted } from "./apps-times.ts";
import { ADMIN_PATHS } from "./paths.ts";

/** Longest key that is remembered, in characters. */
const IDEMPOTENCY_KEY_MAX = 255;

/** Of two values nobody knows which one was meant. */
const ONCE = ["app", "port", "host", "details", "format"];

/** By path and name: what a parameter may be. */
const WORDS: Readonly<
  Partial<Record<keyof typeof ADMIN_PATHS, readonly [name: string, ...words: string[]]>>
> = {
  "/__status": ["details", "0", "1"],
  "/__metrics": ["format", "json", "prometheus", "openmetrics"],
};

/** @returns `null`: it can be used, as far as one can tell without knowing any app */
export function whyMalformed({ url, headers }: Request): AdminAnswer | null {
  const { pathname, searchParams } = new URL(url);
  const twice = ONCE.find((name) => searchParams.getAll(name).length > 1);
  if (twice !== undefined) {
    return refusal(400, `Invalid ${twice}`, `${twice} is given more than once`);
  }
  const key = headers.get("idempotency-key") ?? "";
  if (key.length > IDEMPOTENCY_KEY_MAX) {
    const why = `It has ${key.length} characters, and may have ${IDEMPOTENCY_KEY_MAX}`;
    return refusal(400, "Invalid Idempotency-Key", why);
  }
  return isOld(pathname) ? whyNoWord(pathname, searchParams) : null;
}

function isOld(path: string): path is keyof typeof ADMIN_PATHS {
  return Object.hasOwn(ADMIN_PATHS, path);
}

function whyNoWord(path: keyof typeof ADMIN_PATHS, given: URLSearchParams): AdminAnswer | null {
  const [name, ...words] = WORDS[path] ?? [""];
  const value = given.get(name);
  if (value === null || words.includes(value)) return null;
  const why = `${name} must be one of ${words.join(", ")}: it is ${quoted(value)}`;
  return refusal(400, `Invalid ${name}`, why);
}
