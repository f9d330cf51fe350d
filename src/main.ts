/** The entry: command line arguments to an exit status. */

import { reexecForServing } from "./cli/reexec.ts";

reexecForServing(process);

// Imported only now: until here the process may be about to be replaced.
const { runCommandLine } = await import("./cli/run.ts");
const { surroundingsOf } = await import("./cli/surroundings.ts");

const surroundings = surroundingsOf(process);
process.exit(await surroundings.finish(await runCommandLine(process.argv.slice(2), surroundings)));
