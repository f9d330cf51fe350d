/** One child process of an app: its start, its output, its group, and its end. */

import { statSync } from "node:fs";

import { LAST_OUTPUT, type Target, targetOf } from "../app.ts";
import type { Clock } from "../clock.ts";
import type { ProcessDeclaration } from "../config.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Ledger } from "./process-ledger.ts";
import { createTail, type OutputReading, type OutputTail, readOutput } from "./process-output.ts";
import {
  APP_VARIABLE,
  type Marks,
  OWNER_VARIABLE,
  RUN_VARIABLE,
  startedAt,
} from "./process-table.ts";
import { endTree, killTree, type ProcessTree } from "./process-tree.ts";
import { ProviderError } from "./provider.ts";

/** What a child is made of. */
export interface ChildDeps {
  readonly declaration: ProcessDeclaration;
  readonly port: number;
  /** What it inherits; the declaration's own variables win over it. */
  readonly environment: Readonly<Record<string, string>>;
  /** Who we are: see `ownerMark`. */
  readonly owner: string;
  /** No other run of this owner has it. */
  readonly run: string;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
}

/** How a child's main process ended. */
export interface ChildExit {
  /** Nobody asked it to. */
  readonly byItself: boolean;
  readonly status: number | null;
  /** For people: `exited with status 1 after 0.3 s; last output: …`; at most `REASON_CHARACTERS_MAX`. */
  readonly reason: string;
}

/** A child, from its start until nothing of it is left. */
export interface Child {
  readonly pid: number;
  /** What it was started with, whatever is declared now. */
  readonly declaration: ProcessDeclaration;
  readonly port: number;
  readonly target: Target;
  /** Private socket of the process that it is a child of. Left out: it is ours. */
  readonly keeper?: string;
  /** Its main process lives, and nobody has asked it to end. */
  isRunning(): boolean;
  /** Resolves soon after the main process has ended, when its last words are in. Never rejects. */
  readonly exited: Promise<ChildExit>;
  /** The last lines it has printed, harmless to show, one per line; at most `REASON_CHARACTERS_MAX`. */
  output(): string;
  /**
   * Ends it: its stop signal, its time-out, SIGKILL. Resolves when no process of it is left. Safe to repeat;
   * also ends what its main process left behind when that ended by itself.
   * @throws ProviderError `failed` when something outlives SIGKILL; a repetition tries again
   */
  end(): Promise<void>;
  /** Kills it at once: for an `end` that must not take its time. */
  kill(): Promise<void>;
}

/** Longest text that explains an exit, in characters. */
export const REASON_CHARACTERS_MAX = 2_000;

/** What a main process that ended by itself left behind gets so long to end, in ms. */
const REMAINS_TIMEOUT_MS = 2_000;

/** How long last words may take to arrive after the exit while somebody else holds the pipe open. */
const LAST_WORDS_MS = 250;

interface ChildContext {
  readonly deps: ChildDeps;
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly tree: ProcessTree;
  readonly tail: OutputTail;
  readonly readings: readonly OutputReading[];
  readonly startedMs: number;
  readonly strikeOut: () => void;
  /** An end was asked for while the main process lived. */
  isEndWanted: boolean;
  hasExited: boolean;
  ending: Promise<void> | null;
}

/**
 * Starts `sh -c command` in a session of its own, so that signals reach all of it and a terminal's do not.
 * @throws ProviderError `failed` when the folder is missing or the system refuses to start it
 */
export function startChild(deps: ChildDeps): Child {
  const { declaration, port } = deps;
  const context = createContext(deps);
  const exited = untilExited(context);
  return {
    pid: context.process.pid,
    declaration,
    port,
    target: targetOf(`http://127.0.0.1:${port}`),
    isRunning: () => !context.hasExited && !context.isEndWanted,
    exited,
    output: () => context.tail.text(REASON_CHARACTERS_MAX, "\n"),
    end: () => end(context, exited),
    kill: () => killTree(context.tree),
  };
}

function createContext(deps: ChildDeps): ChildContext {
  const { clock, declaration, ledger, log, owner, run } = deps;
  const marks: Marks = { owner, app: declaration.key };
  const startedMs = clock.now();
  const process = spawn(deps, marks);
  // It cannot have been reaped yet, so the number is still its own.
  const leader = { pid: process.pid, startedAt: startedAt(process.pid) ?? "" };
  const strikeOut = leader.startedAt === "" ? () => undefined : ledger.note({ leader, marks });
  const tail = createTail();
  const read = (stream: "stdout" | "stderr") =>
    readOutput(process[stream], { clock, tail, sink: sinkFor(log, declaration.key, stream) });
  return {
    deps,
    process,
    tree: { leaders: [leader], marks, run, notBefore: leader.startedAt || null },
    tail,
    readings: [read("stdout"), read("stderr")],
    startedMs,
    strikeOut,
    isEndWanted: false,
    hasExited: false,
    ending: null,
  };
}

