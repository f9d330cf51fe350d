/** Every failure the program can report: one table of codes, one error class. */

/** Exit status for a configuration that cannot be used (`EX_CONFIG` of sysexits.h). */
export const EXIT_CONFIG = 78;

/** What a code means, for the answer's status and for the README's table. */
export interface ErrorEntry {
  /** HTTP status of the answer. */
  readonly status: number;
  /** One sentence without the app's name. */
  readonly meaning: string;
  /** The setting that changes it, or what else to do. */
  readonly remedy: string;
}

/** Codes of the answers that Paastis gives itself, sent as `paastis-error`. They are stable. */
export const ANSWER_CODES = {
  invalid_host: {
    status: 400,
    meaning: "The request has no usable Host header.",
    remedy: "Send exactly one Host header with a host name and, if needed, a port.",
  },
  invalid_request: {
    status: 400,
    meaning: "The request cannot be forwarded without changing its meaning.",
    remedy: "Send a request that RFC 9112 allows; the answer says what was wrong with this one.",
  },
  request_timeout: {
    status: 408,
    meaning: "The request did not arrive in time.",
    remedy:
      "Send it without long pauses; `SERVER_HEADERS_TIMEOUT` says how long its head may take.",
  },
  body_too_large: {
    status: 413,
    meaning: "The body of the request is too large.",
    remedy: "Send less, or raise `MAX_BODY_SIZE`.",
  },
  target_too_long: {
    status: 414,
    meaning: "The address of the request is too long.",
    remedy: "Use a shorter address; `MAX_HEADER_SIZE` counts for it too.",
  },
  head_too_large: {
    status: 431,
    meaning: "The head of the request, or the trailers of its body, are too large.",
    remedy:
      "Send fewer or shorter header fields and cookies; `MAX_HEADER_SIZE` says how large a head may be.",
  },
  not_implemented: {
    status: 501,
    meaning: "The request uses a method or a transfer coding that Paastis does not know.",
    remedy: "Use a registered method, and no transfer coding but chunked.",
  },
  version_refused: {
    status: 505,
    meaning: "The request is in a version of HTTP that is not spoken here.",
    remedy: "Use HTTP/1.1; with a certificate, `HTTP2` adds HTTP/2.",
  },
  admin_refused: {
    status: 403,
    meaning:
      "An admin endpoint was asked by somebody who may not; 401 when it was the token that was wrong or missing.",
    remedy:
      "Send the token of `ADMIN_TOKEN`, or the one that the log of this start has, from an address in `ADMIN_ALLOWLIST`; or log in at `/__/`; or use the unix socket.",
  },
  system_refused: {
    status: 400,
    meaning:
      "The system API was asked with a wrong or missing token; 404 when it was for a path that it does not have, 405 when by a wrong method.",
    remedy:
      "Send the token of `ROUTING_SYSTEM_API_TOKEN` in `PaastisProxySystemApiToken`; a request for an app goes without `PaastisProxyTarget: system`.",
  },
  app_paused: {
    status: 503,
    meaning: "The app is paused, and its requests wait.",
    remedy:
      "Try again after `Retry-After` seconds. Who runs it lets requests go on by `paastis resume`.",
  },
  app_maintenance: {
    status: 503,
    meaning: "The app is being worked on.",
    remedy: "Try again later. Who runs it ends the maintenance by `paastis resume`.",
  },
  method_refused: {
    status: 405,
    meaning: "CONNECT and TRACE are not forwarded.",
    remedy: "Use another method.",
  },
  unknown_app: {
    status: 404,
    meaning: "No app answers for this host.",
    remedy:
      "Use a host whose first label is the key of an app; `DEFAULT_APP` names one for all other hosts.",
  },
  starting: {
    status: 503,
    meaning: "Paastis has just started and does not know its apps yet.",
    remedy: "Try again in a few seconds.",
  },
  apps_unknown: {
    status: 503,
    meaning: "Paastis does not know all of its apps yet, and this host may belong to one of them.",
    remedy:
      "Try again in a minute; the log of Paastis says which platform does not answer, and why.",
  },
  app_waking: {
    status: 503,
    meaning: "The app is not awake yet.",
    remedy: "Try again after `Retry-After` seconds; `HOLD_MAX_MS` says how long a request is held.",
  },
  app_asleep: {
    status: 503,
    meaning: "The app is asleep, and this request does not wake it.",
    remedy:
      "Its rules say which requests wake it, and when: `wake.ignore` and `force_sleep` in `paastis.yml`.",
  },
  app_failed: {
    status: 503,
    meaning: "The app could not be woken.",
    remedy:
      "Read the reason and the app's output; the next request after `Retry-After` tries again.",
  },
  app_crashed: {
    status: 503,
    meaning: "The app has ended by itself.",
    remedy:
      "Read the reason and the app's output; the next request after `Retry-After` wakes it again.",
  },
  hold_full: {
    status: 503,
    meaning: "Too many requests already wait for apps to wake.",
    remedy: "Try again later, or raise `HOLD_MAX_PER_APP` or `HOLD_MAX_TOTAL`.",
  },
  upstream_unreachable: {
    status: 502,
    meaning: "The app is awake, but no connection to it could be made.",
    remedy: "Look at the app's output; check its address and port.",
  },
  upstream_broken: {
    status: 502,
    meaning: "The app closed the connection or answered with something that is not HTTP.",
    remedy: "Look at the app's output.",
  },
  upstream_timeout: {
    status: 504,
    meaning: "The app did not begin to answer in time.",
    remedy: "Make the app answer sooner, or raise `UPSTREAM_TIMEOUT_MS`.",
  },
  upstream_retired: {
    status: 504,
    meaning:
      "The app was switched to another version, and the old one had not answered when its time was over.",
    remedy:
      "Send it again if doing it twice does no harm; `DRAIN_MS` says how long an old version has for what it has begun.",
  },
  upstream_exhausted: {
    status: 503,
    meaning: "Paastis has no connections left to reach the app with.",
    remedy: "Try again later; raise the limit of open files (`ulimit -n`, `LimitNOFILE=`).",
  },
  shutting_down: {
    status: 503,
    meaning: "Paastis is shutting down.",
    remedy: "Try again in a few seconds.",
  },
  internal: {
    status: 500,
    meaning: "Paastis made a mistake.",
    remedy: "The log has the details under the same reference; please report it.",
  },
} as const satisfies Readonly<Record<string, ErrorEntry>>;

