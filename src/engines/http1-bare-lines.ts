/**
 * Answers whose lines all end with a bare line feed, as some routers write their pages (RFC 9112, section 2.2, allows
 * to accept them). Only from targets, and never mixed: one carriage return in such a head and it is refused, so that
 * a line feed inside a usual head adds no line to it.
 */

import { CR, LF } from "./http1-characters.ts";
import { beginFields, FIELDS_DONE, scanFields } from "./http1-fields.ts";
import { beginLine, LINE_DONE, scanStatusLine } from "./http1-first-line.ts";
import { type Refusal, refuse } from "./http1-refusal.ts";

/** What has come of such a head, from its first byte. */
export interface BareHead {
  readonly bytes: Buffer;
  /** How many of `bytes` there are. */
  readonly length: number;
  /** Up to here they were looked at before. */
  readonly seen: number;
}

/** Whether a status line that ends at `end` is one but for its missing carriage return. */
export function isBareStatusLine(bytes: Buffer, end: number): boolean {
  if (end === 0 || bytes[end - 1] !== LF) return false;
  const line = Buffer.from(`${bytes.toString("latin1", 0, end - 1)}\r\n`, "latin1");
  const scan = beginLine();
  return scanStatusLine(scan, line, line.length) === null && scan.state === LINE_DONE;
}

/**
 * Reads on in a head that began with a bare status line.
 * @param limits.headBytesMax bytes of the head as it came
 * @returns its text with usual line ends and its length as it came; what is wrong with it; `null` while it goes on
 */
export function readBareHead(
  { bytes, length, seen }: BareHead,
  limits: { readonly headBytesMax: number; readonly fieldLinesMax: number },
): { readonly text: string; readonly end: number } | Refusal | null {
  const found = bytes.indexOf("\n\n", Math.max(0, seen - 1), "latin1");
  const isWhole = found !== -1 && found + 2 <= length;
  const end = isWhole ? found + 2 : length;
  const { headBytesMax } = limits;
  // What comes first is said, however the bytes are cut.
  const cr = bytes.indexOf(CR, seen);
  if (cr !== -1 && cr < Math.min(end, headBytesMax)) return refuse(400, MIXED);
  if (end > headBytesMax || (!isWhole && end === headBytesMax)) {
    return refuse(431, `the head is longer than ${headBytesMax} bytes`);
  }
  if (!isWhole) return null;
  const text = bytes.toString("latin1", 0, end).replaceAll("\n", "\r\n");
  return refusalOf(text, limits.fieldLinesMax) ?? { text, end };
}

const MIXED = "some header lines end with a bare line feed, others do not";

/** The same check that a usual head gets; its first line was found right. */
function refusalOf(text: string, fieldLinesMax: number): Refusal | null {
  const bytes = Buffer.from(text, "latin1");
  const scan = beginFields(fieldLinesMax);
  scan.at = text.indexOf("\r\n") + 2;
  const finding = scanFields(scan, bytes, bytes.length);
  if (finding !== null || scan.state === FIELDS_DONE) return finding;
  return refuse(400, "the head does not end where it seems to");
}
