/** A process pinned to one core, and what it and its children have used of processor and memory. */

import { readdirSync, readFileSync } from "node:fs";
import type { Subprocess } from "bun";

/** How long a process may take to end when it is asked to, ms. */
const END_MS = 5_000;

/** A process under measurement. */
export interface MeasuredProcess extends AsyncDisposable {
  readonly pid: number;
  /** Begins to count; the function says how much time on a processor it has had since then, s. */
  meter(): () => number;
  /** Resident memory now, of it alone or of its children too, bytes. */
  residentBytes(whose?: "own" | "family"): number;
  /** Why it has ended; `null` while it runs. */
  whyEnded(): string | null;
}

/** How much of what it says on stderr is kept, characters. */
const SAID_MAX = 4_000;

/**
 * Starts a command on one core. What it said on stderr last is told when it ends too early.
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
    stdout: "ignore",
    stderr: "pipe",
  });
  const said = keepTail(child.stderr);
  const endWithUs = () => child.kill("SIGTERM");
  process.once("exit", endWithUs);
  return {
    pid: child.pid,
    meter: () => meterOf(child.pid),
    residentBytes: (whose = "family") =>
      sum((whose === "own" ? [child.pid] : familyOf(child.pid)).map(residentBytesOf)),
    whyEnded: () => whyEnded(child, options.command[0] ?? "", said()),
    async [Symbol.asyncDispose]() {
      process.off("exit", endWithUs);
      await end(child);
    },
  };
}

function whyEnded(child: Subprocess, name: string, said: string): string | null {
  if (child.exitCode === null && child.signalCode === null) return null;
  return `${name} ended with ${child.signalCode ?? child.exitCode}: ${said}`;
}

/** Reads to the end, so that nobody waits for us. */
function keepTail(stream: ReadableStream<Uint8Array>): () => string {
  let tail = "";
  const decoder = new TextDecoder();
  const reading = async () => {
    for await (const piece of stream) {
      tail = (tail + decoder.decode(piece, { stream: true })).slice(-SAID_MAX);
    }
  };
  reading().catch((error) => {
    tail += `(stderr could not be read: ${error})`;
  });
  return () => tail;
}

async function end(child: Subprocess): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), END_MS);
  await child.exited;
  clearTimeout(timer);
}

/** `taskset` and our own start replace the process image, so the process id stays what it was. */
function familyOf(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).trim();
  if (children === "") return [pid];
  return [pid, ...children.split(" ").flatMap((child) => familyOf(Number(child)))];
}

function meterOf(pid: number): () => number {
  const before = threadTimes(pid);
  if (before.size === 0) {
    throw new Error(`process ${pid} has ended, or this kernel does not say how long a thread ran`);
  }
  return () => {
    // A thread that has ended since takes its time along: those are idle ones, which a runtime gives up.
    const spent = [...threadTimes(pid)].map(([id, ns]) => ns - (before.get(id) ?? 0));
    return sum(spent) / 1e9;
  };
}

/** Time of each thread on a processor, user and system, ns. Source: Linux, sched-stats.rst, first field. */
function threadTimes(pid: number): Map<string, number> {
  const times = new Map<string, number>();
  for (const member of familyOf(pid)) {
    for (const thread of threadsOf(member)) {
      const [ns = ""] = read(`/proc/${member}/task/${thread}/schedstat`).split(" ");
      if (ns !== "") times.set(thread, Number(ns));
    }
  }
  return times;
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Without the pages of files, which are there once however many processes show them. */
function residentBytesOf(pid: number): number {
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
}

/** Empty when it has ended in the meantime. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
