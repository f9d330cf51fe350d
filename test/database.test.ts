import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";

import { type DatabaseDeps, MIGRATIONS, migrate, openDatabase } from "../src/database.ts";
import { PaastisError } from "../src/errors.ts";
import { createSqliteEventStore } from "../src/event-store/sqlite.ts";
import { createSqliteRegistry } from "../src/registry/sqlite.ts";
import { eventOf } from "./contract/event-store.ts";
import { recordOf } from "./contract/registry.ts";
import { type LogLine, recordingLog } from "./support/recording-log.ts";
import { spawnChild } from "./support/spawn-child.ts";
import { tempDir } from "./support/temp-dir.ts";

const NOW_MS = Date.UTC(2026, 1, 3, 4, 5, 6, 789);
const ASIDE = "test.db.damaged-2026-02-03T04-05-06-789Z";

function open(file: string, migrations?: readonly string[]) {
  const { log, lines } = recordingLog();
  const deps: DatabaseDeps = { log, now: () => NOW_MS, ...(migrations ? { migrations } : {}) };
  return { database: openDatabase(file, deps), lines };
}

function refusal(file: string, migrations?: readonly string[]): PaastisError {
  try {
    open(file, migrations).database.close();
  } catch (error) {
    if (error instanceof PaastisError) return error;
    throw error;
  }
  throw new Error(`${file} was opened`);
}

/** A sound, closed file with 300 apps and as many events. */
async function filledFile(file: string): Promise<void> {
  using database = open(file).database;
  const registry = createSqliteRegistry(database);
  for (let n = 0; n < 300; n += 1) await registry.save(recordOf(`app-${n}`));
  await createSqliteEventStore(database).append(Array.from({ length: 300 }, (_, n) => eventOf(n)));
}

async function appsIn(database: Database): Promise<number> {
  return (await createSqliteRegistry(database).load()).records.length;
}

function warnings(lines: readonly LogLine[]): readonly LogLine[] {
  return lines.filter((line) => line.level === "warn");
}

