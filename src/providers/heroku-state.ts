/** From an app, its formation and its dynos to a phase: no answer of Heroku's says it alone. Pure. */

import type { HerokuApp, HerokuDyno, HerokuType } from "./heroku-json.ts";
import { safeText } from "./platform-quote.ts";
import type { Observation } from "./provider.ts";

/** Everything that one look at an app saw. */
export interface HerokuLook {
  readonly app: HerokuApp;
  readonly formation: readonly HerokuType[];
  readonly dynos: readonly HerokuDyno[];
  /** All its web dynos have crashed, and had at the look before this one, too: Heroku tries by itself once. */
  readonly hadCrashed: boolean;
}

/** Why an app that is out in the open, but behind a Private Space's router, is none of ours. */
export const NO_ADDRESS = "it has no web_url: it can be reached inside its Private Space only";
const NO_WEB = "it has no process type web, which alone gets requests";
const NEVER_DEPLOYED = "it was never deployed: it has no process types";

/** What the words of Heroku mean. Source: platform-api schema, `dyno.state`; Dev Center, "Heroku Error Codes". */
export function observationOf(look: HerokuLook): Observation {
  const { app, formation, dynos } = look;
  const { target } = app;
  const said = (phase: Observation["phase"], reason?: string): Observation =>
    reason === undefined ? { phase, target } : { phase, target, reason };
  const hindrance = whyUnmanaged(app, formation);
  if (hindrance !== null) return said("unmanaged", hindrance);
  const webDynos = webDynosOf(dynos);
  const hasWeb = quantityOf(formation, "web") > 0;
  if (!hasWeb && webDynos.length === 0) return said("asleep");
  if (app.isInMaintenance) return said("blocked", maintenanceOf(app));
  if (!hasWeb) return said("stopping", "its last dynos are being shut down");
  if (isReleasing(dynos)) return said("deploying", "its release phase is running");
  return webObservation(look, webDynos);
}

function webObservation(
  { app: { target }, hadCrashed }: HerokuLook,
  webDynos: readonly HerokuDyno[],
): Observation {
  if (isServed(webDynos)) return { phase: "awake", target };
  if (areAllCrashed(webDynos)) {
    return hadCrashed
      ? { phase: "failed", target, reason: crashOf(webDynos) }
      : { phase: "waking", target, reason: `${crashOf(webDynos)}; Heroku tries once more` };
  }
  const word = webDynos.find(({ state }) => !KNOWN_STATES.has(state))?.state;
  if (word !== undefined) {
    const reason = `Heroku says that a web dyno of it is "${safeText(word)}"`;
    return { phase: "unknown", target, reason };
  }
  return { phase: "waking", target, reason: "its web dynos are starting" };
}

const KNOWN_STATES: ReadonlySet<string> = new Set(["crashed", "down", "idle", "starting", "up"]);

/** Why there is nothing to put to sleep and to wake; `null` when there is. */
export function whyUnmanaged(app: HerokuApp, formation: readonly HerokuType[]): string | null {
  if (app.target === null) return NO_ADDRESS;
  if (formation.length === 0) return NEVER_DEPLOYED;
  return formation.some(({ type }) => type === "web") ? null : NO_WEB;
}

/** Why an app in maintenance mode cannot be used, and what to do. */
export function maintenanceOf({ name }: HerokuApp): string {
  return `its maintenance mode is on: \`heroku maintenance:off --app ${name}\` ends it`;
}

/** Why an app does not come up whose web dynos have all crashed. */
export function crashOf(webDynos: readonly HerokuDyno[]): string {
  const names = webDynos.map(({ name }) => name).join(", ");
  return `all its web dynos have crashed (${safeText(names)}): its log says why`;
}

/** The dynos that get requests. */
export function webDynosOf(dynos: readonly HerokuDyno[]): readonly HerokuDyno[] {
  return dynos.filter(({ type }) => type === "web");
}

/** Whether a web dyno answers, or will: an idle one is woken by the request itself. */
export function isServed(webDynos: readonly HerokuDyno[]): boolean {
  return webDynos.some(({ state }) => state === "up" || state === "idle");
}

/** `false` when there is none. */
export function areAllCrashed(webDynos: readonly HerokuDyno[]): boolean {
  return webDynos.length > 0 && webDynos.every(({ state }) => state === "crashed");
}

/** A release phase runs in a dyno of its own. */
function isReleasing(dynos: readonly HerokuDyno[]): boolean {
  return dynos.some(({ type, state }) => type === "release" && /^(?:starting|up)$/.test(state));
}

/**
 * Whether Heroku itself puts the app to sleep. Source: Dev Center, "Eco Dyno Hours": all Eco dynos of an app sleep
 * after 30 minutes without a request, and a request wakes them.
 */
export function sleepsByItself(formation: readonly HerokuType[]): boolean {
  return formation.some(({ type, size }) => type === "web" && size.toLowerCase() === "eco");
}

/** 0 for a process type that there is not. */
export function quantityOf(formation: readonly HerokuType[], type: string): number {
  return formation.find((entry) => entry.type === type)?.quantity ?? 0;
}
