/** What is said of one app: who holds it awake, when it sleeps, what its last wake was. Pure. */

import type { AppSummary, LastWake, ShownEvent } from "../../admin/views.ts";
import { agoText, countdownText, countText, durationText, sentence, wholeText } from "./words.ts";

/** Who uses it now; empty: nobody. */
export function usersText(app: Pick<AppSummary, "leases" | "leasesElsewhere" | "waiting">): string {
  const { leases, leasesElsewhere, waiting } = app;
  const served = Math.max(0, leases - waiting);
  return [
    served > 0 ? `${countText(served, "request or socket", "requests or sockets")}` : "",
    waiting > 0 ? `${countText(waiting, "visitor")} waiting` : "",
    leasesElsewhere > 0 ? `${countText(leasesElsewhere, "request")} at other instances` : "",
  ]
    .filter((part) => part !== "")
    .join(", ");
}

/** Whether to put it to sleep would take it from somebody. */
export function isInUse({ leases, leasesElsewhere }: AppSummary): boolean {
  return leases + leasesElsewhere > 0;
}

/** In one line: who holds it awake, or why it is as it is. @param nowMs the server's time */
export function whyText(app: AppSummary, nowMs: number): string {
  const { failure, keptAwakeUntil, lastUsed, pause, phase } = app;
  const users = usersText(app);
  if (pause !== null) return pauseText(pause, users, nowMs);
  if (phase === "failed") return sentence(failure ?? "nobody knows why");
  if (users !== "") return sentence(phase === "awake" ? `in use: ${users}` : users);
  if (keptAwakeUntil !== null) {
    return `Kept awake by an operator for ${wholeText(Date.parse(keptAwakeUntil) - nowMs)}`;
  }
  switch (phase) {
    case "awake":
      return sentence(decisionText(app, nowMs));
    case "asleep":
      return lastUsed === null
        ? "Not used since Paastis knows it"
        : `Last used ${agoText(Date.parse(lastUsed), nowMs)}`;
    case "waking":
      return app.lastWake === null ? "Being started" : `For ${app.lastWake.cause}`;
    case "draining":
      return "About to sleep: the last requests end";
    case "stopping":
      return "Being stopped";
    case "unknown":
      return "Its platform has not said yet how it is";
  }
}

/** Why it is left awake, to follow its name: rows come when something happens, and meanwhile the time goes on. */
export function decisionText({ idleSince, next }: AppSummary, nowMs: number): string {
  if (idleSince === null) return next.why;
  return next.why.replace(
    /^was used .+? ago\b/,
    `was used ${agoText(Date.parse(idleSince), nowMs)}`,
  );
}

function pauseText(
  { kind, message, until }: NonNullable<AppSummary["pause"]>,
  users: string,
  nowMs: number,
): string {
  const what = kind === "paused" ? "Requests wait" : "Visitors are told that it is in maintenance";
  const end = until === null ? "" : `, for ${wholeText(Date.parse(until) - nowMs)} more`;
  const said = message === null || message === "" ? "" : `: “${message}”`;
  return `${what}${end}${said}${users === "" ? "" : `; ${users}`}`;
}

/** The countdown's text; `null`: there is none. */
export function sleepsInText(app: AppSummary, nowMs: number): string | null {
  if (app.phase !== "awake" || app.next.sleepsAt === null) return null;
  const leftMs = Date.parse(app.next.sleepsAt) - nowMs;
  return leftMs <= 0 ? "any moment" : countdownText(leftMs);
}

/** How long it took, or what became of it. */
export function wakeOutcomeText({ at, durationMs, failure }: LastWake, nowMs: number): string {
  if (failure !== null) return "failed";
  return durationMs === null
    ? `${wholeText(Math.max(0, nowMs - Date.parse(at)))} so far`
    : durationText(durationMs);
}

/** What an event is called, and how it is meant. */
export type EventTone = "good" | "bad" | "quiet" | "plain";

const EVENTS: Readonly<Record<string, readonly [words: string, tone: EventTone]>> = {
  APP_DISCOVERED: ["Found", "quiet"],
  APP_REGISTERED: ["Taken in", "quiet"],
  APP_UNREGISTERED: ["Gone", "quiet"],
  APP_WAKING: ["Waking", "plain"],
  APP_STARTED: ["Awake", "good"],
  APP_START_FAILED: ["Could not be woken", "bad"],
  APP_STOPPING: ["Going to sleep", "plain"],
  APP_STOPPED: ["Asleep", "plain"],
  APP_STOP_FAILED: ["Could not be put to sleep", "bad"],
  APP_STOP_CANCELLED: ["Sleep called off", "quiet"],
  APP_STOP_VETOED: ["Sleep vetoed", "quiet"],
  APP_CRASHED: ["Crashed", "bad"],
  APP_SWITCHED: ["Switched", "good"],
  APP_SWITCH_REFUSED: ["Switch refused", "bad"],
  APP_ROLLED_BACK: ["Rolled back", "bad"],
  APP_ROLLBACK_FAILED: ["Rollback failed", "bad"],
  APP_DRAINED: ["Old target drained", "quiet"],
  APP_UNHEALTHY: ["Unhealthy", "bad"],
  APP_HEALTHY: ["Healthy again", "good"],
  APP_PAUSED: ["Paused", "plain"],
  APP_RESUMED: ["Resumed", "good"],
  APP_KEPT_AWAKE: ["Kept awake", "good"],
  APP_KEPT_AWAKE_ENDED: ["No longer kept awake", "plain"],
  HOOK_FAILED: ["Hook failed", "bad"],
};

/** For people: `Awake after 2.1 s`. */
export function eventWords({ name, details }: ShownEvent): {
  readonly words: string;
  readonly tone: EventTone;
} {
  const fallback = sentence(name.toLowerCase().replaceAll("_", " "));
  const [words, tone] = EVENTS[name] ?? [fallback, "plain"];
  const { durationMs } = details;
  const after = typeof durationMs === "number" ? ` after ${durationText(durationMs)}` : "";
  return { words: `${words}${after}`, tone };
}
