/** The provider of apps that live elsewhere and sleep and wake by themselves: nothing to start or stop. */

import type { HttpDeclaration } from "../config.ts";
import { throwIfAborted } from "./abortable.ts";
import { type Observation, type Provider, ProviderError, type Step } from "./provider.ts";

const WAKE_TIMEOUT_MS = 60_000;

/** @param deps.declarations the apps that are declared now; asked anew at each call */
export function createHttpProvider(deps: {
  readonly declarations: () => readonly HttpDeclaration[];
}): Provider {
  const find = (id: string) => findDeclared(deps.declarations(), id);
  return {
    name: "http",
    capabilities: {
      listsDeclaredApps: true,
      listHasState: true,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      // Never used, as a sleep is never asked for.
      sleepTimeoutMs: WAKE_TIMEOUT_MS,
      sleepAfterFailedWake: false,
    },
    async list(signal) {
      throwIfAborted(signal, "listing the http apps");
      return deps.declarations().map((declaration) => ({
        id: declaration.key,
        key: declaration.key,
        observation: observationOf(declaration),
        sleepsByItself: true,
      }));
    },
    async observe(id, signal) {
      throwIfAborted(signal, `observing ${id}`);
      return observationOf(find(id));
    },
    async takeSnapshot(id, signal) {
      throwIfAborted(signal, `taking a snapshot of ${id}`);
      find(id);
      return { kind: "none" };
    },
    async wake(id, _snapshot, signal) {
      throwIfAborted(signal, `waking ${id}`);
      return stepOf(find(id));
    },
    async sleep(id) {
      throw new ProviderError("invalid", `${id} sleeps by itself: it cannot be put to sleep`);
    },
    async poll(id, _operation, signal) {
      throwIfAborted(signal, `waking ${id}`);
      return stepOf(find(id));
    },
    async close() {
      // Nothing is owned here.
    },
  };
}

function findDeclared(declarations: readonly HttpDeclaration[], id: string): HttpDeclaration {
  const found = declarations.find((declaration) => declaration.key === id);
  if (found === undefined) {
    throw new ProviderError("not-found", `no app ${id} of provider http is declared`);
  }
  return found;
}

function observationOf(declaration: HttpDeclaration): Observation {
  return { phase: "awake", target: declaration.targets[0] ?? null };
}

function stepOf(declaration: HttpDeclaration): Step {
  return { done: true, target: declaration.targets[0] ?? null };
}
