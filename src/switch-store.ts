/** Switches in the state file: what stands there, and what of it can be believed. */

import { type Static, Type } from "typebox";
import { Compile } from "typebox/schema";
import { addressOf, targetOf } from "./app.ts";
import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";
import type { StateFile } from "./state-file.ts";
import { portOf } from "./switch-answers.ts";
import { NEVER_SWITCHED, type SwitchRecord } from "./switch-record.ts";

/** Where switches are remembered. */
export interface SwitchStore {
  /** What an earlier run knew of an app; that it was never switched when that is nothing. */
  recordOf(key: string): SwitchRecord;
  /** Durable when it resolves. @throws Error when it cannot be stored */
  save(key: string, record: SwitchRecord): Promise<void>;
  /** It counts although it could not be stored: it is, together with whatever is stored next. */
  hold(key: string, record: SwitchRecord): void;
}

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
  pause: Type.Union([
    Type.Null(),
    Type.Object({ kind: Type.Literal("paused"), sinceMs: Milliseconds }),
    Type.Object({
      kind: Type.Literal("maintenance"),
      sinceMs: Milliseconds,
      message: Type.String(),
    }),
  ]),
});

/** What the whole file must be before its apps are looked at. */
const StoredFile = Type.Object({ apps: Type.Record(Type.String(), Type.Unknown()) });
/** The whole file of a program that knew one app and its port alone. */
const PortFile = Type.Object({ activePort: Type.Integer({ minimum: 1, maximum: 65_535 }) });

/** What the store is made of. */
export interface SwitchStoreOptions {
  /** `null`: nothing lasts. */
  readonly file: StateFile | null;
  /** Key of the app whose port stands at the top of the file, for people and scripts. */
  readonly soleApp: string | null;
  /** Whether requests for an app may go to an address. Left out: to any. */
  readonly mayLead?: (key: string, address: string) => boolean;
  /** Left out: nobody knows, and nothing is said about it. */
  readonly isDeclared?: (key: string) => boolean;
  readonly log: Log;
}

/**
 * Reads the file. What of it cannot be used is set aside and told, and the program goes on without it.
 * @throws Error when the file is there and cannot be read
 */
export function openSwitchStore(options: SwitchStoreOptions): SwitchStore {
  const { file, soleApp, log } = options;
  const records = new Map(file === null ? [] : recordsIn(file, options));
  tellUnused(records, options);
  const told = new Set<string>();
  return {
    recordOf(key) {
      const record = records.get(key) ?? NEVER_SWITCHED;
      const usable = withinReach(record, (address) => options.mayLead?.(key, address) ?? true);
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
    },
    async save(key, record) {
      const before = records.get(key);
      records.set(key, record);
      try {
        await file?.write(contentOf(records, soleApp));
      } catch (error) {
        if (records.get(key) === record) restore(records, key, before);
        throw new Error(messageOf(error), { cause: error });
      }
    },
    hold: (key, record) => void records.set(key, record),
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

/** A name that was changed looks like an app that was never switched. */
function tellUnused(
  records: ReadonlyMap<string, SwitchRecord>,
  { soleApp, isDeclared, log }: SwitchStoreOptions,
): void {
  const [only, ...others] = records.keys();
  if (soleApp !== null && only !== undefined && others.length === 0 && only !== soleApp) {
    log.warn(
      { app: soleApp, stored: only, next: `set INSTANCE_NAME to ${only} to go on with it` },
      `the state file knows ${JSON.stringify(only)} alone, which is not used: the app is where it is declared`,
    );
    return;
  }
  const unused =
    isDeclared === undefined ? [] : [...records.keys()].filter((key) => !isDeclared(key));
  if (unused.length === 0) return;
  log.debug({ stored: unused }, "the state file knows apps that are not declared: they are kept");
}

function restore(
  records: Map<string, SwitchRecord>,
  key: string,
  before: SwitchRecord | undefined,
): void {
  if (before === undefined) records.delete(key);
  else records.set(key, before);
}

function contentOf(records: ReadonlyMap<string, SwitchRecord>, soleApp: string | null): unknown {
  const active = soleApp === null ? null : (records.get(soleApp)?.active ?? null);
  const top = active === null ? {} : { activePort: portOf(active) };
  return { version: 1, ...top, apps: Object.fromEntries(records) };
}

type Records = readonly (readonly [string, SwitchRecord])[];

function recordsIn(file: StateFile, { soleApp, log }: SwitchStoreOptions): Records {
  const found = file.read();
  if (found === null) return [];
  const tellLost = (reason: string) =>
    log.error({ reason }, "the state of switches cannot be read: apps are where they are declared");
  if ("damaged" in found) {
    tellLost(found.damaged);
    return [];
  }
  const { content } = found;
  if (!Compile(StoredFile).Check(content)) {
    const records = fromPort(content, soleApp);
    if (records === null) tellLost(file.setAside("holds no state of switches", "move"));
    return records ?? [];
  }
  const stored: Static<typeof StoredFile> = content;
  const { records, spoiled } = recordsOf(stored.apps);
  if (spoiled.length === 0) return records;
  const reason = file.setAside("has entries that are no state of an app", "copy");
  for (const app of spoiled) {
    log.error(
      { app, reason },
      "the state of its switches cannot be read: it is where it is declared",
    );
  }
  return records;
}

function recordsOf(apps: Readonly<Record<string, unknown>>) {
  const shape = Compile(StoredSwitch);
  const records: [string, SwitchRecord][] = [];
  const spoiled: string[] = [];
  for (const [key, value] of Object.entries(apps)) {
    if (shape.Check(value)) records.push([key, { ...value, answered: value.answered ?? [] }]);
    else spoiled.push(key);
  }
  return { records, spoiled };
}

/** `null`: it is not the file of such a program, or nobody knows which app is meant. */
function fromPort(content: unknown, soleApp: string | null): Records | null {
  if (soleApp === null || !Compile(PortFile).Check(content)) return null;
  const { activePort }: Static<typeof PortFile> = content;
  return [
    [soleApp, { ...NEVER_SWITCHED, active: addressOf(targetOf(`http://127.0.0.1:${activePort}`)) }],
  ];
}
