/** What is in trouble, and what follows from it, in words. Pure. */

import type { InstanceStatus } from "./admin-calls.ts";
import type { Connection } from "./live-stream.ts";
import { countText, wholeText } from "./words.ts";

/** Something is in trouble. */
export interface Trouble {
  readonly what: string;
  readonly why: string;
  /** What follows from it. */
  readonly so: string;
}

/** Connections are lost for a moment all the time: that is not worth a word, ms. */
const LOST_SHOWN_AFTER_MS = 1500;

/** @param nowMs by the browser's clock */
export function isLongLost(connection: Connection, nowMs: number): boolean {
  return connection.kind === "lost" && nowMs - connection.sinceMs >= LOST_SHOWN_AFTER_MS;
}

/** Stores first. @param nowMs the server's time */
export function troublesOf(status: InstanceStatus | null, nowMs: number): readonly Trouble[] {
  if (status === null) return [];
  const { providers = {}, stores } = status;
  const platforms = Object.entries(providers).flatMap(([name, { trouble }]) =>
    trouble === null
      ? []
      : [
          {
            what: `The platform ${name} is in trouble`,
            why: trouble,
            so: "None of its apps is put to sleep meanwhile; apps that are awake are served.",
          },
        ],
  );
  return [...(stores === undefined ? [] : storeTroubles(stores, nowMs)), ...platforms];
}

function storeTroubles(
  { events, registry }: NonNullable<InstanceStatus["stores"]>,
  nowMs: number,
): readonly Trouble[] {
  const found: Trouble[] = [];
  const since = (iso: string | null) =>
    iso === null ? "" : ` (for ${wholeText(Math.max(0, nowMs - Date.parse(iso)))})`;
  if (registry.trouble !== null) {
    const so =
      registry.type === "redis"
        ? "Nothing is put to sleep meanwhile; apps that are awake are served."
        : "Paastis goes on with what it knows.";
    found.push({
      what: `The registry (${registry.type}) is in trouble`,
      why: `${registry.trouble}${since(registry.since)}`,
      so,
    });
  }
  if (events.trouble !== null) {
    const lost = events.dropped === 0 ? "" : `, ${countText(events.dropped, "event")} lost`;
    found.push({
      what: `The event store (${events.type}) is in trouble`,
      why: `${events.trouble}${since(events.since)}`,
      so: `${countText(events.waiting, "event")} waiting${lost}.`,
    });
  }
  return found;
}
