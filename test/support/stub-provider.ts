/** A provider without a platform: apps are up or down at once, and each call can be scripted. */

import {
  type Notice,
  type Provider,
  ProviderError,
  type Watcher,
} from "../../src/providers/provider.ts";
import { sampleTarget } from "./sample-app.ts";

/** The calls a test can take over. */
export type Calls = Pick<Provider, "list" | "observe" | "takeSnapshot" | "wake" | "sleep" | "poll">;

export interface StubProvider extends Provider {
  /** Ids of apps that are up. */
  readonly up: Set<string>;
  /** Ids of apps that there are. */
  readonly ids: Set<string>;
  /** Every call but `list` and `observe`, in order: `wake shop`. */
  readonly calls: string[];
  /** What to do instead, per call. */
  readonly script: Partial<Calls> & { forget?: (id: string) => Promise<void> };
  /** Reports something by itself; only where `watches`. */
  report(notice: Notice): void;
}

export function createStubProvider(
  options: {
    readonly name?: string;
    readonly watches?: boolean;
    readonly sleepAfterFailedWake?: boolean;
    readonly listsDeclaredApps?: boolean;
    readonly listHasState?: boolean;
    readonly isRestartedByOthers?: boolean;
    readonly runsApps?: boolean;
    readonly isDownAnswer?: Provider["isDownAnswer"];
  } = {},
): StubProvider {
  const { name = "stub", watches = true, sleepAfterFailedWake = false, isDownAnswer } = options;
  const { listsDeclaredApps = true, listHasState = true, isRestartedByOthers = false } = options;
  const up = new Set<string>();
  const ids = new Set<string>();
  const calls: string[] = [];
  const script: StubProvider["script"] = {};
  const listeners = new Set<(notice: Notice) => void>();
  const phaseOf = (id: string) => (up.has(id) ? "awake" : "asleep");
  const targetOf = (id: string) => (up.has(id) ? sampleTarget(id) : null);
  const own: Calls = {
    list: async () =>
      [...ids].map((id) => ({
        id,
        key: id,
        observation: { phase: phaseOf(id), target: targetOf(id) },
        sleepsByItself: false,
      })),
    observe: async (id) => ({ phase: phaseOf(id), target: targetOf(id) }),
    takeSnapshot: async () => ({ kind: "none" }),
    async wake(id) {
      up.add(id);
      return { done: true, target: targetOf(id) };
    },
    async sleep(id) {
      up.delete(id);
      return { done: true, target: null };
    },
    async poll(id) {
      throw new ProviderError("not-found", `no operation on ${id}`);
    },
  };
  function noted<A extends unknown[], R>(call: string, id: string, work: (...args: A) => R) {
    calls.push(`${call} ${id}`);
    return work;
  }
  return {
    name,
    capabilities: {
      listsDeclaredApps,
      listHasState,
      wakeTimeoutMs: 20_000,
      sleepTimeoutMs: 10_000,
      sleepAfterFailedWake,
      isRestartedByOthers,
      ...(options.runsApps === true && { runsApps: true }),
    },
    up,
    ids,
    calls,
    script,
    report: (notice) => {
      for (const listener of listeners) listener(notice);
    },
    list: (signal) => (script.list ?? own.list)(signal),
    observe: (id, signal) => (script.observe ?? own.observe)(id, signal),
    takeSnapshot: (id, signal) =>
      noted("snapshot", id, script.takeSnapshot ?? own.takeSnapshot)(id, signal),
    wake: (id, snapshot, signal) =>
      noted("wake", id, script.wake ?? own.wake)(id, snapshot, signal),
    sleep: (id, snapshot, signal) =>
      noted("sleep", id, script.sleep ?? own.sleep)(id, snapshot, signal),
    poll: (id, operation, signal) =>
      noted("poll", id, script.poll ?? own.poll)(id, operation, signal),
    forget: (id) => noted("forget", id, script.forget ?? (async () => undefined))(id),
    ...(isDownAnswer === undefined ? {} : { isDownAnswer }),
    ...(watches
      ? {
          watch(watcher: Watcher) {
            listeners.add(watcher.notice);
            return () => listeners.delete(watcher.notice);
          },
        }
      : {}),
    close: async () => undefined,
  };
}

/** A call that lasts until the test ends it, or until its signal does. */
export function heldCall<T>(): {
  readonly open: (value: T) => void;
  readonly fail: (error: Error) => void;
  readonly entered: () => boolean;
  readonly pass: (signal: AbortSignal) => Promise<T>;
} {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  // It may be told to fail before anybody has called.
  promise.catch(() => undefined);
  let isEntered = false;
  return {
    open: resolve,
    fail: reject,
    entered: () => isEntered,
    pass(signal) {
      isEntered = true;
      return new Promise<T>((done, failed) => {
        if (signal.aborted) failed(signal.reason);
        signal.addEventListener("abort", () => failed(signal.reason), { once: true });
        promise.then(done, failed);
      });
    },
  };
}
