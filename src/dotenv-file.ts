/** Reads the lines of a `.env` file. */

/** What a `.env` file holds. */
export interface DotenvReading {
  readonly values: Readonly<Record<string, string>>;
  readonly brokenLines: readonly BrokenLine[];
}

/** A line that is neither `KEY=value` nor a comment. Its text may be a secret and is not told. */
export interface BrokenLine {
  /** From 1. */
  readonly line: number;
  /** What seems to be the variable's name, so that nobody else misses it; `null`: nothing does. */
  readonly name: string | null;
  /** What is wrong; goes on after the line's number. */
  readonly why: string;
}

const BLANK = String.raw`[ \t]*`;
/** The end of a line, with a comment before it that stands apart from the value. */
const END = String.raw`${BLANK}(?:(?<=^|[\s'"=])#[^\n]*)?(?:\n|$)`;
const NAME = String.raw`(?:export[ \t]+)?(?<key>[A-Za-z_][\w.-]*)`;
const KEY = `${NAME}${BLANK}=`;
/** `'literal'` or `"with \n escapes"`, both over several lines if need be, or plain text. */
const VALUE = String.raw`(?:'(?<literal>[^']*)'|"(?<escaped>(?:[^"\\]|\\[\s\S])*)"|(?<plain>(?![ \t]*['"])[^\n]*?))`;
/** A blank line or a comment matches without a key. */
const STATEMENT = `${BLANK}(?:${KEY}${BLANK}${VALUE})?${END}`;

/** Pure. The last of several lines with the same key wins. */
export function parseDotenv(content: string): DotenvReading {
  const text = content.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n");
  const values: Record<string, string> = {};
  const brokenLines: BrokenLine[] = [];
  /** After a value whose end is missing, lines that are nothing may be its own: they are told with its first. */
  let hasOpen = false;
  const statement = new RegExp(STATEMENT, "y");
  let position = 0;
  while (position < text.length) {
    statement.lastIndex = position;
    const groups = statement.exec(text)?.groups;
    if (groups === undefined) {
      const { kind, ...wrong } = whatIsWrong(text.slice(position));
      if (kind !== "form" || !hasOpen) brokenLines.push({ line: lineAt(text, position), ...wrong });
      hasOpen ||= kind === "open";
      // What follows may well be in order: a quote that was forgotten must not swallow it.
      position = endOfLine(text, position);
      continue;
    }
    if (groups.key !== undefined) values[groups.key] = textOf(groups);
    position = statement.lastIndex;
  }
  return { values, brokenLines };
}

const FORM = "must be KEY=value or a comment beginning with #";
const BROKEN_NAME = new RegExp(`^${BLANK}${NAME}`);
/** The beginning of a line whose value begins with a quote, and then all that may stand up to the closing one. */
const QUOTED = new RegExp(
  String.raw`^${BLANK}${KEY}${BLANK}(?<quote>['"])(?<closed>(?:(?<=')[^'\n]*'|(?<=")(?:[^"\\\n]|\\.)*"))?`,
);

/** What somebody got wrong: the form of the line, the end of a quoted value, or what follows that. */
type Mistake = "form" | "open" | "after";

function whatIsWrong(rest: string): Omit<BrokenLine, "line"> & { readonly kind: Mistake } {
  const name = BROKEN_NAME.exec(rest)?.groups?.key ?? null;
  const { quote, closed } = QUOTED.exec(rest)?.groups ?? {};
  if (quote === undefined) return { kind: "form", name, why: FORM };
  if (closed === undefined) {
    const why = `the value of ${name} begins with ${quote} and must end with one`;
    return { kind: "open", name, why };
  }
  const inside =
    quote === '"' ? `for a " inside it write \\"` : `if it has a ' inside, put " around it`;
  const why = `after the ${quote} that ends the value of ${name} only a comment may follow; ${inside}`;
  return { kind: "after", name, why };
}

function textOf(groups: Readonly<Record<string, string | undefined>>): string {
  if (groups.literal !== undefined) return groups.literal;
  if (groups.escaped !== undefined) return withEscapes(groups.escaped);
  return groups.plain ?? "";
}

function withEscapes(text: string): string {
  const characters: Record<string, string> = { n: "\n", r: "\r", t: "\t" };
  return text.replace(/\\([\s\S])/g, (_, character: string) => characters[character] ?? character);
}

function lineAt(text: string, position: number): number {
  return text.slice(0, position).split("\n").length;
}

function endOfLine(text: string, position: number): number {
  const end = text.indexOf("\n", position);
  return end === -1 ? text.length : end + 1;
}
