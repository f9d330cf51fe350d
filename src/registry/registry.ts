/** What the program must remember about apps, whatever it is kept in. */

import type { AppRef, Snapshot, Target } from "../app.ts";

/** Phases worth remembering. After a restart all but `asleep` are only hints: the provider is asked again. */
export type StoredPhase = "unknown" | "asleep" | "waking" | "awake" | "stopping" | "failed";

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
   * @returns the fencing token of this claim, greater than every earlier one of this app, restarts included;
   *   `null` while somebody else holds the claim
   */
  claim(ref: AppRef): Promise<number | null>;
  /** Gives a claim back. Does nothing when `fence` is not the claim held now. */
  release(ref: AppRef, fence: number): Promise<void>;
  /** Writes what is pending and lets go of the store. Safe to repeat. */
  close(): Promise<void>;
}
