/** A process pinned to one core, and the processor time that it and its children have used. */

import { readFileSync } from "node:fs";
import type { Subprocess } from "bun";

/** Linux reports times in these, whatever the kernel ticks in: `getconf CLK_TCK`. */
const TICKS_PER_SECOND = 100;

/** A process under measurement. */
export interface MeasuredProcess extends AsyncDisposable {
  readonly pid: number;
  /** User and system time of all its threads and of its living children so far, s. */
  processorSeconds(): number;
  /** Why it has ended; `null` while it runs. */
  whyEnded(): string | null;
}

/**
 * Starts a command on one core. What it says on stderr is passed on, so that nothing fails silently.
 * @param options.core number of the core, as `taskset -c` takes it
 */
export function startPinned(options: {
  readonly core: number;
  readonly command: readonly string[];
  readonly folder: string;
  readonly environment?: Readonly<Record<string, string>>;
}): MeasuredProcess {
  const child = Bun.spawn(["taskset", "-c", String(options.core), ...options.command], {
    cwd: options.folder,
    env: { PATH: process.env.PATH ?? "", HOME: options.folder, ...options.environment },
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  return {
    pid: child.pid,
    processorSeconds: () => ticksOf(child.pid) / TICKS_PER_SECOND,
    whyEnded: () => whyEnded(child, options.command[0] ?? ""),
    [Symbol.asyncDispose]: () => end(child),
  };
}

function whyEnded(child: Subprocess, name: string): string | null {
  if (child.exitCode !== null) return `${name} ended with status ${child.exitCode}`;
  return child.signalCode === null ? null : `${name} was ended by ${child.signalCode}`;
}

async function end(child: Subprocess): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await child.exited;
  clearTimeout(timer);
}

/** `taskset` and our own start replace the process image, so the process id stays what it was. */
function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name stands in brackets and may hold anything; behind it come the numbered fields (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const own = Number(fields[11]) + Number(fields[12]);
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  if (children === "") return own;
  return children.split(" ").reduce((sum, childPid) => sum + ticksOf(Number(childPid)), own);
}
