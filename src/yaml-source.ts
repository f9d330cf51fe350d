/** Reads YAML text so that every value still knows the line it came from. */

import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";

/** Where a value stands: keys of maps and indexes of lists, from the top. */
export type YamlPath = readonly (string | number)[];

/** A problem of the text itself. */
export interface YamlProblem {
  readonly line: number;
  readonly message: string;
}

/** YAML text that could be read. */
export interface YamlSource {
  /** Plain data: `null`, scalars, arrays, objects. */
  readonly value: unknown;
  /** Line of the key or list entry at `path`, from 1; of what is around it when the path leads nowhere. */
  lineOf(path: YamlPath): number;
  /** The scalar at `path` as it is written (`1.10`, not 1.1); `null` when there is none. */
  textOf(path: YamlPath): string | null;
}

/** After so many problems in the text, the rest is noise. */
const PROBLEMS_MAX = 10;

/**
 * Never throws. Duplicate keys, unknown tags, several documents and aliases that multiply beyond reason are
 * problems. Merge keys (`<<`) work.
 */
export function readYaml(
  text: string,
): { readonly source: YamlSource } | { readonly problems: readonly YamlProblem[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    logLevel: "error",
    merge: true,
    prettyErrors: false,
    stringKeys: true,
  });
  const found = [...document.errors, ...document.warnings].map((problem) => ({
    line: lines.linePos(problem.pos[0]).line,
    message: sentence(problem.message),
  }));
  if (found.length > 0) return { problems: firstOfLines(found).slice(0, PROBLEMS_MAX) };
  try {
    return { source: createSource(document, document.toJS(), lines) };
  } catch (error) {
    // Thrown for aliases: those of no anchor, and those that would fill the memory.
    return { problems: [{ line: 1, message: sentence(String(error)) }] };
  }
}

/** One slip, such as a tab, breaks several rules at once: what is found next on the same line only follows from it. */
function firstOfLines(problems: readonly YamlProblem[]): readonly YamlProblem[] {
  return [...Map.groupBy(problems, ({ line }) => line).values()].flatMap(([first]) => first ?? []);
}

function createSource(document: Document, value: unknown, lines: LineCounter): YamlSource {
  const lineAt = (offset: number) => Math.max(1, lines.linePos(offset).line);
  return {
    value,
    lineOf: (path) => lineAt(locate(document, path).offset),
    textOf(path) {
      const { node } = locate(document, path);
      return isScalar(node) && typeof node.source === "string" ? node.source : null;
    },
  };
}

/** Follows `path` as far as it leads; `node` is `undefined` when that is not to its end. */
function locate(document: Document, path: YamlPath): { node: unknown; offset: number } {
  let node: unknown = document.contents;
  let offset = offsetOf(node) ?? 0;
  for (const step of path) {
    const inner = isAlias(node) ? node.resolve(document) : node;
    const pair = isMap(inner)
      ? inner.items.find((item) => isScalar(item.key) && String(item.key.value) === step)
      : undefined;
    const entry = isSeq(inner) && typeof step === "number" ? inner.items[step] : undefined;
    node = pair?.value ?? entry;
    offset = offsetOf(pair?.key ?? entry) ?? offset;
  }
  return { node, offset };
}

/** Nodes of a parsed document carry `range`: start, end of value, end of node. */
function offsetOf(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node)) return undefined;
  const start: unknown = Array.isArray(node.range) ? node.range[0] : undefined;
  return typeof start === "number" ? start : undefined;
}

function sentence(message: string): string {
  return message.replace(/^\w*Error: /, "").replace(/\.$/, "");
}
