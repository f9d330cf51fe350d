/** What a wake and a sleep share: their dependencies, what runs per app, and changing and storing a state. */

import { isDeepStrictEqual } from "node:util";
import type { Activity } from "./activity.ts";
import type { App, AppState, Failure, Happening, Target } from "./app.ts";
import { isInTransit, transition } from "./app.ts";
import type { Clock } from "./clock.ts";
import { sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Cause, EventBus, EventName, PaastisEvent } from "./events.ts";
import type { ProbeResult } from "./health.ts";
import type { HookRunner } from "./hooks.ts";
import type { LastWord } from "./last-word.ts";
import type { AppClaim } from "./lifecycle-claim.ts";
import type { Log } from "./log.ts";
import type { Peers } from "./peers.ts";
import { type Persistence, persist } from "./provider-retry.ts";
import type { Observation, Operation, Provider, Step } from "./providers/provider.ts";
import { ProviderError, troubleOf } from "./providers/provider.ts";
import type { AppRecord, Registry, StoredFailure, StoredPhase } from "./registry/registry.ts";

/** How a wake ended. */
export type WakeOutcome =
  | { readonly kind: "awake"; readonly target: Target }
  | (Failure & { readonly kind: "failed" });

/** How a sleep ended. `kept`: the app stays awake, and why. */
export type SleepOutcome =
  | { readonly kind: "asleep" }
  | { readonly kind: "kept"; readonly why: string }
  | {
      readonly kind: "failed";
      readonly why: string;
      /** Only that the platform takes no calls now stood against it: worth another try after so long, ms. */
      readonly retryAfterMs?: number;
    };

/** Everything the lifecycle needs from outside. */
export interface LifecycleDeps {
  readonly clock: Clock;
  /** 0 to 1, exclusive; spreads retries. */
  readonly random: () => number;
  readonly registry: Registry;
  /** The other instances that share the registry. */
  readonly peers: Pick<Peers, "askToLetGo" | "isLeader" | "isShared" | "self" | "state">;
  readonly events: EventBus;
  readonly hooks: HookRunner;
  readonly activity: Activity;
  readonly log: Log;
  /** @throws Error when there is no such provider */
  readonly providerOf: (app: App) => Provider;
  /** Whether the table has an app with this one's identity. */
  readonly isListed: (app: App) => boolean;
  /** Whether its key, or any, leads to it: what nobody can ask for is not put to sleep. */
  readonly isReachable: (app: App) => boolean;
  /** Called with an app that its provider said it does not know: its list has to tell. */
  readonly onMissing: (app: App) => void;
  readonly probe: (app: App, target: Target, signal: AbortSignal) => Promise<ProbeResult>;
  /** Id of the event that told of a failure; `null`: nobody knows. Left out: nobody ever does. */
  readonly referenceOf?: (app: App, failure: Failure) => string | null;
}

/** What was begun with an app, and nobody has told the end of. */
export type HalfDone = "stopping" | "waking";

/** What runs for one app at the moment. At most one of `wake` and `sleep` works; a wake may wait for a sleep. */
export interface Run {
  wake: Promise<WakeOutcome> | null;
  /** When that wake was asked for, ms since the epoch; for estimates. */
  wakeAskedMs: number;
  sleep: Promise<SleepOutcome> | null;
  /**
   * Calls that sleep off, for a reason that people can read: ends what it waits for before the platform is asked to
   * stop the app, and a stop that was not sent yet. `null` before and after.
   */
  callOff: AbortController | null;
  /** When a wake last ended well, ms since the epoch; `null`: never. */
  wokenMs: number | null;
  /** Ends the wake's waiting early, when the app is seen to have ended; `null` while nothing waits. */
  abort: AbortController | null;
  /** Ends the wake under way, as a switch has found out where the app answers; `null`: none is. */
  overtake: AbortController | null;
  /** The right under which a wake or a sleep of ours is under way; `null`: none is. */
  claim: AppClaim | null;
  /** It kept itself from its newest sleep, as it had something to do. */
  isBusy: boolean;
  /** What it is now could not be stored. */
  isUnsaved: boolean;
  /** What another run or instance was about to do to it when it ended; `null`: nothing that nobody has told the end of. */
  halfDone: HalfDone | null;
  /** The wake's call has been taken: what ended before it says nothing about it. */
  isOrdered: boolean;
  /** Wakes and quick crashes in a row that failed. */
  failures: number;
  /** What the platform said last; `null`: nothing yet. */
  lastWord: LastWord | null;
  /** Where the wake under way last looked for an answer, and what it saw; `null`: nowhere yet. */
  lastProbe: string | null;
  /** What the newest call of that wake failed of, which is made again; `null`: nothing is in its way. */
  obstacle: unknown;
}

