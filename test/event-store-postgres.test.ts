/** The event store in Postgres, against a real server. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { SQL } from "bun";

import { createSystemClock } from "../src/clock.ts";
import { createPostgresEventStore } from "../src/event-store/postgres.ts";
import {
  lookAtPostgres,
  POSTGRES_MIGRATIONS,
  preparePostgres,
} from "../src/event-store/postgres-schema.ts";
import type { PostgresSessionDeps } from "../src/event-store/postgres-session.ts";
import { parsePostgresUrl } from "../src/event-store/postgres-url.ts";
import type { Retention } from "../src/event-store/retention.ts";
import { eventOf, eventStoreContract } from "./contract/event-store.ts";
import { type PostgresServer, startPostgres, whyNoPostgres } from "./support/postgres-server.ts";
import { PRIVATE_CA, STRANGER_CA } from "./support/private-ca.ts";
import { recordingLog } from "./support/recording-log.ts";
import { tempDir } from "./support/temp-dir.ts";

const missing = whyNoPostgres();

describe.skipIf(missing !== null)(`with a Postgres server${missing ? ` (${missing})` : ""}`, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const unhandled: unknown[] = [];
  const remember = (reason: unknown) => unhandled.push(reason);
  beforeAll(() => void process.on("unhandledRejection", remember));
  afterAll(() => {
    process.off("unhandledRejection", remember);
    expect(unhandled).toEqual([]);
  });

  function openStore(
    url: string,
    changes: Partial<PostgresSessionDeps> & { readonly retention?: Retention } = {},
  ) {
    const parsed = parsePostgresUrl(url);
    if (!parsed.ok) throw new Error(parsed.why);
    const { log, lines } = recordingLog();
    const clock = createSystemClock();
    const store = createPostgresEventStore({ address: parsed.value, clock, log, ...changes });
    return { ...store, store, lines, [Symbol.asyncDispose]: () => store.close() };
  }

  eventStoreContract("postgres", async () => {
    const { url } = await server.database();
    const first = openStore(url);
    const opened = [first];
    return {
      store: first.store,
      async restart() {
        await first.close();
        const second = openStore(url);
        opened.push(second);
        return second.store;
      },
      async [Symbol.asyncDispose]() {
        for (const { close } of opened) await close();
      },
    };
  });

  test("postgres event store: its table has a column for each thing one asks for", async () => {
    const { url, rows } = await server.database();
    await using store = openStore(url);
    await store.append([eventOf(1, { details: { wakeMs: 12.5 }, reason: "slow" })]);
    const [row] = await rows(`SELECT id, app, name, extract(epoch FROM date)::text AS date,
      cause ->> 'detail' AS cause, (details -> 'wakeMs')::text AS wake FROM paastis.events`);
    expect(row).toEqual({
      id: "e00000001",
      app: "shop",
      name: "APP_STARTED",
      date: "1700000000.001000",
      cause: "GET / from 10.0.0.7 (Firefox)",
      wake: "12.5",
    });
  });

  test("postgres event store: texts that Postgres cannot hold do not hold up the others", async () => {
    const { url } = await server.database();
    await using store = openStore(url);
    const odd = eventOf(2, { reason: "a\0b\ud800c \\u0000", details: { line: "\0" } });
    await store.append([eventOf(1), odd, eventOf(3, { isQuiet: true })]);
    expect(await store.list({})).toEqual([
      eventOf(1),
      eventOf(2, { reason: "a\ufffdb\ufffdc \\u0000", details: { line: "\ufffd" } }),
      eventOf(3, { isQuiet: true }),
    ]);
  });

  test("postgres event store: rows that cannot be read are passed over and take nobody's place", async () => {
    const { url, rows } = await server.database();
    await using store = openStore(url);
    const events = Array.from({ length: 260 }, (_, n) => eventOf(n));
    await store.append(events);
    await rows("UPDATE paastis.events SET name = 'APP_SANG' WHERE id >= 'e00000002'");
    expect(await store.list({ limit: 5 })).toEqual(events.slice(0, 2));
    expect(await rows("SELECT count(*)::int AS n FROM paastis.events")).toEqual([{ n: 260 }]);
  });

  test("postgres event store: the newest so many stay, and none that is too old", async () => {
    const { url, rows } = await server.database();
    let nowMs = 1_700_000_000_000;
    const retention: Retention = { keep: 100, keepMs: 60_000, now: () => nowMs };
    await using store = openStore(url, { retention });
    for (let n = 0; n < 300; n += 30) {
      await store.append(Array.from({ length: 30 }, (_, at) => eventOf(n + at)));
      const [found] = await rows("SELECT count(*)::int AS n FROM paastis.events");
      expect(Number(found?.n)).toBeLessThanOrEqual(110);
      expect(Number(found?.n)).toBeGreaterThanOrEqual(Math.min(100, n + 30));
    }
    // An hour without a trim is enough, however few events there were.
    nowMs += 60 * 60_000;
    await store.append([eventOf(500, { atMs: nowMs })]);
    expect(await store.list({})).toEqual([eventOf(500, { atMs: nowMs })]);
    expect(store.lines).toEqual([]);
  });

  test("postgres event store: a user who may not delete stores events all the same, and it is said", async () => {
    const { url, rows, name } = await server.database();
    await using owner = openStore(url);
    await owner.append([eventOf(1)]);
    await rows(`CREATE ROLE writer_${name} LOGIN PASSWORD 'writer-word';
      GRANT USAGE ON SCHEMA paastis TO writer_${name};
      GRANT SELECT ON ALL TABLES IN SCHEMA paastis TO writer_${name};
      GRANT INSERT ON paastis.events TO writer_${name}`);
    const writers = url.replace(/\/\/[^@]+@/, `//writer_${name}:writer-word@`);
    await using store = openStore(writers, { retention: { keep: 1 } });
    await store.append([eventOf(2), eventOf(3)]);
    expect(await store.list({})).toEqual([eventOf(1), eventOf(2), eventOf(3)]);
    expect(store.lines.map(({ level, fields }) => [level, String(fields.why)])).toEqual([
      ["warn", expect.stringContaining("permission denied for table events")],
    ]);
  });

  test("postgres event store: several instances make the tables at once, and share them", async () => {
    const { url, rows } = await server.database();
    const stores = Array.from({ length: 6 }, () => openStore(url));
    await Promise.all(stores.map((store, n) => store.append([eventOf(n)])));
    for (const store of stores) {
      expect(await store.list({})).toHaveLength(6);
      await store.close();
    }
    const versions = await rows("SELECT version FROM paastis.migrations");
    expect(versions).toEqual(POSTGRES_MIGRATIONS.map((_, index) => ({ version: index + 1 })));
  });

  test("postgres event store: a step that fails has not happened, and later steps leave events alone", async () => {
    const { url, rows } = await server.database();
    await using store = openStore(url);
    await store.append([eventOf(1)]);
    const next = "ALTER TABLE paastis.events ADD COLUMN instance text";
    const broken = [...POSTGRES_MIGRATIONS, next, "SELECT 1 / 0"];
    await using failing = openStore(url, { prepare: (sql) => preparePostgres(sql, broken) });
    await expect(failing.list({})).rejects.toThrow("division by zero");
    expect(await rows("SELECT max(version) AS version FROM paastis.migrations")).toEqual([
      { version: POSTGRES_MIGRATIONS.length },
    ]);
    const good = [...POSTGRES_MIGRATIONS, next];
    await using later = openStore(url, { prepare: (sql) => preparePostgres(sql, good) });
    expect(await later.list({})).toEqual([eventOf(1)]);
  });

  test("postgres event store: tables of a newer version are left alone, and that is why", async () => {
    const { url, rows } = await server.database();
    await using first = openStore(url);
    await first.append([eventOf(1)]);
    await rows("INSERT INTO paastis.migrations (version) VALUES (99)");
    await using store = openStore(url);
    const why = `a newer Paastis wrote its tables (format 99; this one knows formats up to ${POSTGRES_MIGRATIONS.length})`;
    await expect(store.append([eventOf(2)])).rejects.toThrow(why);
    expect(await rows("SELECT id FROM paastis.events")).toEqual([{ id: eventOf(1).id }]);
    // As soon as the newer one has been undone, this one goes on.
    await rows("DELETE FROM paastis.migrations WHERE version = 99");
    await store.append([eventOf(2)]);
  });

  test("postgres event store: tables that somebody dropped are made again", async () => {
    const { url, rows } = await server.database();
    await using store = openStore(url);
    await store.append([eventOf(1)]);
    await rows("DROP SCHEMA paastis CASCADE");
    await expect(store.append([eventOf(2)])).rejects.toThrow("does not exist");
    await store.append([eventOf(2)]);
    expect(await store.list({})).toEqual([eventOf(2)]);
  });

  test("postgres event store: a schema that was made for a user without the right to make one is used", async () => {
    const { url, rows, name } = await server.database();
    await rows(`CREATE ROLE guest_${name} LOGIN PASSWORD 'guest-word'`);
    const guests = url.replace(/\/\/[^@]+@/, `//guest_${name}:guest-word@`);
    await using refused = openStore(guests, { prepare: async () => undefined });
    await using store = openStore(guests);
    await expect(store.append([eventOf(1)])).rejects.toThrow("permission denied for database");
    await rows(`CREATE SCHEMA paastis AUTHORIZATION guest_${name}`);
    await store.append([eventOf(1)]);
    expect(await store.list({})).toEqual([eventOf(1)]);
    await refused.close();
  });

  test("postgres event store: a database of another encoding is refused, with the reason", async () => {
    await server.run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'");
    const { url } = await server.database();
    await using store = openStore(url.replace(/[^/]+$/, "latin"));
    const why = "the database's encoding must be UTF8: it is LATIN1";
    await expect(store.append([eventOf(1)])).rejects.toThrow(why);
  });

  test("postgres event store: closed, it takes nothing any more", async () => {
    const { url } = await server.database();
    await using store = openStore(url);
    await store.append([eventOf(1)]);
    await store.close();
    await expect(store.append([])).rejects.toThrow("The event store is closed");
    await expect(store.list({})).rejects.toThrow("The event store is closed");
  });

  /** Whether the connection was by TLS, or why there was none. */
  async function connectionBy(url: string): Promise<unknown> {
    const parsed = parsePostgresUrl(url);
    if (!parsed.ok) throw new Error(parsed.why);
    let isTls: unknown = null;
    const prepare = async (sql: SQL) => {
      const rows = await sql.unsafe<readonly { ssl: boolean }[]>(
        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
      );
      isTls = rows[0]?.ssl;
      await preparePostgres(sql);
    };
    await using store = openStore(url, { prepare });
    await store.list({ limit: 1 });
    return isTls;
  }

  test("postgres event store: TLS is used where it can be, and sslmode says how strictly", async () => {
    using folder = tempDir();
    await Bun.write(folder.file("ca.pem"), PRIVATE_CA);
    await Bun.write(folder.file("stranger.pem"), STRANGER_CA);
    const { url } = await server.database();
    const named = url.replace("127.0.0.1", "localhost");
    const ca = `sslrootcert=${folder.file("ca.pem")}`;
    expect(await connectionBy(url)).toBe(true);
    expect(await connectionBy(`${url}?sslmode=disable`)).toBe(false);
    expect(await connectionBy(`${url}?sslmode=require`)).toBe(true);
    expect(await connectionBy(`${named}?sslmode=verify-full&${ca}`)).toBe(true);
    // The certificate is for localhost, not for its address.
    expect(await connectionBy(`${url}?sslmode=verify-ca&${ca}`)).toBe(true);
    await expect(connectionBy(`${url}?sslmode=verify-full&${ca}`)).rejects.toThrow(
      /does not match|altname/i,
    );
    await expect(connectionBy(`${named}?sslmode=verify-full`)).rejects.toThrow("certificate");
    const stranger = `sslrootcert=${folder.file("stranger.pem")}`;
    await expect(connectionBy(`${url}?sslmode=require&${stranger}`)).rejects.toThrow("certificate");
    await expect(connectionBy(`${url}?sslmode=require&sslrootcert=/none.pem`)).rejects.toThrow(
      "/none.pem",
    );
  });

  test("postgres event store: it goes by a unix socket, too", async () => {
    const { url, name } = await server.database();
    const [, who] = /\/\/([^@]+)@/.exec(url) ?? [];
    const folder = encodeURIComponent(server.folder);
    await using encoded = openStore(`postgres://${who}@${folder}:${server.port}/${name}`);
    await encoded.append([eventOf(1)]);
    await using named = openStore(
      `postgres://${who}@/${name}?host=${server.folder}&port=${server.port}`,
    );
    expect(await named.list({})).toEqual([eventOf(1)]);
  });

  test("postgres event store: variables of the environment do not win over the URL", async () => {
    const { url } = await server.database();
    const saved = { ...process.env };
    try {
      Object.assign(process.env, { PGDATABASE: "elsewhere", PGUSER: "me", PGPASSWORD: "mine" });
      Object.assign(process.env, { DATABASE_URL: "postgres://nowhere.invalid/x", PGHOST: "none" });
      await using store = openStore(url);
      await store.append([eventOf(1)]);
    } finally {
      for (const name of ["PGDATABASE", "PGUSER", "PGPASSWORD", "PGHOST", "DATABASE_URL"]) {
        if (saved[name] === undefined) delete process.env[name];
        else process.env[name] = saved[name];
      }
    }
  });

  test("postgres event store: looking at a database changes nothing, and tells what a user may do", async () => {
    const { url, rows, name } = await server.database();
    const look = async (address: string) => {
      let found: unknown;
      const prepare = async (sql: SQL) => {
        found = await lookAtPostgres(sql);
      };
      await using store = openStore(address, { prepare });
      // There is no table yet.
      await expect(store.list({})).rejects.toThrow("does not exist");
      return found;
    };
    expect(await look(url)).toEqual({ hasTables: false, mayMake: true, isReadOnly: false });
    expect(await rows("SELECT to_regnamespace('paastis') IS NULL AS none")).toEqual([
      { none: true },
    ]);
    await rows(`CREATE ROLE reader_${name} LOGIN PASSWORD 'reader-word';
      ALTER ROLE reader_${name} SET default_transaction_read_only = on`);
    const readers = url.replace(/\/\/[^@]+@/, `//reader_${name}:reader-word@`);
    expect(await look(readers)).toEqual({ hasTables: false, mayMake: false, isReadOnly: true });
  });
});
