/** One try to deliver one event to one receiver. */

import { type Clock, deadline } from "./clock.ts";
import type { PaastisEvent } from "./events.ts";
import { connectionTrouble } from "./health.ts";
import { retryAfterMsOf } from "./providers/platform-answer.ts";
import { type WebhookAddress, webhookBodyOf, webhookHeadersOf } from "./webhook-message.ts";
import { verdictOn } from "./webhook-retry.ts";

/** What a try came to. */
export type Outcome =
  | { readonly kind: "delivered" }
  | {
      readonly kind: "again";
      readonly why: string;
      /** What the receiver asks for, ms; `null`: nothing. */
      readonly wishedMs: number | null;
    }
  | { readonly kind: "refused"; readonly why: string };

/** What a try needs. */
export interface AttemptDeps {
  readonly address: WebhookAddress;
  readonly secret: string | null;
  readonly version: string;
  readonly clock: Clock;
  readonly fetch: (url: string, init: BunFetchRequestInit) => Promise<Response>;
}

/** Longest to wait for an answer, ms. */
const TRY_MS = 10_000;

/** Tries once, for ten seconds at most. Never rejects: when `signal` aborts, it is to be tried again. */
export async function attemptDelivery(
  deps: AttemptDeps,
  event: PaastisEvent,
  signal: AbortSignal,
): Promise<Outcome> {
  const late = new Error(`no answer within ${TRY_MS / 1000} s`);
  const limit = deadline(deps.clock, TRY_MS, { reason: late, parent: signal });
  try {
    const response = await send(deps, event, limit.signal);
    const outcome = outcomeOf(response, deps.clock.wallMs());
    // Nobody reads it; that it cannot even be thrown away changes nothing about what was answered.
    response.body?.cancel().catch(() => undefined);
    return outcome;
  } catch (error) {
    const why = limit.signal.aborted ? late.message : troubleOf(error, deps.address);
    return { kind: "again", why, wishedMs: null };
  } finally {
    limit.end();
  }
}

async function send(
  { address, clock, fetch, secret, version }: AttemptDeps,
  event: PaastisEvent,
  signal: AbortSignal,
): Promise<Response> {
  const body = webhookBodyOf(event);
  const atMs = clock.wallMs();
  return await fetch(address.url, {
    method: "POST",
    headers: webhookHeadersOf({ event, body, address, secret, atMs, version }),
    body,
    redirect: "manual",
    decompress: false,
    keepalive: false,
    // Whatever the environment says.
    tls: { rejectUnauthorized: true },
    signal,
  });
}

function outcomeOf({ headers, status }: Response, wallMs: number): Outcome {
  const kind = verdictOn(status);
  switch (kind) {
    case "delivered":
      return { kind };
    case "again": {
      const wishedMs = retryAfterMsOf((name) => headers.get(name), wallMs);
      return { kind, why: `it answered ${status}`, wishedMs };
    }
    case "refused": {
      const isRedirect = status >= 300 && status < 400;
      const more = isRedirect
        ? ", and redirects are not followed: WEBHOOK_URLS must name where it leads"
        : "";
      return { kind, why: `it answered ${status}${more}` };
    }
  }
}

/** In words about the receiver, and without its path. */
function troubleOf(error: unknown, { shown, url }: WebhookAddress): string {
  const { saw } = connectionTrouble(error);
  return saw.replace("in tls_ca", "in NODE_EXTRA_CA_CERTS").replaceAll(url, shown);
}
