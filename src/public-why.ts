/** What a visitor of an app may read of a failure, and which visitor may read all of it. */

import { LAST_OUTPUT, LAST_PROBE } from "./app.ts";
import type { Config } from "./config.ts";
import type { RequestHead } from "./engines/engine.ts";
import { publicBeginning } from "./last-word.ts";
import type { ProviderErrorKind } from "./providers/provider.ts";
import { ProviderError } from "./providers/provider.ts";

/** Credentials, addresses and ids of calls are nobody's business but of those who run Paastis. */
const LOG_SAYS = "the log of Paastis says why";

/** What every visitor may read where nothing better is known. */
export const PUBLIC_WHY_DEFAULT = `it went wrong; ${LOG_SAYS}`;

/** The words of a provider are for the log; its visitors are told what it comes down to. */
const MEANINGS: Readonly<Record<ProviderErrorKind, string>> = {
  auth: "its platform refused the call",
  busy: "its platform is busy with it",
  failed: "it could not be started",
  forbidden: "its platform refused the call",
  invalid: "its platform refused the call",
  network: "its platform cannot be reached at the moment",
  "not-found": "its platform does not know it",
  payment: "its platform refused the call",
  protocol: "its platform gave an answer that Paastis does not understand",
  "rate-limited": "its platform takes no more calls at the moment",
  unavailable: "its platform cannot be reached at the moment",
};

/** What visitors may read of a wake's failure. Pure. */
export function publicWhyOf(error: unknown): string {
  // Sentences of our own are plain errors; what a provider says is a `ProviderError`, all else is a mistake.
  if (!(error instanceof Error)) return PUBLIC_WHY_DEFAULT;
  const beginning = publicBeginning(error.message);
  if (beginning !== null) return `${beginning}; ${LOG_SAYS}`;
  if (error instanceof ProviderError) return `${MEANINGS[error.kind]}; ${LOG_SAYS}`;
  return error.constructor === Error ? withoutDetails(error.message) : PUBLIC_WHY_DEFAULT;
}

/** A sentence of our own without an app's last words, and without where it was looked for. Pure. */
function withoutDetails(why: string): string {
  return [LAST_OUTPUT, LAST_PROBE].reduce((text, mark) => text.split(mark, 1)[0] ?? text, why);
}

/** Whether who sent this may read the whole reason of a failure, an app's last output included. */
export function seesDetails(show: Config["showAppOutput"], head: RequestHead): boolean {
  return show === "always" || (show === "local" && isLocal(head));
}

/** Headers that a proxy in front adds: whoever came through one is not on this machine. */
const PROXY_HEADERS = [
  ...["x-forwarded-for", "forwarded", "via", "x-real-ip"],
  ...["x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-server"],
  ...["x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip", "fly-client-ip"],
] as const;

/** Whether the request comes from this very machine, and not through a proxy on it. */
function isLocal(head: RequestHead): boolean {
  const isLoopback = head.clientAddress === "::1" || head.clientAddress.startsWith("127.");
  return isLoopback && !isThroughProxy(head);
}

/** Whether a proxy says that it has passed the request on: then its address is that of many. */
export function isThroughProxy(head: RequestHead): boolean {
  return PROXY_HEADERS.some((name) => head.header(name) !== null);
}
