/** Header and trailer fields: a strict incremental check of their bytes, then their text. */

import {
  COLON,
  CR,
  describeByte,
  LF,
  runOf,
  SPACE,
  TAB,
  TOKEN,
  trimmed,
  VALUE,
} from "./http1-characters.ts";
import { HEADER_NAMES } from "./http1-names.ts";
import { type Refusal, refuse } from "./http1-refusal.ts";

/** One line of a head or of a trailer section. All strings are latin1: one character per byte. */
export interface HeaderField {
  /** In lower case. */
  readonly name: string;
  /** Without the blanks around it, otherwise byte for byte. */
  readonly value: string;
  /**
   * `Name: value`, ready to be sent on: the name's case as it came, one space, no line end. The
   * blanks around a value are no part of the message (RFC 9110, section 5.5), and readers differ
   * in which they strip.
   */
  readonly line: string;
}

/** How far the check of a section of fields has come. */
export interface FieldScan {
  /** Index of the next byte to look at. */
  at: number;
  state: FieldState;
  /** Lines begun so far. */
  lines: number;
  /** A further line is refused with 431. */
  readonly linesMax: number;
}

type FieldState =
  | typeof LINE_START
  | typeof NAME
  | typeof FIELD_VALUE
  | typeof LINE_LF
  | typeof LAST_LF
  | typeof FIELDS_DONE;

// Numbers, because this is dispatched on for every part of every line.
const LINE_START = 0;
const NAME = 1;
const FIELD_VALUE = 2;
const LINE_LF = 3;
const LAST_LF = 4;
/** The empty line has been read; `at` is just past it. */
export const FIELDS_DONE = 5;

const runOfToken = runOf(TOKEN);
const runOfValue = runOf(VALUE);

/** A scan that begins at index 0 (or where `at` is set to), on the first line of a section. */
export function beginFields(linesMax: number): FieldScan {
  return { at: 0, state: LINE_START, lines: 0, linesMax };
}

/**
 * Looks at the bytes up to `end`, each once, however they are cut: stops just past the empty line
 * that ends the section, or at `end`. Lines are `token ":" value CRLF` and nothing else (RFC 9112,
 * section 5): no blank before the colon (5.1), no folding (5.2), no bare CR or LF (2.2).
 * @returns what was wrong, at the earliest byte that shows it; `null` while all is well
 */
export function scanFields(scan: FieldScan, bytes: Uint8Array, end: number): Refusal | null {
  while (scan.at < end) {
    switch (scan.state) {
      case LINE_START:
        if (bytes[scan.at] === CR) {
          scan.at += 1;
          scan.state = LAST_LF;
          break;
        }
        if (scan.lines === scan.linesMax) return refuse(431, TOO_MANY(scan.linesMax));
        scan.lines += 1;
        if (TOKEN[bytes[scan.at] ?? 0] !== 1) return refuse(400, wrongStart(bytes[scan.at]));
        scan.state = NAME;
        break;
      case NAME:
        scan.at = runOfToken(bytes, scan.at, end);
        if (scan.at === end) break;
        if (bytes[scan.at] !== COLON) return refuse(400, wrongName(bytes[scan.at]));
        scan.at += 1;
        scan.state = FIELD_VALUE;
        break;
      case FIELD_VALUE:
        scan.at = runOfValue(bytes, scan.at, end);
        if (scan.at === end) break;
        if (bytes[scan.at] !== CR) return refuse(400, wrongValue(bytes[scan.at]));
        scan.at += 1;
        scan.state = LINE_LF;
        break;
      case LINE_LF:
        if (bytes[scan.at] !== LF) return refuse(400, BARE_CR);
        scan.at += 1;
        scan.state = LINE_START;
        break;
      case LAST_LF:
        if (bytes[scan.at] !== LF) return refuse(400, BARE_CR);
        scan.at += 1;
        scan.state = FIELDS_DONE;
        return null;
      case FIELDS_DONE:
        return null;
    }
  }
  return null;
}

const BARE_CR = "a carriage return without a line feed stands in the header";
const BARE_LF = "a header line ends with a bare line feed";
const TOO_MANY = (max: number) => `there are more than ${max} header lines`;

function wrongStart(byte: number | undefined): string {
  if (byte === SPACE || byte === TAB) return "a header line is folded: it begins with a blank";
  if (byte === COLON) return "a header has no name";
  if (byte === LF) return BARE_LF;
  return `a header name begins with ${describeByte(byte)}`;
}

function wrongName(byte: number | undefined): string {
  if (byte === SPACE || byte === TAB) return "a blank stands in a header name or before its colon";
  if (byte === CR || byte === LF) return "a header line has no colon";
  return `a header name contains ${describeByte(byte)}`;
}

function wrongValue(byte: number | undefined): string {
  return byte === LF ? BARE_LF : `a header value contains ${describeByte(byte)}`;
}

/**
 * The fields in `text`, in order.
 * @param text a section that `scanFields` found well-formed, up to and with its empty line
 * @param from where its first line begins
 */
export function fieldsOf(text: string, from: number): HeaderField[] {
  const fields: HeaderField[] = [];
  let at = from;
  for (;;) {
    const end = text.indexOf("\r", at);
    // -1 cannot be in a section that was checked; it must not become an endless loop if it is.
    if (end <= at) return fields;
    fields.push(fieldOf(text, at, end));
    at = end + 2;
  }
}

function fieldOf(text: string, from: number, end: number): HeaderField {
  const colon = text.indexOf(":", from);
  const rawName = text.slice(from, colon);
  const name = HEADER_NAMES.get(rawName) ?? rawName.toLowerCase();
  if (isNeat(text, colon, end)) {
    return { name, value: text.slice(colon + 2, end), line: text.slice(from, end) };
  }
  const value = trimmed(text, colon + 1, end);
  return { name, value, line: `${rawName}: ${value}` };
}

/** Whether one space follows the colon, and no other blank is at either end of the value. */
function isNeat(text: string, colon: number, end: number): boolean {
  return (
    colon + 2 < end &&
    text.charCodeAt(colon + 1) === SPACE &&
    text.charCodeAt(colon + 2) > SPACE &&
    text.charCodeAt(end - 1) > SPACE
  );
}

/**
 * A field's value; several are joined by `, `, as RFC 9110, section 5.3, allows for lists only.
 * @param name in lower case
 * @returns `null` when there is none
 */
export function fieldValue(fields: readonly HeaderField[], name: string): string | null {
  let value: string | null = null;
  for (const field of fields) {
    if (field.name === name) value = value === null ? field.value : `${value}, ${field.value}`;
  }
  return value;
}
