/** Builds the README's generated parts from the code that they describe. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describeVariables, type VariableRow } from "./environment.ts";
import { ADMIN_CODES, ANSWER_CODES } from "./errors.ts";
import { PAASTIS_YML_SCHEMA } from "./paastis-yml-schema.ts";
import { SWITCH_SCHEMA } from "./paastis-yml-switch.ts";

/** The generated parts, by the name in their markers: `<!-- generated: codes -->` … `<!-- end -->`. */
const PARTS: Readonly<Record<string, (root: string) => string>> = {
  environment: () => environmentTable(describeVariables()),
  apps: () => settingsTable(appProperties()),
  rules: () => settingsTable(PAASTIS_YML_SCHEMA.properties.rules.items.properties),
  switch: () => settingsTable(SWITCH_SCHEMA.properties),
  codes: codesTable,
  map: (root) => sourceMap(join(root, "src")),
};

const MARKED = /(<!-- generated: ([a-z]+)[^>]*-->\n)[\s\S]*?(<!-- end -->)/g;

/**
 * Writes every generated part anew.
 * @param root the checkout; its `src` is read for the map
 * @throws Error when a marker names an unknown part or a part has no marker
 */
export function withGeneratedParts(readme: string, root: string): string {
  const missing = new Set(Object.keys(PARTS));
  const text = readme.replace(MARKED, (_all, begin: string, name: string, end: string) => {
    const part = PARTS[name];
    if (part === undefined) throw new Error(`README.md: nobody generates a part named "${name}"`);
    missing.delete(name);
    return `${begin}\n${part(root)}\n\n${end}`;
  });
  if (missing.size > 0) throw new Error(`README.md has no markers for: ${[...missing].join(", ")}`);
  return text;
}

/** Every TypeScript file below `folder`, sorted: files before folders, each with its folder's path. */
export function sourceFiles(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).toSorted((a, b) =>
    a.name < b.name ? -1 : 1,
  );
  const files = entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
  const below = entries
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) =>
      sourceFiles(join(folder, entry.name)).map((path) => `${entry.name}/${path}`),
    );
  return [...files, ...below];
}

function environmentTable(rows: readonly VariableRow[]): string {
  return table(
    ["Variable", "Default", "What for"],
    rows.map((row) => [
      [`\`${row.name}\``, ...row.aliases.map((alias) => `or \`${alias}\``), flagOf(row)]
        .filter((part) => part !== "")
        .join("<br>"),
      row.defaultText,
      `${row.doc}<br>${capitalized(row.allowed)}.`,
    ]),
  );
}

function flagOf({ flag }: VariableRow): string {
  return flag === null ? "" : `\`${flag}\``;
}

/** What is read of a property of the JSON Schema. */
interface Property {
  readonly $comment?: string;
  readonly description?: string;
  readonly default?: unknown;
}

function appProperties(): Readonly<Record<string, object>> {
  // A map's values stand in the schema under the pattern of its keys; there is one.
  const [app] = Object.values(PAASTIS_YML_SCHEMA.properties.apps.patternProperties);
  if (app === undefined) throw new Error("the schema of paastis.yml does not say what an app is");
  return app.properties;
}

function settingsTable(properties: Readonly<Record<string, object>>): string {
  return table(
    ["Key", "What for", "Allowed"],
    Object.entries(properties).map(([name, value]) => {
      const property = value as Property; // Annotations of JSON Schema; all of them are optional.
      const allowed = capitalized(property.$comment ?? "");
      return [`\`${name}\``, (property.description ?? "") + defaultOf(property), allowed];
    }),
  );
}

function defaultOf(property: Property): string {
  return property.default === undefined ? "" : ` Default \`${String(property.default)}\`.`;
}

function codesTable(): string {
  return table(
    ["`paastis-error`", "Status", "What it means", "What to do"],
    Object.entries({ ...ANSWER_CODES, ...ADMIN_CODES }).map(([code, entry]) => [
      `\`${code}\``,
      String(entry.status),
      entry.meaning,
      entry.remedy,
    ]),
  );
}

function sourceMap(folder: string): string {
  return table(
    ["File", "What it holds"],
    sourceFiles(folder)
      .filter((path) => path.endsWith(".ts"))
      .map((path) => [`\`${path}\``, firstSentence(readFileSync(join(folder, path), "utf8"))]),
  );
}

/** The first sentence of the docblock at the top; empty when there is none. */
function firstSentence(source: string): string {
  const block = /^(?:#!.*\n)?\/\*\*([\s\S]*?)\*\//.exec(source)?.[1] ?? "";
  const text = block
    .replaceAll(/\n\s*\*/g, " ")
    .replaceAll(/\s+/g, " ")
    .trim();
  return /^.*?\.(?=\s|$)/.exec(text)?.[0] ?? text;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
