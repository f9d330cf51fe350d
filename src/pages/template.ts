/** Templates of pages: HTML with placeholders, checked before it is used. Pure. */

import type { Markup } from "./layout.ts";

/** Which page a template is for. */
export type TemplateKind = "waiting" | "error";

/** A template that can be used. */
export interface Template {
  /** Text of the file, and names of placeholders in between: odd places are names. */
  readonly parts: readonly string[];
  /** What each of its `<style>` elements holds, for the policy. */
  readonly styles: readonly string[];
}

/** What is wrong with a template, and in which line. */
export interface TemplateProblem {
  readonly line: number;
  /** Goes on after the line's number. */
  readonly why: string;
}

/** Values of placeholders: text, which is escaped, or markup of ours. */
export type TemplateValues = Readonly<Record<string, string | Markup>>;

/** Placeholders that stand for text, and may stand in quoted attributes too. */
const TEXTS: Readonly<Record<TemplateKind, readonly string[]>> = {
  waiting: ["app", "title", "lang", "dir", "retry_after"],
  error: [
    ...["app", "title", "lang", "dir", "retry_after"],
    ...["message", "reason", "code", "status", "reference"],
  ],
};

/** Placeholders that stand for markup of ours. All but `style` are required. */
const BLOCKS: Readonly<Record<TemplateKind, readonly string[]>> = {
  waiting: ["head", "progress", "style"],
  error: ["head", "problem", "style"],
};

