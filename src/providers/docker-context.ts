/** What all parts of the Docker provider work with, and the turns that apps take. */

import type { Clock } from "../clock.ts";
import type { DockerConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { unlessAborted } from "./abortable.ts";
import type { EngineApi } from "./docker-api.ts";
import type { DockerMemory } from "./docker-memory.ts";
import type { Readiness } from "./docker-ready.ts";

/** One engine, and what is known of it. */
export interface DockerContext {
  readonly config: DockerConfig;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
  readonly api: EngineApi;
  readonly memory: DockerMemory;
  readonly turns: Turns;
  readonly nudges: Nudges;
  readonly readiness: Readiness;
  /** An app is missing in a list that was there before. */
  readonly onGone: () => void;
}

/** Lets the wakes and sleeps of one app happen one after the other. */
export interface Turns {
  /**
   * Does `work` when those before it are through; a `signal` that aborts ends the wait, and is for `work` to heed.
   * @throws ProviderError `failed` when it aborts before its turn; else what `work` throws
   */
  take<T>(
    appId: string,
    work: () => Promise<T>,
    order: { readonly signal: AbortSignal; readonly what: string },
  ): Promise<T>;
  /** Whether one is under way or waits: what is seen of the app meanwhile is our own doing. */
  isBusy(appId: string): boolean;
  /** How many have come to their end: another number means that something was done to the app since. */
  count(appId: string): number;
}

/** @param onEnd an app's turn is over, and no other waits */
export function createTurns(onEnd: (appId: string) => void): Turns {
  const queues = new Map<string, { last: Promise<unknown>; waiting: number }>();
  const counts = new Map<string, number>();
  return {
    async take(appId, work, { signal, what }) {
      const queue = queues.get(appId) ?? { last: Promise.resolve(), waiting: 0 };
      queues.set(appId, queue);
      queue.waiting += 1;
      const before = queue.last;
      const turn = (async () => {
        try {
          await unlessAborted(before, signal, what);
          return await work();
        } finally {
          counts.set(appId, (counts.get(appId) ?? 0) + 1);
          queue.waiting -= 1;
          if (queue.waiting === 0) {
            queues.delete(appId);
            onEnd(appId);
          }
        }
      })();
      // Who gives up its place does not let the next one in before its time.
      queue.last = Promise.allSettled([before, turn]);
      return await turn;
    },
    isBusy: (appId) => queues.has(appId),
    count: (appId) => counts.get(appId) ?? 0,
  };
}

/** Tells whoever waits for a container that something has happened to it. */
export interface Nudges {
  /** Waits until something happens to the container, or `delayMs` have passed. @throws the signal's reason */
  wait(containerId: string, delayMs: number, signal: AbortSignal): Promise<void>;
  nudge(containerId: string): void;
}

/** Nobody waits yet. */
export function createNudges(clock: Clock): Nudges {
  const waiting = new Map<string, Set<() => void>>();
  return {
    wait(containerId, delayMs, signal) {
      return new Promise((resolve, reject) => {
        signal.throwIfAborted();
        const mine = waiting.get(containerId) ?? new Set();
        waiting.set(containerId, mine);
        const end = () => {
          cancel();
          signal.removeEventListener("abort", onAbort);
          mine.delete(wake);
          if (mine.size === 0 && waiting.get(containerId) === mine) waiting.delete(containerId);
        };
        const wake = () => {
          end();
          resolve();
        };
        const onAbort = () => {
          end();
          reject(signal.reason);
        };
        const cancel = clock.after(delayMs, wake);
        signal.addEventListener("abort", onAbort, { once: true });
        mine.add(wake);
      });
    },
    nudge(containerId) {
      for (const wake of [...(waiting.get(containerId) ?? [])]) wake();
    },
  };
}