/** State shared by the lifecycle's functions. */
export interface LifecycleContext extends LifecycleDeps {
  readonly runs: WeakMap<App, Run>;
  /** Everything under way, so that `close` can wait for it. */
  readonly pending: Set<Promise<unknown>>;
  readonly closing: AbortController;
  /** Work that nobody waits for but `close`. It must not reject. */
  readonly later: (work: Promise<void>) => void;
  /** Stores an app as it is now, without anybody waiting for it. */
  readonly rememberLater: (app: App) => void;
}

/** What runs for `app`; made when first asked for. */
export function runOf(context: LifecycleContext, app: App): Run {
  const known = context.runs.get(app);
  if (known !== undefined) return known;
  const run: Run = {
    wake: null,
    wakeAskedMs: 0,
    sleep: null,
    callOff: null,
    wokenMs: null,
    abort: null,
    overtake: null,
    claim: null,
    isBusy: false,
    isUnsaved: false,
    halfDone: null,
    isOrdered: false,
    failures: 0,
    lastWord: null,
    lastProbe: null,
    obstacle: null,
  };
  context.runs.set(app, run);
  return run;
}

/** An app that lived at least so long before it ended is no app that crashes at once, ms. */
const LIVED_LONG_MS = 10_000;

/** Whether the app has been awake for so long that earlier failures say nothing about it any more. */
export function hasLivedLong(context: LifecycleContext, state: AppState): boolean {
  return state.kind === "awake" && context.clock.now() - state.sinceMs >= LIVED_LONG_MS;
}

/** Changes an app's state if the happening is still allowed. @returns whether it was */
export function apply(context: LifecycleContext, app: App, happening: Happening): boolean {
  const before = app.state;
  const next = transition(before, happening, context.clock.now());
  if (next === null) return false;
  const run = runOf(context, app);
  if (hasLivedLong(context, before)) run.failures = 0;
  if (next.kind !== "unknown") run.halfDone = null;
  app.state = next;
  if (next.kind === "awake") {
    app.lastTarget = next.target;
    if (!wasUpAllAlong(before, happening)) context.activity.restart(app);
  }
  return true;
}

function wasUpAllAlong(before: AppState, happening: Happening): boolean {
  if (happening.kind === "stop-failed") return happening.awakeSinceMs !== undefined;
  return before.kind === "draining";
}

/** Calls off a sleep, be it at its hook still, or draining, or waiting for its turn at the platform. */
export function cancelDrain(context: LifecycleContext, app: App, why: string): void {
  runOf(context, app).callOff?.abort(new Error(why));
  if (app.state.kind !== "draining") return;
  apply(context, app, { kind: "drain-cancelled", fence: app.state.fence });
}

/** Remembers the app as it is now. A store that cannot be reached never stops a wake: it is logged. */
export async function remember(context: LifecycleContext, app: App): Promise<void> {
  const run = runOf(context, app);
  try {
    run.isUnsaved = false;
    await context.registry.save(withReference(context, app, ownRecordOf(app, run)));
  } catch (error) {
    run.isUnsaved = true;
    const level = isRegistryTrouble(context) ? "debug" : "error";
    context.log[level]({ app: app.key, reason: messageOf(error) }, "could not be stored");
  }
}

/** Visitors of every instance are to read the same one. */
function withReference({ referenceOf }: LifecycleDeps, app: App, record: AppRecord): AppRecord {
  const { failure } = record;
  if (failure === undefined || app.state.kind !== "failed") return record;
  const reference = referenceOf?.(app, app.state) ?? null;
  return reference === null ? record : { ...record, failure: { ...failure, reference } };
}

/** What another instance was about to do is its own to store. */
function ownRecordOf(app: App, { claim }: Run): AppRecord {
  const record = recordOf(app);
  return claim === null && isInTransit(app.state) ? { ...record, phase: "unknown" } : record;
}

/** The log has that the registry is away: not every app has to say so. */
export function isRegistryTrouble({ peers }: LifecycleContext): boolean {
  return peers.state().trouble !== null;
}

/** What is stored about an app. */
export function recordOf(app: App): AppRecord {
  return {
    ref: app.ref,
    key: app.key,
    phase: storedPhase(app.state),
    sinceMs: app.state.sinceMs,
    fence: app.fence,
    snapshot: app.snapshot,
    target: app.lastTarget,
    firstSeenMs: app.firstSeenMs,
    lastUsedMs: app.lastUsedMs,
    wakeHistoryMs: app.wakeHistoryMs,
    ...(app.runsAt !== null && { runsAt: app.runsAt }),
    ...(app.state.kind === "failed" && { failure: failureOf(app.state) }),
  };
}

