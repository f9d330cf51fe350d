/** Follows WebSocket frames as they pass, without copying: where each ends, and which one closes. */

/** A close frame's opcode (RFC 6455, section 5.2). */
const CLOSE = 0x8;
/** From here on opcodes are of control frames, which are no messages (the same section). */
const CONTROL = 0x8;

/** Any mask will do: it hides nothing, and what it covers is ours. */
const MASK = [0x5a, 0x3c, 0xa5, 0xc3] as const;

/** Where in its frames one direction of a WebSocket is. */
export interface FrameFollower {
  /** Bytes of the present frame's head that have passed; 0: none, so a frame has just ended. */
  headBytes: number;
  /** Of them, how many say the length, behind the first two. */
  lengthBytes: number;
  /** How long the head is, as far as is known. */
  headLength: number;
  /** Payload that has not passed. */
  payloadBytes: number;
  opcode: number;
  /** A close frame has passed completely: nothing follows it. */
  hasClosed: boolean;
  /** A frame of a message has begun since somebody put it to false. */
  hasMessage: boolean;
}

/** At the beginning of the first frame. */
export function createFrameFollower(): FrameFollower {
  return {
    headBytes: 0,
    lengthBytes: 0,
    headLength: 2,
    payloadBytes: 0,
    opcode: 0,
    hasClosed: false,
    hasMessage: false,
  };
}

/** Whether a frame of ours may stand here. */
export function isBetweenFrames(follower: FrameFollower): boolean {
  return follower.headBytes === 0;
}

/** Whether a frame of a message has begun, and not ended. */
export function isInMessage({ headBytes, opcode }: FrameFollower): boolean {
  return headBytes > 0 && opcode < CONTROL;
}

/** Passes over all of the bytes. */
export function follow(follower: FrameFollower, bytes: Uint8Array): void {
  let at = 0;
  while (at !== -1 && at < bytes.length) at = followToEnd(follower, bytes, at);
}

/**
 * Passes over the bytes from `from` to the end of the present frame, or of the next one when none
 * has begun.
 * @returns where the frame ends; -1 when the bytes end first
 */
export function followToEnd(follower: FrameFollower, bytes: Uint8Array, from: number): number {
  let at = from;
  while (follower.headBytes < follower.headLength) {
    const byte = bytes[at];
    if (byte === undefined) return -1;
    takeHeadByte(follower, byte);
    at += 1;
  }
  const passing = Math.min(follower.payloadBytes, bytes.length - at);
  follower.payloadBytes -= passing;
  if (follower.payloadBytes > 0) return -1;
  follower.headBytes = 0;
  follower.headLength = 2;
  if (follower.opcode === CLOSE) follower.hasClosed = true;
  return at + passing;
}

function takeHeadByte(follower: FrameFollower, byte: number): void {
  const at = follower.headBytes;
  follower.headBytes += 1;
  if (at === 0) {
    follower.opcode = byte & 0x0f;
    if (follower.opcode < CONTROL) follower.hasMessage = true;
  } else if (at === 1) {
    const length = byte & 0x7f;
    follower.lengthBytes = length === 127 ? 8 : length === 126 ? 2 : 0;
    follower.payloadBytes = length < 126 ? length : 0;
    follower.headLength = 2 + follower.lengthBytes + ((byte & 0x80) === 0 ? 0 : 4);
  } else if (at < 2 + follower.lengthBytes) {
    follower.payloadBytes = follower.payloadBytes * 256 + byte;
  }
}

/** A close frame without a reason. */
export function closeFrame(code: number, options: { readonly isMasked: boolean }): Uint8Array {
  const high = code >> 8;
  const low = code & 0xff;
  if (!options.isMasked) return Uint8Array.of(0x80 | CLOSE, 2, high, low);
  return Uint8Array.of(0x80 | CLOSE, 0x82, ...MASK, high ^ MASK[0], low ^ MASK[1]);
}
