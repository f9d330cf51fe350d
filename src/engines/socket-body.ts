/** Where a body on the wire ends, piece after piece. */

import {
  type ChunkLimits,
  type ChunkScanner,
  createChunkScanner,
  type DataTaker,
} from "./http1-chunks.ts";
import type { AnswerFraming, RequestFraming } from "./http1-framing.ts";
import type { Refusal } from "./http1-refusal.ts";

/** What is left of a body. */
export type BodyReader =
  | { readonly kind: "length"; left: number }
  | { readonly kind: "chunked"; readonly scanner: ChunkScanner; isDone: boolean }
  | { readonly kind: "until-close" };

/** Data has no limit unless there is a setting; what frames it has. */
const CHUNK_LIMITS: ChunkLimits = {
  dataBytesMax: Number.MAX_SAFE_INTEGER,
  extensionBytesMax: 16_384,
  trailerBytesMax: 16_384,
  trailerLinesMax: 100,
};

/**
 * At the body's first byte.
 * @param bytesMax more data is refused where chunks bring it; `null`: no limit. A length was looked at before
 */
export function bodyReaderOf(
  framing: RequestFraming | AnswerFraming,
  bytesMax: number | null = null,
): BodyReader {
  switch (framing.kind) {
    case "none":
      return { kind: "length", left: 0 };
    case "length":
      return { kind: "length", left: framing.bytes };
    case "chunked":
      return { kind: "chunked", scanner: scannerWithin(bytesMax), isDone: false };
    case "until-close":
      return { kind: "until-close" };
  }
}

function scannerWithin(bytesMax: number | null): ChunkScanner {
  if (bytesMax === null) return createChunkScanner(CHUNK_LIMITS);
  return createChunkScanner({ ...CHUNK_LIMITS, dataBytesMax: bytesMax });
}

/** Whether nothing more belongs to it. A body that ends with its connection is never done. */
export function isBodyDone(body: BodyReader): boolean {
  switch (body.kind) {
    case "length":
      return body.left === 0;
    case "chunked":
      return body.isDone;
    case "until-close":
      return false;
  }
}

/**
 * Reads on.
 * @param take told of the data without its chunks; only for chunked bodies
 * @returns how many bytes of the piece belong to the body, or why none may be passed on
 */
export function takeBody(body: BodyReader, piece: Buffer, take?: DataTaker): number | Refusal {
  switch (body.kind) {
    case "length": {
      const taken = Math.min(body.left, piece.length);
      body.left -= taken;
      return taken;
    }
    case "chunked": {
      if (body.isDone) return 0;
      const result = body.scanner.feed(piece, 0, take);
      if (result.kind === "refused") return result.refusal;
      if (result.kind === "more") return piece.length;
      body.isDone = true;
      return result.end;
    }
    case "until-close":
      return piece.length;
  }
}
