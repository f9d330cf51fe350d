/**
 * What the fake cluster says when it says no: a `Status`.
 * Source: `apimachinery`, `pkg/api/errors`, whose sentences these are.
 */

import type { FakeAnswer } from "./fake-answer.ts";
import { qualifiedName, RESOURCES, type ResourceName } from "./fake-kubernetes-objects.ts";

/** `metav1.Status` of a failure. */
export interface Status {
  readonly kind: "Status";
  readonly apiVersion: "v1";
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly status: "Failure";
  readonly message: string;
  readonly reason?: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly code: number;
}

/** What was asked for. */
export interface Subject {
  readonly resource: ResourceName;
  /** `null`: all of them. */
  readonly name: string | null;
}

interface Failure {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Any failure. */
export function statusOf({ code, reason, message, details, metadata = {} }: Failure): Status {
  const head = { kind: "Status", apiVersion: "v1", metadata, status: "Failure" } as const;
  return { ...head, message, ...(reason && { reason }), ...(details && { details }), code };
}

/** A `Status` as an answer of its own code. */
export function answerOf(status: Status, headers: Readonly<Record<string, string>> = {}) {
  return { status: status.code, headers, body: status } satisfies FakeAnswer;
}

export function unauthorized(): Status {
  return statusOf({ code: 401, reason: "Unauthorized", message: "Unauthorized" });
}

export function notFound({ resource, name }: Subject): Status {
  const message = `${qualifiedName(resource)} "${name}" not found`;
  return statusOf({ code: 404, reason: "NotFound", message, details: detailsOf(resource, name) });
}

/** To a path that is no resource. */
export function noSuchResource(): Status {
  const message = "the server could not find the requested resource";
  return statusOf({ code: 404, reason: "NotFound", message, details: {} });
}

/** @param where the namespace; `null`: the whole cluster */
export function forbidden(
  { resource, name, subresource }: Subject & { readonly subresource: string },
  asked: { readonly user: string; readonly verb: string; readonly where: string | null },
): Status {
  const { group } = RESOURCES[resource];
  const { user, verb, where } = asked;
  const whole = subresource === "" ? resource : `${resource}/${subresource}`;
  const scope = where === null ? "at the cluster scope" : `in the namespace "${where}"`;
  const what = name === null ? qualifiedName(resource) : `${qualifiedName(resource)} "${name}"`;
  const message = `${what} is forbidden: User "${user}" cannot ${verb} resource "${whole}" in API group "${group}" ${scope}`;
  return statusOf({ code: 403, reason: "Forbidden", message, details: detailsOf(resource, name) });
}

export function forbiddenPath(user: string, verb: string, path: string): Status {
  const message = `forbidden: User "${user}" cannot ${verb} path "${path}"`;
  return statusOf({ code: 403, reason: "Forbidden", message, details: {} });
}

export function badRequest(message: string): Status {
  return statusOf({ code: 400, reason: "BadRequest", message });
}

export function conflict({ resource, name }: Subject): Status {
  const why =
    "the object has been modified; please apply your changes to the latest version and try again";
  const message = `Operation cannot be fulfilled on ${qualifiedName(resource)} "${name}": ${why}`;
  return statusOf({ code: 409, reason: "Conflict", message, details: detailsOf(resource, name) });
}

/** One field that cannot be as it was sent. */
export interface FieldProblem {
  /** `spec.replicas`. */
  readonly field: string;
  readonly reason: "FieldValueInvalid" | "FieldValueRequired" | "FieldValueForbidden";
  /** `Invalid value: -1: must be greater than or equal to 0`. */
  readonly message: string;
}

/** @param what `Scale.autoscaling "demo"` */
export function invalid(what: string, problems: readonly FieldProblem[]): Status {
  const [, kind = "", group = "", name = ""] = /^([^."\s]*)\.?([^"\s]*)\s*"(.*)"$/.exec(what) ?? [];
  const told = problems.map(({ field, message }) => `${field}: ${message}`);
  const list = told.length === 1 ? told.join("") : `[${told.join(", ")}]`;
  const causes = problems.map(({ field, reason, message }) => ({ reason, message, field }));
  const details = { name, ...(group && { group }), ...(kind && { kind }), causes };
  return statusOf({
    ...{ code: 422, reason: "Invalid", message: `${what} is invalid: ${list}` },
    details,
  });
}

export function unsupportedMediaType(accepted: readonly string[]): Status {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`;
  return statusOf({ code: 415, reason: "UnsupportedMediaType", message });
}

export function notAcceptable(): Status {
  const message =
    "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
  return statusOf({ code: 406, reason: "NotAcceptable", message });
}

export function methodNotAllowed(): Status {
  const message = "the server does not allow this method on the requested resource";
  return statusOf({ code: 405, reason: "MethodNotAllowed", message, details: {} });
}

/** A page that cannot be had any more. @param inconsistent continues all the same, with things missing or twice */
export function continueExpired(inconsistent: string): Status {
  const message =
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
  return statusOf({ code: 410, reason: "Expired", message, metadata: { continue: inconsistent } });
}

/** A watch, or a list of one moment, that begins too far back. */
export function versionExpired(version: bigint, oldest: bigint): Status {
  const message = `too old resource version: ${version} (${oldest})`;
  return statusOf({ code: 410, reason: "Expired", message });
}

/** A resource version of the future. */
export function versionTooLarge(version: bigint, newest: bigint): Status {
  const message = `Timeout: Too large resource version: ${version}, current: ${newest}`;
  const causes = [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }];
  const details = { causes, retryAfterSeconds: 1 };
  return statusOf({ code: 504, reason: "Timeout", message, details });
}

/** What an overloaded server says, rather than the queues in front of it. */
export function tooManyRequests(retryAfterSeconds: number): Status {
  const message = "Too many requests, please try again later.";
  const details = { retryAfterSeconds };
  return statusOf({ code: 429, reason: "TooManyRequests", message, details });
}

export function internalError(message = "etcdserver: request timed out"): Status {
  const details = { causes: [{ message }] };
  const text = `Internal error occurred: ${message}`;
  return statusOf({ code: 500, reason: "InternalError", message: text, details });
}

export function serverTimeout(subject: Subject): Status {
  const message = `The get operation against ${qualifiedName(subject.resource)} could not be completed at this time, please try again.`;
  const details = { ...detailsOf(subject.resource, "get"), retryAfterSeconds: 1 };
  return statusOf({ code: 500, reason: "ServerTimeout", message, details });
}

export function serviceUnavailable(): Status {
  const message = "apiserver not ready";
  return statusOf({ code: 503, reason: "ServiceUnavailable", message, details: {} });
}

function detailsOf(resource: ResourceName, name: string | null): Record<string, string> {
  const { group } = RESOURCES[resource];
  return { ...(name !== null && { name }), ...(group && { group }), kind: resource };
}
