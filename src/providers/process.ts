/** The provider of apps that Paastis runs itself, as child processes. */

import type { Clock } from "../clock.ts";
import type { ProcessDeclaration } from "../config.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { throwIfAborted, unlessAborted } from "./abortable.ts";
import { findFreePort, isPortFree } from "./free-port.ts";
import { type Child, type ChildExit, startChild } from "./process-child.ts";
import { createLedger, type Ledger } from "./process-ledger.ts";
import { endLeftovers, ownerMark } from "./process-leftovers.ts";
import {
  type Listing,
  type Notice,
  type Observation,
  type Provider,
  ProviderError,
  type Step,
} from "./provider.ts";

/** What the provider is made of. */
export interface ProcessProviderDeps {
  /** The apps that are declared now; asked anew at each call. */
  readonly declarations: () => readonly ProcessDeclaration[];
  /** What children inherit. */
  readonly environment: Readonly<Record<string, string>>;
  /** Absolute; `null`: nothing can be written, and a killed instance's children are found by their marks alone. */
  readonly dataDir: string | null;
  /** The same after a restart, different from every other instance on this machine. */
  readonly instanceId: string;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
}

/** What is held about one app. */
interface Slot {
  child: Child | null;
  /** What to report of it, but for the moment between an exit and its explanation. */
  seen: Observation;
  /** Wakes that wait until the old child is gone: its end is then no news to anybody. */
  wakesWaiting: number;
  /** The changed declaration that was already logged. */
  reportedChange: string | null;
}

interface ProcessContext {
  readonly deps: ProcessProviderDeps;
  readonly owner: string;
  readonly ledger: Ledger;
  readonly slots: Map<string, Slot>;
  readonly listeners: Set<(notice: Notice) => void>;
  closing: Promise<void> | null;
}

const WAKE_TIMEOUT_MS = 60_000;
const SLEEP_TIMEOUT_MIN_MS = 40_000;

/** How long a sleep may take beyond `stop_timeout`: the kernel must take away what was killed. */
const SLEEP_MARGIN_MS = 10_000;

/** Starts as asleep: what ran under an earlier instance has been ended. */
const ASLEEP: Observation = { phase: "asleep", target: null };

/**
 * Ends what a killed Paastis of the same instance has left behind, then resolves to a provider without children.
 * An app's id is its key.
 */
export async function createProcessProvider(deps: ProcessProviderDeps): Promise<Provider> {
  const { clock, dataDir, instanceId, log } = deps;
  const ledger = createLedger(dataDir, log);
  const owner = ownerMark(instanceId);
  try {
    await endLeftovers({ instanceId, ledger, clock, log });
  } catch (error) {
    // Not worth refusing to run: at worst an app of an earlier run lives on beside its successor.
    log.error({ reason: messageOf(error) }, "could not look for processes left behind");
  }
  return providerOf({
    deps,
    owner,
    ledger,
    slots: new Map(),
    listeners: new Set(),
    closing: null,
  });
}

function providerOf(context: ProcessContext): Provider {
  return {
    name: "process",
    capabilities: {
      listsDeclaredApps: true,
      listHasState: true,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      get sleepTimeoutMs() {
        return sleepTimeoutMs(context);
      },
      sleepAfterFailedWake: true,
    },
    async list(signal) {
      throwIfAborted(signal, "listing the process apps");
      return context.deps.declarations().map((declaration) => listingOf(context, declaration));
    },
    async observe(id, signal) {
      throwIfAborted(signal, `observing ${id}`);
      return observationOf(knownSlot(context, id));
    },
    async takeSnapshot(id, signal) {
      throwIfAborted(signal, `taking a snapshot of ${id}`);
      knownSlot(context, id);
      return { kind: "none" };
    },
    wake: (id, _snapshot, signal) => wake(context, id, signal),
    sleep: (id, _snapshot, signal) => sleepApp(context, id, signal),
    async poll(id, operation) {
      throw new ProviderError("invalid", `${id} has no operation ${operation.id} to ask for`);
    },
    watch(watcher) {
      const listener = (notice: Notice) => watcher.notice(notice);
      context.listeners.add(listener);
      return () => context.listeners.delete(listener);
    },
    forget: (id) => forget(context, id),
    close() {
      context.closing ??= closeAll(context);
      return context.closing;
    },
    async hurry() {
      await Promise.all([...context.slots.values()].map(({ child }) => child?.kill()));
    },
  };
}

async function wake(context: ProcessContext, id: string, signal: AbortSignal): Promise<Step> {
  const what = `waking ${id}`;
  for (;;) {
    throwIfAborted(signal, what);
    throwIfClosing(context, id);
    const declaration = find(context, id);
    const slot = slotOf(context, id);
    const { child } = slot;
    if (child === null) return start(context, slot, declaration);
    if (child.isRunning()) {
      reportChange(context, slot, declaration);
      return { done: true, target: child.target };
    }
    slot.wakesWaiting += 1;
    try {
      await unlessAborted(endChild(slot, child), signal, what);
    } finally {
      slot.wakesWaiting -= 1;
    }
  }
}

/** Synchronous up to the spawned child, so that nobody else can take its port or its slot. */
function start(context: ProcessContext, slot: Slot, declaration: ProcessDeclaration): Step {
  const { clock, environment, log } = context.deps;
  const { ledger, owner } = context;
  const port = choosePort(context, declaration);
  const child = startChild({ declaration, port, environment, owner, ledger, clock, log });
  slot.child = child;
  slot.seen = { phase: "awake", target: child.target };
  slot.reportedChange = null;
  log.debug({ app: declaration.key, pid: child.pid, port }, "process started");
  void follow(context, slot, child);
  return { done: true, target: child.target };
}

