/** The first line of a head, request or status line: a strict incremental check of its bytes. */

import {
  CR,
  DIGIT,
  describeByte,
  LF,
  runOf,
  SPACE,
  TARGET,
  TOKEN,
  VALUE,
} from "./http1-characters.ts";
import { type Refusal, refuse } from "./http1-refusal.ts";

/** How far the check of a first line has come. */
export interface LineScan {
  /** Index of the next byte to look at. */
  at: number;
  state: LineState;
  /** Bytes of the present part so far; before a request line: empty lines. */
  count: number;
}

type LineState =
  | typeof BEGIN
  | typeof EMPTY_LF
  | typeof METHOD
  | typeof REQUEST_TARGET
  | typeof VERSION
  | typeof VERSION_END
  | typeof STATUS
  | typeof STATUS_END
  | typeof REASON
  | typeof LINE_LF
  | typeof LINE_DONE;

const BEGIN = 0;
const EMPTY_LF = 1;
const METHOD = 2;
const REQUEST_TARGET = 3;
const VERSION = 4;
const VERSION_END = 5;
const STATUS = 6;
const STATUS_END = 7;
const REASON = 8;
const LINE_LF = 9;
/** The line's end has been read; `at` is just past it. */
export const LINE_DONE = 10;

/** Longest method, in bytes; the longest registered one has 17 (`UPDATEREDIRECTREF`). */
const METHOD_BYTES_MAX = 32;

/** Empty lines let pass before a request line (RFC 9112, section 2.2, asks for at least one). */
const EMPTY_LINES_MAX = 2;

/** First byte of a TLS record that holds a ClientHello (RFC 8446, section 5.1). */
const TLS_HANDSHAKE = 0x16;

const PROTOCOL = "HTTP/";
const MAJOR_AT = PROTOCOL.length;
const MINOR_AT = MAJOR_AT + 2;
const ZERO = 0x30;
const ONE = 0x31;
const DOT = 0x2e;

const runOfToken = runOf(TOKEN);
const runOfTarget = runOf(TARGET);
const runOfText = runOf(VALUE);

/** A scan that begins at index 0, on the first byte of a connection or after a message. */
export function beginLine(): LineScan {
  return { at: 0, state: BEGIN, count: 0 };
}

/**
 * Looks at the bytes up to `end`, each once, however they are cut: stops just past the line, or at
 * `end`. The line is `method SP target SP "HTTP/1." ("0" | "1") CRLF`, with exactly one space in
 * each place (RFC 9112, section 3, allows to refuse all else), after at most two empty lines.
 * @returns what was wrong, at the earliest byte that shows it; `null` while all is well
 */
export function scanRequestLine(scan: LineScan, bytes: Uint8Array, end: number): Refusal | null {
  let refusal: Refusal | null = null;
  while (scan.at < end && scan.state !== LINE_DONE && refusal === null) {
    switch (scan.state) {
      case BEGIN:
        refusal = readBeginning(scan, bytes[scan.at]);
        break;
      case EMPTY_LF:
        refusal = take(scan, bytes[scan.at] === LF, BARE_CR);
        scan.state = BEGIN;
        scan.count += 1;
        break;
      case METHOD:
        refusal = readMethod(scan, bytes, end);
        break;
      case REQUEST_TARGET:
        refusal = readTargetBytes(scan, bytes, end);
        break;
      case VERSION:
        refusal = readVersion(scan, bytes[scan.at]);
        break;
      case VERSION_END:
        refusal = take(scan, bytes[scan.at] === CR, wrongEnd(bytes[scan.at]));
        scan.state = LINE_LF;
        break;
      default:
        refusal = take(scan, bytes[scan.at] === LF, BARE_CR);
        scan.state = LINE_DONE;
    }
  }
  return refusal;
}

/**
 * The same for a status line: `"HTTP/1." ("0" | "1") SP 3DIGIT [SP reason] CRLF`. RFC 9112, section
 * 4, has the space stand even where the reason is left out; many apps leave out both.
 */
