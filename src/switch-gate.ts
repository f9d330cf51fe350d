/** The health gate of a switch: a target must answer as wanted before traffic goes to it. */

import type { Target } from "./app.ts";
import { type Clock, deadline, sleep } from "./clock.ts";
import { connectionTrouble } from "./health.ts";
import { cleanText } from "./log-safety.ts";
import { routeTo, type TargetTrust } from "./target-route.ts";

/** What a target is asked, and what it must answer. */
export interface GateSettings {
  /** `/health`; with a query if need be. */
  readonly path: string;
  readonly method: "GET" | "HEAD";
  /** The `Host` header; `null`: the target's own. */
  readonly host: string | null;
  /** Ranges of the statuses that are healthy, both ends included: `[[200, 299]]`. */
  readonly statuses: readonly (readonly [from: number, to: number])[];
  /** Healthy answers in a row that are needed. */
  readonly successes: number;
  /** For all attempts together; of `lookOnce`: for its one. */
  readonly timeoutMs: number;
}

/** One answer, or why there was none. */
export interface GateLook {
  /** `null`: there was no answer. */
  readonly status: number | null;
  /** How its body begins, 200 bytes at most, on one line and safe to print. */
  readonly body: string;
  /** For people; `null`: it answered. */
  readonly why: string | null;
  /** How long this look took. */
  readonly ms: number;
}

/** How it went. */
export interface GateResult {
  readonly isHealthy: boolean;
  /** How often it was asked. */
  readonly looks: number;
  /** What decided it; of a gate that stayed closed, the last look that lasted. */
  readonly last: GateLook;
}

/** What the gate needs from outside. */
export interface GateDeps {
  readonly clock: Clock;
  readonly fetch: typeof fetch;
  /** Calls the whole thing off: then it is not healthy. */
  readonly signal: AbortSignal;
  /** Whom an `https` target's certificate must come from. Left out: one whom this machine trusts. */
  readonly trust?: TargetTrust;
}

/** Between two looks. It may still be starting: soon at first, then less often. */
const PAUSE_MS = { first: 50, last: 500 } as const;
/** Of a body. Nobody reads more of an error message. */
const BODY_BYTES_MAX = 200;
/** How long to wait for them once the status is known: an event stream may say nothing for hours. */
const BODY_PATIENCE_MS = 100;

const TIME_IS_UP = "no answer in time";
const CALLED_OFF = "the check was called off";

/**
 * Asks until the wanted answers came in a row, or the time is up. What refuses connections, or answers otherwise,
 * is asked again: a new version may still be starting. Never rejects.
 */
export async function passGate(
  target: Target,
  settings: GateSettings,
  deps: GateDeps,
): Promise<GateResult> {
  const { clock } = deps;
  const endMs = clock.now() + settings.timeoutMs;
  const limit = deadline(clock, settings.timeoutMs, { reason: TIME_IS_UP, parent: deps.signal });
  let last: GateLook | null = null;
  let pauseMs: number = PAUSE_MS.first;
  let inARow = 0;
  try {
    for (let looks = 1; ; looks += 1) {
      const look = await lookAt(target, settings, { ...deps, signal: limit.signal });
      const isHealthy = isWanted(look, settings);
      if (last === null || saysMore(look)) last = look;
      inARow = isHealthy ? inARow + 1 : 0;
      if (inARow >= settings.successes) return { isHealthy: true, looks, last };
      const leftMs = endMs - clock.now();
      // What is left would not be enough for an answer.
      if (leftMs <= PAUSE_MS.first || limit.signal.aborted)
        return { isHealthy: false, looks, last };
      if (isHealthy) pauseMs = PAUSE_MS.first;
      // The nearer the end the sooner, so that the last moment is not slept through.
      await pause(Math.max(PAUSE_MS.first, Math.min(pauseMs, leftMs / 2)), clock, limit.signal);
      if (limit.signal.aborted) return { isHealthy: false, looks, last };
      if (!isHealthy) pauseMs = Math.min(pauseMs * 2, PAUSE_MS.last);
    }
  } finally {
    limit.end();
  }
}

