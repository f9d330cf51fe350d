/** `npm run demo`: Paastis with sample apps, short idle times, and a word of welcome. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { type CancelTimer, createSystemClock } from "../clock.ts";
import { freePort } from "./free-port.ts";
import { welcomeText } from "./welcome.ts";

const PORT_WANTED = 3000;
const IDLE_SECONDS = 30;
const SWEEP_SECONDS = 5;
/** Short, because the chat's page is likely to be open when somebody has seen enough. */
const SHUTDOWN_MS = 1000;
/** The terminal may tell the whole group and npm may pass it on as well: twice within this time is once. */
const ECHO_MS = 400;
const PARENT_CHECK_MS = 1000;
const ROOT = resolve(import.meta.dir, "../..");

if (import.meta.main) process.exit(await runDemo());

/** Runs until it is told to stop. @returns the exit status */
async function runDemo(): Promise<number> {
  const host = process.env.HOST ?? "127.0.0.1";
  const wantedPort = Number(process.env.PORT ?? PORT_WANTED);
  const port = await freePort(host, wantedPort);
  const folder = mkdtempSync(join(tmpdir(), "paastis-demo-"));
  try {
    // The log goes to stdout; where that is no terminal, it must hold nothing else.
    const stream = process.stdout.isTTY ? process.stdout : process.stderr;
    const colors = stream.getColorDepth?.() >= 4;
    stream.write(welcomeText({ port, wantedPort, idleSeconds: IDLE_SECONDS, colors }));
    return await runPaastis({ host, port, folder });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Place {
  readonly host: string;
  readonly port: number;
  readonly folder: string;
}

async function runPaastis(place: Place): Promise<number> {
  const main = join(ROOT, "src/main.ts");
  const config = join(ROOT, "src/demo/paastis.yml");
  const child = Bun.spawn([process.execPath, "--no-install", main, "serve", "--config", config], {
    cwd: place.folder,
    env: environmentFor(place),
    stdio: ["ignore", "inherit", "inherit"],
    // A group of its own: it hears of Ctrl-C from us, once, however many others the terminal tells.
    detached: true,
  });
  const stopRelaying = relaySignals(child);
  const stopWatching = stopWhenOrphaned(child);
  try {
    return await child.exited;
  } finally {
    stopRelaying();
    stopWatching();
  }
}

function environmentFor({ host, port, folder }: Place): Record<string, string | undefined> {
  return {
    ...process.env,
    PATH: [join(ROOT, "node_modules/.bin"), process.env.PATH ?? ""].join(delimiter),
    NODE_ENV: "production",
    PROVIDER_NAME: "process",
    HOST: host,
    PORT: String(port),
    DATA_DIR: join(folder, "data"),
    DEFAULT_APP: "home",
    START_AND_STOP_CHECKING_INTERVAL_CRON: `*/${SWEEP_SECONDS} * * * * *`,
    START_AND_STOP_MAX_IDLE_TIME: String(IDLE_SECONDS / 60),
    SHUTDOWN_TIMEOUT_MS: String(SHUTDOWN_MS),
    // For the apps: where the notes are kept while nobody runs.
    DEMO_DIR: folder,
  };
}

/** Passes on what we are told: stop (twice: at once), and that the window has another size. */
function relaySignals(child: Bun.Subprocess): () => void {
  const clock = createSystemClock();
  let toldMs = Number.NEGATIVE_INFINITY;
  const stop = () => {
    if (clock.now() - toldMs < ECHO_MS) return;
    toldMs = clock.now();
    if (process.stdout.isTTY) process.stdout.write("\n"); // The terminal has just written ^C.
    child.kill("SIGTERM");
  };
  const resized = () => child.kill("SIGWINCH");
  const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of stopSignals) process.on(signal, stop);
  process.on("SIGWINCH", resized);
  return () => {
    for (const signal of stopSignals) process.off(signal, stop);
    process.off("SIGWINCH", resized);
  };
}

/** npm may be killed without a word to us. Then nobody is left to stop the demo, so it stops itself. */
function stopWhenOrphaned(child: Bun.Subprocess): () => void {
  const clock = createSystemClock();
  const parent = process.ppid;
  let cancel: CancelTimer | null = null;
  const check = () => {
    if (process.ppid === parent) cancel = clock.after(PARENT_CHECK_MS, check);
    else child.kill("SIGTERM");
  };
  if (process.env.npm_lifecycle_event !== undefined) check();
  return () => cancel?.();
}
