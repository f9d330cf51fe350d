/** An upstream that serves files from memory of the kernel: nginx, on the core of the load. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Bench } from "./bench-world.ts";
import { startUpstream } from "./contenders/nginx.ts";
import type { Expected } from "./load.ts";
import { freePort, LOAD_CORE } from "./machine.ts";

/** How many answers there are to varied requests; `wrk.lua` asks for as many. */
const VARIED_FILES = 61;

/** It runs. */
export interface FilesUpstream extends AsyncDisposable {
  readonly port: number;
  /** The folder that it serves. */
  readonly files: string;
  /** What its paths answer. */
  readonly answers: ReadonlyMap<string, Omit<Expected, "mayLoseLength">>;
}

/** Serves `/1k`, `/16k` and so on, and `/1k-0` … `/1k-60`, which are each a bit shorter. @param sizes in KB */
export function startFilesUpstream(bench: Bench, sizes: readonly number[]): FilesUpstream {
  const files = bench.freshFolder("files");
  mkdirSync(files);
  const answers = new Map(sizes.map((size) => [`/${size}k`, { bytes: writeFiles(files, size) }]));
  const port = freePort();
  const folder = bench.freshFolder("upstream");
  const process = startUpstream({ core: LOAD_CORE, folder, port, files });
  return { port, files, answers, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
}

/** Bytes that no compression and no mix-up leaves the same. */
function writeFiles(folder: string, size: number): Uint8Array {
  const bytes = new Uint8Array(size * 1024);
  // Web Crypto gives 64 KB at a time.
  for (let at = 0; at < bytes.length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  writeFileSync(join(folder, `${size}k`), bytes);
  for (let index = 0; index < VARIED_FILES && size <= 64; index += 1) {
    // Lengths differ too, and with them the heads of the answers.
    writeFileSync(join(folder, `${size}k-${index}`), bytes.subarray(0, bytes.length - index));
  }
  return bytes;
}
