/** What a provider must be able to do, and how it says that it could not. */

import type { Snapshot, Target } from "../app.ts";
import type { Settings } from "../config.ts";
import type { Child } from "./process-child.ts";

/**
 * What a platform reports about one app.
 * - `deploying`: somebody's deployment runs; the app must not be stopped
 * - `failed`: it will not come up by itself
 * - `blocked`: billing, moderation or maintenance; a human must act
 * - `unmanaged`: exists, but has nothing to put to sleep
 * - `unknown`: a word of the platform that we do not know
 */
export type Phase =
  | "awake"
  | "asleep"
  | "waking"
  | "stopping"
  | "deploying"
  | "failed"
  | "blocked"
  | "unmanaged"
  | "unknown";

/** One look at one app. */
export interface Observation {
  readonly phase: Phase;
  /** Where it answers; `null` when that is only known after a wake, or not reported. */
  readonly target: Target | null;
  /** For people: crash, exit status, last lines of output, billing, deployment id. */
  readonly reason?: string;
  /**
   * What would bring the app back as it runs now, should somebody else stop it. Left out: only `takeSnapshot` tells, or
   * it does not run.
   */
  readonly snapshot?: Snapshot;
}

/** One app in a provider's list. */
export interface Listing {
  readonly id: string;
  /** The app's key; compared with the Host's first label, case-insensitively. */
  readonly key: string;
  /**
   * What people call it there, where the key alone might be somebody else's too: `shop in osc-fr1`. Left out: the key.
   */
  readonly label?: string;
  /** Further keys, in lower case, that lead to the app where no app claims them as its key. */
  readonly aliases?: readonly string[];
  /** `null` when the list call carries no state: the app is then observed on its own, now and then. */
  readonly observation: Observation | null;
  /** Where it answers when it is up, as a list without state may still say. */
  readonly target?: Target | null;
  /** The platform sleeps and wakes the app by itself: a wake is a forward, a sleep is never asked for. */
  readonly sleepsByItself: boolean;
  /**
   * What the app's owner wrote on the app itself, as labels and annotations do. It counts like an app's own entry
   * of `paastis.yml`: more than any rule. Without `appName` and `provider`.
   */
  readonly settings?: Settings;
  /** What else the list says of the app. Left out: nothing that we read. */
  readonly facts?: Facts;
}

/**
 * What a platform says of an app that decides nothing here: it is only shown to scripts. Times in ms since the epoch;
 * `null`: it does not say.
 */
export interface Facts {
  /** The platform's own id, where ours has more in it. */
  readonly id: string;
  readonly region: string | null;
  /** The platform's own word. */
  readonly status: string | null;
  /** The address that it is known by. */
  readonly url: string | null;
  readonly gitUrl: string | null;
  readonly createdMs: number | null;
  readonly updatedMs: number | null;
  readonly deployedMs: number | null;
  readonly forceHttps: boolean | null;
  readonly stickySession: boolean | null;
}

/** An operation that the platform goes on with after our call has returned. */
export interface Operation {
  readonly id: string;
}

/** How far one call brought a wake or a sleep. */
export type Step =
  | { readonly done: true; readonly target: Target | null }
  | { readonly done: false; readonly operation: Operation; readonly pollAfterMs: number };

/** What the core must know about a provider before it calls it. */
export interface Capabilities {
  /** Its list is what `paastis.yml` declares: an app that is not in it is gone, without a second look. */
  readonly listsDeclaredApps: boolean;
  /** Its apps are children of this program: no other instance can stop them, or say how they are. Left out: they are not. */
  readonly runsApps?: boolean;
  /**
   * Its list says how each app is. Where it does not, what is known of an app may be an hour old, and an app is
   * looked at once more before it is put to sleep.
   */
  readonly listHasState: boolean;
  /** Longest a wake may take by default, hooks included, until the first healthy answer, in ms. */
  readonly wakeTimeoutMs: number;
  /** Longest a sleep may take, from the provider call to "asleep", in ms. */
  readonly sleepTimeoutMs: number;
  /** An app that did not become healthy in time is worth nothing: stop it again, so that the next wake starts clean. */
  readonly sleepAfterFailedWake: boolean;
  /**
   * `takeSnapshot` looks itself, and rejects when the app must not be stopped now: no look of its own goes before.
   * Left out: `observe` is asked first.
   */
  readonly snapshotLooks?: boolean;
  /**
   * `wake` joins what brings an app up already, and follows that to its end: until then something of the platform's may
   * answer at its address. Left out: an app that is seen to come up is up as soon as it answers.
   */
  readonly wakeJoins?: boolean;
  /** Shortest time between two lists that are asked for out of turn, in ms; left out: 15 s. */
  readonly listPauseMs?: number;
  /**
   * Somebody else restarts the app in its place, or what stands before it on this machine: a request that broke before
   * any answer, and does no harm twice, is sent once more.
   */
  readonly isRestartedByOthers?: boolean;
}

