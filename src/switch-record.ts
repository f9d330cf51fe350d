/** What must survive a restart about the switches of one app, and how each step changes it. Pure. */

import type { Pause } from "./app.ts";
import type { GateLook } from "./switch-gate.ts";
import type { Tally } from "./switch-verdict.ts";

/** Who wanted a switch. */
export type SwitchReason = "manual" | "deploy" | "rollback";

/** One switch that took place. */
export interface SwitchEntry {
  readonly id: string;
  /** Address of the old target, as `addressOf` gives it; `null`: the app was not up. */
  readonly from: string | null;
  readonly to: string;
  /** ms since the epoch. */
  readonly atMs: number;
  readonly reason: SwitchReason;
  /** What it was asked for with, so that asking once more changes nothing; `null`: without one. */
  readonly idempotencyKey: string | null;
}

/** A target that requests no longer go to, and that some may still be under way to. */
export interface Drain {
  readonly address: string;
  /** When what is left is ended, ms since the epoch. */
  readonly untilMs: number;
}

/** While it is open, a switch is taken back by itself when the new target fails. */
export interface RollbackWindow {
  /** The way back. */
  readonly back: string;
  readonly untilMs: number;
  /** What the old target's last minute came to. */
  readonly before: Tally;
}

/** Everything about one app. */
export interface SwitchRecord {
  /** Address of the active target; `null`: where it is declared to be. */
  readonly active: string | null;
  readonly lastSwitch: SwitchEntry | null;
  readonly drains: readonly Drain[];
  readonly window: RollbackWindow | null;
  readonly pause: Pause | null;
  /** The newest switches that were asked for with an idempotency key, newest last, and what was answered. */
  readonly answered: readonly Answered[];
}

/** What was said to whoever asked for a switch, so that asking once more gets the same answer after a restart, too. */
export interface Answered {
  readonly entry: SwitchEntry;
  /** What the gate saw last. */
  readonly look: GateLook | null;
}

/** As many as somebody may ask for anew after a restart. */
const ANSWERED_MAX = 20;

/** An app that was never switched. */
export const NEVER_SWITCHED: SwitchRecord = {
  active: null,
  lastSwitch: null,
  drains: [],
  window: null,
  pause: null,
  answered: [],
};

/** Remembers an answer, if it was asked for with a key. */
export function withAnswer(record: SwitchRecord, answer: Answered): SwitchRecord {
  if (answer.entry.idempotencyKey === null) return record;
  return { ...record, answered: [...record.answered, answer].slice(-ANSWERED_MAX) };
}

/** After a swap. A target that is active again drains no longer; a rollback opens no window of its own. */
export function afterSwap(
  record: SwitchRecord,
  entry: SwitchEntry,
  plan: { readonly drainMs: number; readonly windowMs: number; readonly before: Tally },
): SwitchRecord {
  const { from, to, atMs, reason } = entry;
  const others = record.drains.filter(({ address }) => address !== to && address !== from);
  if (from === null)
    return { ...record, active: to, lastSwitch: entry, drains: others, window: null };
  const drains = [...others, { address: from, untilMs: atMs + plan.drainMs }];
  const hasWindow = reason !== "rollback" && plan.windowMs > 0;
  const window = hasWindow
    ? { back: from, untilMs: atMs + plan.windowMs, before: plan.before }
    : null;
  return { ...record, active: to, lastSwitch: entry, drains, window };
}

/** What is over is forgotten. The same object when nothing is. */
export function afterTime(record: SwitchRecord, nowMs: number): SwitchRecord {
  const drains = record.drains.filter(({ untilMs }) => untilMs > nowMs);
  const window = record.window !== null && record.window.untilMs > nowMs ? record.window : null;
  if (drains.length === record.drains.length && window === record.window) return record;
  return { ...record, drains, window };
}

/** All that went to a target has ended before its time. */
export function afterDrain(record: SwitchRecord, address: string): SwitchRecord {
  const drains = record.drains.filter((drain) => drain.address !== address);
  return drains.length === record.drains.length ? record : { ...record, drains };
}

/** After a restart that has ended the processes of its targets. The same object when nothing was under way. */
export function afterLoss(record: SwitchRecord): SwitchRecord {
  if (record.active === null && record.window === null && record.drains.length === 0) return record;
  return { ...record, active: null, window: null, drains: [] };
}

/** Whether they are the same for visitors. Since when does not matter: it goes on. */
export function isSamePause(one: Pause | null, other: Pause | null): boolean {
  const messageOfOne = (pause: Pause | null) =>
    pause?.kind === "maintenance" ? pause.message : null;
  return one?.kind === other?.kind && messageOfOne(one) === messageOfOne(other);
}

/** When the last drain ends; `null`: nothing drains. */
export function drainUntilMs({ drains }: SwitchRecord): number | null {
  return drains.length === 0 ? null : Math.max(...drains.map(({ untilMs }) => untilMs));
}
