/** What a method and a path of the API mean. Pure. */

import { RESOURCES, type ResourceName } from "./fake-kubernetes-objects.ts";
import { isTrue } from "./fake-kubernetes-watches.ts";

/** A call for a resource. */
export interface ResourcePath {
  readonly resource: ResourceName;
  /** `null`: of all namespaces. */
  readonly namespace: string | null;
  /** `null`: all of them. */
  readonly name: string | null;
  /** `scale`, `status`; empty: the object itself. */
  readonly subresource: string;
}

/** `null`: no resource that the fake has. */
export function parsePath(path: string): ResourcePath | null {
  for (const resource of Object.keys(RESOURCES) as ResourceName[]) {
    // Keys of a constant: they are its names.
    const { group, version } = RESOURCES[resource];
    const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    if (!path.startsWith(`${root}/`)) continue;
    const parts = path
      .slice(root.length + 1)
      .split("/")
      .map(decoded);
    const isNamespaced = parts[0] === "namespaces" && parts.length > 2;
    const namespace = isNamespaced ? (parts[1] ?? "") : null;
    const [plural, name = null, subresource = "", ...more] = isNamespaced ? parts.slice(2) : parts;
    if (plural !== resource || more.length > 0) continue;
    if (name !== null && namespace === null) return null;
    return { resource, namespace, name, subresource };
  }
  return null;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // Nothing is called like this.
  }
}

/** As RBAC calls what is asked for. */
export function verbOf(
  method: string,
  { name }: Pick<ResourcePath, "name">,
  query: URLSearchParams,
): string {
  switch (method) {
    case "GET":
    case "HEAD":
      if (isTrue(query.get("watch"))) return "watch";
      return name === null ? "list" : "get";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return name === null ? "deletecollection" : "delete";
    default:
      return method.toLowerCase();
  }
}

const OTHER_KINDS: readonly (readonly [RegExp, string])[] = [
  [/^\/version$/, "version"],
  [/^\/(healthz|livez|readyz)(\/|$)/, "health"],
  [/^\/apis\/(authentication|authorization)\.k8s\.io\/v1\/selfsubject\w+$/, "self"],
  [/^\/(api|apis|openapi)(\/[^/]+){0,2}$/, "discovery"],
];

/** For the journal and for faults: `deployments.watch`, `deployments.scale.patch`, `version`, `unknown`. */
export function kindOf(method: string, path: string, query: URLSearchParams): string {
  const found = parsePath(path);
  if (found === null) return OTHER_KINDS.find(([pattern]) => pattern.test(path))?.[1] ?? "unknown";
  const { resource, subresource } = found;
  const verb = verbOf(method, found, query);
  return [resource, subresource, verb].filter((part) => part !== "").join(".");
}
