/** What becomes of requests for the newer admin endpoints that their routes do not answer. */

import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { allowedFor, invalid } from "./apps-parameters.ts";
import { problem } from "./apps-problem.ts";

/** What a route failed of, as the framework tells it. */
export interface RouteFailure {
  readonly code: number | string;
  readonly error: unknown;
  readonly request: Request;
}

/** A parameter that cannot be used, or a mistake of ours. */
export function whyNot({ log }: { readonly log: Log }, failure: RouteFailure): Response {
  const { code, error, request } = failure;
  const { pathname, searchParams } = new URL(request.url);
  if (code === "VALIDATION") {
    if (isAboutPath(error)) return problem("admin_invalid", { detail: NO_KEY });
    const name = nameIn(error);
    const given = searchParams.get(name) ?? undefined;
    return invalid(name, allowedFor(name) || "something else", given);
  }
  if (code === "PARSE") {
    return problem("admin_invalid", { detail: "The body of the request cannot be read" });
  }
  log.error(
    { path: pathname, reason: messageOf(error) },
    "an admin endpoint broke: please report it",
  );
  return problem("internal", { detail: "Its log has the details" });
}

const NO_KEY =
  "The path does not name an app as paths do: %XX stands for a byte of UTF-8, and nothing else begins with %";

/** Of the path there is but one part that is looked at. */
function isAboutPath(error: unknown): boolean {
  return typeof error === "object" && error !== null && "type" in error && error.type === "params";
}

/** The parameter that is wrong: the framework's list of what is says `/page`. */
function nameIn(error: unknown): string {
  if (typeof error !== "object" || error === null || !("all" in error)) return "";
  const { all } = error;
  if (!Array.isArray(all)) return "";
  const paths = all.map((one: unknown) =>
    typeof one === "object" && one !== null && "path" in one ? String(one.path) : "",
  );
  return paths.find((path) => path !== "")?.slice(1) ?? "";
}

/** Of two values of a parameter nobody knows which one was meant. @returns `null`: none has two */
export function repeated(routes: readonly DescribedRoute[], request: Request): Response | null {
  const { pathname, searchParams } = new URL(request.url);
  const method = request.method === "HEAD" ? "GET" : request.method;
  const route = routes.find((one) => one.method === method && patternOf(one.path).test(pathname));
  const twice = namesOf(route?.hooks).find((name) => searchParams.getAll(name).length > 1);
  if (twice === undefined) return null;
  return problem("admin_invalid", { detail: `${twice} is given more than once` });
}

interface DescribedRoute {
  readonly method: string;
  readonly path: string;
  readonly hooks: unknown;
}

/** Of the parameters that its schema names. */
function namesOf(hooks: unknown): readonly string[] {
  if (typeof hooks !== "object" || hooks === null || !("query" in hooks)) return [];
  const { query } = hooks;
  if (typeof query !== "object" || query === null || !("properties" in query)) return [];
  return Object.keys(query.properties ?? {});
}

/** The methods that a path is asked with, by the routes there are; `null`: there is no such path. */
export function methodsOf(
  routes: readonly { readonly method: string; readonly path: string }[],
  path: string,
): readonly string[] | null {
  const methods = routes
    .filter((route) => patternOf(route.path).test(path))
    .map(({ method }) => method);
  return methods.length === 0 ? null : [...new Set(methods)];
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(/:[a-z]+/g, "[^/]+").replaceAll(".", "\\.")}$`);
}

/** There is no such endpoint, or not with this method. @param methods of the path; `null`: there is none */
export function notRouted(path: string, methods: readonly string[] | null): Response {
  if (methods === null) {
    return problem("admin_unknown", { detail: `There is no admin endpoint ${path.slice(0, 200)}` });
  }
  const allow = methods.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  const detail = `${path.slice(0, 200)} is asked with ${allow.join(", ")}`;
  return problem("admin_method", { detail, headers: { allow: allow.join(", ") } });
}
