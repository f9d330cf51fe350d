/** Reads every environment variable into a typed value, with its problems. */

import { PROVIDER_NAMES, type ProviderName } from "./config.ts";
import { describeUnknown, findUnknown, type UnknownVariable } from "./unknown-variables.ts";
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
  /** Names among ours whose value was refused: what is said about them besides may only follow from that. */
  readonly refused: ReadonlySet<string>;
  /** What has a value, by the name it was given by (a flag counts as its variable); secrets without their value. */
  readonly given: ReadonlyMap<string, string>;
  /** Variables that nobody reads, but whose names look like ours, with the sentence about each. */
  readonly unknown: readonly (UnknownVariable & { readonly warning: string })[];
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
  const refused = new Set<string>();
  const values: Record<string, unknown> = {};
  for (const [field, row] of Object.entries(VARIABLES)) {
    // The rows differ in their value's type only, and nothing here looks at values.
    values[field] = readVariable(row as Variable<unknown>, layers, (problem) => {
      problems.push(problem);
      refused.add(row.name);
    });
  }
  return {
    // Each field was read by its own row's parser, or is that row's fallback.
    values: values as EnvironmentValues,
    problems,
    refused,
    given: new Map(layers.toReversed().flatMap(givenBy)),
    unknown: unknownIn(layers),
  };
}

/** The table, for documentation. */
export function describeVariables(): readonly VariableRow[] {
  return rows().map((row) => ({
    name: row.name,
    aliases: row.aliases,
    flag: row.flag,
    allowed: row.parser.allowed,
    defaultText: defaultTextOf(row),
    doc: row.doc,
  }));
}

function defaultTextOf({ required, unless, defaultText }: Variable<unknown>): string {
  if (!required) return defaultText;
  return unless === null ? "required" : `required without \`${unless}\``;
}

/** Every name that is ours, aliases included. */
export function ownNames(): ReadonlySet<string> {
  return new Set(rows().flatMap((row) => [row.name, ...row.aliases]));
}

/** Those among them that no other program has a use for. */
export function privateNames(): ReadonlySet<string> {
  const isPrivate = (row: Variable<unknown>) => !row.isShared;
  return new Set(
    rows()
      .filter(isPrivate)
      .flatMap((row) => [row.name, ...row.aliases]),
  );
}

/** A variable of one provider alone. */
export interface ProviderVariable {
  readonly name: string;
  readonly provider: ProviderName;
  readonly isSecret: boolean;
}

/** Those among the table's that have the name of a provider in theirs: `PROVIDER_HEROKU_API_TOKEN`. */
export function providerVariables(): readonly ProviderVariable[] {
  return rows().flatMap(({ name, secret }) => {
    const provider = PROVIDER_NAMES.find((candidate) => name.startsWith(prefixOf(candidate)));
    return provider === undefined ? [] : { name, provider, isSecret: secret };
  });
}

/** `PROVIDER_CLEVER_` for clever-cloud. */
function prefixOf(provider: ProviderName): string {
  return `PROVIDER_${provider.split("-")[0]?.toUpperCase()}_`;
}

function rows(): readonly Variable<unknown>[] {
  // As above: only what does not depend on the value's type is looked at.
  return Object.values(VARIABLES) as readonly Variable<unknown>[];
}

function isGiven(layers: readonly Layer[], name: string): boolean {
  return layers.some(({ values }) => (values[name] ?? "").trim() !== "");
}

function readVariable<T>(
  row: Variable<T>,
  layers: readonly Layer[],
  refuse: (problem: string) => void,
): T {
  for (const layer of layers) {
    const given = givenIn(layer, row);
    const [first, ...others] = given;
    if (first === undefined) continue;
    const other = others.find((candidate) => candidate.value !== first.value);
    if (other !== undefined) {
      refuse(conflict(row, first, other));
      return row.fallback;
    }
    const parsed = row.parser.parse(first.value);
    if (parsed.ok) return parsed.value;
    refuse(refusal(row, first, parsed.why));
    return row.fallback;
  }
  const isNeedless = row.unless !== null && isGiven(layers, row.unless);
  if (row.required && !isNeedless)
    refuse(`${row.name} is required: set it to ${row.parser.allowed}`);
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

function givenBy({ values }: Layer): (readonly [string, string])[] {
  return rows().flatMap(({ name, aliases, secret }) =>
    [name, ...aliases].flatMap((own) => {
      const value = values[own]?.trim() ?? "";
      return value === "" ? [] : [[own, secret ? "" : value] as const];
    }),
  );
}

/** Names that other programs share are no pattern for ours. */
function unknownIn(layers: readonly Layer[]): EnvironmentReading["unknown"] {
  const ours = ownNames();
  const names = rows().flatMap(({ name, isShared }) => (isShared ? [] : name));
  const seen = new Set<string>();
  return layers.flatMap(({ kind, values }) => {
    if (kind === "flags") return [];
    const found = findUnknown(values, names, (name) => ours.has(name) || seen.has(name));
    for (const { name } of found) seen.add(name);
    return found.map((unknown) => {
      const label = kind === ".env" ? `${unknown.name} (in .env)` : unknown.name;
      return { ...unknown, warning: describeUnknown(unknown, label) };
    });
  });
}
