import type { Database } from "bun:sqlite";
import { expect, test } from "bun:test";

import { openDatabase } from "../src/database.ts";
import { createMemoryEventStore } from "../src/event-store/memory.ts";
import { createSqliteEventStore } from "../src/event-store/sqlite.ts";
import { type EventStoreFixture, eventOf, eventStoreContract } from "./contract/event-store.ts";
import { recordingLog } from "./support/recording-log.ts";
import { spawnChild } from "./support/spawn-child.ts";
import { tempDir } from "./support/temp-dir.ts";

eventStoreContract("memory", async () => {
  const store = createMemoryEventStore();
  return {
    store,
    restart: async () => createMemoryEventStore(),
    [Symbol.asyncDispose]: () => store.close(),
  };
}, [{ test: "after a restart the events are still there", because: "memory is forgotten" }]);

eventStoreContract("sqlite", sqliteFixture);

async function sqliteFixture(): Promise<EventStoreFixture> {
  const folder = tempDir();
  let database = openTestDatabase(folder.file("test.db"));
  const store = createSqliteEventStore(database);
  return {
    store,
    async restart() {
      await store.close();
      database.close();
      database = openTestDatabase(folder.file("test.db"));
      return createSqliteEventStore(database);
    },
    async [Symbol.asyncDispose]() {
      database.close();
      folder[Symbol.dispose]();
    },
  };
}

function openTestDatabase(file: string): Database {
  return openDatabase(file, { log: recordingLog().log, now: () => 1_700_000_000_000 });
}

function eventsFrom(first: number, count: number) {
  return Array.from({ length: count }, (_, n) => eventOf(first + n));
}

test("memory event store: the newest so many are kept, however they come", async () => {
  const store = createMemoryEventStore({ max: 10 });
  await store.append(eventsFrom(1, 25));
  for (const event of eventsFrom(26, 5)) await store.append([event]);
  expect(await store.list({})).toEqual(eventsFrom(21, 10));
  await store.append([eventOf(1)]);
  expect(await store.list({})).toEqual(eventsFrom(21, 10));
});

test("event stores: a limit above 10,000 gives 10,000", async () => {
  const memory = createMemoryEventStore({ max: 20_000 });
  using database = openTestDatabase(":memory:");
  const sqlite = createSqliteEventStore(database);
  const events = eventsFrom(1, 10_500);
  for (const store of [memory, sqlite]) {
    await store.append(events);
    const listed = await store.list({ limit: 1_000_000 });
    expect(listed).toHaveLength(10_000);
    expect(listed.at(-1)).toEqual(eventOf(10_500));
  }
});

test("sqlite event store: the oldest are trimmed now and then, never fewer than `keep` stay", async () => {
  using database = openTestDatabase(":memory:");
  const store = createSqliteEventStore(database, { keep: 100 });
  for (let n = 1; n <= 1_000; n += 7) {
    await store.append(eventsFrom(n, 7));
    const rows =
      database.query<{ n: number }, []>("SELECT count(*) AS n FROM events").get()?.n ?? 0;
    expect(rows).toBeLessThanOrEqual(117);
    expect(rows).toBeGreaterThanOrEqual(Math.min(100, n + 6));
  }
  expect((await store.list({ limit: 1 }))[0]).toEqual(eventOf(1_001));
});

test("sqlite event store: an instance that was restarted before it had much to say still trims", async () => {
  using folder = tempDir();
  const file = folder.file("test.db");
  for (let start = 0; start < 30; start += 1) {
    using database = openTestDatabase(file);
    await createSqliteEventStore(database, { keep: 100 }).append(eventsFrom(start * 9, 9));
  }
  using database = openTestDatabase(file);
  expect(database.query("SELECT count(*) AS n FROM events").get()).toEqual({ n: 100 });
});

test("sqlite event store: events that are too old go within the hour, unreadable ones only by their number", async () => {
  using database = openTestDatabase(":memory:");
  let nowMs = 1_700_000_000_000;
  const retention = { keepMs: 60_000, now: () => nowMs };
  const store = createSqliteEventStore(database, retention);
  await store.append(eventsFrom(1, 50));
  database.run("UPDATE events SET event = '{' WHERE id = ?", [eventOf(7).id]);
  nowMs += 59 * 60_000;
  await store.append([eventOf(51, { atMs: nowMs })]);
  expect(await store.list({})).toHaveLength(50);
  nowMs += 60_000;
  await store.append([eventOf(52, { atMs: nowMs })]);
  expect(await store.list({})).toEqual([
    eventOf(51, { atMs: nowMs - 60_000 }),
    eventOf(52, { atMs: nowMs }),
  ]);
  expect(database.query("SELECT count(*) AS n FROM events").get()).toEqual({ n: 3 });
});

test("sqlite event store: rows that cannot be read are passed over and stay", async () => {
  using database = openTestDatabase(":memory:");
  const store = createSqliteEventStore(database);
  const events = eventsFrom(1, 6);
  await store.append(events);
  const damages = ["'{'", "'[]'", `'{"id":"e00000003"}'`, "json_set(event, '$.name', 'APP_SANG')"];
  for (const [at, damage] of damages.entries()) {
    database.run(`UPDATE events SET event = ${damage} WHERE id = ?`, [eventOf(at + 3).id]);
  }
  expect(await store.list({})).toEqual(events.slice(0, 2));
  // They do not take the place of others either.
  expect(await store.list({ limit: 1 })).toEqual(events.slice(1, 2));
  expect(database.query("SELECT count(*) AS n FROM events").get()).toEqual({ n: 6 });
});

test("sqlite event store: a batch that fails leaves nothing behind, and goes in later", async () => {
  using database = openTestDatabase(":memory:");
  const store = createSqliteEventStore(database);
  await store.append([eventOf(1)]);
  database.run("PRAGMA query_only = 1");
  await expect(store.append(eventsFrom(2, 3))).rejects.toThrow(
    "attempt to write a readonly database",
  );
  database.run("PRAGMA query_only = 0");
  expect(await store.list({})).toEqual([eventOf(1)]);
  await store.append(eventsFrom(2, 3));
  expect(await store.list({})).toEqual(eventsFrom(1, 4));
});

test("sqlite event store: after close every call rejects and none throws", async () => {
  using database = openTestDatabase(":memory:");
  const store = createSqliteEventStore(database);
  await store.close();
  await expect(store.append([])).rejects.toThrow("The event store is closed");
  await expect(store.list({})).rejects.toThrow("The event store is closed");
});

test("sqlite event store: what was appended survives kill -9 of the process", async () => {
  using folder = tempDir();
  await using child = spawnChild("storage-child.ts", "write", folder.path);
  await child.line((line) => line === "saved 200");
  const last = (await child.kill()).at(-1) ?? "saved 200";
  const known = Number(last.split(" ")[1]);
  using database = openTestDatabase(folder.file("test.db"));
  const events = await createSqliteEventStore(database).list({ limit: 10_000 });
  expect(events.slice(0, known)).toEqual(eventsFrom(1, known).slice(-10_000));
  // At most the one whose `saved` was not printed any more.
  expect(events.length - known).toBeOneOf([0, 1]);
});
