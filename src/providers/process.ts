/** The provider of apps that Paastis runs itself, as child processes. */

import type { ProcessDeclaration } from "../config.ts";
import { messageOf } from "../errors.ts";
import { instanceNameOf } from "../instance-name.ts";
import { throwIfAborted, unlessAborted } from "./abortable.ts";
import type { Child } from "./process-child.ts";
import { createLedger } from "./process-ledger.ts";
import { endLeftovers, endLeftoversOf, ownerMark } from "./process-leftovers.ts";
import { endChild, startIn, takeIn } from "./process-run.ts";
import {
  ASLEEP,
  childrenOf,
  declarationOf,
  find,
  knownSlot,
  type ProcessContext,
  type ProcessProviderDeps,
  type Slot,
  slotOf,
  throwIfClosing,
} from "./process-slots.ts";
import { createVersions } from "./process-versions.ts";
import {
  type Listing,
  type Notice,
  type Observation,
  type Provider,
  ProviderError,
  type Step,
} from "./provider.ts";

const WAKE_TIMEOUT_MS = 60_000;
const SLEEP_TIMEOUT_MIN_MS = 40_000;

/** How long a sleep may take beyond `stop_timeout`: the kernel must take away what was killed. */
const SLEEP_MARGIN_MS = 10_000;

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
  const context: ProcessContext = {
    deps,
    owner,
    ledger,
    slots: new Map(),
    listeners: new Set(),
    starts: 0,
    closing: null,
  };
  for (const child of deps.inherited ?? []) takeIn(context, child);
  return providerOf(context);
}

function providerOf(context: ProcessContext): Provider {
  return {
    name: "process",
    capabilities: {
      listsDeclaredApps: true,
      runsApps: true,
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
    versions: createVersions(context),
    async takeOver(id, at) {
      const { clock, log } = context.deps;
      const isFrom = (instanceId: string) => instanceNameOf(instanceId) === at;
      try {
        await endLeftoversOf({ app: id, isFrom }, { clock, log });
      } catch (error) {
        // At worst it lives on beside its successor.
        log.error({ app: id, reason: messageOf(error) }, "could not look for what is left of it");
      }
    },
    keep: () => keep(context),
    close() {
      context.closing ??= closeAll(context);
      return context.closing;
    },
    async hurry() {
      const children = [...context.slots.values()].flatMap(childrenOf);
      await Promise.all(children.map((child) => child.kill()));
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

/** Brings the app up as it is declared now. */
function start(context: ProcessContext, slot: Slot, declaration: ProcessDeclaration): Step {
  const { target } = startIn(context, slot, {
    declaration,
    take(child) {
      slot.child = child;
      slot.onEnd = null;
      slot.seen = { phase: "awake", target: child.target };
      slot.reportedChange = null;
    },
  });
  return { done: true, target };
}

async function sleepApp(context: ProcessContext, id: string, signal: AbortSignal): Promise<Step> {
  throwIfAborted(signal, `stopping ${id}`);
  const slot = knownSlot(context, id);
  if (slot?.child) await unlessAborted(endChild(slot, slot.child), signal, `stopping ${id}`);
  return { done: true, target: null };
}

/** What is the app of each now; what else runs of it is still ended by us. */
function keep({ slots }: ProcessContext): readonly Child[] {
  return [...slots.values()].flatMap((slot) => {
    const { child } = slot;
    if (!child?.isRunning()) return [];
    slot.child = null;
    slot.seen = ASLEEP;
    return [child];
  });
}

async function forget(context: ProcessContext, id: string): Promise<void> {
  const slot = context.slots.get(id);
  if (slot === undefined) return;
  await Promise.all(childrenOf(slot).map((child) => endChild(slot, child)));
  // It may have been declared and woken again meanwhile.
  if (childrenOf(slot).length === 0 && declarationOf(context, id) === null)
    context.slots.delete(id);
}

async function closeAll(context: ProcessContext): Promise<void> {
  const endings = [...context.slots].flatMap(([id, slot]) =>
    childrenOf(slot).map(async (child) => {
      try {
        await endChild(slot, child);
      } catch (error) {
        context.deps.log.error({ app: id, reason: messageOf(error) }, "left running at the end");
      }
    }),
  );
  await Promise.all(endings);
  context.listeners.clear();
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
      "its changed settings count from its next wake or deployment on",
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
