/** Reads one head that comes in one piece. */

import {
  createRequestHeadReader,
  createResponseHeadReader,
  type HeadLimits,
  type HeadResult,
  type Http1RequestHead,
  type Http1ResponseHead,
} from "../../src/engines/http1-head.ts";
import type { Refusal } from "../../src/engines/http1-refusal.ts";

export const LIMITS: HeadLimits = { headBytesMax: 4096, lineBytesMax: 1024, fieldLinesMax: 20 };

/** One byte per character. */
export function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

export function readRequest(text: string, limits = LIMITS): HeadResult<Http1RequestHead> {
  return createRequestHeadReader(limits).read(bytesOf(text), 0);
}

export function readResponse(text: string, limits = LIMITS): HeadResult<Http1ResponseHead> {
  return createResponseHeadReader(limits).read(bytesOf(text), 0);
}

/** @throws Error when it is no head */
export function headOf<H>(result: HeadResult<H>): H {
  if (result.kind !== "head") throw new Error(JSON.stringify(result));
  return result.head;
}

/** @throws Error when it was not refused */
export function refusalOf<H>(result: HeadResult<H>): Refusal {
  if (result.kind !== "refused") throw new Error(JSON.stringify(result));
  return result.refusal;
}
