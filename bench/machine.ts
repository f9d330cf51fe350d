/** What the machine is, and what it lends: ports, cores, descriptors. */

import { accessSync, constants, readFileSync } from "node:fs";
import { arch, cpus, release, totalmem } from "node:os";
import { delimiter, join } from "node:path";

/** Contenders have this core to themselves … */
export const CONTENDER_CORE = 0;
/** … and what loads and answers them has the other. */
export const LOAD_CORE = 1;

/** Ports from here up to those that the system gives to outgoing connections, of which a load makes many. */
const PORT_MIN = 15_000;

/** Ports that were free a moment ago, all different, and that no outgoing connection will take. */
export function freePorts(count: number): readonly number[] {
  const [first = ""] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s/);
  const end = Math.max(Number(first), PORT_MIN + 1_000);
  const held = new Map<number, { stop(closeActiveConnections: boolean): void }>();
  while (held.size < count) {
    const port = PORT_MIN + Math.floor(Math.random() * (end - PORT_MIN));
    const listener = held.has(port) ? null : listenAt(port);
    if (listener !== null) held.set(port, listener);
  }
  for (const listener of held.values()) listener.stop(true);
  return [...held.keys()];
}

/** `null`: somebody else has the port. */
function listenAt(port: number) {
  try {
    const data = (socket: { terminate(): void }) => socket.terminate();
    return Bun.listen({ hostname: "127.0.0.1", port, socket: { data } });
  } catch {
    return null;
  }
}

/** One that was free a moment ago. */
export function freePort(): number {
  const [port = 0] = freePorts(1);
  return port;
}

/** Where a command is, `null` if nowhere. Servers of Debian are often outside the PATH of those who are not root. */
export function findCommand(name: string): string | null {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  for (const folder of folders) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // The next folder may have it.
    }
  }
  return null;
}

/** The first line that a command says about itself; stderr counts too, where nginx says it. */
export function firstLineOf(command: readonly string[]): string {
  const { stdout, stderr } = Bun.spawnSync([...command], { stdin: "ignore" });
  return `${stdout}${stderr}`.trim().split("\n")[0] ?? "";
}

/** How many descriptors a process may have at most. */
export function descriptorLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const hard = /^Max open files\s+\d+\s+(\w+)/m.exec(limits)?.[1];
  return hard === "unlimited" ? 1_000_000 : Number(hard);
}

/** How many connections a proxy may carry here: each takes two of its descriptors, some are for all else. */
export function carriedMax(wanted: number): number {
  return Math.min(wanted, Math.floor((descriptorLimit() - 500) / 2));
}

/** This process, and what it starts without saying otherwise, runs on one core from now on. */
export function pinSelf(core: number): void {
  const { success, stderr } = Bun.spawnSync([
    ...["taskset", "--all-tasks", "--pid", "--cpu-list"],
    ...[String(core), String(process.pid)],
  ]);
  if (!success) throw new Error(`taskset could not choose a core: ${stderr}`);
}

/** For the record. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly kernel: string;
  readonly system: string;
}

/** What it runs on. */
export function describeMachine(): Machine {
  return {
    processor: `${cpus()[0]?.model.trim() ?? "unknown"} (${arch()})`,
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 1024 ** 3),
    kernel: `Linux ${release()}`,
    system: systemName(),
  };
}

function systemName(): string {
  try {
    const text = readFileSync("/etc/os-release", "utf8");
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(text)?.[1] ?? "unknown";
  } catch {
    return "unknown";
  }
}
