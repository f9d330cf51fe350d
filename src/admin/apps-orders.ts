/** What operators have ordered for a time, apps kept awake and pauses that end by themselves, kept over restarts. */

import { type App, refKey } from "../app.ts";
import type { CancelTimer, Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { KeepAwakeOrder } from "../overrides.ts";
import type { StateFile } from "../state-file.ts";

/** A pause that ends at a time of the wall clock, if it is still the same one; ms since the epoch. */
interface PauseEnd {
  readonly untilWallMs: number;
  /** When it began: it is known by that. */
  readonly sinceMs: number;
}

/** Orders of operators that last for a time. */
export interface Orders {
  /** There are these apps now: what an earlier run was told of them holds again. */
  attend(apps: readonly App[]): void;
  /** From here on it counts; `null` takes it back. @throws Error when it cannot be stored, and then nothing has changed */
  keepAwake(app: App, order: KeepAwakeOrder | null): Promise<void>;
  /** The pause that the app has now ends then; `null`: when somebody says so. @throws Error when it cannot be stored */
  endPause(app: App, untilWallMs: number | null): Promise<void>;
  /** When the pause of an app ends, ms since the epoch; `null`: not by itself. */
  pausedUntil(app: App): number | null;
  /** Nothing ends by itself any more. */
  close(): Promise<void>;
}

/** What they need from outside. */
export interface OrdersDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** `null`: they are forgotten with the program. */
  readonly file: StateFile | null;
  /** Ends the pause of an app. @throws Error when it cannot be stored */
  readonly resume: (app: App) => Promise<void>;
}

interface Context extends OrdersDeps {
  readonly awake: Map<string, number>;
  readonly pauses: Map<string, PauseEnd>;
  readonly apps: Map<string, App>;
  cancel: CancelTimer | null;
}

/** Looks at least so often, as the wall clock may be set, ms. */
const LOOK_EVERY_MS = 30_000;
/** A pause whose end could not be stored is tried again after so long, ms. */
const AGAIN_MS = 5000;

/** Reads what an earlier run has stored. Never throws. */
export function createOrders(deps: OrdersDeps): Orders {
  const context: Context = {
    ...deps,
    awake: new Map(),
    pauses: new Map(),
    apps: new Map(),
    cancel: null,
  };
  takeUp(context);
  return {
    attend(apps) {
      context.apps.clear();
      for (const app of apps) adopt(context, app);
      plan(context);
    },
    async keepAwake(app, order) {
      const { awake } = context;
      await change(context, awake, { key: refKey(app.ref), value: order?.untilWallMs ?? null });
      app.keepAwake = order;
    },
    async endPause(app, untilWallMs) {
      const { pauses } = context;
      const { pause } = app;
      const value =
        untilWallMs === null || pause === null ? null : { untilWallMs, sinceMs: pause.sinceMs };
      await change(context, pauses, { key: refKey(app.ref), value });
      context.apps.set(refKey(app.ref), app);
      plan(context);
    },
    pausedUntil: (app) => pauseEndOf(context, app)?.untilWallMs ?? null,
    async close() {
      context.cancel?.();
      context.cancel = null;
      await context.file?.close();
    },
  };
}

function adopt({ apps, awake, clock }: Context, app: App): void {
  const key = refKey(app.ref);
  apps.set(key, app);
  const untilWallMs = awake.get(key);
  if (untilWallMs === undefined || app.keepAwake !== null) return;
  if (untilWallMs > clock.wallMs()) app.keepAwake = { untilWallMs };
}

/** Of another pause the end is not known. */
function pauseEndOf({ pauses }: Context, { pause, ref }: App): PauseEnd | null {
  const end = pauses.get(refKey(ref));
  return end !== undefined && pause !== null && pause.sinceMs === end.sinceMs ? end : null;
}

/** What cannot be stored has not changed. */
async function change<T>(
  context: Context,
  map: Map<string, T>,
  { key, value }: { readonly key: string; readonly value: T | null },
): Promise<void> {
  const before = map.get(key);
  if (value === null && before === undefined) return;
  if (value === null) map.delete(key);
  else map.set(key, value);
  try {
    await store(context);
  } catch (error) {
    if (before === undefined) map.delete(key);
    else map.set(key, before);
    throw error;
  }
}

async function store({ awake, clock, file, pauses }: Context): Promise<void> {
  const wallMs = clock.wallMs();
  for (const [key, untilWallMs] of awake) if (untilWallMs <= wallMs) awake.delete(key);
  await file?.write({
    version: 1,
    keepAwake: Object.fromEntries(awake),
    pauses: Object.fromEntries(pauses),
  });
}

/** Pauses end in time, and those that were ended by hand are forgotten. */
function plan(context: Context, atLeastMs = 0): void {
  const { clock, pauses } = context;
  context.cancel?.();
  context.cancel = null;
  if (pauses.size === 0) return;
  const next = Math.min(...[...pauses.values()].map(({ untilWallMs }) => untilWallMs));
  const waitMs = Math.max(atLeastMs, Math.min(LOOK_EVERY_MS, next - clock.wallMs()));
  context.cancel = clock.after(waitMs, () => {
    void endThoseDue(context).then((areDone) => plan(context, areDone ? 0 : AGAIN_MS));
  });
}

/** @returns whether all were ended that were due. Never rejects. */
async function endThoseDue(context: Context): Promise<boolean> {
  const { apps, clock, log, pauses } = context;
  const wallMs = clock.wallMs();
  let areDone = true;
  for (const [key, end] of [...pauses]) {
    if (end.untilWallMs > wallMs) continue;
    const app = apps.get(key);
    try {
      if (app !== undefined && pauseEndOf(context, app) !== null) await context.resume(app);
      await change(context, pauses, { key, value: null });
    } catch (error) {
      areDone = false;
      const fields = { app: app?.key ?? key, reason: messageOf(error) };
      log.warn(fields, "its pause is over, which could not be stored: it is tried again");
    }
  }
  return areDone;
}

/** What cannot be read is as good as not there: orders are few, and given again soon. */
function takeUp({ awake, file, log, pauses }: Context): void {
  try {
    const read = file?.read() ?? null;
    if (read === null) return;
    if ("damaged" in read) {
      log.warn({ reason: read.damaged }, "orders of operators are forgotten");
      return;
    }
    const { content } = read;
    for (const [key, value] of entriesOf(content, "keepAwake")) {
      if (typeof value === "number") awake.set(key, value);
    }
    for (const [key, value] of entriesOf(content, "pauses")) {
      if (isPauseEnd(value)) pauses.set(key, value);
    }
  } catch (error) {
    log.warn({ reason: messageOf(error) }, "orders of operators are forgotten");
  }
}

function entriesOf(content: unknown, name: string): [string, unknown][] {
  if (typeof content !== "object" || content === null || !Object.hasOwn(content, name)) return [];
  // An object that has it.
  const value = (content as Readonly<Record<string, unknown>>)[name];
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}

function isPauseEnd(value: unknown): value is PauseEnd {
  if (typeof value !== "object" || value === null) return false;
  const { untilWallMs, sinceMs } = value as Partial<Record<keyof PauseEnd, unknown>>; // Looked at next.
  return typeof untilWallMs === "number" && typeof sinceMs === "number";
}
