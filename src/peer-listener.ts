/** What this instance does about what the others say. */

import { type Activity, unusedSinceMs } from "./activity.ts";
import { type App, refKey } from "./app.ts";
import type { AppTable } from "./app-table.ts";
import type { Clock } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Log } from "./log.ts";
import type { PeerListener, PeerUse } from "./peers.ts";
import type { AppRecord, Registry } from "./registry/registry.ts";

/** What listening needs from outside. */
export interface PeerListenerDeps {
  readonly table: AppTable;
  readonly activity: Activity;
  readonly lifecycle: Pick<
    Lifecycle,
    "abandoned" | "adopt" | "isForeign" | "isUnsaved" | "mayStop" | "save"
  >;
  readonly registry: Pick<Registry, "claim" | "load">;
  /** A provider has apps that we do not know yet: its list is wanted soon. */
  readonly askSoon: (provider: string) => void;
  /** An app is about to be stopped elsewhere, as nobody uses it here. Left out: nobody wants to know. */
  readonly onLetGo?: (app: App) => void;
  /** What others keep in the same store is to be compared, too. Left out: nobody does. */
  readonly onResync?: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

interface Context extends PeerListenerDeps {
  /** Leases at other instances: instance -> key of the app -> how many. */
  readonly leases: Map<string, ReadonlyMap<string, number>>;
  /** Which instance is about to change an app, as far as it has said so. */
  readonly changers: Map<App, string>;
  /** When it was last looked whether anybody still changes an app, ms since the epoch. */
  readonly lookedMs: WeakMap<App, number>;
  /** How many records of an app were heard. */
  readonly heard: WeakMap<App, number>;
  /** Apps that others wanted to stop, and may not: their use is told once more. */
  readonly vetoed: Set<App>;
}

/** Nothing was heard yet. */
export function createPeerListener(deps: PeerListenerDeps): PeerListener {
  const context: Context = {
    ...deps,
    leases: new Map(),
    changers: new Map(),
    vetoed: new Set(),
    lookedMs: new WeakMap(),
    heard: new WeakMap(),
  };
  const { table, lifecycle, changers } = context;
  return {
    stored(record, from) {
      const app = table.byRef(record.ref);
      if (app === null) return deps.askSoon(record.ref.provider);
      note(context, app, { isChanging: record.phase === "waking", from });
      context.heard.set(app, (context.heard.get(app) ?? 0) + 1);
      lifecycle.adopt(app, record);
    },
    mayStop(question, from) {
      const app = table.byRef(question.ref);
      if (app === null) return null;
      const why = lifecycle.mayStop(app, question);
      if (why !== null) {
        // Whoever asks does not know of that use, or would not have asked.
        context.vetoed.add(app);
        return why;
      }
      note(context, app, { isChanging: true, from });
      deps.onLetGo?.(app);
      return null;
    },
    used: (instance, uses) => used(context, instance, uses),
    gone(instance) {
      used(context, instance, []);
      context.leases.delete(instance);
      for (const [app, changer] of changers) {
        if (changer !== instance) continue;
        changers.delete(app);
        lifecycle.abandoned(app);
      }
    },
    resync() {
      deps.onResync?.();
      void resync(context);
    },
    takeUses() {
      lookForEnds(context);
      saveAgain(context);
      return takeUses(context);
    },
  };
}

function note(
  { changers }: Context,
  app: App,
  { isChanging, from }: { readonly isChanging: boolean; readonly from: string },
): void {
  if (isChanging) changers.set(app, from);
  else changers.delete(app);
}

function used({ leases, table, activity }: Context, instance: string, uses: readonly PeerUse[]) {
  const now = new Map<string, number>();
  for (const use of uses) {
    const key = refKey(use.ref);
    if (use.leases > 0) now.set(key, use.leases);
  }
  leases.set(instance, now);
  const ages = new Map(uses.map(({ ref, unusedMs }) => [refKey(ref), unusedMs]));
  const elsewhere = (key: string) =>
    [...leases.values()].reduce((total, counts) => total + (counts.get(key) ?? 0), 0);
  for (const app of table.known()) {
    const key = refKey(app.ref);
    const count = elsewhere(key);
    if (count === app.leasesElsewhere && !ages.has(key)) continue;
    // Its last lease may have ended the moment after it was last told.
    activity.useElsewhere(app, count, ages.get(key) ?? 0);
  }
}

/** What could not be stored, as the registry did not answer then, may be stored by now. */
function saveAgain({ table, lifecycle }: Context): void {
  for (const app of table.known()) if (lifecycle.isUnsaved(app)) lifecycle.save(app);
}

/** What is used now, and what was since this was last asked. */
function takeUses({ table, activity, clock, vetoed }: Context): readonly PeerUse[] {
  const used = [...activity.takeUses(), ...vetoed];
  const uses = new Set(used.map(({ ref }) => refKey(ref)));
  vetoed.clear();
  const nowMs = clock.now();
  return table
    .known()
    .filter((app) => app.leases > 0 || uses.has(refKey(app.ref)))
    .map((app) => ({
      ref: app.ref,
      leases: app.leases,
      unusedMs: app.leases > 0 ? 0 : Math.max(0, nowMs - unusedSinceMs(app)),
    }));
}

/** What is newer there is taken over, what is newer here is stored. */
async function resync(context: Context): Promise<void> {
  const { registry, table, lifecycle, log, askSoon } = context;
  // What is heard while that is read is newer.
  const before = new Map(
    table.known().map((app) => [app, { state: app.state, heard: context.heard.get(app) }]),
  );
  let stored: ReadonlyMap<string, AppRecord>;
  try {
    const { records } = await registry.load();
    stored = new Map(records.map((record) => [refKey(record.ref), record]));
  } catch (error) {
    // The next connection tries again.
    log.debug({ reason: messageOf(error) }, "what is stored could not be compared");
    return;
  }
  for (const app of table.known()) {
    const record = stored.get(refKey(app.ref));
    const known = before.get(app);
    if (known && (known.state !== app.state || known.heard !== context.heard.get(app))) continue;
    const isNewerHere = record === undefined || record.fence < app.fence;
    if (isNewerHere || (lifecycle.isUnsaved(app) && record.fence === app.fence)) {
      // An older record may still know what brings the app back.
      if (record !== undefined) lifecycle.adopt(app, withoutPromise(record));
      lifecycle.save(app);
    } else {
      lifecycle.adopt(app, withoutPromise(record));
      letGo(context, app, record);
    }
  }
  const known = new Set(table.known().map(({ ref }) => refKey(ref)));
  const strangers = [...stored.values()].filter(({ ref }) => !known.has(refKey(ref)));
  for (const provider of new Set(strangers.map(({ ref }) => ref.provider))) askSoon(provider);
}

/** What was read may be of an app that another instance stops at this very moment: requests for it wait. */
export function letGoOfStopping(
  {
    table,
    lifecycle,
  }: Pick<PeerListenerDeps, "table"> & { readonly lifecycle: Pick<Lifecycle, "mayStop"> },
  records: readonly AppRecord[],
): void {
  for (const record of records) {
    const app = table.byRef(record.ref);
    if (app !== null) letGo({ lifecycle }, app, record);
  }
}

function letGo(
  { lifecycle }: { readonly lifecycle: Pick<Lifecycle, "mayStop"> },
  app: App,
  { phase, ref, fence }: AppRecord,
): void {
  if (phase === "stopping") lifecycle.mayStop(app, { ref, fence, unusedMs: null });
}

/** So long after it was told, and as often from then on, it is looked whether anybody still changes an app, ms. */
const LOOK_EVERY_MS = 3_000;

/**
 * What was told may have been the last word of an instance that is gone, or the end of it may have been missed: then nobody
 * would ever say what came of it. Whoever could change the app now asks its platform.
 */
function lookForEnds(context: Context): void {
  const { clock, table, lifecycle, lookedMs: looks } = context;
  const nowMs = clock.now();
  for (const app of table.known()) {
    const { sinceMs } = app.state;
    const lookedMs = Math.max(sinceMs, looks.get(app) ?? 0);
    if (!lifecycle.isForeign(app) || nowMs - lookedMs < LOOK_EVERY_MS) continue;
    looks.set(app, nowMs);
    void lookForEnd(context, app);
  }
}

async function lookForEnd(context: Context, app: App): Promise<void> {
  const { registry, lifecycle, log, askSoon } = context;
  const { state } = app;
  try {
    const claim = await registry.claim(app.ref, app.fence);
    if (claim === null) return;
    await claim.release();
    if (app.state !== state) return;
    lifecycle.abandoned(app);
    askSoon(app.ref.provider);
  } catch (error) {
    log.debug({ app: app.key, reason: messageOf(error) }, "nobody can say who changes it");
  }
}

/** Whether anybody is still about to wake it, a record that was read does not say. */
function withoutPromise(record: AppRecord): AppRecord {
  return record.phase === "waking" ? { ...record, phase: "unknown" } : record;
}
