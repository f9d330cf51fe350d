/** Where the admin endpoints have their socket when nobody named a place: in the data folder, or in a shelter. */

import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fitsSocket } from "./socket-path.ts";

/** The first place. @param dataDir absolute */
export function socketIn(dataDir: string): string {
  return join(dataDir, "admin.sock");
}

/** What of a digest tells data folders apart. */
const DIGEST_CHARACTERS = 16;
/** Has room for a socket, whatever `TMPDIR` says. */
const SHORT_FOLDER = "/tmp";

/**
 * The other place, for a data folder that cannot be written or whose path is too long: in a temporary folder of this
 * user's. It follows from the data folder's path alone, so that the command line finds it.
 * @param dataDir absolute
 */
export function shelterFor(dataDir: string): string {
  const name = createHash("sha256").update(dataDir).digest("hex").slice(0, DIGEST_CHARACTERS);
  const below = (folder: string) => join(folder, `paastis-${userId()}`, name, "admin.sock");
  const path = below(tmpdir());
  return fitsSocket(path) ? path : below(SHORT_FOLDER);
}

/** Makes the shelter's folders. @throws Error when they cannot be made, or are not for this user alone */
export function makeShelter(socketPath: string): void {
  for (const folder of foldersOf(socketPath)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (!isOurs(folder)) throw new Error(`${folder} is not a folder of this user's alone`);
  }
}

/** Whether it is there and nobody else can have put anything into it: what is sent there is for us. */
export function isShelterThere(socketPath: string): boolean {
  return foldersOf(socketPath).every(isOurs);
}

/** Removes it; what another data folder has beside it stays. */
export function removeShelter(socketPath: string): void {
  const [all, own] = foldersOf(socketPath);
  rmSync(own, { recursive: true, force: true });
  try {
    rmdirSync(all);
  } catch {
    // It is not empty, or gone.
    return;
  }
}

/** That of all shelters of a user, and the shelter's own. */
function foldersOf(socketPath: string): readonly [all: string, own: string] {
  const own = dirname(socketPath);
  return [dirname(own), own];
}

/** In a temporary folder anybody may have made it before us. */
function isOurs(folder: string): boolean {
  const status = lstatSync(folder, { throwIfNoEntry: false });
  if (status === undefined || !status.isDirectory()) return false;
  return status.uid === userId() && (status.mode & 0o077) === 0;
}

function userId(): number {
  return process.getuid?.() ?? 0;
}