/** Asks one time, for `timeoutMs` at most. Never rejects. */
export async function lookOnce(
  target: Target,
  settings: GateSettings,
  deps: GateDeps,
): Promise<{ readonly isHealthy: boolean; readonly look: GateLook }> {
  const { timeoutMs } = settings;
  const limit = deadline(deps.clock, timeoutMs, { reason: TIME_IS_UP, parent: deps.signal });
  try {
    const look = await lookAt(target, settings, { ...deps, signal: limit.signal });
    return { isHealthy: isWanted(look, settings), look };
  } finally {
    limit.end();
  }
}

/** A look that the end of all time cut short hides what the one before has seen. */
function saysMore({ why, ms }: GateLook): boolean {
  return (why !== TIME_IS_UP && why !== CALLED_OFF) || ms > PAUSE_MS.last;
}

function isWanted({ status, why }: GateLook, { statuses }: GateSettings): boolean {
  if (status === null || why !== null) return false;
  return statuses.some(([from, to]) => status >= from && status <= to);
}

/** Resolves when the signal aborts, too. */
async function pause(delayMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
  await sleep(clock, delayMs, signal).catch(() => undefined);
}

async function lookAt(target: Target, settings: GateSettings, deps: GateDeps): Promise<GateLook> {
  const { clock, signal } = deps;
  const beganMs = clock.now();
  const seen = await answerOf(target, settings, deps).catch((error: unknown) => ({
    status: null,
    body: "",
    why: signal.aborted ? TIME_IS_UP : troubleOf(error),
  }));
  const why = isCalledOff(signal) ? CALLED_OFF : seen.why;
  return { ...seen, why, ms: clock.now() - beganMs };
}

async function answerOf(
  target: Target,
  { path, method, host }: GateSettings,
  { clock, fetch, signal, trust = { tlsVerify: true, tlsCa: null } }: GateDeps,
): Promise<Omit<GateLook, "ms">> {
  signal.throwIfAborted();
  const response = await fetch(target.origin + path, {
    method,
    headers: {
      host: host ?? target.host,
      "user-agent": "paastis-health",
      accept: "*/*",
      connection: "close",
    },
    redirect: "manual",
    decompress: false,
    proxy: false,
    // `Connection: close` alone is not enough for a target that does not heed it.
    keepalive: false,
    timeout: false,
    ...routeTo(target, trust),
    signal,
  });
  const { bytes, isBroken } = await beginningOf(response, clock);
  // A body that was cut by us says nothing against an answer that came in time.
  const why = isBroken && !signal.aborted ? "the answer broke off" : null;
  return { status: response.status, body: oneLine(bytes), why };
}

/** The first bytes of a body, which is let go of then, however much more there is. */
async function beginningOf(
  { body }: Response,
  clock: Clock,
): Promise<{ readonly bytes: Uint8Array; readonly isBroken: boolean }> {
  const bytes = new Uint8Array(BODY_BYTES_MAX);
  let size = 0;
  const reader = body?.getReader();
  const letGo = () => void reader?.cancel().catch(() => undefined);
  const cancelTimer = clock.after(BODY_PATIENCE_MS, letGo);
  try {
    while (reader !== undefined && size < BODY_BYTES_MAX) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes.set(value.subarray(0, BODY_BYTES_MAX - size), size);
      size = Math.min(size + value.length, BODY_BYTES_MAX);
    }
    return { bytes: bytes.subarray(0, size), isBroken: false };
  } catch {
    return { bytes: bytes.subarray(0, size), isBroken: true };
  } finally {
    cancelTimer();
    letGo();
  }
}

function oneLine(bytes: Uint8Array): string {
  // As of a stream: what the cut left of a character is left out.
  const text = new TextDecoder().decode(bytes, { stream: true });
  return cleanText(text).replaceAll(/\s+/g, " ").trim();
}

function isCalledOff({ aborted, reason }: AbortSignal): boolean {
  return aborted && reason !== TIME_IS_UP;
}

function troubleOf(error: unknown): string {
  return cleanText(connectionTrouble(error).saw);
}
