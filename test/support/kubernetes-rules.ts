/** What the manifests of the project allow its service account, as rules of the fake cluster. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import type { AccessRule } from "../fakes/fake-kubernetes-access.ts";

const FOLDER = join(import.meta.dir, "../../deploy/kubernetes");

/** Of the ClusterRole; with namespaces: of a Role in each of them. @throws when the manifest has no such role */
export function manifestRules(namespaces: AccessRule["namespaces"] = "all"): readonly AccessRule[] {
  const [file, kind] =
    namespaces === "all" ? ["rbac-cluster.yaml", "ClusterRole"] : ["rbac-namespace.yaml", "Role"];
  const documents = parseAllDocuments(readFileSync(join(FOLDER, file), "utf8"));
  const role = documents.find((document) => document.get("kind") === kind);
  if (role === undefined) throw new Error(`${file} has no ${kind}`);
  // Its form is looked at by the test of the manifests.
  const { rules } = role.toJS() as { readonly rules: readonly Omit<AccessRule, "namespaces">[] };
  return rules.map((rule) => ({ ...rule, namespaces }));
}
