/** Follows a chunked body (RFC 9112, section 7.1), strictly, without copying its data. */

import { CR, describeByte, LF, runOf, SEMICOLON, VALUE } from "./http1-characters.ts";
import {
  beginFields,
  FIELDS_DONE,
  type FieldScan,
  fieldsOf,
  type HeaderField,
  scanFields,
} from "./http1-fields.ts";
import { type Refusal, refuse } from "./http1-refusal.ts";
import { emptyStore, keep, type Store } from "./http1-store.ts";
import { mayBeTrailer } from "./http1-trailers.ts";

/** Whole numbers. What is longer or more is refused. */
export interface ChunkLimits {
  /** Data, without what frames it (413). At most `Number.MAX_SAFE_INTEGER`, which is no limit. */
  readonly dataBytesMax: number;
  /** Chunk extensions, as far as there are more of them than of data until then (400). */
  readonly extensionBytesMax: number;
  /** Trailer section with all line ends (431). At least 2, for the empty one. */
  readonly trailerBytesMax: number;
  /** Trailer fields (431). */
  readonly trailerLinesMax: number;
}

/** Takes a part of the body's data: the bytes of a piece from `from` to `end`, never none. */
export type DataTaker = (piece: Buffer, from: number, end: number) => void;

export type ChunkResult =
  /** All bytes belong to the body, and more must follow. */
  | { readonly kind: "more" }
  /** The body ends before index `end` of the piece. `trailers` in order, with duplicates. */
  | { readonly kind: "done"; readonly end: number; readonly trailers: readonly HeaderField[] }
  /** For good. Nothing of the piece may be passed on, and the body must not look complete. */
  | { readonly kind: "refused"; readonly refusal: Refusal };

/** Follows one body. */
export interface ChunkScanner {
  /**
   * Follows the body through `piece`, from index `from`. Never throws, and says the same however
   * the bytes are cut. Skips data without looking at it and keeps no piece.
   * @param take told of the data in the piece, in order, for whoever needs it without its chunks;
   *   also of what comes before the place where the piece is refused
   */
  feed(piece: Buffer, from: number, take?: DataTaker): ChunkResult;
  /** Bytes of data passed so far. */
  readonly dataBytes: number;
  /** Whether the next byte would begin a chunk, or the end. */
  readonly isBetweenChunks: boolean;
}

/** A scanner at the first byte of a request's body; `asResponseRefusal` serves an answer's. */
export function createChunkScanner(limits: ChunkLimits): ChunkScanner {
  const state: ChunkState = {
    limits,
    place: SIZE,
    at: 0,
    size: 0,
    digits: 0,
    left: 0,
    announcedBytes: 0,
    extensionBytes: 0,
    trailers: null,
    over: null,
  };
  return {
    feed: (piece, from, take = ignore) => feed(state, piece, { from, take }),
    get dataBytes() {
      return state.announcedBytes - state.left;
    },
    get isBetweenChunks() {
      return state.over === null && state.place === SIZE && state.digits === 0;
    },
  };
}

/** What the next byte belongs to. */
type Place =
  | typeof SIZE
  | typeof EXTENSION
  | typeof SIZE_LF
  | typeof DATA
  | typeof DATA_CR
  | typeof DATA_LF
  | typeof TRAILERS;

// Numbers, because this is dispatched on for every part of every chunk.
const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILERS = 6;

/** Digits of a chunk's size, leading zeros included: 2^52 bytes, which can still be counted. */
const SIZE_DIGITS_MAX = 13;

interface ChunkState {
  readonly limits: ChunkLimits;
  place: Place;
  /** Index in the present piece of the next byte to look at. */
  at: number;
  /** Of the present chunk: its size, as far as it was read; digits of that; data still to come. */
  size: number;
  digits: number;
  left: number;
  /** Data of all chunks so far, with what is still to come of the present one. */
  announcedBytes: number;
  /** Of extensions, beyond those that were paid for by data. */
  extensionBytes: number;
  /** Begun when there are trailers. */
  trailers: { readonly scan: FieldScan; readonly store: Store } | null;
  /** How it ended, when it did. */
  over: Exclude<ChunkResult, { readonly kind: "more" }> | null;
}

const runOfText = runOf(VALUE);

const MORE = { kind: "more" } as const;
const NO_TRAILERS: readonly HeaderField[] = [];

function feed(
  state: ChunkState,
  piece: Buffer,
  { from, take }: { readonly from: number; readonly take: DataTaker },
): ChunkResult {
  if (state.over !== null) return again(state.over, from);
  state.at = from;
  while (state.at < piece.length) {
    const finding = step(state, piece, take);
    if (finding !== null) {
      state.over = { kind: "refused", refusal: finding };
      state.trailers = null;
    }
    if (state.over !== null) return state.over;
  }
  return MORE;
}

