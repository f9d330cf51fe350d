/** The compiled program under load: started, looked at from outside, and stopped. */

import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { LogLine } from "../support/start-paastis.ts";
import { until } from "../support/until.ts";

/** `PAASTIS_EXECUTABLE` names another build. */
const EXECUTABLE = process.env.PAASTIS_EXECUTABLE ?? resolve(import.meta.dir, "../../dist/paastis");
const LOAD_APP = resolve(import.meta.dir, "load-app.ts");
const PATIENCE_MS = 30_000;

export interface ProgramOptions {
  /** Keys of the apps; each is a `load-app.ts` of its own. */
  readonly apps: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Soft limit of descriptors it is started with; left out: ours. */
  readonly softLimit?: number;
}

export interface Program extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  readonly lines: readonly LogLine[];
  readonly stderr: string;
  /** Resident memory now, in bytes. */
  rssBytes(): number;
  /** The most resident memory since `forgetPeak` or the start, in bytes. */
  peakBytes(): number;
  forgetPeak(): void;
  /** Processor time so far, s. */
  cpuSeconds(): number;
  /** What its descriptors are, such as `socket:[4711]`. */
  descriptors(): string[];
  /** How many sockets it holds, listeners included, its standard output and error not. */
  sockets(): number;
  /** Waits until all its apps were put to sleep: nobody holds a lease. @param from looks at lines from there on */
  untilAllSleep(from?: number): Promise<void>;
  events(event: string): readonly LogLine[];
  /** Ends it. @returns the exit status, or the signal's name */
  stop(): Promise<number | string>;
}

/** Starts it with the engine that `ENGINE` names, the socket engine without. */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  if (!existsSync(EXECUTABLE)) throw new Error(`${EXECUTABLE} is missing: run \`npm run build\``);
  const folder = mkdtempSync(join(tmpdir(), "paastis-load-"));
  writeFileSync(join(folder, "paastis.yml"), configOf(options.apps));
  const limit = options.softLimit === undefined ? "" : `ulimit -Sn ${options.softLimit}; `;
  const child = Bun.spawn(["sh", "-c", `${limit}exec "$0"`, EXECUTABLE], {
    cwd: folder,
    env: {
      PATH: process.env.PATH ?? "",
      HOME: folder,
      PROVIDER_NAME: "process",
      HOST: "127.0.0.1",
      PORT: "0",
      START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *",
      ENGINE: process.env.ENGINE ?? "socket",
      ...options.env,
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const lines: LogLine[] = [];
  const said = { stderr: "" };
  const reading = Promise.all([
    readTexts(
      child.stdout,
      createLineSplitter((line) => lines.push(line)),
    ),
    readTexts(child.stderr, (text) => {
      said.stderr += text;
    }),
  ]);
  const isListening = () => lines.some(({ address }) => typeof address === "string");
  await until(() => isListening() || child.exitCode !== null, PATIENCE_MS);
  const listening = lines.find(({ address }) => typeof address === "string");
  if (listening === undefined) throw new Error(`it did not start: ${said.stderr}`);
  const { pid } = child;
  const program: Program = {
    port: Number(new URL(String(listening.address)).port),
    pid,
    lines,
    get stderr() {
      return said.stderr;
    },
    rssBytes: () => memoryOf(pid, "VmRSS"),
    peakBytes: () => memoryOf(pid, "VmHWM"),
    forgetPeak: () => writeFileSync(`/proc/${pid}/clear_refs`, "5"),
    cpuSeconds: () => cpuSecondsOf(pid),
    descriptors: () => descriptorsOf(pid),
    sockets: () => countSockets(pid),
    untilAllSleep: (from = 0) =>
      until(() => options.apps.every((key) => sleeps(lines, key, from)), PATIENCE_MS),
    events: (event) => lines.filter((line) => line.event === event),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
      await child.exited;
      clearTimeout(timer);
      await reading;
      rmSync(folder, { recursive: true, force: true });
      return child.signalCode ?? child.exitCode ?? -1;
    },
    [Symbol.asyncDispose]: async () => void (await program.stop()),
  };
  return program;
}

function configOf(keys: readonly string[]): string {
  const command = `exec ${process.execPath} --no-install ${LOAD_APP}`;
  return ["apps:", ...keys.map((key) => `  ${key}: { command: '${command}' }`), ""].join("\n");
}

/** By its last event. */
function sleeps(lines: readonly LogLine[], key: string, from: number): boolean {
  const last = lines.findLastIndex(({ app, event }) => app === key && event !== undefined);
  return last >= from && lines[last]?.event === "APP_STOPPED";
}

function memoryOf(pid: number, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024;
}

/** `utime` and `stime` of proc(5), counted in hundredths. */
function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function descriptorsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${name}`)];
    } catch {
      // It was closed just now.
      return [];
    }
  });
}

/** The runtime opens the standard streams, here sockets, a second time when they are first used: they do not count. */
function countSockets(pid: number): number {
  const sockets = new Set(descriptorsOf(pid).filter((what) => what.startsWith("socket:")));
  for (const stream of [1, 2]) sockets.delete(readlinkSync(`/proc/${pid}/fd/${stream}`));
  return sockets.size;
}

async function readTexts(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onText: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const piece of stream) onText(decoder.decode(piece, { stream: true }));
}

function createLineSplitter(onLine: (line: LogLine) => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    // The program's own format.
    for (const part of parts) if (part.startsWith("{")) onLine(JSON.parse(part) as LogLine);
  };
}
