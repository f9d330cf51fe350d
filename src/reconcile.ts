/** What the platforms say, against our table: apps found, changed behind our back, or gone. */

import type { Activity } from "./activity.ts";
import type { App, AppRef, AppState, Policy } from "./app.ts";
import { refKey } from "./app.ts";
import type { AppTable } from "./app-table.ts";
import type { Clock } from "./clock.ts";
import { deadline } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Cause, EventBus } from "./events.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { recordOf } from "./lifecycle-context.ts";
import type { Log } from "./log.ts";
import type { Listing, Provider } from "./providers/provider.ts";
import type { AppRecord, Registry } from "./registry/registry.ts";

/** Keeps the table true to what providers list. */
export interface Reconciler {
  /** Puts the apps of an earlier run into the table, so that they can be reached before any provider answers. */
  restore(records: readonly AppRecord[]): void;
  /** Asks every provider for its apps once. Never rejects: a provider that does not answer leaves its apps as they are. */
  run(cause: Cause): Promise<void>;
  /** Gives every app its policy anew: the rules have changed. */
  applyPolicies(): void;
  /** Whether every provider has answered at least once. */
  isComplete(): boolean;
  /** Why the latest list of a provider failed; `null` when it did not. Its apps are not put to sleep meanwhile. */
  troubleOf(provider: string): string | null;
}

/** Everything reconciling needs from outside. */
export interface ReconcileDeps {
  readonly providers: readonly Provider[];
  readonly table: AppTable;
  readonly lifecycle: Lifecycle;
  readonly registry: Registry;
  readonly activity: Activity;
  readonly events: EventBus;
  readonly clock: Clock;
  readonly log: Log;
  readonly policyOf: (app: { readonly key: string; readonly ref: AppRef }) => Policy;
  /** Called when apps came, went, or got other policies. */
  readonly onChange: () => void;
}

interface ReconcileContext extends ReconcileDeps {
  /** What an earlier run knew, until the provider lists the app again. */
  readonly remembered: Map<string, AppRecord>;
  readonly answered: Set<string>;
  readonly troubles: Map<string, string>;
  /** Apps taken out of the table that somebody may still use: listed again, the very same one comes back. */
  readonly retiring: Map<string, App>;
  /** Listed apps whose key another app had: they get it when that one is gone. */
  leftOut: { readonly provider: Provider; readonly listing: Listing }[];
  /** Apps that the newest list of their provider left out. */
  readonly missedOnce: WeakSet<App>;
  /** How often providers were asked so far. */
  asked: number;
  /** Per provider: which of these questions the newest list answers that was taken over. */
  readonly newest: Map<string, number>;
}

/** Longest a list call may take, ms. */
const LIST_TIMEOUT_MS = 60_000;

/** A reconciler over `deps.providers`; where two list the same key, the one that answered first has it. */
export function createReconciler(deps: ReconcileDeps): Reconciler {
  const context: ReconcileContext = {
    ...deps,
    remembered: new Map(),
    answered: new Set(),
    troubles: new Map(),
    retiring: new Map(),
    leftOut: [],
    missedOnce: new WeakSet(),
    asked: 0,
    newest: new Map(),
  };
  return {
    restore: (records) => restore(context, records),
    async run(cause) {
      await Promise.all(context.providers.map((provider) => ask(context, provider, cause)));
      await seatLeftOut(context, cause);
    },
    applyPolicies() {
      context.table.applyPolicies(context.policyOf);
      context.onChange();
    },
    isComplete: () => context.answered.size === context.providers.length,
    troubleOf: (provider) => context.troubles.get(provider) ?? null,
  };
}

function restore(context: ReconcileContext, records: readonly AppRecord[]): void {
  for (const record of records) {
    if (!context.providers.some((provider) => provider.name === record.ref.provider)) continue;
    context.remembered.set(refKey(record.ref), record);
    if (context.table.byKey(record.key) === null) context.table.add(newApp(context, record, false));
  }
  context.table.applyPolicies(context.policyOf);
  context.onChange();
}