export function scanStatusLine(scan: LineScan, bytes: Uint8Array, end: number): Refusal | null {
  let refusal: Refusal | null = null;
  while (scan.at < end && scan.state !== LINE_DONE && refusal === null) {
    switch (scan.state) {
      case BEGIN:
        scan.state = VERSION;
        break;
      case VERSION:
        refusal = readVersion(scan, bytes[scan.at]);
        break;
      case VERSION_END:
        refusal = take(scan, bytes[scan.at] === SPACE, "no space follows the version");
        scan.state = STATUS;
        scan.count = 0;
        break;
      case STATUS:
        refusal = readStatus(scan, bytes[scan.at]);
        break;
      case STATUS_END:
        refusal = readStatusEnd(scan, bytes[scan.at]);
        break;
      case REASON:
        scan.at = runOfText(bytes, scan.at, end);
        if (scan.at === end) break;
        refusal = take(scan, bytes[scan.at] === CR, wrongEnd(bytes[scan.at]));
        scan.state = LINE_LF;
        break;
      default:
        refusal = take(scan, bytes[scan.at] === LF, BARE_CR);
        scan.state = LINE_DONE;
    }
  }
  return refusal;
}

const BARE_CR = "a carriage return without a line feed stands in the first line";

/** Goes past a byte that had to be a certain one. */
function take(scan: LineScan, isRight: boolean, why: string): Refusal | null {
  scan.at += 1;
  return isRight ? null : refuse(400, why);
}

function wrongEnd(byte: number | undefined): string {
  if (byte === LF) return "the first line ends with a bare line feed";
  return `${describeByte(byte)} stands in the first line`;
}

function readBeginning(scan: LineScan, byte: number | undefined): Refusal | null {
  if (byte === CR) {
    if (scan.count === EMPTY_LINES_MAX) return refuse(400, "too many empty lines come first");
    scan.at += 1;
    scan.state = EMPTY_LF;
    return null;
  }
  if (byte === TLS_HANDSHAKE) {
    return refuse(
      400,
      "it looks like TLS, but plain HTTP is spoken here: use http://, not https://",
    );
  }
  if (TOKEN[byte ?? 0] !== 1) return refuse(400, `the method begins with ${describeByte(byte)}`);
  scan.state = METHOD;
  scan.count = 0;
  return null;
}

function readMethod(scan: LineScan, bytes: Uint8Array, end: number): Refusal | null {
  const from = scan.at;
  scan.at = runOfToken(bytes, from, end);
  scan.count += scan.at - from;
  if (scan.count > METHOD_BYTES_MAX) return refuse(501, "the method is longer than any known");
  if (scan.at === end) return null;
  const byte = bytes[scan.at];
  scan.state = REQUEST_TARGET;
  scan.count = 0;
  if (byte === CR || byte === LF) return refuse(400, "the request line has no target");
  return take(scan, byte === SPACE, `the method contains ${describeByte(byte)}`);
}

function readTargetBytes(scan: LineScan, bytes: Uint8Array, end: number): Refusal | null {
  const from = scan.at;
  scan.at = runOfTarget(bytes, from, end);
  scan.count += scan.at - from;
  if (scan.at === end) return null;
  const byte = bytes[scan.at];
  if (byte === CR || byte === LF) return refuse(400, "the request line has no HTTP version");
  if (scan.count === 0) return refuse(400, `the target begins with ${describeByte(byte)}`);
  scan.state = VERSION;
  scan.count = 0;
  return take(scan, byte === SPACE, `the target contains ${describeByte(byte)}`);
}

/** One byte of `HTTP/1.0` or `HTTP/1.1`; `count` says which. */
function readVersion(scan: LineScan, byte: number | undefined): Refusal | null {
  const place = scan.count;
  scan.count += 1;
  if (place < MAJOR_AT) return take(scan, byte === PROTOCOL.charCodeAt(place), NO_VERSION);
  if (place === MAJOR_AT + 1) return take(scan, byte === DOT, NO_VERSION);
  if (DIGIT[byte ?? 0] !== 1) return refuse(400, NO_VERSION);
  const isSpoken = byte === ONE || (byte === ZERO && place === MINOR_AT);
  if (!isSpoken) return refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken on this connection");
  if (place === MINOR_AT) scan.state = VERSION_END;
  return take(scan, true, "");
}

const NO_VERSION = 'there is something else where "HTTP/1.1" must stand';

/** One of three digits, the first not 0. */
function readStatus(scan: LineScan, byte: number | undefined): Refusal | null {
  const isRight = DIGIT[byte ?? 0] === 1 && !(scan.count === 0 && byte === ZERO);
  scan.count += 1;
  if (scan.count === 3) scan.state = STATUS_END;
  return take(scan, isRight, "the status is not a number from 100 to 999");
}

function readStatusEnd(scan: LineScan, byte: number | undefined): Refusal | null {
  scan.state = byte === CR ? LINE_LF : REASON;
  return take(
    scan,
    byte === CR || byte === SPACE,
    `the status is followed by ${describeByte(byte)}`,
  );
}
