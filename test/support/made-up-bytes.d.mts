/** What `made-up-bytes.mjs` exports: Node, which runs it too, reads no types. */

/** Always the same ones for the same length, which look random and cannot be compressed. */
export function madeUpBytes(length: number): Uint8Array<ArrayBuffer>;

/** In hexadecimal digits. */
export function sha256(bytes: Uint8Array): string;
