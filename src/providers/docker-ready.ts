/** Whether a container that has been started answers yet: an engine says "running" long before its program listens. */

import type { Target } from "../app.ts";
import { type Clock, deadline, sleep } from "../clock.ts";
import type { PlatformFetch } from "./platform-api.ts";

/** What is asked, and how. */
export interface ReadyOrder {
  readonly fetch: PlatformFetch;
  readonly clock: Clock;
  readonly target: Target;
  /** Path that must answer 2xx; `null`: any answer to `/` will do. */
  readonly path: string | null;
  readonly signal: AbortSignal;
}

/** Pauses between two questions, ms: they grow. */
const PAUSE_FIRST_MS = 10;
const PAUSE_LAST_MS = 500;
/** An answer may take so long, ms. */
const PATIENCE_MS = 10_000;

/**
 * Asks until the target answers, over HTTP: the proxy of a published port accepts connections that nobody serves yet.
 * @throws the signal's reason
 */
export async function untilAnswers(order: ReadyOrder): Promise<void> {
  const { clock, signal } = order;
  for (let pauseMs = PAUSE_FIRST_MS; ; pauseMs = Math.min(pauseMs * 1.5, PAUSE_LAST_MS)) {
    signal.throwIfAborted();
    if (await answers(order)) return;
    await sleep(clock, pauseMs, signal);
  }
}

async function answers({ clock, fetch, path, signal, target }: ReadyOrder): Promise<boolean> {
  const limit = deadline(clock, PATIENCE_MS, { reason: new Error("no answer"), parent: signal });
  try {
    const response = await fetch(target.origin + (path ?? "/"), {
      headers: { host: target.host, "user-agent": "paastis-health", accept: "*/*" },
      redirect: "manual",
      decompress: false,
      proxy: false,
      keepalive: false,
      // Whether its certificate is good is for requests to find out.
      tls: { rejectUnauthorized: false },
      signal: limit.signal,
    });
    await response.body?.cancel();
    return path === null || response.ok;
  } catch {
    return false; // Nobody listens there, or not yet.
  } finally {
    limit.end();
  }
}
