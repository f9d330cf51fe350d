/** One line for each request, for whoever wants that: the core's handler with an ear at its door. */

import type { App } from "./app.ts";
import type { Clock } from "./clock.ts";
import type {
  Admission,
  Answer,
  Decision,
  Exchange,
  Held,
  RequestHandler,
  RequestHead,
} from "./engines/engine.ts";
import type { Log } from "./log.ts";

/** Longest path and longest id of a request that are written, in characters. */
const PATH_MAX = 1000;
const ID_MAX = 200;

/** What is known of a request that is under way, ms since the epoch. */
interface Entry {
  readonly head: RequestHead;
  readonly admittedMs: number;
  /** When it could go on to its app for the first time; `null`: it has not. */
  forwardedMs: number | null;
  /** When it went to its app the last time. */
  sentMs: number;
  /** When the head of its app's answer came; `null`: none has. */
  answeredMs: number | null;
  /** The app that it was taken from without an answer. */
  leftApp: App | undefined;
  /** What it waited for first; left out: it did not wait. */
  cause?: WaitCause;
}

/**
 * Why a request waits: it has asked its app to wake (`woke`), somebody else had (`waking`), the app was being stopped, or is
 * paused; nobody knows yet how it is, or which app it is for (`unknown`); or it was found down behind our back (`down`).
 */
type WaitCause = "woke" | "waking" | "stopping" | "paused" | "unknown" | "down";

interface Context {
  readonly handler: RequestHandler;
  readonly clock: Pick<Clock, "now">;
  readonly log: Pick<Log, "info">;
  /** By the heads that engines hand in: one for each request. */
  readonly entries: WeakMap<RequestHead, Entry>;
}

/**
 * The same handler. A line is written as a request ends: with its last byte, when its client leaves, or with our own
 * answer as it is decided. Requests that are left while they wait have status 0.
 */
export function withAccessLog(deps: Omit<Context, "entries">): RequestHandler {
  const context: Context = { ...deps, entries: new WeakMap() };
  const { clock, entries, handler } = context;
  const end = (exchange: Exchange) => {
    const entry = entries.get(exchange.head);
    if (entry === undefined) return;
    if (exchange.status !== 0) return logForwarded(context, entry, exchange);
    entry.leftApp = exchange.app;
    // The engine may be about to refuse it: what its client then gets is what is to be written.
    queueMicrotask(() => {
      if (entries.has(exchange.head)) logForwarded(context, entry, exchange);
    });
  };
  return {
    ...handler,
    admit(head) {
      const entry: Entry = {
        head,
        admittedMs: clock.now(),
        ...{ forwardedMs: null, sentMs: 0, answeredMs: null, leftApp: undefined },
      };
      entries.set(head, entry);
      return followed(context, entry, handler.admit(head));
    },
    answered(exchange, answer, replayable) {
      const entry = entries.get(exchange.head);
      if (entry !== undefined) entry.answeredMs = clock.now();
      const other = handler.answered(exchange, answer, replayable);
      if (other === null || entry === undefined) return other;
      entry.answeredMs = null;
      return followed(context, entry, other, exchange);
    },
    failed(exchange, failure) {
      const admission = handler.failed(exchange, failure);
      const entry = entries.get(exchange.head);
      return entry === undefined ? admission : followed(context, entry, admission, exchange);
    },
    release(exchange) {
      handler.release(exchange);
      end(exchange);
    },
    closed(exchange) {
      handler.closed(exchange);
      end(exchange);
    },
    refuse(code, why, head) {
      const answer = handler.refuse(code, why, head);
      const nowMs = clock.now();
      const entry = entries.get(head);
      const times = { admittedMs: nowMs, forwardedMs: null, sentMs: 0, answeredMs: null };
      const what = { answer, app: entry?.leftApp, exchange: null };
      logOwn(context, entry ?? { head, ...times, leftApp: undefined }, what);
      return answer;
    },
  };
}

/** @param last the exchange that came to nothing before */
function followed<A extends Admission>(
  context: Context,
  entry: Entry,
  admission: A,
  last: Exchange | null = null,
): A | Held {
  if (admission.kind === "held") return heldBack(context, entry, { held: admission, last });
  note(context, entry, { decision: admission, last });
  return admission;
}

