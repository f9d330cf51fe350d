/** The part of `check` that reads the certificate for clients, which the start reads by itself. */

import { type PairReading, readPair } from "../certificate-files.ts";
import { createSystemClock } from "../clock.ts";
import type { Config } from "../config.ts";

/** What is to be said about it. */
export interface CertificateDoubts {
  /** It cannot be used. No problem of the configuration: it may come late, and who runs us tries again. */
  readonly problem: string | null;
  readonly warnings: readonly string[];
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** From so many days before its end on a certificate is warned about. */
const SOON_DAYS = 14;

/** Reads the files, if there are any. Never throws. */
export function certificateDoubts({
  listener: { tls },
}: Pick<Config, "listener">): CertificateDoubts {
  if (tls === null) return { problem: null, warnings: [] };
  const pair = readPair(tls);
  if (pair.kind === "unusable") {
    return { problem: `TLS_CERT and TLS_KEY cannot be used: ${pair.why}`, warnings: [] };
  }
  const doubt = doubtAboutDates(pair, createSystemClock().wallMs());
  const named = `TLS_CERT: the certificate in ${tls.certFile} (${pair.names})`;
  return { problem: null, warnings: doubt === null ? [] : [`${named} ${doubt}`] };
}

/** Pure. Goes on after the certificate's name; `null`: it is good, and for some time. */
export function doubtAboutDates(
  {
    validFromMs,
    validUntilMs,
  }: Pick<Extract<PairReading, { kind: "pair" }>, "validFromMs" | "validUntilMs">,
  nowMs: number,
): string | null {
  const leftMs = validUntilMs - nowMs;
  if (leftMs <= 0) return `expired on ${momentOf(validUntilMs)}: clients refuse it`;
  if (nowMs < validFromMs)
    return `is not valid before ${momentOf(validFromMs)}: clients refuse it until then`;
  if (leftMs > SOON_DAYS * DAY_MS) return null;
  const days = Math.floor(leftMs / DAY_MS);
  const left = days === 0 ? "less than a day" : days === 1 ? "1 day" : `${days} days`;
  return `expires in ${left}, on ${momentOf(validUntilMs)}`;
}

function momentOf(ms: number): string {
  return new Date(ms)
    .toISOString()
    .replace(/:\d\d\.\d+Z$/, " UTC")
    .replace("T", " ");
}