export type AnswerCode = keyof typeof ANSWER_CODES;

/** Codes that only the admin endpoints answer with, besides those above: no visitor of an app reads them. */
export const ADMIN_CODES = {
  admin_invalid: {
    status: 400,
    meaning: "An admin endpoint was asked with something that it cannot use.",
    remedy: "The answer says what, and what is allowed; `/__docs` describes every endpoint.",
  },
  admin_unknown: {
    status: 404,
    meaning: "There is no such admin endpoint.",
    remedy: "`/__docs` lists those there are.",
  },
  admin_method: {
    status: 405,
    meaning: "The admin endpoint is asked with another method.",
    remedy: "Use one of those in `Allow`.",
  },
  admin_limited: {
    status: 429,
    meaning: "Too much was changed, or too many wrong tokens came, from one address.",
    remedy:
      "Try again after `Retry-After` seconds; `ADMIN_RATE_LIMIT` says how much may be within a minute. The unix socket has no such limit.",
  },
  admin_not_saved: {
    status: 500,
    meaning: "What was asked for could not be stored.",
    remedy:
      "Is there room in `DATA_DIR`, and does Redis answer, where there is one? Then try again.",
  },
  admin_busy: {
    status: 503,
    meaning: "Too many streams of events are open.",
    remedy: "Close some of them, or try again later.",
  },
  admin_unavailable: {
    status: 503,
    meaning: "What an admin endpoint needs cannot be reached.",
    remedy: "Try again in a few seconds; the log of Paastis says why.",
  },
  app_kept: {
    status: 409,
    meaning: "The app cannot be put to sleep now.",
    remedy: "The answer says why; try again when that is over.",
  },
} as const satisfies Readonly<Record<string, ErrorEntry>>;

export type AdminCode = keyof typeof ADMIN_CODES;

/** Codes of failures that stop the program or a command. */
export type FailureCode =
  | "certificate_invalid"
  | "config_invalid"
  | "data_dir_in_use"
  | "restart_failed"
  | "listen_failed"
  | "usage";

/** What a person needs to act on a failure. */
export interface Explanation {
  /** What was tried. */
  readonly what: string;
  /** Why it failed, with the present value. */
  readonly why: string;
  /** What to do next. */
  readonly next: string;
}

/** An expected failure, explained. Programming errors stay plain `Error`. */
export class PaastisError extends Error {
  override readonly name = "PaastisError";
  readonly code: AnswerCode | FailureCode;
  readonly explanation: Explanation;

  constructor(code: AnswerCode | FailureCode, explanation: Explanation, cause?: unknown) {
    super(sentencesOf(explanation), { cause });
    this.code = code;
    this.explanation = explanation;
  }
}

/** A list of reasons ends with a line break: then what to do begins a line, and there is no stop left alone. */
function sentencesOf({ what, why, next }: Explanation): string {
  const end = why.endsWith("\n") ? "" : ". ";
  return `${what}: ${why}${end}${next}`;
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The explanation of anything that was thrown; what was not expected has no advice. */
export function explanationOf(thrown: unknown): Explanation {
  if (thrown instanceof PaastisError) return thrown.explanation;
  return { what: "", why: messageOf(thrown), next: "" };
}

/** For the end of an exhaustive `switch`: the compiler proves that it cannot be reached. */
export function assertNever(value: never): never {
  throw new Error(`Unexpected value: ${JSON.stringify(value)}`);
}
