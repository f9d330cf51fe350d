/** What the fake cluster tells about itself: version, groups and resources, and who one is. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import { type AccessRule, isAllowed } from "./fake-kubernetes-access.ts";
import { apiVersionOf, RESOURCES, type ResourceName } from "./fake-kubernetes-objects.ts";
import type { KubeCall } from "./fake-kubernetes-server.ts";
import { answerOf, badRequest, noSuchResource } from "./fake-kubernetes-status.ts";
import { fieldsOf } from "./request-checks.ts";

/** Source: OpenAPI, `version.Info`. */
const VERSION = {
  major: "1",
  minor: "33",
  emulationMajor: "1",
  emulationMinor: "33",
  minCompatibilityMajor: "1",
  minCompatibilityMinor: "32",
  gitVersion: "v1.33.4",
  gitCommit: "ad3338546da947756e8a88aa6822e9c11e7eac22",
  gitTreeState: "clean",
  buildDate: "2025-08-13T06:58:41Z",
  goVersion: "go1.24.5",
  compiler: "gc",
  platform: "linux/amd64",
};

/** `null`: the path is about something else. */
export function answerDiscovery(call: KubeCall): FakeAnswer | null {
  const { path } = call;
  if (path === "/version") return json(VERSION);
  if (/^\/(healthz|livez|readyz)/.test(path)) return { status: 200, body: "ok" };
  if (path === "/api") return json({ kind: "APIVersions", versions: ["v1"] });
  if (path === "/apis") {
    return json({ kind: "APIGroupList", apiVersion: "v1", groups: groups().map(groupOf) });
  }
  const [, group = "", version] = /^\/apis\/([^/]+)(?:\/([^/]+))?$/.exec(path) ?? [];
  if (path === "/api/v1") return json(resourceList(""));
  if (!groups().includes(group))
    return path.startsWith("/apis/") ? answerOf(noSuchResource()) : null;
  if (version === undefined) return json({ kind: "APIGroup", apiVersion: "v1", ...groupOf(group) });
  return version === versionOf(group) ? json(resourceList(group)) : answerOf(noSuchResource());
}

function groups(): string[] {
  const all = Object.values(RESOURCES).map(({ group }) => group as string);
  return [...new Set(all)].filter((group) => group !== "");
}

function versionOf(group: string): string {
  return Object.values(RESOURCES).find((one) => one.group === group)?.version ?? "v1";
}

function groupOf(group: string) {
  const version = versionOf(group);
  const preferredVersion = { groupVersion: `${group}/${version}`, version };
  return { name: group, versions: [preferredVersion], preferredVersion };
}

const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const SHORT: Readonly<Record<string, readonly string[]>> = {
  deployments: ["deploy"],
  statefulsets: ["sts"],
  services: ["svc"],
  pods: ["po"],
  horizontalpodautoscalers: ["hpa"],
};

function resourceList(group: string) {
  const names = Object.keys(RESOURCES) as ResourceName[]; // Keys of a constant: they are its names.
  const own = names.filter((name) => RESOURCES[name].group === group);
  const resources = own.flatMap((name) => {
    const { kind, singular } = RESOURCES[name];
    const common = { namespaced: true };
    const whole = { name, singularName: singular, ...common, kind, verbs: VERBS };
    const object = { ...whole, ...(SHORT[name] && { shortNames: SHORT[name] }) };
    if (group !== "apps") return [object];
    const scale = { group: "autoscaling", version: "v1", kind: "Scale" };
    const verbs = ["get", "patch", "update"];
    return [object, { name: `${name}/scale`, singularName: "", ...common, ...scale, verbs }];
  });
  const [first = "pods"] = own;
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: apiVersionOf(first),
    resources,
  };
}

/**
 * Reviews of oneself, which everybody may ask for. `null`: the path is about something else.
 * Source: ClusterRole `system:basic-user`.
 */
export function answerSelf(
  call: KubeCall,
  user: string,
  rules: readonly AccessRule[],
): FakeAnswer | null {
  const [, group = "", resource] =
    /^\/apis\/(authentication|authorization)\.k8s\.io\/v1\/(selfsubject\w+)$/.exec(call.path) ?? [];
  if (resource === undefined) return null;
  const body = fieldsOf(call.json);
  const head = { apiVersion: `${group}.k8s.io/v1`, metadata: { creationTimestamp: null } };
  if (call.method !== "POST" || body === null) {
    call.violation("a review is asked for with POST and a JSON object");
    return answerOf(badRequest("Object 'Kind' is missing"));
  }
  if (resource === "selfsubjectreviews") {
    const userInfo = { username: user, groups: ["system:authenticated"] };
    return json({ kind: "SelfSubjectReview", ...head, status: { userInfo } }, 201);
  }
  if (resource !== "selfsubjectaccessreviews") return answerOf(noSuchResource());
  const spec = fieldsOf(body.spec) ?? {};
  const asked = fieldsOf(spec.resourceAttributes) ?? {};
  const text = (name: string) => String(asked[name] ?? "");
  const known = text("resource") in RESOURCES;
  const allowed =
    known &&
    isAllowed(rules, {
      resource: text("resource") as ResourceName, // As `known` says.
      subresource: text("subresource"),
      verb: text("verb"),
      namespace: text("namespace") || null,
      name: text("name") || null,
    });
  return json({ kind: "SelfSubjectAccessReview", ...head, spec, status: { allowed } }, 201);
}
