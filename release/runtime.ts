/** Fetches the runtime of a target, and checks that it is the one that the lock file names. */

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { LockedPackage, LockFile } from "./lock-file.ts";
import { run } from "./run.ts";
import type { Target } from "./targets.ts";

/**
 * @param cache folder that keeps runtimes from one release to the next
 * @returns the file
 * @throws Error when it cannot be had, or is not what the lock file says
 */
export async function fetchRuntime(
  { runtime, suffix }: Target,
  { packages }: LockFile,
  cache: string,
): Promise<string> {
  const locked = packages.find(({ name }) => name === runtime);
  if (locked === undefined) throw new Error(`package-lock.json has no ${runtime}`);
  const folder = join(cache, `${runtime.replace("/", "-")}-${locked.version}`);
  const file = join(folder, `package/bin/bun${suffix}`);
  if (existsSync(file)) return file;
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(join(cache, ".fetch-"));
  try {
    await unpack(locked, scratch);
    // Only now, so that what is there is whole.
    rmSync(folder, { recursive: true, force: true });
    renameSync(scratch, folder);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return file;
}

async function unpack({ name, version, integrity }: LockedPackage, folder: string): Promise<void> {
  const out = await run(["npm", "pack", "--silent", `${name}@${version}`], { cwd: folder });
  const archive = join(folder, out.trim().split("\n").at(-1) ?? "");
  const [algorithm = "", wanted = ""] = integrity.split("-");
  const found = createHash(algorithm).update(readFileSync(archive)).digest("base64");
  if (found !== wanted) throw new Error(`${name} ${version} is not what package-lock.json says`);
  await run(["tar", "-xzf", archive, "-C", folder]);
  rmSync(archive);
}
