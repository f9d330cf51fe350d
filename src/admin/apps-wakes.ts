/** How the newest wake of each app went: a listener for the event bus. */

import { type App, refKey } from "../app.ts";
import type { EventName, PaastisEvent } from "../events.ts";
import { timeText } from "./apps-times.ts";
import type { LastWake } from "./views.ts";

/** Knows the newest wakes. */
export interface LastWakes {
  /** Hears what happens. */
  readonly hear: (event: PaastisEvent) => void;
  /** What an earlier run has stored: only of apps of which nothing newer was heard. @param events oldest first */
  fill(events: readonly PaastisEvent[]): void;
  /** `null`: nobody knows of one. Another object whenever something has changed. */
  of(app: App): LastWake | null;
}

/** The events that it is made of. */
export const WAKE_EVENTS: readonly EventName[] = ["APP_WAKING", "APP_STARTED", "APP_START_FAILED"];

/** Nothing is known yet. */
export function createLastWakes(): LastWakes {
  const wakes = new Map<string, LastWake>();
  return {
    hear(event) {
      const key = refKey(event.ref);
      if (event.name === "APP_UNREGISTERED") wakes.delete(key);
      const next = afterEvent(wakes.get(key) ?? null, event);
      if (next !== null) wakes.set(key, next);
    },
    fill(events) {
      const earlier = new Map<string, LastWake>();
      for (const event of events) {
        const key = refKey(event.ref);
        const next = afterEvent(earlier.get(key) ?? null, event);
        if (next !== null) earlier.set(key, next);
      }
      for (const [key, wake] of earlier) if (!wakes.has(key)) wakes.set(key, wake);
    },
    of: ({ ref }) => wakes.get(refKey(ref)) ?? null,
  };
}

/** `null`: it says nothing about wakes. */
function afterEvent(before: LastWake | null, event: PaastisEvent): LastWake | null {
  const { name, atMs, cause, details, reason } = event;
  const isUnderWay = before !== null && before.durationMs === null && before.failure === null;
  const begun = isUnderWay
    ? before
    : { at: timeText(atMs), cause: cause.detail, durationMs: null, failure: null };
  switch (name) {
    case "APP_WAKING":
      return { at: timeText(atMs), cause: cause.detail, durationMs: null, failure: null };
    case "APP_STARTED":
      return { ...begun, durationMs: durationIn(details) ?? 0 };
    case "APP_START_FAILED":
      return { ...begun, failure: reason === "" ? "it could not be woken" : reason };
    default:
      return null;
  }
}

function durationIn({ durationMs }: PaastisEvent["details"]): number | null {
  return typeof durationMs === "number" ? durationMs : null;
}
