/**
 * Stands in for `systemctl` and `journalctl`, below `PAASTIS_PREFIX`: keeps state between calls, really starts what a
 * unit says with what its `EnvironmentFile` holds, waits for its readiness, and refuses what systemd 252 refuses.
 * A file `refuse` in its folder names a verb that fails.
 */

import {
  appendFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { parseDotenv } from "../../src/dotenv-file.ts";
import { listenForNotify } from "./notify-socket.ts";

const PREFIX = process.env.PAASTIS_PREFIX ?? "";
const UNITS = join(PREFIX, "etc/systemd/system");
const TEMPLATE = join(UNITS, "paastis@.service");
const OWN = join(PREFIX, "stand-in");
const READY_MS_MAX = 15_000;
const STOP_MS_MAX = 15_000;

if (PREFIX === "") fail("the stand-in for systemd needs PAASTIS_PREFIX", 1);
mkdirSync(OWN, { recursive: true });

const [program = "", verb = "", ...rest] = process.argv.slice(2);
if (program === "journalctl") await journal(process.argv.slice(3));
else await control();

async function control(): Promise<void> {
  appendFileSync(join(OWN, "calls"), `${[verb, ...rest].join(" ")}\n`);
  if (textOf(join(OWN, "refuse")).trim() === verb) fail("Failed to do that: Access denied", 4);
  if (verb === "daemon-reload") return;
  const unit = rest[0] ?? "";
  const name = /^paastis@([a-z0-9-]+)\.service$/.exec(unit)?.[1];
  if (name === undefined) fail(`Failed to ${verb} ${unit}: Unit ${unit} not found.`, 5);
  switch (verb) {
    case "start":
      return await start(name);
    case "stop":
      return await stop(name);
    case "restart":
      await stop(name);
      return await start(name);
    case "is-active":
      return say(stateOf(name), stateOf(name) === "active" ? 0 : 3);
    case "is-enabled":
      if (!existsSync(TEMPLATE)) fail(`Failed to get unit file state for ${unit}: No such file`, 1);
      return say(
        existsSync(wantOf(name)) ? "enabled" : "disabled",
        existsSync(wantOf(name)) ? 0 : 1,
      );
    case "enable":
      if (!existsSync(TEMPLATE))
        fail(`Failed to enable unit: Unit file ${unit} does not exist.`, 1);
      mkdirSync(join(UNITS, "multi-user.target.wants"), { recursive: true });
      if (!existsSync(wantOf(name))) symlinkSync(TEMPLATE, wantOf(name));
      return;
    case "disable":
      if (!existsSync(TEMPLATE))
        fail(`Failed to disable unit: Unit file ${unit} does not exist.`, 1);
      return rmSync(wantOf(name), { force: true });
    case "reset-failed":
      return rmSync(fileOf(name, "failed"), { force: true });
    default:
      fail(`Unknown command verb ${verb}.`, 1);
  }
}

async function start(name: string): Promise<void> {
  const unit = `paastis@${name}.service`;
  if (!existsSync(TEMPLATE)) fail(`Failed to start ${unit}: Unit ${unit} not found.`, 5);
  if (stateOf(name) === "active") return;
  const settings = new Map(
    [
      ...readFileSync(TEMPLATE, "utf8")
        .replaceAll("%i", name)
        .matchAll(/^(\w+)=(.*)$/gm),
    ].map(([, key = "", value = ""]) => [key, value] as const),
  );
  const broken = (why: string): never => {
    writeFileSync(fileOf(name, "failed"), why);
    fail(`Job for ${unit} failed because ${why}.\nSee "systemctl status ${unit}" for details.`, 1);
  };
  const environmentFile = settings.get("EnvironmentFile") ?? "";
  const folders = [
    settings.get("WorkingDirectory"),
    ...(settings.get("ReadWritePaths") ?? "").split(" "),
  ];
  if (!existsSync(environmentFile) || folders.some((path) => !existsSync(path ?? ""))) {
    broken("of unavailable resources or another system error");
  }
  const socket = join(OWN, `${name}.notify`);
  using notify = listenForNotify(socket);
  const log = openSync(fileOf(name, "log"), "a");
  const child = Bun.spawn((settings.get("ExecStart") ?? "").split(" "), {
    cwd: settings.get("WorkingDirectory") ?? "/",
    env: {
      PATH: "/usr/local/bin:/usr/bin:/bin",
      ...parseDotenv(readFileSync(environmentFile, "utf8")).values,
      NOTIFY_SOCKET: socket,
      WATCHDOG_USEC: "30000000",
    },
    stdin: "ignore",
    stdout: log,
    stderr: log,
    detached: true,
  });
  writeFileSync(fileOf(name, "pid"), `${child.pid}`);
  rmSync(fileOf(name, "failed"), { force: true });
  const isReady = () => notify.messages().some((text) => text.split("\n").includes("READY=1"));
  const untilMs = performance.now() + READY_MS_MAX;
  while (!isReady()) {
    if (child.exitCode !== null) {
      rmSync(fileOf(name, "pid"));
      broken("the control process exited with error code");
    }
    if (performance.now() > untilMs) {
      child.kill("SIGKILL");
      broken("a timeout was exceeded");
    }
    await Bun.sleep(5);
  }
  process.exit(0);
}

async function stop(name: string): Promise<void> {
  const pid = Number(textOf(fileOf(name, "pid")));
  if (pid === 0 && !existsSync(TEMPLATE)) {
    fail(`Failed to stop paastis@${name}.service: Unit paastis@${name}.service not loaded.`, 5);
  }
  if (pid > 0 && isAlive(pid)) process.kill(pid, "SIGTERM");
  const untilMs = performance.now() + STOP_MS_MAX;
  while (pid > 0 && isAlive(pid)) {
    if (performance.now() > untilMs) process.kill(pid, "SIGKILL");
    await Bun.sleep(5);
  }
  rmSync(fileOf(name, "pid"), { force: true });
}

async function journal(args: readonly string[]): Promise<void> {
  const unit = args[args.indexOf("-u") + 1] ?? "";
  const path = fileOf(unit.slice("paastis@".length, -".service".length), "log");
  const text = textOf(path);
  const lines = text.split("\n").slice(0, -1);
  const count = Number(args[args.indexOf("-n") + 1]);
  process.stdout.write(
    lines
      .slice(count === 0 ? lines.length : -count)
      .map((line) => `${line}\n`)
      .join(""),
  );
  if (!args.includes("--follow")) return;
  writeFileSync(join(OWN, "following"), `${process.pid}`);
  // What was said since the text was read is new.
  for (let from = Buffer.byteLength(text); ; await Bun.sleep(5)) {
    const bytes = readFileSync(path).subarray(from);
    from += bytes.length;
    if (bytes.length > 0) process.stdout.write(bytes);
  }
}

function stateOf(name: string): string {
  if (existsSync(fileOf(name, "failed"))) return "failed";
  const pid = Number(textOf(fileOf(name, "pid")));
  return pid > 0 && isAlive(pid) ? "active" : "inactive";
}

/** A zombie does not live. */
function isAlive(pid: number): boolean {
  const stat = textOf(`/proc/${pid}/stat`);
  return stat !== "" && !/^\d+ \(.*\) Z/s.test(stat);
}

function fileOf(name: string, kind: string): string {
  return join(OWN, `${name}.${kind}`);
}

function wantOf(name: string): string {
  return join(UNITS, "multi-user.target.wants", `paastis@${name}.service`);
}

function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

function say(text: string, status: number): void {
  process.stdout.write(`${text}\n`);
  process.exitCode = status;
}

function fail(text: string, status: number): never {
  process.stderr.write(`${text}\n`);
  process.exit(status);
}
