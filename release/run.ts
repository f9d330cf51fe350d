/** Runs a program and says what it printed when it failed. */

/** Where it runs, if not here, and with which environment. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * @returns what it wrote to its standard output
 * @throws Error with all of its output when its exit status is not 0
 */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const child = Bun.spawn([...command], {
    ...options,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, status] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  if (status === 0) return out;
  throw new Error(`${command.join(" ")} ended with status ${status}:\n${out}${err}`);
}
