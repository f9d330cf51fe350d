/** Connections to Postgres: opened when needed, given up at the first failure, and never waited for too long. */

import { SQL } from "bun";

import type { Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { preparePostgres } from "./postgres-schema.ts";
import { describeAddress, type PostgresAddress } from "./postgres-url.ts";

/** Runs statements on a database that is ready for them. */
export interface PostgresSessions {
  /**
   * Rejects with an `Error` that says where and why, without any secret, at most 10 s from now. What the database
   * had begun by then may still be done: work must be safe to repeat.
   */
  run<T>(work: (sql: SQL) => Promise<T>): Promise<T>;
  /** Waits for nothing that is under way, and never longer than a second. Safe to repeat. */
  close(): Promise<void>;
}

/** What connections are made of. */
export interface PostgresSessionDeps {
  readonly address: PostgresAddress;
  readonly clock: Clock;
  /** Longest for one piece of work, connecting included, ms. Default 10,000. */
  readonly workMaxMs?: number;
  /** What must be done with a new connection before any work. Default: `preparePostgres`. */
  readonly prepare?: (sql: SQL) => Promise<void>;
}

interface Session {
  readonly sql: SQL;
  /** The tables are there. */
  readonly ready: Promise<void>;
}

const WORK_MAX_MS = 10_000;
const CLOSE_MAX_MS = 1_000;
const CONNECT_MAX_S = 5;
/** One that writes and one that reads. */
const CONNECTIONS_MAX = 2;
/** An instance with nothing to say gives its connection back, s: databases often have few. */
const IDLE_MAX_S = 60;

export function createPostgresSessions(deps: PostgresSessionDeps): PostgresSessions {
  const { address, clock, workMaxMs = WORK_MAX_MS } = deps;
  let session: Session | null = null;
  let closed = false;

  /** Nothing of a session that failed is used again: whatever changed (the server, the tables) is looked at anew. */
  function giveUp(failed: Session): Promise<void> {
    if (session === failed) session = null;
    // That it could not be closed in good order is no news about one that has failed.
    return failed.sql.close({ timeout: 0 }).catch(() => undefined);
  }

  return {
    async run(work) {
      if (closed) throw new Error("The event store is closed");
      session ??= openSession(deps);
      const current = session;
      const done = current.ready.then(() => work(current.sql));
      try {
        return await within(clock, workMaxMs, done);
      } catch (error) {
        void giveUp(current);
        throw new Error(whyOf(error, address));
      }
    },
    async close() {
      closed = true;
      if (session !== null)
        await within(clock, CLOSE_MAX_MS, giveUp(session)).catch(() => undefined);
    },
  };
}

function openSession({ address, prepare = preparePostgres }: PostgresSessionDeps): Session {
  const sql = new SQL({
    adapter: "postgres",
    // Not as a URL: PGDATABASE would win over the database in it (measured with Bun 1.4.5).
    ...(address.host.startsWith("/") ? { path: address.host } : { hostname: address.host }),
    port: address.port,
    ...(address.database !== null && { database: address.database }),
    ...(address.user !== null && { username: address.user }),
    ...(address.password !== null && { password: address.password }),
    tls: tlsOf(address),
    connection: { ...address.parameters },
    // Named statements do not survive a pooler that gives each transaction another connection.
    prepare: false,
    max: CONNECTIONS_MAX,
    connectionTimeout: CONNECT_MAX_S,
    idleTimeout: IDLE_MAX_S,
  });
  const ready = prepare(sql);
  // Whoever runs something on it is told; nobody else needs to be.
  ready.catch(() => undefined);
  return { sql, ready };
}

function tlsOf({ sslMode, rootCertificate }: PostgresAddress) {
  if (rootCertificate === null || sslMode === "disable") return sslMode;
  // As libpq has it: with a certificate to compare with, `require` means `verify-ca`.
  const comparesName = sslMode === "verify-full";
  return {
    ca: Bun.file(rootCertificate),
    ...(!comparesName && { checkServerIdentity: () => undefined }),
  };
}

async function within<T>(clock: Clock, limitMs: number, work: Promise<T>): Promise<T> {
  const outOfTime = Promise.withResolvers<never>();
  const cancel = clock.after(limitMs, () => {
    outOfTime.reject(new Error(`it did not answer within ${limitMs / 1000} s`));
  });
  try {
    return await Promise.race([work, outOfTime.promise]);
  } finally {
    cancel();
  }
}

/** The server's own words are kept; the runtime's are replaced where they say too little. */
function whyOf(error: unknown, address: PostgresAddress): string {
  return `Postgres at ${describeAddress(address)}: ${wordsOf(error, address.sslMode)}`;
}

function wordsOf(error: unknown, sslMode: string): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "ERR_POSTGRES_CONNECTION_REFUSED":
      return "it cannot be reached";
    case "ERR_POSTGRES_CONNECTION_TIMEOUT":
      return `it did not answer within ${CONNECT_MAX_S} s`;
    case "ERR_POSTGRES_CONNECTION_CLOSED":
      return "it closed the connection";
    case "ERR_POSTGRES_TLS_NOT_AVAILABLE":
      return `it does not speak TLS, which sslmode=${sslMode} asks for`;
    default:
      return messageOf(error);
  }
}
