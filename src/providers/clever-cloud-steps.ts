/** Wakes and sleeps of Clever Cloud apps, one look and at most one change at a time. */

import type { Asked } from "./clever-cloud-api.ts";
import {
  type CleverCloudContext,
  completeLook,
  inTurn,
  isId,
  type Known,
  knownOf,
  lookAt,
  readApp,
} from "./clever-cloud-context.ts";
import {
  type Circumstances,
  type Decision,
  decideSleep,
  decideWake,
  isHeard,
  isLate,
  type Order,
  pollAfterMs,
} from "./clever-cloud-decision.ts";
import { isUndeploy, isUp, progressOf, standingOf, type View } from "./clever-cloud-state.ts";
import { ProviderError, type ProviderErrorKind, type Step } from "./provider.ts";

/** What is to be done with an app; also the id of the operation, as there is one of each per app at most. */
export type Goal = "wake" | "sleep";

/** An app that was busy is asked again so much later, ms. */
const BUSY_PAUSE_MS = 5_000;
/** Longest pause between two looks, whatever the platform asks for, ms: the API layer makes looks obey it. */
const PAUSE_MAX_MS = 30_000;

/** Everything one step works with. */
interface Turn {
  readonly context: CleverCloudContext;
  readonly known: Known;
  readonly goal: Goal;
  readonly asked: Asked;
}

/**
 * Begins a wake or a sleep, or goes on with one that was begun before and given up.
 * @throws ProviderError when it cannot be done, or nobody can say how the app is
 */
export function begin(
  context: CleverCloudContext,
  order: { readonly id: string; readonly goal: Goal; readonly signal: AbortSignal },
): Promise<Step> {
  const turn = turnOf(context, order);
  return inTurn(turn.known, order.signal, async () => {
    const { known, goal } = turn;
    const given = reusable(known[goal], context.clock.now()) ?? newOrder(context.clock.now());
    known[goal] = given;
    const view = await lookAt(context, known, turn.asked);
    if (goal === "wake") takeUpRecalled(known, given, view);
    return await advance(turn, view);
  });
}

/**
 * Notes a wake that an earlier run began: it counts as asked for, so that it is not asked for again before the
 * platform has had time to show what came of it.
 */
export function recallWake(context: CleverCloudContext, id: string, begunMs: number): void {
  const known = isId(id) ? knownOf(context, id) : null;
  // That run may have had another time.
  if (known !== null) known.recalledMs = Math.min(begunMs, context.clock.now());
}

function takeUpRecalled(known: Known, order: Order, { newest }: View): void {
  const { recalledMs } = known;
  known.recalledMs = null;
  if (recalledMs === null || order.writes > 0) return;
  if (!isHeard({ order: { ...order, writes: 1, writtenMs: recalledMs }, nowMs: order.begunMs }))
    return;
  order.writes = 1;
  order.writtenMs = recalledMs;
  // One that is under way may be what came of it; one that is over came before.
  const isOver = progressOf(newest) !== "under-way" || isUndeploy(newest);
  order.previousId = isOver ? (newest?.id ?? null) : null;
}

/**
 * Looks how far it is, and changes what has to be changed next. What passes by itself is waited out.
 * @throws ProviderError when it has failed
 */
export function follow(
  context: CleverCloudContext,
  order: { readonly id: string; readonly goal: Goal; readonly signal: AbortSignal },
): Promise<Step> {
  const turn = turnOf(context, order);
  return inTurn(turn.known, order.signal, async () => {
    try {
      const view = await glance(turn);
      return view === null ? wait(turn) : await advance(turn, view);
    } catch (error) {
      const answers = order.signal.aborted ? null : untilItAnswers(turn, error);
      if (answers !== null) return answers;
      if (order.signal.aborted || !isPassing(error)) throw error;
      const fields = { provider: "clever-cloud", app: turn.known.label, reason: error.message };
      context.log.debug(fields, "could not be looked at while it is changed: again soon");
      return wait(turn, error.retryAfterMs ?? 0);
    }
  });
}

function turnOf(
  context: CleverCloudContext,
  { id, goal, signal }: { readonly id: string; readonly goal: Goal; readonly signal: AbortSignal },
): Turn {
  return { context, known: knownOf(context, id), goal, asked: { urgency: goal, signal } };
}

function newOrder(nowMs: number): Order {
  return { begunMs: nowMs, writes: 0, writtenMs: 0, previousId: null, notBeforeMs: 0 };
}

/** One that has reached the platform lately must not be forgotten, or it would be given twice. */
function reusable(order: Order | null, nowMs: number): Order | null {
  return order !== null && isHeard({ order, nowMs }) ? order : null;
}

const PASSING: readonly ProviderErrorKind[] = [
  "network",
  "protocol",
  "rate-limited",
  "unavailable",
];

function isPassing(error: unknown): error is ProviderError {
  return error instanceof ProviderError && PASSING.includes(error.kind);
}

/** The platform cannot be asked just now, or not by us. */
const AWAY: readonly ProviderErrorKind[] = ["auth", "network", "rate-limited", "unavailable"];

