/** The manifests for running in a cluster, against what the program reads and asks for. */

import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { VARIABLES } from "../src/variables.ts";
import { finish, patient } from "./contract/provider.ts";
import { DEMO, startDemoCluster } from "./support/one-workload-cluster.ts";
import type { SeenCall } from "./support/scripted-cluster.ts";
import { until } from "./support/until.ts";

const FOLDER = join(import.meta.dir, "../deploy/kubernetes");

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
  readonly spec?: Readonly<Record<string, unknown>>;
}

function manifestsOf(name: string): readonly Manifest[] {
  return parseAllDocuments(readFileSync(join(FOLDER, name), "utf8")).map((document) => {
    expect([name, document.errors, document.warnings]).toEqual([name, [], []]);
    return document.toJS() as Manifest; // The tests say what else is in it.
  });
}

const files = readdirSync(FOLDER).filter((name) => name.endsWith(".yaml"));
const all = files.flatMap(manifestsOf);

function permissionsOf(kind: string): string[] {
  const rules = all.find((one) => one.kind === kind)?.rules ?? [];
  const permissions = rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`)),
    ),
  );
  return permissions.toSorted();
}

/** What a Role must say for a call. */
function permissionFor({ method, path }: SeenCall): string {
  const [address = "", query = ""] = path.split("?");
  const parts = address.split("/").filter(Boolean);
  const group = parts[0] === "api" ? "" : (parts[1] ?? "");
  const [resource = "", name, part] = parts.slice(parts.indexOf("namespaces") + 2);
  const verb = { GET: name === undefined ? "list" : "get", PATCH: "patch" }[method];
  const isWatch = query.includes("watch=1");
  return `${isWatch ? "watch" : verb} ${group}/${part === undefined ? resource : `${resource}/${part}`}`;
}

test("manifests: there is everything that is needed, once", () => {
  const found = all.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  expect(found.toSorted()).toEqual([
    "ClusterRole paastis",
    "ClusterRoleBinding paastis",
    "ConfigMap paastis",
    "Deployment demo",
    "Deployment paastis",
    "Ingress paastis",
    "Namespace paastis",
    "PersistentVolumeClaim paastis",
    "Role paastis",
    "RoleBinding paastis",
    "Service demo",
    "Service paastis",
    "Service redis",
    "ServiceAccount paastis",
    "StatefulSet redis",
  ]);
});

test("manifests: the patch for two replicas names what is there, and variables that are read", () => {
  const part = podOf(manifestsOf("two-replicas.patch")[0]);
  const whole = podOf(
    all.find(({ kind, metadata }) => kind === "Deployment" && metadata.name === "paastis"),
  );
  const names = (list: readonly { name: string }[]) => list.map(({ name }) => name);
  for (const name of names(part.volumes)) expect(names(whole.volumes)).toContain(name);
  const [container] = part.containers;
  expect(names(whole.containers)).toContain(container?.name ?? "");
  const known: readonly string[] = Object.values(VARIABLES).map(({ name }) => name);
  const own = names(container?.env ?? []).filter((name) => name !== "REDIS_PASSWORD");
  for (const name of own) expect(known).toContain(name);
});

function podOf(manifest: Manifest | undefined): PodSpec {
  if (manifest?.spec === undefined) throw new Error("there is none");
  // Of which every Deployment is made, and a patch of one.
  return (manifest.spec as { template: { spec: PodSpec } }).template.spec;
}

interface PodSpec {
  readonly containers: readonly {
    readonly name: string;
    readonly env: readonly { name: string }[];
  }[];
  readonly volumes: readonly { readonly name: string }[];
}

test("manifests: the roles allow all that the provider asks for, and nothing else", async () => {
  await using demo = await startDemoCluster();
  const { provider, state, cluster } = demo;
  demo.watch();
  await provider.list(patient());
  const kinds = ["deployments", "statefulsets", "services", "horizontalpodautoscalers"];
  await until(() => kinds.every((kind) => demo.watchOf(kind) !== undefined));
  await provider.sleep(DEMO, { kind: "none" }, patient());
  state.isReady = false;
  const finished = finish(provider, DEMO, await provider.wake(DEMO, null, patient()));
  await until(() => demo.watchOf("endpointslices") !== undefined);
  await provider.observe(DEMO, patient());
  demo.watchOf("endpointslices")?.send({
    type: "ADDED",
    object: { metadata: { name: "demo-1" }, endpoints: [{ addresses: ["10.1.2.3"] }] },
  });
  await finished;
  // A StatefulSet is asked for and changed in the same way.
  const asked = new Set(
    cluster.calls
      .map(permissionFor)
      .flatMap((one) => [one, one.replace("deployments", "statefulsets")]),
  );
  expect(permissionsOf("Role")).toEqual([...asked].toSorted());
  expect(permissionsOf("ClusterRole")).toEqual(permissionsOf("Role"));
});

test("manifests: every variable that is set is one that the program reads", () => {
  const text = readFileSync(join(FOLDER, "paastis.yaml"), "utf8");
  const set = [...text.matchAll(/^ +- name: ([A-Z][A-Z_]+)$/gm)].map(([, name]) => name);
  const known: readonly string[] = Object.values(VARIABLES).map(({ name }) => name);
  expect(set.length).toBeGreaterThan(3);
  expect(set.filter((name = "") => !known.includes(name))).toEqual([]);
});

test("manifests: there is one replica for as long as several cannot share what they know", () => {
  const spec = all.find(
    ({ kind, metadata }) => kind === "Deployment" && metadata.name === "paastis",
  )?.spec;
  expect(spec).toMatchObject({ replicas: 1, strategy: { type: "Recreate" } });
});
