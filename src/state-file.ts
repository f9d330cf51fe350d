/** A JSON file that is whole at any moment, and whose content is durable once a write is done. */

import {
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

import type { Clock } from "./clock.ts";
import { messageOf } from "./errors.ts";
import { type FileLock, takeLock } from "./file-lock.ts";
import { codeOf, whyUnreadable } from "./text-file.ts";

/** One file, for one process at a time. */
export interface StateFile {
  /**
   * What is in it; `null`: there is no file yet. A file that is no JSON is set aside, and told with where it is now.
   * @throws Error with path and reason when it is there and cannot be read
   */
  read(): { readonly content: unknown } | { readonly damaged: string } | null;
  /**
   * Replaces all that is in it. What `content` holds when this is called is what counts. Of several writes at once
   * only the newest is done; each resolves once its content, or a newer one, would survive a power failure.
   * @throws Error with path and reason; the file is then as it was, and nothing lies beside it
   */
  write(content: unknown): Promise<void>;
  /**
   * Keeps what is in it now under another name beside it: `move` leaves no file behind, `copy` leaves it as it is. Safe
   * to repeat: what was copied before is not copied again. Never throws.
   * @param why goes on after the file's name
   * @returns what to say: why, and where it is kept
   */
  setAside(why: string, manner: "copy" | "move"): string;
  /** Resolves once nothing is being written any more; later writes are refused. Safe to repeat. */
  close(): Promise<void>;
}

/** Larger ones are not ours. */
const BYTES_MAX = 16 * 1024 * 1024;
/** As many as the kernel follows (`MAXSYMLINKS`). */
const LINKS_MAX = 40;

interface Batch {
  text: string;
  readonly waiters: PromiseWithResolvers<void>[];
}

/** Removes what a run that was killed has left beside the file, and touches nothing else. */
export function openStateFile(options: {
  /** If it is a symbolic link, the file that it leads to is meant. Its folder is made when it is missing. */
  readonly path: string;
  readonly clock: Clock;
}): StateFile {
  const path = resolve(options.path);
  removeLeftovers(path);
  let next: Batch | null = null;
  let writing: Promise<void> | null = null;
  let isOpen = true;

  async function writeAll(): Promise<void> {
    for (let batch = takeNext(); batch !== null; batch = takeNext()) {
      const failure = await replace(path, batch.text).then(
        () => null,
        (error: unknown) => unwritable(path, error),
      );
      if (failure === null) for (const { resolve } of batch.waiters) resolve();
      // Newer content is as good for them as their own.
      else if (next !== null) next.waiters.push(...batch.waiters);
      else for (const { reject } of batch.waiters) reject(failure);
    }
    writing = null;
  }

  function takeNext(): Batch | null {
    const batch = next;
    next = null;
    return batch;
  }

  return {
    read: () => readState(path, options.clock),
    async write(content) {
      if (!isOpen) throw new Error(`Cannot write ${path}: it was closed`);
      const text = textOf(content, path);
      const waiter = Promise.withResolvers<void>();
      if (next === null) next = { text, waiters: [] };
      next.text = text;
      next.waiters.push(waiter);
      writing ??= writeAll();
      await waiter.promise;
    },
    setAside(why, manner) {
      const file = followed(path);
      return manner === "move" ? movedAside(file, why, options.clock) : copiedAside(file, why);
    },
    async close() {
      isOpen = false;
      await writing;
    },
  };
}

function textOf(content: unknown, path: string): string {
  try {
    // Without a second argument that is not text, it may give `undefined`.
    const text: string | undefined = JSON.stringify(content, null, 2);
    if (text !== undefined) return `${text}\n`;
  } catch (error) {
    throw new Error(`Cannot write ${path}: this is no JSON: ${messageOf(error)}`, { cause: error });
  }
  throw new Error(`Cannot write ${path}: this is no JSON: ${typeof content}`);
}

function readState(path: string, clock: Clock): ReturnType<StateFile["read"]> {
  try {
    const file = followed(path);
    const { size } = checkedFile(statSync(file));
    if (size > BYTES_MAX) {
      return { damaged: movedAside(file, `has ${size} bytes, more than ${BYTES_MAX}`, clock) };
    }
    const bytes = readFileSync(file);
    const parsed = parse(bytes);
    return "why" in parsed ? { damaged: movedAside(file, parsed.why, clock) } : parsed;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw new Error(`${path} ${whyUnreadable(error)}`, { cause: error });
  }
}

function parse(bytes: Uint8Array): { readonly content: unknown } | { readonly why: string } {
  try {
    return { content: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) };
  } catch (error) {
    return { why: bytes.length === 0 ? "is empty" : `is no JSON (${messageOf(error)})` };
  }
}

