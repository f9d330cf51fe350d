/** The event store in Postgres: one row per event, in tables that several instances share. */

import { SQL } from "bun";

import { messageOf } from "../errors.ts";
import type { PaastisEvent } from "../events.ts";
import type { Log } from "../log.ts";
import { limitOf } from "./event-limit.ts";
import type { EventFilter, EventStore } from "./event-store.ts";
import { createPostgresSessions, type PostgresSessionDeps } from "./postgres-session.ts";
import { createTrimPlan, type Retention, type TrimPlan } from "./retention.ts";
import { createEventReader } from "./stored-event.ts";

/** What the store is made of. */
export interface PostgresEventStoreDeps extends PostgresSessionDeps {
  readonly log: Log;
  readonly retention?: Retention;
}

/** Rows that one trim deletes for each reason: five times what comes in between two, so that it catches up. */
const TRIMMED_ROWS_MAX = 5_000;
/** Rows per question at least, since some may not be readable. */
const PAGE_ROWS_MIN = 100;

/**
 * Connects when it is first used, so that making it cannot fail. Whatever goes wrong, the next call begins anew:
 * it connects again and looks at the tables again. Events that were stored although nobody was told so any more are
 * passed over when they come again.
 */
export function createPostgresEventStore(deps: PostgresEventStoreDeps): EventStore {
  const sessions = createPostgresSessions(deps);
  const plan = createTrimPlan(deps.retention ?? {});
  const readEvent = createEventReader();
  return {
    append: (events) =>
      sessions.run(async (sql) => {
        await insert(sql, events);
        const isTrimmed = plan.isDue(events.length);
        if (isTrimmed) await trim(sql, plan, deps.log);
        plan.added(events.length, { isTrimmed });
      }),
    list: (filter) => sessions.run((sql) => list(sql, filter, readEvent)),
    close: sessions.close,
  };
}

async function insert(sql: SQL, events: readonly PaastisEvent[]): Promise<void> {
  if (events.length === 0) return;
  await sql.unsafe(
    `INSERT INTO paastis.events
       (id, app, name, date, cause, reason, details, provider, provider_id, is_quiet)
     SELECT id, app, name, to_timestamp("atMs" / 1000), cause, reason, details,
       ref ->> 'provider', ref ->> 'id', coalesce("isQuiet", false)
     FROM jsonb_to_recordset($1::text::jsonb) AS event (id text, app text, name text, "atMs" float8,
       cause jsonb, reason text, details jsonb, ref jsonb, "isQuiet" boolean)
     ON CONFLICT (id) DO NOTHING`,
    [JSON.stringify(events, storable)],
  );
}

/** Postgres has no NUL in a text, and no half of a character: one such event would hold up all that come after it. */
function storable(_key: string, value: unknown): unknown {
  return typeof value === "string" ? value.toWellFormed().replaceAll("\0", "\ufffd") : value;
}

/** A user who may only insert stores events all the same; that the server went away is the append's trouble. */
async function trim(sql: SQL, plan: TrimPlan, log: Log): Promise<void> {
  try {
    await deleteOld(sql, plan);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    log.warn(
      { why: messageOf(error) },
      "Postgres does not let old events be deleted: they stay, and it is tried again later",
    );
  }
}

/** Source: PostgreSQL documentation, appendix A: class 42 is about rights and names, 08 and 57 about the server. */
function isRefusal(error: unknown): boolean {
  return error instanceof SQL.PostgresError && (error.errno?.startsWith("42") ?? false);
}

async function deleteOld(sql: SQL, plan: TrimPlan): Promise<void> {
  await sql.unsafe(
    `DELETE FROM paastis.events WHERE id IN (
       SELECT id FROM paastis.events ORDER BY id
       LIMIT greatest(0, least($1, (SELECT count(*) FROM paastis.events) - $2)))`,
    [TRIMMED_ROWS_MAX, plan.keep],
  );
  const bornBeforeMs = plan.bornBeforeMs();
  if (bornBeforeMs === null) return;
  await sql.unsafe(
    `DELETE FROM paastis.events WHERE id IN (
       SELECT id FROM paastis.events WHERE date < to_timestamp($1::float8 / 1000)
       ORDER BY date LIMIT $2)`,
    [bornBeforeMs, TRIMMED_ROWS_MAX],
  );
}

/** Page by page, since rows that cannot be read must not count. */
async function list(
  sql: SQL,
  filter: EventFilter,
  readEvent: ReturnType<typeof createEventReader>,
): Promise<readonly PaastisEvent[]> {
  const limit = limitOf(filter);
  const found: PaastisEvent[] = [];
  let beforeId: string | null = null;
  while (found.length < limit) {
    const rowsMax = Math.max(PAGE_ROWS_MIN, limit - found.length);
    const rows: readonly Row[] = await page(sql, filter, { beforeId, rowsMax });
    for (const { event } of rows) {
      const read = readEvent(event);
      if (read !== null && found.length < limit) found.push(read);
    }
    beforeId = rows.at(-1)?.id ?? null;
    if (rows.length < rowsMax) break;
  }
  return found.reverse();
}

interface Row {
  readonly id: string;
  /** JSON. */
  readonly event: string;
}

async function page(
  sql: SQL,
  { app, names, id, afterId }: EventFilter,
  { beforeId, rowsMax }: { readonly beforeId: string | null; readonly rowsMax: number },
): Promise<readonly Row[]> {
  return await sql.unsafe<readonly Row[]>(
    `SELECT id, (jsonb_build_object('id', id, 'name', name, 'app', app, 'cause', cause, 'reason', reason,
         'details', details, 'ref', jsonb_build_object('provider', provider, 'id', provider_id),
         'atMs', round(extract(epoch FROM date) * 1000)::bigint)
       || CASE WHEN is_quiet THEN '{"isQuiet":true}' ELSE '{}' END::jsonb)::text AS event
     FROM paastis.events
     WHERE ($1::text IS NULL OR app = $1)
       AND ($2::text IS NULL OR id > $2)
       AND ($3::text IS NULL OR id < $3)
       AND ($4::text IS NULL OR $4::text::jsonb ? name)
       AND ($5::text IS NULL OR id = $5)
     ORDER BY id DESC LIMIT $6`,
    [
      app ?? null,
      afterId ?? null,
      beforeId,
      names === undefined ? null : JSON.stringify(names),
      id ?? null,
      rowsMax,
    ],
  );
}
