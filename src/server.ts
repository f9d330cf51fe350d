/** The story of one request, the same for every engine. */

import type { Activity } from "./activity.ts";
import { errorAnswer } from "./answers.ts";
import { type App, addressOf } from "./app.ts";
import type { Clock } from "./clock.ts";
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
import { messageOf } from "./errors.ts";
import type { DownAnswer } from "./health.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Log } from "./log.ts";
import type { Completeness } from "./provider-lists.ts";
import type { Router } from "./router.ts";
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
  /** Whether something of an app's platform stands before it that may end although the app stays up. */
  readonly hasOwnProxy: (app: App) => boolean;
  /** Whether all providers have listed their apps once. Until then an unknown app may only be unknown yet. */
  readonly completeness: () => Completeness;
  readonly isStopping: () => boolean;
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
      if (isDownPage(deps, exchange, answer)) return foundDown(deps, exchange, replayable);
      if (exchange.app.state.kind === "unknown") sawUp(deps, exchange);
      return null;
    },
    failed: (exchange, failure) =>
      guarded(deps, exchange.head, () => failed(deps, exchange, failure)),
    release: (exchange) => release(deps, exchange),
    refuse: (code, why, head) => errorAnswer({ code, app: null, why, head }),
  };
}

/** A lease given back twice is a mistake of an engine's: it must not end what else is under way. */
function release(deps: ServerDeps, { app }: Exchange): void {
  try {
    deps.activity.end(app);
  } catch (error) {
    deps.log.error({ app: app.key, reason: messageOf(error) }, "please report this mistake");
  }
}

function admit(deps: ServerDeps, head: RequestHead): Admission {
  const route = deps.router.match(head.host);
  if (deps.isStopping()) {
    return say(deps, head, { code: "shutting_down", why: "it was told to stop" });
  }
  switch (route.kind) {
    case "app":
      return deps.gate.admit(route.app, head);
    case "invalid":
      return say(deps, head, { code: "invalid_host", why: route.why });
    case "unknown":
      return say(deps, head, unknownHost(deps, route.label));
  }
}

/** Visitors are not told which platform it is, nor what is wrong with it: the log is. */
const UNKNOWN_YET: Readonly<
  Record<Completeness, { readonly code: AnswerCode; readonly why: string }>
> = {
  complete: { code: "unknown_app", why: "" },
  starting: { code: "starting", why: "not every provider has been asked for its apps yet" },
  stuck: {
    code: "apps_unknown",
    why: "a platform that lists apps cannot be reached at the moment, or does not answer",
  },
};

function unknownHost(
  deps: ServerDeps,
  label: string | null,
): { readonly code: AnswerCode; readonly why: string } {
  const { code, why: notYet } = UNKNOWN_YET[deps.completeness()];
  if (code !== "unknown_app") return { code, why: notYet };
  const why =
    label === null ? "an address names no app" : `there is no app with the key "${label}"`;
  return { code: "unknown_app", why };
}

function say(
  deps: ServerDeps,
  head: RequestHead,
  what: { readonly code: AnswerCode; readonly why: string; readonly app?: App },
): Decision {
  const retryAfterMs = RETRY_AFTER_MS[what.code];
  const answer: Answer = errorAnswer({
    code: what.code,
    app: what.app?.key ?? null,
    why: what.why,
    head,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
  deps.log.debug({ code: what.code, host: head.host, reason: what.why }, "answered by Paastis");
  return { kind: "answer", answer };
}

/** Whether the platform speaks rather than the app, and says that the app is down. */
function isDownPage(deps: ServerDeps, { app }: Exchange, answer: AnswerHead): boolean {
  return deps.downAnswerOf(app)?.(answer.status, answer.header, app.ref.id) === true;
}

/** The platform said that the app is down: a request that can be sent once more follows its wake. */
function foundDown(deps: ServerDeps, exchange: Exchange, replayable: boolean): Admission | null {
  const { app, target, head } = exchange;
  if (exchange.failures >= FAILURES_MAX) return null;
  deps.lifecycle.targetIsDown(app, target, causeOf(head));
  // It cannot be sent again, but whoever sent it can come back: the platform's page would not say so.
  if (!replayable) return wakingInstead(deps, exchange);
  return deps.gate.readmit(exchange);
}

function wakingInstead(deps: ServerDeps, { app, head }: Exchange): Admission {
  deps.activity.end(app);
  return say(deps, head, { code: "app_waking", why: "it was down; its wake has begun", app });
}

/** An app that answers is up: nobody has to ask its platform any more. */
function sawUp({ lifecycle }: ServerDeps, { app, target }: Exchange): void {
  lifecycle.observe(app, { observation: { phase: "awake", target } });
}

function failed(deps: ServerDeps, exchange: Exchange, failure: ForwardFailure): Admission {
  const { app, target, head } = exchange;
  if (failure.kind === "unreachable") deps.lifecycle.targetIsDown(app, target, causeOf(head));
  if (mayTryAgain(deps, exchange, failure)) return deps.gate.readmit(exchange);
  deps.activity.end(app);
  const code: AnswerCode = `upstream_${failure.kind}`;
  // Where the app runs is for the log: visitors need not know our ports.
  const fields = { app: app.key, code, reason: failure.message, target: addressOf(target) };
  deps.log.warn(fields, "could not be forwarded");
  return say(deps, head, { code, why: WHY[failure.kind], app });
}

/** What visitors are told; the log has the details. */
const WHY: Readonly<Record<ForwardFailure["kind"], string>> = {
  unreachable: "no connection could be made",
  broken: "the connection ended before there was an answer",
  timeout: "it took too long",
  exhausted: "too many connections are open",
};

/** An app that ended under a request is as good as one that was down: the request goes to its successor. */
function mayTryAgain(deps: ServerDeps, exchange: Exchange, failure: ForwardFailure): boolean {
  const { app, failures } = exchange;
  if (!failure.replayable || failures >= FAILURES_MAX) return false;
  if (failure.kind === "unreachable") return true;
  if (failure.kind !== "broken") return false;
  return app.state.kind !== "awake" || (failures === 0 && deps.hasOwnProxy(app));
}

/** A mistake of ours is answered and logged under one reference; it never ends the program. */
function guarded(deps: ServerDeps, head: RequestHead, work: () => Admission): Admission {
  try {
    return work();
  } catch (error) {
    const reference = deps.clock.now().toString(36);
    deps.log.error({ reference, reason: messageOf(error) }, "a request broke: please report it");
    const answer = errorAnswer({
      code: "internal",
      app: null,
      why: "an unexpected error",
      reference,
      head,
    });
    return { kind: "answer", answer };
  }
}
