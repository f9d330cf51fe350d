/** What a webhook is sent: where, with which headers, and the body. Pure. */

import type { PaastisEvent } from "./events.ts";
import { cleanFields, cleanText } from "./log-safety.ts";
import { signatureOf } from "./webhook-signature.ts";

/** A receiver. */
export interface WebhookAddress {
  /** Without user, password and fragment. */
  readonly url: string;
  /** The user and password that stood in it, as `Basic …`; `null`: there were none. */
  readonly authorization: string | null;
  /** How it is called in the log: neither path nor query, which may be secrets. */
  readonly shown: string;
}

/** @param urls as the configuration has them: one that is like others in the log has its number there */
export function addressesOf(urls: readonly string[]): readonly WebhookAddress[] {
  return urls.map((text, index) => {
    const url = new URL(text);
    const { origin, username, password } = url;
    const shown = urls.length === 1 ? origin : `${origin} (number ${index + 1} of WEBHOOK_URLS)`;
    const pair = `${decoded(username)}:${decoded(password)}`;
    url.username = "";
    url.password = "";
    url.hash = "";
    const hasUser = username !== "" || password !== "";
    const authorization = hasUser ? `Basic ${Buffer.from(pair).toString("base64")}` : null;
    return { url: url.href, authorization, shown };
  });
}

/** A `%` that begins nothing stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The body: the event as `/__events` tells it, and whose the app is. Credentials are taken out, as for the log. */
export function webhookBodyOf(event: PaastisEvent): string {
  const { id, name, app, ref, atMs, cause, reason, details } = event;
  return JSON.stringify({
    id,
    name,
    date: new Date(atMs).toISOString(),
    app,
    provider: ref.provider,
    cause: cleanText(cause.detail),
    reason: reason === "" ? null : cleanText(reason),
    details: cleanFields(details),
  });
}

/** What the headers of a delivery are made of. */
export interface Delivery {
  readonly event: Pick<PaastisEvent, "id" | "name">;
  readonly body: string;
  readonly address: Pick<WebhookAddress, "authorization">;
  /** `null`: it is not signed. */
  readonly secret: string | null;
  /** When it is sent, ms since the epoch. */
  readonly atMs: number;
  /** Ours. */
  readonly version: string;
}

/** The same with each try but for the signature, whose time is that of the try. */
export function webhookHeadersOf(delivery: Delivery): Record<string, string> {
  const { event, body, address, secret, atMs, version } = delivery;
  return {
    "content-type": "application/json",
    "user-agent": `paastis/${version}`,
    "paastis-event": event.name,
    "paastis-delivery": event.id,
    ...(address.authorization !== null && { authorization: address.authorization }),
    ...(secret !== null && { "paastis-signature": signatureOf(secret, atMs, body) }),
  };
}
