/** The part of `check --online` that tries the database of the events. */

import { createSystemClock, keepAlive } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { lookAtPostgres, type PostgresLook } from "../event-store/postgres-schema.ts";
import { createPostgresSessions } from "../event-store/postgres-session.ts";
import { describeAddress, type PostgresAddress } from "../event-store/postgres-url.ts";
import { complain, type Surroundings, tell } from "./surroundings.ts";
import { section } from "./table.ts";

/** Looks, changes nothing, and says what came of it. @returns whether events can be stored there */
export async function tryDatabase(
  address: PostgresAddress,
  surroundings: Surroundings,
): Promise<boolean> {
  const place = `Postgres at ${describeAddress(address)}`;
  const clock = createSystemClock();
  const sessions = createPostgresSessions({ address, clock, prepare: async () => undefined });
  // The clock's timers do not.
  const letGo = keepAlive();
  try {
    const look = await sessions.run(lookAtPostgres);
    const problem = problemOf(look);
    if (problem !== null) throw new Error(`${place}: ${problem}`);
    const tables = look.hasTables
      ? "its tables are there"
      : "its tables are made at the first event";
    tell(surroundings, section("Database of the events", [["postgres", `works; ${tables}`]]));
    return true;
  } catch (error) {
    const next = "Fix this, then run `paastis check --online`.";
    const why = messageOf(error);
    complain(
      surroundings,
      `\nThe database of the events cannot be used:\n\n  - ${why}\n\n${next}\n`,
    );
    return false;
  } finally {
    await sessions.close();
    letGo();
  }
}

function problemOf({ hasTables, mayMake, isReadOnly }: PostgresLook): string | null {
  if (isReadOnly) return "it can only be read: is it a copy, or default_transaction_read_only on?";
  if (hasTables || mayMake) return null;
  return "its user may not make the schema paastis: GRANT CREATE ON DATABASE does that";
}
