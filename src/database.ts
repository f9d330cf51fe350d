/** The SQLite file of the registry and the event store: opened, checked, and brought up to date. */

import { Database, SQLiteError } from "bun:sqlite";
import { existsSync, renameSync } from "node:fs";

import { messageOf, PaastisError } from "./errors.ts";
import type { Log } from "./log.ts";

/** What `openDatabase` needs besides the file. */
export interface DatabaseDeps {
  readonly log: Log;
  /** What the wall clock says, in milliseconds since the epoch; names what is set aside. */
  readonly now: () => number;
  /** SQL per version: the first makes an empty file version 1. Default: `MIGRATIONS`. */
  readonly migrations?: readonly string[];
}

/** Only ever add to the end: a step that was released is never changed. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE apps (
    provider TEXT NOT NULL,
    id TEXT NOT NULL,
    key TEXT NOT NULL,
    phase TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    snapshot TEXT NOT NULL,         -- JSON
    target TEXT NOT NULL,           -- JSON
    first_seen_ms INTEGER NOT NULL,
    last_used_ms INTEGER,
    wake_history_ms TEXT NOT NULL,  -- JSON
    PRIMARY KEY (provider, id)
  );
  -- Apart from apps, because a fence must go on growing when an app was removed and comes back.
  CREATE TABLE fences (
    provider TEXT NOT NULL,
    id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    PRIMARY KEY (provider, id)
  ) WITHOUT ROWID;
  CREATE TABLE events (
    id TEXT NOT NULL PRIMARY KEY,
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    event TEXT NOT NULL             -- JSON of the whole event
  );
  CREATE INDEX events_by_app ON events (app, id);
  `,
];

/** How long to wait, blocking, for a program that still has the file; only while opening. */
const BUSY_TIMEOUT_MS = 2_000;

type Attempt =
  | { readonly kind: "open"; readonly database: Database }
  | {
      readonly kind: "damaged";
      readonly why: string;
      /** Closed only after the file was moved: closing removes the write-ahead log, even one that holds data. */
      close(): void;
    };

/**
 * Opens the file, makes it if it is missing, and migrates it forward. What is committed survives the death of this
 * process, `kill -9` included; after a power cut the file is sound, but the last moments may be missing
 * (WAL with `synchronous=NORMAL`; source: sqlite.org/pragma.html#pragma_synchronous).
 *
 * Statements on it come from `query`, or from `prepare` with `using`: one that was prepared and not ended keeps the
 * file open, and locked, after `close`.
 *
 * A damaged file is renamed to `<file>.damaged-<time>`, said in the log, and a new one is begun.
 * A file of a newer Paastis is refused and left untouched: its snapshots are what brings apps back.
 * @throws PaastisError `config_invalid` for a newer file or one that cannot be opened; `data_dir_in_use` when
 *   another program has it
 */
export function openDatabase(file: string, deps: DatabaseDeps): Database {
  const migrations = deps.migrations ?? MIGRATIONS;
  const first = open(file, migrations);
  if (first.kind === "open") return first.database;

  let aside: string;
  try {
    aside = setAside(file, deps.now());
  } finally {
    first.close();
  }
  deps.log.warn(
    { file, setAside: aside, why: first.why },
    "The data file is damaged: it was set aside and a new one begun; what was known of apps and events starts anew",
  );
  const second = open(file, migrations);
  if (second.kind === "open") return second.database;
  second.close();
  throw cannotOpen(file, second.why);
}

function open(file: string, migrations: readonly string[]): Attempt {
  let database: Database | null = null;
  try {
    database = new Database(file);
    const why = prepare(database, file, migrations);
    return why === null ? { kind: "open", database } : damaged(database, why);
  } catch (error) {
    if (database !== null && isDamage(error)) return damaged(database, messageOf(error));
    database?.close();
    if (error instanceof PaastisError) throw error;
    if (hasCode(error, "SQLITE_BUSY")) throw inUse(file, error);
    throw cannotOpen(file, messageOf(error), error);
  }
}

function damaged(database: Database, why: string): Attempt {
  return { kind: "damaged", why, close: () => database.close() };
}

