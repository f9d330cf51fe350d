/** Checks plain data against a JSON Schema and says in words for people what does not fit. */

import { Check } from "typebox/schema";
import { nearest } from "./nearest.ts";
import type { YamlPath } from "./yaml-source.ts";

/** The part of JSON Schema that our own schemas use. `$comment` completes the sentence "must be …". */
export interface Shape {
  readonly type?: string;
  readonly $comment?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly patternProperties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly items?: Shape;
  readonly propertyNames?: Shape;
}

/** Notes one problem: where, and the rest of a sentence that begins with that place. */
export type Report = (at: YamlPath, problem: string) => void;

/**
 * Reports everything in `value` that does not fit `shape`. A map or list with nothing in it (`null`) is empty.
 * @returns the value without what did not fit: unknown keys and wrong values are left out, list entries that
 *   are wrong become `undefined`. What is required may still be missing; that was reported.
 */
export function checkShape(shape: Shape, value: unknown, at: YamlPath, report: Report): unknown {
  const given = value ?? emptyOf(shape);
  if (shape.type === "object" && isMap(given)) return checkMap(shape, given, at, report);
  const { items } = shape;
  if (shape.type === "array" && items?.type === "object" && Array.isArray(given)) {
    return given.map((entry, index) => checkShape(items, entry, [...at, index], report));
  }
  if (Check(shape, given)) return given;
  report(at, `must be ${shape.$comment}: it is ${show(given)}`);
  return undefined;
}

/** A value for a message: short, and with no more of it than a scalar. */
export function show(value: unknown): string {
  if (value === null || value === undefined) return "empty";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return "a map";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 79)}…` : value);
}

function checkMap(
  shape: Shape,
  value: Readonly<Record<string, unknown>>,
  at: YamlPath,
  report: Report,
): Record<string, unknown> {
  const fitting: Record<string, unknown> = Object.create(null);
  for (const [key, entry] of Object.entries(value)) {
    const inner = shapeOf(shape, key);
    if (inner === undefined) {
      report([...at, key], unknownKey(key, shape));
      continue;
    }
    const checked = checkShape(inner, entry, [...at, key], report);
    if (checked !== undefined) fitting[key] = checked;
  }
  for (const key of shape.required ?? []) {
    if (!isMeant(value, key, Object.keys(shape.properties ?? {}))) report(at, `needs \`${key}\``);
  }
  return fitting;
}

/** Whether a map has the key, or one that is not known and was probably meant to be it. */
export function isMeant(
  value: Readonly<Record<string, unknown>>,
  key: string,
  known: readonly string[],
): boolean {
  if (Object.hasOwn(value, key)) return true;
  return Object.keys(value).some((other) => !known.includes(other) && meant(other, known) === key);
}

function unknownKey(key: string, shape: Shape): string {
  if (shape.properties === undefined) {
    return `is not a valid name here: it must be ${shape.propertyNames?.$comment}`;
  }
  const known = Object.keys(shape.properties);
  const likely = meant(key, known);
  return likely === undefined
    ? `is not a known key: known are ${known.join(", ")}`
    : `is not a known key: did you mean ${likely}?`;
}

/** Many a key is asked for without its prefix: `max_idle_time` for `app_max_idle_time`. */
function meant(key: string, known: readonly string[]): string | undefined {
  return nearest(key, known) ?? known.find((candidate) => candidate.endsWith(`_${key}`));
}

function shapeOf(shape: Shape, key: string): Shape | undefined {
  const { properties, patternProperties } = shape;
  if (properties !== undefined && Object.hasOwn(properties, key)) return properties[key];
  return Object.entries(patternProperties ?? {}).find(([pattern]) =>
    new RegExp(pattern).test(key),
  )?.[1];
}

function emptyOf(shape: Shape): unknown {
  if (shape.type === "object") return {};
  return shape.type === "array" ? [] : null;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
