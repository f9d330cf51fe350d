/** The provider of apps that somebody else starts on ports of this machine: a switch decides which one is theirs. */

import type { Target } from "../app.ts";
import type { PortsDeclaration } from "../config.ts";
import { throwIfAborted } from "./abortable.ts";
import { type Provider, ProviderError } from "./provider.ts";

/** Whoever restarts an app in its place needs a moment; longer, and its clients should be told. */
const WAKE_TIMEOUT_MS = 10_000;

/**
 * @param deps.declarations the apps that are declared now; asked anew at each call
 * @param deps.activeOf where switches have moved an app to; `null`: it was never switched
 */
export function createPortsProvider(deps: {
  readonly declarations: () => readonly PortsDeclaration[];
  readonly activeOf: (key: string) => Target | null;
}): Provider {
  const targetOf = (id: string): Target => {
    const found = deps.declarations().find(({ key }) => key === id);
    if (found === undefined) {
      throw new ProviderError("not-found", `no app ${id} of provider ports is declared`);
    }
    return deps.activeOf(id) ?? found.target;
  };
  const upAt = (id: string) => ({ phase: "awake", target: targetOf(id) }) as const;
  return {
    name: "ports",
    capabilities: {
      listsDeclaredApps: true,
      listHasState: true,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      // Never used, as a sleep is never asked for.
      sleepTimeoutMs: WAKE_TIMEOUT_MS,
      sleepAfterFailedWake: false,
      isRestartedByOthers: true,
    },
    async list(signal) {
      throwIfAborted(signal, "listing the ports apps");
      return deps.declarations().map(({ key }) => ({
        id: key,
        key,
        observation: upAt(key),
        sleepsByItself: true,
      }));
    },
    async observe(id, signal) {
      throwIfAborted(signal, `observing ${id}`);
      return upAt(id);
    },
    async takeSnapshot(id, signal) {
      throwIfAborted(signal, `taking a snapshot of ${id}`);
      targetOf(id);
      return { kind: "none" };
    },
    async wake(id, _snapshot, signal) {
      throwIfAborted(signal, `waking ${id}`);
      return { done: true, target: targetOf(id) };
    },
    async sleep(id) {
      throw new ProviderError("invalid", `${id} is started by somebody else: it is never stopped`);
    },
    async poll(id, _operation, signal) {
      throwIfAborted(signal, `waking ${id}`);
      return { done: true, target: targetOf(id) };
    },
    async close() {
      // Nothing is owned here.
    },
  };
}
