/** The tables in Postgres: made, and brought up to date, by whichever instance comes first. */

import type { SQL } from "bun";

/**
 * Only ever add to the end: a step that was released is never changed. In a schema of its own, since the database is
 * often one that an app has tables in; ids in the order of their bytes, whatever the database's language.
 */
export const POSTGRES_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE paastis.events (
    id text COLLATE "C" PRIMARY KEY,
    app text NOT NULL,
    name text NOT NULL,
    date timestamptz NOT NULL,
    cause jsonb NOT NULL,           -- {"kind": …, "detail": …}
    reason text NOT NULL,
    details jsonb NOT NULL,
    provider text NOT NULL,
    provider_id text NOT NULL,      -- the provider's own name of the app
    is_quiet boolean NOT NULL
  );
  CREATE INDEX events_by_app ON paastis.events (app, id);
  CREATE INDEX events_by_date ON paastis.events (date);
  `,
];

/** Any number that no other program is likely to lock: "paastis" in ASCII. */
const LOCK = 0x70616173746973n;

/**
 * Takes the database as it finds it, and changes nothing when the tables are there: a user who may only insert is
 * enough then. Several instances may do this at once.
 * @throws Error when a newer version has been here, or the database cannot hold every text; SQL errors
 */
export async function preparePostgres(
  sql: SQL,
  migrations: readonly string[] = POSTGRES_MIGRATIONS,
): Promise<void> {
  if ((await versionOf(sql, migrations.length)) === migrations.length) return;
  await sql.begin(async (transaction) => {
    await transaction.unsafe("SELECT pg_advisory_xact_lock($1)", [LOCK]);
    const version = await versionOf(transaction, migrations.length);
    for (const [index, step] of migrations.entries()) {
      if (index < version) continue;
      if (index === 0) await makeHistory(transaction);
      await transaction.unsafe(step).simple();
      await transaction.unsafe("INSERT INTO paastis.migrations (version) VALUES ($1)", [index + 1]);
    }
  });
}

async function makeHistory(sql: SQL): Promise<void> {
  const found = await sql.unsafe("SELECT FROM pg_namespace WHERE nspname = 'paastis'");
  // Even with IF NOT EXISTS this needs a right that whoever made the schema for us may have kept.
  if (found.length === 0) await sql.unsafe("CREATE SCHEMA paastis");
  await sql.unsafe(
    "CREATE TABLE paastis.migrations (version integer PRIMARY KEY, date timestamptz NOT NULL DEFAULT now())",
  );
}

/** What is known of a database from looking at it alone. */
export interface PostgresLook {
  /** The tables are there, up to date or not. */
  readonly hasTables: boolean;
  /** Whether this user may make them. */
  readonly mayMake: boolean;
  readonly isReadOnly: boolean;
}

/**
 * Changes nothing.
 * @throws Error as `preparePostgres`
 */
export async function lookAtPostgres(sql: SQL): Promise<PostgresLook> {
  const version = await versionOf(sql, POSTGRES_MIGRATIONS.length);
  const [rights] = await sql.unsafe<readonly Omit<PostgresLook, "hasTables">[]>(
    `SELECT has_database_privilege(current_database(), 'CREATE') AS "mayMake",
       current_setting('transaction_read_only') = 'on' AS "isReadOnly"`,
  );
  const { mayMake = false, isReadOnly = true } = rights ?? {};
  return { hasTables: version > 0, mayMake, isReadOnly };
}

/** How many steps were made. */
async function versionOf(sql: SQL, known: number): Promise<number> {
  const [database] = await sql.unsafe<readonly { encoding: string; has: boolean }[]>(
    // Not by to_regclass: it may remember what was before another instance had the lock.
    `SELECT current_setting('server_encoding') AS encoding, EXISTS (
       SELECT FROM pg_class JOIN pg_namespace space ON space.oid = relnamespace
       WHERE nspname = 'paastis' AND relname = 'migrations') AS has`,
  );
  const encoding = database?.encoding ?? "";
  if (!["UTF8", "SQL_ASCII"].includes(encoding)) {
    throw new Error(`the database's encoding must be UTF8: it is ${encoding}`);
  }
  if (database?.has !== true) return 0;
  const [newest] = await sql.unsafe<readonly { version: number }[]>(
    "SELECT coalesce(max(version), 0) AS version FROM paastis.migrations",
  );
  const version = newest?.version ?? 0;
  if (version > known) {
    throw new Error(
      `a newer Paastis wrote its tables (format ${version}; this one knows formats up to ${known})`,
    );
  }
  return version;
}
