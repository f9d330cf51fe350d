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
