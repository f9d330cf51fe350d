/** Admits a request to an app: forward it, hold it, show the waiting page, or say why not. */

import type { Activity } from "./activity.ts";
import { exchangeFor, wayOf } from "./admission.ts";
import {
  type Answers,
  createAnswers,
  isNavigation,
  isProgressRequest,
  progressAnswer,
} from "./answers.ts";
import type { App, Failure, Pause } from "./app.ts";
import { LAST_PROBE } from "./app.ts";
import type { ForcedSleep } from "./app-schedule.ts";
import type { Clock } from "./clock.ts";
import type { Config, HoldLimits } from "./config.ts";
import type { Admission, Answer, Decision, Exchange, RequestHead } from "./engines/engine.ts";
import type { AnswerCode } from "./errors.ts";
import type { Cause } from "./events.ts";
import type { FailureReferences } from "./failure-references.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { WakeOutcome } from "./lifecycle-context.ts";
import { OWN_LOOK, type ThemeSource } from "./pages/look.ts";
import { createPausedRequests, type PausedRequests } from "./paused-requests.ts";
import { seesDetails } from "./public-why.ts";
import { noteAnswer } from "./traffic.ts";
import { type Caller, createDoorkeeper, type Doorkeeper } from "./turned-away.ts";
import type { WaitingRoom } from "./waiting-room.ts";
import { createWaitingRoom, isUpload } from "./waiting-room.ts";
import { ignoredBy } from "./wake-policy.ts";
import {
  ONLOOKER,
  type Onlooking,
  obstacleOf,
  progressOf,
  RESTART_MS,
  wakeTimes,
  whyFor,
} from "./wake-progress.ts";

/** Decides what becomes of requests for apps. */
export interface Gate {
  /**
   * Takes a lease and admits. Synchronous and without allocation beyond the result while the app is awake.
   * @param admittedMs when the request came, ms since the epoch; left out: now
   */
  admit(app: App, head: RequestHead, admittedMs?: number): Admission;
  /** Admits once more a request whose exchange came to nothing; its lease goes on. */
  readmit(exchange: Exchange): Admission;
  /** Its app turned out to be down. @returns `null`: it may wake it; otherwise its lease is back */
  turnAway(exchange: Exchange): Decision | null;
  /** The app's pause has changed: who waits for its end is decided about anew. */
  resumed(app: App): void;
  /** Requests and waiting pages that wait now. */
  held(): number;
  /** Tells all who wait that the program stops: they can come back later. */
  refuseHeld(): void;
}

/** Everything admission needs from outside. */
export interface GateDeps {
  readonly lifecycle: Lifecycle;
  readonly activity: Activity;
  readonly clock: Clock;
  readonly hold: HoldLimits;
  /** Who is shown the whole reason of a failure, an app's last output included. */
  readonly showAppOutput: Config["showAppOutput"];
  /** What pages look like. Left out: as Paastis' own. */
  readonly theme?: ThemeSource;
  readonly references: FailureReferences;
  /** Why nobody wakes an app now. Left out: nothing of the kind is known. */
  readonly forcedSleep?: (app: App) => ForcedSleep | null;
}

interface GateContext extends GateDeps, Onlooking {
  readonly answers: Answers;
  readonly room: WaitingRoom;
  readonly paused: PausedRequests;
  readonly doorkeeper: Doorkeeper;
}

