/** What a visitor can name, and an operator finds among the events: which event an app's failure was. */

import type { App, Failure } from "./app.ts";
import type { EventBus, EventName, PaastisEvent } from "./events.ts";

/** Finds the event of a failure. */
export interface FailureReferences {
  /** The id of the event that told of this very failure, here or at another instance; `null`: nobody knows. */
  of(app: App, failure: Pick<Failure, "reference" | "why">): string | null;
}

/** Events by which an app becomes `failed`. */
const FAILURES: ReadonlySet<EventName> = new Set(["APP_START_FAILED", "APP_CRASHED"]);
/** Events after which nobody asks any more. */
const ENDS: ReadonlySet<EventName> = new Set(["APP_STARTED", "APP_UNREGISTERED"]);

/** Keeps the last failure of each app, as long as the app has not come up. */
export function createFailureReferences(events: Pick<EventBus, "subscribe">): FailureReferences {
  const last = new Map<string, Pick<PaastisEvent, "id" | "reason">>();
  events.subscribe(({ id, name, ref, reason }) => {
    const app = nameOf(ref);
    if (FAILURES.has(name)) last.set(app, { id, reason });
    else if (ENDS.has(name)) last.delete(app);
  });
  return {
    of({ ref }, { reference, why }) {
      const event = last.get(nameOf(ref));
      // Another instance may have told of a newer one; and some platforms give an event no reason.
      const isIt = event !== undefined && (event.reason === why || event.reason === "");
      return isIt ? event.id : (reference ?? null);
    },
  };
}

function nameOf({ provider, id }: PaastisEvent["ref"]): string {
  return `${provider}/${id}`;
}