function note(
  context: Context,
  entry: Entry,
  { decision, last }: { readonly decision: Decision; readonly last: Exchange | null },
): void {
  if (decision.kind === "answer") {
    const { answer, app = last?.app } = decision;
    logOwn(context, entry, { answer, app, exchange: last });
    return;
  }
  entry.sentMs = context.clock.now();
  entry.forwardedMs ??= entry.sentMs;
}

/** Waits as before. */
function heldBack(
  context: Context,
  entry: Entry,
  { held, last }: { readonly held: Held; readonly last: Exchange | null },
): Held {
  let isLeft = false;
  const { app = last?.app } = held;
  entry.cause ??= last === null ? causeOf(app, entry.admittedMs) : "down";
  return {
    ...held,
    decision: held.decision.then((decision) => {
      if (!isLeft) note(context, entry, { decision, last });
      return decision;
    }),
    abandon() {
      isLeft = true;
      held.abandon();
      writeLine(context, entry, { app: app?.key, status: 0 });
    },
    // Whoever goes on with it writes its line.
    handOn() {
      isLeft = true;
      held.abandon();
      context.entries.delete(entry.head);
    },
  };
}

function causeOf(app: App | undefined, admittedMs: number): WaitCause {
  if (app === undefined) return "unknown";
  if (app.pause !== null) return "paused";
  const { kind, sinceMs } = app.state;
  switch (kind) {
    case "waking":
      return sinceMs >= admittedMs ? "woke" : "waking";
    case "stopping":
    case "unknown":
      return kind;
    case "asleep":
    case "failed":
      return "woke";
    case "awake":
    case "draining":
      return "down";
  }
}

function logOwn(
  context: Context,
  entry: Entry,
  own: {
    readonly answer: Answer;
    readonly app: App | undefined;
    readonly exchange: Exchange | null;
  },
): void {
  const { app, exchange } = own;
  const { body, headers, status } = own.answer;
  const bytes = typeof body === "string" ? Buffer.byteLength(body) : undefined;
  const code = headers.find(([name]) => name === "paastis-error")?.[1];
  writeLine(context, entry, { app: app?.key, status, bytes, code, requestId: exchange?.requestId });
}

function logForwarded(context: Context, entry: Entry, exchange: Exchange): void {
  const { app, receivedBytes, requestId, sentBytes, status } = exchange;
  const upstreamMs = entry.answeredMs === null ? undefined : entry.answeredMs - entry.sentMs;
  const facts = { app: app.key, status, bytes: sentBytes, receivedBytes, upstreamMs, requestId };
  writeLine(context, entry, facts);
}

function writeLine(
  { clock, entries, log }: Context,
  entry: Entry,
  facts: {
    readonly app: string | undefined;
    readonly status: number;
    readonly bytes?: number | undefined;
    readonly receivedBytes?: number;
    readonly upstreamMs?: number | undefined;
    readonly code?: string | undefined;
    readonly requestId?: string | null | undefined;
  },
): void {
  const { admittedMs, cause, forwardedMs, head } = entry;
  // Two lines for one request would count it twice.
  entries.delete(head);
  const totalMs = clock.now() - admittedMs;
  const { requestId = null, ...known } = facts;
  const id = requestId ?? head.header("x-request-id") ?? undefined;
  const fields = {
    ...known,
    // Several may lead to one app, and where one leads to none somebody will look for it.
    host: head.host,
    method: head.method,
    path: pathOf(head.target),
    waitMs: forwardedMs === null ? totalMs : forwardedMs - admittedMs,
    ...(cause !== undefined && { cause }),
    totalMs,
    client: head.clientAddress,
    requestId: id?.slice(0, ID_MAX),
  };
  log.info(fields, "request");
}

/** Without the query: it may hold secrets. */
function pathOf(target: string): string {
  const query = target.indexOf("?");
  return (query === -1 ? target : target.slice(0, query)).slice(0, PATH_MAX);
}
