/** Events, said in the log. */

import type { EventName, PaastisEvent } from "./events.ts";
import type { LastSaid } from "./last-said.ts";
import { createLastSaid, withoutFigures } from "./last-said.ts";
import type { Log } from "./log.ts";

type Level = "debug" | "info" | "warn" | "error";

/** How loud each event is. */
const LEVELS: Readonly<Record<EventName, Level>> = {
  APP_DISCOVERED: "debug",
  APP_REGISTERED: "info",
  APP_UNREGISTERED: "info",
  APP_WAKING: "info",
  APP_STARTED: "info",
  APP_START_FAILED: "warn",
  APP_STOPPING: "info",
  APP_STOPPED: "info",
  APP_STOP_FAILED: "warn",
  APP_STOP_CANCELLED: "info",
  APP_STOP_VETOED: "warn",
  APP_CRASHED: "warn",
  APP_SWITCHED: "info",
  APP_SWITCH_REFUSED: "warn",
  APP_ROLLED_BACK: "warn",
  APP_ROLLBACK_FAILED: "error",
  APP_DRAINED: "info",
  APP_UNHEALTHY: "warn",
  APP_HEALTHY: "info",
  APP_PAUSED: "info",
  APP_RESUMED: "info",
  APP_KEPT_AWAKE: "info",
  APP_KEPT_AWAKE_ENDED: "info",
  HOOK_FAILED: "warn",
};

const MESSAGES: Readonly<Record<EventName, string>> = {
  APP_DISCOVERED: "discovered",
  APP_REGISTERED: "registered",
  APP_UNREGISTERED: "unregistered",
  APP_WAKING: "waking",
  APP_STARTED: "awake",
  APP_START_FAILED: "could not be woken",
  APP_STOPPING: "going to sleep",
  APP_STOPPED: "asleep",
  APP_STOP_FAILED: "could not be put to sleep",
  APP_STOP_CANCELLED: "stays awake",
  APP_STOP_VETOED: "stays awake",
  APP_CRASHED: "crashed",
  APP_SWITCHED: "switched",
  APP_SWITCH_REFUSED: "not switched",
  APP_ROLLED_BACK: "switched back",
  APP_ROLLBACK_FAILED: "could not be switched back",
  APP_DRAINED: "the old target has drained",
  APP_UNHEALTHY: "its active target is not healthy",
  APP_HEALTHY: "its active target is healthy again",
  APP_PAUSED: "paused",
  APP_RESUMED: "resumed",
  APP_KEPT_AWAKE: "is kept awake by an operator",
  APP_KEPT_AWAKE_ENDED: "is no longer kept awake by an operator",
  HOOK_FAILED: "a hook failed",
};

/** Events that pages name by their id. */
const REFERRED_TO: ReadonlySet<EventName> = new Set(["APP_START_FAILED", "APP_CRASHED"]);

/** A listener for the bus that writes one line per event. */
export function logEvents(log: Log): (event: PaastisEvent) => void {
  const said = createLastSaid();
  return (event) => {
    const { id, name, app, cause, reason, details } = event;
    const fields = {
      app,
      event: name,
      cause: cause.detail,
      ...details,
      ...(reason === "" ? {} : { reason }),
      // Visitors are shown it, and can name it.
      ...(REFERRED_TO.has(name) ? { reference: id } : {}),
    };
    const isNews = isNewsOf(said, event);
    log[isNews ? LEVELS[name] : "debug"](fields, MESSAGES[name]);
  };
}

/** What happens again with every sweep to an app that should sleep, and that stays awake each time. */
const REPEATED: readonly EventName[] = ["APP_STOP_CANCELLED", "APP_STOP_VETOED", "HOOK_FAILED"];

/** An app that stays awake each time for the same reason is told of once. */
function isNewsOf(said: LastSaid, { app, isQuiet, name, reason }: PaastisEvent): boolean {
  if (isQuiet === true) return false;
  if (REPEATED.includes(name)) return said.isNews(`${name} ${app}`, withoutFigures(reason));
  // That it is tried once more does not make it news that it stays awake.
  if (name === "APP_STOPPING") return true;
  for (const repeated of REPEATED) said.isOver(`${repeated} ${app}`);
  return true;
}
