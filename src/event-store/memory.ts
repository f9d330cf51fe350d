/** The event store in memory: the newest events, forgotten when the process ends. */

import type { PaastisEvent } from "../events.ts";
import { limitOf } from "./event-limit.ts";
import type { EventFilter, EventStore } from "./event-store.ts";

/** @param options.max the newest so many events are kept; default 10,000 */
export function createMemoryEventStore(options: { readonly max?: number } = {}): EventStore {
  const max = options.max ?? 10_000;
  /** In the order of ids, which is the order of time. */
  const events: PaastisEvent[] = [];
  return {
    async append(added) {
      for (const event of added) insert(events, event);
      if (events.length > max) events.splice(0, events.length - max);
    },
    list: async (filter) => list(events, filter),
    close: async () => undefined,
  };
}

/** From the end, since events nearly always come in order. */
function insert(events: PaastisEvent[], event: PaastisEvent): void {
  let at = events.length;
  while (at > 0 && idAt(events, at - 1) > event.id) at -= 1;
  if (at > 0 && idAt(events, at - 1) === event.id) return;
  events.splice(at, 0, event);
}

function idAt(events: readonly PaastisEvent[], index: number): string {
  return events[index]?.id ?? "";
}

function list(events: readonly PaastisEvent[], filter: EventFilter): PaastisEvent[] {
  const { app, names, id, afterId } = filter;
  const limit = limitOf(filter);
  const found: PaastisEvent[] = [];
  for (const event of events.toReversed()) {
    if (found.length >= limit || (afterId !== undefined && event.id <= afterId)) break;
    if (id !== undefined && event.id !== id) continue;
    if (app !== undefined && event.app !== app) continue;
    if (names !== undefined && !names.includes(event.name)) continue;
    found.push(event);
  }
  return found.reverse();
}
