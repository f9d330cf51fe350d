/** Where switches are remembered, and the state file as one such place. */

import { type Static, Type } from "typebox";
import { Compile } from "typebox/schema";
import { addressOf, targetOf } from "./app.ts";
import { messageOf } from "./errors.ts";
import type { StateFile } from "./state-file.ts";
import { portOf } from "./switch-answers.ts";
import type { Running } from "./switch-context.ts";
import { NEVER_SWITCHED, type SwitchRecord } from "./switch-record.ts";
import { createBelief, createSwitchShapes, type SwitchBounds } from "./switch-stored.ts";

/** Where switches are remembered. */
export interface SwitchStore {
  /** What an earlier run knew of an app; that it was never switched when that is nothing. */
  recordOf(key: string): SwitchRecord;
  /**
   * Durable when it resolves.
   * @returns false, and nothing is stored, when another instance has stored something else meanwhile: `recordOf` gives it
   * @throws Overtaken when the lock of `basis` has passed to another instance
   * @throws Uncertain when nobody knows whether it was stored
   * @throws Error when it cannot be stored
   */
  save(key: string, next: SwitchRecord, basis: SaveBasis): Promise<boolean>;
  /** It counts although it could not be stored: it is as soon as that can be, with whatever is stored next at the latest. */
  hold(key: string, record: SwitchRecord): void;
  /**
   * Takes the sole right to switch an app, over all instances. From then on `recordOf` knows all that was stored before.
   * @throws Error when nobody can be asked
   */
  lock(key: string, running: Running): Promise<Locking>;
  /** From then on `recordOf` knows all that was stored before. @throws Error when nobody can be asked */
  refresh(key: string): Promise<void>;
  /** Calls `listener` whenever `recordOf` gives something else for an app that another instance has stored. */
  subscribe(listener: (key: string) => void): () => void;
}

/** What a change was made of. */
export interface SaveBasis {
  /** What `recordOf` gave. */
  readonly seen: SwitchRecord;
  /** What it is done under; `null`: nothing that others must not do at the same time. */
  readonly lock: SwitchLock | null;
}

/** The sole right to switch an app, over all instances. */
export interface SwitchLock {
  /** Greater than every earlier one of this app. */
  readonly fence: number;
  /** Gives it back. Safe to repeat. Never rejects. */
  release(): Promise<void>;
}

/** The right, or what another instance uses it for. */
export type Locking = { readonly lock: SwitchLock } | { readonly heldBy: Running };

/** Another instance has switched an app, or was given the right to: what was to be stored is out of date. */
export class Overtaken extends Error {
  override readonly name = "Overtaken";
}

/** It is not known whether something was stored: the answer was lost. */
export class Uncertain extends Error {
  override readonly name = "Uncertain";
}

/** For apps that nobody else switches. */
export const ALWAYS_HELD: SwitchLock = { fence: 0, release: async () => undefined };

/** The one in the state file. Nobody else changes it. */
export interface SwitchFileStore extends SwitchStore {
  /** Apps that it knows something of. */
  keys(): readonly string[];
  /** Forgets apps. @throws Error when that cannot be stored */
  drop(keys: readonly string[]): Promise<void>;
}

/** What the whole file must be before its apps are looked at. */
const StoredFile = Type.Object({ apps: Type.Record(Type.String(), Type.Unknown()) });
/** The whole file of a program that knew one app and its port alone. */
const PortFile = Type.Object({ activePort: Type.Integer({ minimum: 1, maximum: 65_535 }) });

/** What the store is made of. */
export interface SwitchStoreOptions extends SwitchBounds {
  /** `null`: nothing lasts. */
  readonly file: StateFile | null;
  /** Key of the app whose port stands at the top of the file, for people and scripts. */
  readonly soleApp: string | null;
  /** Left out: nobody knows, and nothing is said about it. */
  readonly isDeclared?: (key: string) => boolean;
}

/**
 * Reads the file. What of it cannot be used is set aside and told, and the program goes on without it.
 * @throws Error when the file is there and cannot be read
 */
export function openSwitchStore(options: SwitchStoreOptions): SwitchFileStore {
  const { file, soleApp } = options;
  const records = new Map(file === null ? [] : recordsIn(file, options));
  tellUnused(records, options);
  const believed = createBelief(options);
  return {
    recordOf: (key) => believed(key, records.get(key) ?? NEVER_SWITCHED),
    async save(key, record) {
      const before = records.get(key);
      records.set(key, record);
      try {
        await file?.write(contentOf(records, soleApp));
      } catch (error) {
        if (records.get(key) === record) restore(records, key, before);
        throw new Error(messageOf(error), { cause: error });
      }
      return true;
    },
    hold: (key, record) => void records.set(key, record),
    // Nobody else writes the file.
    lock: async () => ({ lock: ALWAYS_HELD }),
    refresh: async () => undefined,
    subscribe: () => () => undefined,
    keys: () => [...records.keys()],
    async drop(keys) {
      for (const key of keys) records.delete(key);
      await file?.write(contentOf(records, soleApp));
    },
  };
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
  const shapes = createSwitchShapes();
  const records: [string, SwitchRecord][] = [];
  const spoiled: string[] = [];
  for (const [key, value] of Object.entries(apps)) {
    const record = shapes.record(value);
    if (record === null) spoiled.push(key);
    else records.push([key, record]);
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
