/** The paths of the admin endpoints, and what follows from a path and a method alone. */

/** Those that scripts have known from the beginning, by path: the method that they are asked with. */
export const ADMIN_PATHS = {
  "/__status": "GET",
  "/__metrics": "GET",
  "/__health": "GET",
  "/__switch": "POST",
  "/__deploy": "POST",
  "/__pause": "POST",
  "/__resume": "POST",
  "/__maintenance": "POST",
} as const;

/** What orchestrators ask, by anybody and without a token: whether the process answers, whether it can serve. */
export const LIVE_PATH = "/__live";
export const READY_PATH = "/__ready";
export const DASHBOARD_PATH = "/__/";
export const LOG_IN_PATH = "/__/login";
export const LOG_OUT_PATH = "/__/logout";

/** Where everything of ours begins. */
const PREFIX = "/__";

/**
 * `established`: one of `ADMIN_PATHS`; `probe`: of those for orchestrators; `other`: any that begins as ours do, whether
 * or not there is something.
 */
export type PathKind = "established" | "other" | "probe";

/** @param target in origin form. @returns `null`: on every host it is the app's */
export function kindOfPath(target: string): PathKind | null {
  if (!target.startsWith(PREFIX)) return null;
  const path = pathOf(target);
  if (Object.hasOwn(ADMIN_PATHS, path)) return "established";
  return path === LIVE_PATH || path === READY_PATH ? "probe" : "other";
}

/** Whether a request's target, in origin form, is one of `ADMIN_PATHS`. */
export function isAdminPath(target: string): boolean {
  return kindOfPath(target) === "established";
}

/** @param target in origin form */
export function pathOf(target: string): string {
  const end = target.indexOf("?");
  return end === -1 ? target : target.slice(0, end);
}

/** @param target in origin form */
export function queryOf(target: string): URLSearchParams {
  const start = target.indexOf("?");
  return new URLSearchParams(start === -1 ? "" : target.slice(start + 1));
}

/** Whether a request may change something: any but those that HTTP calls safe and that we answer. */
export function isChanging(method: string): boolean {
  return method !== "GET" && method !== "HEAD";
}

/**
 * Whether every reader of a path reads the same: no dot segments, no backslashes, nothing that a URL writes otherwise.
 * What was decided about a path must hold for the one that is answered.
 */
export function isPlainPath(path: string): boolean {
  return URL.parse(path, "http://paastis")?.pathname === path;
}
