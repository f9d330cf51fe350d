/** Follows what the engine reports by itself, and tells whoever watches how apps have changed. */

import { type CancelTimer, type Clock, deadline, sleep } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { filtersOf } from "./docker-calls.ts";
import type { DockerContext } from "./docker-context.ts";
import { type ContainerEvent, linesOf, readEvent } from "./docker-events.ts";
import { ENABLED } from "./docker-labels.ts";
import { observeApps, readApps } from "./docker-look.ts";
import { RECREATION_MS } from "./docker-memory.ts";
import { createCondition } from "./platform-condition.ts";
import { type Notice, type Observation, ProviderError, type Watcher } from "./provider.ts";

/** Made by `createWatch`. */
export interface DockerWatch {
  /** Tells it from now on; the first one opens the stream. Returns how to stop that; the last one closes it. */
  add(watcher: Watcher): () => void;
  /** An app may have changed: looks at it soon, and tells. */
  look(appId: string): void;
  /** Watchers have it from a list how all apps are. */
  listed(observations: ReadonlyMap<string, Observation>): void;
  /** Ends the stream. Safe to repeat. */
  close(): void;
}

type Heard = "heard" | "perhaps-missed";

interface WatchState {
  readonly watchers: Set<Watcher>;
  /** Apps that are to be looked at; whether something was heard of them, or may only have been missed. */
  readonly dirty: Map<string, Heard>;
  /** How each app was when watchers last heard of it. */
  readonly told: Map<string, string>;
  /** Ends the stream; `null`: there is none. */
  running: AbortController | null;
  /** A look is due, or under way. */
  isLooking: boolean;
  /** Timers that are set. */
  readonly timers: Set<CancelTimer>;
}

/** How long to gather what happens before it is looked at, ms: one thing shows as several events. */
const GATHER_MS = 5;
/** How long the engine may take to begin the stream, ms. */
const OPEN_TIMEOUT_MS = 15_000;
/** A stream is opened anew after so long, ms: on some ways it falls silent without an end. */
const RENEW_MS = 5 * 60_000;
/** Pause before a stream is opened again, ms: doubles, spread by chance between half and all. */
const RETRY_FIRST_MS = 200;
const RETRY_LAST_MS = 5_000;
/** How long a look at what has happened may take, ms. */
const LOOK_TIMEOUT_MS = 30_000;

/** @param getContext what the watch works with, once it is asked for */
export function createWatch(getContext: () => DockerContext): DockerWatch {
  const state: WatchState = {
    watchers: new Set(),
    dirty: new Map(),
    told: new Map(),
    running: null,
    isLooking: false,
    timers: new Set(),
  };
  const stop = () => {
    for (const cancel of state.timers) cancel();
    state.timers.clear();
    state.isLooking = false;
    state.running?.abort(new Error("nobody watches any more"));
    state.running = null;
  };
  return {
    add(watcher) {
      // Another object each time: who watches twice is told twice, and stops each on its own.
      const own: Watcher = {
        notice: (notice) => watcher.notice(notice),
        listAgain: () => watcher.listAgain(),
      };
      state.watchers.add(own);
      if (state.running === null) {
        state.running = new AbortController();
        void follow(getContext(), state, state.running.signal);
      }
      return () => {
        state.watchers.delete(own);
        if (state.watchers.size === 0) stop();
      };
    },
    look(appId) {
      lookSoon(getContext(), state, { appIds: [appId], heard: "heard" });
    },
    listed(observations) {
      state.told.clear();
      for (const [id, observation] of observations) state.told.set(id, textOf(observation));
    },
    close() {
      state.watchers.clear();
      stop();
    },
  };
}

/** Keeps a stream open until the signal aborts. Never rejects. */
async function follow(
  context: DockerContext,
  state: WatchState,
  signal: AbortSignal,
): Promise<void> {
  const { api, clock, log, memory, random, readiness } = context;
  const refusal = createCondition({
    bad: (fields, message) => log.warn(fields, message),
    good: (fields, message) => log.info(fields, message),
    fields: { provider: "docker" },
    clock,
  });
  let failures = 0;
  while (!signal.aborted) {
    try {
      await followOnce(context, state, {
        signal,
        onOpen() {
          failures = 0;
          refusal.end("the engine's events can be listened to again");
        },
      });
    } catch (error) {
      if (signal.aborted) break;
      if (isRefused(error)) refusal.begin(`${messageOf(error)}; ${ONLY_SWEEPS}`);
      log.debug({ provider: "docker", reason: messageOf(error) }, "the events have ended");
    }
    memory.setInformed(false);
    // It may be another engine that answers next time.
    api.forget();
    failures += 1;
    const pauseMs = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** Math.min(failures - 1, 10));
    // When the signal ends it, the loop ends, too.
    await sleep(clock, pauseMs * (0.5 + random() / 2), signal).catch(() => undefined);
  }
  memory.setInformed(false);
  readiness.end();
}

const ONLY_SWEEPS = "what happens to containers is noticed by sweeps and requests alone";

/** Whether the engine answers, but not with its events: that it does not answer at all is said elsewhere. */
function isRefused(error: unknown): boolean {
  return error instanceof ProviderError && error.trouble === null;
}

