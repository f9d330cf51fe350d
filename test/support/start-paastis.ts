/** The compiled program, run for real: in a folder of its own, with nothing of ours around it. */

import { afterAll } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** A line of the program's log. */
export interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly msg: string;
  readonly app?: string;
  readonly event?: string;
  readonly [field: string]: unknown;
}

export interface RunningPaastis extends AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly pid: number;
  /** From the call to spawn until it said that it listens, ms. */
  readonly startedInMs: number;
  readonly lines: readonly LogLine[];
  /** Sends a request for an app, by its key. */
  get(key: string, init?: RequestInit & { path?: string }): Promise<Response>;
  /** Waits until the log has a line that fits, looking at lines from `from` on. */
  untilLine(fits: (line: LogLine) => boolean, from?: number): Promise<LogLine>;
  untilEvent(app: string, event: string, from?: number): Promise<LogLine>;
  events(app: string): readonly string[];
  signal(name: NodeJS.Signals): void;
  /** Resolves with the exit status, or the signal's name. */
  readonly ended: Promise<number | string>;
}

/** `PAASTIS_EXECUTABLE` names another build. */
export const EXECUTABLE =
  process.env.PAASTIS_EXECUTABLE ?? resolve(import.meta.dir, "../../dist/paastis");
/** Far longer than anything here takes on a busy machine, and shorter than a test may last, so that it can tell why. */
const WAIT_MAX_MS = 45_000;

const folders: string[] = [];
atEnd(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Load runs are no tests: they end with their process. */
function atEnd(work: () => void): void {
  try {
    afterAll(work);
  } catch {
    process.on("exit", work);
  }
}

/**
 * A folder, removed when the test file is through; pass the same one twice to start again where the first run
 * left off.
 */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "paastis-e2e-"));
  folders.push(folder);
  return folder;
}

export async function startPaastis(options: {
  /** `paastis.yml`. */
  readonly config: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly folder?: string;
  /** A command that becomes what follows it: the arguments before the executable. */
  readonly through?: readonly string[];
}): Promise<RunningPaastis> {
  if (!existsSync(EXECUTABLE)) throw new Error(`${EXECUTABLE} is missing: run \`npm run build\``);
  const folder = options.folder ?? makeFolder();
  writeFileSync(join(folder, "paastis.yml"), options.config);
  const startedMs = performance.now();
  const child = Bun.spawn([...(options.through ?? []), EXECUTABLE], {
    cwd: folder,
    env: {
      PATH: process.env.PATH ?? "",
      HOME: folder,
      PROVIDER_NAME: "process",
      HOST: "127.0.0.1",
      PORT: "0",
      START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *",
      // `ENGINE=fetch bun test test/e2e` plays the stories on the other engine.
      ENGINE: process.env.ENGINE ?? "",
      ...options.env,
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const tie = tieToUs(child.pid);
  const lines: LogLine[] = [];
  const waiting = new Set<() => void>();
  const reading = readLines(child.stdout, (line) => {
    lines.push(line);
    for (const look of [...waiting]) look();
  });
  const ended = reading.then(async () => {
    await child.exited;
    tie.kill("SIGKILL");
    for (const look of [...waiting]) look();
    return child.signalCode ?? child.exitCode ?? -1;
  });

  async function untilLine(fits: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    const { promise, resolve: found, reject } = Promise.withResolvers<LogLine>();
    const look = () => {
      const line = lines.slice(from).find(fits);
      if (line !== undefined) found(line);
    };
    const timer = setTimeout(() => {
      const tail = lines.slice(-15).map((line) => JSON.stringify(line));
      reject(new Error(`the awaited line did not come; the last ones:\n${tail.join("\n")}`));
    }, WAIT_MAX_MS);
    waiting.add(look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      waiting.delete(look);
    }
  }

  /** The first lists have been tried by then, or 5 s have passed. */
  const listening = await untilLine((line) => typeof line.address === "string").catch((error) => {
    child.kill("SIGKILL");
    throw error;
  });
  const startedInMs = performance.now() - startedMs;
  const port = Number(new URL(String(listening.address)).port);
  return {
    folder,
    port,
    pid: child.pid,
    startedInMs,
    lines,
    ended,
    untilLine,
    untilEvent: (app, event, from) =>
      untilLine((line) => line.app === app && line.event === event, from),
    events: (app) =>
      lines.filter((line) => line.app === app && line.event).map((line) => String(line.event)),
    get(key, { path = "/", ...init } = {}) {
      const headers = { ...(init.headers as Record<string, string>), host: `${key}.example` };
      return fetch(`http://127.0.0.1:${port}${path}`, { redirect: "manual", ...init, headers });
    },
    signal: (name) => process.kill(child.pid, name),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGTERM");
        const timer = setTimeout(() => child.kill("SIGKILL"), 15_000);
        await ended;
        clearTimeout(timer);
      }
    },
  };
}

/** Ends a child should the tests be killed, however that is done: the pipe from here breaks then. */
function tieToUs(pid: number) {
  const script = `read -r _; kill -TERM ${pid}; sleep 5; kill -KILL ${pid}`;
  return Bun.spawn(["sh", "-c", script], { stdin: "pipe", stdout: "ignore", stderr: "ignore" });
}

async function readLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onLine: (line: LogLine) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of stream) {
    const parts = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) if (part.startsWith("{")) onLine(JSON.parse(part) as LogLine);
  }
}

/** Waits until something holds that no log line tells. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>) {
  const untilMs = Date.now() + WAIT_MAX_MS;
  while (!(await holds())) {
    if (Date.now() > untilMs) throw new Error(`never came true: ${what}`);
    await Bun.sleep(20);
  }
}

/** Waits until so many requests use an app. */
export async function untilInFlight(
  { folder }: RunningPaastis,
  app: string,
  count: number,
): Promise<void> {
  const unix = join(folder, ".paastis", "admin.sock");
  await eventually(`${count} requests use ${app}`, async () => {
    const answer = await fetch(`http://admin/__metrics?app=${app}`, { unix });
    return ((await answer.json()) as { inflight: number }).inflight === count;
  });
}

/** Whether a process lives; a zombie does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return !/^\d+ \(.*\) Z/s.test(readStat(pid));
}

function readStat(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return "";
  }
}
