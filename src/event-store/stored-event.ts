/** What a stored event must look like, checked before it is trusted. */

import { type Static, Type } from "typebox";
import { Value } from "typebox/value";

import { EVENT_NAMES, type PaastisEvent } from "../events.ts";

const StoredEvent = Type.Object({
  id: Type.String({ minLength: 1 }),
  name: Type.Enum([...EVENT_NAMES]),
  app: Type.String(),
  ref: Type.Object({ provider: Type.String(), id: Type.String() }),
  atMs: Type.Number({ minimum: 0 }),
  cause: Type.Object({
    kind: Type.Enum(["request", "sweep", "command", "linked", "outside", "start", "reload"]),
    detail: Type.String(),
  }),
  reason: Type.String(),
  details: Type.Record(
    Type.String(),
    Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()]),
  ),
});

/** @returns the event in this JSON text, or `null` when it is none that we know */
export function readEvent(json: string): PaastisEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  if (!Value.Check(StoredEvent, value)) return null;
  const event: Static<typeof StoredEvent> = value;
  return event;
}
