/** Signatures of OAuth 1.0a with HMAC-SHA512, as Clever Cloud's API wants them. */

import { createHmac } from "node:crypto";

/** What a call is signed with. */
export interface OAuth1Secrets {
  readonly consumerKey: string;
  readonly consumerSecret: string;
  readonly token: string;
  /** The token's own. */
  readonly secret: string;
}

/** What is signed. */
export interface OAuth1Request {
  readonly method: string;
  /** The whole URL, as it will be sent. */
  readonly url: URL;
  /** Unique among all calls of the same second. */
  readonly nonce: string;
  /** When it is sent, in seconds since the Unix epoch. */
  readonly timestampS: number;
}

/** Pure. The value of `Authorization`. Source: RFC 5849, 3.5.1. */
export function oauth1Header(request: OAuth1Request, secrets: OAuth1Secrets): string {
  const fields = { ...fieldsOf(request, secrets), oauth_signature: signatureOf(request, secrets) };
  const pairs = Object.entries(fields).map(([name, value]) => `${name}="${percentEncoded(value)}"`);
  return `OAuth ${pairs.join(", ")}`;
}

/** Pure. The signature, in base64. Source: RFC 5849, 3.4. */
export function signatureOf(request: OAuth1Request, secrets: OAuth1Secrets): string {
  const { method, url } = request;
  const base = [method.toUpperCase(), url.origin + url.pathname, parametersOf(request, secrets)];
  const key = [secrets.consumerSecret, secrets.secret].map(percentEncoded).join("&");
  return createHmac("sha512", key).update(base.map(percentEncoded).join("&")).digest("base64");
}

function fieldsOf(request: OAuth1Request, secrets: OAuth1Secrets): Record<string, string> {
  return {
    oauth_consumer_key: secrets.consumerKey,
    oauth_token: secrets.token,
    oauth_signature_method: "HMAC-SHA512",
    oauth_timestamp: String(request.timestampS),
    oauth_nonce: request.nonce,
    oauth_version: "1.0",
  };
}

/** Everything but the signature itself, sorted by its encoded name, then by its encoded value. */
function parametersOf(request: OAuth1Request, secrets: OAuth1Secrets): string {
  const all = [...request.url.searchParams, ...Object.entries(fieldsOf(request, secrets))];
  const encoded = all.map(
    ([name, value]) => [percentEncoded(name), percentEncoded(value)] as const,
  );
  const sorted = encoded.toSorted(
    ([name, value], [otherName, otherValue]) =>
      compareBytes(name, otherName) || compareBytes(value, otherValue),
  );
  return sorted.map(([name, value]) => `${name}=${value}`).join("&");
}

/** Both are ASCII, so that code units are bytes. */
function compareBytes(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

/** Everything but letters, digits and `-._~`. Source: RFC 5849, 3.6. */
function percentEncoded(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
