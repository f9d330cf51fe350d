/** Finding out whether a target answers: one probe, and probing until it does. */

import type { HealthCheck, Target } from "./app.ts";
import type { Clock } from "./clock.ts";
import { deadline, sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import { routeTo, type TargetTrust } from "./target-route.ts";

/** What one probe saw. */
export interface ProbeResult {
  readonly healthy: boolean;
  /** For people: `503 from /healthz`, `connection refused`. */
  readonly saw: string;
  /** No connection could be made: nothing listens there, say, or its name has no address. */
  readonly isUnreachable?: boolean;
}

/** What a probe looks at. */
export interface ProbeOrder {
  readonly target: Target;
  readonly check: HealthCheck;
  /** The app's own, so that a probe gets through where requests do, and nowhere else. */
  readonly trust: TargetTrust;
  /** How the app's platform says "down"; `null` when it has no such answer. */
  readonly isDownAnswer: DownAnswer | null;
  readonly signal: AbortSignal;
}

/** One look at a target. Never rejects, but for an aborted signal. */
export type Probe = (order: ProbeOrder) => Promise<ProbeResult>;

/** The part of `fetch` that probing needs. */
export type ProbeFetch = (url: string, init: BunFetchRequestInit) => Promise<Response>;

/** Whether an answer is the platform saying "down" rather than the app speaking; `id` is its platform's name for it. */
export type DownAnswer = (
  status: number,
  header: (name: string) => string | null,
  id?: string,
) => boolean;

/**
 * A probe over HTTP, by the route that requests take. With a health path the answer must be 2xx; without
 * one any answer of the app will do.
 */
export function createProbe(fetch: ProbeFetch): Probe {
  return async function probe({ target, check, trust, isDownAnswer, signal }) {
    try {
      const response = await fetch(target.origin + (check.path ?? "/"), {
        headers: { host: target.host, "user-agent": "paastis-health", accept: "*/*" },
        redirect: "manual",
        decompress: false,
        proxy: false,
        keepalive: false,
        ...routeTo(target, trust),
        signal,
      });
      await response.body?.cancel();
      const isDown = isDownAnswer?.(response.status, (name) => response.headers.get(name)) === true;
      const healthy = !isDown && (check.path === null || response.ok);
      const saw = isDown ? "the platform's own page that says the app is down" : "";
      return { healthy, saw: saw || `status ${response.status} from ${check.path ?? "/"}` };
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      return { healthy: false, ...connectionTrouble(error) };
    }
  };
}

const NOBODY_VOUCHES = "nobody vouches for its certificate: name the CA that does in tls_ca";

/** The runtime's own words speak of computers and URLs; these say what is wrong with the app. */
const TROUBLES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused: nothing listens there",
  ConnectionRefused: "connection refused: nothing listens there",
  ECONNRESET: "it closed the connection without an answer",
  EAI_AGAIN: "its name cannot be looked up: name servers do not answer",
  ENOTFOUND: "the name has no address",
  ENOENT: "there is no socket yet",
  EACCES: "permission denied: may Paastis use the socket?",
  Malformed_HTTP_Response: "it does not speak HTTP",
  EAGAIN: "too many wait for it to accept connections",
  CERT_HAS_EXPIRED: "its certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: NOBODY_VOUCHES,
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name than that in its address",
  SELF_SIGNED_CERT_IN_CHAIN: NOBODY_VOUCHES,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOBODY_VOUCHES,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOBODY_VOUCHES,
};

/** Those of them that something has, which takes connections otherwise. */
const REACHED: ReadonlySet<string> = new Set(["ECONNRESET", "EAGAIN", "Malformed_HTTP_Response"]);

/** What an attempt to ask a target came to, in words about the app. @param error what the runtime threw */
export function connectionTrouble(error: unknown): Pick<ProbeResult, "saw" | "isUnreachable"> {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const saw = TROUBLES[code];
  if (saw === undefined) return { saw: messageOf(error) };
  return REACHED.has(code) ? { saw } : { saw, isUnreachable: true };
}

/** How long to wait before the next probe, by the time since the first one; ms. Early and often, then seldom. */
export function probeDelayMs(elapsedMs: number): number {
  if (elapsedMs < 500) return 10;
  if (elapsedMs < 10_000) return 25;
  if (elapsedMs < 60_000) return 250;
  return 1000;
}

/** A probe that hangs is given up and repeated: the app may have accepted it too early. Doubles up to the last. */
const PROBE_TIMEOUT_FIRST_MS = 2000;
const PROBE_TIMEOUT_LAST_MS = 32_000;

/**
 * Probes until the target is healthy.
 * @throws the signal's reason when it aborts first; `onProbe` has then seen what the last probe saw
 */
export async function untilHealthy(options: {
  readonly probe: (signal: AbortSignal) => Promise<ProbeResult>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProbe?: (result: ProbeResult) => void;
}): Promise<void> {
  const { clock, signal } = options;
  const startedMs = clock.now();
  let timeoutMs = PROBE_TIMEOUT_FIRST_MS;
  for (;;) {
    const result = await probeWithin(options, timeoutMs);
    options.onProbe?.(result);
    if (result.healthy) return;
    if (result.saw === PROBE_HUNG) timeoutMs = Math.min(timeoutMs * 2, PROBE_TIMEOUT_LAST_MS);
    await sleep(clock, probeDelayMs(clock.now() - startedMs), signal);
  }
}

const PROBE_HUNG = "connected, but no answer";

async function probeWithin(
  options: Parameters<typeof untilHealthy>[0],
  timeoutMs: number,
): Promise<ProbeResult> {
  options.signal.throwIfAborted();
  const limit = deadline(options.clock, timeoutMs, { reason: PROBE_HUNG, parent: options.signal });
  try {
    return await options.probe(limit.signal);
  } catch (error) {
    options.signal.throwIfAborted();
    return { healthy: false, saw: limit.signal.aborted ? PROBE_HUNG : messageOf(error) };
  } finally {
    limit.end();
  }
}