test("database: a new file is made, logs nothing, and is complete after close", async () => {
  using folder = tempDir();
  const file = folder.file("test.db");
  await filledFile(file);
  // Nothing beside it: a closed file can be copied alone.
  expect(readdirSync(folder.path)).toEqual(["test.db"]);
  const { database, lines } = open(file);
  expect(await appsIn(database)).toBe(300);
  expect(lines).toEqual([]);
  expect(database.query("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
  expect(database.query("PRAGMA synchronous").get()).toEqual({ synchronous: 1 });
  expect(database.query("PRAGMA user_version").get()).toEqual({ user_version: MIGRATIONS.length });
  database.close();
});

test("database: after registry, event store and database are closed, the file is free at once", async () => {
  using folder = tempDir();
  const { database } = open(folder.file("test.db"));
  const registry = createSqliteRegistry(database);
  const store = createSqliteEventStore(database);
  const { ref } = recordOf("shop");
  await registry.save(recordOf("shop"));
  await registry.touch([{ ref, lastUsedMs: 1 }]);
  await registry.claim(ref, 0);
  await registry.load();
  await registry.remove(ref);
  await store.append([eventOf(1)]);
  await store.list({});
  await store.list({ app: "shop", names: ["APP_STOPPED"], afterId: "e", limit: 1 });
  database.close();
  open(folder.file("test.db")).database.close();
  expect(readdirSync(folder.path)).toEqual(["test.db"]);
});

test("database: migrations run in order, each once, and keep what is there", () => {
  using folder = tempDir();
  const file = folder.file("test.db");
  const one = "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('made by one');";
  const two = "ALTER TABLE notes ADD COLUMN stars INTEGER DEFAULT 3;";
  const three =
    "UPDATE notes SET stars = stars * 2; INSERT INTO notes VALUES ('made by three', 0);";
  open(file, [one]).database.close();
  open(file, [one]).database.close();
  const { database, lines } = open(file, [one, two, three]);
  expect(database.query("SELECT * FROM notes").all()).toEqual([
    { text: "made by one", stars: 6 },
    { text: "made by three", stars: 0 },
  ]);
  expect(database.query("PRAGMA user_version").get()).toEqual({ user_version: 3 });
  expect(lines).toEqual([]);
  database.close();
});

test("database: a migration that fails has changed nothing, and is said with the file's name", () => {
  using folder = tempDir();
  const file = folder.file("test.db");
  const one = "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept');";
  open(file, [one]).database.close();
  const error = refusal(file, [one, "DELETE FROM notes; UPDATE absent SET x = 1;"]);
  expect(error.code).toBe("config_invalid");
  expect(error.message).toContain(file);
  expect(error.message).toContain("no such table: absent");
  const { database, lines } = open(file, [one]);
  expect(database.query("SELECT text FROM notes").all()).toEqual([{ text: "kept" }]);
  expect(lines).toEqual([]);
  database.close();
});

test("database: the released steps migrate a file of each older version", () => {
  for (let version = 0; version <= MIGRATIONS.length; version += 1) {
    using older = new Database(":memory:");
    migrate(older, MIGRATIONS.slice(0, version));
    migrate(older, MIGRATIONS);
    expect(older.query("PRAGMA user_version").get()).toEqual({ user_version: MIGRATIONS.length });
  }
});

test("database: a file of a newer version is refused and left byte for byte as it is", async () => {
  using folder = tempDir();
  const file = folder.file("test.db");
  await filledFile(file);
  const newer = new Database(file);
  newer.run("PRAGMA user_version = 99");
  newer.close();
  const before = readFileSync(file);
  const error = refusal(file);
  expect(error.code).toBe("config_invalid");
  expect(error.explanation.why).toBe(
    `a newer Paastis wrote it (format 99; this one knows formats up to ${MIGRATIONS.length})`,
  );
  expect(error.explanation.next).toContain("DATA_DIR");
  expect(readFileSync(file).equals(before)).toBe(true);
});

/** Ways to damage a sound file; each is set aside. */
const DAMAGES: Readonly<Record<string, (file: string) => void>> = {
  "a text": (file) => writeFileSync(file, "this is no database\n".repeat(400)),
  "a few bytes": (file) => writeFileSync(file, "oops"),
  "noise over the header": (file) => overwrite(file, 0, 4_096),
  "noise from the second page on": (file) => overwrite(file, 4_096, 20_000),
  "noise in the last page": (file) => overwrite(file, statSync(file).size - 4_096, 4_096),
  "truncated in the middle of a page": (file) => truncateSync(file, 10_000),
  "truncated to its first page": (file) => truncateSync(file, 4_096),
  "truncated to half a header": (file) => truncateSync(file, 50),
  "malformed schema": (file) => {
    const bytes = readFileSync(file);
    bytes.write("CREATE TABLE (((((", bytes.indexOf("CREATE TABLE apps"));
    writeFileSync(file, bytes);
  },
  "a table is missing": (file) => tamper(file, "DROP TABLE events"),
  "a column is missing": (file) => tamper(file, "ALTER TABLE apps DROP COLUMN snapshot"),
  "an impossible version": (file) => tamper(file, "PRAGMA user_version = -3"),
  "a database of another program": (file) =>
    tamper(file, "PRAGMA user_version = 0; DROP TABLE events; DROP TABLE apps"),
};

function overwrite(file: string, at: number, length: number): void {
  const bytes = readFileSync(file);
  bytes.fill(0xa5, at, at + length);
  writeFileSync(file, bytes);
}

function tamper(file: string, sql: string): void {
  const database = new Database(file);
  database.run(sql);
  database.close();
}

for (const [damage, inflict] of Object.entries(DAMAGES)) {
  test(`database: damaged (${damage}): set aside with a warning, and a new one works`, async () => {
    using folder = tempDir();
    const file = folder.file("test.db");
    await filledFile(file);
    inflict(file);
    const damaged = readFileSync(file);

    const { database, lines } = open(file);
    expect(readdirSync(folder.path)).toContain(ASIDE);
    expect(readFileSync(folder.file(ASIDE)).equals(damaged)).toBe(true);
    expect(warnings(lines)).toHaveLength(1);
    expect(lines[0]?.fields).toMatchObject({ file, setAside: folder.file(ASIDE) });
    expect(String(lines[0]?.fields.why).length).toBeGreaterThan(5);

    expect(await appsIn(database)).toBe(0);
    expect(await createSqliteRegistry(database).save(recordOf("new"))).toBe(true);
    database.close();
    const again = open(file);
    expect(await appsIn(again.database)).toBe(1);
    expect(again.lines).toEqual([]);
    again.database.close();
  });
}

test("database: what belongs to a damaged file goes with it", async () => {
  using folder = tempDir();
  await using child = spawnChild("storage-child.ts", "write", folder.path);
  await child.line((line) => line === "saved 20");
  await child.kill();
  const file = folder.file("test.db");
  expect(existsSync(`${file}-wal`)).toBe(true);
  writeFileSync(file, "no database any more".repeat(500));
  const wal = "no log either".repeat(500);
  writeFileSync(`${file}-wal`, wal);
  const { database, lines } = open(file);
  expect(warnings(lines)).toHaveLength(1);
  expect(readFileSync(folder.file(`${ASIDE}-wal`), "utf8")).toBe(wal);
  expect(await appsIn(database)).toBe(0);
  database.close();
});

test("database: a torn end of the log of a killed process costs at most what was torn", async () => {
  using folder = tempDir();
  const file = folder.file("test.db");
  await using child = spawnChild("storage-child.ts", "write", folder.path);
  await child.line((line) => line === "saved 30");
  await child.kill();
  const wal = `${file}-wal`;
  truncateSync(wal, statSync(wal).size - 5_000);
  appendFileSync(wal, Buffer.alloc(3_000, 0x5a));
  const { database, lines } = open(file);
  expect(lines).toEqual([]);
  expect(await appsIn(database)).toBeGreaterThan(20);
  database.close();
});

test("database: a second damage is set aside beside the first", async () => {
  using folder = tempDir();
  const file = folder.file("test.db");
  for (const at of [1, 2]) {
    writeFileSync(file, `damage number ${at}, long enough to be looked at `.repeat(100));
    const { log } = recordingLog();
    openDatabase(file, { log, now: () => NOW_MS + at }).close();
  }
  expect(readdirSync(folder.path).sort()).toEqual([
    "test.db",
    "test.db.damaged-2026-02-03T04-05-06-790Z",
    "test.db.damaged-2026-02-03T04-05-06-791Z",
  ]);
});

test("database: an empty file is a new one", async () => {
  using folder = tempDir();
  writeFileSync(folder.file("test.db"), "");
  const { database, lines } = open(folder.file("test.db"));
  expect(lines).toEqual([]);
  expect(await appsIn(database)).toBe(0);
  database.close();
});

test("database: a file that another program holds is refused, not taken for damaged", () => {
  using folder = tempDir();
  const file = folder.file("test.db");
  open(file).database.close();
  const other = new Database(file);
  other.run("BEGIN IMMEDIATE");
  const error = refusal(file);
  other.close();
  expect(error.code).toBe("data_dir_in_use");
  expect(error.message).toContain(file);
  open(file).database.close();
});

test("database: a path that cannot be opened is refused with its name", () => {
  using folder = tempDir();
  mkdirSync(folder.file("test.db"));
  for (const file of [folder.file("test.db"), folder.file("no/such/folder.db"), "/proc/test.db"]) {
    const error = refusal(file);
    expect(error.code).toBe("config_invalid");
    expect(error.explanation.what).toBe(`Cannot open the data file ${file}`);
  }
});

test("database: a copy of a file in use, taken with its log, opens", async () => {
  using folder = tempDir();
  const { database } = open(folder.file("test.db"));
  await createSqliteRegistry(database).save(recordOf("shop"));
  // `cp` in another process: reading the file in this one would cost us our lock.
  for (const suffix of ["", "-wal"]) {
    const copied = Bun.spawnSync([
      "cp",
      folder.file(`test.db${suffix}`),
      folder.file(`copy.db${suffix}`),
    ]);
    expect(copied.exitCode).toBe(0);
  }
  const copy = open(folder.file("copy.db"));
  expect(await appsIn(copy.database)).toBe(1);
  expect(copy.lines).toEqual([]);
  copy.database.close();
  database.close();
});
