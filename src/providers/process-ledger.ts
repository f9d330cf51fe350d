/** Keeps one small file per living child, so that the next start finds what a killed one left behind. */

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { bootId, type Marks } from "./process-table.ts";
import type { Leader } from "./process-tree.ts";

/** What is written about one child. */
export interface LedgerEntry {
  readonly leader: Leader;
  readonly marks: Marks;
}

/** An entry that was read, and the file it is in. */
export interface LedgerFile extends LedgerEntry {
  readonly path: string;
}

/** The ledger of one data folder. Failing to write is logged once: apps run without it, too. */
export interface Ledger {
  /** Notes a child that was just spawned; on disk, whole, when it returns. @returns how to strike it out */
  note(entry: LedgerEntry): () => void;
  /** Entries of this boot. Files that are broken or of an earlier boot are removed, broken ones reported. */
  read(): readonly LedgerFile[];
  /** Removes an entry's file. Safe to repeat. */
  strike(file: LedgerFile): void;
}

interface LedgerContext {
  readonly folder: string;
  readonly boot: string;
  readonly log: Log;
  saidUnwritable: boolean;
}

const FOLDER = "processes";
const SUFFIX = ".json";

/** @param dataDir absolute; `null`: nothing can be written, so nothing is kept */
export function createLedger(dataDir: string | null, log: Log): Ledger {
  if (dataDir === null) return { note: () => nothing, read: () => [], strike: nothing };
  const context: LedgerContext = {
    folder: join(dataDir, FOLDER),
    boot: bootId(),
    log,
    saidUnwritable: false,
  };
  return {
    note: (entry) => note(context, entry),
    read: () => read(context),
    strike: (file) => remove(context, file.path),
  };
}

function note(context: LedgerContext, entry: LedgerEntry): () => void {
  // With our number, as another Paastis may keep its children in the same folder.
  const path = join(context.folder, `${process.pid}-${entry.leader.pid}${SUFFIX}`);
  const content = { ...entry.leader, ...entry.marks, boot: context.boot };
  try {
    mkdirSync(context.folder, { recursive: true, mode: 0o700 });
    // Renamed into place, so that being killed here leaves no half of a file under its name.
    writeFileSync(`${path}.new`, `${JSON.stringify(content)}\n`, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  } catch (error) {
    sayUnwritable(context, error);
  }
  return () => remove(context, path);
}

function read(context: LedgerContext): readonly LedgerFile[] {
  const files: LedgerFile[] = [];
  for (const name of namesIn(context.folder)) {
    if (!name.endsWith(SUFFIX)) continue;
    const path = join(context.folder, name);
    try {
      const { boot, ...entry } = parse(readFileSync(path, "utf8"));
      if (boot === context.boot) files.push({ ...entry, path });
      else remove(context, path);
    } catch (error) {
      context.log.warn(
        { file: path, reason: messageOf(error) },
        "a note about a process that may have been left behind cannot be read: removed",
      );
      remove(context, path);
    }
  }
  return files;
}

/** @throws Error when the text is not what `note` writes */
function parse(text: string): LedgerEntry & { readonly boot: string } {
  const content: unknown = JSON.parse(text);
  if (typeof content !== "object" || content === null) throw new Error("it is not an object");
  // The type says no more than `unknown`: each value is checked below.
  const { pid, startedAt, owner, app, boot } = content as Record<string, unknown>;
  // 0, 1 and negative numbers would signal ourselves, the whole system or a group.
  if (typeof pid !== "number" || !Number.isSafeInteger(pid) || pid <= 1) {
    throw new Error("its pid is not the number of a process");
  }
  if (
    typeof startedAt !== "string" ||
    startedAt === "" ||
    typeof owner !== "string" ||
    typeof app !== "string" ||
    typeof boot !== "string"
  ) {
    throw new Error("startedAt, owner, app or boot is missing");
  }
  return { leader: { pid, startedAt }, marks: { owner, app }, boot };
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // Not there yet: no child was ever noted.
  }
}

function remove(context: LedgerContext, path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    sayUnwritable(context, error);
  }
}

function sayUnwritable(context: LedgerContext, error: unknown): void {
  if (context.saidUnwritable) return;
  context.saidUnwritable = true;
  context.log.warn(
    { folder: context.folder, reason: messageOf(error) },
    "notes about running processes cannot be kept: if Paastis is killed, some may be left behind",
  );
}

function nothing(): undefined {
  return undefined;
}
