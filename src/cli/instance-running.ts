/** Whether an instance runs, whoever has started it. */

import { isListeningOn } from "../admin/listen.ts";
import { holderOfDataDir } from "../data-dir.ts";
import { readInstance } from "./instance-file.ts";
import { type InstancePaths, ownPaths } from "./instance-paths.ts";

/**
 * Asks the kernel: for the lock of its data folder, and for whoever listens on its admin socket. Changes nothing.
 * @returns `process 1234 on my-server` or what else is known of it; `null`: it does not run, as far as can be told
 */
export async function runningProcess(paths: InstancePaths, name: string): Promise<string | null> {
  const own = ownPaths(paths, name);
  const variables = readInstance(paths, name)?.variables ?? {};
  for (const folder of new Set([variables.DATA_DIR || own.dataDir, own.dataDir])) {
    const holder = holderIn(folder);
    if (holder !== null)
      return holder === "" ? `a process that uses ${folder}` : `process ${holder}`;
  }
  const socket = variables.ADMIN_UNIX_SOCKET || own.socket;
  return (await isHeard(socket)) ? `a process that listens on ${socket}` : null;
}

/** Of what cannot be opened nothing is known. */
function holderIn(folder: string): string | null {
  try {
    return holderOfDataDir(folder);
  } catch {
    return null;
  }
}

/** What is no socket is nobody's. */
async function isHeard(socket: string): Promise<boolean> {
  try {
    return await isListeningOn(socket);
  } catch {
    return false;
  }
}
