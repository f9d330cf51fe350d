/** What the parts of the switchboard share: its dependencies, and what it knows of each app. */

import type { App, Target } from "./app.ts";
import { addressOf } from "./app.ts";
import type { Clock } from "./clock.ts";
import type { Carrier } from "./engines/carrier.ts";
import { messageOf } from "./errors.ts";
import type { Cause, EventBus, EventName, PaastisEvent } from "./events.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Log } from "./log.ts";
import type { Versions } from "./providers/provider.ts";
import type { GateLook, GateResult } from "./switch-gate.ts";
import type { SwitchPolicy } from "./switch-policy.ts";
import type { SwitchEntry, SwitchRecord } from "./switch-record.ts";
import { Overtaken, type SwitchLock, type SwitchStore } from "./switch-store.ts";

/** Everything the switchboard needs from outside. */
export interface SwitchboardDeps {
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
  readonly events: EventBus;
  readonly lifecycle: Pick<Lifecycle, "cancelDrain" | "observe" | "swap" | "wake">;
  readonly store: SwitchStore;
  readonly policyOf: (app: App) => SwitchPolicy;
  /** How its provider starts new versions of an app; `null`: it does not. Left out: none does. */
  readonly versionsOf?: (app: App) => Versions | null;
  /** For looks at targets. */
  readonly fetch: typeof fetch;
  /** No two alike. */
  readonly newId: () => string;
  /** An app's pause has changed. */
  readonly onPause: (app: App) => void;
  /** What carries requests now; `null`: nothing listens yet, or any more. */
  readonly carrier: () => Carrier | null;
}

/** What was seen of the active target lately. */
export interface Health {
  /** `null`: it was not looked at yet. */
  isOk: boolean | null;
  /** ms since the epoch; `null`: never. */
  checkedMs: number | null;
  /** Looks in a row that failed. */
  fails: number;
  /** What the newest look saw. */
  look: GateLook | null;
}

/** A switch under way. */
export interface Running {
  readonly id: string;
  /** Address of the target it goes to; `NEW_VERSION` as long as that has none. */
  readonly to: string;
  readonly sinceMs: number;
}

/** Stands for the address of a version that is yet to be started. */
export const NEW_VERSION = "a new version";

/** How a switch ended. */
export type SwitchOutcome =
  | {
      readonly kind: "switched";
      readonly entry: SwitchEntry;
      /** `null`: an earlier run of the program has seen it. */
      readonly look: GateLook | null;
    }
  /** Requests go there already. */
  | { readonly kind: "already"; readonly lastSwitch: SwitchEntry | null }
  | { readonly kind: "unhealthy"; readonly look: GateLook; readonly looks: number }
  /** The new version ended, or did not become healthy, or could not even be started: then `gate` is `null`. */
  | {
      readonly kind: "start-failed";
      readonly why: string;
      readonly gate: GateResult | null;
      /** The last lines it printed. */
      readonly output: string;
    }
  /** Nobody starts new versions of such an app, or not two of it at once. */
  | { readonly kind: "impossible"; readonly why: string }
  /** Another switch runs. */
  | {
      readonly kind: "busy";
      readonly running: Running;
      /** On another instance. */
      readonly isElsewhere: boolean;
    }
  /** The key was used for another target. */
  | { readonly kind: "key-reused"; readonly to: string }
  /** It could not be made durable, so nothing has changed. */
  | {
      readonly kind: "not-saved";
      readonly why: string;
      /** It may have been made durable all the same, and then it will count soon. */
      readonly isUncertain: boolean;
    }
  | { readonly kind: "refused"; readonly why: string };

/** What the switchboard knows of one app. */
export interface Desk {
  readonly app: App;
  /** How new versions of it are started; `null`: by somebody else. */
  readonly versions: Versions | null;
  record: SwitchRecord;
  /** What the store had when `record` was made of it. */
  seen: SwitchRecord;
  /** The store has something else now, of another instance, that is yet to be taken over. */
  hasNews: boolean;
  /** One switch at a time. */
  running: Running | null;
  /** A rollback that Paastis tries by itself: whoever switches by hand goes first. `null`: none is tried. */
  rollback: { readonly callOff: AbortController; readonly over: Promise<unknown> } | null;
  readonly health: Health;
  /** Drains that were begun, by the address of the old target; those that are over stay until the record has them no more. */
  readonly drains: Map<string, { readonly untilMs: number; readonly end: AbortController }>;
  /** By idempotency key, newest last. */
  readonly outcomes: Map<string, { readonly to: string; readonly outcome: Promise<SwitchOutcome> }>;
  /** The newest change of the record; the next one waits for it. */
  writing: Promise<unknown>;
  /** End of the rollback window for which it was said that there is no way back; `null`: of none. */
  toldNoWayBackMs: number | null;
  /** Ends the watch over it; `null`: it is not watched. */
  endWatch: (() => void) | null;
  /** Aborted when the app is gone, or the program stops: nothing of this desk is to happen any more. */
  readonly over: AbortController;
}

