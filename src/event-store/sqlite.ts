/** The event store in the SQLite file: one row per event, the oldest trimmed now and then. */

import type { Database } from "bun:sqlite";

import type { PaastisEvent } from "../events.ts";
import { limitOf } from "./event-limit.ts";
import type { EventFilter, EventStore } from "./event-store.ts";
import { createTrimPlan, type Retention, type TrimPlan } from "./retention.ts";
import { createEventReader } from "./stored-event.ts";

/** Rows that one trim looks at for their age: so that it never blocks for long (2,000: 5 ms). */
const AGED_ROWS_MAX = 2_000;

interface Context {
  readonly database: Database;
  readonly readEvent: ReturnType<typeof createEventReader>;
  readonly plan: TrimPlan;
  closed: boolean;
}

/**
 * An event store in a database from `openDatabase`. Each call does its work at once and blocks for it: some 10 µs per
 * event; a search through all 100,000 for a rare name takes 25 ms. The database is closed by whoever opened it.
 * @param retention without it the newest 100,000 stay, which is about 40 MB
 */
export function createSqliteEventStore(database: Database, retention: Retention = {}): EventStore {
  const context: Context = {
    database,
    readEvent: createEventReader(),
    plan: createTrimPlan(retention),
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
  const isTrimmed = context.plan.isDue(events.length);
  database.transaction(() => {
    for (const event of events) insert.run(event.id, event.app, event.name, JSON.stringify(event));
    if (isTrimmed) trim(context);
  })();
  context.plan.added(events.length, { isTrimmed });
}

function trim({ database, plan }: Context): void {
  database
    .query<unknown, [number]>(
      "DELETE FROM events WHERE id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?)",
    )
    .run(plan.keep);
  const bornBeforeMs = plan.bornBeforeMs();
  if (bornBeforeMs === null) return;
  // Rows that cannot be read have no age.
  database
    .query<unknown, [number, number]>(
      `DELETE FROM events WHERE id IN (
         SELECT id FROM (SELECT id, event FROM events ORDER BY id LIMIT ?)
         WHERE CASE WHEN json_valid(event) THEN event ->> '$.atMs' < ? ELSE false END)`,
    )
    .run(AGED_ROWS_MAX, bornBeforeMs);
}

function list(context: Context, filter: EventFilter): PaastisEvent[] {
  const limit = limitOf(filter);
  const conditions = ["true"];
  const values: (string | number)[] = [];
  if (filter.app !== undefined) {
    conditions.push("app = ?");
    values.push(filter.app);
  }
  if (filter.id !== undefined) {
    conditions.push("id = ?");
    values.push(filter.id);
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
