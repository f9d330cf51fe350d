/** The data folder: made when missing, owned by one living Paastis at a time, with a stable instance id. */

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";

import { messageOf, PaastisError } from "./errors.ts";
import { type FileLock, takeLock } from "./file-lock.ts";
import { codeOf } from "./text-file.ts";

/** A folder that is ours until `close`, or why it cannot be used. */
export type DataDir =
  | {
      readonly kind: "ready";
      /** Absolute. */
      readonly path: string;
      /** Names this folder's Paastis: 12 characters of `a-z0-9`, the same for as long as the folder lives. */
      readonly instanceId: string;
      /** Gives the folder back. Safe to repeat. */
      close(): void;
    }
  | {
      readonly kind: "unwritable";
      /** For people, with the folder's name. */
      readonly why: string;
    };

/** Held exclusively while we live; empty for ever. */
const LOCK_FILE = "lock";
/** Who holds the lock, for the message to whom it is refused: `1234 on my-server`. */
const HOLDER_FILE = "holder";
const INSTANCE_ID_FILE = "instance-id";
const INSTANCE_ID_LENGTH = 12;

/**
 * Makes the folder (mode 0700) if it is missing, and takes it for this process. The kernel gives it back when the
 * process dies, however it dies.
 * @param random 0 to 1, exclusive; used once in the folder's life, for the instance id
 * @returns `unwritable` when the folder cannot be made or written: a reason to go on in memory
 * @throws PaastisError `data_dir_in_use` while another living Paastis has it
 */
export function openDataDir(path: string, random: () => number): DataDir {
  const folder = resolve(path);
  let lock: FileLock | null = null;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    lock = takeLock(join(folder, LOCK_FILE));
    if (lock === null) throw inUse(folder);
    noteHolder(folder);
    return readyDataDir(folder, instanceIdOf(folder, random), lock);
  } catch (error) {
    lock?.release();
    if (error instanceof PaastisError) throw error;
    return { kind: "unwritable", why: `${folder} cannot be written: ${messageOf(error)}` };
  }
}

/** Only a message needs it: a full disk does not make the folder useless, since what is known is in it. */
function noteHolder(folder: string): void {
  try {
    writeFileSync(join(folder, HOLDER_FILE), `${process.pid} on ${hostname()}\n`);
  } catch (error) {
    if (codeOf(error) !== "ENOSPC" && codeOf(error) !== "EDQUOT") throw error;
  }
}

function inUse(folder: string): PaastisError {
  const holder = textOf(join(folder, HOLDER_FILE));
  const who =
    holder === null || holder === "" ? "another Paastis" : `another Paastis (process ${holder})`;
  return new PaastisError("data_dir_in_use", {
    what: `Cannot use the data folder ${folder}`,
    why: `${who} is using it`,
    next: "Stop that one first, or set DATA_DIR to a folder of its own for this one",
  });
}

function readyDataDir(path: string, instanceId: string, lock: FileLock): DataDir {
  let open = true;
  function close(): void {
    if (!open) return;
    open = false;
    process.off("exit", close);
    try {
      // Before the lock goes: afterwards the file may be somebody else's.
      rmSync(join(path, HOLDER_FILE), { force: true });
    } finally {
      lock.release();
    }
  }
  process.on("exit", close);
  return { kind: "ready", path, instanceId, close };
}

/** An id that cannot be understood is replaced: it only has to be stable from then on. */
function instanceIdOf(folder: string, random: () => number): string {
  const file = join(folder, INSTANCE_ID_FILE);
  const known = textOf(file);
  if (known !== null && /^[a-z0-9]{12}$/.test(known)) return known;
  const made = Array.from({ length: INSTANCE_ID_LENGTH }, () =>
    Math.floor(random() * 36).toString(36),
  ).join("");
  // Renamed into place, so that being killed here leaves no half of an id.
  writeFileSync(`${file}.new`, `${made}\n`);
  renameSync(`${file}.new`, file);
  return made;
}

/** The trimmed content of a small file; `null` when it does not exist. */
function textOf(file: string): string | null {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/**
 * Who is using a data folder now. Changes nothing.
 * @returns `1234 on my-server`, `""` for somebody unknown; `null`: nobody, as far as can be told
 */
export function holderOfDataDir(path: string): string | null {
  const file = join(path, LOCK_FILE);
  if (!existsSync(file)) return null;
  const lock = takeLock(file);
  lock?.release();
  return lock === null ? (textOf(join(path, HOLDER_FILE)) ?? "") : null;
}
