/** Switches that several instances share, in Redis; those of apps whose versions run on this machine stay in the file. */

import { isDeepStrictEqual } from "node:util";
import { type CancelTimer, type Clock, sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { SwitchSpace } from "./redis/switch-space.ts";
import { NEVER_SWITCHED, type SwitchRecord } from "./switch-record.ts";
import { createSharedHash, type SharedHash } from "./switch-shared-hash.ts";
import { createSharedLocks } from "./switch-shared-lock.ts";
import {
  ALWAYS_HELD,
  type SaveBasis,
  type SwitchFileStore,
  type SwitchStore,
} from "./switch-store.ts";
import { createBelief, createSwitchShapes, type SwitchBounds } from "./switch-stored.ts";

/** What it is made of. */
export interface SharedSwitchOptions extends SwitchBounds {
  readonly space: SwitchSpace;
  /** What this instance knew before it shared anything, and where the switches of its own apps stay. */
  readonly file: SwitchFileStore;
  /** Whether the versions of an app run on this machine: then its pause is shared, and nothing else. */
  readonly isLocal: (key: string) => boolean;
  readonly clock: Clock;
}

/** Over all instances. */
export interface SharedSwitchStore extends SwitchStore {
  /** Compares what is known here with what is stored: something may have been missed, or lost. Never throws. */
  resync(): void;
  /** Resolves when what is stored is known here, or cannot be had for now. Never rejects. */
  readonly opened: Promise<void>;
  /** Hears of nothing any more. Safe to repeat. Never rejects. */
  close(): Promise<void>;
}

/** How long a start waits for what is stored, ms. */
const OPEN_MS = 2000;
/** After a comparison that failed, ms. */
const AGAIN_MS = 1000;

/** What the functions below share. */
interface Shared extends SharedSwitchOptions {
  readonly switches: SharedHash<SwitchRecord>;
  readonly pauses: SharedHash<Pick<SwitchRecord, "pause">>;
  /** Records that count although they are not stored yet: they are, unless another instance has stored something. */
  readonly held: Map<string, SwitchRecord>;
  /** What `recordOf` gave last: the same object, as long as nothing has changed. */
  readonly given: Map<string, SwitchRecord>;
  readonly believed: (key: string, record: SwitchRecord) => SwitchRecord;
  /** Something has changed that was not changed here. */
  readonly tellNews: (key: string) => void;
  hasLoaded: boolean;
}

/** Begins to load what is stored. Where nobody can be asked, what the file knows counts until somebody can. */
export function openSharedSwitchStore(options: SharedSwitchOptions): SharedSwitchStore {
  const { file, isLocal, clock } = options;
  const listeners = new Set<(key: string) => void>();
  const tellNews = (key: string) => {
    for (const listener of listeners) listener(key);
  };
  const shared = createShared(options, tellNews);
  const locks = createSharedLocks(options);
  const loader = createLoader(shared);
  return {
    recordOf: (key) => recordOf(shared, key),
    save: (key, next, basis) =>
      save(shared, key, { next, basis, proof: locks.proofOf(basis.lock) }),
    hold(key, record) {
      shared.given.set(key, record);
      if (isLocal(key)) return file.hold(key, record);
      shared.held.set(key, record);
      loader.beginLater();
    },
    async lock(key, running) {
      if (isLocal(key)) return { lock: ALWAYS_HELD };
      const locking = await locks.take(key, running);
      if ("heldBy" in locking) return locking;
      try {
        await refresh(shared, key);
      } catch (error) {
        await locking.lock.release();
        throw error;
      }
      return locking;
    },
    refresh: (key) => refresh(shared, key),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    resync: loader.begin,
    opened: Promise.race([loader.loaded, sleep(clock, OPEN_MS)]),
    async close() {
      listeners.clear();
      locks.close();
      await loader.close();
    },
  };
}

function createShared(options: SharedSwitchOptions, tellNews: (key: string) => void): Shared {
  const shapes = createSwitchShapes();
  const held: Shared["held"] = new Map();
  const switches = createSharedHash({
    ...{ ...options, name: "switches", read: shapes.record },
    onNews(key) {
      // What could not be stored in time is overtaken.
      held.delete(key);
      tellNews(key);
    },
  });
  const pauses = createSharedHash({
    ...{ ...options, name: "pauses", read: shapes.pause, onNews: tellNews },
  });
  const believed = createBelief(options);
  const more = { switches, pauses, held, given: new Map(), believed, tellNews };
  return { ...options, ...more, hasLoaded: false };
}

/** The same object as before, as long as it says the same. */
function recordOf(shared: Shared, key: string): SwitchRecord {
  const { switches, pauses, file, given, held, believed } = shared;
  const everybodys = held.get(key) ?? switches.get(key)?.value ?? null;
  const isFromFile = shared.isLocal(key) || (everybodys === null && !shared.hasLoaded);
  const base = isFromFile ? file.recordOf(key) : (everybodys ?? NEVER_SWITCHED);
  const { pause } = pauses.get(key)?.value ?? { pause: isFromFile ? base.pause : null };
  const record = believed(key, { ...base, pause });
  const before = given.get(key);
  if (isDeepStrictEqual(before, record) && before !== undefined) return before;
  given.set(key, record);
  return record;
}

async function save(
  shared: Shared,
  key: string,
  order: {
    readonly next: SwitchRecord;
    readonly basis: SaveBasis;
    readonly proof: string | null;
  },
): Promise<boolean> {
  const { switches, pauses, file, held } = shared;
  const { next, basis, proof } = order;
  const { seen } = basis;
  if (seen !== recordOf(shared, key)) return false;
  const bases = { pause: pauses.get(key), rest: switches.get(key) };
  const { pause } = next;
  if (!isDeepStrictEqual(pause, seen.pause)) {
    if (!(await pauses.set(key, { pause }, { base: bases.pause, lock: null }))) return false;
  }
  const hasMoved = !isDeepStrictEqual({ ...next, pause: null }, { ...seen, pause: null });
  if (shared.isLocal(key)) {
    // Of a pause Redis has the last word: with the next switch is soon enough for the file.
    if (hasMoved) await file.save(key, next, basis);
    else file.hold(key, next);
  } else if (hasMoved || held.has(key)) {
    const rest = { ...next, pause: null };
    if (!(await switches.set(key, rest, { base: bases.rest, lock: proof }))) return false;
    held.delete(key);
  }
  shared.given.set(key, next);
  return true;
}

/** @throws Error when nobody can be asked */
async function refresh({ space, switches, pauses }: Shared, key: string): Promise<void> {
  const texts = await space.read(key);
  if (texts.switches !== null) switches.hear(key, texts.switches);
  if (texts.pauses !== null) pauses.hear(key, texts.pauses);
}

/** Compares with what is stored whenever something may have been missed. */
function createLoader(shared: Shared) {
  const { space, clock, log } = shared;
  const loaded = Promise.withResolvers<void>();
  let working: Promise<void> | null = null;
  let isAsked = false;
  let isOver = false;
  let cancel: CancelTimer = () => undefined;
  function begin(): void {
    isAsked = true;
    cancel();
    working ??= work().finally(() => {
      working = null;
    });
  }
  function beginLater(): void {
    cancel();
    cancel = clock.after(AGAIN_MS, begin);
  }
  async function work(): Promise<void> {
    while (isAsked && !isOver) {
      isAsked = false;
      try {
        await compare(shared);
        loaded.resolve();
      } catch (error) {
        // That Redis cannot be reached is told by whoever holds the connection, and its return is heard of.
        if (space.trouble() !== null) continue;
        log.debug({ reason: messageOf(error) }, "switches could not be compared: trying again");
        if (!isOver) beginLater();
      }
    }
  }
  const ends = [
    space.listen((hash, key, text) => shared[hash].hear(key, text)),
    space.onReady(begin),
  ];
  return {
    begin,
    beginLater,
    loaded: loaded.promise,
    async close() {
      isOver = true;
      cancel();
      for (const end of ends) end();
      await working;
    },
  };
}

async function compare(shared: Shared): Promise<void> {
  const { space, switches, pauses, file } = shared;
  const texts = await space.load();
  await switches.compare(texts.switches);
  await pauses.compare(texts.pauses);
  if (!shared.hasLoaded) {
    if (texts.switches.size + texts.pauses.size === 0) await handOver(shared);
    shared.hasLoaded = true;
    // What the file knows of them counts no more.
    for (const key of file.keys()) shared.tellNews(key);
  }
  for (const [key, record] of shared.held) {
    const basis = { base: switches.get(key), lock: null };
    if (!(await switches.set(key, { ...record, pause: null }, basis))) continue;
    if (shared.held.get(key) === record) shared.held.delete(key);
  }
}

/** Nobody has stored anything. */
const EMPTY = { base: null, lock: null };

/** Once: what a single instance knew is everybody's from now on. */
async function handOver({ file, isLocal, switches, pauses, log }: Shared): Promise<void> {
  const apps: string[] = [];
  for (const key of file.keys()) {
    const record = file.recordOf(key);
    const { pause } = record;
    if (pause !== null) await pauses.set(key, { pause }, EMPTY);
    if (isLocal(key)) continue;
    apps.push(key);
    const rest = { ...record, pause: null };
    if (!isDeepStrictEqual(rest, NEVER_SWITCHED)) await switches.set(key, rest, EMPTY);
  }
  if (apps.length === 0) return;
  log.info({ apps }, "what the state file knew of switches is in Redis from now on");
  try {
    await file.drop(apps);
  } catch (error) {
    log.warn({ reason: messageOf(error) }, "the state file still has what is in Redis by now");
  }
}
