/** Gives every app we know its key, as often as apps, their names, or the rules change. */

import { isDeepStrictEqual } from "node:util";
import { type Activity, isInUse, unusedSinceMs } from "./activity.ts";
import type { App, Policy } from "./app.ts";
import { refKey } from "./app.ts";
import type { AppTable } from "./app-table.ts";
import type { LastSaid } from "./last-said.ts";
import { createLastSaid } from "./last-said.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Log } from "./log.ts";
import type { Provider } from "./providers/provider.ts";
import type { Claimant, SeatConflict, SeatRule } from "./seats.ts";
import { assignSeats, describeConflict, mergeOrder } from "./seats.ts";

/** What an app wants to be called, and how its platform's list says it is to be treated. */
export interface Wanted {
  readonly key: string;
  readonly aliases: readonly string[];
  /** What people call it; left out: as its key. */
  readonly label?: string;
  readonly settings: App["settings"];
}

/** Who is called what. Nothing changes in the table before `settle`. */
export interface Seating {
  /** Notes what its platform says of an app. */
  claim(app: App, wanted: Wanted): void;
  /** Notes in which order a provider lists its apps. */
  order(provider: string, ids: readonly string[]): void;
  /** The app is gone. */
  forget(app: App): void;
  /** Seats everybody anew, and gives everybody the policy of their key. */
  settle(): void;
  /** The same, where anything was noted since the last time. */
  settleChanges(): void;
  /** Says which apps want the same key, where that is news. */
  report(): void;
}

/** Everything seating needs from outside. */
export interface SeatingDeps {
  /** In the fixed order: who comes first has a key that several want. */
  readonly providers: readonly Provider[];
  readonly table: AppTable;
  readonly lifecycle: Lifecycle;
  readonly activity: Activity;
  readonly log: Log;
  readonly policyOf: (app: Pick<App, "key" | "ref" | "settings">) => Policy;
  /** What the rules say about a key that several want. Left out: they say nothing. */
  readonly seatRuleOf?: (key: string) => SeatRule | null;
  /** Called when a key may lead elsewhere. */
  readonly onChange: () => void;
  /** Called with each app that goes by another key now. */
  readonly onRenamed: (app: App) => void;
}

interface Contender extends Claimant {
  readonly app: App;
}

interface SeatingContext extends SeatingDeps {
  readonly wanted: Map<string, Wanted>;
  /** Ids by provider, in the order of its lists. */
  readonly orders: Map<string, readonly string[]>;
  readonly said: LastSaid;
  conflicts: readonly SeatConflict<Contender>[];
  /** Whether anything was noted since everybody was seated. */
  isChanged: boolean;
}

/** Seats nobody yet. */
export function createSeating(deps: SeatingDeps): Seating {
  const context: SeatingContext = {
    ...deps,
    wanted: new Map(),
    orders: new Map(),
    said: createLastSaid(),
    conflicts: [],
    isChanged: false,
  };
  return {
    claim: (app, wanted) => claim(context, app, inLowerCase(wanted)),
    order: (provider, ids) => order(context, provider, ids),
    forget(app) {
      context.wanted.delete(refKey(app.ref));
      context.isChanged = true;
    },
    settle: () => settle(context),
    settleChanges() {
      if (context.isChanged) settle(context);
    },
    report: () => report(context),
  };
}

function claim(context: SeatingContext, app: App, wanted: Wanted): void {
  const ref = refKey(app.ref);
  if (!isDeepStrictEqual(app.settings, wanted.settings)) {
    app.settings = wanted.settings;
    context.isChanged = true;
  }
  const before = context.wanted.get(ref);
  context.wanted.set(ref, wanted);
  if (before?.key === wanted.key && isSame(before.aliases, wanted.aliases)) return;
  context.isChanged = true;
}

