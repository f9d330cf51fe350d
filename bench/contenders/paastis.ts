/** Paastis, the real program with all that is on by default, before one upstream. */

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { firstLineOf } from "../machine.ts";
import { type MeasuredProcess, startPinned } from "../measured-process.ts";
import type { Contender } from "./contender.ts";

/** An engine. */
export type Engine = "socket" | "fetch";

/** One of its engines as a contender. @param program path of the executable */
export function paastis(program: string, engine: Engine): Contender {
  return {
    name: engine,
    version: existsSync(program) ? firstLineOf([program, "--version"]) : null,
    remedy: "npm run build",
    start: ({ upstreamPort, ...place }) =>
      startPaastis({
        ...place,
        program,
        engine,
        config: `apps:\n  bench:\n    targets: ['http://127.0.0.1:${upstreamPort}']\n`,
      }),
  };
}

/** Starts it. */
export function startPaastis(options: {
  readonly core: number;
  readonly folder: string;
  readonly port: number;
  readonly program: string;
  readonly engine: Engine;
  /** Text of paastis.yml. */
  readonly config: string;
  /** Settings besides. */
  readonly environment?: Readonly<Record<string, string>>;
}): MeasuredProcess {
  const { core, folder, port, program, engine } = options;
  mkdirSync(folder);
  writeFileSync(join(folder, "paastis.yml"), options.config);
  return startPinned({
    core,
    folder,
    command: [program],
    environment: {
      PROVIDER_NAME: "http",
      HOST: "127.0.0.1",
      PORT: String(port),
      DATA_DIR: join(folder, "data"),
      ENGINE: engine,
      LOGGING_LEVEL: "warn",
      // As long as the others keep them, so that nobody pays for connections made anew.
      SERVER_KEEPALIVE_TIMEOUT: "300000",
      ...options.environment,
    },
  });
}
