/** The environment variables that say who is told of events by HTTP. */

import type { EventName } from "./events.ts";
import { text } from "./setting-parsers.ts";
import { variable } from "./variable.ts";
import { eventNames, webhookUrls } from "./webhook-parsers.ts";

/** What somebody wants to know at once; nothing that comes with every sweep. */
const EVENTS_TOLD: readonly EventName[] = [
  "APP_STARTED",
  "APP_START_FAILED",
  "APP_STOPPED",
  "APP_STOP_FAILED",
  "APP_CRASHED",
  "APP_SWITCHED",
  "APP_SWITCH_REFUSED",
  "APP_ROLLED_BACK",
  "APP_ROLLBACK_FAILED",
  "APP_UNHEALTHY",
  "APP_HEALTHY",
];

/** Rows of the table of variables. */
export const WEBHOOK_VARIABLES = {
  webhookUrls: variable<readonly string[]>({
    name: "WEBHOOK_URLS",
    parser: webhookUrls(),
    fallback: [],
    // A path or a query is often all that keeps strangers from such an address.
    secret: true,
    defaultText: "none",
    doc: "Where events are sent to, as JSON by `POST`, one URL or several.",
  }),
  webhookSecret: variable<string | null>({
    name: "WEBHOOK_SECRET",
    // Apps often have one of their own: it is ours alone where there are URLs.
    isShared: true,
    parser: text("a secret"),
    fallback: null,
    secret: true,
    doc: "What deliveries are signed with, in the header `paastis-signature`; with `WEBHOOK_URLS` it is hidden from apps and hooks.",
  }),
  webhookEvents: variable<readonly EventName[]>({
    name: "WEBHOOK_EVENTS",
    parser: eventNames(),
    fallback: EVENTS_TOLD,
    defaultText: "starts, stops, crashes, switches, rollbacks, health, and what fails of them",
    doc: "Which events are sent: names as in the log, or patterns such as `APP_*`, separated by commas.",
  }),
} as const;
