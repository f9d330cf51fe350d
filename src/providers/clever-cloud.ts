/** The provider of apps on Clever Cloud. */

import { throwIfAborted } from "./abortable.ts";
import { type CleverCloudDeps, createCleverCloudApi } from "./clever-cloud-api.ts";
import { type CleverCloudContext, type Known, knownOf, lookAt } from "./clever-cloud-context.ts";
import { listApps } from "./clever-cloud-list.ts";
import { standingOf } from "./clever-cloud-state.ts";
import { begin, follow, type Goal, recallWake } from "./clever-cloud-steps.ts";
import type { Urgency } from "./platform-api.ts";
import { type AccountReport, type Observation, type Provider, ProviderError } from "./provider.ts";

/** A wake is a deployment: half a minute to many. Source: Clever Cloud, build cache; common default of its tools. */
const WAKE_TIMEOUT_MS = 15 * 60_000;
/** Looks before the stop included, which may wait long for their turn when many apps are idle at once. */
const SLEEP_TIMEOUT_MS = 15 * 60_000;

/**
 * Nothing is sent before the first call. An app's id is `<owner id>/<app id>`, its key the slug of its name, and
 * `app-<uuid>` leads to it as well. The platform remembers sizes and numbers, so that a snapshot holds nothing.
 */
export function createCleverCloudProvider(deps: CleverCloudDeps): Provider {
  const context: CleverCloudContext = {
    ...deps,
    api: createCleverCloudApi(deps),
    apps: new Map(),
    ownersAskedMs: new Map(),
    holders: new Map(),
  };
  return {
    name: "clever-cloud",
    capabilities: {
      listsDeclaredApps: false,
      listHasState: true,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      sleepTimeoutMs: SLEEP_TIMEOUT_MS,
      sleepAfterFailedWake: false,
    },
    async list(signal) {
      throwIfAborted(signal, "listing the apps on Clever Cloud");
      return await listApps(context, signal);
    },
    observe: (id, signal, isWanted = false) => observe(context, id, { signal, isWanted }),
    async takeSnapshot(id, signal) {
      throwIfAborted(signal, `taking a snapshot of ${id}`);
      knownOf(context, id);
      return { kind: "none" };
    },
    async wake(id, _snapshot, signal) {
      throwIfAborted(signal, `waking ${id}`);
      return await begin(context, { id, goal: "wake", signal });
    },
    recallWake: (id, begunMs) => recallWake(context, id, begunMs),
    async sleep(id, _snapshot, signal) {
      throwIfAborted(signal, `putting ${id} to sleep`);
      return await begin(context, { id, goal: "sleep", signal });
    },
    async poll(id, operation, signal) {
      throwIfAborted(signal, `following ${id}`);
      return await follow(context, { id, goal: goalOf(operation.id), signal });
    },
    isDownAnswer,
    check: (signal) => check(context, signal),
    async close() {
      context.api.close();
    },
  };
}

/** What the router says for an app without instances. Source: third-party reaper for Clever Cloud; our own in 2022. */
function isDownAnswer(status: number, header: (name: string) => string | null): boolean {
  return status === 404 && header("x-clevercloudupgrade") !== null;
}

async function observe(
  context: CleverCloudContext,
  id: string,
  { signal, isWanted }: { readonly signal: AbortSignal; readonly isWanted: boolean },
): Promise<Observation> {
  throwIfAborted(signal, `observing ${id}`);
  const known = knownOf(context, id);
  const urgency = isWanted ? "wake" : urgencyOfLook(known);
  const view = await lookAt(context, known, { urgency, signal });
  return { ...standingOf(view), target: known.detail?.target ?? null };
}

/** Somebody may wait for an app that is waking, or whose address nobody knows; other looks are about sleeps. */
function urgencyOfLook({ detail, wake }: Known): Urgency {
  return wake !== null || (detail?.target ?? null) === null ? "wake" : "sleep";
}

function goalOf(operationId: string): Goal {
  if (operationId === "wake" || operationId === "sleep") return operationId;
  throw new ProviderError("invalid", `Clever Cloud has no operation ${operationId}`);
}

async function check(
  { api }: CleverCloudContext,
  signal: AbortSignal,
): Promise<readonly AccountReport[]> {
  const owners = await api.summary({ urgency: "wake", signal });
  return owners
    .filter(({ apps, isPersonal }) => apps.length > 0 || !isPersonal)
    .map(({ apps, id, isPersonal, name }) => ({
      account: `${name || id}${isPersonal ? " (personal)" : ""}`,
      region: null,
      apps: apps.length,
      remaining: api.remaining,
    }));
}
