/** The story of one request, the same for every engine. */

import type { Activity } from "./activity.ts";
import type { AdminEntry } from "./admin-entry.ts";
import type { Answers } from "./answers.ts";
import { type App, addressOf, type Target } from "./app.ts";
import { KEEP_AWAKE_HEADER, noteKeepAwake } from "./busy.ts";
import type { Clock } from "./clock.ts";
import { afterwards, type Doubts } from "./doubts.ts";
import { type EarlyRequests, FIRST_LISTS_MS } from "./early-requests.ts";
import type {
  Admission,
  Answer,
  AnswerHead,
  Decision,
  Exchange,
  ForwardFailure,
  RequestHandler,
  RequestHead,
} from "./engines/engine.ts";
import type { AnswerCode } from "./errors.ts";
import { ANSWER_CODES, messageOf } from "./errors.ts";
import type { DownAnswer } from "./health.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Log } from "./log.ts";
import type { Completeness } from "./provider-lists.ts";
import type { Route, Router } from "./router.ts";
import { noteAnswer, noteFailure } from "./traffic.ts";
import type { Gate } from "./wake.ts";
import { causeOf } from "./wake.ts";

/** Everything a request passes through. */
export interface ServerDeps {
  readonly router: Router<App>;
  readonly gate: Gate;
  readonly lifecycle: Lifecycle;
  readonly activity: Activity;
  readonly clock: Clock;
  readonly log: Log;
  /** How an app's platform says "down"; `null` for platforms that have no such answer. */
  readonly downAnswerOf: (app: App) => DownAnswer | null;
  /** Looks at an app whose answer may be its platform's. */
  readonly doubts: Doubts;
  /** Whether somebody else restarts an app in its place, or what stands before it. */
  readonly isRestartedByOthers: (app: App) => boolean;
  /** Whether all providers have listed their apps once. Until then an unknown app may only be unknown yet. */
  readonly completeness: () => Completeness;
  /** Whether a provider has answered, or failed to, at least once. */
  readonly wasAsked: (provider: string) => boolean;
  readonly isStopping: () => boolean;
  /** Where requests wait for the first lists. */
  readonly early: EarlyRequests;
  /** Takes requests for the admin endpoints. */
  readonly admin: AdminEntry;
  /** Clients read why a request could not be forwarded, and where to. */
  readonly verboseErrors: boolean;
  readonly answers: Answers;
  /** Answers to requests that led to no app, by code; counted here. */
  readonly strays: Map<AnswerCode, number>;
}

/** How often one request may be forwarded anew after its target turned out to be down. */
const FAILURES_MAX = 3;
/** What a client is told to wait where nobody can say how long it takes, ms. */
const SOON_MS = 2000;
/** A platform that does not answer is asked again about once a minute, ms. */
const LATER_MS = 30_000;
const RETRY_AFTER_MS: Readonly<Partial<Record<AnswerCode, number>>> = {
  app_waking: SOON_MS,
  apps_unknown: LATER_MS,
  shutting_down: SOON_MS,
  starting: SOON_MS,
  upstream_exhausted: SOON_MS,
};

