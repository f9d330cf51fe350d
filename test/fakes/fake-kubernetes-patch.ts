/** The ways in which a change of an object can be written down, and what comes out of each. Pure. */

import { isDeepStrictEqual } from "node:util";
import { type Fields, fieldsOf } from "./request-checks.ts";

/** Content types of patches. */
export const PATCH_TYPES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/apply-patch+yaml",
  "application/strategic-merge-patch+json",
] as const;

export type PatchType = (typeof PATCH_TYPES)[number];

/** The object that comes out, or why there is none. */
export type Patched = { readonly object: Fields } | { readonly problem: string };

/** Parameters of the content type do not matter. `null`: it is none of a patch. */
export function patchTypeOf(contentType: string | null): PatchType | null {
  const [bare = ""] = (contentType ?? "").split(";");
  return PATCH_TYPES.find((type) => type === bare.trim().toLowerCase()) ?? null;
}

/** `body` is parsed JSON; what was applied in YAML must be JSON as well. */
export function applyPatch(type: PatchType, object: Fields, body: unknown): Patched {
  if (type === "application/json-patch+json") return jsonPatched(object, body);
  const patch = fieldsOf(body);
  if (patch === null) return { problem: "json: cannot unmarshal into Go value of type map" };
  const merged =
    type === "application/merge-patch+json" ? merge(object, patch) : strategic(object, patch);
  return { object: fieldsOf(merged) ?? {} };
}

/** Source: RFC 7396. */
function merge(target: unknown, patch: unknown): unknown {
  const changes = fieldsOf(patch);
  if (changes === null) return patch;
  const result: Record<string, unknown> = { ...fieldsOf(target) };
  for (const [name, change] of Object.entries(changes)) {
    if (change === null) delete result[name];
    else result[name] = merge(result[name], change);
  }
  return result;
}

/** As merge, but lists of things with a name are merged by it. */
function strategic(target: unknown, patch: unknown): unknown {
  if (Array.isArray(patch) && patch.every((item) => nameOf(item) !== null)) {
    const result: unknown[] = Array.isArray(target) ? [...target] : [];
    for (const change of patch) {
      const at = result.findIndex((item) => nameOf(item) === nameOf(change));
      if (at === -1) result.push(change);
      else result[at] = strategic(result[at], change);
    }
    return result;
  }
  const changes = fieldsOf(patch);
  if (changes === null) return patch;
  const result: Record<string, unknown> = { ...fieldsOf(target) };
  for (const [name, change] of Object.entries(changes)) {
    if (name.startsWith("$")) continue;
    if (change === null) delete result[name];
    else result[name] = strategic(result[name], change);
  }
  return result;
}

function nameOf(value: unknown): unknown {
  return fieldsOf(value)?.name ?? null;
}

/** `add`, `replace`, `remove` and `test` of fields of objects. Source: RFC 6902. */
function jsonPatched(object: Fields, body: unknown): Patched {
  if (!Array.isArray(body)) return { problem: "json: cannot unmarshal object into Go value" };
  const result: Record<string, unknown> = structuredClone({ ...object });
  for (const entry of body) {
    const { op, path, value } = fieldsOf(entry) ?? {};
    const problem = step(result, { op, path: String(path), value });
    if (problem !== null) return { problem };
  }
  return { object: result };
}

function step(
  root: Record<string, unknown>,
  { op, path, value }: { readonly op: unknown; readonly path: string; readonly value: unknown },
): string | null {
  const parts = path.split("/").slice(1).map(unescaped);
  const last = parts.pop() ?? "";
  let place: unknown = root;
  for (const part of parts) place = fieldsOf(place)?.[part];
  const parent = fieldsOf(place);
  if (parent === null)
    return `${String(op)} operation does not apply: doc is missing path: ${path}`;
  const isThere = last in parent;
  switch (op) {
    case "add":
      Reflect.set(parent, last, value);
      return null;
    case "replace":
      if (!isThere) return `replace operation does not apply: doc is missing key: ${path}`;
      Reflect.set(parent, last, value);
      return null;
    case "remove":
      if (!isThere) return `remove operation does not apply: doc is missing key: ${path}`;
      Reflect.deleteProperty(parent, last);
      return null;
    case "test":
      if (isDeepStrictEqual(parent[last], value)) return null;
      return `testing path ${path} failed`;
    default:
      return `Unexpected kind: ${String(op)}`;
  }
}

function unescaped(part: string): string {
  return part.replaceAll("~1", "/").replaceAll("~0", "~");
}
