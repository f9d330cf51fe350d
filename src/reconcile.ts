/** What the platforms say, against our table: apps found, renamed, changed behind our back, or gone. */

import type { Activity } from "./activity.ts";
import type { App, AppRef, AppState, Policy } from "./app.ts";
import { refKey } from "./app.ts";
import type { AppTable } from "./app-table.ts";
import type { Clock } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Cause, EventBus, PaastisEvent } from "./events.ts";
import type { Forgetting } from "./forgetting.ts";
import { createForgetting } from "./forgetting.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { recordOf } from "./lifecycle-context.ts";
import type { Log } from "./log.ts";
import type { Looks } from "./looks.ts";
import { createLooks } from "./looks.ts";
import { newApp } from "./new-app.ts";
import type { Completeness, ListAnswer } from "./provider-lists.ts";
import { createProviderLists } from "./provider-lists.ts";
import type { Facts, Listing, Provider } from "./providers/provider.ts";
import type { AppRecord, Registry } from "./registry/registry.ts";
import type { Seating } from "./seating.ts";
import { createSeating } from "./seating.ts";
import type { SeatRule } from "./seats.ts";

/** Keeps the table true to what providers list. */
export interface Reconciler {
  /** Puts the apps of an earlier run into the table, so that they can be reached before any provider answers. */
  restore(records: readonly AppRecord[]): void;
  /**
   * Asks every provider for its apps once. Never rejects: a provider that does not answer leaves its apps as they
   * are. Apps that a list says nothing about are looked at behind it.
   */
  run(cause: Cause): Promise<void>;
  /** Something does not fit what a provider listed: asks it again soon. However often it is said, it is asked once. */
  askSoon(provider: string): void;
  /** Gives every app its key and its policy anew: the rules have changed. */
  applyPolicies(): void;
  /** Whether every provider has answered at least once, and every part of it, or what keeps them from it. */
  completeness(): Completeness;
  /** Whether a provider has answered, or failed to, at least once. */
  wasAsked(provider: string): boolean;
  /** Why the latest list of a provider failed; `null` when it did not. Its apps are not put to sleep meanwhile. */
  troubleOf(provider: string): string | null;
  /** Forgets apps that can be found again, and asks for them soon: see `Forgetting`. */
  forget(cause: Cause): Promise<void>;
  /** What its platform's newest list says of an app besides; `null`: nothing. */
  factsOf(app: App): Facts | null;
  /** Ends everything under way; nothing is asked any more. Safe to repeat. */
  close(): void;
}

/** Everything reconciling needs from outside. */
export interface ReconcileDeps {
  /** In the order that was configured. */
  readonly providers: readonly Provider[];
  readonly table: AppTable;
  readonly lifecycle: Lifecycle;
  readonly registry: Registry;
  readonly activity: Activity;
  readonly events: EventBus;
  readonly clock: Clock;
  readonly log: Log;
  readonly policyOf: (app: Pick<App, "key" | "ref" | "settings">) => Policy;
  /** What the rules say about a key that several apps want. Left out: they say nothing. */
  readonly seatRuleOf?: (key: string) => SeatRule | null;
  /** Whether this instance tells of apps that came and went: of several, one does. Left out: it is the only one. */
  readonly isSpeaker?: () => boolean;
  /** Whether the log has that nothing can be stored. Left out: it never does. */
  readonly isRegistryAway?: () => boolean;
  /** Called when apps came, went, or got other keys or policies. */
  readonly onChange: () => void;
  /** Called whenever a provider was asked for its apps, whether or not it answered. Left out: nobody wants to know. */
  readonly onAsked?: () => void;
}

interface ReconcileContext extends ReconcileDeps {
  readonly seating: Seating;
  readonly looks: Looks;
  /** Apps taken out of the table that somebody may still use: listed again, the very same one comes back. */
  readonly retiring: Map<string, App>;
  /** Apps that the newest list of their provider left out. */
  readonly missedOnce: WeakSet<App>;
  /** Apps that some list of their provider had since the start. */
  readonly listedOnce: WeakSet<App>;
  readonly facts: WeakMap<App, Facts>;
  readonly forgetting: Forgetting;
}

/**
 * A reconciler over `deps.providers`. Where several want the same key, a rule decides, then the order: apps that
 * `paastis.yml` declares, the order of the providers, the order of their lists; never who answers first.
 */