function spawn(deps: ChildDeps, marks: Marks): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  const { declaration, environment, port } = deps;
  const { command, cwd, env, key } = declaration;
  if (!isFolder(cwd)) {
    throw new ProviderError("failed", `cannot start ${key}: its folder ${cwd} does not exist`);
  }
  try {
    return Bun.spawn(["/bin/sh", "-c", command], {
      cwd,
      env: {
        ...environment,
        ...env,
        PORT: String(port),
        [OWNER_VARIABLE]: marks.owner,
        [APP_VARIABLE]: marks.app,
        [RUN_VARIABLE]: deps.run,
      },
      detached: true,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  } catch (cause) {
    throw new ProviderError("failed", `cannot start ${key}: ${messageOf(cause)}`, { cause });
  }
}

async function untilExited(context: ChildContext): Promise<ChildExit> {
  await context.process.exited;
  const byItself = !context.isEndWanted;
  context.hasExited = true;
  const livedMs = context.deps.clock.now() - context.startedMs;
  await lastWords(context);
  return {
    byItself,
    status: context.process.exitCode,
    reason: reasonOf(context, livedMs),
  };
}

/** Others may hold the pipes open as long as they like: then what has arrived has to do. */
async function lastWords(context: ChildContext): Promise<void> {
  const { clock } = context.deps;
  for (const reading of context.readings) reading.hurry();
  const { promise: timeIsUp, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(LAST_WORDS_MS, resolve);
  await Promise.race([Promise.all(context.readings.map((reading) => reading.done)), timeIsUp]);
  cancel();
}

function end(context: ChildContext, exited: Promise<ChildExit>): Promise<void> {
  if (!context.hasExited) context.isEndWanted = true;
  context.ending ??= endAll(context, exited).catch((cause) => {
    context.ending = null; // So that a repetition tries again.
    const { key } = context.deps.declaration;
    throw new ProviderError("failed", `cannot stop ${key}: ${messageOf(cause)}`, { cause });
  });
  return context.ending;
}

async function endAll(context: ChildContext, exited: Promise<ChildExit>): Promise<void> {
  const { clock, declaration } = context.deps;
  const timeoutMs = context.isEndWanted
    ? declaration.stopTimeoutMs
    : Math.min(REMAINS_TIMEOUT_MS, declaration.stopTimeoutMs);
  await endTree(context.tree, { clock, signal: declaration.stopSignal, timeoutMs });
  await exited;
  for (const reading of context.readings) reading.stop();
  await Promise.all(context.readings.map((reading) => reading.done));
  context.strikeOut();
}

function reasonOf(context: ChildContext, livedMs: number): string {
  const { exitCode, signalCode } = context.process;
  const how =
    signalCode === null
      ? `exited with status ${exitCode}${shellSignal(exitCode)}`
      : `was killed by ${signalCode}`;
  const what = `${how} after ${seconds(livedMs)}`;
  const words = context.tail.text(REASON_CHARACTERS_MAX - what.length - LAST_OUTPUT.length);
  return words === "" ? what : what + LAST_OUTPUT + words;
}

/** A shell reports a command that a signal killed as 128 plus the signal's number. */
function shellSignal(status: number | null): string {
  const name = status === null ? undefined : SHELL_SIGNALS[status - 128];
  return name === undefined ? "" : ` (${name})`;
}

/** The signals that kill programs, by number; these are the same on Linux and macOS. */
const SHELL_SIGNALS: Readonly<Record<number, string>> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  6: "SIGABRT",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  15: "SIGTERM",
};

function seconds(durationMs: number): string {
  const value = Math.max(0, durationMs) / 1_000;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
}

function sinkFor(log: Log, app: string, stream: "stdout" | "stderr") {
  return {
    line: (text: string) => log.info({ app, stream }, text),
    omitted: (count: number) =>
      log.warn({ app, stream }, `${count} lines left out: the app prints too much to log it all`),
  };
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false; // Missing, or in a folder that we may not enter: no child can start there.
  }
}
