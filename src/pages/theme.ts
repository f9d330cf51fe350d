/** Reads a folder of templates: the look that a team gives to the pages of Paastis. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { keyOf } from "../setting-parsers.ts";
import { readTextFile, whyUnreadable } from "../text-file.ts";
import type { Theme } from "./look.ts";
import type { Template, TemplateKind } from "./template.ts";
import { readTemplate } from "./template.ts";

/** A theme, or what is wrong with its files. */
export type ThemeReading =
  | { readonly kind: "theme"; readonly theme: Theme }
  | {
      readonly kind: "unusable";
      /** One sentence each, beginning with the file and the line. */
      readonly problems: readonly string[];
    };

/** Room for a logo; what is larger keeps people waiting for the page that asks them to wait. */
const TEMPLATE_CHARS_MAX = 256 * 1024;

/** `waiting.html`, `error.html`, `waiting.shop.html`, `error.shop.html`. */
const FILE_NAME = /^(?<kind>waiting|error)(?:\.(?<key>[^.]+))?\.html$/;

/** Reads every template of a folder. Never throws. */
export function readTheme(folder: string): ThemeReading {
  const names = templateNames(folder);
  if (typeof names === "string") return { kind: "unusable", problems: [names] };
  const problems: string[] = [];
  const theme = new Map<string, Template>();
  for (const name of names) {
    const reading = readFile(folder, name);
    if ("template" in reading) theme.set(name.replace(/\.html$/, ""), reading.template);
    else problems.push(...reading.problems);
  }
  return problems.length > 0 ? { kind: "unusable", problems } : { kind: "theme", theme };
}

/** Names of the files that are templates; or why there are none: a whole sentence. */
function templateNames(folder: string): readonly string[] | string {
  try {
    const names = readdirSync(folder).filter((name) => /^[^.].*\.html$/.test(name));
    if (names.length > 0) return names.toSorted();
    return `${folder} has no template: it must have waiting.html, error.html, or both`;
  } catch (error) {
    return `${folder} ${whyUnreadable(error).replace("a file", "a folder")}`;
  }
}

function readFile(
  folder: string,
  name: string,
): { readonly template: Template } | { readonly problems: readonly string[] } {
  const kind = kindOf(name);
  if (kind === null) {
    const allowed = "waiting.html, error.html, or one of an app such as waiting.shop.html";
    return { problems: [`${name} is no template: it must be ${allowed}`] };
  }
  const file = readTextFile(join(folder, name));
  if ("why" in file) return { problems: [`${name} ${file.why}`] };
  if (file.text.length > TEMPLATE_CHARS_MAX) {
    const size = `${file.text.length} characters, at most ${TEMPLATE_CHARS_MAX}`;
    return { problems: [`${name} is too large: ${size}`] };
  }
  const reading = readTemplate(kind, file.text);
  if ("template" in reading) return reading;
  return { problems: reading.problems.map(({ line, why }) => `${name}, line ${line}: ${why}`) };
}

function kindOf(name: string): TemplateKind | null {
  const { kind, key } = FILE_NAME.exec(name)?.groups ?? {};
  if (key !== undefined && keyOf(key) !== key) return null;
  return kind === "waiting" || kind === "error" ? kind : null;
}
