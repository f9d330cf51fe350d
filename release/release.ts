/**
 * `npm run release`: executables for every target, their sums, their bill of materials and licences in `dist/release`,
 * and the npm package in `dist/npm`. Names of targets as arguments make only those.
 */

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { version } from "../package.json" with { type: "json" };
import { billOfMaterials } from "./bill-of-materials.ts";
import { compile } from "./compile.ts";
import { licencesOf, packagesInside } from "./inside.ts";
import { readLockFile } from "./lock-file.ts";
import { LIBRARY_ENTRIES, makePackage } from "./npm-package.ts";
import { fetchRuntime } from "./runtime.ts";
import { readStamp, type Stamp } from "./stamp.ts";
import { fileNameOf, type Target, targetsNamed } from "./targets.ts";

/** What to release, and where from. */
export interface Release {
  /** Folder of the checkout, with its dependencies installed. */
  readonly root: string;
  readonly targets: readonly Target[];
  readonly stamp: Stamp;
  readonly tell: (line: string) => void;
}

/**
 * What was there before is removed. @returns the folder with what is to be published beside the npm package
 * @throws Error when anything cannot be made: then nothing of it is for publishing
 */
export async function release({ root, targets, stamp, tell }: Release): Promise<string> {
  const out = join(root, "dist/release");
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const lock = readLockFile(root);
  const { commit } = stamp;
  for (const target of targets) {
    const runtime = await fetchRuntime(target, lock, join(root, "dist/runtimes"));
    const outFile = join(out, fileNameOf(target));
    await compile({ root, target, runtime, commit, outFile });
    // It is inside of the executable as well.
    rmSync(`${outFile}.map`);
    tell(`dist/release/${fileNameOf(target)}`);
  }
  const inside = await packagesInside(root, ["main.ts", ...LIBRARY_ENTRIES]);
  const licences = licencesOf(root, lock, inside);
  writeFileSync(join(out, "THIRD-PARTY-LICENCES.txt"), licences);
  writeFileSync(
    join(out, "paastis.cdx.json"),
    billOfMaterials(lock, { version, ...stamp, inside }),
  );
  const archive = await makePackage({ root, lock, commit, licences, archiveFolder: out });
  tell(`dist/release/${archive}`);
  writeFileSync(join(out, "SHA256SUMS"), sumsOf(out));
  tell("dist/release/SHA256SUMS");
  return out;
}

/** As `sha256sum --check` reads them. */
function sumsOf(folder: string): string {
  return readdirSync(folder)
    .toSorted()
    .map((name) => {
      const sum = createHash("sha256")
        .update(readFileSync(join(folder, name)))
        .digest("hex");
      return `${sum}  ${name}\n`;
    })
    .join("");
}

if (import.meta.main) {
  const root = resolve(import.meta.dir, "..");
  const stamp = await readStamp(root, process.env);
  const tell = (line: string) => void process.stdout.write(`${line}\n`);
  tell(`Paastis ${version}, commit ${stamp.commit}`);
  await release({ root, targets: targetsNamed(process.argv.slice(2)), stamp, tell });
}
