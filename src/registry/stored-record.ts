/** What a stored record must look like, checked before it is trusted. */

import { type Static, Type } from "typebox";
import { Value } from "typebox/value";

import type { AppRecord } from "./registry.ts";

const Milliseconds = Type.Number({ minimum: 0 });
const Text = Type.String({ minLength: 1 });

const StoredSnapshot = Type.Union([
  Type.Object({ kind: Type.Literal("none") }),
  Type.Object({
    kind: Type.Literal("quantities"),
    processes: Type.Array(
      Type.Object({
        type: Text,
        quantity: Type.Integer({ minimum: 0 }),
        size: Type.Optional(Type.String()),
      }),
    ),
  }),
  Type.Object({
    kind: Type.Literal("replicas"),
    workloads: Type.Array(Type.Object({ id: Text, replicas: Type.Integer({ minimum: 0 }) })),
  }),
  Type.Object({
    kind: Type.Literal("members"),
    ids: Type.Array(Text),
    mode: Type.Enum(["stop", "suspend", "pause"]),
  }),
]);

const StoredRecord = Type.Object({
  ref: Type.Object({ provider: Text, id: Text }),
  key: Text,
  phase: Type.Enum(["unknown", "asleep", "waking", "awake", "stopping", "failed"]),
  sinceMs: Milliseconds,
  fence: Type.Integer({ minimum: 0 }),
  snapshot: Type.Union([Type.Null(), StoredSnapshot]),
  target: Type.Union([Type.Null(), Type.Object({ origin: Text, host: Text })]),
  firstSeenMs: Milliseconds,
  lastUsedMs: Type.Union([Type.Null(), Milliseconds]),
  wakeHistoryMs: Type.Array(Milliseconds),
});

/** A record, or why it is none. */
export type RecordReading =
  | { readonly record: AppRecord }
  | { readonly record: null; readonly why: string };

/** Checks that a value from a store is a record. Pure; fields that we do not know are left in place. */
export function readRecord(value: unknown): RecordReading {
  if (Value.Check(StoredRecord, value)) {
    const record: Static<typeof StoredRecord> = value;
    return { record };
  }
  const error = Value.Errors(StoredRecord, value)[0];
  const field = error?.instancePath.slice(1).replaceAll("/", ".") || "record";
  return { record: null, why: `${field} ${error?.message ?? "is not understood"}` };
}
