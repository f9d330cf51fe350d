/** Who may do what on the fake cluster: tokens and certificates, RBAC, and how many calls it takes. */

import type { Clock } from "../../src/clock.ts";
import type { FakeAnswer } from "./fake-answer.ts";
import { RESOURCES, type ResourceName } from "./fake-kubernetes-objects.ts";
import type { KubeCall } from "./fake-kubernetes-server.ts";
import {
  answerOf,
  forbidden,
  forbiddenPath,
  tooManyRequests,
  unauthorized,
} from "./fake-kubernetes-status.ts";

/** One rule of a Role (in its namespaces) or a ClusterRole (`namespaces: "all"`). */
export interface AccessRule {
  readonly namespaces: "all" | readonly string[];
  readonly apiGroups: readonly string[];
  /** With subresources: `deployments`, `deployments/scale`. */
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** What the user of Paastis needs at least, and no more. */
export function leastRules(namespaces: AccessRule["namespaces"] = "all"): AccessRule[] {
  const apps = { namespaces, apiGroups: ["apps"] };
  return [
    {
      ...apps,
      resources: ["deployments", "statefulsets"],
      verbs: ["get", "list", "watch", "patch"],
    },
    { ...apps, resources: ["deployments/scale", "statefulsets/scale"], verbs: ["get", "patch"] },
    { namespaces, apiGroups: [""], resources: ["services"], verbs: ["get", "list", "watch"] },
    {
      namespaces,
      apiGroups: ["discovery.k8s.io"],
      resources: ["endpointslices"],
      verbs: ["get", "list", "watch"],
    },
    {
      namespaces,
      apiGroups: ["autoscaling"],
      resources: ["horizontalpodautoscalers"],
      verbs: ["get", "list", "watch"],
    },
    { namespaces, apiGroups: [""], resources: ["pods"], verbs: ["list"] },
  ];
}

/** Who is administrator. */
export const ALL_RULES: readonly AccessRule[] = [
  { namespaces: "all", apiGroups: ["*"], resources: ["*"], verbs: ["*"] },
];

/** What is known of who calls. */
export interface Access {
  readonly clock: Clock;
  /** What the token, the certificate and the proxy stand for. */
  readonly users: { readonly token: string; readonly certificate: string; readonly proxy: string };
  /** Token -> until when it is good, by the clock. */
  readonly tokens: Map<string, number>;
  rules: readonly AccessRule[];
  /** Certificates of the cluster's CA are accepted. */
  takesCertificates: boolean;
  /** How calls that are one too many are answered; `null`: none is. */
  limit: "queues" | "server" | null;
  retryAfterSeconds: number;
  refused: number;
}

/** What somebody wants to do with a resource. */
export interface Intent {
  readonly resource: ResourceName;
  readonly subresource: string;
  readonly verb: string;
  /** `null`: in the whole cluster. */
  readonly namespace: string | null;
  readonly name: string | null;
}

/** Who calls; or the refusal, when the credentials are no good. */
export function userOf(
  access: Access,
  call: KubeCall,
): { readonly name: string } | { readonly refusal: FakeAnswer } {
  const [, scheme = "", token = ""] =
    /^(\S+) (.*)$/.exec(call.headers.get("authorization") ?? "") ?? [];
  if (scheme.toLowerCase() === "bearer" && token !== "") {
    const goodUntilMs = access.tokens.get(token);
    if (goodUntilMs === undefined) call.violation("a token that never was one of the cluster's");
    if ((goodUntilMs ?? 0) > access.clock.now()) return { name: access.users.token };
    return { refusal: answerOf(unauthorized()) };
  }
  if (scheme !== "") {
    call.violation(`the cluster does not know the scheme ${scheme}`);
    return { refusal: answerOf(unauthorized()) };
  }
  if (call.hasCertificate) {
    if (access.takesCertificates) return { name: access.users.certificate };
    return { refusal: answerOf(unauthorized()) };
  }
  return { name: call.isTls ? "system:anonymous" : access.users.proxy };
}

/** Too many calls. Source: `apiserver`, `pkg/server/filters/priority-and-fairness.go`: plain text, Retry-After: 1. */
export function limit(access: Access): FakeAnswer | null {
  if (access.limit === null) return null;
  access.refused += 1;
  const headers = { "retry-after": String(access.retryAfterSeconds) };
  if (access.limit === "server") {
    return answerOf(tooManyRequests(access.retryAfterSeconds), headers);
  }
  const body = "Too many requests, please try again later.\n";
  return { status: 429, headers, body };
}

/** `null`: may do so. */
export function authorize(access: Access, user: string, intent: Intent): FakeAnswer | null {
  const isKnown = Object.values(access.users).includes(user);
  if (isKnown && isAllowed(access.rules, intent)) return null;
  const { verb, namespace } = intent;
  return answerOf(forbidden(intent, { user, verb, where: namespace }));
}

/** Whether one of the rules says so. */
export function isAllowed(rules: readonly AccessRule[], intent: Intent): boolean {
  const { resource, subresource, verb, namespace } = intent;
  const { group } = RESOURCES[resource];
  const whole = subresource === "" ? resource : `${resource}/${subresource}`;
  const has = (list: readonly string[], one: string) => list.includes(one) || list.includes("*");
  return rules.some(
    ({ namespaces, apiGroups, resources, verbs }) =>
      (namespaces === "all" || (namespace !== null && namespaces.includes(namespace))) &&
      has(apiGroups, group) &&
      has(resources, whole) &&
      has(verbs, verb),
  );
}

/** Paths that everybody may read. Source: ClusterRoles `system:discovery` and `system:public-info-viewer`. */
const PUBLIC = /^\/(api|apis|openapi|healthz|livez|readyz|version)(\/|$)/;

/** For what is no resource. `null`: may do so. */
export function authorizePath(access: Access, user: string, call: KubeCall): FakeAnswer | null {
  if (PUBLIC.test(call.path)) return null;
  const isKnown = Object.values(access.users).includes(user);
  if (isKnown && access.rules === ALL_RULES) return null;
  return answerOf(forbiddenPath(user, call.method.toLowerCase(), call.path));
}
