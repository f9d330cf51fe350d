/** Writes events behind: whoever emits one never waits for the store. */

import type { CancelTimer, Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { PaastisEvent } from "../events.ts";
import type { Log } from "../log.ts";
import type { EventStore } from "./event-store.ts";

/** Takes events in, and sees to it that the store gets them, in order. */
export interface EventWriter {
  /** Queues an event. Never blocks, never throws. After `close` it only counts it as dropped. */
  write(event: PaastisEvent): void;
  /** Resolves when all that was written before is durable, or when the store has failed. Never rejects. */
  flush(): Promise<void>;
  /** Events lost so far: the queue was full, or the store still failed at the end. */
  dropped(): number;
  /** Events that are not stored yet. */
  waiting(): number;
  /** Why events cannot be stored, and since when, ms since the epoch; `null`: they can, or nobody has tried. */
  trouble(): { readonly why: string; readonly sinceMs: number } | null;
  /** Flushes for at most 5 s, then gives up on the rest; no timer is left. Never rejects. Safe to repeat. */
  close(): Promise<void>;
}

/** What a writer is made of. The store is closed by whoever opened it, after the writer. */
export interface EventWriterDeps {
  readonly store: EventStore;
  readonly log: Log;
  readonly clock: Clock;
  /** Events that may wait while the store fails; beyond, the oldest is dropped. Default 10,000. */
  readonly queueMax?: number;
}

const QUEUE_MAX = 10_000;
/** Events per append: a store that blocks while it works (SQLite) must not do so for long (500: 5 ms). */
const BATCH_MAX = 500;
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 30_000;
const CLOSE_MAX_MS = 5_000;

interface Context {
  readonly store: EventStore;
  readonly log: Log;
  readonly clock: Clock;
  readonly queueMax: number;
  /** Written, not yet handed to the store, oldest first. */
  queue: PaastisEvent[];
  /** Events written so far, and those of them that are durable or dropped: they leave in the order they came. */
  written: number;
  settled: number;
  dropped: number;
  /** Of `dropped`, those since the queue was last empty. */
  droppedInARow: number;
  /** The append under way; resolves to whether it succeeded. */
  appending: Promise<boolean> | null;
  /** Appends that failed since the last one that succeeded. */
  failures: number;
  /** What the newest of them failed of; `null` without any. */
  trouble: ReturnType<EventWriter["trouble"]>;
  cancelRetry: CancelTimer | null;
  closing: Promise<void> | null;
}

export function createEventWriter(deps: EventWriterDeps): EventWriter {
  const context: Context = {
    store: deps.store,
    log: deps.log,
    clock: deps.clock,
    queueMax: deps.queueMax ?? QUEUE_MAX,
    queue: [],
    written: 0,
    settled: 0,
    dropped: 0,
    droppedInARow: 0,
    appending: null,
    failures: 0,
    trouble: null,
    cancelRetry: null,
    closing: null,
  };
  return {
    write: (event) => write(context, event),
    flush: () => flush(context),
    dropped: () => context.dropped,
    waiting: () => context.written - context.settled,
    trouble: () => context.trouble,
    close() {
      context.closing ??= close(context);
      return context.closing;
    },
  };
}

function write(context: Context, event: PaastisEvent): void {
  if (context.closing !== null) {
    context.dropped += 1;
    return;
  }
  context.written += 1;
  context.queue.push(event);
  dropOldest(context, context.queueMax);
  if (context.cancelRetry === null) void appendNext(context);
}

async function flush(context: Context): Promise<void> {
  const upTo = context.written;
  while (context.settled < upTo) {
    if (!(await appendNext(context))) return;
  }
}

async function close(context: Context): Promise<void> {
  const outOfTime = Promise.withResolvers<void>();
  const cancel = context.clock.after(CLOSE_MAX_MS, outOfTime.resolve);
  await Promise.race([flush(context), outOfTime.promise]);
  cancel();
  context.cancelRetry?.();
  context.cancelRetry = null;

  const lost = context.written - context.settled;
  if (lost === 0) return;
  context.dropped += lost;
  context.settled = context.written;
  context.queue = [];
  context.log.warn(
    { events: lost, droppedSinceStart: context.dropped },
    "Events could not be stored before the end and are lost",
  );
}

/** Appends the oldest events now; joins the append that is under way, if there is one. */
function appendNext(context: Context): Promise<boolean> {
  context.cancelRetry?.();
  context.cancelRetry = null;
  context.appending ??= append(context);
  return context.appending;
}

async function append(context: Context): Promise<boolean> {
  // Not within `write`: a store may block, and what is written in the same breath goes in one batch.
  await Promise.resolve();
  const batch = context.queue.splice(0, BATCH_MAX);
  try {
    await context.store.append(batch);
    context.appending = null;
    succeeded(context, batch);
    return true;
  } catch (error) {
    context.appending = null;
    failed(context, batch, error);
    return false;
  }
}

function succeeded(context: Context, batch: readonly PaastisEvent[]): void {
  // Given up by `close` in the meantime: already counted.
  if (context.settled === context.written) return;
  context.settled += batch.length;
  if (context.failures > 0) {
    context.failures = 0;
    context.trouble = null;
    context.log.info({ waiting: context.queue.length }, "Events are stored again");
  }
  if (context.queue.length > 0) void appendNext(context);
  else sayDroppingIsOver(context);
}

function failed(context: Context, batch: readonly PaastisEvent[], error: unknown): void {
  if (context.settled === context.written) return;
  context.queue = [...batch, ...context.queue];
  dropOldest(context, context.queueMax);
  context.failures += 1;
  const why = messageOf(error);
  context.trouble = { why, sinceMs: context.trouble?.sinceMs ?? context.clock.now() };
  if (context.failures === 1) {
    context.log.warn(
      { why, waiting: context.queue.length },
      "Events cannot be stored: they are kept in memory and tried again until it works",
    );
  }
  const delayMs = Math.min(RETRY_FIRST_MS * 2 ** (context.failures - 1), RETRY_MAX_MS);
  context.cancelRetry = context.clock.after(delayMs, () => void appendNext(context));
}

function dropOldest(context: Context, max: number): void {
  const excess = context.queue.length - max;
  if (excess <= 0) return;
  context.queue.splice(0, excess);
  context.dropped += excess;
  context.settled += excess;
  if (context.droppedInARow === 0) {
    context.log.warn(
      { waiting: context.queue.length },
      "Events come faster than they can be stored: the oldest that wait are dropped from now on",
    );
  }
  context.droppedInARow += excess;
}

/** Only when nothing waits any more: a store that is a little too slow would otherwise be news again and again. */
function sayDroppingIsOver(context: Context): void {
  if (context.droppedInARow === 0) return;
  context.log.warn(
    { dropped: context.droppedInARow, droppedSinceStart: context.dropped },
    "No more events are dropped: those that were are lost",
  );
  context.droppedInARow = 0;
}
