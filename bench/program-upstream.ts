/** Starts `upstream-program.ts` on the core of the load. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Bench } from "./bench-world.ts";
import { freePort, LOAD_CORE } from "./machine.ts";
import { startPinned } from "./measured-process.ts";

/** It runs. */
export interface ProgramUpstream extends AsyncDisposable {
  readonly port: number;
}

/** Starts it. */
export function startProgramUpstream(bench: Bench): ProgramUpstream {
  const folder = bench.freshFolder("upstream");
  mkdirSync(folder);
  const port = freePort();
  const program = join(import.meta.dir, "upstream-program.ts");
  const upstream = startPinned({
    core: LOAD_CORE,
    folder,
    command: [process.execPath, "--no-install", program],
    environment: { PORT: String(port) },
  });
  return { port, [Symbol.asyncDispose]: () => upstream[Symbol.asyncDispose]() };
}
