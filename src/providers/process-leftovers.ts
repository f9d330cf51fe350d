/** Finds and ends the children that a killed Paastis of the same instance has left behind. */

import type { Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Ledger, LedgerFile } from "./process-ledger.ts";
import {
  listProcesses,
  type Marks,
  type ProcessEntry,
  readMarks,
  startedAt,
} from "./process-table.ts";
import { endTree, type Leader, membersOf, ourselves, type ProcessTree } from "./process-tree.ts";

/** What a search for leftovers uses. */
export interface LeftoversDeps {
  readonly instanceId: string;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long leftovers have to end before they are killed, in ms. */
export const LEFTOVER_TIMEOUT_MS = 2_000;

/** A leftover may give birth while it is ended; after so many rounds the rest is reported. */
const ROUNDS_MAX = 3;

/**
 * The mark of this process as the owner of its children: `<instance>:<pid>:<start time>`.
 * The start time tells this process from a later one with the same number.
 * @throws Error when the system does not tell when this process began
 */
export function ownerMark(instanceId: string): string {
  const began = startedAt(process.pid);
  if (began === null) throw new Error("the system does not say when this process was started");
  return `${ownerPrefix(instanceId)}${process.pid}:${began}`;
}

/**
 * Ends every process of owners of this instance that no longer live. Children of living owners, of other
 * instances, and processes that merely have a recorded number are left alone. What cannot be ended is logged.
 */
export async function endLeftovers(deps: LeftoversDeps): Promise<void> {
  const isOurs = ({ owner }: Marks) => isOrphaned(owner, deps.instanceId);
  const files = deps.ledger.read().filter((file) => isOurs(file.marks));
  const noted = new Map<string, ProcessTree>();
  for (const file of files) addNoted(noted, file);
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const trees = await addMarked(noted, isOurs);
    const ended = await Promise.all([...trees.values()].map((tree) => endLeftover(deps, tree)));
    if (!ended.includes(true)) break;
  }
  for (const file of files) {
    // What could not be ended stays noted for the next start.
    if (!isStillThere(file.leader)) deps.ledger.strike(file);
  }
}

/**
 * Ends what instances that no longer live have left running of one app on this machine. What cannot be ended is logged.
 * @param of.isFrom whether an instance with this id is meant
 */
export async function endLeftoversOf(
  of: { readonly app: string; readonly isFrom: (instanceId: string) => boolean },
  deps: Pick<LeftoversDeps, "clock" | "log">,
): Promise<void> {
  const isMeant = ({ owner, app }: Marks) => {
    const instanceId = instanceOf(owner);
    return app === of.app && of.isFrom(instanceId) && isOrphaned(owner, instanceId);
  };
  const trees = await addMarked(new Map(), isMeant);
  await Promise.all([...trees.values()].map((tree) => endLeftover(deps, tree)));
}

/** @returns whether anything was left of it, and has ended now */
async function endLeftover(
  deps: Pick<LeftoversDeps, "clock" | "log">,
  tree: ProcessTree,
): Promise<boolean> {
  const pids = (await membersOf(tree)).map((entry) => entry.pid);
  if (pids.length === 0) return false;
  const { app, owner } = tree.marks;
  try {
    await endTree(tree, { clock: deps.clock, signal: "SIGTERM", timeoutMs: LEFTOVER_TIMEOUT_MS });
    deps.log.warn({ app, pids, owner }, "ended what a killed Paastis had left running");
  } catch (error) {
    deps.log.error(
      { app, pids, owner, reason: messageOf(error) },
      "could not end what a killed Paastis had left running",
    );
    return false;
  }
  return true;
}

/** A noted leader counts only while the very process lives that was noted. */
function addNoted(trees: Map<string, ProcessTree>, file: LedgerFile): void {
  const { leader, marks } = file;
  addTree(trees, marks, isStillThere(leader) ? leader : null);
}

function isStillThere(leader: Leader): boolean {
  return startedAt(leader.pid) === leader.startedAt;
}

/** The trees that were noted, and those that are found by the marks in their environment. */
async function addMarked(
  noted: ReadonlyMap<string, ProcessTree>,
  isMeant: (marks: Marks) => boolean,
): Promise<ReadonlyMap<string, ProcessTree>> {
  const trees = new Map(noted);
  const entries = await listProcesses();
  const spared = ourselves(entries);
  for (const entry of entries) {
    if (spared.has(entry.pid)) continue;
    const found = await readMarks(entry.pid);
    if (found === null || !isMeant(found)) continue;
    const { owner, app } = found;
    addTree(trees, { owner, app }, isLeader(entry) ? entry : null);
  }
  return trees;
}

/** All versions of an app that ran at once are one tree: all of them end. */
function addTree(trees: Map<string, ProcessTree>, marks: Marks, leader: Leader | null): void {
  const name = JSON.stringify([marks.owner, marks.app]);
  const tree = trees.get(name) ?? { leaders: [], marks, run: null, notBefore: null };
  const isKnown = tree.leaders.some((known) => known.pid === leader?.pid);
  const leaders = leader === null || isKnown ? tree.leaders : [...tree.leaders, leader];
  trees.set(name, { ...tree, leaders });
}

function isLeader(entry: ProcessEntry): boolean {
  return entry.pid === entry.group && entry.pid === entry.session;
}

/** Whether the owner is a Paastis of this instance that no longer lives. */
function isOrphaned(owner: string, instanceId: string): boolean {
  const ours = ownerPrefix(instanceId);
  if (!owner.startsWith(ours)) return false;
  // What follows the number is a start time, which may hold colons itself.
  const [, pid, began] = /^(\d+):(.+)$/.exec(owner.slice(ours.length)) ?? [];
  return began !== undefined && startedAt(Number(pid)) !== began;
}

function instanceOf(owner: string): string {
  const end = owner.indexOf(":");
  try {
    return decodeURIComponent(end === -1 ? owner : owner.slice(0, end));
  } catch {
    // Somebody else has set the variable.
    return "";
  }
}

/** Encoded, so that no instance's prefix is the beginning of another's. */
function ownerPrefix(instanceId: string): string {
  return `${encodeURIComponent(instanceId)}:`;
}