/** @returns why the file is damaged, or `null` when it is ready for use */
function prepare(database: Database, file: string, migrations: readonly string[]): string | null {
  database.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  // Nobody else has business in the file. It also does without shared memory, which folders mounted into
  // containers often cannot do, and no other program can make us wait for a lock later on.
  database.run("PRAGMA locking_mode = EXCLUSIVE");
  const version = versionOf(database);
  if (version > migrations.length) throw tooNew(file, version, migrations.length);
  // The whole file, since a bad page would otherwise fail us later: 35 ms for 40 MB.
  const check = database.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get();
  if (check?.quick_check !== "ok") return check?.quick_check ?? "no answer to quick_check";
  if (version < 0 || (version === 0 && !isEmpty(database))) return "it was not made by Paastis";

  database.run("PRAGMA journal_mode = WAL");
  database.run("PRAGMA synchronous = NORMAL");
  migrate(database, migrations);
  const missing = missingColumn(database, migrations);
  return missing === null ? null : `it has no ${missing}`;
}

/**
 * Runs the steps that the file has not seen, each in a transaction together with its version number: a step that
 * fails or is killed has not happened.
 */
export function migrate(database: Database, migrations: readonly string[]): void {
  const pending = migrations.slice(versionOf(database));
  for (const sql of pending) {
    database
      .transaction(() => {
        database.run(sql);
        database.run(`PRAGMA user_version = ${versionOf(database) + 1}`);
      })
      .exclusive();
  }
}

/**
 * Writes the version that is there once more: one page, and nothing has changed.
 * @throws Error while the file cannot be written
 */
export function tryWrite(database: Database): void {
  database.run(`PRAGMA user_version = ${versionOf(database)}`);
}

function versionOf(database: Database): number {
  const row = database.query<{ user_version: number }, []>("PRAGMA user_version").get();
  return row?.user_version ?? 0;
}

function isEmpty(database: Database): boolean {
  return database.query("SELECT 1 FROM sqlite_schema LIMIT 1").get() === null;
}

/** The first column that the migrations make and the file lacks: somebody changed or mixed up the file. */
function missingColumn(database: Database, migrations: readonly string[]): string | null {
  using model = new Database(":memory:");
  migrate(model, migrations);
  const found = new Set(columnsOf(database));
  return columnsOf(model).find((column) => !found.has(column)) ?? null;
}

function columnsOf(database: Database): string[] {
  const rows = database
    .query<{ column: string }, []>(
      `SELECT t.name || '.' || c.name || iif(c.pk, ' (key)', '') AS column
       FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'`,
    )
    .all();
  return rows.map((row) => row.column);
}

/** Renames the file, and what belongs to it, so that `sqlite3` can still open them together. */
function setAside(file: string, nowMs: number): string {
  const time = new Date(nowMs).toISOString().replaceAll(/[:.]/g, "-");
  const aside = `${file}.damaged-${time}`;
  try {
    for (const suffix of ["", "-wal", "-shm"]) {
      if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
    }
    return aside;
  } catch (error) {
    throw cannotOpen(file, `it is damaged and cannot be set aside (${messageOf(error)})`, error);
  }
}

function isDamage(error: unknown): boolean {
  return hasCode(error, "SQLITE_CORRUPT") || hasCode(error, "SQLITE_NOTADB");
}

/** Extended codes (`SQLITE_CORRUPT_INDEX`) count as their family. */
function hasCode(error: unknown, code: string): boolean {
  return error instanceof SQLiteError && (error.code?.startsWith(code) ?? false);
}

function tooNew(file: string, version: number, known: number): PaastisError {
  return new PaastisError("config_invalid", {
    what: `Cannot use the data file ${file}`,
    why: `a newer Paastis wrote it (format ${version}; this one knows formats up to ${known})`,
    next: "Run the newer Paastis again, or set DATA_DIR to another folder: this file then stays as it is",
  });
}

function inUse(file: string, cause: unknown): PaastisError {
  return new PaastisError(
    "data_dir_in_use",
    {
      what: `Cannot use the data file ${file}`,
      why: "another program has it open",
      next: "Close that program (another Paastis, sqlite3), or set DATA_DIR to another folder",
    },
    cause,
  );
}

function cannotOpen(file: string, why: string, cause?: unknown): PaastisError {
  return new PaastisError(
    "config_invalid",
    {
      what: `Cannot open the data file ${file}`,
      why,
      next: "Make room and let this user read and write it, or set DATA_DIR to another folder",
    },
    cause,
  );
}
