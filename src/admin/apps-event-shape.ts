/** Events as the admin endpoints show them. Pure. */

import type { PaastisEvent } from "../events.ts";
import { timeText } from "./apps-times.ts";
import type { ShownEvent } from "./views.ts";

/** One event. */
export function shownEvent(event: PaastisEvent): ShownEvent {
  const { id, atMs, name, app, cause, reason, details } = event;
  return {
    id,
    at: timeText(atMs),
    name,
    app,
    cause: cause.detail,
    reason: reason === "" ? null : reason,
    details,
  };
}
