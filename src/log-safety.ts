/** Makes what is logged safe to show: no escape sequences, no control characters, no secrets. */

/** Longest text kept of one value, in characters; an app may print a megabyte without a line break. */
export const TEXT_CHARS_MAX = 8192;

/** How deep fields may nest and how many entries a list may have before the rest is left out. */
const DEPTH_MAX = 4;
const ENTRIES_MAX = 100;

const HIDDEN = "[hidden]";
const SECRET_NAME =
  /pass(word|wd|phrase)|secret|token|authorization|cookie|credential|api_?key|private_?key/i;
/** `scheme://user:password@`: only the user and password go. Lengths are bounded, so it stays linear. */
const URL_CREDENTIALS = /\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@]{1,256}@/gi;
const QUERY_SECRET =
  /([?&](?:[a-z_-]{0,20}(?:token|secret|password|api_?key|signature)|key|code)=)[^&\s#"']+/gi;
/** Overrides of the writing direction can make a line read as something else. */
const DIRECTION_OVERRIDES = /[\u202a-\u202e\u2066-\u2069]/g;
const CONTROLS = /\p{Cc}/u;
const CONTROLS_BUT_LINES = /(?![\n\t])\p{Cc}/gu;

/** Pure. The text without escape sequences, control characters but `\n` and `\t`, and credentials in URLs. */
export function cleanText(text: string): string {
  const short = text.length > TEXT_CHARS_MAX ? shortened(text) : text;
  return withoutSecrets(withoutControls(short));
}

/** Pure. A copy of log fields that is safe to show; errors become plain data, secrets `[hidden]`. */
export function cleanFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return cleanRecord(fields, DEPTH_MAX);
}

function shortened(text: string): string {
  return `${text.slice(0, TEXT_CHARS_MAX)} … (${text.length - TEXT_CHARS_MAX} more characters)`;
}

function withoutControls(text: string): string {
  const plain = text.replaceAll(DIRECTION_OVERRIDES, "");
  if (!CONTROLS.test(plain)) return plain;
  return Bun.stripANSI(plain).replaceAll("\r\n", "\n").replaceAll(CONTROLS_BUT_LINES, "");
}

function withoutSecrets(text: string): string {
  return text.replace(URL_CREDENTIALS, `$1***@`).replace(QUERY_SECRET, `$1***`);
}

function cleanRecord(record: Readonly<Record<string, unknown>>, depth: number) {
  const clean: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(record).slice(0, ENTRIES_MAX)) {
    if (value === undefined) continue;
    clean[name] = SECRET_NAME.test(name) ? HIDDEN : cleanValue(value, depth);
  }
  return clean;
}

function cleanValue(value: unknown, depth: number): unknown {
  if (typeof value === "string") return cleanText(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "function" || typeof value === "symbol") return `[${typeof value}]`;
  if (typeof value !== "object" || value === null) return value;
  if (depth === 0) return "[…]";
  if (value instanceof Error) return cleanRecord(plainError(value), depth - 1);
  if (value instanceof Date || value instanceof URL) return cleanText(String(value));
  if (Array.isArray(value)) return cleanList(value, depth - 1);
  // Any other object is read as a record: own enumerable properties only.
  return cleanRecord(value as Record<string, unknown>, depth - 1);
}

function cleanList(list: readonly unknown[], depth: number): unknown[] {
  const kept = list.slice(0, ENTRIES_MAX).map((entry) => cleanValue(entry, depth));
  if (list.length > ENTRIES_MAX) kept.push(`… ${list.length - ENTRIES_MAX} more`);
  return kept;
}

/** An expected failure explains itself; of any other error the stack is what helps. */
function plainError(error: Error): Record<string, unknown> {
  const { name, message, cause } = error;
  const code = "code" in error ? error.code : undefined;
  const explanation = "explanation" in error ? error.explanation : undefined;
  const stack = explanation === undefined ? error.stack : undefined;
  return { name, message, code, explanation, stack, cause };
}