export function createReconciler(deps: ReconcileDeps): Reconciler {
  const closing = new AbortController();
  const canBeFound = ({ ref }: App) =>
    lists.troubleOf(ref.provider) === null && whyUnlisted(context, ref) === null;
  const context = contextOf(deps, { signal: closing.signal, canBeFound });
  const { providers, clock, log, seating } = context;
  const lists = createProviderLists({
    providers,
    clock,
    log,
    signal: closing.signal,
    statesOf: (provider) => new Map(appsOf(context, provider).map((app) => [app, app.state])),
    onList: (provider, answer) => merge(context, provider, answer),
    ...(deps.onAsked === undefined ? {} : { onAsked: deps.onAsked }),
  });
  return {
    restore: (records) => restore(context, records),
    async run(cause) {
      await lists.askAll(cause);
      seating.report();
    },
    askSoon: lists.askSoon,
    applyPolicies() {
      seating.settle();
      seating.report();
    },
    completeness: lists.completeness,
    wasAsked: lists.wasAsked,
    troubleOf: lists.troubleOf,
    async forget(cause) {
      await context.forgetting.forget(cause);
      for (const { name } of providers) lists.askSoon(name);
    },
    factsOf: (app) => context.facts.get(app) ?? null,
    close: () => closing.abort(new Error("Paastis is shutting down")),
  };
}

function contextOf(
  deps: ReconcileDeps,
  how: { readonly signal: AbortSignal; readonly canBeFound: (app: App) => boolean },
): ReconcileContext {
  const { table } = deps;
  const { signal, canBeFound } = how;
  const providers = inOrder(deps.providers);
  return {
    ...deps,
    providers,
    seating: createSeating({ ...deps, providers, onRenamed: (app) => void save(deps, app) }),
    looks: createLooks({ ...deps, signal, isSeated: (app) => table.byKey(app.key) === app }),
    retiring: new Map(),
    missedOnce: new WeakSet(),
    listedOnce: new WeakSet(),
    facts: new WeakMap(),
    forgetting: createForgetting({ ...deps, canBeFound, save: (app) => save(deps, app) }),
  };
}

function whyUnlisted({ providers }: ReconcileContext, { provider, id }: AppRef): string | null {
  return providers.find(({ name }) => name === provider)?.whyUnlisted?.(id) ?? null;
}

/** What a person wrote down for this very program goes before what platforms list. */
function inOrder(providers: readonly Provider[]): readonly Provider[] {
  const rank = ({ capabilities }: Provider) => (capabilities.listsDeclaredApps ? 0 : 1);
  return providers.toSorted((a, b) => rank(a) - rank(b));
}

function restore(context: ReconcileContext, records: readonly AppRecord[]): void {
  const names = new Set(context.providers.map(({ name }) => name));
  const ours = records.filter(({ ref }) => names.has(ref.provider));
  // The order of the lists is not stored; an older app is the likelier one to have had the key.
  for (const record of ours.toSorted((a, b) => a.firstSeenMs - b.firstSeenMs)) {
    const app = enroll(context, record, false);
    const { phase } = record;
    if (phase === "waking" || phase === "stopping") context.lifecycle.recallHalfDone(app, phase);
    if (phase === "waking") recallWake(context, record);
    if (phase === "asleep" || phase === "stopping") recallSleep(context, record);
  }
  context.seating.settle();
}

/** Whoever ended while it waked an app does not know whether the platform had heard of it. */
function recallWake({ providers }: ReconcileContext, { ref, sinceMs }: AppRecord): void {
  providers.find(({ name }) => name === ref.provider)?.recallWake?.(ref.id, sinceMs);
}

/** A platform may not say who ended what is down. */
function recallSleep({ providers }: ReconcileContext, record: AppRecord): void {
  const { ref, sinceMs, phase, snapshot } = record;
  const left = phase === "stopping" ? (snapshot ?? undefined) : undefined;
  providers.find(({ name }) => name === ref.provider)?.recallSleep?.(ref.id, sinceMs, left);
}

function enroll(
  context: ReconcileContext,
  known: Parameters<typeof newApp>[0],
  sleepsByItself: boolean,
): App {
  const { clock, policyOf } = context;
  const app = newApp(known, { nowMs: clock.now(), policyOf, sleepsByItself });
  context.table.enroll(app);
  return app;
}

