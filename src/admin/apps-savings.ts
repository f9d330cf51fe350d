/** How long apps were asleep and awake, all of them together: what their sleep has saved. */

import type { App, AppState } from "../app.ts";
import type { Clock } from "../clock.ts";
import type { Config } from "../config.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { StateFile } from "../state-file.ts";
import { timeText } from "./apps-times.ts";
import type { Savings } from "./views.ts";

/** Counts hours. */
export interface SavingsCounter {
  /** Something may have changed about an app: until now it was as it was seen last. */
  look(app: App): void;
  read(apps: readonly App[]): Savings;
  /** Writes behind what was counted. Never rejects. */
  save(): Promise<void>;
  /** The same for the last time. */
  close(): Promise<void>;
}

/** What it needs from outside. */
export interface SavingsDeps {
  readonly clock: Pick<Clock, "now" | "wallMs">;
  readonly log: Log;
  /** `null`: it is forgotten with the program. */
  readonly file: StateFile | null;
  readonly price: Config["price"];
}

/** What is stored, ms. */
interface Totals {
  /** Of the wall clock, since the epoch. */
  sinceMs: number;
  asleepMs: number;
  awakeMs: number;
}

const HOUR_MS = 3_600_000;

/** Goes on where an earlier run has stored that it left off; the time in between counts for nothing. */
export function createSavingsCounter(deps: SavingsDeps): SavingsCounter {
  const totals = storedTotals(deps) ?? { sinceMs: deps.clock.wallMs(), asleepMs: 0, awakeMs: 0 };
  const startedMs = deps.clock.now();
  const seen = new WeakMap<App, { atMs: number; kind: AppState["kind"] }>();
  const look = (app: App) => {
    // Its platform does what it does without us.
    if (app.sleepsByItself) return;
    const atMs = deps.clock.now();
    // It has been in its state for as long as it says, but not counted here before the start.
    const first = { atMs: Math.max(startedMs, app.state.sinceMs), kind: app.state.kind };
    const before = seen.get(app) ?? first;
    seen.set(app, before);
    const field = FIELDS[before.kind];
    if (field !== null) totals[field] += Math.max(0, atMs - before.atMs);
    before.atMs = atMs;
    before.kind = app.state.kind;
  };
  const save = async () => {
    try {
      await deps.file?.write({ version: 1, ...totals });
    } catch (error) {
      deps.log.debug({ reason: messageOf(error) }, "the hours asleep could not be stored");
    }
  };
  return {
    look,
    read(apps) {
      for (const app of apps) look(app);
      return savingsOf(totals, deps.price);
    },
    save,
    async close() {
      await save();
      await deps.file?.close();
    },
  };
}

/** Of a failed app nobody knows what it costs. */
const FIELDS: Readonly<Record<AppState["kind"], "asleepMs" | "awakeMs" | null>> = {
  unknown: null,
  asleep: "asleepMs",
  waking: "awakeMs",
  awake: "awakeMs",
  draining: "awakeMs",
  stopping: "awakeMs",
  failed: null,
};

function savingsOf({ sinceMs, asleepMs, awakeMs }: Totals, price: Config["price"]): Savings {
  const asleepHours = asleepMs / HOUR_MS;
  const allMs = asleepMs + awakeMs;
  return {
    since: timeText(sinceMs),
    asleepHours: rounded(asleepHours, 3),
    awakeHours: rounded(awakeMs / HOUR_MS, 3),
    share: allMs === 0 ? 0 : rounded(asleepMs / allMs, 4),
    money:
      price === null
        ? null
        : { amount: rounded(asleepHours * price.perHour, 2), currency: price.currency },
  };
}

function rounded(number: number, digits: number): number {
  return Number(number.toFixed(digits));
}

/** What cannot be read is counted anew: nothing depends on it. */
function storedTotals({ file, log }: SavingsDeps): Totals | null {
  try {
    const read = file?.read() ?? null;
    if (read === null || "damaged" in read) return null;
    const { content } = read;
    if (typeof content !== "object" || content === null) return null;
    const { sinceMs, asleepMs, awakeMs } = content as Partial<Record<keyof Totals, unknown>>; // Looked at next.
    if (!isCount(sinceMs) || !isCount(asleepMs) || !isCount(awakeMs)) return null;
    return { sinceMs, asleepMs, awakeMs };
  } catch (error) {
    log.debug({ reason: messageOf(error) }, "the hours asleep of earlier runs cannot be read");
    return null;
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
