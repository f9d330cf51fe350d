/** Whose app may be scaled: a few at a time, as many operations at once make some of them fail on Scalingo. */

import type { CancelTimer, Clock } from "../clock.ts";
import { throwIfAborted } from "./abortable.ts";
import { ProviderError } from "./provider.ts";

/** Turns, one per app at most. */
export interface ScaleTurns {
  /**
   * Waits for a turn: wakes before sleeps, otherwise in order; the last one is kept for wakes. An app that has one
   * keeps it. It lasts until it is given back, or nobody has cared for it after `rest`.
   * @throws ProviderError `failed` when `signal` is aborted first, or nobody gets a turn any more
   */
  take(id: string, urgency: "wake" | "sleep", signal: AbortSignal): Promise<void>;
  /** Somebody works for the app again: the turn no longer ends by itself. */
  keep(id: string): void;
  /** Nobody works for the app until the next `take` or `keep`: when none comes, the turn ends by itself. */
  rest(id: string): void;
  /** It is no longer needed. Safe to repeat. */
  give(id: string): void;
  /** Nobody gets a turn any more, and who waits is told so: what would end a forgotten turn ends here. */
  close(): void;
}

/** A turn that has rested for so long is over: whoever followed the operation has given up, ms. */
const FORGOTTEN_MS = 15_000;

interface Waiter {
  readonly id: string;
  readonly urgency: "wake" | "sleep";
  readonly go: () => void;
}

interface State {
  readonly clock: Clock;
  readonly max: number;
  /** App -> when its turn ends by itself; infinite while somebody works for it. */
  readonly held: Map<string, number>;
  waiting: Waiter[];
  cancelTimer: CancelTimer | null;
  isClosed: boolean;
}

/** @param max turns at the same time, from 2. Source: Scalingo's advice to a customer, 1024pix/pix-bot#4: not many */
export function createScaleTurns(clock: Clock, max: number): ScaleTurns {
  const state: State = {
    clock,
    max,
    held: new Map(),
    waiting: [],
    cancelTimer: null,
    isClosed: false,
  };
  return {
    take: (id, urgency, signal) => take(state, { id, urgency }, signal),
    keep(id) {
      if (state.held.has(id)) state.held.set(id, Number.POSITIVE_INFINITY);
    },
    rest(id) {
      if (!state.held.has(id)) return;
      state.held.set(id, clock.now() + FORGOTTEN_MS);
      admit(state);
    },
    give(id) {
      state.held.delete(id);
      admit(state);
    },
    close() {
      state.isClosed = true;
      state.cancelTimer?.();
      state.cancelTimer = null;
      for (const { go } of state.waiting.splice(0)) go();
    },
  };
}

async function take(state: State, wanted: Omit<Waiter, "go">, signal: AbortSignal): Promise<void> {
  const what = "waiting for other apps to be scaled";
  throwIfAborted(signal, what);
  throwIfClosed(state);
  const { promise, resolve } = Promise.withResolvers<void>();
  const waiter: Waiter = { ...wanted, go: resolve };
  const onAbort = () => {
    state.waiting = state.waiting.filter((other) => other !== waiter);
    resolve();
  };
  signal.addEventListener("abort", onAbort, { once: true });
  state.waiting.push(waiter);
  admit(state);
  await promise;
  signal.removeEventListener("abort", onAbort);
  throwIfAborted(signal, what);
  throwIfClosed(state);
}

function throwIfClosed({ isClosed }: State): void {
  if (isClosed) throw new ProviderError("failed", "Paastis no longer calls this platform");
}

/** Gives free turns to those who wait, and sets the timer that ends forgotten ones. */
function admit(state: State): void {
  const nowMs = state.clock.now();
  for (const [id, untilMs] of state.held) if (untilMs <= nowMs) state.held.delete(id);
  for (;;) {
    const next = nextOf(state);
    if (next === undefined) break;
    state.waiting = state.waiting.filter((other) => other !== next);
    state.held.set(next.id, Number.POSITIVE_INFINITY);
    next.go();
  }
  state.cancelTimer?.();
  state.cancelTimer = null;
  if (state.waiting.length === 0) return;
  const firstMs = Math.min(...state.held.values());
  if (!Number.isFinite(firstMs)) return;
  state.cancelTimer = state.clock.after(Math.max(1, firstMs - nowMs), () => admit(state));
}

function nextOf({ waiting, held, max }: State): Waiter | undefined {
  const again = waiting.find(({ id }) => held.has(id));
  if (again !== undefined || held.size >= max) return again;
  const wake = waiting.find(({ urgency }) => urgency === "wake");
  return wake === undefined && held.size < max - 1 ? waiting[0] : wake;
}
