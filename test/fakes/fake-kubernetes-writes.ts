/** Changes of workloads by clients: of the object, and of its size through the `scale` subresource. */

import type { Clock } from "../../src/clock.ts";
import { type FakeAnswer, json } from "./fake-answer.ts";
import {
  apiVersionOf,
  type ManagedField,
  qualifiedName,
  RESOURCES,
  timestampOf,
  type Workload,
  type WorkloadResource,
} from "./fake-kubernetes-objects.ts";
import { applyPatch, PATCH_TYPES, patchTypeOf } from "./fake-kubernetes-patch.ts";
import { examine, type Findings } from "./fake-kubernetes-schema.ts";
import { selectorText } from "./fake-kubernetes-selectors.ts";
import type { KubeCall } from "./fake-kubernetes-server.ts";
import {
  answerOf,
  badRequest,
  conflict,
  type FieldProblem,
  invalid,
  notFound,
  unsupportedMediaType,
} from "./fake-kubernetes-status.ts";
import type { Store } from "./fake-kubernetes-store.ts";
import { isTrue } from "./fake-kubernetes-watches.ts";
import { type Fields, fieldsOf } from "./request-checks.ts";

export interface WriteDeps {
  readonly store: Store;
  readonly clock: Clock;
  /** A size that is 0 is left out of a `Scale`, as Go does; else it is there. */
  readonly leavesOutZero: boolean;
}

/** A call for one workload. */
export interface WriteCall {
  readonly call: KubeCall;
  readonly resource: WorkloadResource;
  readonly namespace: string;
  readonly name: string;
}

/** The `Scale` of a workload. Source: OpenAPI, `autoscaling.v1.Scale`. */
export function scaleOf(deps: Pick<WriteDeps, "leavesOutZero">, workload: Workload): Fields {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = workload.metadata;
  const replicas = workload.spec.replicas ?? 1;
  const isLeftOut = replicas === 0 && deps.leavesOutZero;
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: isLeftOut ? {} : { replicas },
    status: {
      replicas: workload.status.replicas ?? 0,
      selector: selectorText(workload.spec.selector),
    },
  };
}

/** GET, PUT and PATCH of `…/scale`. */
export function answerScale(deps: WriteDeps, write: WriteCall): FakeAnswer {
  const workload = deps.store.get(write.resource, write.namespace, write.name);
  if (workload === null) return answerOf(notFound(write));
  const { method } = write.call;
  if (method === "GET") return json(scaleOf(deps, workload));
  const before = scaleOf({ leavesOutZero: false }, workload);
  const change = method === "PUT" ? replaced(write, "Scale") : patched(write, before);
  if ("refusal" in change) return change.refusal;
  const refusal = checked(write, { ...change, kind: "scale", before: workload });
  if (refusal !== null) return refusal;
  const replicas = Number(fieldsOf(change.object.spec)?.replicas ?? 0);
  const spec = { ...workload.spec, replicas };
  const after = stored(deps, write, { ...workload, spec });
  return json(scaleOf(deps, after), 200, warningsOf(change.findings));
}

/** PUT and PATCH of the object itself. */
export function answerWrite(deps: WriteDeps, write: WriteCall): FakeAnswer {
  const { call, resource, namespace, name } = write;
  const workload = deps.store.get(resource, namespace, name);
  if (workload === null) return answerOf(notFound(write));
  const { kind } = RESOURCES[resource];
  const change = call.method === "PUT" ? replaced(write, kind) : patched(write, { ...workload });
  if ("refusal" in change) return change.refusal;
  const refusal = checked(write, { ...change, kind: resource, before: workload });
  if (refusal !== null) return refusal;
  // Looked at field by field above; what only the server writes stays as it was.
  const wanted = change.object as unknown as Workload;
  const { labels, annotations, finalizers, ownerReferences } = wanted.metadata;
  const metadata = {
    ...workload.metadata,
    ...{ labels: labels ?? {}, annotations: annotations ?? {} },
    ...(finalizers && { finalizers }),
    ...(ownerReferences && { ownerReferences }),
  };
  if (JSON.stringify(wanted.spec.selector) !== JSON.stringify(workload.spec.selector)) {
    const message = "Invalid value: field is immutable";
    const problem = { field: "spec.selector", reason: "FieldValueInvalid", message } as const;
    return answerOf(invalid(`${kind}.apps "${name}"`, [problem]));
  }
  if (wanted.spec.replicas !== workload.spec.replicas) {
    call.violation("the size of a workload is changed by its scale, not on the object");
  }
  const after = stored(deps, write, { ...workload, metadata, spec: wanted.spec });
  return json(after, 200, warningsOf(change.findings));
}

interface Written {
  readonly object: Fields;
  readonly findings: Findings;
}

type Result = Written | { readonly refusal: FakeAnswer };

function patched({ call, resource, name }: WriteCall, before: Fields): Result {
  const type = patchTypeOf(call.headers.get("content-type"));
  if (type === null) {
    call.violation(`a patch of the type ${call.headers.get("content-type")}`);
    return { refusal: answerOf(unsupportedMediaType(PATCH_TYPES)) };
  }
  if (type === "application/apply-patch+yaml" && !call.query.has("fieldManager")) {
    const message = "Required value: is required for apply patch";
    const problem = { field: "fieldManager", reason: "FieldValueRequired", message } as const;
    return { refusal: answerOf(invalid('PatchOptions.meta.k8s.io ""', [problem])) };
  }
  if (call.json === undefined) {
    call.violation("the patch is no JSON");
    return { refusal: answerOf(badRequest("error decoding patch: invalid character")) };
  }
  const result = applyPatch(type, before, call.json);
  if ("problem" in result) {
    call.violation(`the patch cannot be applied: ${result.problem}`);
    const what = `${RESOURCES[resource].kind}.apps "${name}"`;
    return { refusal: answerOf(invalid(what, [patchProblem(result.problem)])) };
  }
  const kind = call.path.endsWith("/scale") ? "scale" : resource;
  return { object: result.object, findings: examine(kind, result.object) };
}

