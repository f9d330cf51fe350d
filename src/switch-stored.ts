/** Stored switches: what one must look like, and what of it can be believed. */

import { type Static, Type } from "typebox";
import { Compile } from "typebox/schema";
import type { Pause } from "./app.ts";
import type { Log } from "./log.ts";
import { NEVER_SWITCHED, type SwitchRecord } from "./switch-record.ts";

/** The last one that a date of four digits can show; what is later was never written by a clock. */
const MS_MAX = Date.UTC(9999, 11, 31);
const Milliseconds = Type.Number({ minimum: 0, maximum: MS_MAX });
const Address = Type.String({ pattern: "^(https?://|unix:/)" });
const Count = Type.Integer({ minimum: 0 });

const StoredEntry = Type.Object({
  id: Type.String(),
  from: Type.Union([Type.Null(), Address]),
  to: Address,
  atMs: Milliseconds,
  reason: Type.Enum(["manual", "deploy", "rollback"]),
  idempotencyKey: Type.Union([Type.Null(), Type.String()]),
});

const StoredLook = Type.Object({
  status: Type.Union([Type.Null(), Count]),
  body: Type.String(),
  why: Type.Union([Type.Null(), Type.String()]),
  ms: Milliseconds,
});

const StoredPause = Type.Union([
  Type.Null(),
  Type.Object({ kind: Type.Literal("paused"), sinceMs: Milliseconds }),
  Type.Object({
    kind: Type.Literal("maintenance"),
    sinceMs: Milliseconds,
    message: Type.String(),
  }),
]);

const StoredSwitch = Type.Object({
  active: Type.Union([Type.Null(), Address]),
  lastSwitch: Type.Union([Type.Null(), StoredEntry]),
  // Without it, somebody who knew nothing of answers has written the file.
  answered: Type.Optional(
    Type.Array(Type.Object({ entry: StoredEntry, look: Type.Union([Type.Null(), StoredLook]) })),
  ),
  drains: Type.Array(Type.Object({ address: Address, untilMs: Milliseconds })),
  window: Type.Union([
    Type.Null(),
    Type.Object({
      back: Address,
      untilMs: Milliseconds,
      before: Type.Object({ requests: Count, errors: Count }),
    }),
  ]),
  pause: StoredPause,
});

/** Of what stores say. Made once for each, as that takes a while. */
export interface SwitchShapes {
  /** @returns `null`: it is no state of an app */
  record(value: unknown): SwitchRecord | null;
  /** @returns `null`: it says nothing of a pause */
  pause(value: unknown): { readonly pause: Pause | null } | null;
}

/** Ready to check what was stored. */
export function createSwitchShapes(): SwitchShapes {
  const records = Compile(StoredSwitch);
  const pauses = Compile(Type.Object({ pause: StoredPause }));
  return {
    record(value) {
      if (!records.Check(value)) return null;
      const stored: Static<typeof StoredSwitch> = value;
      return { ...stored, answered: stored.answered ?? [] };
    },
    pause(value) {
      if (!pauses.Check(value)) return null;
      const stored: { readonly pause: Static<typeof StoredPause> } = value;
      return stored;
    },
  };
}

/** Who knows where apps may be led. */
export interface SwitchBounds {
  /** Whether requests for an app may go to an address. Left out: to any. */
  readonly mayLead?: (key: string, address: string) => boolean;
  readonly log: Log;
}

/** @returns what of a record may be used: the same object when it is all of it. What may not be is told, once for each app. */
export function createBelief({
  mayLead,
  log,
}: SwitchBounds): (key: string, record: SwitchRecord) => SwitchRecord {
  const told = new Set<string>();
  return (key, record) => {
    const usable = withinReach(record, (address) => mayLead?.(key, address) ?? true);
    if (usable !== record && !told.has(key)) {
      told.add(key);
      log.error(
        {
          app: key,
          active: record.active,
          next: "switch.hosts names what it may be switched to",
        },
        "its stored switch leads where it may not be switched to, and is not taken over",
      );
    }
    return usable;
  };
}

/** Pure. The same object when all of it may be used; an app whose active target may not is where it is declared. */
function withinReach(record: SwitchRecord, isAllowed: (address: string) => boolean): SwitchRecord {
  const { active, pause } = record;
  if (active !== null && !isAllowed(active)) return { ...NEVER_SWITCHED, pause };
  const drains = record.drains.filter(({ address }) => isAllowed(address));
  const window = record.window !== null && isAllowed(record.window.back) ? record.window : null;
  const isSame = drains.length === record.drains.length && window === record.window;
  return isSame ? record : { ...record, drains, window };
}
