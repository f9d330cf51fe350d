/** WebSocket frames in pieces of any size: their heads, and their payloads as they come. */

/** What stands before a payload. */
export interface FrameHead {
  readonly opcode: number;
  /** The last frame of its message. */
  readonly isFinal: boolean;
  readonly bytes: number;
  /** Four bytes; `null`: not masked. */
  readonly mask: Buffer | null;
}

export interface FrameListener {
  onFrame(head: FrameHead): void;
  /** Unmasked. */
  onPayload(piece: Buffer): void;
  /** The frame is complete. */
  onEnd(head: FrameHead): void;
}

/** Give it what comes; `close` and `until` are up to the listener. */
export function createFrameReader(listener: FrameListener): (bytes: Buffer) => void {
  let kept: Buffer | null = null;
  let frame: FrameHead | null = null;
  let doneBytes = 0;
  return function push(bytes) {
    let rest = kept === null ? bytes : Buffer.concat([kept, bytes]);
    kept = null;
    for (;;) {
      if (frame === null) {
        const head = readHead(rest);
        if (head === null) {
          if (rest.length > 0) kept = rest;
          return;
        }
        frame = head.frame;
        doneBytes = 0;
        rest = rest.subarray(head.end);
        listener.onFrame(frame);
      }
      const piece = rest.subarray(0, frame.bytes - doneBytes);
      if (piece.length > 0) listener.onPayload(unmasked(piece, frame.mask, doneBytes));
      doneBytes += piece.length;
      rest = rest.subarray(piece.length);
      if (doneBytes < frame.bytes) return;
      const ended: FrameHead = frame;
      frame = null;
      listener.onEnd(ended);
    }
  };
}

function readHead(bytes: Buffer): { readonly frame: FrameHead; readonly end: number } | null {
  if (bytes.length < 2) return null;
  const first = bytes.readUInt8(0);
  const second = bytes.readUInt8(1);
  const short = second & 0x7f;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  const maskBytes = (second & 0x80) === 0 ? 0 : 4;
  const end = 2 + lengthBytes + maskBytes;
  if (bytes.length < end) return null;
  if ((first & 0x70) !== 0) throw new Error(`reserved bits in a frame: ${first}`);
  const length =
    lengthBytes === 2
      ? bytes.readUInt16BE(2)
      : lengthBytes === 8
        ? Number(bytes.readBigUInt64BE(2))
        : short;
  const mask = maskBytes === 0 ? null : Buffer.from(bytes.subarray(end - 4, end));
  const isFinal = (first & 0x80) !== 0;
  return { frame: { opcode: first & 0x0f, isFinal, bytes: length, mask }, end };
}

function unmasked(piece: Buffer, mask: Buffer | null, offset: number): Buffer {
  if (mask === null || mask.readUInt32BE(0) === 0) return piece;
  return piece.map((byte, index) => byte ^ (mask[(offset + index) % 4] ?? 0)) as Buffer;
}

/** What stands before a payload; the mask of those that need one is zero, which leaves the bytes as they are. */
export function frameHead(options: {
  readonly opcode: number;
  readonly bytes: number;
  readonly isFinal?: boolean;
  readonly isMasked?: boolean;
}): Buffer {
  const { opcode, bytes, isFinal = true, isMasked = false } = options;
  const mask = isMasked ? [0, 0, 0, 0] : [];
  const bit = isMasked ? 0x80 : 0;
  const first = (isFinal ? 0x80 : 0) | opcode;
  if (bytes < 126) return Buffer.from([first, bit | bytes, ...mask]);
  if (bytes < 65_536) return Buffer.from([first, bit | 126, bytes >> 8, bytes & 0xff, ...mask]);
  const head = Buffer.alloc(10);
  head.writeUInt8(first, 0);
  head.writeUInt8(bit | 127, 1);
  head.writeBigUInt64BE(BigInt(bytes), 2);
  return Buffer.concat([head, Buffer.from(mask)]);
}
