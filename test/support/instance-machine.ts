/** A machine of a test's own for instances: a prefix, a stand-in for systemd, and the command line at it. */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { parseDotenv } from "../../src/dotenv-file.ts";
import { EXECUTABLE, isAlive } from "./start-paastis.ts";
import { tempDir } from "./temp-dir.ts";

/** How a command went. */
export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export interface InstanceMachine extends AsyncDisposable {
  readonly prefix: string;
  /** A path below the prefix. */
  file(path: string): string;
  text(path: string): string;
  has(path: string): boolean;
  /** Runs the compiled program through pipes. */
  run(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ran>;
  /** The same on a terminal of 80 columns; `types` is what somebody types as soon as something is shown. */
  onTerminal(
    args: readonly string[],
    options?: { readonly types?: string; readonly env?: Readonly<Record<string, string>> },
  ): Promise<Pick<Ran, "status" | "out">>;
  /** What it is run with. */
  readonly env: Readonly<Record<string, string>>;
  /** Calls of `systemctl`, without those that only ask. */
  changes(): readonly string[];
  /** Lets `systemctl` refuse a verb; `""`: none any more. */
  refuse(verb: string): void;
  pid(name: string): number;
}

/** @param options.systemd false: there is no systemctl on the PATH */
export function instanceMachine(options: { readonly systemd?: boolean } = {}): InstanceMachine {
  const folder = tempDir();
  const prefix = folder.file("m");
  const bin = folder.file("bin");
  mkdirSync(bin);
  mkdirSync(join(prefix, "stand-in"), { recursive: true });
  if (options.systemd !== false) {
    for (const program of ["systemctl", "journalctl"]) writeStandIn(join(bin, program), program);
  }
  const path = options.systemd === false ? bin : `${bin}:${process.env.PATH}`;
  const env = { PATH: path, PAASTIS_PREFIX: prefix, HOME: folder.path, LANG: "C.UTF-8" };
  const file = (name: string) => join(prefix, name);
  const text = (name: string) => (existsSync(file(name)) ? readFileSync(file(name), "utf8") : "");
  const command = (args: readonly string[]) => [EXECUTABLE, ...args];
  const limit = { timeout: 40_000, killSignal: "SIGKILL" } as const;
  return {
    prefix,
    env,
    file,
    text,
    has: (name) => existsSync(file(name)),
    async run(args, more = {}) {
      const child = Bun.spawn(command(args), {
        cwd: folder.path,
        env: { ...env, ...more },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        ...limit,
      });
      const [out, err, status] = await Promise.all([
        child.stdout.text(),
        child.stderr.text(),
        child.exited,
      ]);
      return { out, err, status };
    },
    async onTerminal(args, { types, env: more = {} } = {}) {
      let out = "";
      let isTyped = types === undefined;
      const child = Bun.spawn(command(args), {
        cwd: folder.path,
        env: { ...env, TERM: "xterm", ...more },
        terminal: {
          cols: 80,
          rows: 24,
          data(terminal, bytes) {
            out += new TextDecoder().decode(bytes);
            if (isTyped) return;
            isTyped = true;
            terminal.write(types ?? "");
          },
        },
        ...limit,
      });
      const status = await child.exited;
      child.terminal?.close();
      return { status, out };
    },
    changes: () =>
      text("stand-in/calls")
        .split("\n")
        .filter((call) => call !== "" && !call.startsWith("is-")),
    refuse: (verb) => writeFileSync(file("stand-in/refuse"), verb),
    pid: (name) => Number(text(`stand-in/${name}.pid`)),
    async [Symbol.asyncDispose]() {
      for (const entry of readdirSync(file("stand-in"))) {
        const pid = entry.endsWith(".pid") ? Number(text(`stand-in/${entry}`)) : 0;
        if (pid > 0 && isAlive(pid)) process.kill(pid, "SIGKILL");
      }
      folder[Symbol.dispose]();
    },
  };
}

/** Runs an instance by its file alone, as a person at a shell would. It is ready when this resolves. */
export async function runOutside(
  machine: InstanceMachine,
  name: string,
): Promise<AsyncDisposable & { readonly pid: number }> {
  const { values } = parseDotenv(machine.text(`etc/paastis/${name}.env`));
  const child = Bun.spawn([EXECUTABLE, "serve"], {
    cwd: machine.file(`var/lib/paastis/${name}`),
    env: { PATH: machine.env.PATH ?? "", ...values },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  const answers = async () =>
    (await machine.run(["status", "--instance", name])).status === 0 || child.exitCode !== null;
  while (!(await answers())) await Bun.sleep(20);
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

function writeStandIn(path: string, program: string): void {
  const script = join(import.meta.dir, "stand-in-systemd.ts");
  writeFileSync(
    path,
    `#!/bin/sh\nexec '${process.execPath}' --no-install --no-env-file '${script}' ${program} "$@"\n`,
  );
  chmodSync(path, 0o755);
}
