/** One switch: the candidate must be healthy, the change durable; then requests go there, and the old target drains. */

import type { Target } from "./app.ts";
import { addressOf, targetOf } from "./app.ts";
import { sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import type { Desk, SwitchContext, SwitchOutcome } from "./switch-context.ts";
import { activeAddress, NEW_VERSION, tell, upAddress, update } from "./switch-context.ts";
import { drain } from "./switch-drain.ts";
import { type GateLook, type GateResult, passGate } from "./switch-gate.ts";
import {
  notSaved,
  refusedBecauseOver,
  runLocked,
  type Turn,
  throwIfOvertaken,
} from "./switch-lock.ts";
import type { Drain, SwitchEntry, SwitchReason, SwitchRecord } from "./switch-record.ts";
import { afterDrain, afterSwap, afterTime, withAnswer } from "./switch-record.ts";
import { Overtaken } from "./switch-store.ts";
import { lastMinute } from "./traffic.ts";

/** What a switch is asked for with. */
export interface SwitchOrder {
  readonly target: Target;
  readonly reason: SwitchReason;
  readonly cause: Cause;
  /** Asking again with the same one gets the same answer; `null`: without. */
  readonly idempotencyKey: string | null;
  /** Why it is wanted, and what shows it; for the event of a rollback. */
  readonly evidence?: string;
  /** Calls a rollback off as long as nothing has changed. */
  readonly callOff?: AbortSignal;
}

/** Outcomes that are kept for whoever asks again. */
const OUTCOMES_MAX = 100;

/** Moves an app to another target, or says why not. Never rejects. */
export function runSwitch(
  context: SwitchContext,
  desk: Desk,
  order: SwitchOrder,
): Promise<SwitchOutcome> {
  const to = addressOf(order.target);
  return runOnce(desk, { key: order.idempotencyKey, to }, () => switchLocked(context, desk, order));
}

/**
 * Does nothing twice that is asked for with the same key. Never rejects if `work` does not.
 * @param asked.to address of a target, or `NEW_VERSION`
 */
export function runOnce(
  desk: Desk,
  asked: { readonly key: string | null; readonly to: string },
  work: () => Promise<SwitchOutcome>,
): Promise<SwitchOutcome> {
  const { key, to } = asked;
  if (key === null) return work();
  const known = desk.outcomes.get(key);
  if (known !== undefined) {
    if (known.to !== to) return Promise.resolve({ kind: "key-reused", to: known.to });
    return known.outcome;
  }
  const outcome = work();
  desk.outcomes.set(key, { to, outcome });
  void forgetUnlessFinal(desk, key, outcome);
  return outcome;
}

/** What is known of what an earlier run was asked for: switches that took place. */
export function knownOutcomes({ answered }: SwitchRecord): Desk["outcomes"] {
  return new Map(
    answered.flatMap(({ entry, look }) => {
      if (entry.idempotencyKey === null) return [];
      const outcome = Promise.resolve<SwitchOutcome>({ kind: "switched", entry, look });
      const to = entry.reason === "deploy" ? NEW_VERSION : entry.to;
      return [[entry.idempotencyKey, { to, outcome }] as const];
    }),
  );
}

/** Outcomes that are the answer to whoever asks once more with the same key; any other may be tried again. */
const FINAL: ReadonlySet<SwitchOutcome["kind"]> = new Set([
  "switched",
  "already",
  "unhealthy",
  "start-failed",
]);

async function forgetUnlessFinal(
  { outcomes }: Desk,
  key: string,
  outcome: Promise<SwitchOutcome>,
): Promise<void> {
  const { kind } = await outcome;
  // Another instance may have done it meanwhile.
  if (!FINAL.has(kind) && outcomes.get(key)?.outcome === outcome) outcomes.delete(key);
  for (const oldest of outcomes.keys()) {
    if (outcomes.size <= OUTCOMES_MAX) return;
    outcomes.delete(oldest);
  }
}

async function switchLocked(
  context: SwitchContext,
  desk: Desk,
  order: SwitchOrder,
): Promise<SwitchOutcome> {
  const to = addressOf(order.target);
  return await runLocked(context, desk, {
    ...{ to, key: order.idempotencyKey, cause: order.cause },
    isRollback: order.reason === "rollback",
    async work(turn) {
      if (activeAddress(desk) === to) return already(desk);
      // Another instance has taken it back, or switched on.
      if (order.callOff?.aborted) return calledOff(order.callOff);
      // From here on no sleep begins; one that has begun must not land on the new target.
      context.lifecycle.cancelDrain(desk.app, "it is being switched");
      if (desk.app.state.kind === "stopping") {
        return { kind: "refused", why: "it is being put to sleep: try again in a moment" };
      }
      return await gateThenSwap(context, desk, { ...order, turn });
    },
  });
}

function calledOff({ reason }: AbortSignal): SwitchOutcome {
  return { kind: "refused", why: messageOf(reason) };
}

function already({ record }: Desk): SwitchOutcome {
  return { kind: "already", lastSwitch: record.lastSwitch };
}

async function gateThenSwap(
  context: SwitchContext,
  desk: Desk,
  order: OrderInTurn,
): Promise<SwitchOutcome> {
  const { clock, fetch } = context;
  const { callOff } = order;
  const { signal: over } = desk.over;
  const signal = callOff === undefined ? over : AbortSignal.any([over, callOff]);
  const policy = context.policyOf(desk.app);
  const gate = await passGate(order.target, policy.gate, { clock, fetch, signal });
  if (over.aborted) return refusedBecauseOver(desk);
  if (callOff?.aborted) return calledOff(callOff);
  if (!gate.isHealthy) return refuse(context, desk, { order, gate });
  const from = activeAddress(desk);
  if (from === null) return { kind: "refused", why: "nobody knows where it answers now" };
  // It was declared to be there meanwhile.
  if (from === addressOf(order.target)) return already(desk);
  return await saveThenSwap(context, desk, { order, from, look: gate.last });
}

/** With the right to do it. */
type OrderInTurn = SwitchOrder & { readonly turn: Turn };

/** The part of a switch that changes something: the target has proved to be healthy. Never rejects. */
export async function saveThenSwap(
  context: SwitchContext,
  desk: Desk,
  passed: {
    readonly order: OrderInTurn;
    /** Address of the old target; `null`: there is none. */
    readonly from: string | null;
    readonly look: GateLook;
  },
): Promise<SwitchOutcome> {
  const { clock } = context;
  const { app, versions } = desk;
  const { order, from, look } = passed;
  const { reason, idempotencyKey, turn } = order;
  const { id } = turn.running;
  const to = addressOf(order.target);
  const entry: SwitchEntry = { id, from, to, atMs: clock.now(), reason, idempotencyKey };
  const plan = { ...context.policyOf(app), before: lastMinute(app.traffic, clock.now()) };
  const change = (record: SwitchRecord): SwitchRecord => {
    throwIfOvertaken(record, turn);
    const next = withAnswer(afterSwap(record, entry, plan), { entry, look });
    // Its next start has another address.
    return versions === null ? next : { ...next, active: null };
  };
  let isSwapped = false;
  const onSaved = () => {
    drainLatecomer(context, desk, entry);
    isSwapped = swap(context, desk, entry);
    tellSwitched(context, desk, { entry, order, look });
  };
  // What fails must not go on failing for want of room on a disk. It is stored with the record's next change.
  const onUnsaved = (error: unknown) => {
    const fields = { app: app.key, reason: messageOf(error), target: to };
    context.log.error(fields, "was switched back, but that is not stored: a restart would undo it");
  };
  const isRollback = reason === "rollback";
  try {
    const { lock } = turn;
    await update(context, desk, { change, lock, onSaved, ...(isRollback && { onUnsaved }) });
  } catch (error) {
    if (desk.over.signal.aborted && !isSwapped) return refusedBecauseOver(desk);
    if (error instanceof Overtaken) return { kind: "refused", why: error.message };
    return notSaved(context, desk, { to, cause: order.cause, error });
  }
  if (!isSwapped)
    context.log.warn({ app: app.key }, "is being stopped: the switch counts from its next wake");
  return { kind: "switched", entry, look };
}

/**
 * In one go: from here on nothing goes to the old target any more.
 * @returns false while the app is being stopped
 */
export function swap(context: SwitchContext, desk: Desk, entry: SwitchEntry): boolean {
  const { app, drains, health, record, versions } = desk;
  const target = targetOf(entry.to);
  const isJudged = record.window !== null;
  app.traffic.watched = isJudged ? { address: entry.to, requests: 0, errors: 0 } : null;
  versions?.adopt(app.ref.id, target, (reason) => context.hasEnded(desk, { target, reason }));
  const isSwapped = context.lifecycle.swap(app, target);
  Object.assign(health, { isOk: true, checkedMs: context.clock.now(), fails: 0 });
  // Requests go there again: nothing of it is to be ended any more.
  drains.get(entry.to)?.end.abort(new Error("it is active again"));
  drains.delete(entry.to);
  for (const address of [...drains.keys()]) {
    if (!record.drains.some((one) => one.address === address)) drains.delete(address);
  }
  for (const one of record.drains) beginDrain(context, desk, one);
  return isSwapped;
}

/** A wake that has ended while this was being stored has brought requests to yet another target. */
function drainLatecomer({ policyOf }: SwitchContext, desk: Desk, entry: SwitchEntry): void {
  const { app, record } = desk;
  const address = upAddress(app);
  if (address === null || address === entry.from || address === entry.to) return;
  const untilMs = entry.atMs + policyOf(app).drainMs;
  desk.record = { ...record, drains: [...record.drains, { address, untilMs }] };
}

function refuse(
  context: SwitchContext,
  desk: Desk,
  refused: { readonly order: SwitchOrder; readonly gate: GateResult },
): SwitchOutcome {
  const { order, gate } = refused;
  const { last: look, looks } = gate;
  if (order.reason !== "rollback") {
    tell(context, desk, {
      name: "APP_SWITCH_REFUSED",
      cause: order.cause,
      reason: `${addressOf(order.target)} is not healthy: ${sawWhat(look)}`,
      details: { to: addressOf(order.target), looks },
    });
  }
  return { kind: "unhealthy", look, looks };
}

/** What a look at a target came to, in words. */
export function sawWhat({ status, why, body, ms }: GateLook): string {
  if (status === null) return `${why ?? "no answer"} (${ms} ms)`;
  const said = body === "" ? "" : `: ${body}`;
  return `${why === null ? "" : `${why}; `}status ${status} after ${ms} ms${said}`;
}

function tellSwitched(
  context: SwitchContext,
  desk: Desk,
  switched: {
    readonly entry: SwitchEntry;
    readonly order: SwitchOrder;
    readonly look: GateLook;
  },
): void {
  const { entry, order } = switched;
  const { from, to, id } = entry;
  tell(context, desk, {
    name: entry.reason === "rollback" ? "APP_ROLLED_BACK" : "APP_SWITCHED",
    cause: order.cause,
    ...(order.evidence === undefined ? {} : { reason: order.evidence }),
    details: { from, to, switch: id, health: sawWhat(switched.look) },
  });
}

/** Goes on in the background. One that was begun already goes on as it is. */
export function beginDrain(context: SwitchContext, desk: Desk, { address, untilMs }: Drain): void {
  if (desk.drains.get(address)?.untilMs === untilMs) return;
  const { app } = desk;
  const end = new AbortController();
  desk.drains.set(address, { untilMs, end });
  const signal = AbortSignal.any([end.signal, desk.over.signal]);
  const manner = context.policyOf(app).drain;
  const beganMs = context.clock.now();
  const work = drain({ ...context, app, address, manner, untilMs, signal }).then((drained) => {
    if (signal.aborted) return;
    context.later(afterwards(context, desk, { address, untilMs }));
    tell(context, desk, {
      name: "APP_DRAINED",
      cause: { kind: "command", detail: "a switch" },
      details: { target: address, durationMs: context.clock.now() - beganMs, ...drained },
    });
  });
  context.later(work);
}

/** An old version may end now. Where nobody sees its requests, they have the whole time of the drain. */
async function afterwards(context: SwitchContext, desk: Desk, drained: Drain): Promise<void> {
  if (desk.versions === null) return;
  if (context.carrier()?.seesRequests === false) await untilOver(context, desk, drained);
  try {
    const change = (record: SwitchRecord) => afterDrain(record, drained.address);
    await update(context, desk, { change });
  } catch (error) {
    if (desk.over.signal.aborted) return;
    const fields = { app: desk.app.key, reason: messageOf(error) };
    context.log.warn(fields, "the state of its switch could not be stored");
    await untilOver(context, desk, drained);
    // Who reads the file later reckons the same.
    desk.record = afterTime(desk.record, context.clock.now());
    context.settle(desk);
  }
}

async function untilOver({ clock }: SwitchContext, { over }: Desk, drained: Drain): Promise<void> {
  const leftMs = drained.untilMs - clock.now();
  if (leftMs > 0) await sleep(clock, leftMs, over.signal).catch(() => undefined);
}
