/** Reads what the lock file says of the packages that belong to Paastis. */

import { readFileSync } from "node:fs";
import { join } from "node:path";

/** One package of it. */
export interface LockedPackage {
  /** Folder in which it is installed, below the checkout. */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  /** Subresource integrity: a hash's name, a hyphen, and the hash in base64. */
  readonly integrity: string;
  /** As the package itself says; an SPDX expression as a rule. */
  readonly license: string;
  /** Not part of the program: it builds or tests it. */
  readonly isForDevelopment: boolean;
  /** Names of the packages that it needs itself, and of those that it can do without. */
  readonly needs: readonly string[];
  readonly canUse: readonly string[];
}

/** The whole file. */
export interface LockFile {
  /** What the program itself needs: names. */
  readonly needs: readonly string[];
  readonly packages: readonly LockedPackage[];
}

/** @throws Error when a package has no version, hash or licence: then nothing certain can be said of it */
export function readLockFile(root: string): LockFile {
  // The form of version 3 of the file: https://docs.npmjs.com/cli/v11/configuring-npm/package-lock-json
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, Record<string, unknown>>;
  };
  const { "": own, ...others } = packages;
  return {
    needs: Object.keys(own?.dependencies ?? {}),
    packages: Object.entries(others).map(([path, entry]) => ({
      path,
      name: path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length),
      version: textOf(entry, "version", path),
      integrity: textOf(entry, "integrity", path),
      license: textOf(entry, "license", path),
      isForDevelopment: entry.dev === true,
      needs: Object.keys(entry.dependencies ?? {}),
      canUse: [
        ...Object.keys(entry.optionalDependencies ?? {}),
        ...Object.keys(entry.peerDependencies ?? {}),
      ],
    })),
  };
}

/** The package that `name` means where a package in the folder `from` asks for it; `null`: it is not installed. */
export function findPackage(
  { packages }: LockFile,
  name: string,
  from: string,
): LockedPackage | null {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/")))) {
    const path = `${folder === "" ? "" : `${folder}/`}node_modules/${name}`;
    const found = packages.find((one) => one.path === path);
    if (found !== undefined) return found;
    if (folder === "") return null;
  }
}

function textOf(entry: Record<string, unknown>, name: string, path: string): string {
  const value = entry[name];
  if (typeof value === "string" && value !== "") return value;
  throw new Error(`package-lock.json: ${path} has no ${name}`);
}
