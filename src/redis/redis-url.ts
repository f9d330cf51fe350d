/** Reads the URL of a Redis: a single server, Sentinels, or a Cluster. Pure. */

import type { Parsed } from "../setting-parsers.ts";
import type { RedisAddress, RedisNode, RedisTls } from "./connection.ts";

/** Completes "must be …". */
export const REDIS_URL_ALLOWED =
  "a URL such as redis://user:password@host:6379, rediss:// for TLS, unix:/path, " +
  "redis+sentinel://host:26379,host:26379/master-name or redis+cluster://host:6379,host:6379";

const PORT = 6379;
const SENTINEL_PORT = 26_379;
const TLS_PARAMETERS = ["ca", "cert", "key", "servername", "rejectUnauthorized"];
const SENTINEL_PARAMETERS = ["sentinelUser", "sentinelPassword"];

/** What a URL is, in pieces. */
interface Pieces {
  readonly kind: RedisAddress["kind"];
  readonly isTls: boolean;
  readonly isSocket: boolean;
  readonly user: string | null;
  readonly password: string | null;
  readonly hosts: readonly string[];
  /** Without the first `/`, except of a socket. */
  readonly path: string;
  readonly parameters: URLSearchParams;
}

/** Why it cannot be read. */
class Refusal extends Error {}

/**
 * One URL for everything, with the parameters `db`, for TLS `ca`, `cert`, `key` (paths of PEM files), `servername` and
 * `rejectUnauthorized`, and for Sentinels `sentinelUser` and `sentinelPassword`. No part of it that may be secret is in a refusal.
 * Sources: IANA's registration of the scheme redis (path or `db` for the database); Node's `tls.connect` for the names of TLS.
 * @param pathOf makes the absolute path of a file
 */
export function parseRedisUrl(
  text: string,
  pathOf: (path: string) => string = (path) => path,
): Parsed<RedisAddress> {
  try {
    return { ok: true, value: addressOf(piecesOf(text.trim()), pathOf) };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, why: error.message };
    if (!(error instanceof URIError)) throw error;
    const why = "% stands before two hexadecimal digits; the sign itself is written %25";
    return { ok: false, why };
  }
}

