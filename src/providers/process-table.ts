/** What the operating system says about processes: who lives, since when, in which group, with which marks. */

import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";

/** A process that lives; zombies are left out. */
export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  /** Session; the group's number where the system does not tell. */
  readonly session: number;
  /** When it began, as the system writes it. With `pid` it identifies a process until the next boot. */
  readonly startedAt: string;
}

/** What every child is marked with in its environment. */
export interface Marks {
  /** `PAASTIS_OWNER`: see `ownerMark`. */
  readonly owner: string;
  /** `PAASTIS_APP`: the app's key. */
  readonly app: string;
}

/** Environment variable that says which Paastis a process belongs to. */
export const OWNER_VARIABLE = "PAASTIS_OWNER";

/** Environment variable that holds the app's key. */
export const APP_VARIABLE = "PAASTIS_APP";

/** Environment variable that tells an app's runs of one owner apart: two versions of it may run at once. */
export const RUN_VARIABLE = "PAASTIS_RUN";

const IS_LINUX = process.platform === "linux";

/** Start times are text: a fixed language and zone make them comparable. */
const PS_ENVIRONMENT = { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C", TZ: "UTC" };

/**
 * When the process began; `null` when it is gone or a zombie. Never throws.
 * Source: proc(5), field 22 of `/proc/<pid>/stat`; elsewhere `ps -o lstart=`.
 */
export function startedAt(pid: number): string | null {
  if (!IS_LINUX) return startedAtByPs(pid);
  try {
    return parseStat(pid, readFileSync(`/proc/${pid}/stat`, "latin1"))?.startedAt ?? null;
  } catch {
    return null; // No such file: the process is gone.
  }
}

/** Every process that lives and that we may see. */
export async function listProcesses(): Promise<readonly ProcessEntry[]> {
  if (!IS_LINUX) return listByPs();
  const pids = (await readdir("/proc")).map(Number).filter(Number.isInteger);
  // At once: one after the other, each would wait for its turn on a machine that is busy.
  const entries = await Promise.all(pids.map(readEntry));
  return entries.filter((entry) => entry !== null);
}

async function readEntry(pid: number): Promise<ProcessEntry | null> {
  const stat = await readIfThere(`/proc/${pid}/stat`);
  return stat === null ? null : parseStat(pid, stat);
}

/**
 * The marks in a process's environment, and which run it belongs to (empty: it does not say); `null` without marks, or
 * where they cannot be read.
 */
export async function readMarks(pid: number): Promise<(Marks & { readonly run: string }) | null> {
  if (!IS_LINUX) return null;
  const environment = await readIfThere(`/proc/${pid}/environ`);
  if (environment === null || !environment.includes(`${OWNER_VARIABLE}=`)) return null;
  let owner: string | null = null;
  let app: string | null = null;
  let run = "";
  for (const variable of environment.split("\0")) {
    if (variable.startsWith(`${OWNER_VARIABLE}=`))
      owner = variable.slice(OWNER_VARIABLE.length + 1);
    if (variable.startsWith(`${APP_VARIABLE}=`)) app = variable.slice(APP_VARIABLE.length + 1);
    if (variable.startsWith(`${RUN_VARIABLE}=`)) run = variable.slice(RUN_VARIABLE.length + 1);
  }
  return owner === null ? null : { owner, app: app ?? "", run };
}

/** Whether the process can have been started by something that itself began at `other`. */
export function mayDescendFrom(entry: ProcessEntry, other: string): boolean {
  return !IS_LINUX || Number(entry.startedAt) >= Number(other);
}

/** Names this boot of this machine, as start times repeat after the next; empty where unknown. */
export function bootId(): string {
  if (!IS_LINUX) return "";
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return ""; // Hidden in some containers: the start time alone has to do.
  }
}

/** The process's name may hold spaces and parentheses, so fields count from the last one. */
function parseStat(pid: number, stat: string): ProcessEntry | null {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, parent, group, session] = fields;
  const started = fields[19];
  if (started === undefined || state === "Z" || state === "X") return null;
  return {
    pid,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    startedAt: started,
  };
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return null; // Gone meanwhile, or another user's: not ours either way.
  }
}

function startedAtByPs(pid: number): string | null {
  const ran = Bun.spawnSync(["ps", "-o", "stat=,lstart=", "-p", String(pid)], {
    env: PS_ENVIRONMENT,
    stderr: "ignore",
  });
  const found = /^(\S+)\s+(\S.*?)\s*$/.exec(ran.stdout.toString().trim());
  return found === null || found[1]?.startsWith("Z") ? null : (found[2] ?? null);
}

async function listByPs(): Promise<readonly ProcessEntry[]> {
  const ps = Bun.spawn(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat=,lstart="], {
    env: PS_ENVIRONMENT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  const entries: ProcessEntry[] = [];
  for (const line of (await ps.stdout.text()).split("\n")) {
    const found = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\S.*?)\s*$/.exec(line);
    if (found === null || found[4]?.startsWith("Z")) continue;
    const group = Number(found[3]);
    const startedAt = found[5] ?? "";
    const pid = Number(found[1]);
    entries.push({ pid, parent: Number(found[2]), group, session: group, startedAt });
  }
  return entries;
}
