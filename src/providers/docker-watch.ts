/** Follows what the engine reports by itself, and tells whoever watches how apps have changed. */

import { type CancelTimer, type Clock, deadline } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { DockerContext } from "./docker-context.ts";
import type { ContainerEvent } from "./docker-events.ts";
import { observeApps, readApps } from "./docker-look.ts";
import { followEvents } from "./docker-stream.ts";
import type { Notice, Observation, Watcher } from "./provider.ts";

/** Made by `createWatch`. */
export interface DockerWatch {
  /** Tells it from now on; the first one opens the stream. Returns how to stop that; the last one closes it. */
  add(watcher: Watcher): () => void;
  /** An app may have changed: looks at it soon, and tells. */
  look(appId: string): void;
  /** An app is missing in a list: watchers are to ask for as many more as it takes to believe that. */
  missing(): void;
  /** Watchers have it from a list how all apps are. */
  listed(observations: ReadonlyMap<string, Observation>): void;
  /** Ends the stream. Safe to repeat. */
  close(): void;
}

type Heard = "heard" | "perhaps-missed";

/** How an app was told of. */
interface Told {
  readonly phase: Observation["phase"];
  readonly text: string;
  /** How often it had been woken or stopped by then. */
  readonly turns: number;
}

interface WatchState {
  readonly watchers: Set<Watcher>;
  /** Apps that are to be looked at; whether something was heard of them, or may only have been missed. */
  readonly dirty: Map<string, Heard>;
  /** How each app was when watchers last heard of it. */
  readonly told: Map<string, Told>;
  /** Ends the stream; `null`: there is none. */
  running: AbortController | null;
  /** A look is due, or under way. */
  isLooking: boolean;
  /** Looks in a row that have failed. */
  failedLooks: number;
  /** Timers that are set. */
  readonly timers: Set<CancelTimer>;
}

/** How long to gather what happens before it is looked at, ms: one thing shows as several events. */
const GATHER_MS = 5;
/** Pause before what could not be looked at is tried again, ms: doubles. An engine that is restarted is soon back. */
const LOOK_AGAIN_FIRST_MS = 250;
const LOOK_AGAIN_LAST_MS = 5_000;
/** Between the wishes for lists after an app was missing in one, ms: longer than from a wish to its list. */
const MISSING_AGAIN_MS = 600;
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
    failedLooks: 0,
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
    missing() {
      const { clock } = getContext();
      if (state.watchers.size === 0) return;
      // Twice, as one that is missing in one list alone is not believed to be gone.
      for (const delayMs of [0, MISSING_AGAIN_MS]) {
        setTimer(clock, state, { delayMs, callback: () => listAgain(state) });
      }
    },
    listed(observations) {
      const context = getContext();
      const before = new Map(state.told);
      state.told.clear();
      for (const [id, observation] of observations) {
        const known = before.get(id);
        // Who waits for it hears nothing of lists.
        const isAwaited = known !== undefined && isComing(context, known, id);
        state.told.set(id, isAwaited ? known : toldOf(context, id, observation));
      }
    },
    close() {
      state.watchers.clear();
      stop();
    },
  };
}

/** Listens until the signal aborts. Never rejects. */
async function follow(
  context: DockerContext,
  state: WatchState,
  signal: AbortSignal,
): Promise<void> {
  await followEvents(context, {
    signal,
    onOpen(isSteady) {
      const appIds = context.memory.appIds();
      // Somebody waits for those: that they are down again is news, whatever a list says of it meanwhile.
      const coming = appIds.filter((id) => isComing(context, state.told.get(id), id));
      lookSoon(context, state, { appIds: coming, heard: "heard" });
      // What happened before is read. Streams that end at once must not cost a look at each container every time.
      if (isSteady) lookSoon(context, state, { appIds, heard: "perhaps-missed" });
      listAgain(state);
    },
    onEvent: (event) => onEvent(context, state, event),
  });
  context.readiness.end();
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
  memory.looks.changed(containerId);
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
    state.failedLooks = 0;
  } catch (error) {
    nextMs = Math.min(LOOK_AGAIN_LAST_MS, LOOK_AGAIN_FIRST_MS * 2 ** state.failedLooks);
    state.failedLooks += 1;
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
  context: DockerContext,
  state: WatchState,
  { id, observation, heard }: Notice & { readonly heard: Heard },
): void {
  const now = toldOf(context, id, observation);
  const before = state.told.get(id);
  // Who has had it woken or stopped since takes it for another: being as it was is news then.
  const isKnown = before?.text === now.text && before.turns === now.turns;
  if (heard === "perhaps-missed" && isKnown) return;
  state.told.set(id, now);
  for (const watcher of state.watchers) watcher.notice({ id, observation });
}

function listAgain(state: WatchState): void {
  for (const watcher of state.watchers) watcher.listAgain();
}

function toldOf({ turns }: DockerContext, id: string, observation: Observation): Told {
  const { phase, target, reason } = observation;
  return { phase, text: JSON.stringify([phase, target, reason]), turns: turns.count(id) };
}

/** Whether it boots, as far as watchers know, or was woken or stopped since they last heard of it. */
function isComing({ turns }: DockerContext, told: Told | undefined, id: string): boolean {
  return told?.phase === "waking" || told?.turns !== turns.count(id);
}
