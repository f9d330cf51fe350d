/** What the process provider holds about its apps: the declarations, and the children of each. */

import type { Clock } from "../clock.ts";
import type { ProcessDeclaration } from "../config.ts";
import type { Log } from "../log.ts";
import type { Child } from "./process-child.ts";
import type { Ledger } from "./process-ledger.ts";
import { type Notice, type Observation, ProviderError } from "./provider.ts";

/** What the provider is made of. */
export interface ProcessProviderDeps {
  /** The apps that are declared now; asked anew at each call. */
  readonly declarations: () => readonly ProcessDeclaration[];
  /** What children inherit. */
  readonly environment: Readonly<Record<string, string>>;
  /** Absolute; `null`: nothing can be written, and a killed instance's children are found by their marks alone. */
  readonly dataDir: string | null;
  /** Children that live already, of the process whose place this one takes. Left out: there are none. */
  readonly inherited?: readonly Child[];
  /** The same after a restart, different from every other instance on this machine. */
  readonly instanceId: string;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
}

/** What is held about one app. */
export interface Slot {
  /** The one that is the app. */
  child: Child | null;
  /** Started beside it, and nobody has said yet that they are the app. */
  readonly candidates: Set<Child>;
  /** They were the app once, and live on for now. */
  readonly former: Set<Child>;
  /** Told when `child` ends by itself; true: nobody else is to be. `null`: nobody asked for that. */
  onEnd: ((reason: string) => boolean) | null;
  /** What to report of it, but for the moment between an exit and its explanation. */
  seen: Observation;
  /** Wakes that wait until the old child is gone: its end is then no news to anybody. */
  wakesWaiting: number;
  /** The changed declaration that was already logged. */
  reportedChange: string | null;
}

/** What the provider's functions share. */
export interface ProcessContext {
  readonly deps: ProcessProviderDeps;
  readonly owner: string;
  readonly ledger: Ledger;
  readonly slots: Map<string, Slot>;
  readonly listeners: Set<(notice: Notice) => void>;
  /** Children that were started so far. */
  starts: number;
  closing: Promise<void> | null;
}

/** Starts as asleep: what ran under an earlier instance has been ended. */
export const ASLEEP: Observation = { phase: "asleep", target: null };

/** Everything that runs for an app, or is being ended. */
export function childrenOf({ child, candidates, former }: Slot): readonly Child[] {
  return [...(child === null ? [] : [child]), ...candidates, ...former];
}

/** An app that is no longer declared is known for as long as something of it runs. @throws ProviderError `not-found` */
export function knownSlot(context: ProcessContext, id: string): Slot | undefined {
  const slot = context.slots.get(id);
  if (slot === undefined || slot.child === null) find(context, id);
  return slot;
}

/** Made when first asked for. */
export function slotOf(context: ProcessContext, id: string): Slot {
  const known = context.slots.get(id);
  if (known !== undefined) return known;
  const slot: Slot = {
    child: null,
    candidates: new Set(),
    former: new Set(),
    onEnd: null,
    seen: ASLEEP,
    wakesWaiting: 0,
    reportedChange: null,
  };
  context.slots.set(id, slot);
  return slot;
}

/** @returns `null` when it is declared no longer */
export function declarationOf(context: ProcessContext, id: string): ProcessDeclaration | null {
  return context.deps.declarations().find((declaration) => declaration.key === id) ?? null;
}

/** The declaration of an app. @throws ProviderError `not-found` */
export function find(context: ProcessContext, id: string): ProcessDeclaration {
  const found = declarationOf(context, id);
  if (found !== null) return found;
  throw new ProviderError("not-found", `no app ${id} of provider process is declared`);
}

/** @throws ProviderError `unavailable` */
export function throwIfClosing(context: ProcessContext, id: string): void {
  if (context.closing === null) return;
  throw new ProviderError("unavailable", `cannot start ${id}: Paastis is shutting down`);
}
