/** Starts a script of `test/support` as a process of its own and reads what it prints. */

import { join } from "node:path";

/** A running child; it is killed with SIGKILL at the end of its scope. */
export interface Child extends AsyncDisposable {
  readonly pid: number;
  /** The first line printed from now on that satisfies `wanted`; rejects when the output ends before. */
  line(wanted: (line: string) => boolean): Promise<string>;
  /** `kill -9`, and everything that it printed and nobody read, line by line. */
  kill(): Promise<readonly string[]>;
}

/** @param script a file name in `test/support` */
export function spawnChild(script: string, ...args: readonly string[]): Child {
  const child = Bun.spawn(
    [process.execPath, "--no-install", join(import.meta.dir, script), ...args],
    { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
  );
  const lines = linesOf(child.stdout);
  async function kill(): Promise<readonly string[]> {
    child.kill("SIGKILL");
    await child.exited;
    return Array.fromAsync(lines);
  }
  return {
    pid: child.pid,
    async line(wanted) {
      for (;;) {
        const next = await lines.next();
        if (next.done) throw new Error(`${script} ended before it printed what was awaited`);
        if (wanted(next.value)) return next.value;
      }
    },
    kill,
    [Symbol.asyncDispose]: async () => {
      await kill();
    },
  };
}

/** Whole lines only: what a killed process began to print does not count. */
async function* linesOf(output: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of output) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}