/** A start that was ordered goes on while nobody can be asked about it: the app shows by itself that it is up. */
function untilItAnswers({ context, known, goal }: Turn, error: unknown): Step | null {
  if (!(error instanceof ProviderError) || !AWAY.includes(error.kind)) return null;
  const target = known.detail?.target ?? null;
  if (goal !== "wake" || target === null || (known.wake?.writes ?? 0) === 0) return null;
  // What answers now may be what a stop is about to take down.
  const isStopping =
    known.sleep !== null && isHeard({ order: known.sleep, nowMs: context.clock.now() });
  return isStopping ? null : { done: true, target };
}

/** A look in as few calls as will do; `null` when the first one says that nothing has to be done yet. */
async function glance({ context, known, goal, asked }: Turn): Promise<View | null> {
  const order = known[goal];
  const isEarly = order !== null && !isLate(circumstancesOf(context, known, { order, goal }));
  if (goal === "wake" && isEarly && order.writes > 0) {
    const newest = await context.api.newestDeployment(known, asked);
    if (progressOf(newest) === "under-way" && !isUndeploy(newest)) return null;
  }
  const app = await readApp(context, known, asked);
  return await completeLook(context, known, { app, asked });
}

/** Does what the look calls for. */
async function advance(turn: Turn, view: View): Promise<Step> {
  const { context, known, goal } = turn;
  const order = known[goal];
  if (order === null) return endOfOther(turn, view);
  const circumstances = circumstancesOf(context, known, { order, goal });
  const decision =
    goal === "wake" ? decideWake(view, circumstances) : decideSleep(view, circumstances);
  switch (decision.kind) {
    case "done":
      known[goal] = null;
      return { done: true, target: known.detail?.target ?? null };
    case "wait":
      return wait(turn);
    case "write":
      return await write(turn, { order, view });
    case "fail":
      known[goal] = null;
      throw failure(turn, decision);
  }
}

function circumstancesOf(
  { clock, config }: CleverCloudContext,
  known: Known,
  { order, goal }: { readonly order: Order; readonly goal: Goal },
): Circumstances {
  return {
    order,
    opposite: goal === "wake" ? known.sleep : known.wake,
    nowMs: clock.now(),
    operationTimeoutMs: config.operationTimeoutMs,
  };
}

/** Somebody else followed the same order to its end: the app's state says which. Nothing is changed any more. */
function endOfOther(turn: Turn, view: View): Step {
  const { known, goal } = turn;
  const { phase, reason = `it is ${phase}` } = standingOf(view);
  const isReached = goal === "wake" ? isUp(view) : phase === "asleep";
  if (isReached) return { done: true, target: known.detail?.target ?? null };
  if (phase === "waking" || phase === "stopping") return wait(turn);
  throw failure(turn, { error: "failed", why: reason });
}

function wait({ context, known, goal }: Turn, leastMs = 0): Step {
  const order = known[goal] ?? newOrder(context.clock.now());
  const delayMs = Math.max(
    Math.min(leastMs, PAUSE_MAX_MS),
    pollAfterMs(order, context.clock.now()),
  );
  return { done: false, operation: { id: goal }, pollAfterMs: delayMs };
}

/**
 * Asks the platform. It is noted before: a call that was given up, or whose answer was lost, may have been
 * heard, and is not made again before the platform has had time to show it.
 */
async function write(
  turn: Turn,
  { order, view }: { readonly order: Order; readonly view: View },
): Promise<Step> {
  const { context, known, goal, asked } = turn;
  const before = { ...order };
  order.writes += 1;
  order.writtenMs = context.clock.now();
  order.previousId = view.newest?.id ?? null;
  try {
    if (goal === "wake") await context.api.deploy(known, asked);
    else await context.api.undeploy(known, asked);
    known[goal === "wake" ? "sleep" : "wake"] = null;
    return wait(turn);
  } catch (error) {
    if (!(error instanceof ProviderError) || error.isUncertain) return afterDoubt(turn, error);
    Object.assign(order, before);
    return afterRefusal(turn, { order, error });
  }
}

/** The platform may have heard it: its state says so, sooner or later. */
function afterDoubt(turn: Turn, error: unknown): Step {
  if (!isPassing(error) || turn.asked.signal.aborted) throw error;
  const fields = { provider: "clever-cloud", app: turn.known.label, reason: error.message };
  turn.context.log.debug(fields, "nobody knows whether that was done: its state will tell");
  return wait(turn, error.retryAfterMs ?? 0);
}

/** Certainly not done. A busy app is asked again for as long as an operation may take. */
function afterRefusal(
  turn: Turn,
  { order, error }: { readonly order: Order; readonly error: ProviderError },
): Step {
  const { context, known, goal } = turn;
  const isOver = isLate(circumstancesOf(context, known, { order, goal }));
  if (error.kind !== "busy" || isOver) {
    if (order.writes === 0) known[goal] = null;
    throw error;
  }
  order.notBeforeMs = context.clock.now() + BUSY_PAUSE_MS;
  return wait(turn, BUSY_PAUSE_MS);
}

function failure(
  { known, goal }: Turn,
  { error, why }: Pick<Extract<Decision, { kind: "fail" }>, "error" | "why">,
): ProviderError {
  const what = goal === "wake" ? "wake" : "put to sleep";
  return new ProviderError(error, `could not ${what} ${known.label}: ${why}`);
}
