/** Shell commands of the operator around wakes and sleeps. */

import type { App } from "./app.ts";
import type { Clock } from "./clock.ts";
import type { HookCommands } from "./config.ts";
import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";

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

export type HookResult = { readonly ok: true } | { readonly ok: false; readonly why: string };

/** Runs hooks. */
export interface HookRunner {
  /** Runs one hook to its end; ok when none is configured. Never rejects. */
  run(name: HookName, call: HookCall): Promise<HookResult>;
  /** Runs one hook without anybody waiting for it; a failure is reported, and nothing else. */
  runLater(name: HookName, call: HookCall): void;
  /** Waits for the hooks under way; each ends by its own time limit. */
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
}

/** `PAASTIS_EVENT`, by hook. */
const EVENT_WORDS: Readonly<Record<HookName, string>> = {
  beforeStart: "before_start",
  afterStart: "after_start",
  beforeStop: "before_stop",
  afterStop: "after_stop",
};

/** Hooks as configured. */
export function createHookRunner(deps: HookDeps): HookRunner {
  const pending = new Set<Promise<unknown>>();
  function track(name: HookName, call: HookCall): Promise<HookResult> {
    const work = runHook(deps, name, call);
    pending.add(work);
    void work.then(() => pending.delete(work));
    return work;
  }
  return {
    run: (name, call) => (deps.commands[name] === null ? OK : track(name, call)),
    runLater(name, call) {
      if (deps.commands[name] !== null) void track(name, call);
    },
    async close() {
      await Promise.allSettled(pending);
    },
  };
}

const OK: Promise<HookResult> = Promise.resolve({ ok: true });

async function runHook(deps: HookDeps, name: HookName, call: HookCall): Promise<HookResult> {
  let why: string | null;
  try {
    why = await runCommand(deps, name, call);
  } catch (error) {
    why = messageOf(error);
  }
  if (why === null) return { ok: true };
  deps.onFailure(name, call, why);
  return { ok: false, why };
}

/** @returns why it failed, or `null` */
async function runCommand(deps: HookDeps, name: HookName, call: HookCall): Promise<string | null> {
  const { app, reason, upstream, signal } = call;
  const child = Bun.spawn(["/bin/sh", "-c", deps.commands[name] ?? ""], {
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
  const kill = () => killGroup(child.pid);
  let isLate = false;
  const cancelTimer = deps.clock.after(deps.commands.timeoutMs, () => {
    isLate = true;
    kill();
  });
  signal?.addEventListener("abort", kill, { once: true });
  if (signal?.aborted) kill();
  try {
    const log = (line: string) => deps.log.info({ app: app.key, hook: EVENT_WORDS[name] }, line);
    const output = Promise.allSettled([eachLine(child.stdout, log), eachLine(child.stderr, log)]);
    const status = await child.exited;
    // A background process that keeps the pipes open must not keep the hook running.
    kill();
    await output;
    if (isLate) return `it ran longer than ${deps.commands.timeoutMs} ms and was killed`;
    if (signal?.aborted) return "it was ended because the program is stopping or the wake ended";
    return status === 0 ? null : `it ended with status ${status}`;
  } finally {
    cancelTimer();
    signal?.removeEventListener("abort", kill);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    // ESRCH: the whole group has ended already, which is what we want.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/** Longest line that is passed on, in characters; the rest of it is dropped. */
const LINE_MAX = 16_384;

async function eachLine(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onLine: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of stream) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(0, LINE_MAX);
    for (const line of lines) onLine(line.slice(0, LINE_MAX));
  }
  if (rest !== "") onLine(rest);
}
