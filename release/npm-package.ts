/** Makes the npm package: the command `paastis`, and the library for programs, with types. */

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import own from "../package.json" with { type: "json" };
import { definitions } from "./compile.ts";
import type { LockFile } from "./lock-file.ts";
import { run } from "./run.ts";
import { TARGETS } from "./targets.ts";

/** Files below `src` that programs import. */
export const LIBRARY_ENTRIES: readonly string[] = ["library.ts", "providers/provider.ts"];

/** What to make, and of what. */
export interface PackageOptions {
  /** Folder of the checkout, with its dependencies installed. */
  readonly root: string;
  readonly lock: LockFile;
  readonly commit: string;
  /** Text with the licences of all that is inside. */
  readonly licences: string;
  /** Where the archive goes. */
  readonly archiveFolder: string;
}

/**
 * Leaves the package's folder in `dist/npm`, too. All that Paastis needs is inside, as the lock file has it, but for the
 * program of Bun: of its packages for all systems an installer takes the one that fits. They run no scripts.
 * @returns the name of the archive
 */
export async function makePackage(options: PackageOptions): Promise<string> {
  const { root, lock, commit, licences, archiveFolder } = options;
  const out = join(root, "dist/npm");
  rmSync(out, { recursive: true, force: true });
  mkdirSync(join(out, "bin"), { recursive: true });
  await bundle(root, commit, join(out, "lib"));
  await declareTypes(root, join(out, "types"));
  cpSync(join(root, "release/npm/paastis.js"), join(out, "bin/paastis.js"));
  writeFileSync(join(out, "bin/bunfig.toml"), "# Instead of the one in the working directory.\n");
  cpSync(join(root, "release/npm/needs-bun.js"), join(out, "lib/needs-bun.js"));
  cpSync(join(root, "release/npm/README.md"), join(out, "README.md"));
  for (const name of ["LICENSE", "CHANGELOG.md"]) cpSync(join(root, name), join(out, name));
  writeFileSync(join(out, "THIRD-PARTY-LICENCES.txt"), licences);
  writeFileSync(join(out, "package.json"), `${JSON.stringify(manifest(lock), null, 2)}\n`);
  const words = ["npm", "pack", "--silent", `--pack-destination=${archiveFolder}`];
  const archive = await run(words, { cwd: out });
  return archive.trim().split("\n").at(-1) ?? "";
}

/** The `package.json` of the package. Pure. */
function manifest({ packages }: LockFile): Readonly<Record<string, unknown>> {
  const { name, version, description, license } = own;
  const runtimes = packages.filter((one) => TARGETS.some(({ runtime }) => runtime === one.name));
  const entry = (path: string) => ({
    types: `./types/${path}.d.ts`,
    bun: `./lib/${path}.js`,
    default: "./lib/needs-bun.js",
  });
  return {
    ...{ name, version, description, license },
    keywords: ["reverse-proxy", "scale-to-zero", "sleep", "wake", "paas"],
    type: "module",
    bin: { paastis: "bin/paastis.js" },
    exports: {
      ".": entry("library"),
      "./provider": entry("providers/provider"),
      "./package.json": "./package.json",
    },
    types: "./types/library.d.ts",
    files: ["bin", "lib", "types", "CHANGELOG.md", "THIRD-PARTY-LICENCES.txt"],
    engines: { node: ">=18" },
    optionalDependencies: Object.fromEntries(runtimes.map((one) => [one.name, one.version])),
  };
}

/** Everything that several entries share stands once, so that an error of one is an error of the other. */
async function bundle(root: string, commit: string, out: string): Promise<void> {
  const entries = ["main.ts", ...LIBRARY_ENTRIES].map((entry) => join("src", entry));
  const how = ["--target=bun", "--format=esm", "--splitting", "--minify-syntax", "--root=src"];
  const bundler = [process.execPath, "--no-install", "build", ...how, ...definitions(commit)];
  await run([...bundler, `--outdir=${out}`, ...entries], { cwd: root });
}

/** Declarations of the entries, and of all that these speak of. */
async function declareTypes(root: string, out: string): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "paastis-types-"));
  try {
    const project = join(scratch, "tsconfig.json");
    const compilerOptions = {
      ...{ noEmit: false, emitDeclarationOnly: true, declaration: true, noCheck: true },
      ...{ rootDir: root, outDir: join(scratch, "out"), typeRoots: [join(root, "node_modules")] },
    };
    const files = [...LIBRARY_ENTRIES, "pages/text-files.d.ts"].map((name) =>
      join(root, "src", name),
    );
    const settings = { extends: join(root, "tsconfig.json"), compilerOptions, files, include: [] };
    writeFileSync(project, JSON.stringify(settings));
    await run([join(root, "node_modules/.bin/tsc"), "--project", project], { cwd: root });
    copyReached(join(scratch, "out/src"), out);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function copyReached(from: string, to: string): void {
  const reached = new Set(LIBRARY_ENTRIES);
  for (const path of reached) {
    const text = readFileSync(join(from, path.replace(/\.ts$/, ".d.ts")), "utf8");
    const written = text.replace(/(?<=from "|import\(")(\.[^"]+)\.ts(?=")/g, (_, name: string) => {
      reached.add(join(dirname(path), `${name}.ts`));
      return `${name}.js`;
    });
    const file = join(to, path.replace(/\.ts$/, ".d.ts"));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, withoutPackages(written));
  }
}

/** Packages are inside of ours and cannot be imported: what is theirs is nothing that a program could look into. */
function withoutPackages(declarations: string): string {
  const imports = /^import (?:type )?\{([^}]*)\} from "(?!\.|node:|bun")[^"]+";$/gm;
  return declarations.replace(imports, (_, names: string) =>
    names
      .split(",")
      .map((name) => name.trim().replace(/^type /, ""))
      .map((name) => `type ${name.split(" as ").at(-1)} = unknown;`)
      .join("\n"),
  );
}
