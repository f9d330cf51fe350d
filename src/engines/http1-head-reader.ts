/** Finds heads in pieces of any size, linear in their bytes, and within limits. */

import { isBareStatusLine, readBareHead } from "./http1-bare-lines.ts";
import { beginFields, FIELDS_DONE, type FieldScan, scanFields } from "./http1-fields.ts";
import { beginLine, LINE_DONE, type LineScan } from "./http1-first-line.ts";
import type { HeadLimits, HeadReader, HeadResult } from "./http1-head.ts";
import { type Refusal, refuse } from "./http1-refusal.ts";
import { emptyStore, keep, type Store } from "./http1-store.ts";

/** What differs between the two directions. */
export interface HeadKind<H> {
  readonly limits: HeadLimits;
  readonly scanLine: (scan: LineScan, bytes: Uint8Array, end: number) => Refusal | null;
  /** Understands the text of a head whose bytes were found well-formed. */
  readonly understand: (text: string) => H | Refusal;
  readonly refusalFor: (finding: Refusal) => Refusal;
  /** Heads whose lines all end with a bare line feed are read, too. */
  readonly acceptsBareLines: boolean;
}

/** One direction of a connection. Both scans count from the head's first byte. */
interface ReaderState<H> {
  readonly kind: HeadKind<H>;
  line: LineScan;
  fields: FieldScan;
  /** The head's first bytes, when it comes in several pieces. */
  store: Store;
  /** The head that is being read has bare line ends. */
  isBare: boolean;
  refused: HeadResult<H> | null;
  /** A head that came in one piece, byte for byte, and what it says: many clients repeat themselves. */
  known: { readonly bytes: Buffer; readonly head: H } | null;
  /** Length of the last head that came in one piece. */
  lastLength: number;
}

/** A longer head is read anew each time: remembering it would cost memory per connection. */
const KNOWN_BYTES_MAX = 1024;

const INCOMPLETE = { kind: "incomplete" } as const;

/** A reader for one direction of a connection, at its first byte. */
export function createHeadReader<H extends object>(kind: HeadKind<H>): HeadReader<H> {
  const state: ReaderState<H> = {
    kind,
    line: beginLine(),
    fields: beginFields(kind.limits.fieldLinesMax),
    store: emptyStore(kind.limits.headBytesMax),
    isBare: false,
    refused: null,
    known: null,
    lastLength: 0,
  };
  return {
    read: (piece, from) => readPiece(state, piece, from),
    get pendingBytes() {
      return state.store.length;
    },
    pending: () => Buffer.from(state.store.bytes?.subarray(0, state.store.length) ?? []),
  };
}

function readPiece<H extends object>(
  state: ReaderState<H>,
  piece: Buffer,
  from: number,
): HeadResult<H> {
  if (state.refused !== null) return state.refused;
  if (from >= piece.length) return INCOMPLETE;
  const again = readAgain(state, piece, from);
  if (again !== null) return again;
  const { store } = state;
  const before = store.length;
  const bytes = before === 0 ? restOf(piece, from) : keep(store, piece, from);
  const there = before === 0 ? bytes.length : store.length;
  const finding = state.isBare ? null : scanHead(state, bytes, there);
  if (finding !== null && !mayBeBare(state, bytes)) return refused(state, finding);
  if (finding !== null || state.isBare)
    return readBare(state, { piece, from, before, bytes, there });
  if (state.fields.state !== FIELDS_DONE) {
    if (before === 0) keep(store, piece, from);
    return INCOMPLETE;
  }
  const length = state.fields.at;
  const head = state.kind.understand(bytes.toString("latin1", 0, length));
  if ("why" in head) return refused(state, head);
  if (before === 0) remember(state, bytes, head);
  begin(state);
  return { kind: "head", head, end: from + length - before };
}

/**
 * Bytes that were a whole head are the same head whatever follows: reading stops at its end and
 * depends on nothing but its bytes. Heads are immutable, so it can be the same one.
 */
