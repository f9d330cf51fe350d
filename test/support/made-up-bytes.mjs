/** Bytes that look random and can be made again, for tests under Bun and apps under Node; and checksums. */

import { createHash } from "node:crypto";

/** By xorshift32. */
export function madeUpBytes(length) {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = 0x9e3779b9;
  for (let index = 0; index < words.length; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

export function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}