/** Something a provider noticed by itself. */
export interface Notice {
  readonly id: string;
  readonly observation: Observation;
}

/** Who wants to know what a provider notices. Both may be called at any time until the watch is stopped. */
export interface Watcher {
  /** An app that was listed has changed. */
  notice(notice: Notice): void;
  /** Apps may have come, gone or changed unseen: a new list is wanted. */
  listAgain(): void;
}

/** What a platform says about one account, or one region of it, when it is asked whether the credential works. */
export interface AccountReport {
  /** Who the platform takes us for; an engine: what it is, and where. */
  readonly account: string;
  /** `null`: all of them, or the platform does not care. Left out: there is no such thing. */
  readonly region?: string | null;
  readonly apps: number;
  /** Calls that are left; `null`: the platform does not say. Left out: nobody counts them. */
  readonly remaining?: number | null;
}

/** One version of an app that was started beside the one that runs. */
export interface Version {
  readonly target: Target;
  /** Resolves when it has ended by itself, with why: its last output is left out. Never rejects. */
  readonly ended: Promise<string>;
  /** The last lines that it has printed, harmless to show. */
  output(): string;
  /** Ends it, unless it was adopted. Safe to repeat. @throws ProviderError */
  end(): Promise<void>;
}

/**
 * Runs several versions of an app beside each other while its traffic moves from one to the other. One of them is the
 * app that every other call speaks of.
 */
export interface Versions {
  /**
   * Starts the app anew, as it is declared now, beside what runs of it.
   * @throws ProviderError `invalid` when two versions of it cannot run at once; `failed` when it cannot be started
   */
  begin(id: string, signal: AbortSignal): Promise<Version>;
  /**
   * From here on the version at `target` is the app. The one that was lives on beside it. Never throws.
   * @param onEnd called when the version ends by itself while it is the app, with why; true: somebody sees to that,
   *   and nobody else is told
   */
  adopt(id: string, target: Target, onEnd: (reason: string) => boolean): void;
  /** Ends the versions that were the app once, but for those at these addresses. Never rejects. */
  endFormer(id: string, spared: ReadonlySet<string>): Promise<void>;
}

/**
 * A platform. All calls may be made at any time, in parallel for different apps; the lifecycle makes at most
 * one wake or sleep call per app at a time. Each honours `signal` and rejects with a `ProviderError`.
 */
