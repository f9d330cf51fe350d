/** The event store in the SQLite file: one row per event, the oldest trimmed now and then. */

import type { Database } from "bun:sqlite";

import type { PaastisEvent } from "../events.ts";
import { limitOf } from "./event-limit.ts";
import type { EventFilter, EventStore } from "./event-store.ts";
import { createEventReader } from "./stored-event.ts";

interface Context {
  readonly database: Database;
  readonly readEvent: ReturnType<typeof createEventReader>;
  readonly keep: number;
  /** Trim after so many added events: small, so that no trim takes long (1,000 rows: 5 ms). */
  readonly trimEvery: number;
  addedSinceTrim: number;
  closed: boolean;
}

/**
 * An event store in a database from `openDatabase`. Each call does its work at once and blocks for it: some 10 µs per
 * event; a search through all 100,000 for a rare name takes 25 ms. The database is closed by whoever opened it.
 * @param options.keep the newest so many events stay, and up to a tenth (at most 1,000) more until the next trim;
 *   default 100,000, which is about 40 MB
 */
export function createSqliteEventStore(
  database: Database,
  options: { readonly keep?: number } = {},
): EventStore {
  const keep = options.keep ?? 100_000;
  const trimEvery = Math.max(1, Math.min(1_000, Math.floor(keep / 10)));
  const context: Context = {
    database,
    readEvent: createEventReader(),
    keep,
    trimEvery,
    // The first append trims: an instance that never lives long enough for `trimEvery` must not grow the file.
    addedSinceTrim: trimEvery,
    closed: false,
  };
  return {
    append: async (events) => append(usable(context), events),
    list: async (filter) => list(usable(context), filter),
    close: async () => {
      context.closed = true;
    },
  };
}

function usable(context: Context): Context {
  if (context.closed) throw new Error("The event store is closed");
  return context;
}

function append(context: Context, events: readonly PaastisEvent[]): void {
  const { database } = context;
  const insert = database.query<unknown, [string, string, string, string]>(
    "INSERT OR IGNORE INTO events (id, app, name, event) VALUES (?, ?, ?, ?)",
  );
  const added = context.addedSinceTrim + events.length;
  const trims = added >= context.trimEvery;
  database.transaction(() => {
    for (const event of events) insert.run(event.id, event.app, event.name, JSON.stringify(event));
    if (trims) trim(context);
  })();
  context.addedSinceTrim = trims ? 0 : added;
}

function trim(context: Context): void {
  context.database
    .query<unknown, [number]>(
      "DELETE FROM events WHERE id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?)",
    )
    .run(context.keep);
}

function list(context: Context, filter: EventFilter): PaastisEvent[] {
  const limit = limitOf(filter);
  const conditions = ["true"];
  const values: (string | number)[] = [];
  if (filter.app !== undefined) {
    conditions.push("app = ?");
    values.push(filter.app);
  }
  if (filter.afterId !== undefined) {
    conditions.push("id > ?");
    values.push(filter.afterId);
  }
  if (filter.names !== undefined) {
    conditions.push("name IN (SELECT value FROM json_each(?))");
    values.push(JSON.stringify(filter.names));
  }
  using newest = context.database.prepare<{ event: string }, (string | number)[]>(
    `SELECT event FROM events WHERE ${conditions.join(" AND ")} ORDER BY id DESC`,
  );
  // Row by row instead of LIMIT, since rows that cannot be read must not count.
  const found: PaastisEvent[] = [];
  for (const row of newest.iterate(...values)) {
    if (found.length >= limit) break;
    const event = context.readEvent(row.event);
    if (event !== null) found.push(event);
  }
  return found.reverse();
}