function movedAside(file: string, why: string, clock: Clock): string {
  const place = freeName(damagedName(file, clock.wallMs()));
  try {
    renameSync(file, place);
    return `${file} ${why}; it is now ${place}`;
  } catch (error) {
    return `${file} ${why}; it stays there: ${whyNot(error)}`;
  }
}

/** Named after the moment in which it was written, so that each content is kept once. */
function copiedAside(file: string, why: string): string {
  try {
    const place = damagedName(file, statSync(file).mtimeMs);
    if (!existsSync(place)) copyFileSync(file, place, constants.COPYFILE_EXCL);
    return `${file} ${why}; a copy is kept as ${place}`;
  } catch (error) {
    return `${file} ${why}; no copy can be kept: ${whyNot(error)}`;
  }
}

function damagedName(file: string, atMs: number): string {
  return `${file}.damaged-${new Date(atMs).toISOString()}`;
}

/** Two files may be damaged within a millisecond, and neither is lost. */
function freeName(wanted: string): string {
  let name = wanted;
  for (let count = 2; existsSync(name); count += 1) name = `${wanted}-${count}`;
  return name;
}

/** Where a path leads, though there may be nothing yet. */
function followed(path: string): string {
  let file = path;
  for (let count = 0; count < LINKS_MAX; count += 1) {
    const status = lstatSync(file, { throwIfNoEntry: false });
    if (status?.isSymbolicLink() !== true) return file;
    file = resolve(dirname(file), readlinkSync(file));
  }
  throw new Error("too many symbolic links");
}

/** A device must not be replaced by a file, and a pipe would be read for ever. */
function checkedFile<T extends { isFile(): boolean; isDirectory(): boolean }>(status: T): T {
  if (status.isDirectory()) throw Object.assign(new Error("it is a folder"), { code: "EISDIR" });
  if (!status.isFile()) throw new Error("it is a device, a pipe or a socket");
  return status;
}

/** Either all of it happens, or nothing that lasts. */
async function replace(path: string, text: string): Promise<void> {
  const file = followed(path);
  const status = lstatSync(file, { throwIfNoEntry: false });
  if (status !== undefined) checkedFile(status);
  await makeFolder(dirname(file));
  const draft = `${file}.${process.pid}.tmp`;
  try {
    await writeDurably(draft, text);
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true }).catch(() => undefined);
    throw error;
  }
  await syncFolder(dirname(file));
}

async function writeDurably(file: string, text: string): Promise<void> {
  await rm(file, { force: true });
  // Made anew, so that nobody else's file, nor what a link leads to, is written.
  const handle = await open(file, "wx", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Each new folder is an entry of the one above it, which must last as well. */
async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) {
    await syncFolder(dirname(made));
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems have no such thing (fsync(2)): they answer once it is durable.
    if (codeOf(error) !== "EINVAL" && codeOf(error) !== "ENOTSUP") throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Takes the file for this process, by a lock beside it. Its folder is made when it is missing.
 * @returns `null` while another process has it
 * @throws Error with path and reason when nothing can be made there
 */
export function lockStateFile(path: string): FileLock | null {
  try {
    const file = followed(resolve(path));
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    return takeLock(`${file}.lock`);
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** What cannot be looked at or removed does no harm: a write will say what is wrong there. */
function removeLeftovers(path: string): void {
  try {
    const file = followed(path);
    const folder = dirname(file);
    const start = `${basename(file)}.`;
    for (const name of readdirSync(folder)) {
      const pid = /^(\d+)\.tmp$/.exec(name.startsWith(start) ? name.slice(start.length) : "")?.[1];
      if (pid !== undefined && !isSomebodyElse(Number(pid))) rmSync(join(folder, name));
    }
  } catch {
    return;
  }
}

/** In a container, the run before had the same number. */
function isSomebodyElse(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

function unwritable(path: string, error: unknown): Error {
  return new Error(`Cannot write ${path}: ${whyNot(error)}`, { cause: error });
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EDQUOT: "this user may store no more there",
  EFBIG: "files may not be so large there",
  EISDIR: "it is a folder",
  ENOSPC: "the disk is full",
  ENOTDIR: "a part of its path is no folder",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
};

function whyNot(error: unknown): string {
  return REASONS[String(codeOf(error))] ?? messageOf(error);
}
