/** What the calls for one app on Heroku share: what was seen of it before, and whose turn it is to change it. */

import type { Clock } from "../clock.ts";
import type { HerokuConfig } from "../config.ts";
import { unlessAborted } from "./abortable.ts";
import type { AppOrder, HerokuApi } from "./heroku-api.ts";
import type { HerokuApp, HerokuDyno, HerokuType } from "./heroku-json.ts";
import { areAllCrashed, sleepsByItself, webDynosOf } from "./heroku-state.ts";
import type { Urgency } from "./platform-api.ts";
import type { Phase } from "./provider.ts";

/** Everything that the provider's functions work with. */
export interface HerokuContext {
  readonly config: HerokuConfig;
  readonly clock: Clock;
  readonly api: HerokuApi;
  /** Apps of the newest list, by id; others are asked for one by one. */
  readonly apps: Map<string, HerokuApp>;
  /** What is remembered of an app from one look to the next, by id. */
  readonly seen: Map<string, SeenApp>;
  /** What was read of an app's dynos last, by id: each reading costs a call, and little changes in a moment. */
  readonly readings: Map<string, Reading>;
  /** The last change of an app that was begun, by id, so that the next one waits for it. */
  readonly changes: Map<string, Change>;
}

/** What has been seen, and the clock that it was seen by. */
type SeenBy = Pick<HerokuContext, "clock" | "seen">;

/** What the latest look at an app gave. */
export interface SeenApp {
  readonly phase: Phase;
  /** Since when every look saw it awake, and when the latest did, ms; `null`: the latest did not. */
  readonly up: { readonly sinceMs: number; readonly seenMs: number } | null;
  /** Its web dynos are Eco; kept as nothing else tells it, and a list has to say so. */
  readonly sleepsByItself: boolean;
  /** When all its web dynos were first read as crashed, ms, with no other reading since; `null`: they are not. */
  readonly crashedAtMs: number | null;
}

/** One reading of an app's dynos, under way or done. */
interface Reading {
  readonly urgency: Urgency;
  readonly dynos: Promise<DynosRead>;
  /** When it was done, ms; `null` while it is under way. */
  atMs: number | null;
}

/** An app's dynos, and when they were read. */
export interface DynosRead {
  readonly atMs: number;
  readonly dynos: readonly HerokuDyno[];
  /** All web dynos had crashed at the reading before this one, too. */
  readonly hadCrashed: boolean;
}

/** A wake or a sleep that was asked for. */
export interface Change {
  /** Rises by one with each. */
  readonly number: number;
  /** Settles when its calls have come back; it never rejects. */
  readonly isOver: Promise<unknown>;
}

/** What an order for calls about an app looks like. */
export function orderFor(
  context: HerokuContext,
  id: string,
  how: { readonly urgency: Urgency; readonly signal: AbortSignal },
): AppOrder {
  return { id, name: context.apps.get(id)?.name ?? id, ...how };
}

/** The app by the newest list; when that has none of this id, by a call. */
export async function appFor(context: HerokuContext, order: AppOrder): Promise<HerokuApp> {
  return context.apps.get(order.id) ?? (await fetchApp(context, order));
}

/** The app as it is now. */
export async function fetchApp(context: HerokuContext, order: AppOrder): Promise<HerokuApp> {
  const app = await context.api.fetchApp(order);
  context.apps.set(app.id, app);
  return app;
}

/** Keeps what a look saw for the next one. */
export function remember(context: SeenBy, id: string, seen: Partial<Omit<SeenApp, "up">>): void {
  const before = context.seen.get(id) ?? NEVER_SEEN;
  const { phase } = seen;
  const up = phase === undefined ? before.up : upAfter(context.clock.now(), phase, before);
  context.seen.set(id, { ...before, ...seen, up });
}

const NEVER_SEEN: SeenApp = {
  phase: "unknown",
  up: null,
  sleepsByItself: false,
  crashedAtMs: null,
};

function upAfter(nowMs: number, phase: Phase, { up }: SeenApp): SeenApp["up"] {
  return phase === "awake" ? { sinceMs: up?.sinceMs ?? nowMs, seenMs: nowMs } : null;
}

