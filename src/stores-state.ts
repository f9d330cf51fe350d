/** What the program keeps its knowledge in, and how that is doing: for operators. Pure. */

import type { Config } from "./config.ts";
import type { EventWriter } from "./event-store/event-writer.ts";
import type { PeersState } from "./peers.ts";

/** How one store is doing. */
interface StoreState {
  /** What it is kept in now: `in-memory`, too, where the data folder could not be written as the program started. */
  readonly type: string;
  /** Why it cannot be reached or written, without any secret; `null`: it can. */
  readonly trouble: string | null;
  /** Since when, ms since the epoch; `null` without trouble. */
  readonly sinceMs: number | null;
}

/** How all stores are doing. */
export interface StoresState {
  readonly registry: StoreState & {
    /** What other instances call this one. */
    readonly instance: string;
    /** Other instances that were heard of lately, in order. */
    readonly others: readonly string[];
    /** Whether this instance is the one that puts apps to sleep. */
    readonly isLeader: boolean;
    /** The instance that is; `null`: nobody knows. */
    readonly leader: string | null;
  };
  readonly events: StoreState & {
    /** Events that are not stored yet. */
    readonly waiting: number;
    /** Events lost since the program started. */
    readonly dropped: number;
  };
}

/** What it is made from. */
export interface StoresFacts {
  readonly config: Pick<Config, "eventsStoreType" | "registryType">;
  /** `null`: no file can be written. */
  readonly dataDir: string | null;
  /** ms since the epoch. */
  readonly startedMs: number;
  readonly peers: { readonly self: string; state(): PeersState };
  readonly writer: Pick<EventWriter, "dropped" | "trouble" | "waiting">;
}

/** How all stores are doing now. */
export function storesState(facts: StoresFacts): StoresState {
  const { config, peers, writer } = facts;
  const { trouble, sinceMs, others, isLeader, leader } = peers.state();
  const failing = writer.trouble();
  return {
    registry: {
      ...storeState(
        facts,
        config.registryType,
        trouble === null ? null : { why: trouble, sinceMs },
      ),
      instance: peers.self,
      others,
      isLeader,
      leader,
    },
    events: {
      ...storeState(facts, config.eventsStoreType, failing),
      waiting: writer.waiting(),
      dropped: writer.dropped(),
    },
  };
}

/** What is said of a store that is not what was asked for. */
const WITHOUT_FOLDER =
  "DATA_DIR cannot be written: what is known is in memory, and lost with the next restart";

function storeState(
  { dataDir, startedMs }: StoresFacts,
  type: string,
  failing: { readonly why: string; readonly sinceMs: number } | null,
): StoreState {
  if (type === "sqlite" && dataDir === null) {
    return { type: "in-memory", trouble: WITHOUT_FOLDER, sinceMs: startedMs };
  }
  return { type, trouble: failing?.why ?? null, sinceMs: failing?.sinceMs ?? null };
}
