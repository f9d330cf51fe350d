/** A process provider with a folder of its own, and ways to look at the children it starts. */

import { existsSync, readFileSync } from "node:fs";

import { createSystemClock } from "../../src/clock.ts";
import type { ProcessDeclaration } from "../../src/config.ts";
import { createProcessProvider } from "../../src/providers/process.ts";
import type { Notice, Provider } from "../../src/providers/provider.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";
import { tempDir } from "./temp-dir.ts";

/** A provider under test; its children end with its scope. */
export interface TestedProvider extends AsyncDisposable {
  readonly provider: Provider;
  readonly folder: string;
  readonly lines: readonly LogLine[];
  readonly notices: readonly Notice[];
  /** What is declared from now on. */
  declare(...declarations: readonly ProcessDeclaration[]): void;
  wake(id: string): Promise<string>;
  sleep(id: string): Promise<void>;
  /** What the app printed so far. */
  output(app: string): readonly string[];
  /** The first group of the first printed line that matches; waits for it. */
  printed(app: string, pattern: RegExp): Promise<string>;
}

/** A declaration of `key` that runs `command` in the temporary folder of the system. */
export function declareProcess(
  key: string,
  command: string,
  changes: Partial<ProcessDeclaration> = {},
): ProcessDeclaration {
  return {
    provider: "process",
    key,
    command,
    cwd: "/tmp",
    env: {},
    port: null,
    stopSignal: "SIGTERM",
    stopTimeoutMs: 5_000,
    settings: {},
    ...changes,
  };
}

/** A shell command that runs a script with the Bun that runs the tests. */
export function bunCommand(script: string): string {
  return `${quote(process.execPath)} --no-install -e ${quote(script)}`;
}

/** A server that answers every request with its process number and prints `listening`. */
export const SERVER = bunCommand(
  `Bun.serve({ hostname: "127.0.0.1", port: process.env.PORT, fetch: () => new Response(String(process.pid)) });
   console.log("listening " + process.pid)`,
);

/** What the provider's children inherit in tests. */
export const CHILD_ENVIRONMENT = { PATH: "/usr/local/bin:/usr/bin:/bin" };

/** Starts a provider in a new folder, or in `options.folder`. */
export async function testedProvider(
  declarations: readonly ProcessDeclaration[],
  options: { readonly folder?: string; readonly instanceId?: string } = {},
): Promise<TestedProvider> {
  const own = tempDir();
  const folder = options.folder ?? own.path;
  const { log, lines } = recordingLog();
  let declared = declarations;
  const provider = await createProcessProvider({
    declarations: () => declared,
    environment: CHILD_ENVIRONMENT,
    dataDir: folder,
    instanceId: options.instanceId ?? uniqueInstance(),
    clock: createSystemClock(),
    random: Math.random,
    log,
  });
  const notices: Notice[] = [];
  provider.watch?.({ notice: (notice) => notices.push(notice), listAgain: () => undefined });
  const { signal } = new AbortController();
  const output = (app: string) =>
    lines.filter((line) => line.fields.app === app && line.fields.stream).map((l) => l.message);
  return {
    provider,
    folder,
    lines,
    notices,
    output,
    declare: (...next) => {
      declared = next;
    },
    async wake(id) {
      const step = await provider.wake(id, null, signal);
      if (!step.done || step.target === null) throw new Error("a wake has to be done at once");
      return step.target.origin;
    },
    async sleep(id) {
      await provider.sleep(id, { kind: "none" }, signal);
    },
    printed: (app, pattern) =>
      until(() => {
        for (const line of output(app)) {
          const found = pattern.exec(line);
          if (found) return found[1] ?? found[0];
        }
        return undefined;
      }, `${app} prints ${pattern}`),
    [Symbol.asyncDispose]: async () => {
      await provider.close();
      own[Symbol.dispose]();
    },
  };
}

/** A name that no other test run uses. */
export function uniqueInstance(): string {
  return `test-${crypto.randomUUID()}`;
}

/** Waits until `condition` gives something that is neither `undefined` nor `false`, and returns it. */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string,
  limitMs = 30_000,
): Promise<Exclude<T, undefined | false>> {
  const giveUpMs = performance.now() + limitMs;
  for (;;) {
    const value = await condition();
    // The compiler does not narrow a type parameter by comparison.
    if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
    if (performance.now() > giveUpMs) throw new Error(`it does not come true that ${what}`);
    await Bun.sleep(10);
  }
}

/** Whether a process lives; a zombie does not. */
export function lives(pid: number | string): boolean {
  const path = `/proc/${pid}/stat`;
  if (!existsSync(path)) return false;
  try {
    return !/\) [ZX] /.test(readFileSync(path, "latin1"));
  } catch {
    return false; // It ended between the two looks.
  }
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