/** The core, as engines see it. */
export function createServer(deps: ServerDeps): RequestHandler {
  return {
    admit: (head) => guarded(deps, head, () => admit(deps, head)),
    answered(exchange, answer, replayable) {
      const instead = deps.admin.answered(exchange, answer);
      if (instead !== null) return handedBack(deps, exchange, instead);
      if (isDownPage(deps, exchange, answer)) return foundDown(deps, exchange, replayable);
      if (answer.status >= 500) {
        const doubted = doubt(deps, exchange, { status: answer.status, replayable });
        if (doubted !== null) return doubted;
      }
      if (exchange.app.state.kind === "unknown") sawUp(deps, exchange);
      exchange.status = answer.status;
      noteAnswer(exchange.app.traffic, answer.status, tallied(exchange));
      if (exchange.app.policy.keepAwakeHeaderMaxMs !== null) hearOut(deps, exchange.app, answer);
      return null;
    },
    failed: (exchange, failure) =>
      guarded(deps, exchange.head, () => failed(deps, exchange, failure)),
    release: (exchange) => release(deps, exchange),
    rest({ app, ignored }) {
      if (ignored === null) deps.activity.rest(app);
      else deps.activity.endUnused(app);
    },
    closed(exchange) {
      const { app, ignored } = exchange;
      if (ignored === null) deps.activity.endRested(app, exchange);
    },
    resume({ app }) {
      deps.activity.resume(app);
      if (app.state.kind === "draining") deps.lifecycle.cancelDrain(app);
    },
    refuse(code, why, head) {
      noteStray(deps, code);
      return deps.answers.error({ code, app: null, why, head });
    },
  };
}

function noteStray({ strays }: ServerDeps, code: AnswerCode): void {
  strays.set(code, (strays.get(code) ?? 0) + 1);
}

/** A lease given back twice is a mistake of an engine's: it must not end what else is under way. */
function release(deps: ServerDeps, exchange: Exchange): void {
  const { app, ignored } = exchange;
  try {
    if (ignored === null) deps.activity.end(app, exchange);
    else deps.activity.endUnused(app, exchange);
  } catch (error) {
    deps.log.error({ app: app.key, reason: messageOf(error) }, "please report this mistake");
  }
}

function admit(deps: ServerDeps, head: RequestHead): Admission {
  const forAdmin = deps.admin.admit(head);
  if (forAdmin !== null) return forAdmin;
  const route = deps.router.match(head.host);
  const held = isTooEarly(deps, route) ? holdEarly(deps, head, route) : null;
  return held ?? follow(deps, head, { route });
}

/** A list is on its way that will say whether there is such an app, or how it is: that is worth a moment. */
function isTooEarly(deps: ServerDeps, route: Route<App>): boolean {
  switch (route.kind) {
    case "app":
      return route.app.state.kind === "unknown" && !deps.wasAsked(route.app.ref.provider);
    case "invalid":
      return false;
    case "unknown":
      return deps.completeness() === "starting";
  }
}

/**
 * So long after the start an app that an earlier run knew is not tried where it was then, ms: on this machine somebody
 * else may listen there by now. A platform that takes longer does not keep anybody from an app that is up.
 */
const RESTORED_MS = 1000;

function holdEarly(deps: ServerDeps, head: RequestHead, { kind }: Route<App>): Admission | null {
  const admittedMs = deps.clock.now();
  const matched = () => deps.router.match(head.host);
  return deps.early.hold(head, {
    untilStartedMs: kind === "app" ? RESTORED_MS : FIRST_LISTS_MS,
    isTooEarly: () => isTooEarly(deps, matched()),
    admit: () =>
      guarded(deps, head, () => {
        // A host that no app has come for may be ours.
        const forAdmin = deps.admin.admit(head);
        return forAdmin ?? follow(deps, head, { route: matched(), admittedMs });
      }),
    release: (exchange) => release(deps, exchange),
  });
}

/** @param options.admittedMs when it first came, ms since the epoch; left out: now */
function follow(
  deps: ServerDeps,
  head: RequestHead,
  options: { readonly route: Route<App>; readonly admittedMs?: number },
): Admission {
  const { route, admittedMs } = options;
  if (deps.isStopping()) return say(deps, head, STOPPING);
  switch (route.kind) {
    case "app":
      return deps.gate.admit(route.app, head, admittedMs);
    case "invalid":
      return say(deps, head, { code: "invalid_host", why: route.why });
    case "unknown":
      return say(deps, head, unknownHost(deps.completeness(), route.label));
  }
}

/** What Paastis says itself. Visitors are not told which platform it is, nor what is wrong with it: the log is. */
interface Words {
  readonly code: AnswerCode;
  readonly why: string;
}

