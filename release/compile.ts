/** Makes one executable out of the source. */

import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { signForMac } from "./mac-signature.ts";
import { run } from "./run.ts";
import { ownTarget, type Target } from "./targets.ts";

/** What executables of all targets are made with. */
const FLAGS: readonly string[] = [
  "--compile",
  "--minify",
  "--bytecode",
  "--format=esm",
  "--sourcemap",
  // What lies in the folder that it is started in is not for the runtime.
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
  "--compile-exec-argv=--max-http-header-size=65536",
];

/** What to make, and of what. */
export interface Compilation {
  /** Folder of the checkout, with its dependencies installed. */
  readonly root: string;
  /** `null`: for this machine, with the runtime that does this. */
  readonly target: Target | null;
  /** The target's runtime, a file; `null`: the one that does this. */
  readonly runtime: string | null;
  readonly commit: string;
  /** The executable. Its source map lies beside it, under the same name and `.map`. */
  readonly outFile: string;
}

/**
 * Constants that the bundler puts in. Without the last two, packages of the older module format would carry the
 * folder in which they were bundled, and no two folders would give the same bytes.
 */
export function definitions(commit: string): readonly string[] {
  return Object.entries({
    "process.env.NODE_ENV": "production",
    PAASTIS_COMMIT: commit,
    __dirname: "/",
    __filename: "/paastis",
  }).map(([name, value]) => `--define=${name}=${JSON.stringify(value)}`);
}

/**
 * The same source, dependencies and commit give the same bytes, whatever the folder, the environment and the time.
 * @throws Error when the source cannot be bundled
 */
export async function compile(options: Compilation): Promise<void> {
  const { root, target, runtime, commit, outFile } = options;
  mkdirSync(dirname(outFile), { recursive: true });
  // The name of the file is part of its bytes, so that all of them have the same at first.
  const folder = mkdtempSync(join(dirname(outFile), ".compile-"));
  const made = join(folder, "paastis");
  const suffix = target?.suffix ?? "";
  try {
    await run(
      [
        ...[process.execPath, "--no-install", "build", join(root, "src/main.ts"), ...FLAGS],
        ...definitions(commit),
        ...(target === null ? [] : [`--target=${target.bun}`]),
        ...(runtime === null ? [] : [`--compile-executable-path=${runtime}`]),
        `--outfile=${made}`,
      ],
      { cwd: root },
    );
    if ((target ?? ownTarget())?.name === "macos-x64") signForMac(made);
    renameSync(`${made}${suffix}`, outFile);
    renameSync(`${made}.map`, `${outFile}.map`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
