/** What a provider must be able to do, and how it says that it could not. */

import type { Snapshot, Target } from "../app.ts";

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
}

/** One app in a provider's list. */
export interface Listing {
  readonly id: string;
  /** The app's key; compared with the Host's first label, case-insensitively. */
  readonly key: string;
  /** Further keys, in lower case, that lead to the app where no app claims them as its key. */
  readonly aliases?: readonly string[];
  /** `null` when the list call carries no state: the app is then observed on its own, now and then. */
  readonly observation: Observation | null;
  /** Where it answers when it is up, as a list without state may still say. */
  readonly target?: Target | null;
  /** The platform sleeps and wakes the app by itself: a wake is a forward, a sleep is never asked for. */
  readonly sleepsByItself: boolean;
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
}

/** Something a provider noticed by itself. */
export interface Notice {
  readonly id: string;
  readonly observation: Observation;
}

/** What a platform says about one account, or one region of it, when it is asked whether the credential works. */
export interface AccountReport {
  /** Who the platform takes us for. */
  readonly account: string;
  /** `null`: the platform has no regions, or does not care. */
  readonly region: string | null;
  readonly apps: number;
  /** Calls that are left; `null`: the platform does not say. */
  readonly remaining: number | null;
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
  /** One fresh look at one app. */
  observe(id: string, signal: AbortSignal): Promise<Observation>;
  /** What `wake` will need later. Taken and stored before every `sleep`. */
  takeSnapshot(id: string, signal: AbortSignal): Promise<Snapshot>;
  /** Brings the app up. Safe to repeat: an app that is already up counts as done. */
  wake(id: string, snapshot: Snapshot | null, signal: AbortSignal): Promise<Step>;
  /** Takes the app down. Safe to repeat: an app that is already down counts as done. */
  sleep(id: string, snapshot: Snapshot, signal: AbortSignal): Promise<Step>;
  /** Asks how far an operation is. */
  poll(id: string, operation: Operation, signal: AbortSignal): Promise<Step>;
  /** Whether this answer is the platform saying that the app is down, rather than the app speaking. */
  isDownAnswer?(status: number, header: (name: string) => string | null): boolean;
  /** Calls `onNotice` whenever the platform reports a change by itself. Returns how to stop that. */
  watch?(onNotice: (notice: Notice) => void): () => void;
  /**
   * Tries the credential with a harmless call, for `paastis check --online`; only platforms have one.
   * @throws ProviderError whose message says what is wrong with it
   */
  check?(signal: AbortSignal): Promise<readonly AccountReport[]>;
  /** The app is no longer declared: ends what still runs for it here. Only declared apps need it. */
  forget?(id: string): Promise<void>;
  /** Ends everything the provider owns: processes, timers, connections. Safe to repeat. */
  close(): Promise<void>;
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

/** A provider call that did not do what was asked. Its message is for people and holds no secret. */
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

  constructor(
    kind: ProviderErrorKind,
    message: string,
    options: {
      readonly cause?: unknown;
      readonly retryAfterMs?: number;
      readonly isUncertain?: boolean;
    } = {},
  ) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.isUncertain = options.isUncertain ?? false;
  }
}
