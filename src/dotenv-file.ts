/** Reads the lines of a `.env` file. */

/** What a `.env` file holds. */
export interface DotenvReading {
  readonly values: Readonly<Record<string, string>>;
  /** Numbers of the lines that are neither `KEY=value` nor a comment. Their text may be a secret. */
  readonly brokenLines: readonly number[];
}

const BLANK = String.raw`[ \t]*`;
/** The end of a line, with a comment before it that stands apart from the value. */
const END = String.raw`${BLANK}(?:(?<=^|[\s'"=])#[^\n]*)?(?:\n|$)`;
const KEY = String.raw`(?:export[ \t]+)?(?<key>[A-Za-z_][\w.-]*)${BLANK}=`;
/** `'literal'` or `"with \n escapes"`, both over several lines if need be, or plain text. */
const VALUE = String.raw`(?:'(?<literal>[^']*)'|"(?<escaped>(?:[^"\\]|\\[\s\S])*)"|(?<plain>(?!['"])[^\n]*?))`;
/** A blank line or a comment matches without a key. */
const STATEMENT = `${BLANK}(?:${KEY}${BLANK}${VALUE})?${END}`;

/** Pure. The last of several lines with the same key wins. */
export function parseDotenv(content: string): DotenvReading {
  const text = content.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n");
  const values: Record<string, string> = {};
  const brokenLines: number[] = [];
  const statement = new RegExp(STATEMENT, "y");
  let position = 0;
  while (position < text.length) {
    statement.lastIndex = position;
    const groups = statement.exec(text)?.groups;
    if (groups === undefined) {
      brokenLines.push(lineAt(text, position));
      position = endOfLine(text, position);
      continue;
    }
    if (groups.key !== undefined) values[groups.key] = textOf(groups);
    position = statement.lastIndex;
  }
  return { values, brokenLines };
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
