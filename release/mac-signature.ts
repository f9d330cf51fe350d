/**
 * Signs an executable for macOS "ad hoc", by nobody: its pages' hashes in itself. The bundler does that for arm64 only
 * (Bun 1.4.5); for x64 it leaves the signature of the runtime, which no longer fits, so that macOS may end the program.
 * Source: <mach-o/loader.h>, and <kern/cs_blobs.h> of xnu.
 */

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const LC_SEGMENT_64 = 0x19;
const LC_CODE_SIGNATURE = 0x1d;
const HEADER_BYTES = 32;
const SUPER_BLOB = 0xfade0cc0;
const CODE_DIRECTORY = 0xfade0c02;
const CODE_DIRECTORY_VERSION = 0x20400;
const CODE_DIRECTORY_BYTES = 88;
/** One blob: the length of all, and one entry of an index. */
const INDEX_BYTES = 20;
/** Signed by nobody, and not by the tool that signs: it may be signed again. */
const ADHOC_LINKER_SIGNED = 0x20002;
const MAIN_BINARY = 1n;
const SHA256 = 2;
const HASH_BYTES = 32;
const PAGE_BITS = 12;
const PAGE_BYTES = 1 << PAGE_BITS;
const IDENTIFIER = Buffer.from("paastis\0");

/** Where the load commands of a Mach-O file are that a signature has to do with. */
interface Places {
  readonly text: number;
  readonly linkEdit: number;
  readonly signature: number;
}

/**
 * Replaces the signature of a file, which lies at its end. Safe to repeat: the same bytes come of it.
 * @throws Error when it is no Mach-O file of 64 bits with a signature
 */
export function signForMac(file: string): void {
  const before = readFileSync(file);
  const { text, linkEdit, signature } = placesIn(before);
  const codeBytes = before.readUInt32LE(signature + 8);
  const slots = Math.ceil(codeBytes / PAGE_BYTES);
  const hashesAt = CODE_DIRECTORY_BYTES + IDENTIFIER.length;
  const directoryBytes = hashesAt + slots * HASH_BYTES;
  const blobBytes = INDEX_BYTES + directoryBytes;

  const signed = Buffer.alloc(codeBytes + blobBytes);
  before.copy(signed, 0, 0, codeBytes);
  // They are in pages that are signed, and so come first.
  signed.writeUInt32LE(blobBytes, signature + 12);
  const linkEditBytes = codeBytes + blobBytes - Number(signed.readBigUInt64LE(linkEdit + 40));
  signed.writeBigUInt64LE(BigInt(linkEditBytes), linkEdit + 48);
  signed.writeBigUInt64LE(BigInt(Math.ceil(linkEditBytes / 0x4000) * 0x4000), linkEdit + 32);

  const blob = signed.subarray(codeBytes);
  writeNumbers(blob, 0, [SUPER_BLOB, blobBytes, 1, 0, INDEX_BYTES]);
  const directory = blob.subarray(INDEX_BYTES);
  writeNumbers(directory, 0, [CODE_DIRECTORY, directoryBytes, CODE_DIRECTORY_VERSION]);
  const offsets = [ADHOC_LINKER_SIGNED, hashesAt, CODE_DIRECTORY_BYTES, 0, slots, codeBytes];
  writeNumbers(directory, 12, offsets);
  directory.set([HASH_BYTES, SHA256, 0, PAGE_BITS], 36);
  // From 64 on: where the executable segment begins, its length, and what it is.
  directory.writeBigUInt64BE(signed.readBigUInt64LE(text + 40), 64);
  directory.writeBigUInt64BE(signed.readBigUInt64LE(text + 48), 72);
  directory.writeBigUInt64BE(MAIN_BINARY, 80);
  IDENTIFIER.copy(directory, CODE_DIRECTORY_BYTES);
  for (let slot = 0; slot < slots; slot += 1) {
    const end = Math.min((slot + 1) * PAGE_BYTES, codeBytes);
    const page = signed.subarray(slot * PAGE_BYTES, end);
    directory.set(createHash("sha256").update(page).digest(), hashesAt + slot * HASH_BYTES);
  }
  writeFileSync(file, signed);
}

/** Numbers of a signature are the other way round than those of the file. */
function writeNumbers(to: Buffer, at: number, numbers: readonly number[]): void {
  for (const [index, number] of numbers.entries()) to.writeUInt32BE(number, at + index * 4);
}

function placesIn(file: Buffer): Places {
  if (file.readUInt32LE(0) !== 0xfeedfacf) throw new Error("This is no Mach-O file of 64 bits");
  const found = new Map<string, number>();
  let at = HEADER_BYTES;
  for (let left = file.readUInt32LE(16); left > 0; left -= 1) {
    const command = file.readUInt32LE(at);
    const segment = file.toString("latin1", at + 8, at + 24).replace(/\0+$/, "");
    if (command === LC_SEGMENT_64) found.set(segment, at);
    if (command === LC_CODE_SIGNATURE) found.set("signature", at);
    at += file.readUInt32LE(at + 4);
  }
  const placeOf = (name: string) => {
    const place = found.get(name);
    if (place === undefined) throw new Error(`This Mach-O file has no ${name}`);
    return place;
  };
  return {
    text: placeOf("__TEXT"),
    linkEdit: placeOf("__LINKEDIT"),
    signature: placeOf("signature"),
  };
}
