/** `npm run build`: one executable, `dist/paastis`, for this machine or for the target that is named. */

import { resolve } from "node:path";
import { compile } from "./compile.ts";
import { readLockFile } from "./lock-file.ts";
import { fetchRuntime } from "./runtime.ts";
import { readStamp } from "./stamp.ts";
import { ownTarget, targetsNamed } from "./targets.ts";

if (import.meta.main) {
  const root = resolve(import.meta.dir, "..");
  const [name] = process.argv.slice(2);
  const [target = null] = name === undefined ? [] : targetsNamed([name]);
  // The runtime of this machine is the one that does this.
  const isOwn = target === null || target.name === ownTarget()?.name;
  const cache = resolve(root, "dist/runtimes");
  const runtime = isOwn ? null : await fetchRuntime(target, readLockFile(root), cache);
  const { commit } = await readStamp(root, process.env);
  const outFile = resolve(root, "dist/paastis");
  await compile({ root, target: isOwn ? null : target, runtime, commit, outFile });
}
