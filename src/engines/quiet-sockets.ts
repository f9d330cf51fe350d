/** WebSockets on which nothing is said any more: after a while they no longer keep their app awake. */

import type { App, AppRef } from "../app.ts";
import type { CancelTimer, Clock } from "../clock.ts";
import type { EventBus } from "../events.ts";
import type { Exchange, RequestHandler } from "./engine.ts";

/** RFC 6455, section 7.4.1: an endpoint is going away. */
const GOING_AWAY = 1001;

/** One connection that is followed. */
export interface FollowedSocket {
  /** A message has passed, in whichever direction; pings are none. */
  said(): void;
  /** Both sides have closed: hands back what is held still. Called once. */
  over(): void;
}

/** The connections of one engine, those of apps without a limit left out. */
export interface QuietSockets {
  /** @returns `null`: its app has no limit, and whoever opened it releases its exchange */
  follow(exchange: Exchange, close: (code: number) => void): FollowedSocket | null;
  /** Asks those of an app to close that have been quiet for too long: it is being put to sleep. */
  closeQuiet(app: App): void;
}

interface Entry {
  readonly exchange: Exchange;
  readonly close: (code: number) => void;
  /** When the last message passed, ms since the epoch. */
  saidMs: number;
  /** Its lease was given back, for now. */
  isQuiet: boolean;
  /** Ends the wait for its silence; `null` while nothing is waited for. */
  cancel: CancelTimer | null;
}

interface Context {
  readonly handler: Pick<RequestHandler, "closed" | "release" | "rest" | "resume">;
  readonly clock: Pick<Clock, "after" | "now">;
  readonly entries: Set<Entry>;
}

/** One timer for each connection that is followed; a message costs a look at the clock. */
export function createQuietSockets(deps: Omit<Context, "entries">): QuietSockets {
  const context: Context = { ...deps, entries: new Set() };
  const { clock, entries } = context;
  return {
    follow(exchange, close) {
      if (exchange.app.policy.websocketMaxQuietMs === null) return null;
      const entry: Entry = { exchange, close, saidMs: clock.now(), isQuiet: false, cancel: null };
      entries.add(entry);
      waitForSilence(context, entry);
      return { said: () => said(context, entry), over: () => over(context, entry) };
    },
    closeQuiet(app) {
      for (const { exchange, isQuiet, close } of [...entries]) {
        if (isQuiet && exchange.app === app) close(GOING_AWAY);
      }
    },
  };
}

/** The limit of now: it may have been changed since, or taken away. */
function waitForSilence(context: Context, entry: Entry): void {
  const maxMs = entry.exchange.app.policy.websocketMaxQuietMs;
  entry.cancel = null;
  if (maxMs === null) return;
  const leftMs = entry.saidMs + maxMs - context.clock.now();
  if (leftMs <= 0) {
    entry.isQuiet = true;
    context.handler.rest(entry.exchange);
    return;
  }
  entry.cancel = context.clock.after(leftMs, () => waitForSilence(context, entry));
}

function said(context: Context, entry: Entry): void {
  entry.saidMs = context.clock.now();
  if (!entry.isQuiet) return;
  entry.isQuiet = false;
  context.handler.resume(entry.exchange);
  waitForSilence(context, entry);
}

function over(context: Context, entry: Entry): void {
  context.entries.delete(entry);
  entry.cancel?.();
  if (entry.isQuiet) context.handler.closed(entry.exchange);
  else context.handler.release(entry.exchange);
}

/** As soon as an app is put to sleep, its quiet connections are closed, until the returned function is called. */
export function closeQuietAtSleep(deps: {
  readonly events: Pick<EventBus, "subscribe">;
  readonly appOf: (ref: AppRef) => App | null;
  readonly closeQuiet: (app: App) => void;
}): () => void {
  return deps.events.subscribe(({ name, ref }) => {
    // It is told before the platform is asked to stop the app.
    const app = name === "APP_STOPPING" ? deps.appOf(ref) : null;
    if (app !== null) deps.closeQuiet(app);
  });
}
