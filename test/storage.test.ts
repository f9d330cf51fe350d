import { expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";

import { type Clock, createSystemClock } from "../src/clock.ts";
import type { Config } from "../src/config.ts";
import { PaastisError } from "../src/errors.ts";
import { parsePostgresUrl } from "../src/event-store/postgres-url.ts";
import type { Storage } from "../src/storage.ts";
import { openStorage } from "../src/storage.ts";
import { eventOf } from "./contract/event-store.ts";
import { recordOf } from "./contract/registry.ts";
import { recordingLog } from "./support/recording-log.ts";
import { tempDir } from "./support/temp-dir.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

type StorageConfig = Pick<
  Config,
  "dataDir" | "registryType" | "eventsStoreType" | "eventsDatabase" | "eventsKept"
>;

async function open(
  dataDir: string,
  changes: Partial<StorageConfig> = {},
  clock: Clock = createSystemClock(),
) {
  const { log, lines } = recordingLog();
  const settings: StorageConfig = {
    dataDir,
    registryType: "sqlite",
    eventsStoreType: "sqlite",
    eventsDatabase: null,
    eventsKept: { newest: 100_000, forMs: null },
    ...changes,
  };
  // The storage looks at no other setting.
  const config = settings as Config;
  const storage = await openStorage({ config, clock, random: Math.random, log });
  const warnings = () => lines.filter(({ level }) => level === "warn");
  return { storage, warnings, [Symbol.asyncDispose]: () => storage.close() };
}

async function write({ registry, events }: Storage): Promise<void> {
  expect(await registry.save(recordOf("shop"))).toBe(true);
  await events.append([eventOf(1)]);
}

async function found({ registry, events }: Storage): Promise<[records: number, events: number]> {
  const { records } = await registry.load();
  return [records.length, (await events.list({ limit: 10 })).length];
}

test("storage: registry and events outlive a restart, in a folder that is made when missing", async () => {
  using folder = tempDir();
  const dataDir = folder.file("a/b");
  const first = await open(dataDir);
  await write(first.storage);
  await first.storage.close();
  await using second = await open(dataDir);
  expect(await found(second.storage)).toEqual([1, 1]);
  expect(second.storage.instanceId).toBe(first.storage.instanceId);
  expect(second.storage.dataDir).toBe(dataDir);
  expect([...first.warnings(), ...second.warnings()]).toEqual([]);
});

const types = ["sqlite", "in-memory"] as const;
for (const registryType of types) {
  for (const eventsStoreType of types) {
    test(`storage: registry ${registryType} and events ${eventsStoreType} are kept apart`, async () => {
      using folder = tempDir();
      const first = await open(folder.path, { registryType, eventsStoreType });
      await write(first.storage);
      expect(await found(first.storage)).toEqual([1, 1]);
      await first.storage.close();
      await using second = await open(folder.path, { registryType, eventsStoreType });
      const kept = [registryType, eventsStoreType].map((type) => (type === "sqlite" ? 1 : 0));
      expect(await found(second.storage)).toEqual([kept[0] ?? 0, kept[1] ?? 0]);
      const isFileThere = existsSync(folder.file("paastis.sqlite"));
      expect(isFileThere).toBe(registryType === "sqlite" || eventsStoreType === "sqlite");
    });
  }
}

/** Ways in which a folder cannot be written, for the superuser too. */
const obstacles: Record<string, (path: string) => string> = {
  "a file where the folder should be": (path) => {
    writeFileSync(`${path}/data`, "");
    return `${path}/data`;
  },
  "a file on the way to it": (path) => {
    writeFileSync(`${path}/data`, "");
    return `${path}/data/below`;
  },
  "a file system that takes no files": () => "/proc/paastis-test",
};
for (const [name, obstruct] of Object.entries(obstacles)) {
  test(`storage: with ${name} it works in memory, and says so once, with the remedy`, async () => {
    using folder = tempDir();
    const dataDir = obstruct(folder.path);
    await using opened = await open(dataDir);
    const { storage } = opened;
    await write(storage);
    expect(await found(storage)).toEqual([1, 1]);
    expect(storage.dataDir).toBeNull();
    expect(opened.warnings()).toHaveLength(1);
    const [warning] = opened.warnings();
    expect(String(warning?.fields.reason)).toContain(dataDir);
    expect(String(warning?.fields.next)).toContain("DATA_DIR");
  });
}

test.skipIf(process.getuid?.() === 0)(
  "storage: a folder without permission to write means memory",
  async () => {
    using folder = tempDir();
    const dataDir = folder.file("data");
    mkdirSync(dataDir);
    chmodSync(dataDir, 0o500);
    await using opened = await open(dataDir);
    expect(opened.storage.dataDir).toBeNull();
    expect(opened.warnings()).toHaveLength(1);
  },
);

test("storage: in memory the instance id is the same after a restart, and another elsewhere", async () => {
  await using first = await open("/proc/paastis-test");
  await using again = await open("/proc/paastis-test");
  await using other = await open("/proc/paastis-other");
  expect(again.storage.instanceId).toBe(first.storage.instanceId);
  expect(other.storage.instanceId).not.toBe(first.storage.instanceId);
});

test("storage: what stays of the events is as configured, in the file and in memory", async () => {
  using folder = tempDir();
  for (const eventsStoreType of types) {
    const eventsKept = { newest: 10, forMs: null };
    await using opened = await open(folder.path, { eventsStoreType, eventsKept });
    const { events } = opened.storage;
    for (let n = 0; n < 50; n += 1) await events.append([eventOf(n)]);
    const kept = await events.list({});
    expect(kept.at(-1)).toEqual(eventOf(49));
    expect(kept.length).toBeWithin(10, 13);
  }
});

test("storage: a wall clock that is set forth by mistake makes no event too old to stay", async () => {
  using folder = tempDir();
  const eventsKept = { newest: 100, forMs: 24 * 60 * 60 * 1000 };
  const clock = createVirtualClock();
  await using opened = await open(folder.path, { eventsKept }, clock);
  const { events } = opened.storage;
  const event = (n: number) => ({ ...eventOf(n), atMs: clock.wallMs() });
  await events.append([event(1)]);
  clock.setWall(365 * 24 * 60 * 60 * 1000);
  // More than make a trim due.
  for (let n = 2; n < 60; n += 1) await events.append([event(n)]);
  expect((await events.list({ limit: 1 })).length).toBe(1);
  expect((await events.list({ limit: 100 }))[0]).toMatchObject({ id: eventOf(1).id });
});

/** Nobody listens there: the port of a URL may be 1, which needs a right that no test has. */
const AWAY = parsePostgresUrl("postgres://me:s3cret@127.0.0.1:1/x");

test("storage: a database of events that is away keeps nothing from opening and closing, folder or not", async () => {
  if (!AWAY.ok) throw new Error(AWAY.why);
  using folder = tempDir();
  for (const dataDir of [folder.path, "/proc/paastis-test"]) {
    const eventsStoreType = "postgres";
    await using opened = await open(dataDir, { eventsStoreType, eventsDatabase: AWAY.value });
    const { registry, events } = opened.storage;
    expect(await registry.save(recordOf("shop"))).toBe(true);
    const why = "Postgres at 127.0.0.1:1/x: it cannot be reached";
    await expect(events.append([eventOf(1)])).rejects.toThrow(why);
    await expect(events.list({})).rejects.toThrow(why);
  }
});

test("storage: a folder in use is refused", async () => {
  using folder = tempDir();
  await using _holder = await open(folder.path);
  await expect(open(folder.path)).rejects.toThrow(PaastisError);
});

test("storage: a database that cannot be opened gives the folder back", async () => {
  using folder = tempDir();
  mkdirSync(folder.file("paastis.sqlite"));
  await expect(open(folder.path)).rejects.toThrow();
  // Not `data_dir_in_use`: the first attempt holds nothing any more.
  await using opened = await open(folder.path, {
    registryType: "in-memory",
    eventsStoreType: "in-memory",
  });
  expect(opened.storage.dataDir).toBe(folder.path);
});

test("storage: closing is safe to repeat", async () => {
  for (const dataDir of [null, "/proc/paastis-test"]) {
    using folder = tempDir();
    const { storage } = await open(dataDir ?? folder.path);
    await storage.close();
    await storage.close();
  }
});
