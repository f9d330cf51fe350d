/**
 * How the fake Clever Cloud reads and verifies an OAuth 1.0a signature; RFC 5849, no client's code.
 */

import { createHmac } from "node:crypto";

/** Who signs, and with what. */
export interface OAuthCredentials {
  readonly consumerKey: string;
  readonly consumerSecret: string;
  readonly token: string;
  readonly tokenSecret: string;
}

/** What is signed. */
export interface SignedRequest {
  readonly method: string;
  /** Absolute; path and query as they were sent. */
  readonly url: string;
}

/** `oauth_*` -> value, percent-decoded; without `realm`. */
export type OAuthParameters = Readonly<Record<string, string>>;

const HASHES: Readonly<Record<string, string>> = { "HMAC-SHA512": "sha512", "HMAC-SHA1": "sha1" };
const KNOWN = [
  "oauth_consumer_key",
  "oauth_token",
  "oauth_signature_method",
  "oauth_signature",
  "oauth_timestamp",
  "oauth_nonce",
  "oauth_version",
];
const ENCODED = /^(?:[A-Za-z0-9\-._~]|%[0-9A-F]{2})*$/;

/**
 * Reads `OAuth a="b", …`.
 * @returns the parameters, or a sentence about what is wrong with the header's form
 */
export function readAuthorization(header: string): OAuthParameters | string {
  const [, list] = /^OAuth\s+(.*)$/s.exec(header) ?? [];
  if (list === undefined) return "Authorization must be OAuth";
  const parameters: Record<string, string> = {};
  for (const part of list.split(",")) {
    const [, name, value] = /^\s*([^=\s"]+)="([^"]*)"\s*$/.exec(part) ?? [];
    if (name === undefined || value === undefined) return `not of the form name="value": ${part}`;
    if (name === "realm") continue;
    if (!KNOWN.includes(name)) return `unknown parameter ${name}`;
    if (parameters[name] !== undefined) return `${name} more than once`;
    if (!ENCODED.test(value)) return `${name} is not percent-encoded as RFC 5849 section 3.6 says`;
    parameters[name] = decodeURIComponent(value);
  }
  return parameters;
}

/** What a sentence about the parameters' values says; `null`: they are complete and well-formed. */
export function complaintAbout(parameters: OAuthParameters): string | null {
  const method = parameters.oauth_signature_method ?? "PLAINTEXT";
  if (method !== "PLAINTEXT" && HASHES[method] === undefined) return `unknown method ${method}`;
  const needed = method === "PLAINTEXT" ? KNOWN.slice(0, 2).concat("oauth_signature") : KNOWN;
  for (const name of needed) {
    if ((parameters[name] ?? "") === "") return `${name} is missing`;
  }
  const { oauth_version: version = "1.0", oauth_timestamp: timestamp } = parameters;
  if (version !== "1.0") return `oauth_version is ${version}, not 1.0`;
  if (timestamp !== undefined && !/^[1-9]\d*$/.test(timestamp)) {
    return `oauth_timestamp must be whole seconds: ${timestamp}`;
  }
  return null;
}

/**
 * Whether `oauth_signature` is what these secrets make of the request. Method and parameters must
 * be well-formed.
 */
export function isSignedBy(
  request: SignedRequest,
  parameters: OAuthParameters,
  credentials: OAuthCredentials,
): boolean {
  const { oauth_signature: given, oauth_signature_method: method = "PLAINTEXT" } = parameters;
  const { consumerSecret, tokenSecret } = credentials;
  if (method === "PLAINTEXT") {
    // The official clients join the secrets as they are; the RFC encodes each of them before.
    return given === keyOf(credentials) || given === `${consumerSecret}&${tokenSecret}`;
  }
  return given === hmacOf(request, parameters, credentials);
}

/** Section 3.4.2, with the hash of `oauth_signature_method`; in base64. */
export function hmacOf(
  request: SignedRequest,
  parameters: OAuthParameters,
  credentials: OAuthCredentials,
): string {
  const hash = HASHES[parameters.oauth_signature_method ?? ""];
  if (hash === undefined) throw new Error("not a method with a hash");
  const text = baseStringOf(request, parameters);
  return createHmac(hash, keyOf(credentials)).update(text).digest("base64");
}

/** Section 3.4.1: method, address and sorted parameters, each encoded, joined by `&`. */
export function baseStringOf({ method, url }: SignedRequest, parameters: OAuthParameters): string {
  const [, scheme = "", authority = "", path = "", query = ""] =
    /^([^:]+):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?/.exec(url) ?? [];
  const usualPort = scheme.toLowerCase() === "https" ? ":443" : ":80";
  const host = authority.toLowerCase();
  const hostAndPort = host.endsWith(usualPort) ? host.slice(0, -usualPort.length) : host;
  const address = `${scheme.toLowerCase()}://${hostAndPort}${path === "" ? "/" : path}`;
  const pairs = [...new URLSearchParams(query), ...Object.entries(parameters)]
    .filter(([name]) => name !== "oauth_signature")
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .toSorted((one, other) => compare(one[0], other[0]) || compare(one[1], other[1]))
    .map(([name, value]) => `${name}=${value}`);
  return [method.toUpperCase(), address, pairs.join("&")].map(encode).join("&");
}

function keyOf({ consumerSecret, tokenSecret }: OAuthCredentials): string {
  return `${encode(consumerSecret)}&${encode(tokenSecret)}`;
}

/**
 * Section 3.6: everything but the unreserved characters of RFC 3986, by bytes of UTF-8, in upper
 * case.
 */
function encode(text: string): string {
  return [...Buffer.from(text, "utf8")]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      const isPlain = /[A-Za-z0-9\-._~]/.test(character);
      return isPlain ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
}

/** Encoded text is ASCII, so this is the order of bytes. */
function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
