/** Admits a request to an app: forward it, hold it, show the waiting page, or say why not. */

import type { Activity } from "./activity.ts";
import {
  errorAnswer,
  isNavigation,
  isProgressRequest,
  progressAnswer,
  waitingPage,
} from "./answers.ts";
import type { App, Failure, Pause, Target } from "./app.ts";
import { LAST_PROBE } from "./app.ts";
import type { Clock } from "./clock.ts";
import type { Config, HoldLimits } from "./config.ts";
import type { Admission, Answer, Decision, Exchange, RequestHead } from "./engines/engine.ts";
import type { AnswerCode } from "./errors.ts";
import type { Cause } from "./events.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { WakeOutcome } from "./lifecycle-context.ts";
import { createPausedRequests, type PausedRequests } from "./paused-requests.ts";
import { seesDetails } from "./public-why.ts";
import { noteAnswer } from "./traffic.ts";
import type { WaitingRoom } from "./waiting-room.ts";
import { createWaitingRoom, isUpload } from "./waiting-room.ts";
import {
  ONLOOKER,
  type Onlooking,
  obstacleOf,
  progressOf,
  RESTART_MS,
  wakeTimes,
  whyFor,
} from "./wake-progress.ts";

/** A request on its way to an app, for the first time or once more. */
export interface Caller {
  readonly app: App;
  readonly head: RequestHead;
  /** When it was first admitted, ms since the epoch. */
  readonly admittedMs: number;
  readonly failures: number;
}

/** Decides what becomes of requests for apps. */
export interface Gate {
  /**
   * Takes a lease and admits. Synchronous and without allocation beyond the result while the app is awake.
   * @param admittedMs when the request came, ms since the epoch; left out: now
   */
  admit(app: App, head: RequestHead, admittedMs?: number): Admission;
  /** Admits once more a request whose exchange came to nothing; its lease goes on. */
  readmit(exchange: Exchange): Admission;
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
}

interface GateContext extends GateDeps, Onlooking {
  readonly room: WaitingRoom;
  readonly paused: PausedRequests;
}

/** Admission under the limits of `deps.hold`. */
export function createGate(deps: GateDeps): Gate {
  const room = createWaitingRoom(deps.lifecycle, deps.hold);
  const paused = createPausedRequests(deps.clock, deps.hold);
  const context: GateContext = { ...deps, room, paused };
  return {
    admit(app, head, admittedMs = context.clock.now()) {
      if (isProgressRequest(head) && app.pause === null) return admitOnlooker(context, app, head);
      context.activity.begin(app);
      const admission = admit(context, { app, head, admittedMs, failures: 0 });
      // Only now: in a circle of links the app itself must be woken by this request, not by its links.
      if (app.links.length > 0 && app.pause === null) wakeLinks(context, app);
      return admission;
    },
    readmit: (exchange) => admit(context, { ...exchange, failures: exchange.failures + 1 }),
    resumed: (app) => paused.admitAll(app),
    held: () => room.count() + paused.count(),
    refuseHeld() {
      room.empty();
      paused.refuseAll();
    },
  };
}

/** Asks for nothing to be done (RFC 9110, section 9.2.1), so that it can be asked again elsewhere. */
function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}

/** The caller holds a lease already. */
function admit(context: GateContext, caller: Caller): Admission {
  const { app } = caller;
  const { state } = app;
  if (app.pause !== null) return admitPaused(context, caller, app.pause);
  // What just failed must wait for the wake that looks into it, even before that shows in the state.
  if (caller.failures > 0 && context.lifecycle.wakeAskedMs(app) !== null) {
    return hold(context, caller);
  }
  switch (state.kind) {
    case "awake":
      return exchange(caller, state.target);
    case "draining":
      context.lifecycle.cancelDrain(app);
      return exchange(caller, state.target);
    case "unknown":
      // Nobody could say that it is down: try where it was last, and wake it when that fails. What cannot be tried
      // twice waits for a look: a platform answers it with its own page when the app is down.
      if (app.lastTarget !== null && caller.failures === 0 && isSafe(caller.head.method)) {
        return exchange(caller, app.lastTarget);
      }
      return hold(context, caller);
    case "failed":
      if (context.clock.now() < state.retryAtMs) {
        return refuse(context, caller, failedAnswer(context, caller, state));
      }
      return hold(context, caller);
    case "asleep":
    case "waking":
    case "stopping":
      return hold(context, caller);
  }
}