/** Admission under the limits of `deps.hold`. */
export function createGate(deps: GateDeps): Gate {
  const room = createWaitingRoom(deps.lifecycle, deps.hold);
  const paused = createPausedRequests(deps.clock, deps.hold);
  const answers = createAnswers(deps.theme ?? OWN_LOOK);
  const doorkeeper = createDoorkeeper({
    ...deps,
    answers,
    failedAnswer: (caller, failure) => failedAnswer(context, caller, failure),
  });
  const context: GateContext = { ...deps, room, paused, answers, doorkeeper };
  return {
    admit(app, head, admittedMs = context.clock.now()) {
      const ignored = app.policy.ignore === null ? null : ignoredBy(app.policy.ignore, head);
      if (isProgressRequest(head) && app.pause === null && ignored === null) {
        return admitOnlooker(context, app, head);
      }
      context.activity.begin(app);
      const admission = admit(context, { app, head, admittedMs, failures: 0, ignored });
      // Only now: in a circle of links the app itself must be woken by this request, not by its links.
      if (app.links.length > 0 && app.pause === null && ignored === null) wakeLinks(context, app);
      return admission;
    },
    readmit: (exchange) => admit(context, { ...exchange, failures: exchange.failures + 1 }),
    turnAway(exchange) {
      const refusal = doorkeeper.foundDown(exchange);
      return refusal === null ? null : refuse(context, exchange, refusal);
    },
    resumed: (app) => paused.admitAll(app),
    held: () => room.count() + paused.count(),
    refuseHeld() {
      room.empty();
      paused.refuseAll();
    },
  };
}

/** The caller holds a lease already. */
function admit(context: GateContext, caller: Caller): Admission {
  const { app } = caller;
  const { state } = app;
  if (app.pause !== null) return admitPaused(context, caller, app.pause);
  if (state.kind !== "awake" || caller.failures > 0) {
    const refusal = context.doorkeeper.refusal(caller);
    if (refusal !== null) return refuse(context, caller, refusal);
  }
  // What just failed must wait for the wake that looks into it, even before that shows in the state.
  if (caller.failures > 0 && context.lifecycle.wakeAskedMs(app) !== null) {
    return hold(context, caller);
  }
  const way = wayOf(caller, context.clock);
  if (way === "wait") return hold(context, caller);
  if (state.kind === "failed") return refuse(context, caller, failedAnswer(context, caller, state));
  if (way === "stay") context.lifecycle.cancelDrain(app);
  const isUp = state.kind === "awake" || state.kind === "draining";
  const target = isUp ? state.target : app.lastTarget;
  return target === null ? hold(context, caller) : exchangeFor(caller, target);
}

function answer(app: App, own: Answer): Decision {
  return { kind: "answer", answer: own, app };
}

/** Gives the lease back, since Paastis answers by itself. */
function refuse(context: GateContext, caller: Caller, own: Answer): Decision {
  giveBack(context, caller, own.status);
  noteAnswer(caller.app.traffic, own.status, null);
  return answer(caller.app, own);
}

/** @param status of our own answer; 0: nobody waits for one any more */
function giveBack({ activity }: GateContext, caller: Caller, status: number): void {
  const { app, admittedMs, ignored } = caller;
  const done = { admittedMs, status, sentBytes: 0, receivedBytes: 0 };
  if (ignored === null) activity.end(app, done);
  else activity.endUnused(app, done);
}

/** How soon who finds an app in maintenance may ask again, ms. */
const MAINTENANCE_RETRY_MS = 30_000;

/** Nothing goes to the app, and nothing wakes it, until somebody says so. */
function admitPaused(context: GateContext, caller: Caller, pause: Pause): Admission {
  const { app, head } = caller;
  if (pause.kind === "maintenance") {
    return refuse(context, caller, pausedAnswer(context, { app, head, pause }));
  }
  const held = context.paused.hold({
    app,
    isUpload: isUpload(head),
    patienceMs: patienceMs(context, caller),
    admit: () => admit(context, caller),
    refuse: (cause) =>
      cause === "stopping"
        ? refuse(context, caller, sentAway(context, caller))
        : refuse(context, caller, pausedAnswer(context, { app, head, pause })),
    release: () => giveBack(context, caller, 0),
  });
  if (held !== null) return { ...held, app };
  const why = "too many requests wait for it already";
  return refuse(
    context,
    caller,
    context.answers.error({
      code: "hold_full",
      app: app.key,
      why,
      retryAfterMs: RETRY_AFTER_MS,
      head,
    }),
  );
}

