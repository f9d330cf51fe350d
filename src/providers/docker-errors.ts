/** What an engine that refuses, or does not answer, means: in words for people. Pure. */

import { messageOf } from "../errors.ts";
import { bodyOf, type ReadBody } from "./platform-answer.ts";
import { quoteOf } from "./platform-quote.ts";
import { ProviderError, type ProviderErrorKind, type Trouble } from "./provider.ts";

/** The engine said no. */
export interface EngineRefusal {
  readonly kind: "refused";
  /** 400 or above. */
  readonly status: number;
  /** What it said, in quotes; empty: nothing. */
  readonly words: string;
}

/** An answer of 400 or above. Engines explain themselves as JSON, to old versions as plain text. */
export function refusalOf(status: number, read: ReadBody): EngineRefusal {
  return { kind: "refused", status, words: quoteOf(bodyOf(read)) };
}

const KINDS: Readonly<Record<number, ProviderErrorKind>> = {
  401: "auth",
  403: "forbidden",
  404: "not-found",
  409: "busy",
  429: "rate-limited",
};

/** A refusal that nobody has a use for. @param what completes "could not …" */
export function failureOf(what: string, refusal: EngineRefusal, address: string): ProviderError {
  const { status, words } = refusal;
  const kind = KINDS[status] ?? (status >= 500 ? "unavailable" : "invalid");
  const said = words === "" ? `status ${status}` : `status ${status}: ${words}`;
  const who =
    status === 403
      ? `the engine at ${address}, or a proxy in front of it, does not allow that call`
      : `the engine at ${address} refuses`;
  return new ProviderError(kind, `could not ${what}: ${who} (${said})`);
}

/** Nothing that can be used came back. */
export interface Silence {
  /** Completes "could not …". */
  readonly what: string;
  readonly address: string;
  /** What was thrown; `null`: its time was up. */
  readonly error: unknown;
  readonly timeoutMs: number;
  /** It only reads: nothing can have been done. */
  readonly isRead: boolean;
  readonly trouble: Trouble;
}

/** Why no answer came, as an error. @param onWhy told what is wrong with the engine itself */
export function silenceError(silence: Silence, onWhy: (why: string) => void): ProviderError {
  const { what, error, isRead, trouble } = silence;
  if (error instanceof ProviderError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const kind: ProviderErrorKind = FORBIDDEN.has(code) ? "forbidden" : "network";
  const isUncertain = !isRead && !UNSENT.has(code) && !FORBIDDEN.has(code);
  const why = whySilent(silence, code);
  onWhy(why);
  const message = `could not ${what}: ${why}`;
  return new ProviderError(kind, message, { cause: error, isUncertain, trouble });
}

const FORBIDDEN: ReadonlySet<string> = new Set(["EACCES", "EPERM"]);
const UNTRUSTED = "has a certificate that the ca.pem of DOCKER_CERT_PATH does not vouch for";

/** Nobody has seen the call. Codes of the runtime, as seen in Bun 1.4.5. */
const UNSENT: ReadonlyMap<string, string> = new Map([
  [
    "ENOENT",
    "does not answer, as there is no such socket: is it running, and is DOCKER_HOST right?",
  ],
  ["ENOTDIR", "does not answer, as there is no such socket: is DOCKER_HOST right?"],
  ["ECONNREFUSED", "does not answer, as nobody listens there: is it running?"],
  ["ConnectionRefused", "does not answer, as nobody listens there: is it running?"],
  ["ENOTFOUND", "has no address: is the name in DOCKER_HOST right?"],
  ["EPROTO", "does not speak TLS, or not ours: are DOCKER_HOST and DOCKER_TLS_VERIFY right?"],
  ["CERT_HAS_EXPIRED", "has a certificate that has expired"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", UNTRUSTED],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "has a certificate for another name"],
  ["SELF_SIGNED_CERT_IN_CHAIN", UNTRUSTED],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", UNTRUSTED],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", UNTRUSTED],
]);

/** After the call was sent, or perhaps. A server that wants TLS closes, too, when it is not given any. */
const CLOSED = "closed the connection before its answer was complete";

function whySilent({ address, error, timeoutMs }: Silence, code: string): string {
  const engine = `the engine at ${address}`;
  if (error === null) return `${engine} gave no complete answer within ${timeoutMs / 1000} s`;
  if (FORBIDDEN.has(code)) {
    return `Paastis may not use the socket of ${engine}: run it as a member of the group that owns it, usually docker`;
  }
  const why = UNSENT.get(code) ?? (code === "ECONNRESET" ? CLOSED : null);
  return why === null ? `${engine} could not be reached (${messageOf(error)})` : `${engine} ${why}`;
}
