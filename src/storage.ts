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

/** The database's name in the data folder. */
const DATABASE_FILE = "paastis.sqlite";

/**
 * A folder that cannot be written is said once, and the program goes on in memory.
 * @throws PaastisError `data_dir_in_use` or `config_invalid`, see `openDataDir` and `openDatabase`
 */
export function openStorage(deps: {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}): Storage {
  const { config, clock, random, log } = deps;
  const folder = openDataDir(config.dataDir, random);
  if (folder.kind === "unwritable") {
    log.warn(
      { reason: folder.why, next: "set DATA_DIR to a folder that can be written" },
      "going on in memory: what is known is lost with the next restart",
    );
    return memoryStorage(Bun.hash(config.dataDir).toString(36));
  }
  const usesFile = config.registryType === "sqlite" || config.eventsStoreType === "sqlite";
  const database = usesFile ? openDatabaseIn(folder, { log, now: clock.wallMs }) : null;
  const inFile = (type: "sqlite" | "in-memory") => (type === "sqlite" ? database : null);
  const registryFile = inFile(config.registryType);
  const eventsFile = inFile(config.eventsStoreType);
  const registry = registryFile ? createSqliteRegistry(registryFile) : createMemoryRegistry();
  const events = eventsFile ? createSqliteEventStore(eventsFile) : createMemoryEventStore();
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

function memoryStorage(instanceId: string): Storage {
  const registry = createMemoryRegistry();
  const events = createMemoryEventStore();
  return {
    registry,
    events,
    dataDir: null,
    instanceId,
    async close() {
      await registry.close();
      await events.close();
    },
  };
}
