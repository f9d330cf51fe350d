/** What becomes of events while their Postgres is away, slow, or refuses: a real server, and a relay before it. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { createSystemClock } from "../src/clock.ts";
import { createEventWriter } from "../src/event-store/event-writer.ts";
import { createPostgresEventStore } from "../src/event-store/postgres.ts";
import { parsePostgresUrl } from "../src/event-store/postgres-url.ts";
import type { PaastisEvent } from "../src/events.ts";
import { eventOf } from "./contract/event-store.ts";
import { within } from "./support/pace.ts";
import {
  type PostgresDatabase,
  type PostgresServer,
  startPostgres,
  whyNoPostgres,
} from "./support/postgres-server.ts";
import { recordingLog } from "./support/recording-log.ts";
import { startTcpRelay } from "./support/tcp-relay.ts";
import { until } from "./support/until.ts";

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

  /** The writer and the store, as the program has them. */
  function open(url: string, options: { queueMax?: number; workMaxMs?: number } = {}) {
    const parsed = parsePostgresUrl(url);
    if (!parsed.ok) throw new Error(parsed.why);
    const { log, lines } = recordingLog();
    const clock = createSystemClock();
    const { queueMax, workMaxMs } = options;
    const limits = workMaxMs === undefined ? {} : { workMaxMs };
    const store = createPostgresEventStore({ address: parsed.value, clock, log, ...limits });
    const queue = queueMax === undefined ? {} : { queueMax };
    const writer = createEventWriter({ store, log, clock, ...queue });
    return {
      store,
      writer,
      lines,
      said: () => lines.map(({ level, fields }) => [level, fields.why ?? null]),
      isStored: (count: number) => until(() => writer.waiting() === 0 && lines.length >= count),
      async [Symbol.asyncDispose]() {
        await writer.close();
        await store.close();
        expect(JSON.stringify(lines)).not.toContain(server.password);
      },
    };
  }

  function eventsFrom(first: number, count: number): PaastisEvent[] {
    return Array.from({ length: count }, (_, n) => eventOf(first + n));
  }

  async function idsIn({ rows }: PostgresDatabase): Promise<unknown[]> {
    return (await rows("SELECT id FROM paastis.events ORDER BY id")).map(({ id }) => id);
  }

  function idsOf(events: readonly PaastisEvent[]): string[] {
    return events.map(({ id }) => id);
  }

  /** Something that keeps new connections from storing, what it looks like, and how it ends. */
  interface Trouble {
    begin(database: PostgresDatabase): Promise<unknown>;
    end(database: PostgresDatabase): Promise<unknown>;
    readonly why: string;
    /** Added to the URL. */
    readonly parameters?: string;
  }
  /** Connections there are keep to what they have. */
  const setting = (text: string) => async () => {
    await server.run(`ALTER SYSTEM SET ${text}`);
    await server.run("SELECT pg_reload_conf()");
  };
  const troubles: Readonly<Record<string, Trouble>> = {
    "that is not running": {
      begin: () => server.stop(),
      end: () => server.start(),
      why: "it cannot be reached",
    },
    "that refuses the password": {
      begin: () => server.run("CREATE ROLE fickle LOGIN SUPERUSER PASSWORD 'other'"),
      end: () => server.run(`ALTER ROLE fickle PASSWORD '${server.password}'`),
      why: 'password authentication failed for user "fickle"',
    },
    "whose database is missing": {
      begin: ({ name }) => server.run(`ALTER DATABASE ${name} RENAME TO ${name}_away`),
      end: ({ name }) => server.run(`ALTER DATABASE ${name}_away RENAME TO ${name}`),
      why: "does not exist",
    },
    "with no connection left": {
      begin: ({ name }) =>
        server.run(`ALTER DATABASE ${name} CONNECTION LIMIT 0;
        CREATE ROLE limited LOGIN PASSWORD '${server.password}';
        GRANT CREATE ON DATABASE ${name} TO limited`),
      end: ({ name }) => server.run(`ALTER DATABASE ${name} CONNECTION LIMIT -1`),
      why: "too many connections for database",
    },
    "that can only be read": {
      begin: ({ name }) =>
        server.run(`ALTER DATABASE ${name} SET default_transaction_read_only = on`),
      end: ({ name }) =>
        server.run(`BEGIN READ WRITE;
        ALTER DATABASE ${name} RESET default_transaction_read_only; COMMIT`),
      why: "cannot execute CREATE SCHEMA in a read-only transaction",
    },
    "without TLS, which is asked for": {
      begin: setting("ssl = off"),
      end: setting("ssl = on"),
      why: "it does not speak TLS, which sslmode=require asks for",
      parameters: "?sslmode=require",
    },
  };
  const users: Readonly<Record<string, string>> = {
    "that refuses the password": "fickle",
    "with no connection left": "limited",
  };
  test.each(Object.entries(troubles))(
    "postgres: with a server %s events wait, and are stored as soon as they can be",
    async (name, { begin, end, why, parameters = "" }) => {
      const database = await server.database();
      const url = database.url.replace("//paastis:", `//${users[name] ?? "paastis"}:`) + parameters;
      await begin(database);
      await using opened = open(url);
      const { writer, lines } = opened;
      for (const event of eventsFrom(1, 20)) writer.write(event);
      await until(() => lines.length === 1);
      for (const event of eventsFrom(21, 20)) writer.write(event);
      await end(database);
      await opened.isStored(2);
      expect(opened.said()).toEqual([
        ["warn", expect.stringContaining(why)],
        ["info", null],
      ]);
      expect(await idsIn(database)).toEqual(idsOf(eventsFrom(1, 40)));
      expect(writer.dropped()).toBe(0);
    },
    60_000,
  );

  test("postgres: events that come while the server crashes and comes back are all stored, once and in order", async () => {
    const database = await server.database();
    await using opened = open(database.url);
    const { writer, lines } = opened;
    let written = 0;
    const writeSome = async (count: number) => {
      for (const event of eventsFrom(written + 1, count)) writer.write(event);
      written += count;
      await Bun.sleep(1);
    };
    for (let round = 0; round < 20; round += 1) await writeSome(10);
    const stopped = server.stop("immediate");
    for (let round = 0; round < 20; round += 1) await writeSome(10);
    await stopped;
    await until(async () => {
      await writeSome(5);
      return lines.length === 1;
    });
    await server.start();
    await writeSome(10);
    await opened.isStored(2);
    expect(await idsIn(database)).toEqual(idsOf(eventsFrom(1, written)));
    expect(lines.map(({ level }) => level)).toEqual(["warn", "info"]);
  }, 60_000);

  test("postgres: a restart that nobody noticed costs one try", async () => {
    const database = await server.database();
    await using opened = open(database.url);
    opened.writer.write(eventOf(1));
    await opened.isStored(0);
    await server.stop();
    await server.start();
    opened.writer.write(eventOf(2));
    await opened.isStored(0);
    expect(await idsIn(database)).toEqual(idsOf(eventsFrom(1, 2)));
    expect(opened.lines.length).toBeLessThanOrEqual(2);
  }, 60_000);

  test("postgres: a full disk loses nothing once there is room again", async () => {
    const database = await server.database();
    await using opened = open(database.url);
    opened.writer.write(eventOf(1));
    await opened.isStored(0);
    await database.rows(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100';
      END $$;
      CREATE TRIGGER full_disk BEFORE INSERT ON paastis.events EXECUTE FUNCTION full_disk()`);
    for (const event of eventsFrom(2, 9)) opened.writer.write(event);
    await until(() => opened.lines.length === 1);
    await database.rows("DROP TRIGGER full_disk ON paastis.events");
    await opened.isStored(2);
    expect(opened.said()[0]).toEqual(["warn", expect.stringContaining("No space left on device")]);
    expect(await idsIn(database)).toEqual(idsOf(eventsFrom(1, 10)));
  });

  test("postgres: what the queue cannot hold while the server is away is dropped, counted and said", async () => {
    const database = await server.database();
    await server.stop("immediate");
    await using opened = open(database.url, { queueMax: 100 });
    const { writer, lines } = opened;
    writer.write(eventOf(1));
    await until(() => lines.length === 1);
    for (const event of eventsFrom(2, 349)) writer.write(event);
    await server.start();
    await opened.isStored(4);
    expect(await idsIn(database)).toEqual(idsOf(eventsFrom(251, 100)));
    expect(lines.map(({ fields }) => fields.dropped)).toEqual([
      undefined,
      undefined,
      undefined,
      250,
    ]);
    expect(writer.dropped()).toBe(250);
  }, 60_000);

  test("postgres: a slow server holds up nobody who writes, and gets everything in few calls", async () => {
    const database = await server.database();
    await using relay = await startTcpRelay(server.port);
    await using opened = open(database.url.replace(/:\d+\//, `:${relay.port}/`));
    relay.delay(10);
    let longestMs = 0;
    for (const event of eventsFrom(1, 1_000)) {
      const startMs = performance.now();
      opened.writer.write(event);
      longestMs = Math.max(longestMs, performance.now() - startMs);
      if (opened.writer.waiting() % 200 === 0) await Bun.sleep(1);
    }
    await opened.isStored(0);
    expect(longestMs).toBeLessThan(within(20));
    expect(await idsIn(database)).toEqual(idsOf(eventsFrom(1, 1_000)));
    expect(opened.lines).toEqual([]);
    expect(relay.taken()).toBeLessThanOrEqual(2);
  });

  test("postgres: a connection that went dumb is given up, and nothing is stored twice", async () => {
    const database = await server.database();
    await using relay = await startTcpRelay(server.port);
    const url = database.url.replace(/:\d+\//, `:${relay.port}/`);
    await using opened = open(url, { workMaxMs: 1_000 });
    opened.writer.write(eventOf(1));
    await opened.isStored(0);
    // A busy machine may have taken longer for the first, too.
    const told = opened.lines.length;
    relay.freeze();
    opened.writer.write(eventOf(2));
    await until(() => opened.lines.length > told);
    await expect(opened.store.list({})).rejects.toThrow("it did not answer within 1 s");
    // What was held back arrives now: the statement of which nobody heard is carried out after all, or not.
    relay.thaw();
    opened.writer.write(eventOf(3));
    await opened.isStored(told + 2);
    expect(await idsIn(database)).toEqual(idsOf(eventsFrom(1, 3)));
    expect(opened.said()[told]).toEqual(["warn", expect.stringContaining("within 1 s")]);
  });

  test("postgres: a table that somebody has locked is waited for only so long", async () => {
    const database = await server.database();
    await using opened = open(database.url, { workMaxMs: 1_000 });
    opened.writer.write(eventOf(1));
    await opened.isStored(0);
    const told = opened.lines.length;
    const lock = database.rows(`BEGIN; LOCK paastis.events; SELECT pg_sleep(2); COMMIT`);
    await until(async () => {
      const locks = await database.rows(
        "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL",
      );
      return locks.length > 0;
    });
    opened.writer.write(eventOf(2));
    await lock;
    await opened.isStored(told + 2);
    expect(await idsIn(database)).toEqual(idsOf(eventsFrom(1, 2)));
    expect(
      opened
        .said()
        .slice(told, told + 2)
        .map(([level]) => level),
    ).toEqual(["warn", "info"]);
  });

  test("postgres: closing does not wait for a server that answers nothing", async () => {
    const database = await server.database();
    await using relay = await startTcpRelay(server.port);
    const opened = open(database.url.replace(/:\d+\//, `:${relay.port}/`), { workMaxMs: 60_000 });
    relay.freeze();
    const asked = opened.store.list({}).catch((error) => String(error));
    await until(() => relay.taken() > 0);
    const startMs = performance.now();
    await opened.store.close();
    expect(performance.now() - startMs).toBeLessThan(within(1_500));
    expect(await asked).toContain("closed");
  });
});
