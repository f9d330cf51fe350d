/**
 * Names and types of the fields that clients write.
 * Source: Kubernetes' OpenAPI v3 `apis__apps__v1`: `autoscaling.v1.Scale`, `ObjectMeta`, `Deployment`, `StatefulSet`.
 */

import { isLabelKey } from "./fake-kubernetes-selectors.ts";
import type { FieldProblem } from "./fake-kubernetes-status.ts";
import { type Fields, fieldsOf } from "./request-checks.ts";

/** What is found in a body. */
export interface Findings {
  /** Fields that there are not, with their paths: dropped, with a `Warning`. */
  readonly unknown: readonly string[];
  /** Values that cannot be read at all, in the words of Go; refused as a whole. */
  readonly unreadable: readonly string[];
  /** Values that can be read and are not allowed. */
  readonly invalid: readonly FieldProblem[];
}

type Type = "int32" | "string" | "bool" | "any" | "texts" | Shape;

interface Shape {
  readonly go: string;
  readonly fields: Readonly<Record<string, Type>>;
}

const META: Shape = {
  go: "ObjectMeta",
  fields: {
    ...{ annotations: "texts", creationTimestamp: "any", deletionGracePeriodSeconds: "any" },
    ...{ deletionTimestamp: "any", finalizers: "any", generateName: "string", generation: "any" },
    ...{ labels: "texts", managedFields: "any", name: "string", namespace: "string" },
    ...{ ownerReferences: "any", resourceVersion: "string", selfLink: "string", uid: "string" },
  },
};

const HEAD = { apiVersion: "string", kind: "string", metadata: META, status: "any" } as const;

const SCALE: Shape = {
  go: "Scale",
  fields: { ...HEAD, spec: { go: "ScaleSpec", fields: { replicas: "int32" } } },
};

const DEPLOYMENT: Shape = {
  go: "Deployment",
  fields: {
    ...HEAD,
    spec: {
      go: "DeploymentSpec",
      fields: {
        ...{ minReadySeconds: "int32", paused: "bool", progressDeadlineSeconds: "int32" },
        ...{ replicas: "int32", revisionHistoryLimit: "int32", selector: "any" },
        ...{ strategy: "any", template: "any" },
      },
    },
  },
};

const STATEFUL_SET: Shape = {
  go: "StatefulSet",
  fields: {
    ...HEAD,
    spec: {
      go: "StatefulSetSpec",
      fields: {
        ...{ minReadySeconds: "int32", ordinals: "any", podManagementPolicy: "string" },
        ...{ persistentVolumeClaimRetentionPolicy: "any", replicas: "int32" },
        ...{ revisionHistoryLimit: "int32", selector: "any", serviceName: "string" },
        ...{ template: "any", updateStrategy: "any", volumeClaimTemplates: "any" },
      },
    },
  },
};

const SHAPES = { deployments: DEPLOYMENT, statefulsets: STATEFUL_SET, scale: SCALE };

/** Looks at a whole object of this kind, as it would be stored. */
export function examine(kind: keyof typeof SHAPES, object: Fields): Findings {
  const findings = { unknown: [] as string[], unreadable: [] as string[] };
  examineFields(SHAPES[kind], object, { ...findings, path: "" });
  const invalid = [...replicaProblems(object), ...annotationProblems(object)];
  return { ...findings, invalid: findings.unreadable.length > 0 ? [] : invalid };
}

interface Place {
  readonly unknown: string[];
  readonly unreadable: string[];
  /** Of the object, with a dot at its end; empty: the whole. */
  readonly path: string;
}

function examineFields(shape: Shape, object: Fields, place: Place): void {
  for (const [name, value] of Object.entries(object)) {
    const type = shape.fields[name];
    const path = place.path + name;
    if (type === undefined) place.unknown.push(path);
    else if (value !== null) examineValue({ type, value, path, go: shape.go }, place);
  }
}

function examineValue(
  read: {
    readonly type: Type;
    readonly value: unknown;
    readonly path: string;
    readonly go: string;
  },
  place: Place,
): void {
  const { type, value, path, go } = read;
  const wrong = (what: string, wanted: string) =>
    place.unreadable.push(
      `json: cannot unmarshal ${what} into Go struct field ${go}.${path} of type ${wanted}`,
    );
  if (typeof type === "object") {
    const fields = fieldsOf(value);
    if (fields === null) wrong(goKind(value), `v1.${type.go}`);
    else examineFields(type, fields, { ...place, path: `${path}.` });
  } else if (type === "texts") {
    const odd = Object.values(fieldsOf(value) ?? { value }).find((one) => typeof one !== "string");
    if (odd !== undefined) wrong(goKind(odd), "string");
  } else if (type === "int32") {
    const isWhole = typeof value === "number" && Math.trunc(value) === value;
    if (!isWhole || Math.abs(value) > 0x7fffffff) {
      wrong(typeof value === "number" ? `number ${value}` : goKind(value), "int32");
    }
  } else if (type !== "any" && typeof value !== (type === "bool" ? "boolean" : type)) {
    wrong(goKind(value), type);
  }
}

function goKind(value: unknown): string {
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}

function replicaProblems(object: Fields): FieldProblem[] {
  const replicas = fieldsOf(object.spec)?.replicas;
  if (typeof replicas !== "number" || replicas >= 0) return [];
  const message = `Invalid value: ${replicas}: must be greater than or equal to 0`;
  return [{ field: "spec.replicas", reason: "FieldValueInvalid", message }];
}

/** Source: `apimachinery`, `pkg/api/validation/objectmeta.go`: TotalAnnotationSizeLimitB. */
const ANNOTATION_BYTES_MAX = 256 * 1024;

function annotationProblems(object: Fields): FieldProblem[] {
  const annotations = fieldsOf(fieldsOf(object.metadata)?.annotations) ?? {};
  const field = "metadata.annotations";
  const odd = Object.keys(annotations).filter((key) => !isLabelKey(key));
  const problems: FieldProblem[] = odd.map((key) => ({
    ...{ field, reason: "FieldValueInvalid" },
    message: `Invalid value: "${key}": name part must consist of alphanumeric characters, '-', '_' or '.'`,
  }));
  const bytes = Buffer.byteLength(Object.entries(annotations).flat().join(""));
  if (bytes <= ANNOTATION_BYTES_MAX) return problems;
  const message = `Too long: may not be more than ${ANNOTATION_BYTES_MAX} bytes`;
  return [...problems, { field, reason: "FieldValueInvalid", message }];
}
