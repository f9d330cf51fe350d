/** What errors of Redis, of its library and of the network mean, for people. Pure. */

import { messageOf } from "../errors.ts";

const CA = "the URL's ca=/path names the certificate of the authority that signed it";

/** By the error's code, or the first word of what the server says. Sources: Redis 7.0 `server.c`, Node's `net` and `tls`. */
const BY_CODE: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there: is it running, and are host and port of the URL right?",
  ENOENT: "there is no such socket: is it running, and is the path of the URL right?",
  EACCES:
    "its socket may not be used by this user: `unixsocketperm` in its configuration says who may",
  ENOTFOUND: "its name is not known: is the host of the URL right, and does DNS work?",
  EAI_AGAIN: "its name cannot be looked up at the moment: does DNS work?",
  ETIMEDOUT:
    "it cannot be connected to in time: does the network, or a firewall, let it be reached?",
  EHOSTUNREACH: "there is no way to it in the network",
  ENETUNREACH: "there is no way to it in the network",
  ECONNRESET:
    "the connection was cut; if that is always so, does it want TLS (rediss://), or none?",
  EPIPE: "the connection was cut",
  WRONGPASS: "it does not take this user and password: are those of the URL right?",
  NOAUTH: "it wants a password: put it into the URL, as redis://user:password@host",
  NOPERM:
    "its user may not do what is needed: all commands on keys and channels that begin with paastis:",
  READONLY: "it is a replica and takes no changes: the URL must lead to the master",
  OOM: "its memory is full (`maxmemory`): give it more, or remove what is not needed",
  MISCONF: "it takes no changes since it cannot write to its disk: its log says why",
  LOADING: "it has just been started and is still loading its data",
  BUSY: "it is busy with somebody's script",
  MASTERDOWN: "it is a replica without a master",
  NOREPLICAS: "it takes no changes while it has too few replicas (`min-replicas-to-write`)",
  CLUSTERDOWN: "the Cluster is down: not all of its slots are served",
  MOVED: "it is a node of a Cluster: the URL must begin with redis+cluster://",
  CROSSSLOT:
    "it is a Cluster behind something that hides it: the URL must begin with redis+cluster://",
  DEPTH_ZERO_SELF_SIGNED_CERT: `nobody vouches for its certificate, which it signed itself: ${CA}`,
  SELF_SIGNED_CERT_IN_CHAIN: `the authority of its certificate is not trusted here: ${CA}`,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: `the authority of its certificate is not trusted here: ${CA}`,
  UNABLE_TO_GET_ISSUER_CERT: `the authority of its certificate is not trusted here: ${CA}`,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: `the authority of its certificate is not trusted here: ${CA}`,
  CERT_HAS_EXPIRED: "its certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID:
    "its certificate is for another name: the URL's servername= says for which one",
};

/** What comes of an error, and does not say which: what the library says of a connection that is not there. */
const VAGUE =
  /isn't (?:writeable|ready)|connection is closed|max retries per request|aborted due to connection/i;
const LOST =
  "it closed the connection; if it always does, it may want TLS (rediss://), or not speak it";

/** By what the message contains, in this order. */
const BY_WORDS: readonly (readonly [RegExp, string])[] = [
  [/command timed out/i, "it did not answer within 2 s"],
  [
    /DB index|SELECT is not allowed/,
    "it has no database of that number: look at the end of the URL",
  ],
  [/isn't writeable|Connection is closed/i, "it is not connected at the moment"],
  [/without any password configured|no password is set/, "it has no password, and the URL has one"],
  [
    /cluster support disabled/i,
    "it is no node of a Cluster: the URL must begin with redis:// or rediss://",
  ],
  [
    /unknown command .?sentinel/i,
    "it is no Sentinel: the URL must begin with redis:// or rediss://",
  ],
  [/max number of clients/i, "it has as many clients as it may have (`maxclients`)"],
  [
    /invalid reply: null|No such master/,
    "the Sentinels know no master of that name: the path of the URL says which one",
  ],
  [VAGUE, LOST],
  [
    /wrong.version.number|packet length too long|EPROTO/i,
    "it does not speak TLS there: the URL must begin with redis://",
  ],
  [/startup nodes is available/, "none of its nodes can be reached"],
];

/** A sentence without a full stop, to follow "Redis at …:". It holds no secret. */
export function explainRedisError(error: unknown): string {
  const inner = innerOf(error);
  if (inner !== null) return explainRedisError(inner);
  const message = messageOf(error);
  const code = codeOf(error) ?? /^-?([A-Z]{2,}[A-Z_]*)\b/.exec(message)?.[1] ?? "";
  const known = Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : undefined;
  if (known !== undefined) return `${known} (${code})`;
  const sentinels = SENTINELS.exec(message);
  if (sentinels !== null) return `no Sentinel could help: ${explainSentinel(sentinels[1] ?? "")}`;
  return BY_WORDS.find(([words]) => words.test(message))?.[1] ?? byWordWithin(message);
}

/** What the library says of the last one it has asked. It keeps to itself why one cannot be reached. */
const SENTINELS = /^All sentinels are unreachable.*?(?:Last error: (.*)|)$/s;

function explainSentinel(last: string): string {
  const isUnsaid = last === "" || VAGUE.test(last);
  return isUnsaid ? "none of them can be reached" : explainRedisError(new Error(last));
}

/** The error that says more, of one that comes of the other. `null`: there was none before. */
export function clearerError(error: Error, before: Error | null): Error {
  return before !== null && VAGUE.test(error.message) ? before : error;
}

/** A Cluster of which no node could be asked says why only of the last one. */
function innerOf(error: unknown): unknown {
  if (typeof error !== "object" || error === null || !("lastNodeError" in error)) return null;
  return error.lastNodeError ?? null;
}

function codeOf(error: unknown): string | null {
  if (typeof error !== "object" || error === null || !("code" in error)) return null;
  return typeof error.code === "string" ? error.code : null;
}

/** "connect ECONNREFUSED 127.0.0.1:26379", without a code. */
function byWordWithin(message: string): string {
  const code = Object.keys(BY_CODE).find((word) => new RegExp(`\\b${word}\\b`).test(message));
  return code === undefined ? message : `${BY_CODE[code]} (${code})`;
}
