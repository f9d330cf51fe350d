/**
 * `npm run release:check`: what `npm run release` has left in `dist`, tried as somebody would who has nothing else of
 * ours. Takes about two minutes and needs the registry of packages, so that it is no part of `npm test`.
 */

import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import own from "../../package.json" with { type: "json" };
import { compile } from "../../release/compile.ts";
import { run } from "../../release/run.ts";
import { fileNameOf, ownTarget, TARGETS } from "../../release/targets.ts";
import { startPackageRegistry } from "../support/package-registry.ts";
import { tempDir } from "../support/temp-dir.ts";
import { until } from "../support/until.ts";

const ROOT = resolve(import.meta.dir, "../..");
const RELEASE = join(ROOT, "dist/release");
const ARCHIVE = join(RELEASE, `paastis-${own.version}.tgz`);
const made = TARGETS.filter((target) => existsSync(join(RELEASE, fileNameOf(target))));
const target = ownTarget();
if (target === null || !made.includes(target)) throw new Error("Run `npm run release` first");
const executable = join(RELEASE, fileNameOf(target));
/** What is needed to be let through to the registry, and nothing else of whoever runs this. */
const NETWORK = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];
const VERSION = new RegExp(`^${own.version.replaceAll(".", "\\.")} \\(commit \\S+\\)\\n$`);

function plainEnvironment(home: string): Record<string, string> {
  const network = NETWORK.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  });
  return { PATH: process.env.PATH ?? "", HOME: home, ...Object.fromEntries(network) };
}

test("release: SHA256SUMS has every other file, with its sum", () => {
  const lines = readFileSync(join(RELEASE, "SHA256SUMS"), "utf8").trimEnd().split("\n");
  const names = readdirSync(RELEASE).filter((name) => name !== "SHA256SUMS");
  const sums = names.toSorted().map((name) => {
    const sum = createHash("sha256")
      .update(readFileSync(join(RELEASE, name)))
      .digest("hex");
    return `${sum}  ${name}`;
  });
  expect(lines).toEqual(sums);
});

/** First bytes of a program, and those that name the processor. */
const FORMATS: Readonly<Record<string, readonly [magic: string, at: number, machine: string]>> = {
  // ELF: e_machine, https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
  "linux-x64": ["7f454c46", 18, "3e00"],
  "linux-arm64": ["7f454c46", 18, "b700"],
  // Mach-O: cputype, <mach/machine.h>
  "macos-x64": ["cffaedfe", 4, "07000001"],
  "macos-arm64": ["cffaedfe", 4, "0c000001"],
  "windows-x64": ["4d5a", 0, "4d5a"],
};

test.each(made)("release: $name is a program for that system", async (one) => {
  const [magic, at, machine] = FORMATS[one.name.replace("-musl", "")] ?? ["", 0, ""];
  const head = Buffer.from(
    await Bun.file(join(RELEASE, fileNameOf(one)))
      .slice(0, 4096)
      .bytes(),
  );
  expect(head.subarray(0, magic.length / 2).toString("hex")).toBe(magic);
  expect(head.subarray(at, at + machine.length / 2).toString("hex")).toBe(machine);
  if (one.name.startsWith("linux")) {
    expect(head.includes("ld-musl-")).toBe(one.name.endsWith("-musl"));
  }
});

const signed = made.filter(({ name }) => name.startsWith("macos"));

test.each(signed)("release: every page of $name has the hash that its signature says", (one) => {
  const bytes = readFileSync(join(RELEASE, fileNameOf(one)));
  const commands = bytes.subarray(32, 32 + bytes.readUInt32LE(20));
  const marks = Array.from({ length: commands.length / 4 }, (_, index) => index * 4);
  // LC_CODE_SIGNATURE, 16 bytes long: where it begins, and its length. It ends with the file.
  const at = marks.find((mark) => {
    const [command, length] = [commands.readUInt32LE(mark), commands.readUInt32LE(mark + 4)];
    return command === 0x1d && length === 16;
  });
  const start = commands.readUInt32LE((at ?? 0) + 8);
  expect(start + commands.readUInt32LE((at ?? 0) + 12)).toBe(bytes.length);
  const directory = bytes.subarray(start + bytes.readUInt32BE(start + 16));
  const [hashesAt, slots] = [directory.readUInt32BE(16), directory.readUInt32BE(28)];
  expect(directory.readUInt32BE(32)).toBe(start);
  const wrong = Array.from({ length: slots }, (_, slot) => slot).filter((slot) => {
    const page = bytes.subarray(slot * 4096, Math.min((slot + 1) * 4096, start));
    const hash = directory.subarray(hashesAt + slot * 32, hashesAt + (slot + 1) * 32);
    return !createHash("sha256").update(page).digest().equals(hash);
  });
  expect([slots, wrong]).toEqual([Math.ceil(start / 4096), []]);
});

