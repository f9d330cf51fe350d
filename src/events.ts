/** What happened to apps: the typed events, and the bus that hands them on. */

import type { AppRef } from "./app.ts";

/** Every kind of event there is. */
export const EVENT_NAMES = [
  "APP_DISCOVERED",
  "APP_REGISTERED",
  "APP_UNREGISTERED",
  "APP_WAKING",
  "APP_STARTED",
  "APP_START_FAILED",
  "APP_STOPPING",
  "APP_STOPPED",
  "APP_STOP_FAILED",
  "APP_STOP_CANCELLED",
  "APP_STOP_VETOED",
  "APP_CRASHED",
  "APP_SWITCHED",
  "APP_SWITCH_REFUSED",
  "APP_ROLLED_BACK",
  "APP_ROLLBACK_FAILED",
  "APP_DRAINED",
  "APP_UNHEALTHY",
  "APP_HEALTHY",
  "APP_PAUSED",
  "APP_RESUMED",
  "APP_KEPT_AWAKE",
  "APP_KEPT_AWAKE_ENDED",
  "HOOK_FAILED",
] as const;

export type EventName = (typeof EVENT_NAMES)[number];

/** Who or what made it happen. */
export interface Cause {
  readonly kind: "request" | "sweep" | "command" | "linked" | "outside" | "start" | "reload";
  /** For people: `GET / from 10.0.0.7 (Firefox)`, `idle for 15 min`, `linked from shop`. */
  readonly detail: string;
}

/** One thing that happened to one app. */
export interface PaastisEvent {
  /** Unique; sorts by time. */
  readonly id: string;
  readonly name: EventName;
  readonly app: string;
  readonly ref: AppRef;
  readonly atMs: number;
  readonly cause: Cause;
  /** Why it came out like this, in one sentence; empty when the cause says it all. */
  readonly reason: string;
  /** Figures and identifiers that belong to it; JSON values only, no secrets. */
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
  /** The log has said it already, for many apps at once: this is for whoever looks closely. Left out: it has not. */
  readonly isQuiet?: boolean;
}

/** An event as its emitter knows it; the bus adds `id` and `atMs`. */
export type NewEvent = Omit<PaastisEvent, "id" | "atMs" | "reason" | "details"> &
  Partial<Pick<PaastisEvent, "reason" | "details">>;

/** Hands each event to every subscriber, in order. */
export interface EventBus {
  emit(event: NewEvent): void;
  /** @returns how to stop listening */
  subscribe(listener: (event: PaastisEvent) => void): () => void;
}

/**
 * @param deps.now milliseconds since the epoch
 * @param deps.random 0 to 1, exclusive
 * @param deps.onListenerError a listener's failure never reaches the emitter; it is reported here
 */
export function createEventBus(deps: {
  readonly now: () => number;
  readonly random: () => number;
  readonly onListenerError: (error: unknown) => void;
}): EventBus {
  const listeners = new Set<(event: PaastisEvent) => void>();
  let sequence = 0;
  let newestMs = 0;
  return {
    emit(event) {
      const atMs = deps.now();
      // Where the clock was set back, the next events still come after those before: stores go by their ids.
      newestMs = Math.max(newestMs, atMs);
      sequence += 1;
      const complete: PaastisEvent = {
        reason: "",
        details: {},
        ...event,
        id: eventId(newestMs, sequence, deps.random()),
        atMs,
      };
      for (const listener of listeners) {
        try {
          listener(complete);
        } catch (error) {
          deps.onListenerError(error);
        }
      }
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Time, then sequence, then chance: sorts within a process and does not collide between two. */
function eventId(atMs: number, sequence: number, random: number): string {
  const time = atMs.toString(36).padStart(9, "0");
  const order = (sequence % 36 ** 4).toString(36).padStart(4, "0");
  const chance = Math.floor(random * 36 ** 4)
    .toString(36)
    .padStart(4, "0");
  return `${time}${order}${chance}`;
}
