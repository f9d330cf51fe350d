/** Keeps the beginning of something that comes in pieces, until the rest is there. */

/** Bytes kept so far. */
export interface Store {
  /** The first `length` bytes are those that were kept; the rest is room. */
  bytes: Buffer | null;
  length: number;
  /** No more than this is ever kept. */
  readonly lengthMax: number;
}

/** First room; it doubles as needed, so that keeping byte by byte costs no more than linear time. */
const ROOM_BYTES_MIN = 1024;

/** A store with nothing in it, and no room yet. */
export function emptyStore(lengthMax: number): Store {
  return { bytes: null, length: 0, lengthMax };
}

/** Copies the piece from index `from`, as far as allowed. @returns all that is kept, and room */
export function keep(store: Store, piece: Buffer, from: number): Buffer {
  const end = Math.min(piece.length, from + store.lengthMax - store.length);
  const length = store.length + end - from;
  const bytes = withRoom(store, length);
  piece.copy(bytes, store.length, from, end);
  store.bytes = bytes;
  store.length = length;
  return bytes;
}

function withRoom({ bytes, length, lengthMax }: Store, needed: number): Buffer {
  if (bytes !== null && bytes.length >= needed) return bytes;
  const doubled = Math.max(needed, ROOM_BYTES_MIN, 2 * (bytes?.length ?? 0));
  const grown = Buffer.allocUnsafe(Math.min(doubled, lengthMax));
  bytes?.copy(grown, 0, 0, length);
  return grown;
}
