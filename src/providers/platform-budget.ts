/** How many calls an account may make: a token bucket, and a queue in which wakes go first. */

import type { CancelTimer, Clock } from "../clock.ts";
import type { Urgency } from "./platform-api.ts";
import { ProviderError } from "./provider.ts";

/** What an account may do. In any stretch of time at most `burst` calls plus `perMinute` for its length are sent. */
export interface BudgetLimits {
  /** Calls that may follow each other at once; at least 1. From 2 on, a quarter of them, or one, is kept for wakes. */
  readonly burst: number;
  /** Calls that come back per minute, evenly; more than 0. */
  readonly perMinute: number;
  /** Calls under way at the same time; at least 1. From 2 on, one place is kept for wakes. */
  readonly inFlightMax: number;
}

/** Somebody who wants to make a call. */
export interface Entrant {
  readonly urgency: Urgency;
  /** A wake that was sent away while the platform wanted no calls: it waits for the end of that like a sleep. */
  readonly obeys: boolean;
  /** Goes ahead of others of its urgency. */
  readonly isAhead?: boolean;
  /** Aborted: it leaves the queue, and `enter` rejects with the reason. */
  readonly signal: AbortSignal;
}

/** The right to make one call now. */
export interface Place {
  /** The platform said how many more calls it allows. Only ever lowers what is left. */
  told(remaining: number): void;
  /** The platform wants no calls for so long, in ms. The longest such word counts. */
  limited(pauseMs: number): void;
  /** The call is over. Safe to repeat. */
  leave(): void;
  /** The call was never made: it costs nothing. */
  giveBack(): void;
}

/** Whether there is a place, or none will come in the time that one of this urgency waits for the platform. */
export type Entry =
  | { readonly kind: "go"; readonly place: Place }
  | { readonly kind: "paused"; readonly restMs: number };

/** Made by `createBudget`; hand the same one to several APIs of one account. */
export interface Budget {
  /**
   * Waits for a place, as long as `signal` lets it: wakes first, then sweeps and sleeps by turns, otherwise in order.
   * While the platform wants no calls, a sweep waits at most 5 s, others 2 minutes, for that to end; one wake at
   * a time is let through as a probe, after 2 s first, after twice as long each time that it is sent away, and after
   * 2 s again once it was not.
   * @throws the signal's reason; ProviderError `failed` when the budget is closed
   */
  enter(entrant: Entrant): Promise<Entry>;
  /** For how long the platform wants no calls, as far as it said, in ms. */
  readonly pauseRestMs: number;
  /** Whether calls under way have taken all places, but for those kept for wakes. */
  readonly isCrowded: boolean;
  readonly limits: BudgetLimits;
  /** Sends everybody away who waits, and whoever comes. Safe to repeat. */
  close(): void;
}

/** How long a call waits for the platform to want calls again, in ms. */
const PATIENCE_MS: Readonly<Record<Urgency, number>> = {
  wake: 120_000,
  sleep: 120_000,
  sweep: 5_000,
};
/** Between the probes that are made although the platform wants no calls, in ms; doubles up to the last. */
const PROBE_FIRST_MS = 2_000;
const PROBE_LAST_MS = 30_000;
/** Tokens come in fractions, and sums of fractions are not exact. */
const NEARLY = 1e-6;
/**
 * A sweep's list is one call, on which all sleeps depend, and they are many: it goes ahead of them. Where sweeps have
 * to look at apps one by one, they are many, too: then neither is to starve.
 */
const ORDER: readonly Urgency[] = ["wake", "sweep", "sleep"];
const ORDER_AFTER_SWEEP: readonly Urgency[] = ["wake", "sleep", "sweep"];

interface Waiter {
  readonly entrant: Entrant;
  /** When the platform's pause first caught it; `null` while it only waits for its turn. */
  pausedSinceMs: number | null;
  readonly settle: (entry: Entry) => void;
  readonly fail: (reason: unknown) => void;
}

interface State {
  readonly limits: BudgetLimits;
  readonly clock: Clock;
  readonly queues: Readonly<Record<Urgency, Waiter[]>>;
  tokens: number;
  /** When `tokens` was reckoned. */
  reckonedMs: number;
  inFlight: number;
  /** The last call that was no wake was a sweep's. */
  isAfterSweep: boolean;
  pausedUntilMs: number;
  probeAtMs: number;
  probeGapMs: number;
  isProbing: boolean;
  /** Some of those who wait may have been caught by a pause. */
  hasCaught: boolean;
  cancelTimer: CancelTimer;
  isClosed: boolean;
}

