/** What the program must remember about apps, whatever it is kept in. */

import type { AppRef, Snapshot, Target } from "../app.ts";

/** Phases worth remembering. After a restart all but `asleep` are only hints: the provider is asked again. */
export type StoredPhase = "unknown" | "asleep" | "waking" | "awake" | "stopping" | "failed";

/** Why an app is `failed`, for instances that have not seen it themselves. */
export interface StoredFailure {
  readonly why: string;
  /** What every visitor may read; left out: `why`. */
  readonly publicWhy?: string;
  /** Id of the event that told of it; left out: nobody knows. */
  readonly reference?: string;
  /** ms since the epoch. */
  readonly retryAtMs: number;
}

/** What is kept about one app. */
export interface AppRecord {
  readonly ref: AppRef;
  readonly key: string;
  readonly phase: StoredPhase;
  /** When that phase began, ms since the epoch. */
  readonly sinceMs: number;
  /** Fencing token of the transition that wrote this record. */
  readonly fence: number;
  /** What brings the app back; `null`: never taken. */
  readonly snapshot: Snapshot | null;
  /** The last target known to have answered. */
  readonly target: Target | null;
  readonly firstSeenMs: number;
  readonly lastUsedMs: number | null;
  /** Durations of the latest wakes, newest last, in ms. */
  readonly wakeHistoryMs: readonly number[];
  /** Only in a registry that several instances share: the one on whose machine it runs as a child. Left out: nobody's. */
  readonly runsAt?: string;
  /** Only in a registry that several instances share, and of a failed app. */
  readonly failure?: StoredFailure;
}

/** The sole right to change an app, over all instances. */
export interface Claim {
  /** Greater than every earlier one of this app, restarts included. */
  readonly fence: number;
  /** What the registry knows now, where another instance may have written it; `null`: nothing, or there is no other. */
  readonly record: AppRecord | null;
  /** Aborted when the right may have passed to somebody else: nothing that was decided under it may be done any more. */
  readonly lost: AbortSignal;
  /**
   * Whether it still counts at this very moment. A process that was stopped and goes on has not seen `lost` yet: to be
   * asked right before anything that cannot be undone.
   */
  isHeld(): boolean;
  /** Gives it back; does nothing when it was lost. @throws Error when the store cannot be reached */
  release(): Promise<void>;
}

/** The last use of one app by a client. */
export interface Use {
  readonly ref: AppRef;
  readonly lastUsedMs: number;
}

/** What `load` found. */
export interface Loaded {
  readonly records: readonly AppRecord[];
  /** Records that could not be read: what they were, and why. They are kept as they are and left out. */
  readonly unreadable: readonly { readonly what: string; readonly why: string }[];
}

/**
 * The registry. Nothing here is called while a request waits for it, but at transitions and behind batches.
 * All methods reject with a plain `Error` when the store cannot be reached.
 */
export interface Registry {
  /** Everything that is known. Called once at start. */
  load(): Promise<Loaded>;
  /**
   * Writes a record; durable when it resolves. `lastUsedMs` never goes back.
   * @returns false, and nothing is written, when a record with a newer fence is already there
   */
  save(record: AppRecord): Promise<boolean>;
  /** Forgets an app. Safe to repeat. */
  remove(ref: AppRef): Promise<void>;
  /** Notes last uses, many at once; apps without a record and older times are passed over. */
  touch(uses: readonly Use[]): Promise<void>;
  /**
   * Claims the sole right to wake or stop an app, over all instances.
   * @param known the newest fence that is known here: the claim's is greater, whatever the store has lost
   * @returns `null` while somebody else holds it
   */
  claim(ref: AppRef, known: number): Promise<Claim | null>;
  /** Writes what is pending and lets go of the store. Safe to repeat. */
  close(): Promise<void>;
}
