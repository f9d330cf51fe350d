/** Whether containers that have begun to run answer yet: an engine says "running" long before a program listens. */

import type { Target } from "../app.ts";
import { type Clock, deadline, sleep } from "../clock.ts";
import { WAKE_TIMEOUT_MS } from "./docker-state.ts";
import type { PlatformFetch } from "./platform-api.ts";

/** A container that has just begun to run. */
export interface Booting {
  readonly appId: string;
  readonly containerId: string;
  readonly target: Target;
  /** Path that must answer 2xx; `null`: any answer to `/` will do. */
  readonly path: string | null;
}

/** Asks containers until they answer, over HTTP: the proxy of a published port accepts what nobody serves yet. */
export interface Readiness {
  /** Asks it from now on, unless it is being asked. */
  ask(booting: Booting): void;
  /** It has ended, and is not asked any more. */
  ended(containerId: string): void;
  /** Nobody is asked any more. */
  end(): void;
}

/** What asking needs from outside. */
export interface ReadinessDeps {
  readonly clock: Clock;
  readonly fetch: PlatformFetch;
  /** A container answers, or has not for so long that it counts as up: it may speak no HTTP. */
  readonly onReady: (booting: Booting) => void;
}

/** Pauses between two questions, ms: they grow. */
const PAUSE_FIRST_MS = 10;
const PAUSE_LAST_MS = 500;
/** An answer may take so long, ms. */
const PATIENCE_MS = 10_000;

/** Nobody is asked yet. */
export function createReadiness(deps: ReadinessDeps): Readiness {
  const asked = new Map<string, AbortController>();
  function ended(containerId: string): void {
    asked.get(containerId)?.abort(new Error("it has ended"));
    asked.delete(containerId);
  }
  return {
    ask(booting) {
      const { containerId } = booting;
      if (asked.has(containerId)) return;
      const life = new AbortController();
      asked.set(containerId, life);
      void untilReady(deps, booting, life.signal).then(() => {
        if (asked.get(containerId) !== life) return;
        asked.delete(containerId);
        deps.onReady(booting);
      });
    },
    ended,
    end() {
      for (const containerId of [...asked.keys()]) ended(containerId);
    },
  };
}

/** Resolves when it answers, or will not be asked any more. Never rejects. */
async function untilReady(
  deps: ReadinessDeps,
  booting: Booting,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = deps;
  const reason = new Error("it may speak no HTTP");
  const limit = deadline(clock, WAKE_TIMEOUT_MS, { reason, parent: signal });
  let pauseMs = PAUSE_FIRST_MS;
  while (!limit.signal.aborted && !(await answers(deps, booting, limit.signal))) {
    // When the signal ends it, the loop ends, too.
    await sleep(clock, pauseMs, limit.signal).catch(() => undefined);
    pauseMs = Math.min(pauseMs * 1.5, PAUSE_LAST_MS);
  }
  limit.end();
}

async function answers(
  { clock, fetch }: ReadinessDeps,
  { path, target }: Booting,
  signal: AbortSignal,
): Promise<boolean> {
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