export interface Provider {
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Every app there is, in the fewest calls the platform allows. */
  list(signal: AbortSignal): Promise<readonly Listing[]>;
  /**
   * Why the newest list cannot know of an app that it leaves out: a part of the platform did not answer. Such an app
   * is not missing. `null`: the list is to be believed; left out: it always is.
   */
  whyUnlisted?(id: string): string | null;
  /** Whether each part of the platform has answered a list at least once. Left out: it has as soon as a list came. */
  isWhole?(): boolean;
  /**
   * One fresh look at one app.
   * @param isWanted a request waits for it: it goes ahead of looks that nobody waits for
   */
  observe(id: string, signal: AbortSignal, isWanted?: boolean): Promise<Observation>;
  /** What `wake` will need later. Taken and stored before every `sleep`. */
  takeSnapshot(id: string, signal: AbortSignal): Promise<Snapshot>;
  /** Brings the app up. Safe to repeat: an app that is already up counts as done. */
  wake(id: string, snapshot: Snapshot | null, signal: AbortSignal): Promise<Step>;
  /**
   * An earlier run of the program began a wake, and ended before it knew whether the platform had heard of it. Only a
   * platform on which a second wake does harm needs to know. Never throws.
   * @param begunMs ms since the epoch, by the clock of that run
   */
  recallWake?(id: string, begunMs: number): void;
  /**
   * An earlier run of the program had the app asleep, or was about to: what ended then has not failed, whatever the
   * platform says of it. Never throws.
   * @param atMs ms since the epoch, by the clock of that run
   * @param left the snapshot of a stop that may not have come to its end: what of it is down belongs into the next one
   */
  recallSleep?(id: string, atMs: number, left?: Snapshot): void;
  /** Takes the app down. Safe to repeat: an app that is already down counts as done. */
  sleep(id: string, snapshot: Snapshot, signal: AbortSignal): Promise<Step>;
  /**
   * Somebody wants the app: a sleep that a snapshot was taken for, or that was asked for, is called off as far as nothing
   * was sent. `sleep` then rejects with `rate-limited`; what was sent goes on. Safe to repeat, and at any time.
   */
  callOff?(id: string): void;
  /** Asks how far an operation is. */
  poll(id: string, operation: Operation, signal: AbortSignal): Promise<Step>;
  /**
   * Whether this answer is the platform saying that the app is down, rather than the app speaking.
   * @param id whose address gave it: what is known of that app decides where the answer alone does not
   */
  isDownAnswer?(status: number, header: (name: string) => string | null, id?: string): boolean;
  /**
   * Whether this answer may be the platform saying so, and nobody can tell: the app is looked at then, seldom, before
   * it is passed on. Left out: its platform always says so itself.
   */
  mayBeDownAnswer?(status: number): boolean;
  /** Tells `watcher` whenever the platform reports a change by itself. Returns how to stop that. */
  watch?(watcher: Watcher): () => void;
  /**
   * Tries the credential with a harmless call, for `paastis check --online`; only platforms have one.
   * @throws ProviderError whose message says what is wrong with it
   */
  check?(signal: AbortSignal): Promise<readonly AccountReport[]>;
  /** The app is no longer declared: ends what still runs for it here. Only declared apps need it. */
  forget?(id: string): Promise<void>;
  /**
   * Another instance ran the app and is gone: what is left of it on this machine ends, before it is started here. Only a
   * provider whose apps are children of this program has it. Never rejects.
   * @param at what that instance is called
   */
  takeOver?(id: string, at: string): Promise<void>;
  /** How a new version of an app is started beside the old one; only a provider that starts apps itself has it. */
  readonly versions?: Versions;
  /**
   * Its apps live on as children of this process, which another one tells when to end them: from here on the provider
   * knows nothing of them. Only one whose apps are children of this program has it.
   */
  keep?(): readonly Child[];
  /** Ends everything the provider owns: processes, timers, connections. Safe to repeat. */
  close(): Promise<void>;
  /**
   * Fulfilled when the platform answers again, after a call failed because it did not: a wake that waits goes on then,
   * and not only at the end of its pause. Left out: nobody could tell.
   * @throws anything when `signal` aborts
   */
  untilBack?(signal: AbortSignal): Promise<void>;
  /** Calls that the platform still allows, by its newest word; `null`: it did not say. Left out: it never does. */
  quotaLeft?(): number | null;
  /** Somebody is in a hurry: what `close` politely waits for is cut. Safe to repeat. */
  hurry?(): Promise<void>;
}

/** Why a provider call failed, in words the core can act on. */
export type ProviderErrorKind =
  | "auth"
  | "forbidden"
  | "not-found"
  | "invalid"
  | "busy"
  | "payment"
  | "rate-limited"
  | "unavailable"
  | "network"
  | "protocol"
  | "failed";

/** What is wrong with a whole platform: many calls fail of it, and the log is to say it once. */
export interface Trouble {
  /** Whether the log has it. */
  isKnown(): boolean;
  /** Whoever calls this says it in the log, and that it is over: nobody else does. */
  takeOver(): void;
}

/**
 * A provider call that did not do what was asked. Its message is for whoever runs Paastis, not for visitors of an app,
 * and holds no secret.
 */
export class ProviderError extends Error {
  override readonly name = "ProviderError";
  readonly kind: ProviderErrorKind;
  /** How long to leave the provider alone, in ms; `null` when it did not say. */
  readonly retryAfterMs: number | null;
  /**
   * The platform may have done what was asked although no answer said so: look at the state before asking again.
   * Never set for a call that only reads.
   */
  readonly isUncertain: boolean;
  /** What is wrong with the whole platform, where that is why; `null`: nothing that is known. */
  readonly trouble: Trouble | null;

  constructor(
    kind: ProviderErrorKind,
    message: string,
    options: {
      readonly cause?: unknown;
      readonly retryAfterMs?: number;
      readonly isUncertain?: boolean;
      readonly trouble?: Trouble | null;
    } = {},
  ) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.isUncertain = options.isUncertain ?? false;
    this.trouble = options.trouble ?? troubleOf(options.cause);
  }
}

/** The trouble of its platform that a failure comes from; `null` when it is about one app, or one call. */
export function troubleOf(error: unknown): Trouble | null {
  return error instanceof ProviderError ? error.trouble : null;
}