/** Waits for a child's end, whoever wanted it, and clears up after it. Never rejects. */
async function follow(context: ProcessContext, slot: Slot, child: Child): Promise<void> {
  const exit = await child.exited;
  if (exit.byItself) tellExit(context, slot, { child, exit });
  try {
    await endChild(slot, child);
  } catch (error) {
    // Kept in its slot: the next wake or sleep tries again, and says why if that fails, too.
    const { key } = child.declaration;
    context.deps.log.error({ app: key, reason: messageOf(error) }, "a process cannot be ended");
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

async function sleepApp(context: ProcessContext, id: string, signal: AbortSignal): Promise<Step> {
  throwIfAborted(signal, `stopping ${id}`);
  const slot = knownSlot(context, id);
  if (slot?.child) await unlessAborted(endChild(slot, slot.child), signal, `stopping ${id}`);
  return { done: true, target: null };
}

/** An exit by itself keeps its reason; what was ended on purpose is asleep, whatever its status. */
async function endChild(slot: Slot, child: Child): Promise<void> {
  if (child.isRunning()) slot.seen = { phase: "stopping", target: null };
  await child.end();
  if (slot.child !== child) return;
  slot.child = null;
  if (slot.seen.phase === "stopping") slot.seen = ASLEEP;
}

async function forget(context: ProcessContext, id: string): Promise<void> {
  const slot = context.slots.get(id);
  if (slot === undefined) return;
  if (slot.child !== null) await endChild(slot, slot.child);
  // It may have been declared and woken again meanwhile.
  if (slot.child === null && declarationOf(context, id) === null) context.slots.delete(id);
}

async function closeAll(context: ProcessContext): Promise<void> {
  const endings = [...context.slots].map(async ([id, slot]) => {
    try {
      if (slot.child !== null) await endChild(slot, slot.child);
    } catch (error) {
      context.deps.log.error({ app: id, reason: messageOf(error) }, "left running at the end");
    }
  });
  await Promise.all(endings);
  context.listeners.clear();
}

/** @throws ProviderError `failed` when the fixed port is taken, or no port is free */
function choosePort(context: ProcessContext, declaration: ProcessDeclaration): number {
  const { key, port } = declaration;
  const given = new Map<number, string>();
  for (const { child } of context.slots.values()) {
    if (child !== null) given.set(child.port, child.declaration.key);
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

function listingOf(context: ProcessContext, declaration: ProcessDeclaration): Listing {
  const { key } = declaration;
  const slot = context.slots.get(key);
  if (slot !== undefined) reportChange(context, slot, declaration);
  return { id: key, key, observation: observationOf(slot), sleepsByItself: false };
}

function observationOf(slot: Slot | undefined): Observation {
  if (slot === undefined) return ASLEEP;
  const isBetween = slot.seen.phase === "awake" && !slot.child?.isRunning();
  return isBetween ? { phase: "stopping", target: null } : slot.seen;
}

/** A running child keeps what it was started with: says so once per change. */
function reportChange(context: ProcessContext, slot: Slot, declared: ProcessDeclaration): void {
  if (!slot.child?.isRunning()) return;
  const change = fingerprint(declared);
  if (change === fingerprint(slot.child.declaration)) {
    slot.reportedChange = null;
  } else if (change !== slot.reportedChange) {
    slot.reportedChange = change;
    context.deps.log.info(
      { app: declared.key },
      "its changed settings count from its next wake on",
    );
  }
}

function fingerprint(declaration: ProcessDeclaration): string {
  const { command, cwd, env, port, stopSignal, stopTimeoutMs } = declaration;
  const variables = Object.entries(env).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([command, cwd, variables, port, stopSignal, stopTimeoutMs]);
}

function sleepTimeoutMs(context: ProcessContext): number {
  const started = [...context.slots.values()].flatMap(({ child }) => child?.declaration ?? []);
  const timeouts = [...context.deps.declarations(), ...started].map(
    (declaration) => declaration.stopTimeoutMs + SLEEP_MARGIN_MS,
  );
  return Math.max(SLEEP_TIMEOUT_MIN_MS, ...timeouts);
}

/** An app that is no longer declared is known for as long as something of it runs. */
function knownSlot(context: ProcessContext, id: string): Slot | undefined {
  const slot = context.slots.get(id);
  if (slot === undefined || slot.child === null) find(context, id);
  return slot;
}

function slotOf(context: ProcessContext, id: string): Slot {
  const known = context.slots.get(id);
  if (known !== undefined) return known;
  const slot: Slot = { child: null, seen: ASLEEP, wakesWaiting: 0, reportedChange: null };
  context.slots.set(id, slot);
  return slot;
}

function declarationOf(context: ProcessContext, id: string): ProcessDeclaration | null {
  return context.deps.declarations().find((declaration) => declaration.key === id) ?? null;
}

function find(context: ProcessContext, id: string): ProcessDeclaration {
  const found = declarationOf(context, id);
  if (found !== null) return found;
  throw new ProviderError("not-found", `no app ${id} of provider process is declared`);
}

function throwIfClosing(context: ProcessContext, id: string): void {
  if (context.closing === null) return;
  throw new ProviderError("unavailable", `cannot start ${id}: Paastis is shutting down`);
}