/** Makes a full budget. */
export function createBudget(limits: BudgetLimits, clock: Clock): Budget {
  const state: State = {
    limits,
    clock,
    queues: { wake: [], sleep: [], sweep: [] },
    tokens: limits.burst,
    reckonedMs: clock.now(),
    inFlight: 0,
    isAfterSweep: false,
    pausedUntilMs: 0,
    probeAtMs: 0,
    probeGapMs: PROBE_FIRST_MS,
    isProbing: false,
    hasCaught: false,
    cancelTimer: () => undefined,
    isClosed: false,
  };
  return {
    enter: (entrant) => enter(state, entrant),
    get pauseRestMs() {
      return Math.max(0, state.pausedUntilMs - clock.now());
    },
    get isCrowded() {
      return state.inFlight >= placesFor(state, "sweep");
    },
    limits,
    close: () => close(state),
  };
}

function enter(state: State, entrant: Entrant): Promise<Entry> {
  const { signal } = entrant;
  if (signal.aborted) return Promise.reject(signal.reason);
  if (state.isClosed) return Promise.reject(closedError());
  const { promise, resolve, reject } = Promise.withResolvers<Entry>();
  const onAbort = () => {
    remove(state, waiter);
    reject(signal.reason);
    pump(state);
  };
  const over = () => signal.removeEventListener("abort", onAbort);
  const waiter: Waiter = {
    entrant,
    pausedSinceMs: null,
    settle: (entry) => {
      over();
      resolve(entry);
    },
    fail: (reason) => {
      over();
      reject(reason);
    },
  };
  signal.addEventListener("abort", onAbort, { once: true });
  const queue = state.queues[entrant.urgency];
  if (entrant.isAhead === true) queue.unshift(waiter);
  else queue.push(waiter);
  pump(state);
  return promise;
}

function close(state: State): void {
  state.isClosed = true;
  state.cancelTimer();
  for (const waiter of waiting(state)) waiter.fail(closedError());
  for (const urgency of ORDER) state.queues[urgency].length = 0;
}

function closedError(): ProviderError {
  return new ProviderError("failed", "Paastis no longer calls this platform: it is shutting down");
}

function waiting(state: State): Waiter[] {
  return ORDER.flatMap((urgency) => state.queues[urgency]);
}

function remove(state: State, waiter: Waiter): void {
  const queue = state.queues[waiter.entrant.urgency];
  const index = queue.indexOf(waiter);
  if (index >= 0) queue.splice(index, 1);
}

/** Lets go whoever may go, sends away whoever waits in vain, and looks again when time changes that. */
function pump(state: State): void {
  if (state.isClosed) return;
  const nowMs = state.clock.now();
  reckon(state, nowMs);
  sendAway(state, nowMs);
  for (let next = firstToGo(state, nowMs); next !== null; next = firstToGo(state, nowMs)) {
    remove(state, next);
    const { urgency } = next.entrant;
    if (urgency !== "wake") state.isAfterSweep = urgency === "sweep";
    next.settle({ kind: "go", place: takePlace(state, nowMs) });
  }
  lookAgain(state, nowMs);
}

function firstToGo(state: State, nowMs: number): Waiter | null {
  for (const urgency of state.isAfterSweep ? ORDER_AFTER_SWEEP : ORDER) {
    for (const waiter of state.queues[urgency]) {
      if (waitMs(state, waiter, nowMs) === 0) return waiter;
      if (areAlike(state, nowMs)) break;
    }
  }
  return null;
}

/** Whether those of one urgency wait equally long: only a pause tells them apart. */
function areAlike(state: State, nowMs: number): boolean {
  return state.pausedUntilMs <= nowMs;
}

function reckon(state: State, nowMs: number): void {
  const { burst, perMinute } = state.limits;
  const gained = ((nowMs - state.reckonedMs) * perMinute) / 60_000;
  state.tokens = Math.min(burst, state.tokens + gained);
  state.reckonedMs = nowMs;
}

function sendAway(state: State, nowMs: number): void {
  const restMs = state.pausedUntilMs - nowMs;
  if (restMs <= 0 && !state.hasCaught) return;
  state.hasCaught = restMs > 0;
  for (const waiter of waiting(state)) {
    waiter.pausedSinceMs = restMs > 0 ? (waiter.pausedSinceMs ?? nowMs) : null;
    if (nowMs < vainAtMs(state, waiter)) continue;
    remove(state, waiter);
    waiter.settle({ kind: "paused", restMs });
  }
}

