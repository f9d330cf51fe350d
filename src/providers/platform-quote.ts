/** What may be repeated of a platform's own words: one short line, without anything that looks like a secret. */

/** Longest quotation of a platform's own text in a message, in characters. */
export const QUOTE_CHARS_MAX = 200;
/** Longest message made of several parts, in characters. */
const MESSAGE_CHARS_MAX = 1000;
/** Patterns look at this much of a text only: a page of a megabyte is not searched for tokens. */
const LOOK_CHARS_MAX = 4000;
/** Shorter pieces of a credential are left alone: they would take ordinary words out of a message. */
const SECRET_CHARS_MIN = 6;

const HIDDEN = "***";

/** Everything that looks like a credential, with what takes its place. Lengths are bounded: it stays linear. */
const LOOKS_SECRET: readonly (readonly [RegExp, string])[] = [
  [/\b(authorization["']?\s{0,3}[:=]\s{0,3}["']?)[^\n"']{1,1000}/gi, `$1${HIDDEN}`],
  [/\b(bearer|basic)(\s{1,3})[\w.~+/=-]{8,2000}/gi, `$1$2${HIDDEN}`],
  [secretField(/"[^"]{1,2000}"|'[^']{1,2000}'/), `$1${HIDDEN}`],
  [secretField(/["']?[^\s"'&,;}]{4,2000}/), `$1${HIDDEN}`],
  // user:password@, with or without a scheme before it
  [/[^\s/:@"'<>]{0,256}:[^\s/@"'<>]{1,256}@/g, `${HIDDEN}@`],
  // a JSON web token; the tokens of Scalingo and Heroku
  [/\beyJ[\w-]{5,2000}(?:\.[\w-]{1,2000}){0,2}/g, HIDDEN],
  [/\b(?:tk-[a-z]{2}-|HRKU-)[\w-]{4,200}/g, HIDDEN],
];

/** A field, in whatever notation, whose name says that its value is nobody's business. */
function secretField(value: RegExp): RegExp {
  const name =
    /\b([\w-]{0,30}(?:token|secret|password|passwd|signature|api_?key)["']?\s{0,3}[:=]\s{0,3})/;
  return new RegExp(`${name.source}(?:${value.source})`, "gi");
}

/** Pure. What the platform said in the body of a refusal, in quotes; the empty string when it said nothing. */
export function quoteOf(body: unknown): string {
  const text = hidden(onOneLine(wordsOf(body)));
  return text === "" ? "" : `"${shortened(text, QUOTE_CHARS_MAX)}"`;
}

/**
 * Pure. The text on one line, at most 1,000 characters of it, without escape sequences, without `secrets`, and
 * without what looks like a token, a password or an `Authorization`.
 */
export function safeText(text: string, secrets: readonly string[] = []): string {
  return shortened(hidden(withoutPieces(onOneLine(text), secrets)), MESSAGE_CHARS_MAX);
}

/** Pure. The text without any of the pieces that `secretsOf` found. */
export function withoutPieces(text: string, secrets: readonly string[]): string {
  let left = text;
  for (const secret of secrets) left = left.replaceAll(secret, HIDDEN);
  return left;
}

/** Pure. Every piece of these headers that gives a credential away, longest first; those of HTTP Basic decoded. */
export function secretsOf(headers: Readonly<Record<string, string>>): readonly string[] {
  const pieces = Object.values(headers).flatMap((value) => value.split(/[\s,"']+/));
  const inside = pieces.flatMap((piece) => [...fromBase64(piece).split(":"), fromPercent(piece)]);
  const secrets = new Set([...pieces, ...inside].filter(isWorthHiding));
  return [...secrets].toSorted((one, other) => other.length - one.length);
}

/** What stands in such headers besides secrets: schemes, names of fields, ways to sign. */
const NO_SECRET = /^(?:bearer|basic|oauth|\w+=|hmac-sha\d+|plaintext)$/i;

function isWorthHiding(piece: string): boolean {
  return piece.length >= SECRET_CHARS_MIN && !NO_SECRET.test(piece);
}

/** Only clear text counts: what is no base64 decodes to noise. */
function fromBase64(piece: string): string {
  const text = Buffer.from(piece, "base64").toString("latin1");
  return /^[\x20-\x7e]+$/.test(text) ? text : "";
}

function fromPercent(piece: string): string {
  try {
    return decodeURIComponent(piece);
  } catch {
    return piece; // No percent-encoding: the piece itself is on the list already.
  }
}

/** The fields in which the platforms explain themselves, by preference. */
const WORD_FIELDS = ["message", "error_description", "error", "errors", "detail", "title"];

function wordsOf(body: unknown): string {
  if (body === null || body === undefined) return "";
  if (typeof body === "string") return wordsOfPage(body.slice(0, LOOK_CHARS_MAX));
  if (typeof body !== "object") return String(body);
  // An object that came out of JSON: its fields may be anything.
  const fields = body as Record<string, unknown>;
  const words = WORD_FIELDS.map((name) => fields[name]).find(
    (value) => value !== undefined && value !== null && value !== "",
  );
  if (typeof words === "string") return words.slice(0, LOOK_CHARS_MAX);
  return JSON.stringify(words ?? body).slice(0, LOOK_CHARS_MAX);
}

/** Of an HTML page its title, or else its text; any other text as it is. */
function wordsOfPage(text: string): string {
  if (!/^\s*<(?:!doctype|html|head|body|\?xml)/i.test(text)) return text;
  const title = /<title[^>]{0,200}>([^<]{1,400})/i.exec(text)?.[1];
  return (
    title ??
    text
      .replaceAll(/<(?:script|style)[\s\S]{0,4000}?(?:<\/|$)/gi, " ")
      .replaceAll(/<[^>]{0,1000}>/g, " ")
  );
}

function onOneLine(text: string): string {
  return Bun.stripANSI(text.slice(0, LOOK_CHARS_MAX))
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, " ")
    .replaceAll(/[\u202a-\u202e\u2066-\u2069]/g, "")
    .trim();
}

function hidden(line: string): string {
  let text = line;
  for (const [pattern, place] of LOOKS_SECRET) text = text.replaceAll(pattern, place);
  return text.replaceAll(/[\w+/=~-]{32,2000}/g, (word) => (looksRandom(word) ? HIDDEN : word));
}

/** Long, and letters of both sizes with digits, or no dash and no slash. Ids, hosts and paths are none of it. */
function looksRandom(word: string): boolean {
  if (!/\d/.test(word)) return false;
  const isMixed = /[a-z]/.test(word) && /[A-Z]/.test(word);
  return isMixed || (/^[\w+=~]+$/.test(word) && /[a-z]/i.test(word));
}

function shortened(text: string, charsMax: number): string {
  return text.length > charsMax ? `${text.slice(0, charsMax)}…` : text;
}