function appsOf(context: ReconcileContext, provider: Provider): readonly App[] {
  return context.table.known().filter((app) => app.ref.provider === provider.name);
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

/** Apps that a list leaves out because it cannot know of them, and why. */
function unlistedOf(
  provider: Provider,
  missing: readonly App[],
): ReadonlyMap<App, { readonly reason: string }> {
  return new Map(
    missing.flatMap((app) => {
      const reason = provider.whyUnlisted?.(app.ref.id) ?? null;
      return reason === null ? [] : [[app, { reason }] as const];
    }),
  );
}

/**
 * Ids in the order in which they get keys. Where `strangers` would be, which no list had since the start, nobody
 * knows: they come first, so that they keep the keys that they had in an earlier run.
 */
function idsInOrder(strangers: readonly App[], listings: readonly Listing[]): readonly string[] {
  return [...strangers.map(({ ref }) => ref.id), ...listings.map(({ id }) => id)];
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
  { listings, states, cause, isFirst }: ListAnswer,
): Promise<number> {
  const { found, present, missing } = compare(appsOf(context, provider), listings);
  for (const { app } of present) context.missedOnce.delete(app);
  const unlisted = unlistedOf(provider, missing);
  for (const app of missing) {
    if (!unlisted.has(app) && isGone(context, provider, app)) takeOut(context, app, cause);
  }
  const added = found.map((listing) => add(context, provider, listing));
  const listed = [...present, ...added];
  for (const { app, listing } of listed) {
    // What an earlier run knew of it does not say this.
    app.sleepsByItself = listing.sleepsByItself;
    const { key, label = key, aliases = [], settings = null, facts } = listing;
    if (facts !== undefined) context.facts.set(app, facts);
    context.seating.claim(app, { key, label, aliases, settings });
  }
  const strangers = [...unlisted.keys()].filter((app) => !context.listedOnce.has(app));
  for (const { app } of listed) context.listedOnce.add(app);
  context.seating.order(provider.name, idsInOrder(strangers, listings));
  context.seating.settleChanges();
  for (const { app, listing } of present) {
    // Without a state it was found since this list was asked for, by a newer one.
    const since = states.get(app);
    if (since !== undefined) see(context, { app, listing, since });
  }
  for (const one of added) see(context, one);
  for (const [app, { reason }] of unlisted) {
    const observation = { phase: "unknown", target: null, reason } as const;
    context.lifecycle.observe(app, { observation, since: states.get(app) ?? app.state });
  }
  const unsaid = listed.filter(({ listing }) => listing.observation === null);
  context.looks.begin(
    provider,
    unsaid.map(({ app }) => app),
  );
  const introduced = added.filter(({ isNew }) => isNew);
  if (context.isSpeaker?.() !== false) {
    for (const { app } of introduced) await introduce(context, app, { cause, isQuiet: isFirst });
  }
  for (const { app } of listed) {
    const forgottenBy = context.forgetting.takeBack(app);
    if (forgottenBy !== null) await introduce(context, app, { cause: forgottenBy });
  }
  return introduced.length;
}

/** Requests no longer find it; what still runs for it ends with its last user. */
function takeOut(context: ReconcileContext, app: App, cause: Cause): void {
  const ref = refKey(app.ref);
  context.lifecycle.cancelDrain(app, "it is not listed any more");
  context.table.remove(app);
  context.seating.forget(app);
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
  /** Otherwise somebody still used it when it came back: it was never given up. */
  readonly isNew: boolean;
}

function add(context: ReconcileContext, provider: Provider, listing: Listing): Added {
  const ref: AppRef = { provider: provider.name, id: listing.id };
  const retiring = context.retiring.get(refKey(ref));
  if (retiring !== undefined) {
    context.table.enroll(retiring);
    return { app: retiring, listing, since: retiring.state, isNew: false };
  }
  const key = listing.key.toLowerCase();
  const app = enroll(context, { ref, key }, listing.sleepsByItself);
  return { app, listing, since: app.state, isNew: true };
}

function see(
  context: ReconcileContext,
  seen: { readonly app: App; readonly listing: Listing; readonly since: AppState },
): void {
  const { app, listing, since } = seen;
  const { observation } = listing;
  if (observation !== null) context.lifecycle.observe(app, { observation, since });
  else if (listing.target) context.lifecycle.locate(app, listing.target);
}

/** Tells of an app that was not known in an earlier run either, and remembers it. */
async function introduce(
  context: ReconcileContext,
  app: App,
  news: Pick<PaastisEvent, "cause" | "isQuiet">,
): Promise<void> {
  const event = { app: app.key, ref: app.ref, ...news };
  context.events.emit({ ...event, name: "APP_DISCOVERED" });
  if (!app.policy.ignored) context.events.emit({ ...event, name: "APP_REGISTERED" });
  await save(context, app);
}

async function save(
  { registry, log, isRegistryAway }: Pick<ReconcileDeps, "isRegistryAway" | "log" | "registry">,
  app: App,
) {
  try {
    await registry.save(recordOf(app));
  } catch (error) {
    const level = isRegistryAway?.() === true ? "debug" : "error";
    log[level]({ app: app.key, reason: messageOf(error) }, "could not be stored");
  }
}
