/** The newest events, in memory: the store gets them a moment later, and followers must not miss those in between. */

import type { PaastisEvent } from "../events.ts";

/** So many are kept. */
const RECENT_MAX = 1000;

/** Keeps them. */
export interface RecentEvents {
  readonly hear: (event: PaastisEvent) => void;
  /** Oldest first. */
  list(): readonly PaastisEvent[];
}

/** None yet. */
export function createRecentEvents(): RecentEvents {
  let events: PaastisEvent[] = [];
  return {
    hear(event) {
      events.push(event);
      if (events.length > 2 * RECENT_MAX) events = events.slice(-RECENT_MAX);
    },
    list: () => events.slice(-RECENT_MAX),
  };
}