const STOPPING: Words = { code: "shutting_down", why: "it was told to stop" };
const UNKNOWN_YET: Readonly<Record<Exclude<Completeness, "complete">, Words>> = {
  starting: { code: "starting", why: "not every provider has been asked for its apps yet" },
  stuck: {
    code: "apps_unknown",
    why: "a platform that lists apps cannot be reached at the moment, or does not answer",
  },
};

function unknownHost(completeness: Completeness, label: string | null): Words {
  if (completeness !== "complete") return UNKNOWN_YET[completeness];
  const why =
    label === null ? "an address names no app" : `there is no app with the key "${label}"`;
  return { code: "unknown_app", why };
}

function say(deps: ServerDeps, head: RequestHead, what: Words & { readonly app?: App }): Decision {
  if (what.app === undefined) noteStray(deps, what.code);
  const retryAfterMs = RETRY_AFTER_MS[what.code];
  const answer: Answer = deps.answers.error({
    code: what.code,
    app: what.app?.key ?? null,
    why: what.why,
    head,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
  deps.log.debug({ code: what.code, host: head.host, reason: what.why }, "answered by Paastis");
  return { kind: "answer", answer, ...(what.app === undefined ? {} : { app: what.app }) };
}

/** The admin endpoints have done their part. */
function handedBack(deps: ServerDeps, exchange: Exchange, instead: Decision): Decision {
  if (instead.kind === "answer") exchange.status = instead.answer.status;
  release(deps, exchange);
  return instead;
}

/** Whether the platform speaks rather than the app, and says that the app is down. */
function isDownPage(deps: ServerDeps, { app }: Exchange, answer: AnswerHead): boolean {
  if (deps.admin.isOurs(app)) return false;
  return deps.downAnswerOf(app)?.(answer.status, answer.header, app.ref.id) === true;
}

/** The app may say that it has something to do. */
function hearOut({ clock }: ServerDeps, app: App, answer: AnswerHead): void {
  const said = answer.header(KEEP_AWAKE_HEADER);
  if (said !== null) noteKeepAwake(app, said, clock.now());
}

/** The platform said that the app is down: a request that can be sent once more follows its wake. */
function foundDown(deps: ServerDeps, exchange: Exchange, replayable: boolean): Admission | null {
  const { app, target, head } = exchange;
  if (exchange.failures >= FAILURES_MAX) return null;
  const refusal = deps.gate.turnAway(exchange);
  if (refusal !== null) return refusal;
  deps.lifecycle.targetIsDown(app, target, causeOf(head));
  // It cannot be sent again, but whoever sent it can come back: the platform's page would not say so.
  if (!replayable) return wakingInstead(deps, exchange);
  return deps.gate.readmit(exchange);
}

/** What took its time already is not asked for twice. */
const TOOK_LONG = 504;

/**
 * Nobody can tell whether the platform has said that: a request that can be sent once more waits for a look, and others
 * are passed on meanwhile.
 */
function doubt(
  deps: ServerDeps,
  exchange: Exchange,
  { status, replayable }: { readonly status: number; readonly replayable: boolean },
): Admission | null {
  const { app, target, head } = exchange;
  if (deps.admin.isOurs(app) || exchange.failures >= FAILURES_MAX) return null;
  if (exchange.ignored !== null) return null;
  const looking = deps.doubts.look(app, status)?.then((isDown) => {
    if (isDown) deps.lifecycle.targetIsDown(app, target, causeOf(head));
  });
  if (looking === undefined || !replayable || status === TOOK_LONG) return null;
  return afterwards(looking, {
    admit: () => guarded(deps, head, () => deps.gate.readmit(exchange)),
    leave: () => release(deps, exchange),
  });
}

function wakingInstead(deps: ServerDeps, exchange: Exchange): Admission {
  const why = "it was down; its wake has begun";
  return sayInstead(deps, exchange, { code: "app_waking", why });
}

/** Hands the exchange back, and answers for its app. */
function sayInstead(deps: ServerDeps, exchange: Exchange, words: Words): Decision {
  const { app, head } = exchange;
  exchange.status = ANSWER_CODES[words.code].status;
  release(deps, exchange);
  const decision = say(deps, head, { ...words, app });
  noteAnswer(app.traffic, exchange.status, null);
  return decision;
}

/** An app that answers is up: nobody has to ask its platform any more. */
function sawUp({ lifecycle }: ServerDeps, { app, target }: Exchange): void {
  lifecycle.observe(app, { observation: { phase: "awake", target } });
}

function failed(deps: ServerDeps, exchange: Exchange, failure: ForwardFailure): Admission {
  const { app, target, head } = exchange;
  noteForwardFailure(deps, exchange, failure);
  if (deps.admin.isOurs(app)) return sayFailed(deps, exchange, failure);
  if (failure.kind === "unreachable") {
    const refusal = deps.gate.turnAway(exchange);
    if (refusal !== null) return refusal;
    deps.lifecycle.targetIsDown(app, target, causeOf(head));
  }
  if (mayTryAgain(deps, exchange, failure)) return deps.gate.readmit(exchange);
  return sayFailed(deps, exchange, failure);
}

/** A request is one outcome, however often it was sent. */
function tallied({ failures, target }: Exchange): Target | null {
  return failures === 0 ? target : null;
}

/** That the client left says nothing about the target; and what we ourselves lack or end does not either. */
function noteForwardFailure({ clock }: ServerDeps, exchange: Exchange, failure: ForwardFailure) {
  const { app, target } = exchange;
  if (failure.kind === "exhausted" || failure.kind === "retired") return;
  const { kind, message } = failure;
  const facts = { code: `upstream_${kind}`, message, target: addressOf(target), atMs: clock.now() };
  noteFailure(app.traffic, tallied(exchange), facts);
}

function sayFailed(deps: ServerDeps, exchange: Exchange, failure: ForwardFailure): Decision {
  const { app, target } = exchange;
  const code: AnswerCode = `upstream_${failure.kind}`;
  const address = addressOf(target);
  const fields = { app: app.key, code, reason: failure.message, target: address };
  deps.log.warn(fields, "could not be forwarded");
  // Where the app runs is for the log: visitors need not know our ports.
  const more = deps.verboseErrors ? ` (${address}: ${failure.message})` : "";
  return sayInstead(deps, exchange, { code, why: WHY[failure.kind] + more });
}

/** What visitors are told; the log has the details. */
const WHY: Readonly<Record<ForwardFailure["kind"], string>> = {
  unreachable: "no connection could be made",
  broken: "the connection ended before there was an answer",
  timeout: "it took too long",
  retired: "it was still with the old version when its time was over",
  exhausted: "too many connections are open",
};

/** An app that ended under a request is as good as one that was down: the request goes to its successor. */
function mayTryAgain(deps: ServerDeps, exchange: Exchange, failure: ForwardFailure): boolean {
  const { app, failures } = exchange;
  if (!failure.replayable || failures >= FAILURES_MAX) return false;
  if (failure.kind === "unreachable" || failure.kind === "retired") return true;
  if (failure.kind !== "broken") return false;
  if (app.state.kind !== "awake" || addressOf(app.state.target) !== addressOf(exchange.target))
    return true;
  return failures === 0 && deps.isRestartedByOthers(app);
}

/** A mistake of ours is answered and logged under one reference; it never ends the program. */
function guarded(deps: ServerDeps, head: RequestHead, work: () => Admission): Admission {
  try {
    return work();
  } catch (error) {
    const reference = deps.clock.now().toString(36);
    deps.log.error({ reference, reason: messageOf(error) }, "a request broke: please report it");
    const answer = deps.answers.error({
      code: "internal",
      app: null,
      why: "an unexpected error",
      reference,
      head,
    });
    return { kind: "answer", answer };
  }
}
