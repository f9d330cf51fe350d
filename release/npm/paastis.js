#!/usr/bin/env node
/** Starts Paastis by the Bun that was installed along with it. Runs on Node and on Bun. */

import { spawn } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
/** The status of a program that cannot be run, sysexits(3). */
const EX_UNAVAILABLE = 69;

/** Names of the packages that may hold the program of Bun for this machine, the likeliest first. */
function candidates() {
  const system = process.platform === "win32" ? "windows" : process.platform;
  const cpu = process.arch === "arm64" ? "aarch64" : process.arch;
  const name = `@oven/bun-${system}-${cpu}`;
  if (system !== "linux") return [name];
  // The loaders of GNU's C library; some systems have musl's as well.
  const hasGlibc = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"].some(existsSync);
  return hasGlibc ? [name, `${name}-musl`] : [`${name}-musl`, name];
}

/** The file, or `null`. */
function findBun() {
  const program = process.platform === "win32" ? "bun.exe" : "bun";
  const own = process.versions.bun === undefined ? [] : [process.execPath];
  // The package `bun`, where something else needs it, moves the program of ours into itself.
  const files = [...candidates().map((name) => [name, program]), ["bun", "bun.exe"]];
  return [...files.flatMap(([name, file]) => fileOf(name, file)), ...own].find(isProgram) ?? null;
}

/** A file in a package's folder `bin`; none where the package is not installed. */
function fileOf(name, file) {
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    return [join(dirname(manifest), "bin", file)];
  } catch {
    return [];
  }
}

/** The package `bun` has a small text in its place until its script has run. */
function isProgram(file) {
  return (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 1_000_000;
}

function start(bun) {
  const args = [
    "--no-install",
    // What lies in the folder that it is started in is not for the runtime.
    "--no-env-file",
    `--config=${join(ROOT, "bin", "bunfig.toml")}`,
    "--max-http-header-size=65536",
    join(ROOT, "lib", "main.js"),
    ...process.argv.slice(2),
  ];
  try {
    // From here on this process is Bun: signals, exit status and process id are its own.
    process.execve?.(bun, [bun, ...args], process.env);
  } catch {
    // Older Nodes and Windows cannot; a child does as well.
  }
  const child = spawn(bun, args, { stdio: "inherit" });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"])
    process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`Cannot run ${bun}: ${error.message}\n`);
    process.exit(EX_UNAVAILABLE);
  });
  child.on("exit", (status, signal) => process.exit(status ?? 128 + constants.signals[signal]));
}

const bun = findBun();
if (bun === null) {
  process.stderr.write(
    `Paastis needs Bun, and ${candidates().join(" or ")} is not installed: install again with optional dependencies\n`,
  );
  process.exitCode = EX_UNAVAILABLE;
} else {
  start(bun);
}