function exchange(caller: Caller, target: Target): Exchange {
  const { app, head, admittedMs, failures } = caller;
  return { kind: "forward", app, target, head, admittedMs, failures };
}

function answer(own: Answer): Decision {
  return { kind: "answer", answer: own };
}

/** Gives the lease back, since Paastis answers by itself. */
function refuse(context: GateContext, caller: Caller, own: Answer): Decision {
  context.activity.end(caller.app);
  noteAnswer(caller.app.traffic, own.status, null);
  return answer(own);
}

/** How soon who finds an app in maintenance may ask again, ms. */
const MAINTENANCE_RETRY_MS = 30_000;

/** Nothing goes to the app, and nothing wakes it, until somebody says so. */
function admitPaused(context: GateContext, caller: Caller, pause: Pause): Admission {
  const { app, head } = caller;
  if (pause.kind === "maintenance") return refuse(context, caller, pausedAnswer(app, head, pause));
  const held = context.paused.hold({
    app,
    isUpload: isUpload(head),
    patienceMs: patienceMs(context, caller),
    admit: () => admit(context, caller),
    refuse: (cause) =>
      cause === "stopping"
        ? refuse(context, caller, sentAway(caller))
        : refuse(context, caller, pausedAnswer(app, head, pause)),
    release: () => context.activity.end(app),
  });
  if (held !== null) return held;
  const why = "too many requests wait for it already";
  return refuse(
    context,
    caller,
    errorAnswer({ code: "hold_full", app: app.key, why, retryAfterMs: RETRY_AFTER_MS, head }),
  );
}

function pausedAnswer(app: App, head: RequestHead, pause: Pause): Answer {
  const isWorkedOn = pause.kind === "maintenance";
  const why = isWorkedOn ? pause.message || "it is in maintenance" : "it is paused";
  return errorAnswer({
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
      onSentAway: () => settle(() => refuse(context, caller, sentAway(caller))),
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
    decision: promise,
    abandon() {
      if (settled === "abandoned") return;
      const before = settled;
      settled = "abandoned";
      endWait();
      if (before !== "open" && before.kind === "held") return before.abandon();
      // An answer has given the lease back already; an exchange that nobody follows has not.
      if (before === "open" || before.kind === "forward") context.activity.end(app);
    },
  };
}

function woken(context: GateContext, caller: Caller, outcome: WakeOutcome): Admission {
  const { pause } = caller.app;
  if (pause !== null) return admitPaused(context, caller, pause);
  if (outcome.kind === "awake") return exchange(caller, outcome.target);
  return refuse(context, caller, failedAnswer(context, caller, outcome));
}

function sentAway({ app, head }: Caller): Answer {
  const why = "the app was still waking";
  return errorAnswer({ code: "shutting_down", app: app.key, why, retryAfterMs: RESTART_MS, head });
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
  if (isNavigation(head)) return waitingPage({ app: app.key, elapsedMs, estimateMs });
  return errorAnswer({
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
  return errorAnswer({
    code: failedCode(failure),
    app: caller.app.key,
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
  return errorAnswer({ code: "hold_full", app: app.key, why, retryAfterMs, head });
}

/** The waiting page asks how the wake goes. It takes no lease, but a place among those who wait. */
function admitOnlooker(context: GateContext, app: App, head: RequestHead): Decision {
  if (app.pause !== null) return answer(pausedAnswer(app, head, app.pause));
  const full = context.room.whyFull(app, ONLOOKER);
  if (full !== null) return answer(fullAnswer(context, { app, head }, full));
  return answer(progressAnswer(progressOf(context, { app, head, cause: causeOf(head) })));
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
