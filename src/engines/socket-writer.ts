/** One end of a connection: what is still unsent on it, and whether it is read. */

import type { Socket } from "bun";

/** More unsent bytes than this stop whoever they come from. */
const HIGH_WATER_BYTES = 262_144;

/** From this few unsent bytes on, whoever they come from goes on. */
const LOW_WATER_BYTES = 65_536;

/** Heads, and bodies short enough to go out with them in one call. */
const SCRATCH_BYTES = 32_768;

/** Reasons not to read from a connection; it is read again when none is left. */
export const HOLD = {
  /** The other side takes less than comes from here. */
  slowReader: 1,
  /** Nobody can take the bytes yet: the app wakes, or an earlier request is not finished. */
  nobodyThere: 2,
} as const;

/** What we use of a socket of Bun's. */
export type WireSocket = Pick<
  Socket<unknown>,
  | "write"
  | "end"
  | "close"
  | "terminate"
  | "shutdown"
  | "pause"
  | "resume"
  | "setNoDelay"
  | "setKeepAlive"
>;

/** One end of a connection. */
export interface Wire {
  readonly socket: WireSocket;
  /** For bytes that are put together; its content matters to nobody afterwards. */
  readonly scratch: Buffer;
  readonly unsent: Uint8Array[];
  unsentBytes: number;
  /** The bits of `HOLD` that apply. */
  holds: number;
  /** Whose bytes are written here: it is not read while too many of them are unsent. */
  source: Wire | null;
  /** Called once, as soon as nothing is unsent any more. */
  onEmpty: (() => void) | null;
  /** Nothing more will be written; the end follows the last unsent byte. */
  isEnding: boolean;
  /** Closed, from either side. */
  isOver: boolean;
}

/** Room for putting bytes together, to be shared by all wires of an engine. */
export function createScratch(): Buffer {
  return Buffer.allocUnsafeSlow(SCRATCH_BYTES);
}

/** @param scratch one for all wires: it is used within one call only */
export function createWire(socket: WireSocket, scratch: Buffer): Wire {
  socket.setNoDelay(true);
  return {
    socket,
    scratch,
    unsent: [],
    unsentBytes: 0,
    holds: 0,
    source: null,
    onEmpty: null,
    isEnding: false,
    isOver: false,
  };
}

/** Sends bytes, or keeps what the socket does not take. They must not be changed afterwards. */
export function writeBytes(wire: Wire, bytes: Uint8Array) {
  if (wire.isOver || wire.isEnding || bytes.length === 0) return;
  if (wire.unsentBytes > 0) return keep(wire, bytes);
  const taken = wire.socket.write(bytes);
  // Below 0: it is closed, and its `close` callback has come or will.
  if (taken >= 0 && taken < bytes.length) keep(wire, bytes.subarray(taken));
}

/** Sends text, one byte per character, and bytes behind it, in one call when they are short. */
export function writeText(wire: Wire, text: string, behind: Uint8Array | null = null): void {
  if (wire.isOver || wire.isEnding) return;
  const { scratch } = wire;
  const behindBytes = behind === null ? 0 : behind.length;
  const length = text.length + behindBytes;
  if (wire.unsentBytes > 0 || length > scratch.length) {
    writeBytes(wire, Buffer.from(text, "latin1"));
    if (behind !== null) writeBytes(wire, behind);
    return;
  }
  scratch.write(text, 0, "latin1");
  if (behind !== null) scratch.set(behind, text.length);
  const taken = wire.socket.write(scratch, 0, length);
  if (taken >= 0 && taken < length) keep(wire, Buffer.from(scratch.subarray(taken, length)));
}

function keep(wire: Wire, bytes: Uint8Array): void {
  wire.unsent.push(bytes);
  wire.unsentBytes += bytes.length;
  if (wire.source !== null && wire.unsentBytes > HIGH_WATER_BYTES) {
    holdReading(wire.source, HOLD.slowReader);
  }
}

/** Goes on with what is unsent. To be called whenever the socket says that it takes more. */
export function drain(wire: Wire): void {
  if (wire.isOver) return;
  while (wire.unsentBytes > 0) {
    const bytes = wire.unsent[0];
    if (bytes === undefined) break;
    const taken = wire.socket.write(bytes);
    if (taken < 0) return;
    wire.unsentBytes -= taken;
    if (taken < bytes.length) {
      wire.unsent[0] = bytes.subarray(taken);
      break;
    }
    wire.unsent.shift();
  }
  if (wire.source !== null && wire.unsentBytes <= LOW_WATER_BYTES) {
    letRead(wire.source, HOLD.slowReader);
  }
  if (wire.unsentBytes === 0) onAllSent(wire);
}

function onAllSent(wire: Wire): void {
  const { onEmpty } = wire;
  wire.onEmpty = null;
  onEmpty?.();
  if (wire.isEnding && wire.unsentBytes === 0 && !wire.isOver) wire.socket.close();
}

/** Calls back as soon as nothing is unsent: at once when that is so now. */
export function whenSent(wire: Wire, callback: () => void): void {
  if (wire.unsentBytes === 0) callback();
  else wire.onEmpty = callback;
}

/** Says from whose connection the bytes come that are written here; `null`: from none. */
export function setSource(wire: Wire, source: Wire | null): void {
  if (wire.source !== null && wire.source !== source) letRead(wire.source, HOLD.slowReader);
  wire.source = source;
}

/** Stops reading for a reason. */
export function holdReading(wire: Wire, reason: number): void {
  if (wire.isOver) return;
  if (wire.holds === 0) wire.socket.pause();
  wire.holds |= reason;
}

/** A reason is gone. Reads again when it was the last one. */
export function letRead(wire: Wire, reason: number): void {
  if ((wire.holds & reason) === 0) return;
  wire.holds &= ~reason;
  if (wire.holds === 0 && !wire.isOver) wire.socket.resume();
}

/**
 * Ends the connection behind the last unsent byte; over TLS it says so there too. May call its `close` callback
 * before it returns. (A socket's own `end` would over TLS wait for the peer to end its side, seen in Bun 1.4.5.)
 */
export function endWire(wire: Wire): void {
  if (wire.isOver || wire.isEnding) return;
  wire.isEnding = true;
  if (wire.unsentBytes === 0) wire.socket.close();
}

/** Resets the connection: whatever is unsent is lost, and the peer sees that something is missing. */
export function cutWire(wire: Wire): void {
  if (!wire.isOver) wire.socket.terminate();
}

/** To be called when the socket has closed. Nothing is kept of it. */
export function markOver(wire: Wire): void {
  wire.isOver = true;
  wire.unsent.length = 0;
  wire.unsentBytes = 0;
  wire.onEmpty = null;
  setSource(wire, null);
}
