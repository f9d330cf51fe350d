/** The rows of all apps as they change, for dashboards: looked at four times a second while somebody follows. */

import { type App, refKey } from "../app.ts";
import type { CancelTimer, Clock } from "../clock.ts";
import type { StreamSource } from "./apps-stream.ts";
import type { AppSummary, LastWake } from "./views.ts";

/** Rows of apps. */
export interface LiveRows {
  /** One snapshot of all apps, then those that have changed. */
  follow(): StreamSource;
}

/** What they are made from. */
export interface LiveRowsDeps {
  readonly clock: Clock;
  readonly apps: () => readonly App[];
  readonly summaryOf: (app: App) => AppSummary;
  readonly lastWakeOf: (app: App) => LastWake | null;
}

/** How often all apps are looked at, ms. */
const LOOK_EVERY_MS = 250;
/** Rows that are made in one look: the others' turn comes with the next ones. */
const ROWS_MAX = 200;
/** Who is used all the time has a new row so often, ms. */
const COUNTERS_EVERY_MS = 1000;
/** So often a row is made anew although nothing has happened: what is said of time changes, ms. */
const ANEW_EVERY_MS = 60_000;
/** Apps that are gone and that a slow client was not told of yet. */
const GONE_MAX = 10_000;

/** One app as it was when its row was made. */
interface Row {
  readonly json: string;
  readonly revision: number;
  readonly madeMs: number;
  readonly states: readonly unknown[];
  readonly counters: readonly unknown[];
}

interface Context extends LiveRowsDeps {
  readonly rows: Map<string, Row>;
  /** Ids of apps that are gone, and the revision in which they went. */
  readonly gone: Map<string, number>;
  readonly followers: Set<() => void>;
  revision: number;
  /** Where the next look begins. */
  turn: number;
  cancel: CancelTimer | null;
}

/** Nobody follows yet: nothing is looked at. */
export function createLiveRows(deps: LiveRowsDeps): LiveRows {
  const context: Context = {
    ...deps,
    rows: new Map(),
    gone: new Map(),
    followers: new Set(),
    revision: 0,
    turn: 0,
    cancel: null,
  };
  return { follow: () => follow(context) };
}

function follow(context: Context): StreamSource {
  let seen = -1;
  let listener: (() => void) | null = null;
  return {
    open(onNews) {
      listener = onNews;
      context.followers.add(onNews);
      if (context.cancel !== null) return;
      look(context, Number.POSITIVE_INFINITY);
      plan(context);
    },
    next() {
      const { revision, rows, gone } = context;
      if (seen === revision) return null;
      const isFirst = seen === -1;
      const changed = [...rows.values()].filter((row) => row.revision > seen);
      const left = isFirst ? [] : [...gone].flatMap(([id, at]) => (at > seen ? [id] : []));
      seen = revision;
      // The rows are JSON already.
      const apps = changed.map(({ json }) => json).join(",");
      const data = `{"apps":[${apps}],"gone":${JSON.stringify(left)}}`;
      return `event: ${isFirst ? "snapshot" : "apps"}\ndata: ${data}\n\n`;
    },
    close() {
      if (listener !== null) context.followers.delete(listener);
      if (context.followers.size > 0) return;
      context.cancel?.();
      context.cancel = null;
      context.rows.clear();
      context.gone.clear();
    },
  };
}

function plan(context: Context): void {
  context.cancel = context.clock.after(LOOK_EVERY_MS, () => {
    plan(context);
    const before = context.revision;
    look(context, ROWS_MAX);
    if (context.revision === before) return;
    for (const onNews of [...context.followers]) onNews();
  });
}

/** Makes rows anew of those that have changed, what matters most first. */
function look(context: Context, rowsMax: number): void {
  const { clock, rows } = context;
  const apps = context.apps();
  const nowMs = clock.now();
  const next = context.revision + 1;
  const stale: App[] = [];
  const urgent: App[] = [];
  for (let step = 0; step < apps.length; step += 1) {
    const app = apps[(context.turn + step) % apps.length];
    if (app === undefined) continue;
    const row = rows.get(refKey(app.ref));
    if (row === undefined || !isSame(row.states, statesOf(context, app))) urgent.push(app);
    else if (isStale(row, app, nowMs)) stale.push(app);
  }
  const due = [...urgent, ...stale].slice(0, rowsMax);
  context.turn = (context.turn + (due.length < rowsMax ? 0 : rowsMax)) % Math.max(1, apps.length);
  const made = due.filter((app) => make(context, app, { revision: next, nowMs })).length;
  const hasLost = dropGone(context, apps, next);
  if (made > 0 || hasLost) context.revision = next;
}

function isStale({ counters, madeMs }: Row, app: App, nowMs: number): boolean {
  const ageMs = nowMs - madeMs;
  if (ageMs >= ANEW_EVERY_MS) return true;
  return ageMs >= COUNTERS_EVERY_MS && !isSame(counters, countersOf(app));
}

/** @returns whether the row is another one */
function make(
  context: Context,
  app: App,
  { revision, nowMs }: { readonly revision: number; readonly nowMs: number },
): boolean {
  const { rows, summaryOf } = context;
  const key = refKey(app.ref);
  const before = rows.get(key);
  const json = JSON.stringify(summaryOf(app));
  const isNew = before === undefined || before.json !== json;
  rows.set(key, {
    json,
    revision: isNew ? revision : before.revision,
    madeMs: nowMs,
    states: statesOf(context, app),
    counters: countersOf(app),
  });
  context.gone.delete(key);
  return isNew;
}

/** Told of by provider and id: `docker/shop`. @returns whether any is gone */
function dropGone({ gone, rows }: Context, apps: readonly App[], revision: number): boolean {
  if (rows.size === apps.length) return false;
  const known = new Set(apps.map(({ ref }) => refKey(ref)));
  const left = [...rows.keys()].filter((key) => !known.has(key));
  for (const key of left) {
    rows.delete(key);
    gone.set(key, revision);
  }
  for (const key of gone.keys()) {
    if (gone.size <= GONE_MAX) break;
    gone.delete(key);
  }
  return left.length > 0;
}

/** What is shown at once. */
function statesOf({ lastWakeOf }: LiveRowsDeps, app: App): readonly unknown[] {
  const { key, state, pause, keepAwake, ownWord, policy } = app;
  return [key, state, pause, keepAwake, ownWord, policy, lastWakeOf(app), app.leases > 0];
}

/** What changes with every request. */
function countersOf(app: App): readonly unknown[] {
  return [app.leases, app.waiting, app.leasesElsewhere, app.idleSinceMs, app.lastUsedMs];
}

function isSame(before: readonly unknown[], now: readonly unknown[]): boolean {
  return before.every((value, index) => value === now[index]);
}
