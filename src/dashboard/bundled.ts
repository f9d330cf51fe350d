/** Bundles what runs in the browser. A macro: it runs while this program is built, or while its source is loaded. */

import { join } from "node:path";

/**
 * @param entry a script or a style sheet, relative to this folder
 * @returns it with everything that it imports, in one piece
 * @throws Error when it cannot be bundled: then the program cannot be built either
 */
export function bundled(entry: string): string {
  // Within a macro the bundler can be reached by its command line only (Bun 1.4.5 says so itself).
  const { stdout, stderr, success } = Bun.spawnSync([
    process.execPath,
    "--no-install",
    "build",
    join(import.meta.dir, entry),
    "--target=browser",
    "--format=esm",
    "--minify",
  ]);
  if (!success) throw new Error(`${entry} cannot be bundled: ${stderr.toString()}`);
  return stdout.toString();
}