function pausedAnswer(
  { answers }: GateContext,
  { app, head, pause }: { readonly app: App; readonly head: RequestHead; readonly pause: Pause },
): Answer {
  const isWorkedOn = pause.kind === "maintenance";
  const why = isWorkedOn ? pause.message || "it is in maintenance" : "it is paused";
  return answers.error({
    code: isWorkedOn ? "app_maintenance" : "app_paused",
    app: app.key,
    why,
    retryAfterMs: isWorkedOn ? MAINTENANCE_RETRY_MS : RETRY_AFTER_MS,
    head,
  });
}

/** An app that was stopped behind the back of the one that uses it is woken with the next use. */
function wakeLinks(context: GateContext, app: App): void {
  for (const link of app.links) {
    if (link.state.kind === "awake" || link.pause !== null) continue;
    if (link.state.kind === "failed" && context.clock.now() < link.state.retryAtMs) continue;
    void context.lifecycle.wake(link, { kind: "linked", detail: `linked from ${app.key}` });
  }
}

/** Keeps the request until the app is awake, its wake has failed, or the budget is used up. */
function hold(context: GateContext, caller: Caller): Admission {
  const { app, head } = caller;
  const kind = { isRequest: true, isUpload: isUpload(head) };
  const full = context.room.whyFull(app, kind);
  if (full !== null) {
    // Nobody waits, but the app is wanted: the client finds it awake when it comes back.
    void context.lifecycle.wake(app, causeOf(head));
    return refuse(context, caller, fullAnswer(context, caller, full));
  }
  const { promise, resolve } = Promise.withResolvers<Decision>();
  let settled: Admission | "open" | "abandoned" = "open";
  const settle = (decide: () => Admission) => {
    if (settled !== "open") return;
    endWait();
    settled = decide();
    // It may have to wait once more, as its app is paused by now.
    resolve(settled.kind === "held" ? settled.decision : settled);
  };
  const leave = context.room.enter(app, {
    ...kind,
    cause: causeOf(head),
    waiter: {
      onWakeOver: (outcome) => settle(() => woken(context, caller, outcome)),
      onSentAway: () => settle(() => refuse(context, caller, sentAway(context, caller))),
    },
  });
  const cancelTimer = context.clock.after(patienceMs(context, caller), () =>
    settle(() => refuse(context, caller, outOfPatience(context, caller))),
  );
  function endWait() {
    cancelTimer();
    leave();
  }
  return {
    kind: "held",
    app,
    decision: promise,
    abandon() {
      if (settled === "abandoned") return;
      const before = settled;
      settled = "abandoned";
      endWait();
      if (before !== "open" && before.kind === "held") return before.abandon();
      // An answer has given the lease back already; an exchange that nobody follows has not.
      if (before === "open" || before.kind === "forward") giveBack(context, caller, 0);
    },
  };
}

function woken(context: GateContext, caller: Caller, outcome: WakeOutcome): Admission {
  const { pause } = caller.app;
  if (pause !== null) return admitPaused(context, caller, pause);
  if (outcome.kind === "awake") return exchangeFor(caller, outcome.target);
  return refuse(context, caller, failedAnswer(context, caller, outcome));
}

function sentAway({ answers }: GateContext, { app, head }: Caller): Answer {
  const why = "the app was still waking";
  return answers.error({
    code: "shutting_down",
    app: app.key,
    why,
    retryAfterMs: RESTART_MS,
    head,
  });
}

/** A navigation gets the page after a short grace; everybody else waits for the rest of the budget. */
function patienceMs(context: GateContext, caller: Caller): number {
  const spentMs = context.clock.now() - caller.admittedMs;
  const budgetMs = isNavigation(caller.head) ? context.hold.graceMs : context.hold.maxMs;
  return Math.max(0, Math.min(budgetMs, context.hold.maxMs) - spentMs);
}

