/** What the cluster tells by itself, as news for the core. */

import { isDeepStrictEqual } from "node:util";
import { sleep } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { type KubernetesContext, openScopes, type Scope, see } from "./kubernetes-context.ts";
import type { Feed, FeedChange } from "./kubernetes-feed.ts";
import type { Workload } from "./kubernetes-workload.ts";
import type { Phase, Watcher } from "./provider.ts";

/** Made by `createNews`. */
export interface News {
  /** @returns how to stop telling this one; safe to repeat */
  tell(watcher: Watcher): () => void;
  /** Ends everything; safe to repeat. */
  close(): Promise<void>;
}

/** Before the cluster's files are looked for again, ms. */
const OPEN_AGAIN_MS = 10_000;

interface State {
  readonly context: KubernetesContext;
  readonly watchers: Set<Watcher>;
  /** Ends what follows the cluster; `null`: nothing does. */
  following: { readonly end: AbortController; readonly over: Promise<void> } | null;
  isClosed: boolean;
}

/** Follows nothing before somebody wants to know. */
export function createNews(context: KubernetesContext): News {
  const state: State = { context, watchers: new Set(), following: null, isClosed: false };
  return {
    tell(watcher) {
      // One of its own: the same watcher may come twice.
      const own: Watcher = {
        notice: (notice) => watcher.notice(notice),
        listAgain: () => watcher.listAgain(),
      };
      state.watchers.add(own);
      if (!state.isClosed) state.following ??= start(state);
      return () => {
        state.watchers.delete(own);
        if (state.watchers.size === 0) stop(state);
      };
    },
    async close() {
      state.isClosed = true;
      state.watchers.clear();
      const over = state.following?.over;
      stop(state);
      await over;
    },
  };
}

function start(state: State): NonNullable<State["following"]> {
  const end = new AbortController();
  return { end, over: followAll(state, end.signal) };
}

function stop(state: State): void {
  state.following?.end.abort(new Error("nobody watches any more"));
  state.following = null;
}

/** Never rejects. */
async function followAll(state: State, signal: AbortSignal): Promise<void> {
  const { log } = state.context;
  try {
    const scopes = await untilOpen(state.context, signal);
    await Promise.all(scopes.flatMap((scope) => followScope(state, scope, signal)));
  } catch (error) {
    if (signal.aborted) return;
    log.error({ reason: messageOf(error) }, "the cluster is no longer followed: please report it");
  }
}

/** Whoever lists the apps says what is wrong with the files. */
async function untilOpen(
  context: KubernetesContext,
  signal: AbortSignal,
): Promise<readonly Scope[]> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await openScopes(context);
    } catch (error) {
      context.log.debug({ reason: messageOf(error) }, "the cluster cannot be followed yet");
      await sleep(context.clock, OPEN_AGAIN_MS, signal);
    }
  }
}

function followScope(state: State, scope: Scope, signal: AbortSignal): Promise<void>[] {
  const { workloads, services, autoscalers } = scope;
  const onGap = () => listAgain(state);
  const onWorkload = (change: FeedChange<Workload>) => workloadChanged(state, scope, change);
  const near = <T extends { readonly namespace: string }>(feed: Feed<T>) =>
    feed.follow({ signal, onGap, onChange: (change) => neighbourChanged(state, scope, change) });
  return [
    workloads.deployment.follow({ signal, onGap, onChange: onWorkload }),
    workloads.statefulset.follow({ signal, onGap, onChange: onWorkload }),
    near(services),
    near(autoscalers),
  ];
}

function listAgain({ watchers }: State): void {
  for (const watcher of watchers) watcher.listAgain();
}

function workloadChanged(state: State, scope: Scope, change: FeedChange<Workload>): void {
  const { before, after } = change;
  const wasEnabled = before?.marks.isEnabled === true;
  const isEnabled = after?.marks.isEnabled === true;
  if (!wasEnabled && !isEnabled) return;
  if (wasEnabled !== isEnabled || !isTreatedAlike(change)) listAgain(state);
  if (after !== null && isEnabled) tell(state, scope, after);
}

/** Whether its entry in a list stays the same, but for its state. */
function isTreatedAlike({ before, after }: FeedChange<Workload>): boolean {
  if (before === null || after === null || before.uid !== after.uid) return false;
  const marks = { ...after.marks, previousReplicas: before.marks.previousReplicas };
  return isDeepStrictEqual(before.marks, marks);
}

/** A Service or an autoscaler: where apps answer may have changed, or who else scales them. */
function neighbourChanged(
  state: State,
  scope: Scope,
  { before, after }: FeedChange<{ readonly namespace: string }>,
): void {
  const namespace = (after ?? before)?.namespace;
  for (const feed of Object.values(scope.workloads)) {
    for (const workload of feed.known?.values() ?? []) {
      if (workload.namespace === namespace && workload.marks.isEnabled) {
        tell(state, scope, workload);
      }
    }
  }
}

const ENDED: ReadonlySet<Phase> = new Set<Phase>(["asleep", "failed", "stopping"]);

function tell({ context, watchers }: State, scope: Scope, workload: Workload): void {
  const services = scope.services.known;
  const autoscalers = scope.autoscalers.known;
  // Without them nothing can be said; the list that reads them says it all.
  if (services === null || autoscalers === null) return;
  const neighbours = { services: [...services.values()], autoscalers: [...autoscalers.values()] };
  const { observation } = see(context, { scope, workload, neighbours });
  // What it was before it was woken would end the wake.
  const woken = context.woken.get(workload.id);
  const isOld = woken?.uid === workload.uid && workload.generation <= woken.generation;
  if (isOld && ENDED.has(observation.phase)) return;
  for (const watcher of watchers) watcher.notice({ id: workload.id, observation });
}
