/** The fake cluster's API: from a call to its answer, in the order in which an API server looks at it. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import { type Access, authorize, authorizePath, limit, userOf } from "./fake-kubernetes-access.ts";
import { answerDiscovery, answerSelf } from "./fake-kubernetes-discovery.ts";
import type { Lists } from "./fake-kubernetes-lists.ts";
import { parsePath, type ResourcePath, verbOf } from "./fake-kubernetes-paths.ts";
import type { KubeCall, Reply } from "./fake-kubernetes-server.ts";
import {
  answerOf,
  methodNotAllowed,
  noSuchResource,
  notAcceptable,
  notFound,
  statusOf,
} from "./fake-kubernetes-status.ts";
import type { Watches } from "./fake-kubernetes-watches.ts";
import { answerScale, answerWrite, type WriteDeps } from "./fake-kubernetes-writes.ts";

export interface ApiDeps {
  readonly access: Access;
  readonly lists: Lists;
  readonly watches: Watches;
  readonly writes: WriteDeps;
  /** Called with each read that is no watch: `path?query`. */
  readonly onRead: (call: KubeCall) => void;
}

/** What parameters there are, by verb. The API server ignores others; a client that sends them is mistaken. */
const COMMON = ["pretty", "timeout"];
const LISTING = [
  ...["labelSelector", "fieldSelector", "limit", "continue", "resourceVersion"],
  ...["resourceVersionMatch", "timeoutSeconds", "watch", "allowWatchBookmarks"],
  "sendInitialEvents",
];
const WRITING = ["dryRun", "fieldManager", "fieldValidation", "force"];

/** Credentials, then the queues, then RBAC, then the resource. */
export function answerCall(deps: ApiDeps, call: KubeCall): Reply {
  const user = userOf(deps.access, call);
  if ("refusal" in user) return user.refusal;
  const refusal = limit(deps.access);
  if (refusal !== null) return refusal;
  const asked = parsePath(call.path);
  if (asked === null) return answerOther(deps, call, user.name);
  const verb = verbOf(call.method, asked, call.query);
  if (user.name === "system:anonymous") call.violation("without credentials");
  if (["create", "delete", "deletecollection"].includes(verb)) {
    call.violation("whoever puts workloads to sleep neither makes nor deletes anything");
  }
  const denied = authorize(deps.access, user.name, { ...asked, verb });
  if (denied !== null) return denied;
  checkParameters(call, verb);
  if (!accepts(call)) {
    call.violation(`it accepts ${call.headers.get("accept")}`);
    return answerOf(notAcceptable());
  }
  return answerResource(deps, { call, asked, verb });
}

function answerOther(deps: ApiDeps, call: KubeCall, user: string): FakeAnswer {
  const self = answerSelf(call, user, deps.access.rules);
  if (self !== null) return self;
  if (/^\/api\/v1\/namespaces(\/[^/]+)?$/.test(call.path)) return noNamespaces(user, call);
  const denied = authorizePath(deps.access, user, call);
  const answer = denied ?? (call.method === "GET" ? answerDiscovery(call) : null);
  if (answer !== null && answer.status < 400) return answer;
  call.violation("there is no such endpoint");
  return answer ?? answerOf(noSuchResource());
}

/** The fake does not have them as objects; a Role never allows to read them. */
function noNamespaces(user: string, { path, method }: KubeCall): FakeAnswer {
  const [, name] = /namespaces\/(.*)$/.exec(path) ?? [];
  const what = name === undefined ? "namespaces" : `namespaces "${name}"`;
  const verb = name === undefined ? "list" : method.toLowerCase();
  const where = name === undefined ? "at the cluster scope" : `in the namespace "${name}"`;
  const message = `${what} is forbidden: User "${user}" cannot ${verb} resource "namespaces" in API group "" ${where}`;
  const details = { ...(name !== undefined && { name }), kind: "namespaces" };
  return answerOf(statusOf({ code: 403, reason: "Forbidden", message, details }));
}

function checkParameters(call: KubeCall, verb: string): void {
  const known = [
    ...COMMON,
    ...(verb === "list" || verb === "watch" ? LISTING : []),
    ...(verb === "get" ? ["resourceVersion"] : []),
    ...(verb === "patch" || verb === "update" ? WRITING : []),
  ];
  const names = [...call.query.keys()];
  for (const name of new Set(names)) {
    if (!known.includes(name)) call.violation(`unknown query parameter "${name}"`);
    if (names.filter((other) => other === name).length > 1) {
      call.violation(`query parameter "${name}" more than once`);
    }
  }
}

/** Bun and browsers say that they take anything. */
function accepts(call: KubeCall): boolean {
  const accept = call.headers.get("accept") ?? "*/*";
  return /(^|[\s,])(\*\/\*|application\/\*|application\/json)([\s;,]|$)/.test(accept);
}

interface Asked {
  readonly call: KubeCall;
  readonly asked: ResourcePath;
  readonly verb: string;
}

function answerResource(deps: ApiDeps, { call, asked, verb }: Asked): Reply {
  const { resource, namespace, name, subresource } = asked;
  if (verb === "watch" && name === null) return deps.watches.open(call, resource, namespace);
  if (verb === "list") {
    deps.onRead(call);
    return deps.lists.answer(call, resource, namespace);
  }
  if (name === null || namespace === null) return answerOf(methodNotAllowed());
  if (resource === "deployments" || resource === "statefulsets") {
    const write = { call, resource, namespace, name };
    const isWrite = verb === "patch" || verb === "update";
    if (subresource === "scale" && (isWrite || verb === "get")) {
      return answerScale(deps.writes, write);
    }
    if (subresource === "" && isWrite) return answerWrite(deps.writes, write);
  }
  if (subresource !== "" && subresource !== "status") return answerOf(noSuchResource());
  if (verb !== "get") return answerOf(methodNotAllowed());
  deps.onRead(call);
  const object = deps.writes.store.get(resource, namespace, name);
  return object === null ? answerOf(notFound({ resource, name })) : json(object);
}
