/** The compiled program over restarts without a gap: whichever process it is by now. */

import { chmodSync, copyFileSync, linkSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  EXECUTABLE,
  isAlive,
  type LogLine,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "./start-paastis.ts";

/** One that is restarted. All its processes write into the same log. */
export interface Restartable extends RunningPaastis {
  /** Numbers of all its processes so far, the first one first. */
  readonly pids: readonly number[];
  /** The one that listens. */
  readonly newest: number;
  /** SIGUSR2. @returns once another process listens: its number */
  restart(): Promise<number>;
  /** Where its executable is, to be replaced. */
  readonly executable: string;
  /** Puts a shell script in its place, as a package manager would: beside it, then renamed. */
  replaceBy(script: string): void;
  /** Puts the real one in its place. */
  replaceByRealOne(): void;
  /** `paastis restart`. */
  runRestart(): Promise<{
    readonly status: number;
    readonly said: string;
    readonly complained: string;
  }>;
}

/** What the log says when a restart was refused, or has failed before anything changed. */
export const REFUSED = "cannot restart without a gap: this process goes on";
export const NOT_TAKEN = "another process cannot take this one's place";
const TAKEN = "another process has taken this one's place";

/** @param options.owns its executable is a file of its own, which may be replaced */
export async function startRestartable(
  options: Parameters<typeof startPaastis>[0] & { readonly owns?: boolean },
): Promise<Restartable> {
  const { owns = false, ...rest } = options;
  const folder = rest.folder ?? makeFolder();
  const executable = owns ? join(folder, "program") : EXECUTABLE;
  if (owns) place(executable, linkReal);
  // The script gets the executable of all tests as its `$0`, and starts this one.
  const through = owns ? ["/bin/sh", "-c", `exec '${executable}'`] : (rest.through ?? []);
  // The other engine cannot hand on its connections.
  const env = { ENGINE: "socket", ...rest.env };
  const paastis = await startPaastis({ ...rest, env, folder, through });
  const pids = [paastis.pid];
  const ties: ReturnType<typeof tieToUs>[] = [];
  const newest = () => pids.at(-1) ?? paastis.pid;
  return {
    ...paastis,
    pids,
    executable,
    get newest() {
      return newest();
    },
    signal: (name) => process.kill(newest(), name),
    async restart() {
      const from = paastis.lines.length;
      process.kill(newest(), "SIGUSR2");
      const line = await paastis.untilLine(({ msg }) => msg.startsWith(TAKEN), from);
      pids.push(Number(line.process));
      ties.push(tieToUs(newest()));
      return newest();
    },
    replaceBy: (script) =>
      place(executable, (path) => writeFileSync(path, `#!/bin/sh\n${script}\n`)),
    replaceByRealOne: () => place(executable, linkReal),
    async runRestart() {
      const command = Bun.spawn([EXECUTABLE, "restart"], {
        cwd: folder,
        env: { PATH: process.env.PATH ?? "" },
        stdout: "pipe",
        stderr: "pipe",
      });
      const [said, complained] = await Promise.all([command.stdout.text(), command.stderr.text()]);
      const status = await command.exited;
      noteTaken(paastis.lines, pids);
      return { status, said, complained };
    },
    async [Symbol.asyncDispose]() {
      noteTaken(paastis.lines, pids);
      for (const pid of pids.toReversed()) if (isAlive(pid)) process.kill(pid, "SIGTERM");
      const timer = setTimeout(() => {
        for (const pid of pids) if (isAlive(pid)) process.kill(pid, "SIGKILL");
      }, 15_000);
      // Its log ends with the last of its processes.
      await paastis.ended;
      clearTimeout(timer);
      for (const tie of ties) tie.kill("SIGKILL");
    },
  };
}

/** Those that somebody else's restart has brought. */
function noteTaken(lines: readonly LogLine[], pids: number[]): void {
  for (const { msg, process: pid } of lines) {
    if (msg.startsWith(TAKEN) && !pids.includes(Number(pid))) pids.push(Number(pid));
  }
}

function place(executable: string, make: (path: string) => void): void {
  const beside = `${executable}.new`;
  make(beside);
  chmodSync(beside, 0o755);
  renameSync(beside, executable);
}

function linkReal(path: string): void {
  try {
    linkSync(EXECUTABLE, path);
  } catch {
    // Another file system.
    copyFileSync(EXECUTABLE, path);
  }
}

/** Ends a process should the tests be killed: the pipe from here breaks then. */
function tieToUs(pid: number) {
  const script = `read -r _; kill -TERM ${pid}; sleep 5; kill -KILL ${pid}`;
  return Bun.spawn(["sh", "-c", script], { stdin: "pipe", stdout: "ignore", stderr: "ignore" });
}

/** How many files a process has open. */
export function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
