/** The entry: command line arguments to an exit status. */

import { reexecForServing } from "./cli/reexec.ts";

reexecForServing(process);

// Imported only now: until here the process may be about to be replaced.
const { runCommandLine } = await import("./cli/run.ts");

process.exit(
  await runCommandLine(process.argv.slice(2), {
    environment: process.env,
    workingDirectory: process.cwd(),
    writeOut: (text) => process.stdout.write(text),
    writeErr: (text) => process.stderr.write(text),
  }),
);
