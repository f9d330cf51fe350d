/** Events for operators: a list, or a stream that goes on where its client has left off. */

import { messageOf } from "../errors.ts";
import type { EventFilter } from "../event-store/event-store.ts";
import type { EventName, PaastisEvent } from "../events.ts";
import type { AppsDeps } from "./apps-context.ts";
import { shownEvent } from "./apps-event-shape.ts";
import { eventText, type StreamSource } from "./apps-stream.ts";

/** Which events are wanted. */
export interface EventWish {
  /** Key of the app; left out: of all apps. */
  readonly app?: string;
  /** Only the one with this id. */
  readonly id?: string;
  /** Left out: all kinds. */
  readonly names?: readonly EventName[];
  /** Only events after the one with this id, or from the time on that it begins with. */
  readonly afterId?: string;
  /** At most so many, the newest. */
  readonly limit: number;
}

/** What a follower may lag behind: then it is cut off, and comes back to where it was. */
const WAITING_MAX = 1000;

/** A bound for the ids of events from a time on: they begin with the time. @param ms since the epoch */
export function firstIdAt(ms: number): string {
  return Math.max(0, Math.floor(ms)).toString(36).padStart(9, "0");
}

/** Oldest first. What was not stored yet is among them. @throws Error when the store cannot be read */
export async function listEvents(
  deps: Pick<AppsDeps, "eventStore" | "watch">,
  wish: EventWish,
): Promise<readonly PaastisEvent[]> {
  const filter: EventFilter = wish;
  const stored = await deps.eventStore.list(filter);
  const recent = deps.watch.recent.list().filter((event) => isWanted(event, wish));
  const byId = new Map([...stored, ...recent].map((event) => [event.id, event]));
  const sorted = [...byId.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return wish.limit === 0 ? [] : sorted.slice(-wish.limit);
}

/**
 * What was so far, then what happens.
 * @param wish.limit how many of those that were so far
 */
export function followEvents(deps: AppsDeps, wish: EventWish): StreamSource {
  let waiting: PaastisEvent[] = [];
  let isReady = false;
  let isCut = false;
  let endSubscription: () => void = () => undefined;
  let lastId = wish.afterId ?? "";
  return {
    open(onNews) {
      endSubscription = deps.events.subscribe((event) => {
        if (isCut || !isWanted(event, wish)) return;
        waiting.push(event);
        if (waiting.length > WAITING_MAX) {
          isCut = true;
          waiting = [];
        }
        onNews();
      });
      void past(deps, wish).then((events) => {
        waiting = isCut ? [] : [...events, ...waiting];
        isReady = true;
        onNews();
      });
    },
    next() {
      if (isCut && isReady) return "end";
      if (!isReady) return null;
      const fresh: PaastisEvent[] = [];
      for (const event of waiting) {
        // What happened while the past was read is in both.
        if (event.id <= lastId) continue;
        lastId = event.id;
        fresh.push(event);
      }
      waiting = [];
      if (fresh.length === 0) return null;
      return fresh.map((event) => eventText("event", shownEvent(event), event.id)).join("");
    },
    close() {
      endSubscription();
      waiting = [];
    },
  };
}

/** A store that cannot be read keeps nobody from what happens now. Never rejects. */
async function past(deps: AppsDeps, wish: EventWish): Promise<readonly PaastisEvent[]> {
  if (wish.limit === 0) return [];
  try {
    return await listEvents(deps, wish);
  } catch (error) {
    deps.log.debug({ reason: messageOf(error) }, "events of before cannot be read");
    return deps.watch.recent.list().filter((event) => isWanted(event, wish));
  }
}

function isWanted(event: PaastisEvent, { afterId, app, id, names }: EventWish): boolean {
  if (id !== undefined && event.id !== id) return false;
  if (app !== undefined && event.app !== app) return false;
  if (names !== undefined && !names.includes(event.name)) return false;
  return afterId === undefined || event.id > afterId;
}
