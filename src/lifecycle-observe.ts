/** What was seen from outside, against the state we hold. Called by the lifecycle alone. */

import type { App, AppState, Target } from "./app.ts";
import { addressOf, isInTransit } from "./app.ts";
import type { Cause } from "./events.ts";
import { blockedBecause } from "./last-word.ts";
import { runsElsewhere, speaksFor } from "./lifecycle-claim.ts";
import type { LifecycleContext } from "./lifecycle-context.ts";
import {
  apply,
  cancelDrain,
  hasLivedLong,
  noteSnapshot,
  noteWord,
  retryAtMs,
  runOf,
  tell,
} from "./lifecycle-context.ts";
import type { Observation } from "./providers/provider.ts";
import { ProviderError } from "./providers/provider.ts";
import { publicWhyOf } from "./public-why.ts";

/** What was seen of an app, and which state it was in as the look began. */
export interface Seen {
  readonly observation: Observation;
  readonly since?: AppState;
}

/** Corrects what we hold by what was seen. */
export function observe(context: LifecycleContext, app: App, seen: Seen): void {
  const { observation, since } = seen;
  if (runsElsewhere(context, app)) return;
  // States are replaced, never changed: another object means that something happened since.
  if (since !== undefined && since !== app.state) return;
  noteWord(context, app, observation);
  if (app.state.kind === "waking" && since === undefined) endWakeEarly(context, app, observation);
  // What ended by itself while it drains needs no stop: the sleep finds that out, and gives up.
  if (hasEnded(observation) && app.state.kind === "draining") {
    cancelDrain(context, app, "it has ended by itself");
  }
  if (isInTransit(app.state)) return;
  // Its address is all that the list knows of such an app: that it answers must be seen by a wake.
  if (app.sleepsByItself && app.state.kind === "failed") return;
  const before = app.state;
  const { halfDone } = runOf(context, app);
  const isNewSize = noteSnapshot(app, observation);
  const hasChanged = applyObservation(context, app, observation);
  if (!speaksFor(context, app)) return;
  // Told first: what is stored of a failure names the event that told of it.
  if (hasChanged) {
    tellOutsideChange(context, app, { before: halfDone ?? before.kind, observation });
  }
  if (hasChanged || isNewSize) context.rememberLater(app);
}

function hasEnded({ phase }: Observation): boolean {
  return phase === "failed" || phase === "asleep" || phase === "blocked";
}

/** The provider reports that what we wait for has ended: no need to wait for the time-out. */
function endWakeEarly(context: LifecycleContext, app: App, observation: Observation): void {
  if (!hasEnded(observation)) return;
  // The end of a stop that somebody else had begun: the wake comes after it.
  if (observation.phase === "asleep" && !runOf(context, app).isOrdered) return;
  const isOver = observation.phase === "asleep" ? " before it answered" : "";
  const why =
    observation.phase === "blocked"
      ? blockedBecause(observation)
      : `${observation.reason ?? `it is ${observation.phase}`}${isOver}`;
  runOf(context, app).abort?.abort(failureOf(context, app, why));
}

/** What we run ourselves ends for a reason that is the app's own; a platform's words are for the log. */
function failureOf(context: LifecycleContext, app: App, why: string): Error {
  const isOurs = context.providerOf(app).capabilities.listsDeclaredApps;
  return isOurs ? new Error(why) : new ProviderError("failed", why);
}

function applyObservation(context: LifecycleContext, app: App, observation: Observation): boolean {
  switch (observation.phase) {
    case "asleep":
    // Somebody else stops it: what is sent there now is lost, and a wake waits for the end of that.
    case "stopping":
      return apply(context, app, { kind: "observed", as: "asleep" });
    case "awake": {
      const target = observation.target ?? app.lastTarget;
      return target !== null && apply(context, app, { kind: "observed", as: "awake", target });
    }
    case "unmanaged": {
      // Requests go to it as it is; there is nothing to wake or to put to sleep.
      const { target } = observation;
      return target !== null && apply(context, app, { kind: "observed", as: "awake", target });
    }
    case "failed":
    case "blocked":
      return applyFailure(context, app, observation);
    default:
      return false;
  }
}

/** An app that lived long before it crashed is woken again without a pause. */
function applyFailure(context: LifecycleContext, app: App, observation: Observation): boolean {
  const run = runOf(context, app);
  const hasCrashed = observation.phase === "failed";
  const why = hasCrashed
    ? (observation.reason ?? "the platform says it failed")
    : blockedBecause(observation);
  const publicWhy = publicWhyOf(failureOf(context, app, why));
  const livedLong = hasLivedLong(context, app.state);
  const failures = livedLong ? 0 : run.failures + 1;
  const retryAt = livedLong ? context.clock.now() : retryAtMs(context, failures);
  const failure = { why, publicWhy, hasCrashed, retryAtMs: retryAt };
  if (!apply(context, app, { kind: "observed", as: "failed", ...failure })) return false;
  run.failures = failures;
  return true;
}

/** A request has found out that the app is not up any more: who tells of its wake tells that before. */
export function tellEnd(context: LifecycleContext, app: App, observation: Observation): void {
  const { phase, reason = "" } = observation;
  if (!hasEnded(observation) && phase !== "stopping") return;
  const name = phase === "failed" ? "APP_CRASHED" : "APP_STOPPED";
  tell(context, app, { name, cause: { kind: "outside", detail: noticedOf(context, app) }, reason });
}

/** A request has found out that somebody else has started the app. */
export function tellUp(context: LifecycleContext, app: App, target: Target): void {
  const cause: Cause = { kind: "outside", detail: noticedOf(context, app) };
  tell(context, app, { name: "APP_STARTED", cause, details: { target: addressOf(target) } });
}

function tellOutsideChange(
  context: LifecycleContext,
  app: App,
  change: { readonly before: App["state"]["kind"]; readonly observation: Observation },
): void {
  const { before, observation } = change;
  // The first look after a start is not a change.
  if (before === "unknown" || isAsBefore(before, app.state.kind)) return;
  const reason = observation.reason ?? "";
  const cause: Cause = { kind: "outside", detail: noticedOf(context, app) };
  if (app.state.kind === "asleep") tell(context, app, { name: "APP_STOPPED", cause, reason });
  if (app.state.kind === "failed") {
    const name = observation.phase === "blocked" ? "APP_STOPPED" : "APP_CRASHED";
    tell(context, app, { name, cause, reason });
  }
  if (app.state.kind !== "awake") return;
  const details = { target: addressOf(app.state.target) };
  tell(context, app, {
    name: before === "awake" ? "APP_SWITCHED" : "APP_STARTED",
    cause,
    reason,
    details,
  });
}

/** What somebody was about to do has come to nothing. */
function isAsBefore(before: App["state"]["kind"], now: App["state"]["kind"]): boolean {
  return (before === "waking" && now === "asleep") || (before === "stopping" && now === "awake");
}

/** What was seen of an app that changed without us, and by whom. */
function noticedOf(context: LifecycleContext, app: App): string {
  const isUp = app.state.kind === "awake";
  if (context.providerOf(app).capabilities.listsDeclaredApps) {
    return isUp ? "noticed: it runs" : "noticed: its process ended";
  }
  return `noticed on ${app.ref.provider}: it is ${isUp ? "up" : "not up any more"}`;
}