/** No more bytes belong to a body that is over. */
function again(over: NonNullable<ChunkState["over"]>, from: number): ChunkResult {
  return over.kind === "done" ? { ...over, end: from } : over;
}

/** Looks at one part of the body, at least one byte of it. */
function step(state: ChunkState, piece: Buffer, take: DataTaker): Refusal | null {
  switch (state.place) {
    case SIZE:
      return readSize(state, piece);
    case EXTENSION:
      return readExtension(state, piece);
    case SIZE_LF:
      return endSize(state, piece);
    case DATA: {
      const from = state.at;
      state.at += Math.min(state.left, piece.length - from);
      state.left -= state.at - from;
      if (state.left === 0) state.place = DATA_CR;
      take(piece, from, state.at);
      return null;
    }
    case DATA_CR:
      state.place = DATA_LF;
      return expect(state, piece, CR);
    case DATA_LF:
      state.place = SIZE;
      return expect(state, piece, LF);
    case TRAILERS:
      return readTrailers(state, piece);
  }
}

/** One byte of `1*13HEXDIG`, or what comes after; no blank, sign or `0x`. */
function readSize(state: ChunkState, piece: Buffer): Refusal | null {
  const byte = piece[state.at] ?? 0;
  const value = hexValue(byte);
  state.at += 1;
  if (value >= 0) {
    state.digits += 1;
    if (state.digits > SIZE_DIGITS_MAX) return refuse(400, "a chunk size has too many digits");
    state.size = state.size * 16 + value;
    return null;
  }
  if (state.digits === 0 || (byte !== CR && byte !== SEMICOLON)) {
    return refuse(400, `${describeByte(byte)} stands in or after a chunk size`);
  }
  state.place = byte === CR ? SIZE_LF : EXTENSION;
  state.left = state.size;
  state.announcedBytes += state.size;
  if (state.announcedBytes <= state.limits.dataBytesMax) return null;
  return refuse(413, `the body is longer than ${state.limits.dataBytesMax} bytes`);
}

function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Text up to the line's end; what it means is not looked at (RFC 9112, section 7.1.1). */
function readExtension(state: ChunkState, piece: Buffer): Refusal | null {
  const { extensionBytesMax } = state.limits;
  const from = state.at;
  state.at = runOfText(piece, from, piece.length);
  state.extensionBytes += state.at - from;
  if (state.extensionBytes > extensionBytesMax) {
    return refuse(400, `the chunk extensions are longer than ${extensionBytesMax} bytes`);
  }
  if (state.at === piece.length) return null;
  state.place = SIZE_LF;
  return expect(state, piece, CR);
}

function endSize(state: ChunkState, piece: Buffer): Refusal | null {
  state.place = state.size === 0 ? TRAILERS : DATA;
  state.extensionBytes = Math.max(0, state.extensionBytes - state.size);
  state.size = 0;
  state.digits = 0;
  return expect(state, piece, LF);
}

function expect(state: ChunkState, piece: Buffer, byte: number): Refusal | null {
  const found = piece[state.at];
  state.at += 1;
  if (found === byte) return null;
  const place = byte === CR ? "the end of a chunk's line or data" : "a line feed in a chunked body";
  return refuse(400, `${describeByte(found)} stands where ${place} must stand`);
}

/** Usually only the empty line that ends the body. */
function readTrailers(state: ChunkState, piece: Buffer): Refusal | null {
  const { at } = state;
  if (state.trailers === null && piece[at] === CR && piece[at + 1] === LF) {
    state.over = { kind: "done", end: at + 2, trailers: NO_TRAILERS };
    return null;
  }
  const { trailerBytesMax, trailerLinesMax } = state.limits;
  state.trailers ??= { scan: beginFields(trailerLinesMax), store: emptyStore(trailerBytesMax) };
  const { scan, store } = state.trailers;
  const before = store.length;
  const bytes = keep(store, piece, at);
  const finding = scanFields(scan, bytes, store.length);
  if (finding !== null) return finding;
  if (scan.state === FIELDS_DONE) {
    const trailers = fieldsOf(bytes.toString("latin1", 0, scan.at), 0);
    state.over = { kind: "done", end: at + scan.at - before, trailers };
    return refusalOfTrailers(trailers);
  }
  state.at = piece.length;
  if (store.length < trailerBytesMax) return null;
  return refuse(431, `the trailers are longer than ${trailerBytesMax} bytes`);
}

function refusalOfTrailers(trailers: readonly HeaderField[]): Refusal | null {
  const forbidden = trailers.find(({ name }) => !mayBeTrailer(name));
  if (forbidden === undefined) return null;
  return refuse(400, "a field stands in the trailers that belongs in the head");
}

function ignore(): void {
  // Most bodies are passed on with their chunks.
}
