/** `http-proxy` of npm, on Node, as a proxy before the upstream. */

import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findCommand, firstLineOf } from "../machine.ts";
import { type MeasuredProcess, startPinned } from "../measured-process.ts";
import type { Contender, Place } from "./contender.ts";

/** It as a contender. @param modules a folder to look into where ours have it not */
export function httpProxy(modules: string | null): Contender {
  const node = findCommand("node");
  const module = findModule(modules);
  return {
    name: "http-proxy",
    version: node === null || module === null ? null : versionOf(module, node),
    remedy: "npm ci, and a node in the PATH",
    start: (place) => start(node ?? "node", module ?? "http-proxy", place),
  };
}

/** The file that is to be imported. */
function findModule(modules: string | null): string | null {
  const parents = [import.meta.dir, ...(modules === null ? [] : [modules])];
  for (const parent of parents) {
    try {
      return fileURLToPath(import.meta.resolve("http-proxy", join(parent, "any.ts")));
    } catch {
      // The next place may have it.
    }
  }
  return null;
}

function versionOf(module: string, node: string): string {
  const file = join(dirname(module), "package.json");
  // A package.json has a version.
  const { version } = JSON.parse(readFileSync(file, "utf8")) as { readonly version: string };
  return `${version} on Node ${firstLineOf([node, "--version"])}`;
}

function start(node: string, module: string, place: Place): MeasuredProcess {
  const { core, folder, port, upstreamPort } = place;
  mkdirSync(folder);
  const program = join(import.meta.dir, "http-proxy-server.mjs");
  return startPinned({
    core,
    folder,
    command: [node, "--no-deprecation", program, module, String(port), String(upstreamPort)],
    environment: { NODE_ENV: "production" },
  });
}
