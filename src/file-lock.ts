/** A lock that one living process has at a time: a file of its own, which the kernel frees however the holder ends. */

import { Database, SQLiteError } from "bun:sqlite";

/** A lock that is ours. */
export interface FileLock {
  /** Gives it back; the file stays. Safe to repeat. */
  release(): void;
}

/** How long to wait, blocking, for somebody else's lock: two that start at once may both see the other one's. */
const WAIT_MS = 300;

/**
 * SQLite locks its file with `fcntl`: unlike `flock`, such a lock is not inherited by child processes, which may
 * outlive us. It has a trap: it is lost when this process opens and closes the same file in any other way.
 * Hence a file that holds nothing, and that nobody has a reason to read.
 * @param path made when it is missing, in a folder that is there
 * @returns `null` while somebody else has it
 * @throws Error when the file cannot be made or opened
 */
export function takeLock(path: string): FileLock | null {
  const lock = new Database(path);
  // Keeps `lock` reachable: the garbage collector closes an unreachable database, and the lock is lost.
  const held = () => void lock;
  const release = () => {
    process.off("exit", held);
    lock.close();
  };
  try {
    lock.run(`PRAGMA busy_timeout = ${WAIT_MS}`);
    // Otherwise a journal is begun in a file beside it, for which a full disk has no room.
    lock.run("PRAGMA journal_mode = MEMORY");
    lock.run("BEGIN EXCLUSIVE");
    process.on("exit", held);
    return { release };
  } catch (error) {
    lock.close();
    if (error instanceof SQLiteError && error.code === "SQLITE_BUSY") return null;
    throw error;
  }
}
