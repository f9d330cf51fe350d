/** How long a client's connection may be silent: long while it waits for an app, short otherwise. */

import type { Server } from "bun";
import type { Clock } from "../clock.ts";
import type { ListenerConfig } from "../config.ts";

/** In seconds; the runtime counts in steps of 4. */
export interface SilenceLimits {
  /** Before the first request, and after an answer of our own. */
  readonly idleS: number;
  /** After an app's answer: a visitor who got one is likely to ask again. */
  readonly keptAliveS: number;
  /**
   * While a request is held or forwarded. Finite, for clients that vanish; more than 239 minutes
   * would overflow the runtime's timer wheel.
   */
  readonly underWayS: number;
}

/** Shorter, and a client that takes a rest would lose the end of an answer that we have sent. */
const IDLE_MIN_S = 60;
/** The most that the listener's own limit can be, and the most that the timer wheel holds. */
const IDLE_MAX_S = 255;
const KEPT_ALIVE_MAX_S = 14_340;

/**
 * What an engine uses unless it is told otherwise. Between two requests a connection is kept as long as the
 * settings say, in whole seconds, but for a minute at least: the limit is set before the end of an answer, and a
 * client may not have taken all of it yet.
 */
export function silenceFor({ keepAliveMs }: Pick<ListenerConfig, "keepAliveMs">): SilenceLimits {
  const keepAliveS = Math.max(IDLE_MIN_S, Math.ceil(keepAliveMs / 1000));
  return {
    idleS: Math.min(keepAliveS, IDLE_MAX_S),
    keptAliveS: Math.min(keepAliveS, KEPT_ALIVE_MAX_S),
    underWayS: 3600,
  };
}

/** How often idle connections are given up for want of descriptors, at most, in ms. */
const RELIEF_PAUSE_MS = 1_000;

/**
 * Sets the limit of the connection that a request came by. It stays on the connection, so whoever
 * makes it long puts it back before the answer's end: afterwards the request no longer leads to
 * its connection (seen in Bun 1.4.5).
 */
export interface Silence {
  /** From now on the client waits for an app. */
  underWay(request: Request): void;
  /** An app's answer is as good as sent. */
  keptAlive(request: Request): void;
  /** An answer of our own is as good as sent. */
  idle(request: Request): void;
}

export function createSilence(
  limits: SilenceLimits,
  server: () => Pick<Server<unknown>, "timeout">,
): Silence {
  return {
    underWay: (request) => server().timeout(request, limits.underWayS),
    keptAlive: (request) => server().timeout(request, limits.keptAliveS),
    idle: (request) => server().timeout(request, limits.idleS),
  };
}

/** @returns closes idle connections of clients, unless it did so within the last second */
export function createRelief(
  clock: Pick<Clock, "now">,
  server: () => Pick<Server<unknown>, "closeIdleConnections">,
): () => void {
  let nextMs = Number.NEGATIVE_INFINITY;
  return () => {
    const nowMs = clock.now();
    if (nowMs < nextMs) return;
    nextMs = nowMs + RELIEF_PAUSE_MS;
    server().closeIdleConnections();
  };
}
