/** What a release is made of, as far as it takes no time; `npm run release:check` looks at the release itself. */

import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import own from "../package.json" with { type: "json" };
import { billOfMaterials } from "../release/bill-of-materials.ts";
import { findPackage, readLockFile } from "../release/lock-file.ts";
import { run } from "../release/run.ts";
import { readStamp } from "../release/stamp.ts";
import { ownTarget, TARGETS, targetsNamed } from "../release/targets.ts";
import { describeVersion } from "../src/version.ts";
import { EXECUTABLE } from "./support/start-paastis.ts";
import { tempDir } from "./support/temp-dir.ts";

const ROOT = resolve(import.meta.dir, "..");
const HASH = "0123456789abcdef0123456789abcdef01234567";
const lock = readLockFile(ROOT);
const subject = {
  version: "1.2.3",
  commit: HASH,
  madeS: 1_700_000_000,
  inside: new Set(["node_modules/pino"]),
};

test("release: the executable says its version and its commit", async () => {
  using folder = tempDir();
  const said = await run([EXECUTABLE, "--version"], { cwd: folder.path, env: {} });
  expect(said).toMatch(/^\d+\.\d+\.\d+ \(commit (?:[0-9a-f]{12}(?:-dirty)?|unknown)\)\n$/);
  expect(readdirSync(folder.path)).toEqual([]);
});

test.each([
  [HASH, "0123456789ab"],
  [`${HASH}-dirty`, "0123456789ab-dirty"],
  ["unknown", "unknown"],
])("release: the commit %s is shown as %s", (commit, shown) => {
  expect(describeVersion(commit)).toBe(`${own.version} (commit ${shown})`);
});

test("release: the commit is the variable's, else git's, marked where files differ, else unknown", async () => {
  using folder = tempDir();
  const { path } = folder;
  const env = { PAASTIS_COMMIT: HASH, SOURCE_DATE_EPOCH: "12" };
  expect(await readStamp(path, env)).toEqual({ commit: HASH, madeS: 12 });
  expect(await readStamp(path, {})).toEqual({ commit: "unknown", madeS: null });
  const git = ["git", "-C", path, "-c", "user.name=t", "-c", "user.email=t@example.org"];
  await run([...git, "init", "--quiet"]);
  await Bun.write(folder.file("a"), "a");
  await run([...git, "add", "a"]);
  await run([...git, "commit", "--quiet", "--message=a", "--date=@1700000000"]);
  const clean = await readStamp(path, {});
  expect(clean.commit).toMatch(/^[0-9a-f]{40}$/);
  expect(clean.madeS).toBeGreaterThan(1_000_000_000);
  await Bun.write(folder.file("a"), "b");
  expect((await readStamp(path, {})).commit).toBe(`${clean.commit}-dirty`);
  await Bun.write(folder.file("inner/c"), "c");
  expect((await readStamp(folder.file("inner"), {})).commit).toBe("unknown");
  await expect(readStamp(path, { SOURCE_DATE_EPOCH: "soon" })).rejects.toThrow("it is soon");
});

test("release: the runtime of every target stands in the lock file with its hash, at Bun's own version", () => {
  const bun = findPackage(lock, "bun", "");
  for (const { runtime } of TARGETS) {
    const locked = findPackage(lock, runtime, "");
    expect({ runtime, version: locked?.version }).toEqual({ runtime, version: bun?.version });
    expect(locked?.integrity).toMatch(/^sha512-/);
  }
});

test("release: targets are named, and a wrong name says which there are", () => {
  expect(targetsNamed([])).toEqual(TARGETS);
  expect(targetsNamed(["macos-arm64", "linux-x64"]).map(({ name }) => name)).toEqual([
    "linux-x64",
    "macos-arm64",
  ]);
  expect(() => targetsNamed(["linux-amd64"])).toThrow("linux-amd64; there are linux-x64, ");
  expect(targetsNamed(["own"])).toEqual(TARGETS.filter(({ name }) => name === ownTarget()?.name));
  expect(targetsNamed(["own"])).toHaveLength(1);
});

