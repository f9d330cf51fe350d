/** Runs a verb of the command line in this process, as if through pipes: a process of its own costs a second of a busy machine. */

import { runCommandLine } from "../../src/cli/run.ts";

/** Not for `serve`, which goes on. What reads the process's own environment or arguments is not shown by this. */
export async function runVerb(
  args: readonly string[],
  given: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Promise<{ readonly out: string; readonly err: string; readonly status: number }> {
  let [out, err] = ["", ""];
  const status = await runCommandLine(args, {
    environment: { PATH: process.env.PATH, ...given.env },
    workingDirectory: given.cwd,
    columns: { out: null, err: null },
    writeOut(text) {
      out += text;
    },
    writeErr(text) {
      err += text;
    },
  });
  return { out, err, status };
}
