/** Runs a program of somebody else's to its end, with a clean environment and a time limit. */

import { tempDir } from "./temp-dir.ts";

/** How it went. */
export interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run it. */
export interface RunOptions {
  readonly cwd?: string;
  /** On top of `PATH`, an empty `HOME` and `LANG=C`: nothing of whoever runs the tests. */
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string | Uint8Array<ArrayBuffer>;
  /** A status other than 0 is what the test is about. */
  readonly mayFail?: boolean;
}

/** Far longer than any of them takes. */
const LIMIT_MS = 30_000;

/** @throws Error with all that it printed when its status is not 0, unless `mayFail` */
export async function runCommand(
  argv: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  using home = tempDir();
  const child = Bun.spawn([...argv], {
    cwd: options.cwd ?? home.path,
    env: { PATH: process.env.PATH ?? "", HOME: home.path, LANG: "C", ...options.env },
    stdin: options.stdin === undefined ? "ignore" : new Blob([options.stdin]),
    stdout: "pipe",
    stderr: "pipe",
    timeout: LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, status] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  if (status !== 0 && options.mayFail !== true) {
    throw new Error(`${argv.join(" ")}: status ${status}\n${stdout}\n${stderr}`);
  }
  return { status, stdout, stderr };
}
