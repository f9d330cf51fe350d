/** Bytes that both ends can compute from a seed, so that every byte of a body can be checked where it arrives. */

import { createChance } from "../support/random.ts";

/** A prime: no power of two that buffers have hides a shift. */
const PERIOD_BYTES = 1_048_573;

/** The longest piece that `pieceOf` gives. */
export const PIECE_MAX_BYTES = 65_536;

/** The bytes all bodies are made of. */
export type Noise = Buffer;

/** The same in every process. */
export function createNoise(): Noise {
  const chance = createChance(20_260_101);
  const noise = Buffer.allocUnsafe(PERIOD_BYTES + PIECE_MAX_BYTES);
  for (let at = 0; at < PERIOD_BYTES; at += 1) noise[at] = chance.next() * 256;
  noise.copy(noise, PERIOD_BYTES, 0, PIECE_MAX_BYTES);
  return noise;
}

/** Where in the noise a body begins: bodies of different seeds are different everywhere. */
function startOf(seed: number): number {
  return (Math.imul(seed, 0x9e3779b1) >>> 0) % PERIOD_BYTES;
}

/** Bytes `offset` to `offset + bytes` of the body with this seed; at most `PIECE_MAX_BYTES`. Not to be changed. */
export function pieceOf(noise: Noise, seed: number, offset: number, bytes: number): Buffer {
  const at = (startOf(seed) + offset) % PERIOD_BYTES;
  return noise.subarray(at, at + Math.min(bytes, PIECE_MAX_BYTES));
}

/** Where `received`, which stands at `offset` of a body, first differs from it; `null`: nowhere. */
export function firstWrongByte(
  noise: Noise,
  seed: number,
  offset: number,
  received: Buffer,
): number | null {
  for (let at = 0; at < received.length; at += PIECE_MAX_BYTES) {
    const piece = received.subarray(at, at + PIECE_MAX_BYTES);
    const right = pieceOf(noise, seed, offset + at, piece.length);
    if (piece.equals(right)) continue;
    return offset + at + piece.findIndex((byte, index) => byte !== right[index]);
  }
  return null;
}