/** State shared by the switchboard's functions. */
export interface SwitchContext extends SwitchboardDeps {
  /** By key of the app. */
  readonly desks: Map<string, Desk>;
  readonly closing: AbortController;
  /** Work that nobody waits for but `close`. It must not reject. */
  readonly later: (work: Promise<void>) => void;
  /** What a record says has changed, or a drain is over: watches, and ends old versions, as is right from now on. */
  readonly settle: (desk: Desk) => void;
  /** Takes over what another instance has stored, if it has. Safe to repeat. */
  readonly adopt: (desk: Desk) => void;
  /** A version of an app has ended by itself while requests went to it. @returns whether that is seen to here */
  readonly hasEnded: (desk: Desk, end: VersionEnd) => boolean;
}

/** The end of a version that requests went to. */
export interface VersionEnd {
  readonly target: Target;
  /** For people. */
  readonly reason: string;
}

/** Address of the target that requests go to; `null`: nobody knows where it answers. */
export function activeAddress(desk: Desk): string | null {
  const { app, record, versions } = desk;
  if (versions !== null) return versionAddress(desk);
  if (record.active !== null) return record.active;
  const target = activeTarget(app);
  return target === null ? null : addressOf(target);
}

/** Each start has an address of its own: that of the one before says nothing, but while there is a way back from it. */
function versionAddress({ app, record }: Desk): string | null {
  const up = upAddress(app);
  return up ?? (record.window === null ? null : (record.lastSwitch?.to ?? null));
}

/** Address of the target of an app that is up; `null`: it is not, as far as anybody knows. */
export function upAddress({ state }: App): string | null {
  const isUp = state.kind === "awake" || state.kind === "draining";
  return isUp ? addressOf(state.target) : null;
}

/** Where requests for an app go, or went last. */
export function activeTarget({ state, lastTarget }: App): Target | null {
  return state.kind === "awake" || state.kind === "draining" ? state.target : lastTarget;
}

/** One change of an app's record. */
export interface Step {
  /**
   * From the record as it is by then; the same object when there is nothing to change. It is called anew when another
   * instance was faster.
   */
  readonly change: (record: SwitchRecord) => SwitchRecord;
  /** What it is done under; left out: nothing. */
  readonly lock?: SwitchLock | null;
  /** Called in the moment in which the new record counts. */
  readonly onSaved?: () => void;
  /** It counts although it cannot be stored, and this is called before; left out: it does not count. */
  readonly onUnsaved?: (error: unknown) => void;
}

/** Others are faster so often only when something is wrong with them. */
const ATTEMPTS_MAX = 20;

/**
 * Changes an app's record: durable first, then known. Changes wait for each other.
 * @throws Overtaken when what it is done under has passed to another instance
 * @throws Error when it cannot be stored, or the app is gone: then nothing has changed
 */
export async function update(context: SwitchContext, desk: Desk, step: Step): Promise<void> {
  await inTurn(desk, async () => {
    for (let attempts = 1; attempts <= ATTEMPTS_MAX; attempts += 1) {
      desk.over.signal.throwIfAborted();
      context.adopt(desk);
      if (await wasTaken(context, desk, step)) return;
      desk.hasNews = true;
    }
    throw new Error("other instances change it again and again: try again");
  });
}

/** Takes over what another instance has stored, once the changes under way are done. Never rejects. */
export async function catchUp(context: SwitchContext, desk: Desk): Promise<void> {
  await inTurn(desk, async () => {
    try {
      context.adopt(desk);
    } catch (error) {
      const fields = { app: desk.app.key, reason: messageOf(error) };
      context.log.error(fields, "what another instance has stored broke it: please report it");
    }
  });
}

async function inTurn(desk: Desk, task: () => Promise<void>): Promise<void> {
  const work = desk.writing.then(task);
  desk.writing = work.catch(() => undefined);
  await work;
}

/** @returns false, and nothing has changed, when another instance was faster */
async function wasTaken(context: SwitchContext, desk: Desk, step: Step): Promise<boolean> {
  const { app, record, seen } = desk;
  const next = step.change(record);
  if (next === record) return true;
  try {
    const { lock = null } = step;
    if (!(await context.store.save(app.key, next, { seen, lock }))) return false;
  } catch (error) {
    if (step.onUnsaved === undefined || error instanceof Overtaken) throw error;
    step.onUnsaved(error);
    context.store.hold(app.key, next);
  }
  desk.record = next;
  desk.seen = next;
  step.onSaved?.();
  context.settle(desk);
  return true;
}

/** Tells everybody what happened to an app. */
export function tell(
  context: SwitchContext,
  { app }: Desk,
  event: {
    readonly name: EventName;
    readonly cause: Cause;
    readonly reason?: string;
    readonly details?: PaastisEvent["details"];
  },
): void {
  context.events.emit({ ...event, app: app.key, ref: app.ref });
}
