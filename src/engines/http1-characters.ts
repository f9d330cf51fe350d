/** Which bytes may stand where in an HTTP/1.1 message, and what to call those that may not. */

export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;

/** 1 at the place of every byte that belongs to the class. */
export type ByteClass = Readonly<Uint8Array>;

const ALPHANUMERIC = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** Methods and names of header fields (RFC 9110, section 5.6.2). */
export const TOKEN: ByteClass = classOf(`${ALPHANUMERIC}!#$%&'*+-.^_\`|~`);

/**
 * Values of header fields, reason phrases and chunk extensions: text, spaces and tabs, and bytes
 * from 0x80 on (RFC 9110, section 5.5; RFC 9112, section 4). No other control byte, so no CR or LF.
 */
export const VALUE: ByteClass = classFrom((byte) => byte >= SPACE || byte === TAB, [0x7f]);

/**
 * Request targets. More than a URI may hold (RFC 3986), because apps are asked for such paths every
 * day and must get them as they came; no space, no control byte, and no `#`, where readers differ.
 */
export const TARGET: ByteClass = classFrom((byte) => byte > SPACE, [0x7f, 0x23]);

/** Names of hosts as DNS has them, and IPv4 addresses. */
export const HOST_NAME: ByteClass = classOf(`${ALPHANUMERIC}-._`);

export const DIGIT: ByteClass = classOf("0123456789");

/** Finds where a run of bytes of one class ends: the first index, up to `end`, with another byte. */
export type RunReader = (bytes: Uint8Array, from: number, end: number) => number;

/** Reads runs of a class. Looks at each byte once. */
export function runOf(allowed: ByteClass): RunReader {
  return (bytes, from, end) => {
    let at = from;
    while (at < end && allowed[bytes[at] ?? 0] === 1) at += 1;
    return at;
  };
}

/** Whether every character of `text` from `from` to `end` belongs to the class. */
export function consistsOf(allowed: ByteClass, text: string, from = 0, end = text.length): boolean {
  for (let at = from; at < end; at += 1) {
    if (allowed[text.charCodeAt(at)] !== 1) return false;
  }
  return true;
}

/**
 * A part of `text` without the spaces and tabs around it. `String.trim` would take more, such as
 * 0xa0, and so read a value that others do not.
 */
export function trimmed(text: string, from = 0, end = text.length): string {
  let first = from;
  let last = end;
  while (first < last && isBlank(text.charCodeAt(first))) first += 1;
  while (last > first && isBlank(text.charCodeAt(last - 1))) last -= 1;
  return text.slice(first, last);
}

function isBlank(character: number): boolean {
  return character === SPACE || character === TAB;
}

/** What to call a byte that stands where it must not. */
export function describeByte(byte: number | undefined): string {
  switch (byte) {
    case 0x00:
      return "a NUL byte";
    case TAB:
      return "a tab";
    case LF:
      return "a line feed";
    case CR:
      return "a carriage return";
    case SPACE:
      return "a space";
    case undefined:
      return "nothing";
    default:
      if (byte > SPACE && byte < 0x7f) return `"${String.fromCharCode(byte)}"`;
      return `the byte 0x${byte.toString(16).padStart(2, "0")}`;
  }
}

function classOf(characters: string): ByteClass {
  return classFrom((byte) => characters.includes(String.fromCharCode(byte)), []);
}

function classFrom(belongs: (byte: number) => boolean, except: readonly number[]): ByteClass {
  return Uint8Array.from({ length: 256 }, (_, byte) =>
    belongs(byte) && !except.includes(byte) ? 1 : 0,
  );
}
