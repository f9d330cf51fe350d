/** Reads the URL of a Postgres database. Pure. */

import type { Parsed } from "../setting-parsers.ts";

/** How much of TLS is wanted. Source: PostgreSQL documentation, section 34.19.3, table of SSL modes. */
const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;

export type SslMode = (typeof SSL_MODES)[number];

/** Where a database is, and how to sign in. `null`: as the environment says (`PGUSER` and the like). */
export interface PostgresAddress {
  /** A name or an address without brackets; one that begins with `/` is the folder of a unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string | null;
  readonly user: string | null;
  /** A secret: never in a message. */
  readonly password: string | null;
  readonly sslMode: SslMode;
  /** The PEM file that vouches for the server; `null`: what the system trusts. */
  readonly rootCertificate: string | null;
  /** What the server is told when a connection begins. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** Completes "must be …". */
export const POSTGRES_URL_ALLOWED = "a URL such as postgres://user:password@host:5432/database";

/**
 * The URL as libpq takes it, for one host. Parameters that are meant for other programs (`schema`, `pgbouncer`) are
 * passed over: the server would refuse the connection for them. No part of the URL is in a refusal.
 * Source: PostgreSQL documentation, section 34.1.1.2, connection URIs.
 */
export function parsePostgresUrl(text: string): Parsed<PostgresAddress> {
  const url = URL.parse(withHost(text.trim()));
  if (url === null) return refuse(`characters such as / ? # @ in a password are written %2F %3F`);
  if (!/^postgres(ql)?:$/.test(url.protocol)) return refuse("it is one of another kind");
  const { searchParams } = url;
  const sslMode = SSL_MODES.find((mode) => mode === (searchParams.get("sslmode") ?? "prefer"));
  if (sslMode === undefined) return refuse(`sslmode must be one of ${SSL_MODES.join(", ")}`);
  try {
    return { ok: true, value: addressIn(url, sslMode) };
  } catch {
    return refuse("% stands before two hexadecimal digits; the sign itself is written %25");
  }
}

/** For people: `host:port/database`, without who signs in and how. */
export function describeAddress({ host, port, database }: PostgresAddress): string {
  const place = host.includes(":") ? `[${host}]` : host;
  return `${place}:${port}${database === null ? "" : `/${database}`}`;
}

/** @throws URIError for a `%` that begins no character */
function addressIn(url: URL, sslMode: SslMode): PostgresAddress {
  const { searchParams } = url;
  const host = searchParams.get("host") ?? decodeURIComponent(url.hostname);
  const root = searchParams.get("sslrootcert");
  return {
    host: host.replace(/^\[(.*)\]$/, "$1") || "localhost",
    port: Number(url.port || searchParams.get("port")) || 5432,
    database: decoded(url.pathname.slice(1)),
    user: decoded(url.username),
    password: decoded(url.password),
    sslMode,
    rootCertificate: root === "system" ? null : root,
    parameters: {
      application_name: searchParams.get("application_name") ?? "paastis",
      ...(searchParams.has("options") && { options: searchParams.get("options") ?? "" }),
    },
  };
}

function decoded(part: string): string | null {
  return part === "" ? null : decodeURIComponent(part);
}

/** libpq's `postgres://user@/database?host=/folder` has no host, which other URLs must have. */
function withHost(text: string): string {
  return text.replace(/^([a-z]+:\/\/[^/?#]*@)(?=\/)/i, "$1localhost");
}

function refuse(why: string): Parsed<never> {
  return { ok: false, why };
}
