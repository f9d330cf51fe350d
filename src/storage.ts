/** Opens what the program remembers in: data folder, registry and event store, as configured. */

import type { Database } from "bun:sqlite";

import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { DataDir } from "./data-dir.ts";
import { openDataDir } from "./data-dir.ts";
import type { DatabaseDeps } from "./database.ts";
import { openDatabase } from "./database.ts";
import type { EventStore } from "./event-store/event-store.ts";
import { createMemoryEventStore } from "./event-store/memory.ts";
import { createPostgresEventStore } from "./event-store/postgres.ts";
import { createSqliteEventStore } from "./event-store/sqlite.ts";
import type { Log } from "./log.ts";
import { createMemoryRegistry } from "./registry/memory.ts";
import type { Registry } from "./registry/registry.ts";
import { createSqliteRegistry } from "./registry/sqlite.ts";

/** Everything that outlives a restart, open. */
export interface Storage {
  readonly registry: Registry;
  readonly events: EventStore;
  /** Absolute; `null` when nothing can be written. */
  readonly dataDir: string | null;
  /** The same after a restart in the same folder. */
  readonly instanceId: string;
  /** Lets go of everything. Safe to repeat. */
  close(): Promise<void>;
}

/** What it is made from. */
interface StorageDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** About 4 MB. */
const MEMORY_EVENTS_MAX = 10_000;

/** The database's name in the data folder. */
const DATABASE_FILE = "paastis.sqlite";

/**
 * A folder that cannot be written is said once, and the program goes on in memory.
 * @throws PaastisError `data_dir_in_use` or `config_invalid`, see `openDataDir` and `openDatabase`
 */
export function openStorage(deps: StorageDeps): Storage {
  const { config, clock, random, log } = deps;
  const folder = openDataDir(config.dataDir, random);
  if (folder.kind === "unwritable") {
    log.warn(
      { reason: folder.why, next: "set DATA_DIR to a folder that can be written" },
      "going on in memory: what is known is lost with the next restart",
    );
    return storageWithoutFolder(deps);
  }
  const usesFile = config.registryType === "sqlite" || config.eventsStoreType === "sqlite";
  const database = usesFile ? openDatabaseIn(folder, { log, now: clock.wallMs }) : null;
  const registryFile = config.registryType === "sqlite" ? database : null;
  const registry = registryFile ? createSqliteRegistry(registryFile) : createMemoryRegistry();
  const events = openEvents(deps, database);
  return {
    registry,
    events,
    dataDir: folder.path,
    instanceId: folder.instanceId,
    async close() {
      await registry.close();
      await events.close();
      database?.close();
      folder.close();
    },
  };
}

/** A file that cannot be opened ends the start; the folder does not stay ours then. */
function openDatabaseIn(folder: Extract<DataDir, { kind: "ready" }>, deps: DatabaseDeps): Database {
  try {
    return openDatabase(`${folder.path}/${DATABASE_FILE}`, deps);
  } catch (error) {
    folder.close();
    throw error;
  }
}

/** A database that cannot be reached ends nothing: it is connected to when there is something to store. */
function openEvents({ config, clock, log }: StorageDeps, database: Database | null): EventStore {
  const { eventsStoreType, eventsDatabase, eventsKept } = config;
  const { newest: keep, forMs: keepMs } = eventsKept;
  const retention = { keep, keepMs, now: clock.wallMs };
  if (eventsStoreType === "postgres" && eventsDatabase !== null) {
    return createPostgresEventStore({ address: eventsDatabase, clock, log, retention });
  }
  if (eventsStoreType === "sqlite" && database !== null) {
    return createSqliteEventStore(database, retention);
  }
  return createMemoryEventStore({ max: Math.min(keep, MEMORY_EVENTS_MAX) });
}

function storageWithoutFolder(deps: StorageDeps): Storage {
  const registry = createMemoryRegistry();
  const events = openEvents(deps, null);
  return {
    registry,
    events,
    dataDir: null,
    instanceId: Bun.hash(deps.config.dataDir).toString(36),
    async close() {
      await registry.close();
      await events.close();
    },
  };
}
