/** Selectors, as queries and objects have them: which objects are meant. */

import type { KubeObject, LabelSelector, ResourceName, Texts } from "./fake-kubernetes-objects.ts";

/** Whether an object is meant. */
export type Selects = (object: KubeObject) => boolean;

/** A query that cannot be read; its message is the API server's. */
export type Unreadable = { readonly problem: string };

/**
 * `a=b,c!=d,e in (f,g),h notin (i),j,!k`; an empty one selects all.
 * Source: Kubernetes, "Labels and Selectors".
 */
export function parseLabelSelector(text: string): Selects | Unreadable {
  const parts = splitOutside(text);
  const tests: ((labels: Texts) => boolean)[] = [];
  for (const part of parts) {
    const test = requirementOf(part.trim());
    if (test === null) return { problem: `unable to parse requirement: ${quoted(part.trim())}` };
    tests.push(test);
  }
  return ({ metadata }) => tests.every((test) => test(metadata.labels ?? {}));
}

/** Commas within brackets do not count. */
function splitOutside(text: string): string[] {
  if (text.trim() === "") return [];
  return text.split(/,(?![^(]*\))/);
}

function requirementOf(part: string): ((labels: Texts) => boolean) | null {
  const set = /^([^\s!=]+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(part);
  if (set !== null) {
    const [, key = "", operator, list = ""] = set;
    const values = list.split(",").map((value) => value.trim());
    if (!isLabelKey(key) || !values.every(isLabelValue)) return null;
    if (operator === "in") return (labels) => values.includes(labels[key] ?? "\n");
    return (labels) => !values.includes(labels[key] ?? "\n");
  }
  const equality = /^([^\s!=]+)\s*(==|=|!=)\s*(\S*)$/.exec(part);
  if (equality !== null) {
    const [, key = "", operator, value = ""] = equality;
    if (!isLabelKey(key) || !isLabelValue(value)) return null;
    if (operator === "!=") return (labels) => labels[key] !== value;
    return (labels) => labels[key] === value;
  }
  const [, not, key = ""] = /^(!?)\s*(\S+)$/.exec(part) ?? [];
  if (!isLabelKey(key)) return null;
  return (labels) => key in labels === (not === "");
}

/** Source: Kubernetes, "Labels and Selectors", syntax and character set. */
export function isLabelKey(key: string): boolean {
  const parts = key.split("/");
  const name = parts.pop() ?? "";
  const [prefix] = parts;
  const isPrefix =
    prefix === undefined ||
    (prefix.length <= 253 && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(prefix));
  const isName = name.length <= 63 && /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(name);
  return parts.length <= 1 && isPrefix && isName;
}

function isLabelValue(value: string): boolean {
  return value.length <= 63 && /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/.test(value);
}

const FIELDS: Readonly<Record<string, (object: KubeObject) => string>> = {
  "metadata.name": ({ metadata }) => metadata.name,
  "metadata.namespace": ({ metadata }) => metadata.namespace,
};

/** Pods have more of them. */
const POD_FIELDS: Readonly<Record<string, (object: KubeObject) => string>> = {
  "status.phase": (pod) => textAt(pod.status, "phase"),
  "status.podIP": (pod) => textAt(pod.status, "podIP"),
  "spec.nodeName": (pod) => textAt(pod.spec, "nodeName"),
};

/** `metadata.name=demo,status.phase!=Running`. */
export function parseFieldSelector(resource: ResourceName, text: string): Selects | Unreadable {
  const fields = resource === "pods" ? { ...FIELDS, ...POD_FIELDS } : FIELDS;
  const tests: Selects[] = [];
  for (const part of text === "" ? [] : text.split(",")) {
    const [, name = "", operator, value] = /^([^=!]+)(==|=|!=)(.*)$/.exec(part) ?? [];
    if (operator === undefined) return { problem: `invalid field selector: ${quoted(part)}` };
    const read = fields[name];
    if (read === undefined) return { problem: `field label not supported: ${name}` };
    tests.push((object) => (read(object) === value) === (operator !== "!="));
  }
  return (object) => tests.every((test) => test(object));
}

/** The selector of a Service: every label must be there. */
export function hasLabels(labels: Texts, wanted: Texts): boolean {
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}

/** As `status.selector` of a `Scale` has it: `app=demo,tier in (a,b)`. */
export function selectorText({ matchLabels = {}, matchExpressions = [] }: LabelSelector): string {
  const equal = Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`);
  const others = matchExpressions.map(({ key, operator, values = [] }) => {
    if (operator === "Exists") return key;
    if (operator === "DoesNotExist") return `!${key}`;
    return `${key} ${operator.toLowerCase()} (${values.join(",")})`;
  });
  return [...equal, ...others].join(",");
}

function textAt(value: unknown, field: string): string {
  if (typeof value !== "object" || value === null) return "";
  const found: unknown = Reflect.get(value, field);
  return typeof found === "string" ? found : "";
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