function patchProblem(why: string): FieldProblem {
  return { field: "patch", reason: "FieldValueInvalid", message: `Invalid value: "{}": ${why}` };
}

function replaced({ call, resource, namespace, name }: WriteCall, kind: string): Result {
  const type = call.headers.get("content-type") ?? "";
  // The API server takes what does not say what it is for JSON, and its own clients rely on that.
  if (type !== "" && !/^application\/json\b/i.test(type)) {
    call.violation(`a PUT of the type ${type}`);
    const accepted = [
      "application/json",
      "application/yaml",
      "application/vnd.kubernetes.protobuf",
    ];
    return { refusal: answerOf(unsupportedMediaType(accepted)) };
  }
  const object = fieldsOf(call.json);
  const meta = fieldsOf(object?.metadata);
  if (object === null || object.kind !== kind) {
    call.violation(`a PUT of something that is no ${kind}`);
    return { refusal: answerOf(badRequest(`Object 'Kind' is missing in '${call.text}'`)) };
  }
  const version = kind === "Scale" ? "autoscaling/v1" : apiVersionOf(resource);
  if (object.apiVersion !== version) call.violation(`${kind} is of ${version}`);
  if (meta?.name !== name || (meta.namespace !== undefined && meta.namespace !== namespace)) {
    call.violation("a PUT with another name than that of the URL");
    const message = `the name of the object (${String(meta?.name)}) does not match the name on the URL (${name})`;
    return { refusal: answerOf(badRequest(message)) };
  }
  if (meta.resourceVersion === undefined) call.violation("a PUT without a resourceVersion");
  return { object, findings: examine(kind === "Scale" ? "scale" : resource, object) };
}

/** What keeps it from being stored; `null`: nothing. */
function checked(
  write: WriteCall,
  change: Written & {
    readonly kind: "scale" | WorkloadResource;
    readonly before: Workload;
  },
): FakeAnswer | null {
  const { call, name } = write;
  const { findings, object, before } = change;
  const { unknown, unreadable, invalid: problems } = findings;
  for (const path of unknown) call.violation(`there is no field ${path}`);
  for (const why of unreadable) call.violation(why);
  for (const { field, message } of problems) call.violation(`${field}: ${message}`);
  checkManager(call);
  const meta = fieldsOf(object.metadata) ?? {};
  const what =
    change.kind === "scale"
      ? `Scale.autoscaling "${name}"`
      : `${RESOURCES[change.kind].kind}.apps "${name}"`;
  if (unreadable.length > 0) {
    return answerOf(invalid(' ""', unreadable.map(patchProblem)));
  }
  if (unknown.length > 0 && call.query.get("fieldValidation") === "Strict") {
    const list = unknown.map((path) => `unknown field "${path}"`).join(", ");
    return answerOf(badRequest(`strict decoding error: ${list}`));
  }
  if (problems.length > 0) return answerOf(invalid(what, problems));
  const { uid, resourceVersion } = before.metadata;
  const isOther = meta.uid !== undefined && meta.uid !== uid;
  const isOld = meta.resourceVersion !== undefined && meta.resourceVersion !== resourceVersion;
  return isOther || isOld ? answerOf(conflict(write)) : null;
}

/** Source: `apimachinery`, `validateFieldManager`. */
function checkManager(call: KubeCall): void {
  const manager = call.query.get("fieldManager");
  if (manager !== null && (manager.length > 128 || !/^[\x20-\x7e]+$/.test(manager))) {
    call.violation(`"${manager}" cannot be a fieldManager`);
  }
}

function warningsOf({ unknown }: Findings): Record<string, string> {
  if (unknown.length === 0) return {};
  const list = unknown.map((path) => `299 - "unknown field \\"${path}\\""`);
  return { warning: list.join(", ") };
}

/** Counts the generation up when something else is wanted than before. */
function stored(deps: WriteDeps, { call, resource }: WriteCall, wanted: Workload): Workload {
  const { store, clock } = deps;
  const { name, namespace } = wanted.metadata;
  const before = store.get(resource, namespace, name);
  if (before === null) throw new Error(`${qualifiedName(resource)} ${name} has gone`);
  const isNew = JSON.stringify(before.spec) !== JSON.stringify(wanted.spec);
  const generation = (before.metadata.generation ?? 1) + (isNew ? 1 : 0);
  const subresource = call.path.endsWith("/scale") ? "scale" : undefined;
  const field: ManagedField = {
    manager: call.query.get("fieldManager") ?? "unknown",
    operation: "Update",
    apiVersion: apiVersionOf(resource),
    time: timestampOf(clock.now()),
    ...(subresource !== undefined && { subresource }),
    fieldsType: "FieldsV1",
    fieldsV1: {},
  };
  const others = (before.metadata.managedFields ?? []).filter(
    (other) => other.manager !== field.manager || other.subresource !== field.subresource,
  );
  const isSame = !isNew && JSON.stringify(before.metadata) === JSON.stringify(wanted.metadata);
  const managedFields = isSame ? before.metadata.managedFields : [...others, field];
  const metadata = { ...wanted.metadata, generation, ...(managedFields && { managedFields }) };
  const after = { ...wanted, metadata };
  return isTrue(call.query.get("dryRun")) ? after : store.replace(resource, after);
}