async function followOnce(
  context: DockerContext,
  state: WatchState,
  { signal, onOpen }: { readonly signal: AbortSignal; readonly onOpen: () => void },
): Promise<void> {
  const { api, clock, memory } = context;
  const reason = new Error("it is time to open it anew");
  const renewal = deadline(clock, RENEW_MS, { reason, parent: signal });
  try {
    const filters = filtersOf({ type: ["container"], label: [ENABLED] });
    const response = await api.open({
      what: "listen to its events",
      method: "GET",
      path: `/events?filters=${filters}`,
      timeoutMs: OPEN_TIMEOUT_MS,
      signal: renewal.signal,
    });
    if (response.body === null) throw new Error("there is no stream");
    onOpen();
    // From here on nothing is missed; what happened before is read.
    memory.setInformed(true);
    lookSoon(context, state, { appIds: memory.appIds(), heard: "perhaps-missed" });
    listAgain(state);
    for await (const line of linesOf(response.body)) {
      const event = readEvent(line);
      if (event !== null) onEvent(context, state, event);
    }
  } finally {
    renewal.end();
  }
}

function onEvent(context: DockerContext, state: WatchState, event: ContainerEvent): void {
  const { memory, nudges, readiness } = context;
  const { containerId, kind } = event;
  if (kind === "started") {
    memory.started(containerId);
    memory.boots(containerId);
  }
  if (kind === "ended") {
    memory.ended(containerId);
    readiness.ended(containerId);
  }
  if (kind === "told-to-end") memory.toldToEnd(containerId);
  nudges.nudge(containerId);
  const appId = memory.appOf(containerId);
  if (appId !== null) lookSoon(context, state, { appIds: [appId], heard: "heard" });
  if (appId === null || kind === "listed") listAgain(state);
}

function lookSoon(
  context: DockerContext,
  state: WatchState,
  { appIds, heard }: { readonly appIds: readonly string[]; readonly heard: Heard },
): void {
  for (const id of appIds) {
    if (state.dirty.get(id) !== "heard") state.dirty.set(id, heard);
  }
  lookAfter(context, state, GATHER_MS);
}

/** What is being woken or put to sleep is looked at afterwards. */
function lookAfter(context: DockerContext, state: WatchState, delayMs: number): void {
  const { clock, turns } = context;
  const isDue = [...state.dirty.keys()].some((id) => !turns.isBusy(id));
  if (state.isLooking || !isDue || state.running === null) return;
  state.isLooking = true;
  const { signal } = state.running;
  setTimer(clock, state, { delayMs, callback: () => void lookNow(context, state, signal) });
}

function setTimer(
  clock: Clock,
  { timers }: WatchState,
  { delayMs, callback }: { readonly delayMs: number; readonly callback: () => void },
): void {
  const cancel = clock.after(delayMs, () => {
    timers.delete(cancel);
    callback();
  });
  timers.add(cancel);
}

/** Looks at all that have changed, in one list. Never rejects. */
async function lookNow(
  context: DockerContext,
  state: WatchState,
  signal: AbortSignal,
): Promise<void> {
  const limit = deadline(context.clock, LOOK_TIMEOUT_MS, {
    reason: new Error("it took too long"),
    parent: signal,
  });
  const due = [...state.dirty].filter(([id]) => !context.turns.isBusy(id));
  for (const [id] of due) state.dirty.delete(id);
  let nextMs = GATHER_MS;
  try {
    if (due.length > 0 && !signal.aborted)
      await lookAt(context, state, { due, signal: limit.signal });
  } catch (error) {
    nextMs = RETRY_LAST_MS;
    const reason = messageOf(error);
    if (!signal.aborted) {
      context.log.debug({ provider: "docker", reason }, "changes could not be looked at");
      for (const [id, heard] of due) state.dirty.set(id, heard);
    }
  } finally {
    limit.end();
    // Otherwise it belongs to a stream that is over.
    if (!signal.aborted) {
      state.isLooking = false;
      lookAfter(context, state, nextMs);
    }
  }
}

/** @throws ProviderError */
async function lookAt(
  context: DockerContext,
  state: WatchState,
  { due, signal }: { readonly due: readonly [string, Heard][]; readonly signal: AbortSignal },
): Promise<void> {
  const { turns } = context;
  const before = new Map(due.map(([id]) => [id, turns.count(id)]));
  const apps = await readApps(context, signal);
  const existing = due.flatMap(([id]) => apps.get(id) ?? []);
  const observations = await observeApps(context, existing, { isCloser: true, signal });
  for (const [id, heard] of due) {
    const observation = observations.get(id) ?? GONE;
    // What a wake or a sleep has changed since is looked at again.
    const isOvertaken = turns.isBusy(id) || turns.count(id) !== before.get(id);
    if (isOvertaken) state.dirty.set(id, "heard");
    else tell(context, state, { id, observation, heard });
  }
}

const GONE: Observation = {
  phase: "asleep",
  target: null,
  reason: "its containers were removed",
};

function tell(
  { clock }: DockerContext,
  state: WatchState,
  { id, observation, heard }: Notice & { readonly heard: Heard },
): void {
  const text = textOf(observation);
  if (heard === "perhaps-missed" && state.told.get(id) === text) return;
  state.told.set(id, text);
  for (const watcher of state.watchers) watcher.notice({ id, observation });
  if (observation !== GONE) return;
  // Twice, as an app that is missing in one list alone is not believed to be gone.
  for (const delayMs of [RECREATION_MS, RECREATION_MS + GONE_AGAIN_MS]) {
    setTimer(clock, state, { delayMs, callback: () => listAgain(state) });
  }
}

/** Between the lists that find an app gone, ms. */
const GONE_AGAIN_MS = 2_000;

function listAgain(state: WatchState): void {
  for (const watcher of state.watchers) watcher.listAgain();
}

function textOf({ phase, target, reason }: Observation): string {
  return JSON.stringify([phase, target, reason]);
}