interface Bill {
  readonly serialNumber: string;
  readonly metadata: { readonly timestamp: string; readonly component: object };
  readonly components: readonly {
    readonly purl: string;
    readonly scope: string;
    readonly licenses: readonly object[];
    readonly hashes: readonly { readonly alg: string; readonly content: string }[];
  }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

test("release: the bill of materials has every locked package once, with licence and hash", () => {
  const bill = JSON.parse(billOfMaterials(lock, subject)) as Bill;
  const names = lock.packages.map(({ name, version }) => `${name.replace("@", "%40")}@${version}`);
  const purls = bill.components.map(({ purl }) => purl);
  expect(purls).toEqual([...new Set(names)].map((name) => `pkg:npm/${name}`).toSorted());
  for (const { hashes, licenses } of bill.components) {
    expect(hashes).toEqual([{ alg: "SHA-512", content: expect.stringMatching(/^[0-9a-f]{128}$/) }]);
    expect(licenses).toHaveLength(1);
  }
  const inside = bill.components.filter(({ scope }) => scope === "required");
  expect(inside.map(({ purl }) => purl)).toEqual([`pkg:npm/pino@${own.dependencies.pino}`]);
  expect(bill.metadata.timestamp).toBe("2023-11-14T22:13:20.000Z");
  const root = bill.dependencies.find(({ ref }) => ref === "pkg:npm/paastis@1.2.3");
  expect(root?.dependsOn).toHaveLength(Object.keys(own.dependencies).length);
});

test("release: the same release has the same bill of materials, another commit another one", () => {
  const text = billOfMaterials(lock, subject);
  expect(billOfMaterials(lock, subject)).toBe(text);
  const other = JSON.parse(billOfMaterials(lock, { ...subject, commit: "unknown" })) as Bill;
  expect(other.serialNumber).not.toBe((JSON.parse(text) as Bill).serialNumber);
});

const ignored = readFileSync(join(ROOT, ".dockerignore"), "utf8").split("\n");

test("image: all that it copies is there, and let through", () => {
  const copies = readFileSync(join(ROOT, "Dockerfile"), "utf8").matchAll(/^COPY (?!--)(.*) \S+$/gm);
  const names = [...copies].flatMap(([, sources = ""]) => sources.split(" "));
  expect(names).toContain("src");
  for (const name of names) {
    expect({ name, exists: existsSync(join(ROOT, name)) }).toEqual({ name, exists: true });
    expect(ignored).toContain(`!${name}`);
  }
});

test("image: nobody's program runs as root, and compose mounts what is there", () => {
  const file = readFileSync(join(ROOT, "Dockerfile"), "utf8");
  expect(file).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m);
  const compose = readFileSync(join(ROOT, "compose.yaml"), "utf8");
  const mounted = [...compose.matchAll(/(\.\/[\w./-]+):\//g)].map(([, path = ""]) => path);
  expect(mounted.length).toBeGreaterThan(1);
  for (const path of mounted) expect(existsSync(join(ROOT, path))).toBe(true);
  const sample = readFileSync(join(ROOT, "deploy/compose/env.sample"), "utf8");
  for (const [, name = ""] of compose.matchAll(/\$\{(\w+):\?/g))
    expect(sample).toContain(`${name}=`);
  expect(parse(compose, { merge: true }).services["paastis-2"].read_only).toBe(true);
});

interface Workflow {
  readonly jobs: Readonly<
    Record<
      string,
      { readonly steps?: readonly { readonly uses?: string; readonly run?: string }[] }
    >
  >;
}

const FLOWS = join(ROOT, ".github/workflows");

test.each(readdirSync(FLOWS))("workflow %s: actions are pinned, and its scripts exist", (name) => {
  const { jobs } = parse(readFileSync(join(FLOWS, name), "utf8")) as Workflow;
  const steps = Object.values(jobs).flatMap((job) => job.steps ?? []);
  for (const { uses } of steps) {
    if (uses !== undefined) expect(uses).toMatch(/^[\w-]+(\/[\w-]+)+@v\d+\.\d+\.\d+$/);
  }
  const said = steps.map((step) => step.run ?? "").join("\n");
  for (const [, script = ""] of said.matchAll(/npm run ([\w:-]+)/g)) {
    expect(Object.keys(own.scripts)).toContain(script);
  }
  for (const [file] of said.matchAll(/(?<=^|\s)\.ci\/\S+/gm)) {
    expect(existsSync(join(ROOT, file))).toBe(true);
  }
});