function piecesOf(text: string): Pieces {
  const [, scheme = "", kind = "", rest = ""] =
    /^(rediss?|unix)(?:\+(sentinel|cluster|unix))?:(.*)$/is.exec(text) ?? [];
  const isSocket = scheme.toLowerCase() === "unix" || kind.toLowerCase() === "unix";
  if (scheme === "" || (scheme.toLowerCase() === "unix" && kind !== "")) {
    throw new Refusal("it is one of another kind");
  }
  if (!isSocket && !rest.startsWith("//")) throw new Refusal("// is missing after the first colon");
  const [, authority = "", path = "", query = ""] =
    /^(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?$/s.exec(rest) ?? [];
  // A password with @ in it is understood; with / ? or # it is not.
  const [, signIn = "", hosts = ""] = /^(?:(.*)@)?([^@]*)$/s.exec(authority) ?? [];
  const [user = "", ...password] = signIn.split(":");
  return {
    kind: kindOf(kind.toLowerCase()),
    isTls: scheme.toLowerCase() === "rediss",
    isSocket,
    user: decoded(user),
    password: decoded(password.join(":")),
    hosts: hosts.split(",").filter((host) => host !== ""),
    path: isSocket ? decodeURIComponent(path) : decodeURIComponent(path.replace(/^\//, "")),
    parameters: new URLSearchParams(query),
  };
}

function kindOf(word: string): RedisAddress["kind"] {
  return word === "sentinel" || word === "cluster" ? word : "single";
}

function addressOf(pieces: Pieces, pathOf: (path: string) => string): RedisAddress {
  const { isSocket, kind, parameters, password, user } = pieces;
  refuseOthers(pieces);
  const nodes = isSocket ? [] : nodesOf(pieces);
  const socketPath = isSocket ? socketOf(pieces) : null;
  const [masterName, dbWord] = namesIn(pieces);
  const db = numberOf(parameters.get("db") ?? dbWord);
  if (kind === "cluster" && db !== 0) throw new Refusal("a Cluster has the database 0 only");
  return {
    kind,
    shown: shownOf({ nodes, socketPath, kind, masterName, db }),
    ...{ nodes, socketPath, user, password, db, masterName },
    tls: pieces.isTls ? tlsIn(parameters, pathOf) : null,
    sentinelUser: parameters.get("sentinelUser") || null,
    sentinelPassword: parameters.get("sentinelPassword") || null,
  };
}

/** A parameter that nobody reads is somebody's wish that would not come true. */
function refuseOthers({ isTls, kind, parameters }: Pieces): void {
  const known = [
    "db",
    ...(isTls ? TLS_PARAMETERS : []),
    ...(kind === "sentinel" ? SENTINEL_PARAMETERS : []),
  ];
  for (const name of parameters.keys()) {
    if (known.includes(name)) continue;
    if (TLS_PARAMETERS.includes(name)) {
      throw new Refusal(`${name} is about TLS, which begins with rediss`);
    }
    if (SENTINEL_PARAMETERS.includes(name)) {
      throw new Refusal(`${name} is for Sentinels, which begin with redis+sentinel`);
    }
    throw new Refusal(`after ? there may be ${known.join(", ")}`);
  }
}

function nodesOf({ hosts, kind }: Pieces): readonly RedisNode[] {
  if (hosts.length === 0) {
    throw new Refusal("it names no host; / ? # in a password are written %2F %3F %23");
  }
  if (kind === "single" && hosts.length > 1) {
    throw new Refusal("several hosts need redis+sentinel:// or redis+cluster://");
  }
  const usual = kind === "sentinel" ? SENTINEL_PORT : PORT;
  return hosts.map((text) => {
    const [, bracketed, name, port = `${usual}`] =
      /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/i.exec(text) ?? [];
    const host = bracketed ?? name;
    if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
      throw new Refusal("a host is host:port; / ? # in a password are written %2F %3F %23");
    }
    return { host, port: Number(port) };
  });
}

function socketOf({ hosts, isTls, path }: Pieces): string {
  if (isTls) throw new Refusal("TLS is not spoken over a socket");
  if (hosts.length > 0 || !path.startsWith("/")) throw new Refusal("a socket is unix:/path");
  return path;
}

/** The master's name and the database, where the path has them. */
function namesIn({ isSocket, kind, path }: Pieces): readonly [string | null, string] {
  if (isSocket) return [null, ""];
  if (kind !== "sentinel") return [null, path];
  const [name = "", db = "", ...more] = path.split("/");
  if (name === "" || more.length > 0) {
    throw new Refusal("after the Sentinels comes /master-name, as they call the master");
  }
  return [name, db];
}

function numberOf(text: string): number {
  if (!/^\d{0,5}\/?$/.test(text)) throw new Refusal("the database is a number, such as /1");
  return Number(text.replace("/", ""));
}

function tlsIn(parameters: URLSearchParams, pathOf: (path: string) => string): RedisTls {
  const verifies = parameters.get("rejectUnauthorized") ?? "true";
  if (verifies !== "true" && verifies !== "false") {
    throw new Refusal("rejectUnauthorized is true or false");
  }
  const file = (name: string) => {
    const path = parameters.get(name) || null;
    return path === null ? null : pathOf(path);
  };
  const [certFile, keyFile] = [file("cert"), file("key")];
  if ((certFile === null) !== (keyFile === null)) throw new Refusal("cert and key go together");
  return {
    ...{ caFile: file("ca"), certFile, keyFile },
    serverName: parameters.get("servername") || null,
    verifies: verifies === "true",
  };
}

function shownOf(
  address: Pick<RedisAddress, "nodes" | "socketPath" | "kind" | "masterName" | "db">,
): string {
  const { db, kind, masterName, nodes, socketPath } = address;
  const hosts = nodes.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`);
  const place = socketPath ?? hosts.join(",");
  const end = db === 0 ? "" : `, database ${db}`;
  if (kind === "cluster") return `${place} (Cluster)`;
  return kind === "sentinel" ? `${place} (Sentinel, ${masterName}${end})` : `${place}${end}`;
}

function decoded(part: string): string | null {
  return part === "" ? null : decodeURIComponent(part);
}
