/** The part of the configuration that is about the event store. */

import type { Config } from "./config.ts";
import type { EnvironmentValues } from "./environment.ts";
import { POSTGRES_URL_ALLOWED, parsePostgresUrl } from "./event-store/postgres-url.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/** An address that cannot be read is a problem of its own, see `eventProblems`. */
export function eventConfigOf(
  values: EnvironmentValues,
): Pick<Config, "eventsStoreType" | "eventsDatabase" | "eventsKept"> {
  const { databaseUrl, eventsKept, eventsKeptDays } = values;
  const inherited = values.registryType === "in-memory" ? "in-memory" : "sqlite";
  const eventsStoreType = values.eventsStoreType ?? inherited;
  const isWanted = eventsStoreType === "postgres" && databaseUrl !== null;
  const parsed = isWanted ? parsePostgresUrl(databaseUrl) : null;
  return {
    eventsStoreType,
    eventsDatabase: parsed?.ok === true ? parsed.value : null,
    eventsKept: {
      newest: eventsKept,
      forMs: eventsKeptDays === 0 ? null : eventsKeptDays * DAY_MS,
    },
  };
}

/** What is missing or wrong of the database's URL, where there must be one. */
export function eventProblems({ eventsStoreType, databaseUrl }: EnvironmentValues): string[] {
  if (eventsStoreType !== "postgres") return [];
  const reason = "with EVENTS_STORE_TYPE=postgres";
  if (databaseUrl === null) {
    return [`DATABASE_URL is required ${reason}: set it to ${POSTGRES_URL_ALLOWED}`];
  }
  const parsed = parsePostgresUrl(databaseUrl);
  if (parsed.ok) return [];
  return [`DATABASE_URL must be ${POSTGRES_URL_ALLOWED}, ${reason} (${parsed.why})`];
}

/** Variables that other programs know too, but that are this one's alone as it is set up. */
export function hiddenFromApps({ eventsStoreType }: EnvironmentValues): readonly string[] {
  return eventsStoreType === "postgres" ? ["DATABASE_URL"] : [];
}