function outOfPatience(context: GateContext, caller: Caller): Answer {
  const { app, head } = caller;
  const { elapsedMs, estimateMs } = wakeTimes(context, app);
  if (isNavigation(head)) {
    return context.answers.waiting({ app: app.key, elapsedMs, estimateMs, head });
  }
  return context.answers.error({
    code: "app_waking",
    app: app.key,
    why: whyNotYet(context, caller),
    retryAfterMs: remainingMs(elapsedMs, estimateMs),
    head,
  });
}

function whyNotYet(context: GateContext, { app, head }: Caller): string {
  const { lifecycle, clock, showAppOutput } = context;
  const { state } = app;
  if (state.kind === "stopping") {
    const stoppingS = Math.round((clock.now() - state.sinceMs) / 1000);
    return `it has been stopping for ${stoppingS} s, which has to end first; then it is woken again`;
  }
  const sinceMs = state.kind === "waking" ? state.sinceMs : lifecycle.wakeAskedMs(app);
  const wakingS = Math.round((clock.now() - (sinceMs ?? clock.now())) / 1000);
  const probe = seesDetails(showAppOutput, head) ? lifecycle.lastProbeOf(app) : null;
  const saw = probe === null ? "" : LAST_PROBE + probe;
  const obstacle = obstacleOf(context, { app, head });
  const but = obstacle === null ? "" : `, but ${obstacle}`;
  return `it has been waking for ${wakingS} s${but}; the wake goes on${saw}`;
}

/** What to wait before asking again when nothing is known, or the estimate is used up; ms. */
const RETRY_AFTER_MS = 5000;

function remainingMs(elapsedMs: number, estimateMs: number | null): number {
  const leftMs = (estimateMs ?? 0) - elapsedMs;
  return leftMs > 0 ? leftMs : RETRY_AFTER_MS;
}

function failedAnswer(context: GateContext, caller: Caller, failure: Failure): Answer {
  const reference = context.references.of(caller.app, failure);
  return context.answers.error({
    code: failedCode(failure),
    app: caller.app.key,
    ...(reference === null ? {} : { reference }),
    why: whyFor(context, caller.head, failure),
    retryAfterMs: Math.max(0, failure.retryAtMs - context.clock.now()),
    head: caller.head,
  });
}

function failedCode({ hasCrashed = false, isGone = false }: Failure): AnswerCode {
  if (isGone) return "unknown_app";
  return hasCrashed ? "app_crashed" : "app_failed";
}

function fullAnswer(
  context: GateContext,
  { app, head }: Pick<Caller, "app" | "head">,
  why: string,
): Answer {
  const { elapsedMs, estimateMs } = wakeTimes(context, app);
  const retryAfterMs = remainingMs(elapsedMs, estimateMs);
  return context.answers.error({ code: "hold_full", app: app.key, why, retryAfterMs, head });
}

/** The waiting page asks how the wake goes. It takes no lease, but a place among those who wait. */
function admitOnlooker(context: GateContext, app: App, head: RequestHead): Decision {
  if (app.pause !== null)
    return answer(app, pausedAnswer(context, { app, head, pause: app.pause }));
  // Whoever looks on wakes the app like a visitor.
  const caller: Caller = { app, head, admittedMs: context.clock.now(), failures: 0, ignored: null };
  const refusal = context.doorkeeper.refusal(caller);
  if (refusal !== null) return answer(app, refusal);
  const full = context.room.whyFull(app, ONLOOKER);
  if (full !== null) return answer(app, fullAnswer(context, { app, head }, full));
  return answer(
    app,
    progressAnswer(progressOf(context, { app, head, cause: causeOf(head) }), head),
  );
}

/** Longest path in a cause, in characters. */
const CAUSE_PATH_MAX = 100;

/** What woke the app, for logs and events. Without the query: it may hold secrets. */
export function causeOf(head: RequestHead): Cause {
  const query = head.target.indexOf("?");
  const path = query === -1 ? head.target : head.target.slice(0, query);
  const from = head.clientAddress === "" ? "" : ` from ${head.clientAddress}`;
  return { kind: "request", detail: `${head.method} ${path.slice(0, CAUSE_PATH_MAX)}${from}` };
}
