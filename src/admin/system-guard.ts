/** Which requests are for the system API, and who may make them. Pure. */

import type { RequestHead } from "../engines/engine.ts";
import { type AdminAnswer, refusal } from "../switch-answers.ts";
import { createSecretCheck } from "./secret.ts";

/** By path: the methods that it is asked with. */
export const SYSTEM_PATHS = {
  "/apps": ["GET", "DELETE"],
  "/events": ["GET"],
} as const;

/** A "no" of the system API. */
export interface SystemRefusal extends AdminAnswer {
  /** What the header `Allow` lists; left out: it is not about the method. */
  readonly allow?: string;
}

/** Says what is to become of a request. `null`: it is not for the system API. */
export type SystemGuard = (head: RequestHead) => "granted" | SystemRefusal | null;

/** Both names are those of Paastis 0.1, for its users' scripts. */
const TARGET_HEADER = "paastisproxytarget";
const TOKEN_HEADER = "paastisproxysystemapitoken";
const TARGET = "system";

const WRONG_OR_MISSING = "Wrong or missing Paastis proxy system API token";

/**
 * A guard for requests on any host. Only the header makes one of them ours, so that no path of an app is taken, and a
 * preflight, which merely lists the names of headers, is the app's. What is granted has exactly one of our paths: the
 * endpoints next to ours ask for another token.
 */
export function createSystemGuard(token: string): SystemGuard {
  const isToken = createSecretCheck(token);
  return (head) => {
    const given = head.header(TOKEN_HEADER);
    if (head.header(TARGET_HEADER) !== TARGET) {
      return given !== null && isToken(given) ? TOKEN_ASTRAY : null;
    }
    if (given === null) return tokenRefused("It is missing: send that of ROUTING_SYSTEM_API_TOKEN");
    if (!isToken(given)) return tokenRefused("It is not that of ROUTING_SYSTEM_API_TOKEN");
    return whyNotServed(head) ?? "granted";
  };
}

/** Whoever forgets the other header must not hand the token to an app. */
const TOKEN_ASTRAY: SystemRefusal = refusal(
  400,
  "Not for an app",
  "The system API's token is not passed on to an app: send PaastisProxyTarget: system with it",
);

function tokenRefused(why: string): SystemRefusal {
  return refusal(400, WRONG_OR_MISSING, `${why} in the header PaastisProxySystemApiToken`);
}

function whyNotServed({ method, target }: RequestHead): SystemRefusal | null {
  const methods = methodsOf(pathOf(target));
  if (methods === null) {
    const paths = Object.keys(SYSTEM_PATHS).join(" and ");
    return refusal(404, "Not found", `The system API has the paths ${paths}`);
  }
  if (methods.includes(method)) return null;
  const allow = methods.join(", ");
  return { ...refusal(405, "Method not allowed", `This path is asked with ${allow}`), allow };
}

function methodsOf(path: string): readonly string[] | null {
  const known: Readonly<Record<string, readonly string[]>> = SYSTEM_PATHS;
  return Object.hasOwn(known, path) ? (known[path] ?? null) : null;
}

/** @param target in origin form */
function pathOf(target: string): string {
  const end = target.indexOf("?");
  return end === -1 ? target : target.slice(0, end);
}
