/** The systems that executables are made for. */

/** One of them. */
export interface Target {
  /** Behind `paastis-` in the name of its executable. */
  readonly name: string;
  /** What the bundler calls it. */
  readonly bun: string;
  /** The package that holds its runtime; which version of it, and its hash, stand in the lock file. */
  readonly runtime: string;
  /** Its executables end like this. */
  readonly suffix: "" | ".exe";
}

/** All of them, in the order in which they are built. */
export const TARGETS: readonly Target[] = [
  target("linux-x64", "linux-x64"),
  target("linux-x64-musl", "linux-x64-musl"),
  target("linux-arm64", "linux-aarch64"),
  target("linux-arm64-musl", "linux-aarch64-musl"),
  target("macos-x64", "darwin-x64"),
  target("macos-arm64", "darwin-aarch64"),
  target("windows-x64", "windows-x64"),
];

/** The name of a target's executable. */
export function fileNameOf({ name, suffix }: Target): string {
  return `paastis-${name}${suffix}`;
}

/**
 * Those of these names, in the usual order; without a name all. `own` is this machine's.
 * @throws Error when a name is none of a target's
 */
export function targetsNamed(given: readonly string[]): readonly Target[] {
  const names = given.map((name) => (name === "own" ? (ownTarget()?.name ?? name) : name));
  const unknown = names.filter((name) => !TARGETS.some((target) => target.name === name));
  if (unknown.length > 0) {
    const known = TARGETS.map(({ name }) => name).join(", ");
    throw new Error(`There is no target ${unknown.join(", ")}; there are ${known}`);
  }
  return names.length === 0 ? TARGETS : TARGETS.filter(({ name }) => names.includes(name));
}

/** The target that executables for this very machine are; `null`: there is none. */
export function ownTarget(): Target | null {
  const { platform, arch } = process;
  const system = { darwin: "macos", linux: "linux", win32: "windows" }[platform as string];
  const isMusl = platform === "linux" && hasMusl();
  return TARGETS.find(({ name }) => name === `${system}-${arch}${isMusl ? "-musl" : ""}`) ?? null;
}

/** musl's loader is its C library, and lies where every program for it looks. */
function hasMusl(): boolean {
  return [...new Bun.Glob("ld-musl-*").scanSync({ cwd: "/lib", onlyFiles: false })].length > 0;
}

function target(name: string, runtime: string): Target {
  const suffix = name.startsWith("windows") ? ".exe" : "";
  return { name, bun: `bun-${runtime}`, runtime: `@oven/bun-${runtime}`, suffix };
}
