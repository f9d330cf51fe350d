/** Shell commands of the operator around wakes and sleeps. */

import type { ReadableStreamDefaultReader } from "node:stream/web";

import type { App } from "./app.ts";
import type { Clock } from "./clock.ts";
import type { HookCommands } from "./config.ts";
import { messageOf } from "./errors.ts";
import type { Log, LogFields } from "./log.ts";

/** The moments a hook can stand at. */
export type HookName = "beforeStart" | "afterStart" | "beforeStop" | "afterStop";

/** What a hook is told, as environment variables: nothing is ever written into its command. */
export interface HookCall {
  readonly app: App;
  /** `PAASTIS_REASON`: what caused the wake or the sleep. */
  readonly reason: string;
  /** `PAASTIS_UPSTREAM`: the app's target; empty when not known yet. */
  readonly upstream: string;
  /** Ends the hook early. */
  readonly signal?: AbortSignal;
}

export type HookResult =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly why: string;
      /** It was the app itself that said no, as it has something to do. Left out: it was a hook. */
      readonly isBusy?: true;
    };

/** What one app's settings say about hooks; what is left out is nothing of its own. Run after those for all apps. */
export interface AppHooks {
  readonly beforeStart?: string;
  readonly afterStart?: string;
  readonly beforeStop?: string;
  readonly afterStop?: string;
  /** Longest each may run; left out: as those for all apps. */
  readonly timeoutMs?: number;
}

/** Runs hooks. */
export interface HookRunner {
  /** Runs one hook to its end; ok when none is configured. Never rejects. */
  run(name: HookName, call: HookCall): Promise<HookResult>;
  /** Runs one hook without anybody waiting for it; a failure is reported, and nothing else. */
  runLater(name: HookName, call: HookCall): void;
  /** Waits for the hooks under way; each ends by its own time limit, or 1 s after it where it cannot be killed. */
  close(): Promise<void>;
}

/** Everything hooks need from outside. */
export interface HookDeps {
  readonly commands: HookCommands;
  /** What hooks inherit. */
  readonly environment: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly log: Log;
  /** Called for every hook that failed. */
  readonly onFailure: (name: HookName, call: HookCall, why: string) => void;
  /** Ends a process group with SIGKILL; throws as `process.kill` does, which is the default. */
  readonly killGroup?: (pid: number) => void;
}

/** `PAASTIS_EVENT`, by hook. */
const EVENT_WORDS: Readonly<Record<HookName, string>> = {
  beforeStart: "before_start",
  afterStart: "after_start",
  beforeStop: "before_stop",
  afterStop: "after_stop",
};

/** Hooks as configured: the one for all apps, then the app's own; a hook that says no before a change ends it. */
export function createHookRunner(deps: HookDeps): HookRunner {
  const pending = new Set<Promise<unknown>>();
  function track(commands: readonly Command[], call: HookCall): Promise<HookResult> {
    const work = runHooks(deps, commands, call);
    pending.add(work);
    void work.then(() => pending.delete(work));
    return work;
  }
  return {
    run(name, call) {
      const commands = commandsFor(deps, name, call.app);
      return commands.length === 0 ? OK : track(commands, call);
    },
    runLater(name, call) {
      const commands = commandsFor(deps, name, call.app);
      if (commands.length > 0) void track(commands, call);
    },
    async close() {
      await Promise.allSettled(pending);
    },
  };
}

const OK: Promise<HookResult> = Promise.resolve({ ok: true });

/** One command to run. */
interface Command {
  readonly name: HookName;
  readonly text: string;
  readonly timeoutMs: number;
}

function commandsFor({ commands }: HookDeps, name: HookName, app: App): readonly Command[] {
  const own = app.policy.hooks;
  const timeoutMs = own?.timeoutMs ?? commands.timeoutMs;
  const both = [
    { name, text: commands[name], timeoutMs: commands.timeoutMs },
    { name, text: own?.[name] ?? null, timeoutMs },
  ];
  return both.flatMap(({ text, ...rest }) => (text === null ? [] : { ...rest, text }));
}

async function runHooks(
  deps: HookDeps,
  commands: readonly Command[],
  call: HookCall,
): Promise<HookResult> {
  let last: HookResult = { ok: true };
  for (const command of commands) {
    const result = await runHook(deps, command, call);
    if (result.ok) continue;
    // Afterwards nothing is left to be prevented.
    if (command.name === "beforeStart" || command.name === "beforeStop") return result;
    last = result;
  }
  return last;
}

async function runHook(deps: HookDeps, command: Command, call: HookCall): Promise<HookResult> {
  let why: string | null;
  try {
    why = await runCommand(deps, command, call);
  } catch (error) {
    why = messageOf(error);
  }
  if (why === null) return { ok: true };
  deps.onFailure(command.name, call, why);
  return { ok: false, why };
}

