/** Starts and ends the children of apps, and tells whoever listens when one has ended by itself. */

import type { ProcessDeclaration } from "../config.ts";
import { messageOf } from "../errors.ts";
import { findFreePort, isPortFree } from "./free-port.ts";
import { type Child, type ChildExit, startChild } from "./process-child.ts";
import { ASLEEP, childrenOf, type ProcessContext, type Slot, slotOf } from "./process-slots.ts";
import { ProviderError } from "./provider.ts";

/**
 * Synchronous up to the spawned child, so that nobody else can take its port or its slot.
 * @param take puts the child where it belongs in its slot
 * @throws ProviderError `failed`
 */
export function startIn(
  context: ProcessContext,
  slot: Slot,
  start: { readonly declaration: ProcessDeclaration; readonly take: (child: Child) => void },
): Child {
  const { clock, environment, log } = context.deps;
  const { ledger, owner } = context;
  const { declaration, take } = start;
  const port = choosePort(context, declaration);
  context.starts += 1;
  const run = String(context.starts);
  const child = startChild({ declaration, port, environment, owner, run, ledger, clock, log });
  take(child);
  log.debug({ app: declaration.key, pid: child.pid, port }, "process started");
  void follow(context, slot, child);
  return child;
}

/** A child that somebody else has started is the app from here on. */
export function takeIn(context: ProcessContext, child: Child): void {
  const slot = slotOf(context, child.declaration.key);
  slot.child = child;
  slot.seen = { phase: "awake", target: child.target };
  void follow(context, slot, child);
}

/** Waits for a child's end, whoever wanted it, and clears up after it. Never rejects. */
async function follow(context: ProcessContext, slot: Slot, child: Child): Promise<void> {
  const { log } = context.deps;
  const app = child.declaration.key;
  const exit = await child.exited;
  if (exit.byItself && slot.child === child) tellExit(context, slot, { child, exit });
  else if (exit.byItself && childrenOf(slot).includes(child)) {
    const { port } = child;
    log.info({ app, port, reason: exit.reason }, "a version of it ended that gets no requests");
  }
  try {
    await endChild(slot, child);
  } catch (error) {
    // Kept in its slot: the next wake or sleep tries again, and says why if that fails, too.
    log.error({ app, reason: messageOf(error) }, "a process cannot be ended");
  }
}

function tellExit(
  context: ProcessContext,
  slot: Slot,
  { child, exit }: { readonly child: Child; readonly exit: ChildExit },
): void {
  const { log } = context.deps;
  const id = child.declaration.key;
  const phase = exit.status === 0 ? "asleep" : "failed";
  const reason = exit.status === 0 ? "exited with status 0" : exit.reason;
  slot.seen = { phase, target: null, reason };
  const { onEnd } = slot;
  slot.onEnd = null;
  if (onEnd?.(exit.reason) === true) {
    // Nor does who asks: a sweep would call it crashed while its successor is about to take over.
    slot.seen = { phase: "unknown", target: null, reason };
    return;
  }
  if (slot.wakesWaiting > 0) {
    log.warn({ app: id, reason }, "ended by itself just before it was woken again");
    return;
  }
  for (const listener of context.listeners) {
    try {
      listener({ id, observation: slot.seen });
    } catch (error) {
      log.error({ app: id, reason: messageOf(error) }, "a listener for exits failed");
    }
  }
}

/**
 * An exit by itself keeps its reason; what was ended on purpose is asleep, whatever its status.
 * @throws ProviderError `failed` when something outlives SIGKILL
 */
export async function endChild(slot: Slot, child: Child): Promise<void> {
  if (slot.child === child && child.isRunning()) slot.seen = { phase: "stopping", target: null };
  await child.end();
  slot.candidates.delete(child);
  slot.former.delete(child);
  if (slot.child !== child) return;
  slot.child = null;
  if (slot.seen.phase === "stopping") slot.seen = ASLEEP;
}

/** @throws ProviderError `failed` when the fixed port is taken, or no port is free */
function choosePort(context: ProcessContext, declaration: ProcessDeclaration): number {
  const { key, port } = declaration;
  const given = new Map<number, string>();
  for (const child of [...context.slots.values()].flatMap(childrenOf)) {
    given.set(child.port, child.declaration.key);
  }
  if (port === null) return chooseFreePort(context, key, new Set(given.keys()));
  const other = given.get(port);
  if (other !== undefined || !isPortFree(port)) {
    const who = other === undefined ? "another program" : `app ${other}`;
    throw new ProviderError(
      "failed",
      `cannot start ${key}: port ${port} is in use by ${who}; stop that, or give ${key} another port`,
    );
  }
  return port;
}

function chooseFreePort(context: ProcessContext, key: string, taken: Set<number>): number {
  for (const { port } of context.deps.declarations()) if (port !== null) taken.add(port);
  try {
    return findFreePort(context.deps.random, taken);
  } catch (cause) {
    throw new ProviderError("failed", `cannot start ${key}: ${messageOf(cause)}`, { cause });
  }
}
