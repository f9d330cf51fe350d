/** Places for unix sockets that only processes of this very Paastis know of. */

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fitsSocket } from "../socket-path.ts";

/** What their folders are called, before what makes each unique. */
const PREFIX = "restart-";

/** Makes a folder of its own, which `mkdtemp` makes for this user alone. @param dataDir absolute; `null`: there is none */
export function privateSocket(dataDir: string | null): string {
  const below = (folder: string) => join(folder, PREFIX);
  const folders = [dataDir ?? tmpdir(), tmpdir()].filter((one) =>
    fitsSocket(`${below(one)}XXXXXX/socket`),
  );
  for (const folder of folders) {
    const made = tryToMake(below(folder));
    if (made !== null) return join(made, "socket");
  }
  return join(mkdtempSync(below("/tmp")), "socket");
}

/** Removes it with its folder. Safe to repeat. */
export function removePrivateSocket(path: string): void {
  rmSync(dirname(path), { recursive: true, force: true });
}

/** Removes what processes that were killed have left. Never throws. @param dataDir absolute, and ours alone */
export function removeForgotten(dataDir: string): void {
  try {
    for (const name of readdirSync(dataDir)) {
      if (name.startsWith(PREFIX)) {
        rmSync(join(dataDir, name), { recursive: true, force: true });
      }
    }
  } catch {
    // The next start tries again.
    return;
  }
}

/** @returns `null`: it cannot be written there */
function tryToMake(beginning: string): string | null {
  try {
    return mkdtempSync(beginning);
  } catch {
    return null;
  }
}