test("release: no executable says where it was made", async () => {
  for (const one of made) {
    const bytes = Buffer.from(await Bun.file(join(RELEASE, fileNameOf(one))).bytes());
    expect({ name: one.name, says: bytes.includes(`${ROOT}/`) }).toEqual({
      name: one.name,
      says: false,
    });
  }
});

test("release: another folder, home, time zone and language give the same bytes", async () => {
  using other = tempDir();
  for (const name of [
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "src",
    "node_modules",
  ]) {
    cpSync(join(ROOT, name), other.file(`a b/c/${name}`), {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
  const commit =
    /commit (\S+?)\)/.exec(await run([executable, "--version"], { env: {} }))?.[1] ?? "";
  const full = JSON.parse(readFileSync(join(RELEASE, "paastis.cdx.json"), "utf8")).metadata
    .component.properties[0].value as string;
  expect(full.startsWith(commit.replace("-dirty", ""))).toBe(true);
  const { HOME, TZ, LANG } = process.env;
  Object.assign(process.env, { HOME: other.path, TZ: "Asia/Tokyo", LANG: "de_DE.UTF-8" });
  try {
    const outFile = other.file("out/again");
    const root = other.file("a b/c");
    await compile({ root, target: null, runtime: null, commit: full, outFile });
    expect(Buffer.from(await Bun.file(outFile).bytes()).equals(readFileSync(executable))).toBe(
      true,
    );
  } finally {
    for (const [name, value] of Object.entries({ HOME, TZ, LANG })) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
});

/** Starts a program that is Paastis, and asks it for what it should have inside. */
async function tryOut(
  command: readonly string[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Promise<void> {
  const { cwd } = options;
  writeFileSync(
    join(cwd, "paastis.yml"),
    "apps: { far: { targets: ['http://127.0.0.1:1'], wake_timeout: 60 } }\n",
  );
  // What lies around must not be run.
  writeFileSync(join(cwd, "bunfig.toml"), 'preload = ["./preloaded.ts"]\n');
  writeFileSync(join(cwd, "preloaded.ts"), 'require("node:fs").writeFileSync("ran", "");\n');
  const env = { ...options.env, PROVIDER_NAME: "http", HOST: "127.0.0.1", PORT: "0" };
  const child = Bun.spawn([...command], { cwd, env, stdin: "ignore", stdout: "pipe" });
  let log = "";
  const reading = (async () => {
    for await (const piece of child.stdout) log += Buffer.from(piece).toString();
  })();
  try {
    await until(() => /"msg":"listening on /.test(log));
    const address = /"address":"([^"]+)"/.exec(log)?.[1];
    const browser = { host: "far.example", accept: "text/html", "sec-fetch-mode": "navigate" };
    const page = await fetch(`${address}/`, { headers: browser });
    expect([page.status, page.headers.get("paastis-error")]).toEqual([503, "app_waking"]);
    expect(await page.text()).toContain("<html");
    const dashboard = await fetch(`${address}/__/`, { headers: { accept: "text/html" } });
    expect(dashboard.headers.get("content-type")).toContain("text/html");
    expect(await dashboard.text()).toContain("<html");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
    await reading;
  }
  expect(existsSync(join(cwd, "ran"))).toBe(false);
}

test("release: the executable works in an empty folder with an empty environment", async () => {
  using folder = tempDir();
  const program = folder.file("paastis");
  cpSync(executable, program);
  chmodSync(program, 0o755);
  expect(await run([program, "--version"], { cwd: folder.path, env: {} })).toMatch(VERSION);
  await tryOut([program], { cwd: folder.path, env: {} });
  const files = ["paastis", "paastis.yml", "bunfig.toml", "preloaded.ts", ".paastis"].toSorted();
  expect(readdirSync(folder.path).toSorted()).toEqual(files);
});

test("package: npm installs it in an empty folder, without scripts, and it runs", async () => {
  using folder = tempDir();
  using home = tempDir();
  const env = plainEnvironment(home.path);
  const words = ["--no-audit", "--no-fund", "--ignore-scripts", ARCHIVE];
  await run(["npm", "install", ...words], { cwd: folder.path, env });
  const command = join(folder.path, "node_modules/.bin/paastis");
  expect(await run([command, "--version"], { cwd: folder.path, env })).toMatch(VERSION);
  expect(await run(["npx", "paastis", "--version"], { cwd: folder.path, env })).toMatch(VERSION);
  await tryOut([command], { cwd: folder.path, env });
});

test("package: npx and bunx run it from a registry, bunx also where there is no Node", async () => {
  using folder = tempDir();
  using home = tempDir();
  const manifest = JSON.parse(readFileSync(join(ROOT, "dist/npm/package.json"), "utf8"));
  using registry = await startPackageRegistry(ARCHIVE, manifest);
  const env = {
    ...plainEnvironment(home.path),
    npm_config_registry: registry.url,
    BUN_CONFIG_REGISTRY: registry.url,
  };
  const cwd = folder.path;
  expect(await run(["npx", "--yes", "paastis", "--version"], { cwd, env })).toMatch(VERSION);
  // Nothing but Bun, under its two names, and what a system has anyway.
  for (const name of ["bun", "bunx"]) symlinkSync(process.execPath, home.file(name));
  for (const name of ["sh", "env"]) symlinkSync(Bun.which(name) ?? "", home.file(name));
  const bare = { ...env, PATH: home.path };
  expect(await run([home.file("bunx"), "paastis", "--version"], { cwd, env: bare })).toMatch(
    VERSION,
  );
});

test("package: the program of its README is right in types, and works", async () => {
  using folder = tempDir();
  using home = tempDir();
  const env = plainEnvironment(home.path);
  const cwd = folder.path;
  const readme = readFileSync(join(ROOT, "dist/npm/README.md"), "utf8");
  const program = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const imports = program.split("\n").filter((line) => line.startsWith("import "));
  const rest = program
    .replace('"3000"', '"0", LOGGING_LEVEL: "silent"')
    .replace("/var/lib/mine", ".data");
  writeFileSync(
    folder.file("own.ts"),
    `${imports.join("\n")}
let server: Bun.Server<undefined> | null = null;
const machine = {
  get isUp() {
    return server !== null;
  },
  async start() {
    server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("mine") });
    Object.assign(target, { origin: server.url.origin, host: server.url.host });
    return true;
  },
  async stop() {
    await server?.stop(true);
  },
};
${rest.replace(/^import .*$/gm, "")}
const url = "http://127.0.0.1:" + paastis.port;
const answer = await fetch(url, { headers: { host: "shop.example" } });
console.log(answer.status, await answer.text());
await machine.stop();
`,
  );
  writeFileSync(folder.file("package.json"), '{ "type": "module", "private": true }');
  const compilerOptions = {
    ...{ module: "nodenext", target: "esnext", lib: ["esnext"], strict: true, noEmit: true },
    types: ["bun-types"],
  };
  writeFileSync(
    folder.file("tsconfig.json"),
    JSON.stringify({ compilerOptions, files: ["own.ts"] }),
  );
  const words = ["--no-audit", "--no-fund", ARCHIVE];
  await run(["npm", "install", ...words], { cwd, env });
  symlinkSync(join(ROOT, "node_modules/bun-types"), folder.file("node_modules/bun-types"));
  await run([join(ROOT, "node_modules/.bin/tsc"), "--project", cwd], { cwd, env });
  const said = await run([process.execPath, "--no-install", "own.ts"], { cwd, env });
  expect(said).toContain("200 mine\n");
  const wrong = await run(
    ["node", "--eval", 'import("paastis").catch((e) => console.log(e.message))'],
    {
      cwd,
      env,
    },
  );
  expect(wrong).toContain("on Bun only");
});