/** Comments, elements whose content is no markup, tags; in this order. What is between them is text. */
const PIECES =
  /(?<comment><!--[\s\S]*?-->)|<style(?:\s[^>]*)?>(?<style>[\s\S]*?)<\/style\s*>|(?<title><title(?:\s[^>]*)?>[\s\S]*?<\/title\s*>)|(?<tag><\/?[a-z](?:[^>"']|"[^"]*"|'[^']*')*>)/gi;

const PLACEHOLDER = /\{\{\s*([^{}]*?)\s*\}\}/g;
const ATTRIBUTE = /([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+)))?/g;

/** Elements that bring something of their own, which the policy of our pages does not allow. */
const FORBIDDEN = new Set(
  ["script", "base", "form", "iframe", "frame", "object", "embed", "video", "audio"].flatMap(
    (name) => [name, `/${name}`],
  ),
);
/** Attributes by which a page loads something. */
const LOADING = new Set(["src", "srcset", "poster", "background", "manifest"]);
/** Elements that load what their `href` names; that of others is a link. */
const LOADS_HREF = new Set(["link", "image", "use", "feimage"]);

interface Reading {
  readonly kind: TemplateKind;
  readonly text: string;
  readonly parts: string[];
  readonly styles: string[];
  readonly problems: TemplateProblem[];
}

/** The template in `text`, or everything that is wrong with it. */
export function readTemplate(
  kind: TemplateKind,
  text: string,
): { readonly template: Template } | { readonly problems: readonly TemplateProblem[] } {
  const reading: Reading = { kind, text, parts: [""], styles: [], problems: [] };
  if (!/^\s*<!doctype html>/i.test(text)) {
    problem(reading, 0, "it must begin with <!doctype html>");
  }
  let at = 0;
  for (const piece of text.matchAll(PIECES)) {
    readText(reading, at, piece.index);
    readPiece(reading, piece);
    at = piece.index + piece[0].length;
  }
  readText(reading, at, text.length);
  checkRequired(reading);
  const { parts, styles, problems } = reading;
  return problems.length > 0 ? { problems } : { template: { parts, styles } };
}

/** The page: every value that is no markup of ours is escaped, for element content and quoted attributes. */
export function render(template: Template, values: TemplateValues): string {
  return template.parts
    .map((part, index) => (index % 2 === 0 ? part : markupOf(values[part] ?? "")))
    .join("");
}

function markupOf(value: string | Markup): string {
  return typeof value === "string" ? Bun.escapeHTML(value) : value.markup;
}

function readPiece(reading: Reading, piece: RegExpExecArray): void {
  const { comment, style, title, tag } = piece.groups ?? {};
  const [whole] = piece;
  // Comments are for whoever writes templates.
  if (comment !== undefined) return;
  if (style !== undefined) {
    const at = piece.index + whole.indexOf(style);
    checkStyle(reading, style, at);
    reading.styles.push(style);
    append(reading, whole);
  } else if (title !== undefined) {
    readPlaceholders(reading, whole, { at: piece.index, in: "title" });
  } else if (tag !== undefined) {
    checkTag(reading, tag, piece.index);
    readPlaceholders(reading, tag, { at: piece.index, in: "tag" });
  }
}

function readText(reading: Reading, from: number, to: number): void {
  const text = reading.text.slice(from, to);
  const open = /<(!--|style|title|[a-z/])/i.exec(text);
  if (open !== null) problem(reading, from + open.index, `${open[0]} is never closed`);
  readPlaceholders(reading, text, { at: from, in: "text" });
}

/** Takes a piece over, and its placeholders out of it. */
function readPlaceholders(
  reading: Reading,
  piece: string,
  where: { readonly at: number; readonly in: "text" | "title" | "tag" },
): void {
  let end = 0;
  for (const found of piece.matchAll(PLACEHOLDER)) {
    const name = found[1] ?? "";
    const why = whyNotHere(reading, name, { ...where, before: piece.slice(0, found.index) });
    if (why !== null) problem(reading, where.at + found.index, why);
    append(reading, piece.slice(end, found.index));
    reading.parts.push(name, "");
    end = found.index + found[0].length;
  }
  const rest = piece.slice(end);
  const stray = rest.indexOf("{{");
  if (stray !== -1) {
    problem(reading, where.at + end + stray, "{{ begins a placeholder, which ends with }}");
  }
  append(reading, rest);
}

function whyNotHere(
  { kind }: Reading,
  name: string,
  where: { readonly in: "text" | "title" | "tag"; readonly before: string },
): string | null {
  const isBlock = BLOCKS[kind].includes(name);
  if (!isBlock && !TEXTS[kind].includes(name)) {
    const known = [...TEXTS[kind], ...BLOCKS[kind]].map((each) => `{{${each}}}`).join(" ");
    return `unknown placeholder {{${name}}}: ${kind} pages have ${known}`;
  }
  if (isBlock && where.in !== "text") {
    return `{{${name}}} brings elements, and must stand between others`;
  }
  if (where.in !== "tag" || isInQuotes(where.before)) return null;
  return `{{${name}}} in a tag must be within quotes: lang="{{lang}}"`;
}

/** Whether what follows stands within a quoted value. */
function isInQuotes(before: string): boolean {
  return /["']/.test(before.replaceAll(/"[^"]*"|'[^']*'/g, ""));
}

function checkTag(reading: Reading, tag: string, at: number): void {
  const [, name = "", rest = ""] = /^<(\/?[a-z][^\s/>]*)([\s\S]*)>$/i.exec(tag) ?? [];
  const element = name.toLowerCase();
  if (element === "style" || element === "title") {
    problem(reading, at, `<${element}> is never closed`);
    return;
  }
  if (FORBIDDEN.has(element)) {
    if (!element.startsWith("/")) problem(reading, at, `<${element}> is not allowed in templates`);
    return;
  }
  for (const [, attribute = "", double, single, bare] of rest.matchAll(ATTRIBUTE)) {
    const value = double ?? single ?? bare ?? "";
    const why = whyNotAllowed(element, attribute.toLowerCase(), value.trim());
    if (why !== null) problem(reading, at, why);
  }
}

function whyNotAllowed(element: string, attribute: string, value: string): string | null {
  if (attribute === "style") return "style= is not allowed: put it into a <style> element";
  if (attribute.startsWith("on")) return `${attribute}= is not allowed: pages run our script alone`;
  if (element === "meta" && attribute === "http-equiv") {
    return "<meta http-equiv> is not allowed: {{head}} brings what is needed";
  }
  const isHref = attribute === "href" || attribute === "xlink:href";
  const doesLoad = LOADING.has(attribute) || (isHref && LOADS_HREF.has(element));
  if (doesLoad && !/^(?:data:|#)/i.test(value)) {
    return `${attribute}="${value}" would be loaded from elsewhere: write it as a data: URL`;
  }
  const isFilled = /\{\{/.test(value) && (isHref || doesLoad);
  return isFilled ? `${attribute}= cannot have a placeholder` : null;
}

function checkStyle(reading: Reading, style: string, at: number): void {
  const placeholder = style.indexOf("{{");
  if (placeholder !== -1) {
    problem(reading, at + placeholder, "a <style> element cannot have placeholders");
  }
  const loads = /@import|url\(\s*["']?(?!\s*["']?(?:data:|#))[^)]*/i.exec(style);
  if (loads !== null) {
    problem(
      reading,
      at + loads.index,
      `${loads[0]} would be loaded from elsewhere: use a data: URL`,
    );
  }
}

function checkRequired(reading: Reading): void {
  const used = new Set(reading.parts.filter((_part, index) => index % 2 === 1));
  for (const name of BLOCKS[reading.kind]) {
    if (name === "style" || used.has(name)) continue;
    problem(reading, reading.text.length, `the required placeholder {{${name}}} is missing`);
  }
}

function append({ parts }: Reading, text: string): void {
  parts.push((parts.pop() ?? "") + text);
}

function problem({ text, problems }: Reading, at: number, why: string): void {
  problems.push({ line: text.slice(0, at).split("\n").length, why });
}
