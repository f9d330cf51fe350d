/** The other instances that share the registry, as the core sees them. */

import type { AppRef } from "./app.ts";
import type { AppRecord } from "./registry/registry.ts";

/** How one instance uses an app, as it tells the others. */
export interface PeerUse {
  readonly ref: AppRef;
  /** Requests and sockets that use it now. */
  readonly leases: number;
  /** How long ago its idle clock was started there, ms; an age, as two machines' clocks differ. */
  readonly unusedMs: number;
}

/** Somebody is about to stop an app. */
export interface StopQuestion {
  readonly ref: AppRef;
  /** Fencing token of that stop. */
  readonly fence: number;
  /** How long the app was unused as the stop was decided, ms; `null`: it is to be stopped however short that is. */
  readonly unusedMs: number | null;
}

/** What an instance does about what others say. None of it may throw. */
export interface PeerListener {
  /** Another instance, `from`, has stored this. Newest last; what is older than what is known may come as well. */
  stored(record: AppRecord, from: string): void;
  /**
   * Another instance, `from`, is about to stop an app.
   * @returns why it must not; `null`: nobody here uses it, and requests for it wait here from now on, until the next
   *   record of it comes
   */
  mayStop(question: StopQuestion, from: string): string | null;
  /** How another instance uses apps: all that have leases there, and those that were used since it last said so. */
  used(instance: string, uses: readonly PeerUse[]): void;
  /** Another instance has ended, or was not heard of for too long: its leases count no more. */
  gone(instance: string): void;
  /** Something may have been missed, or lost: what is stored is to be compared with what is known here. */
  resync(): void;
  /** What this instance uses, and has used since it was last asked: once a second. */
  takeUses(): readonly PeerUse[];
}

/** For operators. */
export interface PeersState {
  /** Why the registry cannot be reached; `null`: it can. */
  readonly trouble: string | null;
  /** Since when that is so, ms since the epoch. */
  readonly sinceMs: number;
  /** Other instances that were heard of lately, in order. */
  readonly others: readonly string[];
  /** Whether this instance is the one that puts apps to sleep. */
  readonly isLeader: boolean;
  /** The instance that is; `null`: nobody knows. */
  readonly leader: string | null;
}

/** The other instances. */
export interface Peers {
  /** What the others call this one: the same after a restart in the same data folder. */
  readonly self: string;
  /** Whether there can be others at all. */
  readonly isShared: boolean;
  /**
   * From here on `listener` hears of the others, and they of us. Called once. Resolves when the first heartbeat has
   * come to something, or failed. Never rejects.
   */
  join(listener: PeerListener): Promise<void>;
  /** Whether this instance, and no other, puts apps to sleep now and tells what was seen of them. */
  isLeader(): boolean;
  /** Why this instance may not put apps to sleep, for people; `null`: it may. */
  whyNotLeader(): string | null;
  /**
   * Asks all others to let go of an app that is about to be stopped: see `PeerListener.mayStop`. To be asked under the
   * claim of `fence`.
   * @returns why it must not be stopped; `null`: all of them have let go. Never rejects.
   */
  askToLetGo(question: StopQuestion, signal: AbortSignal): Promise<string | null>;
  state(): PeersState;
  /** Tells the others that we leave. Safe to repeat. Never rejects. */
  leave(): Promise<void>;
}

/** A registry of our own: there are no others. */
export function noPeers(self: string): Peers {
  return {
    self,
    isShared: false,
    join: async () => undefined,
    isLeader: () => true,
    whyNotLeader: () => null,
    askToLetGo: async () => null,
    state: () => ({ trouble: null, sinceMs: 0, others: [], isLeader: true, leader: self }),
    leave: async () => undefined,
  };
}
