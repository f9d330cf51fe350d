/** One attempt at a call: sent, answered and read within its time, or broken off. */

import { type Clock, deadline } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { type Broken, type RawAnswer, readBody } from "./platform-answer.ts";
import type { PlatformFetch } from "./platform-api.ts";

/** What an attempt needs. */
export interface AttemptOrder {
  readonly fetch: PlatformFetch;
  readonly clock: Clock;
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  /** JSON, or a form; `null`: no body. */
  readonly payload: string | null;
  /** Pieces of the credential, as `secretsOf` finds them. */
  readonly secrets: readonly string[];
  /** From now to the last byte of the answer, in ms. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Sends it once and reads the answer. Redirections are not followed.
 * @throws the signal's reason when it aborts; nothing else
 */
export async function attempt(order: AttemptOrder): Promise<RawAnswer | Broken> {
  const { clock, signal, timeoutMs } = order;
  signal.throwIfAborted();
  const limit = deadline(clock, timeoutMs, { reason: new Error("timed out"), parent: signal });
  try {
    const response = await order.fetch(order.url.href, {
      method: order.method,
      headers: order.headers,
      ...(order.payload === null ? {} : { body: order.payload }),
      redirect: "manual",
      // A connection that was used before may die under a call. The runtime then sends GET, PUT and DELETE once more by
      // itself: a stop twice, or a signature whose nonce the platform has seen.
      keepalive: false,
      timeout: false,
      signal: limit.signal,
    });
    const read = await readBody(response, order.secrets);
    const { headers, status } = response;
    return { kind: "answer", status, header: (name) => headers.get(name), read };
  } catch (error) {
    signal.throwIfAborted();
    return limit.signal.aborted ? timedOut(order.url, timeoutMs) : brokenOff(order.url, error);
  } finally {
    limit.end();
  }
}

function timedOut({ host }: URL, timeoutMs: number): Broken {
  const message = `${host} gave no complete answer within ${timeoutMs / 1000} s`;
  return { kind: "broken", error: "network", message, isUncertain: true, isFinal: false };
}

/** Trouble before the first byte was sent, by the runtime's code: nobody has seen the call. */
const UNSENT: Readonly<Record<string, string>> = {
  ConnectionRefused: "refused the connection",
  ECONNREFUSED: "refused the connection",
  ENOTFOUND: "has no address: is the name right?",
  EPROTO: "does not speak TLS there, or not ours",
  EAI_AGAIN: "could not be looked up: name servers do not answer",
  CERT_HAS_EXPIRED: "has a certificate that has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: "has a certificate that nobody vouches for",
  ERR_TLS_CERT_ALTNAME_INVALID: "has a certificate for another name",
  SELF_SIGNED_CERT_IN_CHAIN: "has a certificate that nobody vouches for",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "has a certificate that nobody vouches for",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "has a certificate that nobody vouches for",
};

const CLOSED = "closed the connection before its answer was complete";
const SENT: Readonly<Record<string, string>> = {
  ConnectionClosed: CLOSED,
  ECONNRESET: CLOSED,
};

function brokenOff({ host }: URL, error: unknown): Broken {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const why = UNSENT[code] ?? SENT[code] ?? `could not be reached (${messageOf(error)})`;
  return {
    kind: "broken",
    error: "network",
    message: `${host} ${why}`,
    isUncertain: !(code in UNSENT),
    isFinal: false,
    cause: error,
  };
}
