/** The registry in the SQLite file: one row per app. */

import type { Database } from "bun:sqlite";

import { type AppRef, refKey } from "../app.ts";
import { messageOf } from "../errors.ts";
import { createLocalClaims, type LocalClaims } from "./local-claims.ts";
import type { AppRecord, Claim, Loaded, Registry, Use } from "./registry.ts";
import { createRecordReader, type RecordReading } from "./stored-record.ts";

/** A row as it comes, before it is trusted. */
type Row = Readonly<Record<string, unknown>>;

interface Context {
  readonly database: Database;
  /** The file belongs to this process alone. */
  readonly claims: LocalClaims;
  closed: boolean;
}

/** A newer fence stays; a time of use never goes back. What is there may be damaged, hence the looks at types. */
const SAVE = `
  INSERT INTO apps (provider, id, key, phase, since_ms, fence, snapshot, target,
    first_seen_ms, last_used_ms, wake_history_ms)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (provider, id) DO UPDATE SET
    key = excluded.key, phase = excluded.phase, since_ms = excluded.since_ms,
    fence = excluded.fence, snapshot = excluded.snapshot, target = excluded.target,
    first_seen_ms = excluded.first_seen_ms, wake_history_ms = excluded.wake_history_ms,
    last_used_ms = CASE
      WHEN typeof(last_used_ms) IN ('integer', 'real')
        AND (excluded.last_used_ms IS NULL OR last_used_ms > excluded.last_used_ms)
      THEN last_used_ms ELSE excluded.last_used_ms END
  WHERE CAST(apps.fence AS INTEGER) <= excluded.fence
  RETURNING 1`;

const RAISE_FENCE = `
  INSERT INTO fences (provider, id, fence) VALUES (?, ?, ?)
  ON CONFLICT (provider, id) DO UPDATE SET fence = max(fence, excluded.fence)`;

const NEXT_FENCE = `
  INSERT INTO fences (provider, id, fence) VALUES (?1, ?2, ?3 + 1)
  ON CONFLICT (provider, id) DO UPDATE SET fence = max(fence, ?3) + 1
  RETURNING fence`;

const TOUCH = `
  UPDATE apps SET last_used_ms = ?3
  WHERE provider = ?1 AND id = ?2 AND (last_used_ms IS NULL OR last_used_ms < ?3)`;

/**
 * A registry in a database from `openDatabase`. Each call does its work at once and blocks for it: some 30 µs for a
 * save or a claim. The database is closed by whoever opened it, after this registry.
 */
export function createSqliteRegistry(database: Database): Registry {
  const context: Context = {
    database,
    claims: createLocalClaims(),
    closed: false,
  };
  // `async`, so that whatever SQLite throws (a full disk, say) is a rejection.
  return {
    load: async () => load(usable(context)),
    save: async (record) => save(usable(context), record),
    remove: async (ref) => remove(usable(context), ref),
    touch: async (uses) => touch(usable(context), uses),
    claim: async (ref, known) => claim(usable(context), ref, known),
    close: async () => {
      context.closed = true;
    },
  };
}

function usable(context: Context): Context {
  if (context.closed) throw new Error("The registry is closed");
  return context;
}

function load(context: Context): Loaded {
  const records: AppRecord[] = [];
  const unreadable: { what: string; why: string }[] = [];
  const readRecord = createRecordReader();
  for (const row of context.database.query<Row, []>("SELECT * FROM apps").all()) {
    const reading = readRow(row, readRecord);
    if (reading.record !== null) records.push(reading.record);
    else unreadable.push({ what: `app ${row.provider}/${row.id}`, why: reading.why });
  }
  return { records, unreadable };
}

function readRow(row: Row, readRecord: (value: unknown) => RecordReading): RecordReading {
  try {
    return readRecord({
      ref: { provider: row.provider, id: row.id },
      key: row.key,
      phase: row.phase,
      sinceMs: row.since_ms,
      fence: row.fence,
      snapshot: parseColumn(row, "snapshot"),
      target: parseColumn(row, "target"),
      firstSeenMs: row.first_seen_ms,
      lastUsedMs: row.last_used_ms,
      wakeHistoryMs: parseColumn(row, "wake_history_ms"),
    });
  } catch (error) {
    return { record: null, why: messageOf(error) };
  }
}

function parseColumn(row: Row, column: string): unknown {
  try {
    return JSON.parse(String(row[column]));
  } catch (error) {
    throw new Error(`${column} is not JSON: ${messageOf(error)}`);
  }
}

function save(context: Context, record: AppRecord): boolean {
  const { database } = context;
  const { provider, id } = record.ref;
  return database.transaction(() => {
    const saved = database
      .query<unknown, (string | number | null)[]>(SAVE)
      .get(
        provider,
        id,
        record.key,
        record.phase,
        record.sinceMs,
        record.fence,
        JSON.stringify(record.snapshot),
        JSON.stringify(record.target),
        record.firstSeenMs,
        record.lastUsedMs,
        JSON.stringify(record.wakeHistoryMs),
      );
    if (saved === null) return false;
    database.query<unknown, [string, string, number]>(RAISE_FENCE).run(provider, id, record.fence);
    return true;
  })();
}

function remove(context: Context, ref: AppRef): void {
  context.database
    .query<unknown, [string, string]>("DELETE FROM apps WHERE provider = ? AND id = ?")
    .run(ref.provider, ref.id);
}

/** One transaction for all: one write to the file instead of one per app. */
function touch(context: Context, uses: readonly Use[]): void {
  const note = context.database.query<unknown, [string, string, number]>(TOUCH);
  context.database.transaction(() => {
    for (const { ref, lastUsedMs } of uses) note.run(ref.provider, ref.id, lastUsedMs);
  })();
}

function claim({ claims, database }: Context, ref: AppRef, known: number): Claim | null {
  if (claims.isHeld(ref)) return null;
  const row = database
    .query<{ fence: number }, [string, string, number]>(NEXT_FENCE)
    .get(ref.provider, ref.id, known);
  if (row === null) throw new Error(`No fence could be made for ${refKey(ref)}`);
  return claims.take(ref, row.fence);
}
