/** Where events are kept, whatever it is. */

import type { EventName, PaastisEvent } from "../events.ts";

/** Which events to read; a missing field does not restrict. */
export interface EventFilter {
  /** The app's key. */
  readonly app?: string;
  readonly names?: readonly EventName[];
  /** Only the one with this id. */
  readonly id?: string;
  /** Only events after the one with this id. */
  readonly afterId?: string;
  /** At most so many, the newest; default 100, at most 10,000. */
  readonly limit?: number;
}

/** A place for events. Methods reject with a plain `Error` when it cannot be reached. */
export interface EventStore {
  /** Adds events; durable when it resolves. An id that is already there is passed over. */
  append(events: readonly PaastisEvent[]): Promise<void>;
  /** The newest events that match, oldest first. Unreadable rows are passed over. */
  list(filter: EventFilter): Promise<readonly PaastisEvent[]>;
  /** Lets go of the store. Safe to repeat. */
  close(): Promise<void>;
}