function readAgain<H>(state: ReaderState<H>, piece: Buffer, from: number): HeadResult<H> | null {
  const { known } = state;
  if (known === null || state.store.length > 0 || state.fields.at > 0 || state.line.at > 0) {
    return null;
  }
  const end = from + known.bytes.length;
  if (end > piece.length || known.bytes.compare(piece, from, end) !== 0) return null;
  return { kind: "head", head: known.head, end };
}

/** Only what has a length that came twice: a connection with one request, or ever new ones, keeps nothing. */
function remember<H>(state: ReaderState<H>, bytes: Buffer, head: H): void {
  const length = state.fields.at;
  const isLikely = length === state.lastLength && length <= KNOWN_BYTES_MAX;
  state.lastLength = length;
  if (!isLikely) {
    state.known = null;
    return;
  }
  const room = state.known?.bytes.length === length ? state.known.bytes : Buffer.alloc(length);
  bytes.copy(room, 0, 0, length);
  state.known = { bytes: room, head };
}

function mayBeBare<H>({ kind, line }: ReaderState<H>, bytes: Buffer): boolean {
  if (!kind.acceptsBareLines || isDone(line)) return false;
  return line.at <= kind.limits.lineBytesMax && isBareStatusLine(bytes, line.at);
}

/** Rare, so it may take its time. */
function readBare<H extends object>(
  state: ReaderState<H>,
  part: {
    readonly piece: Buffer;
    readonly from: number;
    /** Bytes of the head that came before this piece. */
    readonly before: number;
    /** The head's bytes so far, and how many they are. */
    readonly bytes: Buffer;
    readonly there: number;
  },
): HeadResult<H> {
  const { piece, from, before, bytes, there } = part;
  const seen = state.isBare ? before : 0;
  state.isBare = true;
  const read = readBareHead({ bytes, length: there, seen }, state.kind.limits);
  if (read === null) {
    if (before === 0) keep(state.store, piece, from);
    return INCOMPLETE;
  }
  const head = "why" in read ? read : state.kind.understand(read.text);
  if ("why" in head) return refused(state, head);
  begin(state);
  // What `read` is when `head` is one.
  const { end } = read as { readonly end: number };
  return { kind: "head", head, end: from + end - before };
}

/** A piece usually begins with the head: then it need not be cut. */
function restOf(piece: Buffer, from: number): Buffer {
  return from === 0 ? piece : piece.subarray(from);
}

/** Looks at the bytes from where it stopped to `end`. */
function scanHead<H>(state: ReaderState<H>, bytes: Buffer, end: number): Refusal | null {
  const { line, fields } = state;
  const { headBytesMax, lineBytesMax } = state.kind.limits;
  if (!isDone(line)) {
    const lineEnd = Math.min(end, lineBytesMax, headBytesMax);
    const finding = state.kind.scanLine(line, bytes, lineEnd);
    if (finding !== null) return finding;
    if (!isDone(line)) {
      const isFull = line.at === lineBytesMax || line.at === headBytesMax;
      return isFull ? refuse(414, `the first line is longer than ${line.at} bytes`) : null;
    }
    fields.at = line.at;
  }
  const finding = scanFields(fields, bytes, Math.min(end, headBytesMax));
  if (finding !== null || fields.state === FIELDS_DONE || fields.at < headBytesMax) return finding;
  return refuse(431, `the head is longer than ${headBytesMax} bytes`);
}

function isDone(line: LineScan): boolean {
  return line.state === LINE_DONE;
}

function refused<H>(state: ReaderState<H>, finding: Refusal): HeadResult<H> {
  state.refused = { kind: "refused", refusal: state.kind.refusalFor(finding) };
  state.store = emptyStore(0);
  return state.refused;
}

function begin<H>(state: ReaderState<H>): void {
  state.isBare = false;
  state.line = beginLine();
  state.fields = beginFields(state.kind.limits.fieldLinesMax);
  if (state.store.length > 0) state.store = emptyStore(state.kind.limits.headBytesMax);
}