/** An app as an earlier run left it. Its idle clock starts afresh: nothing is stopped right after a restart. */
function newApp(
  context: ReconcileContext,
  known: Pick<AppRecord, "ref" | "key"> & Partial<AppRecord>,
  sleepsByItself: boolean,
): App {
  const nowMs = context.clock.now();
  const identity = { ref: known.ref, key: known.key };
  return {
    ...identity,
    sleepsByItself,
    firstSeenMs: known.firstSeenMs ?? nowMs,
    policy: context.policyOf(identity),
    state:
      known.phase === "asleep"
        ? { kind: "asleep", sinceMs: known.sinceMs ?? nowMs }
        : { kind: "unknown", sinceMs: nowMs },
    fence: known.fence ?? 0,
    snapshot: known.snapshot ?? null,
    lastTarget: known.target ?? null,
    leases: 0,
    waiting: 0,
    idleSinceMs: nowMs,
    lastUsedMs: known.lastUsedMs ?? null,
    wakeHistoryMs: known.wakeHistoryMs ?? [],
    links: [],
    linkedFrom: [],
  };
}

async function ask(context: ReconcileContext, provider: Provider, cause: Cause): Promise<void> {
  // A list is a picture of some moment since it was asked for: what happened meanwhile may be newer.
  const states = new Map(appsOf(context, provider).map((app) => [app, app.state]));
  context.asked += 1;
  const question = context.asked;
  const limit = deadline(context.clock, LIST_TIMEOUT_MS, {
    reason: new Error(`no answer within ${LIST_TIMEOUT_MS / 1000} s`),
  });
  try {
    const listings = await provider.list(limit.signal);
    if (question < (context.newest.get(provider.name) ?? 0)) return;
    context.newest.set(provider.name, question);
    recovered(context, provider);
    await merge(context, provider, { listings, states, cause });
    context.answered.add(provider.name);
  } catch (error) {
    context.troubles.set(provider.name, messageOf(error));
    context.log.warn(
      { provider: provider.name, reason: messageOf(error) },
      "cannot list its apps: what is known stays, nothing of it is put to sleep",
    );
  } finally {
    limit.end();
  }
}

function recovered(context: ReconcileContext, provider: Provider): void {
  if (!context.troubles.delete(provider.name)) return;
  context.log.info({ provider: provider.name }, "lists its apps again");
}

function appsOf(context: ReconcileContext, provider: Provider): readonly App[] {
  return context.table.all().filter((app) => app.ref.provider === provider.name);
}

/** What a list means for the apps we know. Pure. */
export function compare(
  known: readonly App[],
  listings: readonly Listing[],
): {
  readonly found: readonly Listing[];
  readonly present: readonly { readonly app: App; readonly listing: Listing }[];
  readonly missing: readonly App[];
} {
  const byId = new Map(known.map((app) => [app.ref.id, app]));
  const listed = new Set(listings.map((listing) => listing.id));
  return {
    found: listings.filter((listing) => !byId.has(listing.id)),
    present: listings.flatMap((listing) => {
      const app = byId.get(listing.id);
      return app === undefined ? [] : [{ app, listing }];
    }),
    missing: known.filter((app) => !listed.has(app.ref.id)),
  };
}

/** A platform's list that leaves an app out once may be a slip; giving the app up would lose its snapshot. */
function isGone(context: ReconcileContext, provider: Provider, app: App): boolean {
  if (provider.capabilities.listsDeclaredApps || context.missedOnce.has(app)) return true;
  context.missedOnce.add(app);
  return false;
}

async function merge(
  context: ReconcileContext,
  provider: Provider,
  answer: {
    readonly listings: readonly Listing[];
    readonly states: ReadonlyMap<App, AppState>;
    readonly cause: Cause;
  },
): Promise<void> {
  const { found, present, missing } = compare(appsOf(context, provider), answer.listings);
  const gone = missing.filter((app) => isGone(context, provider, app));
  for (const { app } of present) context.missedOnce.delete(app);
  for (const app of gone) {
    takeOut(context, app, answer.cause);
  }
  const added = found.flatMap((listing) => add(context, provider, listing) ?? []);
  if (added.length > 0 || gone.length > 0) {
    context.table.applyPolicies(context.policyOf);
    context.onChange();
  }
  for (const { app, listing } of present) {
    // What an earlier run knew of it does not say this.
    app.sleepsByItself = listing.sleepsByItself;
    const since = answer.states.get(app);
    // Without a state it was found since this list was asked for, by a newer one.
    if (since !== undefined) await see(context, provider, { app, listing, since });
  }
  for (const one of added) await welcome(context, provider, { ...one, cause: answer.cause });
}

