/** The events that wait for one receiver, and whoever delivers them: one after the other, in order. */

import type { PaastisEvent } from "./events.ts";
import type { Log } from "./log.ts";
import { type AttemptDeps, attemptDelivery, type Outcome } from "./webhook-attempt.ts";
import { WORTH_SENDING_MS, webhookPauseMs } from "./webhook-retry.ts";

/** How deliveries to one receiver have gone since the program started. */
export interface WebhookState {
  /** How it is called in the log. */
  readonly webhook: string;
  /** Events that wait for their turn, or for another try. */
  readonly waiting: number;
  /** Events by what became of them: `dropped` found no room, or were left as the program ended. */
  readonly outcomes: Readonly<Record<"delivered" | "dropped" | "givenUp" | "refused", number>>;
  /** Requests that were sent. */
  readonly attempts: number;
  /** `null`: it has taken everything. Times in ms since the epoch. */
  readonly lastFailure: { readonly atMs: number; readonly why: string } | null;
}

/** Delivers events to one receiver. */
export interface WebhookQueue {
  state(): WebhookState;
  /** Takes one in. Never blocks, never throws; where too many wait, the oldest is lost. */
  push(event: PaastisEvent): void;
  /** Tries what waits at once, until `limit` aborts; the rest is lost, and said to be. Never rejects. */
  close(limit: AbortSignal): Promise<void>;
}

/** What a queue needs. */
export interface WebhookQueueDeps extends AttemptDeps {
  readonly log: Log;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  /** How many may wait. */
  readonly waitingMax: number;
}

interface Waiting {
  readonly event: PaastisEvent;
  readonly sinceMs: number;
}

interface State extends WebhookQueueDeps {
  readonly outcomes: Record<keyof WebhookState["outcomes"], number>;
  attempts: number;
  lastFailure: WebhookState["lastFailure"];
  /** Oldest first; the one that is tried is still among them. */
  readonly waiting: Waiting[];
  isTrying: boolean;
  /** Tries in a row that are to be repeated. */
  failures: number;
  /** Why the last try failed; `null`: it did not. */
  trouble: string | null;
  /** Events that were never delivered, since the log said how many. */
  lost: number;
  /** Delivers as long as something waits; `null`: nothing does. */
  working: Promise<void> | null;
  /** Ends the pause before the next try; `null`: there is none, or the receiver asked for it. */
  endPause: (() => void) | null;
  /** Aborts when nothing is tried any more. */
  readonly end: AbortController;
}

/** Nothing waits yet, and nothing is tried before there is something. */
export function createWebhookQueue(deps: WebhookQueueDeps): WebhookQueue {
  const state: State = {
    ...deps,
    outcomes: { delivered: 0, dropped: 0, givenUp: 0, refused: 0 },
    attempts: 0,
    lastFailure: null,
    waiting: [],
    isTrying: false,
    failures: 0,
    trouble: null,
    lost: 0,
    working: null,
    endPause: null,
    end: new AbortController(),
  };
  return {
    state: () => stateOf(state),
    push: (event) => push(state, event),
    close: (limit) => close(state, limit),
  };
}

function stateOf({ address, attempts, lastFailure, outcomes, waiting }: State): WebhookState {
  const counts = { outcomes: { ...outcomes }, attempts, lastFailure };
  return { webhook: address.shown, waiting: waiting.length, ...counts };
}

function push(state: State, event: PaastisEvent): void {
  if (state.end.signal.aborted) return;
  const { clock, waiting, waitingMax } = state;
  waiting.push({ event, sinceMs: clock.now() });
  if (waiting.length > waitingMax) {
    waiting.splice(state.isTrying ? 1 : 0, 1);
    state.outcomes.dropped += 1;
    lose(state, 1, `${waitingMax} wait already: the oldest are dropped`);
  }
  state.working ??= deliverAll(state);
}

