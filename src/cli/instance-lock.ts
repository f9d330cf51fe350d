/** One at a time changes which instances there are. */

import { Database } from "bun:sqlite";
import { join } from "node:path";
import type { InstancePaths } from "./instance-paths.ts";

/** Empty for ever. */
const LOCK_FILE = ".lock";
/** How long to wait, blocking, for somebody else's change. */
const LOCK_WAIT_MS = 10_000;

/**
 * Runs `work` while nobody else does such a thing on this machine. The kernel frees the lock when a process dies.
 * @throws what `work` throws, and `SQLiteError` when somebody else takes too long or the folder cannot be written
 */
export function withLock<T>({ settings }: InstancePaths, work: () => T): T {
  const lock = new Database(join(settings, LOCK_FILE));
  try {
    lock.run(`PRAGMA busy_timeout = ${LOCK_WAIT_MS}`);
    lock.run("BEGIN EXCLUSIVE");
    return work();
  } finally {
    lock.close();
  }
}