function order(context: SeatingContext, provider: string, ids: readonly string[]): void {
  const before = context.orders.get(provider) ?? [];
  const isKnown = (id: string) => context.table.byRef({ provider, id }) !== null;
  const after = mergeOrder(before, ids, isKnown);
  if (isSame(before, after)) return;
  context.orders.set(provider, after);
  context.isChanged = true;
}

function isSame(before: readonly string[], after: readonly string[]): boolean {
  return before.length === after.length && before.every((text, index) => text === after[index]);
}

function inLowerCase(wanted: Wanted): Wanted {
  const aliases = wanted.aliases.map((alias) => alias.toLowerCase());
  return { ...wanted, key: wanted.key.toLowerCase(), aliases };
}

function settle(context: SeatingContext): void {
  const { table, activity, lifecycle } = context;
  context.isChanged = false;
  const before = table.all().map((app) => ({
    app,
    policy: app.policy,
    unusedMs: unusedSinceMs(app),
  }));
  const keysBefore = table.known().map((app) => [app, app.key] as const);
  const contenders = context.providers.flatMap((provider) => contendersOf(context, provider));
  const seats = assignSeats(contenders, context.seatRuleOf ?? (() => null));
  context.conflicts = seats.conflicts;
  table.seat({
    holders: new Map([...seats.holders].map(([key, { app }]) => [key, app])),
    keys: new Map([...seats.keys].map(([{ app }, key]) => [app, key])),
  });
  table.applyPolicies(context.policyOf);
  context.onChange();
  for (const [app, key] of keysBefore) if (app.key !== key) context.onRenamed(app);
  const seated = new Set(table.all());
  const seatedBefore = new Set(before.map(({ app }) => app));
  // Nobody could ask for it: it has not been idle so long because nobody wanted it.
  for (const app of seated) if (!seatedBefore.has(app)) activity.restart(app);
  for (const one of before) {
    const why = seated.has(one.app) ? whyAwake(one) : "another app has its key now";
    if (why !== null) lifecycle.cancelDrain(one.app, why);
  }
}

/** Why an app must not go to sleep after all, whatever was decided under earlier rules; `null`: nothing is new. */
function whyAwake(before: {
  readonly app: App;
  readonly policy: Policy;
  readonly unusedMs: number;
}): string | null {
  const { app, policy, unusedMs } = before;
  if (idleMaxMs(app.policy) > idleMaxMs(policy)) return "its settings keep it awake longer now";
  // By new links it may be used of late; only a stop that waits for its turn does not find that out by itself.
  const isUsed = isInUse(app) || unusedSinceMs(app) > unusedMs;
  return app.state.kind === "stopping" && isUsed ? "another app that links to it is used" : null;
}

function idleMaxMs({ ignored, maxIdleMs }: Policy): number {
  return ignored || maxIdleMs === null ? Number.POSITIVE_INFINITY : maxIdleMs;
}

function contendersOf(context: SeatingContext, { name }: Provider): readonly Contender[] {
  const { table, orders, wanted } = context;
  const apps = new Map(
    table.known().flatMap((app) => (app.ref.provider === name ? [[app.ref.id, app]] : [])),
  );
  const ids = new Set([...(orders.get(name) ?? []), ...apps.keys()]);
  return [...ids].flatMap((id) => {
    const app = apps.get(id);
    if (app === undefined) return [];
    const known = wanted.get(refKey(app.ref));
    if (known === undefined) return { app, ref: app.ref, key: app.key, aliases: [] };
    const { key, aliases, label } = known;
    return { app, ref: app.ref, key, aliases, ...(label === undefined ? {} : { label }) };
  });
}

function report({ conflicts, said, log }: SeatingContext): void {
  for (const conflict of conflicts) {
    const { why, next } = describeConflict(conflict);
    if (!said.isNews(conflict.key, why)) continue;
    log.warn({ app: conflict.key, reason: why, next }, "several apps want the same key");
  }
  said.keepOnly(new Set(conflicts.map(({ key }) => key)));
}
