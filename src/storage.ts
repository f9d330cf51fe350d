/** Opens what the program remembers in: data folder, registry and event store, as configured. */

import type { Database } from "bun:sqlite";

import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { DataDir } from "./data-dir.ts";
import { openDataDir } from "./data-dir.ts";
import type { DatabaseDeps } from "./database.ts";
import { openDatabase, tryWrite } from "./database.ts";
import type { EventStore } from "./event-store/event-store.ts";
import { createMemoryEventStore } from "./event-store/memory.ts";
import { createPostgresEventStore } from "./event-store/postgres.ts";
import { createSqliteEventStore } from "./event-store/sqlite.ts";
import { instanceNameOf } from "./instance-name.ts";
import type { Log } from "./log.ts";
import { noPeers, type Peers } from "./peers.ts";
import type { RedisConnection } from "./redis/connection.ts";
import { withLocalCopy } from "./registry/local-copy.ts";
import { createMemoryRegistry } from "./registry/memory.ts";
import { createRedisRegistry } from "./registry/redis.ts";
import type { Loaded, Registry } from "./registry/registry.ts";
import { createSqliteRegistry } from "./registry/sqlite.ts";
import { createWatchedRegistry } from "./registry/watched.ts";

/** Everything that outlives a restart, open. */
export interface Storage {
  readonly registry: Registry;
  /** The other instances that share the registry. */
  readonly peers: Peers;
  /** What is known at the start, of a shared registry that is away as much as this instance keeps of it. */
  loadFirst(): Promise<Loaded>;
  /** What the registry is reached by; `null`: it is this instance's alone. */
  readonly redis: RedisConnection | null;
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
export async function openStorage(deps: StorageDeps): Promise<Storage> {
  const { config, clock, random, log } = deps;
  const folder = openDataDir(config.dataDir, random);
  if (folder.kind === "unwritable") {
    log.warn(
      { reason: folder.why, next: "set DATA_DIR to a folder that can be written" },
      "going on in memory: what is known is lost with the next restart",
    );
    return await storageWithoutFolder(deps);
  }
  const usesFile = config.registryType !== "in-memory" || config.eventsStoreType === "sqlite";
  const database = usesFile ? openDatabaseIn(folder, { log, now: clock.wallMs }) : null;
  const registryFile = config.registryType === "in-memory" ? null : database;
  const shared = await openRegistry(deps, folder.instanceId, registryFile);
  const events = openEvents(deps, database);
  return {
    ...shared,
    events,
    dataDir: folder.path,
    instanceId: folder.instanceId,
    async close() {
      await closeRegistry(shared);
      await events.close();
      database?.close();
      folder.close();
    },
  };
}

type OpenRegistry = Pick<Storage, "loadFirst" | "peers" | "redis" | "registry">;

/** @param file where it, or a copy of it, is kept; `null`: nowhere */
async function openRegistry(
  deps: StorageDeps,
  id: string,
  file: Database | null,
): Promise<OpenRegistry> {
  const { registryRedis: address, instanceName } = deps.config;
  const self = instanceNameOf(id);
  if (deps.config.registryType === "redis" && address !== null) {
    // Loaded where it is used: the client takes memory and time that most do not need to give.
    const { connectRedis } = await import("./redis/connect.ts");
    const connection = connectRedis({ ...deps, address, instance: instanceName });
    const shared = createRedisRegistry({ ...deps, connection, self });
    const copy = file === null ? createMemoryRegistry() : createSqliteRegistry(file);
    return { ...withLocalCopy({ ...deps, shared, copy }), redis: connection };
  }
  const alone = noPeers(self);
  if (file === null) return ownRegistry({ registry: createMemoryRegistry(), peers: alone });
  const registry = createSqliteRegistry(file);
  const parts = { ...deps, registry, alone, tryWrite: () => tryWrite(file) };
  return ownRegistry(createWatchedRegistry(parts));
}

function ownRegistry(own: Pick<Storage, "peers" | "registry">): OpenRegistry {
  return { ...own, redis: null, loadFirst: () => own.registry.load() };
}

async function closeRegistry({ registry, redis }: OpenRegistry): Promise<void> {
  await registry.close();
  await redis?.close();
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
  // A wall clock that is set forth by mistake must not make all events old.
  const retention = { keep, keepMs, now: () => Math.min(clock.wallMs(), clock.now()) };
  if (eventsStoreType === "postgres" && eventsDatabase !== null) {
    return createPostgresEventStore({ address: eventsDatabase, clock, log, retention });
  }
  if (eventsStoreType === "sqlite" && database !== null) {
    return createSqliteEventStore(database, retention);
  }
  return createMemoryEventStore({ max: Math.min(keep, MEMORY_EVENTS_MAX) });
}

async function storageWithoutFolder(deps: StorageDeps): Promise<Storage> {
  const instanceId = Bun.hash(deps.config.dataDir).toString(36);
  // Two instances may lack the same folder.
  const unique = Math.floor(deps.random() * Number.MAX_SAFE_INTEGER).toString(36);
  const shared = await openRegistry(deps, unique, null);
  const events = openEvents(deps, null);
  return {
    ...shared,
    events,
    dataDir: null,
    instanceId,
    async close() {
      await closeRegistry(shared);
      await events.close();
    },
  };
}