/** From when on it makes no sense that it waits for the pause to end: at once, when that is too far away. */
function vainAtMs(state: State, waiter: Waiter): number {
  if (waiter.pausedSinceMs === null) return Number.POSITIVE_INFINITY;
  const untilMs = waiter.pausedSinceMs + PATIENCE_MS[waiter.entrant.urgency];
  if (mayProbe(waiter)) return untilMs;
  return state.pausedUntilMs > untilMs ? waiter.pausedSinceMs : Number.POSITIVE_INFINITY;
}

function mayProbe({ entrant }: Waiter): boolean {
  return entrant.urgency === "wake" && !entrant.obeys;
}

/** How long until it may go, as far as time alone decides; infinite while another call must end first. */
function waitMs(state: State, waiter: Waiter, nowMs: number): number {
  const { burst, perMinute } = state.limits;
  const { urgency } = waiter.entrant;
  const isWake = urgency === "wake";
  if (state.inFlight >= placesFor(state, urgency)) return Number.POSITIVE_INFINITY;
  const kept = isWake || burst < 2 ? 0 : Math.max(1, Math.floor(burst / 4));
  const missing = 1 + kept - state.tokens;
  const tokenMs = missing <= NEARLY ? 0 : Math.ceil((missing * 60_000) / perMinute);
  return Math.max(tokenMs, pauseMs(state, waiter, nowMs));
}

function placesFor({ limits: { inFlightMax } }: State, urgency: Urgency): number {
  return urgency === "wake" || inFlightMax < 2 ? inFlightMax : inFlightMax - 1;
}

function pauseMs(state: State, waiter: Waiter, nowMs: number): number {
  const restMs = Math.max(0, state.pausedUntilMs - nowMs);
  if (restMs === 0 || !mayProbe(waiter)) return restMs;
  if (state.isProbing) return restMs;
  return Math.min(restMs, Math.max(0, state.probeAtMs - nowMs));
}

/** One timer for all who wait: for the first who may go, or waits in vain from then on. */
function lookAgain(state: State, nowMs: number): void {
  state.cancelTimer();
  state.cancelTimer = () => undefined;
  let delayMs = Number.POSITIVE_INFINITY;
  for (const urgency of ORDER) {
    for (const waiter of state.queues[urgency]) {
      delayMs = Math.min(delayMs, waitMs(state, waiter, nowMs), vainAtMs(state, waiter) - nowMs);
      if (areAlike(state, nowMs)) break;
    }
  }
  if (Number.isFinite(delayMs)) {
    state.cancelTimer = state.clock.after(Math.max(1, delayMs), () => pump(state));
  }
}

function takePlace(state: State, nowMs: number): Place {
  const isProbe = state.pausedUntilMs > nowMs;
  let isOver = false;
  let isHeard = isProbe;
  state.tokens -= 1;
  state.inFlight += 1;
  if (isProbe) {
    state.isProbing = true;
    state.probeAtMs = nowMs + state.probeGapMs;
  }
  function leave(): void {
    if (isOver) return;
    isOver = true;
    state.inFlight -= 1;
    if (isProbe) state.isProbing = false;
    if (isHeard) probeSoon(state);
    pump(state);
  }
  return {
    told(remaining) {
      reckon(state, state.clock.now());
      // Others under way may not have been counted yet.
      state.tokens = Math.min(state.tokens, Math.max(0, remaining - (state.inFlight - 1)));
    },
    limited(durationMs) {
      isHeard = false;
      pause(state, durationMs, isProbe);
    },
    leave,
    giveBack() {
      if (!isOver) state.tokens += 1;
      isHeard = false;
      leave();
    },
  };
}

/** One got through: so may the next. */
function probeSoon(state: State): void {
  state.probeGapMs = PROBE_FIRST_MS;
  state.probeAtMs = Math.min(state.probeAtMs, state.clock.now() + PROBE_FIRST_MS);
}

function pause(state: State, durationMs: number, isProbe: boolean): void {
  const nowMs = state.clock.now();
  reckon(state, nowMs);
  const isPaused = state.pausedUntilMs > nowMs;
  if (isProbe) state.probeGapMs = Math.min(PROBE_LAST_MS, state.probeGapMs * 2);
  else if (!isPaused) state.probeGapMs = PROBE_FIRST_MS;
  if (isProbe || !isPaused) state.probeAtMs = nowMs + state.probeGapMs;
  // What the platform counts has been used up; ours is, too, and comes back as usual.
  state.tokens = Math.min(state.tokens, 0);
  state.pausedUntilMs = Math.max(state.pausedUntilMs, nowMs + durationMs);
  pump(state);
}
