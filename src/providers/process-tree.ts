/** Ends everything that one child has started, and knows when nothing of it is left. */

import { type Clock, sleep } from "../clock.ts";
import {
  listProcesses,
  type Marks,
  mayDescendFrom,
  type ProcessEntry,
  readMarks,
} from "./process-table.ts";

/** A process that leads a group and a session of its own. */
export interface Leader {
  readonly pid: number;
  readonly startedAt: string;
}

/**
 * Processes that belong together: the groups and sessions of `leaders`, and whatever carries `marks`,
 * which also finds those that made themselves a session of their own.
 */
export interface ProcessTree {
  readonly leaders: readonly Leader[];
  readonly marks: Marks;
  /** The one run that `marks` means; `null`: every run of the app. */
  readonly run: string | null;
  /** Nothing older belongs to it; `null`: not known. */
  readonly notBefore: string | null;
}

/** How to end a tree. */
export interface Ending {
  readonly clock: Clock;
  /** Asks for the end. */
  readonly signal: NodeJS.Signals;
  /** How long after `signal` what is left is killed, in ms. */
  readonly timeoutMs: number;
}

/** Longest to wait for the kernel to take away what was killed. */
const KILL_WAIT_MS = 5_000;

/** What is born while we kill is killed this much later, in ms. */
const KILL_AGAIN_EVERY_MS = 500;

const POLL_FIRST_MS = 5;
const POLL_MAX_MS = 100;

/** A group that seems to live may hold only zombies: pauses between close looks double up to the last. */
const CLOSE_LOOK_FIRST_MS = 25;
const CLOSE_LOOK_MAX_MS = 500;

/**
 * Signals the whole tree, kills what is left after the time-out, and resolves when nothing lives.
 * Safe to repeat, also for a tree that has ended. Our own process and its ancestors are never signalled.
 * @throws Error with their numbers when processes outlive SIGKILL
 */
export async function endTree(tree: ProcessTree, ending: Ending): Promise<void> {
  if (!(await signalTree(tree, ending.signal))) return;
  if (await isGoneWithin(tree, ending.timeoutMs, ending.clock)) return;
  // A process may be born while we look: kill until a look finds nothing.
  const giveUpMs = ending.clock.now() + KILL_WAIT_MS;
  while (await signalTree(tree, "SIGKILL")) {
    if (await isGoneWithin(tree, KILL_AGAIN_EVERY_MS, ending.clock)) return;
    if (ending.clock.now() >= giveUpMs) throw await outlived(tree);
  }
}

/** Kills all that lives of a tree at once, without waiting for its end. */
export async function killTree(tree: ProcessTree): Promise<void> {
  await signalTree(tree, "SIGKILL");
}

/** Every living process of the tree. */
export async function membersOf(tree: ProcessTree): Promise<readonly ProcessEntry[]> {
  return (await look(tree)).members;
}

/** Our own process and those it descends from, by number. */
export function ourselves(entries: readonly ProcessEntry[]): ReadonlySet<number> {
  const parents = new Map(entries.map((entry) => [entry.pid, entry.parent]));
  const found = new Set<number>();
  let pid: number | undefined = process.pid;
  while (pid !== undefined && pid > 0 && !found.has(pid)) {
    found.add(pid);
    pid = parents.get(pid);
  }
  return found;
}

/** What lives of a tree, and whom to signal to reach all of it: groups as negative numbers. */
interface Look {
  readonly members: readonly ProcessEntry[];
  readonly addressees: ReadonlySet<number>;
}

async function look(tree: ProcessTree): Promise<Look> {
  const entries = await listProcesses();
  const groups = groupsOf(tree, entries);
  const spared = ourselves(entries);
  const ourGroup = entries.find((entry) => entry.pid === process.pid)?.group;
  const belongs = await Promise.all(
    entries.map(
      (entry) => groups.has(entry.group) || groups.has(entry.session) || isMarked(tree, entry),
    ),
  );
  const members = entries.filter(({ pid }, at) => belongs[at] === true && !spared.has(pid));
  const addressees = members.map(({ pid, group }) =>
    groups.has(group) && group !== ourGroup ? -group : pid,
  );
  return { members, addressees: new Set(addressees) };
}

/** @returns whether there was anything to signal */
async function signalTree(tree: ProcessTree, signal: NodeJS.Signals): Promise<boolean> {
  const { addressees } = await look(tree);
  for (const addressee of addressees) signalOne(addressee, signal);
  return addressees.size > 0;
}

async function isGoneWithin(tree: ProcessTree, limitMs: number, clock: Clock): Promise<boolean> {
  const endMs = clock.now() + limitMs;
  let lookPauseMs = CLOSE_LOOK_FIRST_MS;
  let closeLookMs = clock.now() + lookPauseMs;
  for (let pauseMs = POLL_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, POLL_MAX_MS)) {
    const leftMs = endMs - clock.now();
    await sleep(clock, Math.max(1, Math.min(pauseMs, leftMs)));
    const nowMs = clock.now();
    const seemsGone = !tree.leaders.some((leader) => groupExists(leader.pid));
    if (seemsGone || nowMs >= closeLookMs || nowMs >= endMs) {
      if ((await membersOf(tree)).length === 0) return true;
      lookPauseMs = Math.min(lookPauseMs * 2, CLOSE_LOOK_MAX_MS);
      closeLookMs = nowMs + lookPauseMs;
    }
    if (nowMs >= endMs) return false;
  }
}

/** Numbers of the tree's groups, without those whose number meanwhile belongs to another process. */
function groupsOf(tree: ProcessTree, entries: readonly ProcessEntry[]): ReadonlySet<number> {
  const livingStarts = new Map(entries.map((entry) => [entry.pid, entry.startedAt]));
  const groups = new Set<number>();
  for (const { pid, startedAt } of tree.leaders) {
    if ((livingStarts.get(pid) ?? startedAt) === startedAt) groups.add(pid);
  }
  return groups;
}

async function isMarked(tree: ProcessTree, entry: ProcessEntry): Promise<boolean> {
  if (tree.notBefore !== null && !mayDescendFrom(entry, tree.notBefore)) return false;
  const found = await readMarks(entry.pid);
  if (found === null || (tree.run !== null && found.run !== tree.run)) return false;
  return found.owner === tree.marks.owner && found.app === tree.marks.app;
}

function groupExists(group: number): boolean {
  return signalOne(-group, 0);
}

/** @returns false when there is nobody by that number, or nobody whom we may signal */
function signalOne(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false; // Ended between the look and the signal, or changed its user: the next look tells.
  }
}

async function outlived(tree: ProcessTree): Promise<Error> {
  const pids = (await membersOf(tree)).map((entry) => entry.pid);
  return new Error(`processes ${pids.join(", ")} are still there after SIGKILL`);
}