async function deliverAll(state: State): Promise<void> {
  // Whoever emitted the event goes on first.
  await Promise.resolve();
  const { end, random, waiting } = state;
  for (let next = waiting[0]; next !== undefined && !end.signal.aborted; next = waiting[0]) {
    state.isTrying = true;
    state.attempts += 1;
    const outcome = await attemptDelivery(state, next.event, end.signal);
    state.isTrying = false;
    if (end.signal.aborted && outcome.kind === "again") break;
    note(state, next.event, outcome);
    if (outcome.kind === "again") {
      state.failures += 1;
      loseOld(state);
      if (waiting.length === 0) break;
      const { wishedMs } = outcome;
      const pauseMs = webhookPauseMs(state.failures, wishedMs, random());
      await pause(state, pauseMs, wishedMs !== null);
    } else {
      state.failures = 0;
      waiting.shift();
    }
    if (waiting.length === 0) sayLost(state);
  }
  state.working = null;
}

function pause(state: State, pauseMs: number, isWished: boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { signal } = state.end;
  const endNow = () => {
    cancel();
    signal.removeEventListener("abort", endNow);
    state.endPause = null;
    resolve();
  };
  const cancel = state.clock.after(pauseMs, endNow);
  signal.addEventListener("abort", endNow);
  state.endPause = isWished ? null : endNow;
  return promise;
}

/** The log hears when it begins to fail, when the reason is another one, and when it works again. */
function note(state: State, { id, name }: PaastisEvent, outcome: Outcome): void {
  const { address, clock, log, outcomes, trouble, waiting } = state;
  const webhook = address.shown;
  if (outcome.kind === "delivered") {
    outcomes.delivered += 1;
    if (trouble === null) return;
    state.trouble = null;
    log.info({ webhook, waiting: waiting.length - 1, lost: state.lost }, "a webhook works again");
    state.lost = 0;
    return;
  }
  const { why } = outcome;
  state.lastFailure = { atMs: clock.wallMs(), why };
  const level = trouble === why ? "debug" : "warn";
  state.trouble = why;
  const fields = { webhook, event: name, delivery: id, reason: why };
  if (outcome.kind === "refused") {
    state.lost += 1;
    outcomes.refused += 1;
    log[level](fields, "a webhook does not take an event: it is not tried again");
    return;
  }
  const tries = { ...fields, waiting: waiting.length };
  log[level](tries, "a webhook fails: what waits for it is tried again for an hour");
}

/** All that wait are tried again together: what is too old by now has had its chance. */
function loseOld(state: State): void {
  const { clock, waiting } = state;
  const oldMs = clock.now() - WORTH_SENDING_MS;
  const young = waiting.findIndex(({ sinceMs }) => sinceMs > oldMs);
  const old = young === -1 ? waiting.length : young;
  waiting.splice(0, old);
  state.outcomes.givenUp += old;
  if (old > 0) lose(state, old, "it has failed for an hour: what is older is given up");
}

function lose(state: State, count: number, reason: string): void {
  const { address, log, waiting } = state;
  const fields = { webhook: address.shown, reason, waiting: waiting.length };
  const level = state.lost === 0 ? "warn" : "debug";
  log[level](fields, "events for a webhook are lost from now on");
  state.lost += count;
}

/** Where it has only been too slow. */
function sayLost(state: State): void {
  const { address, log, lost, trouble } = state;
  if (lost === 0 || trouble !== null) return;
  log.warn({ webhook: address.shown, lost }, "no more events for a webhook are lost");
  state.lost = 0;
}

async function close(state: State, limit: AbortSignal): Promise<void> {
  const { address, end, log, waiting } = state;
  const over = Promise.withResolvers<void>();
  const stop = () => {
    end.abort(limit.reason);
    over.resolve();
  };
  if (limit.aborted) stop();
  else limit.addEventListener("abort", stop, { once: true });
  // It has but a few seconds: as if nothing had failed yet.
  state.failures = 0;
  state.endPause?.();
  await Promise.race([state.working, over.promise]);
  limit.removeEventListener("abort", stop);
  end.abort(limit.reason);
  const lost = state.lost + waiting.length;
  if (waiting.length === 0) return;
  state.outcomes.dropped += waiting.length;
  waiting.length = 0;
  const reason = state.trouble ?? "it is too slow";
  log.warn({ webhook: address.shown, reason, lost }, "events for a webhook are lost: we stop");
}