/** Requests no longer find it; what still runs for it ends with its last user. */
function takeOut(context: ReconcileContext, app: App, cause: Cause): void {
  const ref = refKey(app.ref);
  context.table.remove(app);
  context.remembered.delete(ref);
  context.retiring.set(ref, app);
  void context.lifecycle.retire(app, cause).then(() => {
    if (context.retiring.get(ref) === app) context.retiring.delete(ref);
  });
}

/** An app in the table for the first time, or again. */
interface Added {
  readonly app: App;
  readonly listing: Listing;
  readonly since: AppState;
  /** Somebody still used it when it came back: it was never given up. */
  readonly isBack: boolean;
}

async function welcome(
  context: ReconcileContext,
  provider: Provider,
  added: Added & { readonly cause: Cause },
): Promise<void> {
  await see(context, provider, added);
  if (!added.isBack) await introduce(context, added.app, added.cause);
}

/** What could not be added because its key was taken, and is free now that all lists are in. */
async function seatLeftOut(context: ReconcileContext, cause: Cause): Promise<void> {
  const { leftOut } = context;
  context.leftOut = [];
  for (const { provider, listing } of leftOut) {
    const added = add(context, provider, listing);
    if (added === null) continue;
    context.table.applyPolicies(context.policyOf);
    context.onChange();
    await welcome(context, provider, { ...added, cause });
  }
  // Only told, not kept: the next run lists them anew.
  for (const { provider, listing } of context.leftOut) {
    const fields = { app: listing.key.toLowerCase(), provider: provider.name };
    context.log.warn(fields, "left out: another app has its key");
  }
  context.leftOut = [];
}

function add(context: ReconcileContext, provider: Provider, listing: Listing): Added | null {
  const key = listing.key.toLowerCase();
  const ref: AppRef = { provider: provider.name, id: listing.id };
  // A platform that changes while it is listed page by page may list an app twice.
  if (context.table.byRef(ref) !== null) return null;
  if (context.table.byKey(key) !== null) {
    context.leftOut.push({ provider, listing });
    return null;
  }
  const known = context.remembered.get(refKey(ref)) ?? { ref, key };
  const retiring = context.retiring.get(refKey(ref));
  const isBack = retiring?.key === key;
  const app = isBack ? retiring : newApp(context, { ...known, key }, listing.sleepsByItself);
  context.table.add(app);
  return { app, listing, since: app.state, isBack };
}

async function see(
  context: ReconcileContext,
  provider: Provider,
  seen: { readonly app: App; readonly listing: Listing; readonly since: AppState },
): Promise<void> {
  const { app, listing, since } = seen;
  const observation = listing.observation ?? (await lookAlone(context, provider, app));
  if (observation !== null) context.lifecycle.observe(app, { observation, since });
}

async function lookAlone(context: ReconcileContext, provider: Provider, app: App) {
  const limit = deadline(context.clock, LIST_TIMEOUT_MS, { reason: new Error("no answer") });
  try {
    return await provider.observe(app.ref.id, limit.signal);
  } catch (error) {
    context.log.warn({ app: app.key, reason: messageOf(error) }, "could not be observed");
    return null;
  } finally {
    limit.end();
  }
}

/** Tells of an app that was not known in an earlier run either, and remembers it. */
async function introduce(context: ReconcileContext, app: App, cause: Cause): Promise<void> {
  const isNew = !context.remembered.has(refKey(app.ref));
  if (isNew) {
    const event = { app: app.key, ref: app.ref, cause };
    context.events.emit({ ...event, name: "APP_DISCOVERED" });
    if (!app.policy.ignored) context.events.emit({ ...event, name: "APP_REGISTERED" });
  }
  try {
    await context.registry.save(recordOf(app));
  } catch (error) {
    context.log.error({ app: app.key, reason: messageOf(error) }, "could not be stored");
  }
}
