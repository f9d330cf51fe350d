/** What a stored event must look like, checked before it is trusted. */

import { type Static, Type } from "typebox";
import { Compile } from "typebox/schema";

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

/**
 * Makes a function that reads an event from its JSON text; it gives `null` for what is none, or none that we know.
 * Making it compiles the checks: once per store, not per event.
 */
export function createEventReader(): (json: string) => PaastisEvent | null {
  const shape = Compile(StoredEvent);
  return function readEvent(json) {
    let value: unknown;
    try {
      value = JSON.parse(json);
    } catch {
      return null;
    }
    if (!shape.Check(value)) return null;
    const event: Static<typeof StoredEvent> = value;
    return event;
  };
}