/** The router may go on with its own page for a moment after the first dyno is up, ms. */
const ROUTER_LAG_MS = 5_000;
/** For how long a look that saw an app up is believed, ms. */
const UP_MS = 15_000;

/** Whether a look has just seen it up, and the router has had the time to see it, too. */
export function isSurelyUp({ clock, seen }: SeenBy, id: string): boolean {
  const up = seen.get(id)?.up ?? null;
  if (up === null) return false;
  const nowMs = clock.now();
  return nowMs - up.sinceMs >= ROUTER_LAG_MS && nowMs - up.seenMs < UP_MS;
}

/** The formation as it is now; whether Heroku itself puts the app to sleep is kept. */
export async function fetchFormation(
  context: HerokuContext,
  order: AppOrder,
): Promise<readonly HerokuType[]> {
  const formation = await context.api.fetchFormation(order);
  remember(context, order.id, { sleepsByItself: sleepsByItself(formation) });
  return formation;
}

/** A reading is good for so long, ms: less than the time between two polls. */
const READING_MS = 2_500;

/** The dynos as they are now, or were a moment ago. */
export async function fetchDynos(context: HerokuContext, order: AppOrder): Promise<DynosRead> {
  const { id, name, signal } = order;
  const last = context.readings.get(id);
  if (last !== undefined && isUsable(context, last, order)) {
    try {
      return await unlessAborted(last.dynos, signal, `reading the dynos of ${name}`);
    } catch (error) {
      // Whoever began it may have given up, which is no reason for others to do so.
      if (signal.aborted) throw error;
    }
  }
  const reading: Reading = {
    urgency: order.urgency,
    dynos: readDynosNow(context, order),
    atMs: null,
  };
  context.readings.set(id, reading);
  try {
    const read = await reading.dynos;
    reading.atMs = read.atMs;
    return read;
  } catch (error) {
    if (context.readings.get(id) === reading) context.readings.delete(id);
    throw error;
  }
}

/** Nobody waits for a call that is less urgent than his own. */
function isUsable({ clock }: HerokuContext, reading: Reading, { urgency }: AppOrder): boolean {
  if (reading.atMs === null) return reading.urgency === urgency;
  return clock.now() - reading.atMs < READING_MS;
}

async function readDynosNow(context: HerokuContext, order: AppOrder): Promise<DynosRead> {
  const dynos = await context.api.fetchDynos(order);
  const atMs = context.clock.now();
  const crashedAtMs = context.seen.get(order.id)?.crashedAtMs ?? null;
  const isCrashed = areAllCrashed(webDynosOf(dynos));
  remember(context, order.id, { crashedAtMs: isCrashed ? (crashedAtMs ?? atMs) : null });
  return { atMs, dynos, hadCrashed: isCrashed && crashedAtMs !== null };
}

/** The app was changed: nothing that was read of its dynos is true any more. */
export function forgetDynos(context: HerokuContext, id: string): void {
  context.readings.delete(id);
  remember(context, id, { crashedAtMs: null });
}

/**
 * Does one change after the other for each app: a wake that was asked for right after a sleep must not read what
 * that sleep is about to change.
 * @param work gets the change's number
 * @throws ProviderError `failed` when `signal` is aborted before its turn; what `work` throws
 */
export async function inTurn<T>(
  context: HerokuContext,
  order: AppOrder,
  work: (change: number) => Promise<T>,
): Promise<T> {
  const before = context.changes.get(order.id);
  const number = (before?.number ?? 0) + 1;
  const doing = afterwards(before, order, () => work(number));
  const isOver = doing.catch(() => undefined);
  context.changes.set(order.id, { number, isOver });
  return await doing;
}

async function afterwards<T>(
  before: Change | undefined,
  { name, signal }: AppOrder,
  work: () => Promise<T>,
): Promise<T> {
  await unlessAborted(before?.isOver ?? Promise.resolve(), signal, `changing ${name}`);
  return await work();
}
