/** One switch of an app at a time, over all instances. */

import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import type { Desk, Running, SwitchContext, SwitchOutcome } from "./switch-context.ts";
import { catchUp, NEW_VERSION, tell } from "./switch-context.ts";
import type { SwitchRecord } from "./switch-record.ts";
import { Overtaken, type SwitchLock, Uncertain } from "./switch-store.ts";

/** The right to switch an app, while `runLocked` works. */
export interface Turn {
  readonly running: Running;
  /** `null`: a rollback that nobody could be asked for. */
  readonly lock: SwitchLock | null;
  /** Id of the newest switch when it began; `null`: there was none. */
  readonly base: string | null;
}

/** What is to be done by one instance alone. */
export interface LockedOrder {
  /** Address of a target, or `NEW_VERSION`. */
  readonly to: string;
  /** As in `SwitchOrder`. */
  readonly key: string | null;
  readonly cause: Cause;
  /** It goes on although nobody can be asked. */
  readonly isRollback?: boolean;
  readonly work: (turn: Turn) => Promise<SwitchOutcome>;
}

/** One switch of an app at a time, and none once the program stops. Never rejects. */
export async function runLocked(
  context: SwitchContext,
  desk: Desk,
  order: LockedOrder,
): Promise<SwitchOutcome> {
  if (order.isRollback !== true && desk.rollback !== null) {
    desk.rollback.callOff.abort(new Error("somebody switches by hand"));
    await desk.rollback.over;
  }
  if (desk.over.signal.aborted) return refusedBecauseOver(desk);
  if (desk.running !== null) return { kind: "busy", running: desk.running, isElsewhere: false };
  const { to } = order;
  const running: Running = { id: context.newId(), to, sinceMs: context.clock.now() };
  desk.running = running;
  try {
    return await runAlone(context, desk, { ...order, running });
  } catch (error) {
    context.log.error(
      { app: desk.app.key, reason: messageOf(error) },
      "a switch broke: please report it",
    );
    return { kind: "refused", why: "an unexpected error: the log has it" };
  } finally {
    desk.running = null;
  }
}

/** Too late for any switch of the app. */
export function refusedBecauseOver({ over }: Desk): SwitchOutcome {
  return { kind: "refused", why: messageOf(over.signal.reason) };
}

/** @throws Overtaken when another instance has switched the app since `turn` began */
export function throwIfOvertaken({ lastSwitch }: SwitchRecord, { base }: Turn): void {
  if ((lastSwitch?.id ?? null) === base) return;
  throw new Overtaken("another instance has switched it meanwhile");
}

/** Nothing has changed, as it could not have been stored. */
export function notSaved(
  context: SwitchContext,
  desk: Desk,
  wanted: { readonly to: string; readonly cause: Cause; readonly error: unknown },
): SwitchOutcome {
  const { to, cause, error } = wanted;
  const why = messageOf(error);
  tell(context, desk, {
    name: "APP_SWITCH_REFUSED",
    cause,
    reason: `it could not be stored: ${why}`,
    details: { to },
  });
  return { kind: "not-saved", why, isUncertain: error instanceof Uncertain };
}

async function runAlone(
  context: SwitchContext,
  desk: Desk,
  order: LockedOrder & { readonly running: Running },
): Promise<SwitchOutcome> {
  const { running } = order;
  const found = await lockOf(context, desk, order);
  if ("outcome" in found) return found.outcome;
  const { lock } = found;
  try {
    await catchUp(context, desk);
    if (desk.over.signal.aborted) return refusedBecauseOver(desk);
    const { record } = desk;
    return (
      answerOf(record, order) ??
      (await order.work({ running, lock, base: record.lastSwitch?.id ?? null }))
    );
  } finally {
    await lock?.release();
  }
}

async function lockOf(
  context: SwitchContext,
  desk: Desk,
  order: LockedOrder & { readonly running: Running },
): Promise<{ readonly lock: SwitchLock | null } | { readonly outcome: SwitchOutcome }> {
  const { app } = desk;
  try {
    const locking = await context.store.lock(app.key, order.running);
    if ("lock" in locking) return locking;
    return { outcome: { kind: "busy", running: locking.heldBy, isElsewhere: true } };
  } catch (error) {
    if (order.isRollback === true) return { lock: null };
    return { outcome: notSaved(context, desk, { ...order, error }) };
  }
}

/** What another instance has answered to the same key. `null`: nothing. */
function answerOf({ answered }: SwitchRecord, { to, key }: LockedOrder): SwitchOutcome | null {
  if (key === null) return null;
  const known = answered.findLast(({ entry }) => entry.idempotencyKey === key);
  if (known === undefined) return null;
  const { entry, look } = known;
  const askedFor = entry.reason === "deploy" ? NEW_VERSION : entry.to;
  return to === askedFor ? { kind: "switched", entry, look } : { kind: "key-reused", to: askedFor };
}
