/** Which packages are inside of the program, and what their licences want to be said. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { definitions } from "./compile.ts";
import type { LockedPackage, LockFile } from "./lock-file.ts";
import { run } from "./run.ts";

/**
 * Asks the bundler, as packages may be installed of which the program uses nothing.
 * @param entries files below `src` where programs begin
 * @returns folders of packages, below the checkout
 */
export async function packagesInside(
  root: string,
  entries: readonly string[],
): Promise<ReadonlySet<string>> {
  const folder = mkdtempSync(join(tmpdir(), "paastis-inside-"));
  try {
    const metafile = join(folder, "meta.json");
    const bundler = [process.execPath, "--no-install", "build", "--target=bun", "--format=esm"];
    const files = entries.map((entry) => join("src", entry));
    const out = [`--metafile=${metafile}`, `--outdir=${folder}`];
    await run([...bundler, "--minify", ...definitions(""), ...out, ...files], { cwd: root });
    const { outputs } = JSON.parse(readFileSync(metafile, "utf8")) as {
      outputs: Record<string, { inputs: Record<string, { bytesInOutput: number }> }>;
    };
    const used = Object.values(outputs).flatMap(({ inputs }) =>
      Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0),
    );
    return new Set(
      used.flatMap(([path]) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The text that must go along with the program: the licences of all that is inside of it. */
export function licencesOf(
  root: string,
  { packages }: LockFile,
  inside: ReadonlySet<string>,
): string {
  const parts = packages
    .filter(({ path }) => inside.has(path))
    .map((one) => {
      const title = `${one.name} ${one.version}, ${one.license}`;
      return `${title}\n${"-".repeat(title.length)}\n\n${textOf(root, one)}`;
    });
  const runtime = packages.find(({ name }) => name === "bun");
  return [
    "Paastis is free software under the licence AGPL-3.0-only. Inside of it are the following packages.",
    `Bun ${runtime?.version}, MIT, with JavaScriptCore (LGPL-2.1) and other libraries: their licences stand at
https://bun.com/docs/project/licensing, and their source at https://github.com/oven-sh/bun and
https://github.com/oven-sh/WebKit.`,
    ...parts,
    "",
  ].join("\n\n");
}

function textOf(root: string, { path, license }: LockedPackage): string {
  const folder = join(root, path);
  const files = existsSync(folder) ? readdirSync(folder) : [];
  const texts = files
    .filter((name) => /^(?:licen[cs]e|copying|notice)(?:[.-]|$)/i.test(name))
    .toSorted()
    .map((name) => readFileSync(join(folder, name), "utf8").trim());
  return texts.length === 0
    ? `(The package has no text of its licence, ${license}.)`
    : texts.join("\n\n");
}
