/** Paastis, the real program, before one upstream. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type MeasuredProcess, startPinned } from "./measured-process.ts";

/** Starts it with one app, `bench`, that never sleeps. */
export function startPaastis(options: {
  readonly core: number;
  readonly folder: string;
  readonly port: number;
  readonly upstreamPort: number;
  readonly engine: "socket" | "fetch";
  /** The program and its first arguments, such as `["dist/paastis"]`. */
  readonly program: readonly string[];
  /** Settings besides. */
  readonly environment?: Readonly<Record<string, string>>;
}): MeasuredProcess {
  const { folder, port, upstreamPort, engine } = options;
  mkdirSync(folder);
  const target = `http://127.0.0.1:${upstreamPort}`;
  writeFileSync(
    join(folder, "paastis.yml"),
    `apps:\n  bench:\n    provider: http\n    targets: ['${target}']\n`,
  );
  return startPinned({
    core: options.core,
    folder,
    command: options.program,
    environment: {
      PROVIDER_NAME: "http",
      HOST: "127.0.0.1",
      PORT: String(port),
      DATA_DIR: join(folder, "data"),
      ENGINE: engine,
      LOGGING_LEVEL: "warn",
      ...options.environment,
    },
  });
}