/** @returns why it failed, or `null` */
async function runCommand(
  deps: HookDeps,
  command: Command,
  call: HookCall,
): Promise<string | null> {
  const { app, reason, upstream, signal } = call;
  const { name, text, timeoutMs } = command;
  if (signal?.aborted) return ENDED;
  const child = Bun.spawn(["/bin/sh", "-c", text], {
    env: {
      ...deps.environment,
      PAASTIS_APP: app.key,
      PAASTIS_PROVIDER: app.ref.provider,
      PAASTIS_EVENT: EVENT_WORDS[name],
      PAASTIS_REASON: reason,
      PAASTIS_UPSTREAM: upstream,
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    // A group of its own, so that what the hook started ends with it.
    detached: true,
  });
  const fields = { app: app.key, hook: EVENT_WORDS[name] };
  const end = createEnd(deps, { pid: child.pid, fields });
  let isLate = false;
  const cancelTimer = deps.clock.after(timeoutMs, () => {
    isLate = true;
    end.kill();
  });
  signal?.addEventListener("abort", end.kill, { once: true });
  const log = (line: string) => deps.log.info(fields, line);
  const output = readLines([child.stdout, child.stderr], log);
  try {
    const status = await Promise.race([child.exited, end.givenUp]);
    // A background process that keeps the pipes open must not keep the hook running.
    if (status !== null) end.kill();
    await output.endWithin(deps.clock, OUTPUT_GRACE_MS);
    if (isLate) {
      const fate = status === null ? "could not be killed: it may still run" : "was killed";
      return `it ran longer than ${timeoutMs} ms and ${fate}`;
    }
    if (signal?.aborted) return ENDED;
    return status === 0 ? null : `it ended with status ${status}`;
  } finally {
    cancelTimer();
    end.settle();
    signal?.removeEventListener("abort", end.kill);
    // One that lives on must not keep us from ending.
    child.unref();
  }
}

const ENDED = "it was ended because the program is stopping or the wake ended";

/** How long output is read on after the command has ended: a daemon of its own group may hold the pipes open, ms. */
const OUTPUT_GRACE_MS = 500;

/** How long a killed hook may take to end before nobody waits for it any more, ms. */
const KILL_GRACE_MS = 400;

/** How one hook is ended before its time. */
interface End {
  /** Kills the whole group. Never throws; safe to repeat. */
  readonly kill: () => void;
  /** `null` as soon as it lives on although it was to be killed: it became another user's, or is stuck. */
  readonly givenUp: Promise<null>;
  /** Frees the timer. */
  readonly settle: () => void;
}

function createEnd(
  deps: HookDeps,
  hook: { readonly pid: number; readonly fields: LogFields },
): End {
  const { promise: givenUp, resolve } = Promise.withResolvers<null>();
  const killGroup = deps.killGroup ?? sendKill;
  let cancelGrace: (() => void) | null = null;
  return {
    kill() {
      cancelGrace ??= deps.clock.after(KILL_GRACE_MS, () => resolve(null));
      try {
        killGroup(hook.pid);
      } catch (error) {
        // ESRCH: the whole group has ended already, which is what we want.
        if (error instanceof Error && "code" in error && error.code === "ESRCH") return;
        deps.log.warn(
          { ...hook.fields, pid: hook.pid, reason: messageOf(error) },
          "a hook could not be killed and may still run: let it end by itself, or as our own user",
        );
      }
    },
    givenUp,
    settle: () => cancelGrace?.(),
  };
}

function sendKill(pid: number): void {
  process.kill(-pid, "SIGKILL");
}

/** Longest line that is passed on, in characters; the rest of it is dropped. */
const LINE_MAX = 16_384;

type Output = ReadableStream<Uint8Array<ArrayBuffer>>;
type OutputReader = ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;

/** Passes on what comes, line by line; `endWithin` waits for the rest of it, so long and no longer. */
function readLines(
  streams: readonly Output[],
  onLine: (line: string) => void,
): { endWithin(clock: Clock, limitMs: number): Promise<void> } {
  const readers = streams.map((stream) => stream.getReader());
  const work = Promise.allSettled(readers.map((reader) => eachLine(reader, onLine)));
  return {
    async endWithin(clock, limitMs) {
      const cancel = () => Promise.allSettled(readers.map((reader) => reader.cancel()));
      const cancelTimer = clock.after(limitMs, () => void cancel());
      await work;
      cancelTimer();
    },
  };
}

async function eachLine(reader: OutputReader, onLine: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    const lines = (rest + decoder.decode(read.value, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(0, LINE_MAX);
    for (const line of lines) onLine(line.slice(0, LINE_MAX));
  }
  if (rest !== "") onLine(rest);
}
