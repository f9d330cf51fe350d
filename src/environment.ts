/** Reads every environment variable into a typed value, with its problems. */

import { nearest } from "./nearest.ts";
import type { Variable } from "./variable.ts";
import { VARIABLES } from "./variables.ts";

/** The value of every variable. */
export type EnvironmentValues = {
  readonly [K in keyof typeof VARIABLES]: (typeof VARIABLES)[K]["fallback"];
};

/** One place that variables come from. Earlier layers win over later ones. */
export interface Layer {
  readonly kind: "flags" | "environment" | ".env";
  /** By variable name, for flags too. Empty strings count as not set. */
  readonly values: Readonly<Record<string, string | undefined>>;
}

/** What reading all variables gave. A variable with a problem has its default. */
export interface EnvironmentReading {
  readonly values: EnvironmentValues;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** One row of the README's table. */
export interface VariableRow {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly flag: string | null;
  /** Completes "must be …". */
  readonly allowed: string;
  /** Markdown. */
  readonly defaultText: string;
  readonly doc: string;
}

/** Reads every variable of the table. Pure: never throws, collects all problems. */
export function readEnvironment(layers: readonly Layer[]): EnvironmentReading {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [field, row] of Object.entries(VARIABLES)) {
    // The rows differ in their value's type only, and nothing here looks at values.
    values[field] = readVariable(row as Variable<unknown>, layers, problems);
  }
  const warnings = layers.flatMap((layer) => (layer.kind === "flags" ? [] : misspelt(layer)));
  // Each field was read by its own row's parser, or is that row's fallback.
  return { values: values as EnvironmentValues, problems, warnings };
}

/** The table, for documentation. */
export function describeVariables(): readonly VariableRow[] {
  return rows().map((row) => ({
    name: row.name,
    aliases: row.aliases,
    flag: row.flag,
    allowed: row.parser.allowed,
    defaultText: row.required ? "required" : row.defaultText,
    doc: row.doc,
  }));
}

/** Every name that is ours, aliases included. */
export function ownNames(): ReadonlySet<string> {
  return new Set(rows().flatMap((row) => [row.name, ...row.aliases]));
}

function rows(): readonly Variable<unknown>[] {
  // As above: only what does not depend on the value's type is looked at.
  return Object.values(VARIABLES) as readonly Variable<unknown>[];
}

function readVariable<T>(row: Variable<T>, layers: readonly Layer[], problems: string[]): T {
  for (const layer of layers) {
    const given = givenIn(layer, row);
    const [first, ...others] = given;
    if (first === undefined) continue;
    const other = others.find((candidate) => candidate.value !== first.value);
    if (other !== undefined) {
      problems.push(conflict(row, first, other));
      return row.fallback;
    }
    const parsed = row.parser.parse(first.value);
    if (parsed.ok) return parsed.value;
    problems.push(refusal(row, first, parsed.why));
    return row.fallback;
  }
  if (row.required) problems.push(`${row.name} is required: set it to ${row.parser.allowed}`);
  return row.fallback;
}

/** A variable as somebody gave it. */
interface Given {
  /** How to call it towards the person who gave it. */
  readonly label: string;
  readonly value: string;
}

function givenIn(layer: Layer, row: Variable<unknown>): Given[] {
  return [row.name, ...row.aliases].flatMap((name) => {
    const value = layer.values[name]?.trim() ?? "";
    return value === "" ? [] : [{ label: labelOf(layer, row, name), value }];
  });
}

function labelOf(layer: Layer, row: Variable<unknown>, name: string): string {
  if (layer.kind === "flags") return row.flag ?? name;
  return layer.kind === ".env" ? `${name} (in .env)` : name;
}

function conflict(row: Variable<unknown>, first: Given, other: Given): string {
  const values = row.secret ? "" : `: ${show(first.value)} and ${show(other.value)}`;
  return `${first.label} and ${other.label} mean the same but have different values${values}`;
}

function refusal(row: Variable<unknown>, given: Given, why: string): string {
  const value = row.secret ? "" : `: it is ${show(given.value)}`;
  const more = why === "" ? "" : ` (${why})`;
  return `${given.label} must be ${row.parser.allowed}${value}${more}`;
}

function show(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 79)}…` : value);
}

/** Variables that nobody reads, but whose names are nearly ours. Those of other programs stay unmentioned. */
function misspelt(layer: Layer): string[] {
  const ours = ownNames();
  const names = rows().map((row) => row.name);
  return Object.keys(layer.values).flatMap((name) => {
    if (ours.has(name) || !name.includes("_")) return [];
    const prefix = name.slice(0, name.indexOf("_") + 1);
    const meant = nearest(
      name,
      names.filter((candidate) => candidate.startsWith(prefix)),
      2,
    );
    return meant === null ? [] : [`${name} is not a variable of Paastis: did you mean ${meant}?`];
  });
}
