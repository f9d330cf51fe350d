/** The switchboard: which target of each app is active, who may change that, and what is kept from an app on purpose. */

import type { App, Pause, Target } from "./app.ts";
import { targetOf } from "./app.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import { beginDrain, knownOutcomes, runSwitch, type SwitchOrder } from "./switch.ts";
import { adopt, applyPause } from "./switch-adopt.ts";
import type { Desk, SwitchboardDeps, SwitchContext, SwitchOutcome } from "./switch-context.ts";
import { catchUp, tell, update } from "./switch-context.ts";
import { type DeployOrder, runDeploy } from "./switch-deploy.ts";
import { afterLoss, afterTime, isSamePause, type SwitchRecord } from "./switch-record.ts";
import { hasEnded, settle } from "./switch-settle.ts";
import { lookAtActive } from "./switch-watch.ts";

/** Switches, pauses, and the watch over active targets. */
export interface Switchboard {
  /** Where switches have moved an app to; `null`: it was never switched. */
  activeOf(key: string): Target | null;
  /** What is known of an app; makes it known. */
  deskOf(app: App): Desk;
  /** There are these apps now, and no others any more: those of them are watched that are to be. */
  attend(apps: readonly App[]): void;
  /** Moves an app to another target, or says why not. Never rejects. */
  switchTo(app: App, order: SwitchOrder): Promise<SwitchOutcome>;
  /** Starts an app anew as it is declared now, and moves it there; or says why not. Never rejects. */
  deploy(app: App, order: DeployOrder): Promise<SwitchOutcome>;
  /** A fresh look at the active target. */
  checkHealth(app: App): Promise<Desk["health"]>;
  /** Keeps requests from an app, or (`null`) lets them go on. @throws Error when it cannot be stored */
  setPause(app: App, pause: Pause | null, cause: Cause): Promise<void>;
  /** Whether a switch of it is under way. */
  isSwitching(app: App): boolean;
  /** Why an app must not be put to sleep now; `null`: it may. */
  whyAwake(app: App): string | null;
  /** Ends all watching; what a switch has begun to store is stored. */
  close(): Promise<void>;
}

/** A switchboard over what `deps.store` remembers. Nothing is watched yet. */
export function createSwitchboard(deps: SwitchboardDeps): Switchboard {
  const pending = new Set<Promise<void>>();
  const context: SwitchContext = {
    ...deps,
    desks: new Map(),
    closing: new AbortController(),
    later(work) {
      pending.add(work);
      void work.finally(() => pending.delete(work));
    },
    settle: (desk) => settle(context, desk),
    adopt: (desk) => adopt(context, desk),
    hasEnded: (desk, end) => hasEnded(context, desk, end),
  };
  const endNews = deps.store.subscribe((key) => {
    const desk = context.desks.get(key);
    if (desk === undefined) return;
    desk.hasNews = true;
    context.later(catchUp(context, desk));
  });
  return {
    activeOf(key) {
      const { active } = context.desks.get(key)?.record ?? deps.store.recordOf(key);
      return active === null ? null : targetOf(active);
    },
    deskOf: (app) => deskOf(context, app),
    attend: (apps) => attend(context, apps),
    switchTo: (app, order) => runSwitch(context, deskOf(context, app), order),
    deploy: (app, order) => runDeploy(context, deskOf(context, app), order),
    async checkHealth(app) {
      const desk = deskOf(context, app);
      await lookAtActive(context, desk);
      return desk.health;
    },
    async setPause(app, pause, cause) {
      const desk = deskOf(context, app);
      // Another instance may have changed it, of which nothing was heard.
      if (isSamePause(app.pause, pause)) await deps.store.refresh(app.key);
      let hasChanged = false;
      await update(context, desk, {
        change: (record) => (isSamePause(record.pause, pause) ? record : { ...record, pause }),
        onSaved() {
          hasChanged = true;
          applyPause(context, desk);
        },
      });
      if (!hasChanged) return;
      const reason = pause?.kind === "maintenance" ? `maintenance ${pause.message}`.trim() : "";
      tell(context, desk, { name: pause === null ? "APP_RESUMED" : "APP_PAUSED", cause, reason });
    },
    isSwitching: (app) =>
      context.desks.get(app.key)?.running !== null && context.desks.has(app.key),
    whyAwake(app) {
      const desk = context.desks.get(app.key);
      if (app.pause !== null) return "is paused";
      if (desk === undefined || desk.app !== app) return null;
      if (desk.running !== null) return "is being switched";
      const { window } = desk.record;
      const isOpen = window !== null && window.untilMs > deps.clock.now();
      return isOpen ? "was switched, and may yet be switched back" : null;
    },
    async close() {
      endNews();
      context.closing.abort(new Error("Paastis is shutting down"));
      for (const desk of context.desks.values()) endDesk(desk, context.closing.signal.reason);
      await Promise.all([...context.desks.values()].map(({ writing }) => writing));
      while (pending.size > 0) await Promise.allSettled(pending);
    },
  };
}

/** An app that came back under its key is another one: it gets the record of its predecessor. */
function deskOf(context: SwitchContext, app: App): Desk {
  const known = context.desks.get(app.key);
  if (known !== undefined && known.app === app) return known;
  if (known !== undefined) endDesk(known, GONE);
  const seen = context.store.recordOf(app.key);
  const stored = afterTime(seen, context.clock.now());
  const versions = context.versionsOf?.(app) ?? null;
  // What an earlier run started has ended with it.
  const record = versions === null ? stored : afterLoss(stored);
  const desk: Desk = {
    app,
    versions,
    record,
    seen,
    hasNews: false,
    running: null,
    rollback: null,
    health: { isOk: null, checkedMs: null, fails: 0, look: null },
    drains: new Map(),
    outcomes: knownOutcomes(record),
    writing: Promise.resolve(),
    toldNoWayBackMs: null,
    endWatch: null,
    over: new AbortController(),
  };
  if (context.closing.signal.aborted) endDesk(desk, context.closing.signal.reason);
  context.desks.set(app.key, desk);
  app.pause = record.pause;
  if (record.window !== null && record.active !== null) {
    app.traffic.watched = { address: record.active, requests: 0, errors: 0 };
  }
  for (const one of record.drains) beginDrain(context, desk, one);
  if (record !== stored) forgetLost(context, desk, stored);
  return desk;
}

function forgetLost(context: SwitchContext, desk: Desk, stored: SwitchRecord): void {
  const { app } = desk;
  const { active, window, drains } = stored;
  const fields = { app: app.key, active, back: window?.back ?? null, drains: drains.length };
  context.log.info(
    fields,
    "its versions ended with the run that started them: no way back is open",
  );
  const change = (now: SwitchRecord) => ({ ...now });
  const saved = update(context, desk, { change }).catch((error: unknown) => {
    if (desk.over.signal.aborted) return;
    const reason = messageOf(error);
    context.log.warn({ app: app.key, reason }, "the state of its switch could not be stored");
  });
  context.later(saved);
}

const GONE = new Error("the app is gone");

function endDesk({ over, endWatch }: Desk, reason: unknown): void {
  over.abort(reason);
  endWatch?.();
}

function attend(context: SwitchContext, apps: readonly App[]): void {
  const wanted = new Set(apps);
  for (const [key, desk] of context.desks) {
    if (wanted.has(desk.app)) continue;
    endDesk(desk, GONE);
    context.desks.delete(key);
  }
  for (const app of apps) settle(context, deskOf(context, app));
}
