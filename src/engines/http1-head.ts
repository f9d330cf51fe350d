/** Reads the heads of HTTP/1.1 requests and responses, strictly: what they say, and to whom. */

import { CR } from "./http1-characters.ts";
import { type Control, readControl } from "./http1-control.ts";
import { fieldsOf, type HeaderField } from "./http1-fields.ts";
import { scanRequestLine, scanStatusLine } from "./http1-first-line.ts";
import { createHeadReader } from "./http1-head-reader.ts";
import { asResponseRefusal, type Refusal } from "./http1-refusal.ts";
import { type RequestTarget, readTarget, refusalOfHosts } from "./http1-target.ts";

/** What every head says about its message. All strings are latin1: one character per byte. */
export interface MessageHead
  extends Omit<Control, "hosts" | "expectsContinue" | "acceptsTrailers"> {
  /** The x of `HTTP/1.x`. */
  readonly minor: 0 | 1;
  /** In order, with duplicates. `fieldValue` looks one up. */
  readonly fields: readonly HeaderField[];
}

/** The head of a request. */
export interface Http1RequestHead extends MessageHead, RequestTarget {
  /** A token of at most 32 bytes, its case as it came. */
  readonly method: string;
  /** Byte for byte as it came. */
  readonly target: string;
  /** The one `Host`, well-formed; without one, the host of an absolute target. `null` only in HTTP/1.0. */
  readonly host: string | null;
  /** `host` stands in the target alone. */
  readonly isHostless: boolean;
  /** The client waits for a 100 before it sends the body. */
  readonly expectsContinue: Control["expectsContinue"];
  readonly acceptsTrailers: Control["acceptsTrailers"];
}

/**
 * The head of a response. The `fields` of a 1xx and a 204 are without `Content-Length` and
 * `Transfer-Encoding`, which these must not have (RFC 9110, section 8.6; RFC 9112, section 6.1):
 * passed on, they would make some clients wait for a body.
 */
export interface Http1ResponseHead extends MessageHead {
  /** 100 to 999. */
  readonly status: number;
  /** May be empty. */
  readonly reason: string;
}

/** Whole numbers above 0. What is longer or more is refused. */
export interface HeadLimits {
  /** First line, fields, all line ends, and empty lines before them (431). */
  readonly headBytesMax: number;
  /** First line with its end, and empty lines before it (414). */
  readonly lineBytesMax: number;
  /** Header lines (431). */
  readonly fieldLinesMax: number;
}

export type HeadResult<H> =
  /** All bytes were taken; the rest of the head must follow. */
  | { readonly kind: "incomplete" }
  /** Bytes before index `end` of the piece belong to the head, those from there on do not. */
  | { readonly kind: "head"; readonly head: H; readonly end: number }
  /** For good: the reader gives the same result from now on. */
  | { readonly kind: "refused"; readonly refusal: Refusal };

/** Reads head after head of one direction of a connection. */
export interface HeadReader<H> {
  /**
   * Reads on in `piece`, from index `from`. Never throws, looks at each byte once, and says the
   * same however the bytes are cut. Keeps no piece: of an unfinished head it keeps a copy.
   */
  read(piece: Buffer, from: number): HeadResult<H>;
  /** Bytes taken of a head that is not complete yet; 0 between messages. */
  readonly pendingBytes: number;
  /** Those bytes: for somebody else to read the head. */
  pending(): Buffer;
}

/**
 * Reads heads of requests. Refuses all that RFC 9112 tells or allows a server to refuse; the
 * scanners of lines and fields, `refusalOfHosts` and `readTarget` say what.
 */
export function createRequestHeadReader(limits: HeadLimits): HeadReader<Http1RequestHead> {
  return createHeadReader({
    limits,
    scanLine: scanRequestLine,
    understand: requestHeadOf,
    refusalFor: (finding) => finding,
    acceptsBareLines: false,
  });
}

/** Reads heads of responses, as strictly but for line ends that are all bare. Whatever is wrong with one is a 502. */
export function createResponseHeadReader(limits: HeadLimits): HeadReader<Http1ResponseHead> {
  return createHeadReader({
    limits,
    scanLine: scanStatusLine,
    understand: responseHeadOf,
    refusalFor: asResponseRefusal,
    acceptsBareLines: true,
  });
}

const ONE = 0x31;

/** @param text a head whose bytes were found well-formed, up to and with its empty line */
function requestHeadOf(text: string): Http1RequestHead | Refusal {
  let start = 0;
  while (text.charCodeAt(start) === CR) start += "\r\n".length;
  const methodEnd = text.indexOf(" ", start);
  const targetEnd = text.indexOf(" ", methodEnd + 1);
  const minor = text.charCodeAt(targetEnd + " HTTP/1.".length) === ONE ? 1 : 0;
  const fields = fieldsOf(text, targetEnd + " HTTP/1.x\r\n".length);
  const control = readControl(fields, minor);
  if ("why" in control) return control;
  const finding = refusalOfHosts(control.hosts, minor);
  if (finding !== null) return finding;
  const host = control.hosts[0] ?? null;
  const method = text.slice(start, methodEnd);
  const target = text.slice(methodEnd + 1, targetEnd);
  const asked = readTarget(method, target, host);
  if ("why" in asked) return asked;
  return {
    method,
    target,
    form: asked.form,
    path: asked.path,
    authority: asked.authority,
    minor,
    host: host ?? asked.authority,
    isHostless: host === null && asked.authority !== null,
    fields,
    contentLengths: control.contentLengths,
    transferEncoding: control.transferEncoding,
    connection: control.connection,
    persistent: control.persistent,
    upgrade: control.upgrade,
    expectsContinue: control.expectsContinue,
    acceptsTrailers: control.acceptsTrailers,
  };
}

/** @param text likewise */
function responseHeadOf(text: string): Http1ResponseHead | Refusal {
  const minor = text.charCodeAt("HTTP/1.".length) === ONE ? 1 : 0;
  const statusAt = "HTTP/1.x ".length;
  const reasonAt = statusAt + "200 ".length;
  const lineEnd = text.indexOf("\r");
  const fields = fieldsOf(text, lineEnd + "\r\n".length);
  const control = readControl(fields, minor);
  if ("why" in control) return control;
  const status = Number(text.slice(statusAt, statusAt + "200".length));
  return {
    status,
    reason: reasonAt < lineEnd ? text.slice(reasonAt, lineEnd) : "",
    minor,
    fields: status < 200 || status === 204 ? fields.filter(isNoFraming) : fields,
    contentLengths: control.contentLengths,
    transferEncoding: control.transferEncoding,
    connection: control.connection,
    persistent: control.persistent,
    upgrade: control.upgrade,
  };
}

function isNoFraming({ name }: HeaderField): boolean {
  return name !== "content-length" && name !== "transfer-encoding";
}
