/** The provider of apps on Docker, or Podman: containers that carry the label `paastis.enable=true`. */

import { type Clock, sleep } from "../clock.ts";
import type { DockerConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { throwIfAborted } from "./abortable.ts";
import { createEngineApi } from "./docker-api.ts";
import { askVersion } from "./docker-calls.ts";
import { createNudges, createTurns, type DockerContext } from "./docker-context.ts";
import type { DockerApp } from "./docker-groups.ts";
import { fieldsOf, textOf } from "./docker-json.ts";
import { findApp, lookCloser, observeApp, observeApps, readApps } from "./docker-look.ts";
import { createMemory, UNLISTED_MS } from "./docker-memory.ts";
import { createReadiness } from "./docker-ready.ts";
import { sleepInTurn, snapshotOf } from "./docker-sleep.ts";
import { WAKE_TIMEOUT_MS } from "./docker-state.ts";
import { wakeInTurn } from "./docker-wake.ts";
import { createWatch, type DockerWatch } from "./docker-watch.ts";
import type { PlatformFetch } from "./platform-api.ts";
import { createCondition } from "./platform-condition.ts";
import type {
  AccountReport,
  Listing,
  Observation,
  Provider,
  ProviderErrorKind,
} from "./provider.ts";
import { ProviderError } from "./provider.ts";

/** Everything the provider is made of. */
export interface DockerDeps {
  readonly config: DockerConfig;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
  readonly fetch: PlatformFetch;
  /** For what containers answer themselves. Left out: the same. */
  readonly probe?: PlatformFetch;
}

/** Longest a sleep may take, ms; more where containers are given more. */
const SLEEP_TIMEOUT_MS = 120_000;
/** An engine is on this machine, or near it: it may be listed often, ms. */
const LIST_PAUSE_MS = 500;

/** Nothing is sent before the first call. */
export function createDockerProvider(deps: DockerDeps): Provider {
  const watch = createWatch(() => context);
  const context = createContext(deps, () => watch);
  const { memory, turns } = context;
  return {
    name: "docker",
    capabilities: {
      listsDeclaredApps: false,
      listHasState: true,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      get sleepTimeoutMs() {
        return Math.max(SLEEP_TIMEOUT_MS, memory.longestStopMs);
      },
      // What boots slowly must not be killed in the middle of it: the next request finds it up.
      sleepAfterFailedWake: false,
      listPauseMs: LIST_PAUSE_MS,
      // What serves published ports ends with the engine, also where containers live on (`live-restore`).
      isRestartedByOthers: true,
    },
    list: (signal) => list(context, watch, signal),
    whyUnlisted: (id) => whyUnlisted(context, id),
    async observe(id, signal) {
      throwIfAborted(signal, `observing ${id}`);
      const app = await findApp(context, id, signal);
      return await observeApp(context, await lookCloser(context, app, signal), signal);
    },
    takeSnapshot: (id, signal) => snapshotOf(context, id, signal),
    wake: (id, snapshot, signal) =>
      turns.take(id, () => wakeInTurn(context, id, { snapshot, signal }), {
        signal,
        what: `waking ${id}`,
      }),
    sleep: (id, snapshot, signal) =>
      turns.take(id, () => sleepInTurn(context, id, { snapshot, signal }), {
        signal,
        what: `stopping ${id}`,
      }),
    async poll(id, operation, signal) {
      throwIfAborted(signal, `waking ${id}`);
      throw new ProviderError("invalid", `${id} has no operation ${operation.id} to ask for`);
    },
    untilBack: (signal) => untilBack(context, signal),
    recallSleep: (id, atMs) => memory.wasAsleep(id, atMs),
    watch: (watcher) => watch.add(watcher),
    check: (signal) => check(context, signal),
    async close() {
      watch.close();
      context.api.close();
    },
  };
}

function createContext(deps: DockerDeps, getWatch: () => DockerWatch): DockerContext {
  const { clock, fetch, log, probe = fetch } = deps;
  const memory = createMemory(clock);
  const trouble = createCondition({
    bad: (fields, message) => log.warn(fields, message),
    good: (fields, message) => log.info(fields, message),
    fields: { provider: "docker" },
    clock,
  });
  return {
    ...deps,
    api: createEngineApi({ ...deps, trouble }),
    memory,
    turns: createTurns((appId) => getWatch().look(appId)),
    nudges: createNudges(clock),
    readiness: createReadiness({
      clock,
      fetch: probe,
      onReady({ appId, containerId }) {
        memory.answers(containerId);
        getWatch().look(appId);
      },
    }),
    onGone: () => getWatch().missing(),
  };
}

async function list(
  context: DockerContext,
  watch: DockerWatch,
  signal: AbortSignal,
): Promise<readonly Listing[]> {
  throwIfAborted(signal, "listing the apps of the engine");
  const apps = await readApps(context, signal);
  const observations = await observeApps(context, apps.values(), { isCloser: false, signal });
  watch.listed(observations);
  return [...apps.values()].map((app) => listingOf(app, observations.get(app.id) ?? null));
}

function listingOf(app: DockerApp, observation: Observation | null): Listing {
  const { id, key, aliases, settings } = app;
  return {
    ...{ id, key, aliases, observation, sleepsByItself: false },
    ...(Object.keys(settings).length > 0 && { settings }),
  };
}

/** Pause before the engine is asked whether it is back, ms: doubles. */
const BACK_FIRST_MS = 250;
const BACK_LAST_MS = 1_000;

/** Fulfilled when the engine answers. @throws the signal's reason */
async function untilBack(context: DockerContext, signal: AbortSignal): Promise<void> {
  const { api, clock } = context;
  for (let pauseMs = BACK_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, BACK_LAST_MS)) {
    await sleep(clock, pauseMs, signal);
    try {
      return void (await askVersion(api, signal));
    } catch (error) {
      signal.throwIfAborted();
      const isAway = error instanceof ProviderError && AWAY_KINDS.has(error.kind);
      // What refuses that call answers.
      if (!isAway) return;
    }
  }
}

const AWAY_KINDS: ReadonlySet<ProviderErrorKind> = new Set(["network", "unavailable"]);

function whyUnlisted({ clock, memory }: DockerContext, id: string): string | null {
  const goneMs = memory.known(id)?.goneMs ?? null;
  if (goneMs === null || clock.now() - goneMs >= UNLISTED_MS) return null;
  return "its containers were removed a moment ago, and may be about to be replaced";
}

async function check(
  context: DockerContext,
  signal: AbortSignal,
): Promise<readonly AccountReport[]> {
  throwIfAborted(signal, "asking the engine for its version");
  const version = await askVersion(context.api, signal);
  const apps = await readApps(context, signal);
  const account = `${nameOf(version)} at ${context.api.address}`;
  return [{ account, apps: apps.size }];
}

/** `Docker 27.5.1`, `Podman 4.3.1`. */
function nameOf(version: unknown): string {
  const { Components: components, Version: number } = fieldsOf(version);
  const names = Array.isArray(components)
    ? components.map((one) => textOf(fieldsOf(one).Name))
    : [];
  const name = names.some((one) => one.includes("Podman")) ? "Podman" : "Docker";
  return `${name} ${textOf(number)}`.trim();
}
