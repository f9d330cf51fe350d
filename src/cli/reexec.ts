/** Starts the program once more with the settings that the runtime only reads from its real environment. */

import { existsSync } from "node:fs";
import { PREDECESSOR_VARIABLE } from "../restart/messages.ts";
import type { Image } from "../restart/successor.ts";
import { RUNTIME_VARIABLES } from "../runtime-variables.ts";

/** The part of `process` that is used here. */
export interface ThisProcess {
  readonly argv: readonly string[];
  readonly execArgv: readonly string[];
  readonly execPath: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** There where another process has the other end of a channel. */
  readonly send?: unknown;
  execve?(file: string, args: readonly string[], env: NodeJS.ProcessEnv): never;
}

/** First arguments with which something is served, besides flags of `serve`; the others answer sooner without this. */
const SERVING = new Set(["", "serve"]);
/** Flags that are not those of `serve`. */
const QUICK_FLAGS = new Set(["--help", "-h", "--version", "-V"]);

/**
 * Replaces this process image by a new one, same process id, in whose environment the runtime finds
 * `RUNTIME_VARIABLES`. Returns when that is not needed, not possible, or done already, which shows in all of
 * them being set; what the user set stays. Costs about 5 ms.
 * Source: measured with Bun 1.4.5; variables set while it runs have no effect on its HTTP client.
 */
export function reexecForServing(self: ThisProcess): void {
  const [first = ""] = self.argv.slice(2);
  const isDone = Object.keys(RUNTIME_VARIABLES).every((name) => self.env[name] !== undefined);
  const isServing = SERVING.has(first) || (first.startsWith("-") && !QUICK_FLAGS.has(first));
  // The channel to the process whose place it takes would be lost: an older one may not know all of these.
  const isSuccessor = self.send !== undefined && self.env[PREDECESSOR_VARIABLE] !== undefined;
  if (isDone || !isServing || isSuccessor) return;
  try {
    self.execve?.(self.execPath, [self.execPath, ...argumentsOf(self)], {
      ...RUNTIME_VARIABLES,
      ...self.env,
    });
  } catch {
    // Without them at most 256 requests are forwarded at a time: worse, but better than not to start.
    return;
  }
}

/** What to start this program with again. */
function argumentsOf(self: Pick<ThisProcess, "argv" | "execArgv">): readonly string[] {
  const [, script = "", ...rest] = self.argv;
  // The executable's own script is inside it (`/$bunfs/root/paastis`) and is not passed.
  return script.startsWith("/$bunfs/") ? rest : [...self.execArgv, script, ...rest];
}

/** How this very program is started as another process. */
export function imageOf(self: Omit<ThisProcess, "execve"> & { readonly pid: number }): Image {
  const { execPath, env: environment, pid } = self;
  return { executable: nameOf(execPath), args: argumentsOf(self), environment, pid };
}

/** Linux puts this behind the name of what runs once another file has that name, or none (proc(5)). */
const GONE = " (deleted)";

/** Where the next program will be. */
function nameOf(execPath: string): string {
  const isGone = execPath.endsWith(GONE) && !existsSync(execPath);
  return isGone ? execPath.slice(0, -GONE.length) : execPath;
}
