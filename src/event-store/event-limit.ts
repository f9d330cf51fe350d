/** How many events one reading gives. */

import type { EventFilter } from "./event-store.ts";

const DEFAULT_LIMIT = 100;
const LIMIT_MAX = 10_000;

/** The number of events a filter asks for, within bounds: 100 when it does not say, at most 10,000. */
export function limitOf(filter: EventFilter): number {
  return Math.min(Math.max(0, Math.floor(filter.limit ?? DEFAULT_LIMIT)), LIMIT_MAX);
}