function failureOf({ why, publicWhy, retryAtMs }: Failure): StoredFailure {
  return { why, ...(publicWhy !== undefined && { publicWhy }), retryAtMs };
}

function storedPhase(state: AppState): StoredPhase {
  return state.kind === "draining" ? "awake" : state.kind;
}

/** Tells everybody what happened to an app. */
export function tell(
  context: LifecycleContext,
  app: App,
  event: {
    readonly name: EventName;
    readonly cause: Cause;
    readonly reason?: string;
    readonly details?: PaastisEvent["details"];
    readonly isQuiet?: boolean;
  },
): void {
  // At the end every stop under way is called off, and every call: that the program stops has been said.
  const isBecauseOfEnd = context.closing.signal.aborted && STOPS_THAT_END.has(event.name);
  const quiet = isBecauseOfEnd ? { isQuiet: true } : {};
  context.events.emit({ ...event, ...quiet, app: app.key, ref: app.ref });
}

const STOPS_THAT_END: ReadonlySet<EventName> = new Set(["APP_STOP_CANCELLED", "APP_STOP_FAILED"]);

/** `persist`, and while it goes on whoever waits for the app can be told what is in its way. */
export async function persistFor<T>(
  context: LifecycleContext,
  app: App,
  order: Pick<Persistence<T>, "signal" | "untilMs" | "reread"> & {
    readonly work: () => Promise<T>;
  },
): Promise<T> {
  const run = runOf(context, app);
  const { work, ...limits } = order;
  const onFailure = (error: unknown) => {
    run.obstacle = error;
  };
  const { untilBack } = context.providerOf(app);
  const result = await persist(work, {
    ...{ ...context, ...limits, onFailure },
    ...(untilBack !== undefined && { untilBack }),
  });
  run.obstacle = null;
  return result;
}

/** Follows a wake or sleep that the platform goes on with until it says "done"; a poll that fails is repeated. */
export async function follow(
  context: LifecycleContext,
  app: App,
  options: { readonly first: Step; readonly signal: AbortSignal; readonly untilMs: number },
): Promise<Target | null> {
  const { signal, untilMs } = options;
  const provider = context.providerOf(app);
  let step = options.first;
  while (!step.done) {
    const operation: Operation = step.operation;
    await sleep(context.clock, step.pollAfterMs, signal);
    const poll = () => provider.poll(app.ref.id, operation, signal);
    step = await persistFor(context, app, { work: poll, signal, untilMs });
  }
  return step.target;
}

/** A fresh look at the app; `null` when the provider cannot be asked. */
export async function look(
  context: LifecycleContext,
  app: App,
  signal: AbortSignal,
): Promise<Observation | null> {
  try {
    return await observeNow(context, app, signal);
  } catch (error) {
    signal.throwIfAborted();
    noteMissing(context, app, error);
    // What it was for says in the log how it ended.
    context.log.debug({ app: app.key, reason: messageOf(error) }, "could not be observed");
    return null;
  }
}

/** Whether the log has it, as trouble of the whole platform, so that it is not said for each app again. */
export function isSaidAlready(error: unknown): boolean {
  return troubleOf(error)?.isKnown() === true;
}

/** Like `look`. @throws ProviderError when the provider cannot be asked */
export async function observeNow(
  context: LifecycleContext,
  app: App,
  signal: AbortSignal,
): Promise<Observation> {
  const isWanted = runOf(context, app).wake !== null;
  const observation = await context.providerOf(app).observe(app.ref.id, signal, isWanted);
  noteWord(context, app, observation);
  return observation;
}

/** Remembers what the platform said about an app. */
export function noteWord(context: LifecycleContext, app: App, observation: Observation): void {
  runOf(context, app).lastWord = { observation, atMs: context.clock.now() };
}

/** What runs is what a wake is to bring back, also where somebody else stops it. @returns whether that is news */
export function noteSnapshot(app: App, { snapshot }: Observation): boolean {
  if (snapshot === undefined || isDeepStrictEqual(snapshot, app.snapshot)) return false;
  app.snapshot = snapshot;
  return true;
}

/** An app that its provider does not know is not given up for that: whether it is gone, the next lists say. */
export function noteMissing(context: LifecycleContext, app: App, error: unknown): void {
  if (error instanceof ProviderError && error.kind === "not-found") context.onMissing(app);
}

/** Longest and shortest pause after a failed wake, ms. */
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 60_000;

/** When a failed app may be tried again: doubling pauses, spread by chance between half and all of it. */
export function retryAtMs(context: LifecycleContext, failures: number): number {
  const pauseMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures - 1, 10));
  return context.clock.now() + Math.round(pauseMs * (0.5 + context.random() / 2));
}
