/** The environment variables that say where events are kept, and how long. */

import { oneOf, text, wholeNumber } from "./setting-parsers.ts";
import { variable } from "./variable.ts";

/** More than anybody looks at; SQLite needs 400 MB for them. */
const EVENTS_MAX = 1_000_000;
/** Ten years. */
const DAYS_MAX = 3650;

/** Rows of the table of variables. */
export const EVENT_VARIABLES = {
  eventsStoreType: variable<"sqlite" | "in-memory" | "postgres" | null>({
    name: "EVENTS_STORE_TYPE",
    parser: oneOf(["sqlite", "in-memory", "postgres"]),
    fallback: null,
    defaultText: "`in-memory` with such a registry, else `sqlite`",
    doc: "Where events are kept.",
  }),
  databaseUrl: variable<string | null>({
    name: "DATABASE_URL",
    // Apps often have one of their own kind: it is only looked at when it is wanted.
    isShared: true,
    parser: text("the URL of a database"),
    fallback: null,
    secret: true,
    doc: "The database of a `postgres` event store, such as `postgres://user:password@host:5432/database?sslmode=require`; it is then hidden from apps and hooks.",
  }),
  eventsKept: variable({
    name: "EVENTS_STORE_KEEP",
    parser: wholeNumber(1, EVENTS_MAX),
    fallback: 100_000,
    doc: "How many events are kept, the newest; 10,000 at most in memory.",
  }),
  eventsKeptDays: variable({
    name: "EVENTS_STORE_KEEP_DAYS",
    parser: wholeNumber(0, DAYS_MAX),
    fallback: 0,
    doc: "How many days events are kept, if there are not too many before; 0: no limit. In memory only their number counts.",
  }),
} as const;
