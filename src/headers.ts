/** Which headers travel and how they change on the way: tables and pure functions. */

import type { Target } from "./app.ts";

/**
 * Belong to one connection, never to the next one (RFC 9110, section 7.6.1; `proxy-*` and `keep-
 * alive` by RFC 2616, section 13.5.1). `expect` was answered by the engine that read the request.
 */
export const HOP_BY_HOP: readonly string[] = [
  "connection",
  "expect",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** What a client may have been told to say about itself; only a trusted proxy is believed. */
export const CLIENT_CLAIMS: readonly string[] = [
  "cf-connecting-ip",
  "forwarded",
  "front-end-https",
  // Not a claim, but CGI hands it on as HTTP_PROXY, where the app's own HTTP client believes it (httpoxy).
  "proxy",
  "true-client-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "x-forwarded-by",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-prefix",
  "x-forwarded-proto",
  "x-forwarded-protocol",
  "x-forwarded-scheme",
  "x-forwarded-server",
  "x-forwarded-ssl",
  "x-host",
  "x-original-host",
  "x-original-url",
  "x-real-ip",
  "x-rewrite-url",
  "x-scheme",
];

const CLAIMED: ReadonlySet<string> = new Set(CLIENT_CLAIMS);

/**
 * Whether a header is a client's claim about itself, under whatever name an app may read it: CGI,
 * PHP, WSGI and Rack take `X_Real_Ip` for `X-Real-IP`.
 * @param name in lower case
 */
export function isClientClaim(name: string): boolean {
  return CLAIMED.has(name.includes("_") ? name.replaceAll("_", "-") : name);
}

/**
 * Must reach the other side although `Connection` names them: removing one of these changes who is
 * asking, for what, or where the message ends. RFC 9110, section 7.6.1, forbids to name them.
 */
const PROTECTED: ReadonlySet<string> = new Set([
  ...CLIENT_CLAIMS,
  "authorization",
  "cache-control",
  "content-encoding",
  "content-length",
  "content-location",
  "content-range",
  "content-type",
  "cookie",
  "date",
  "host",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "location",
  "origin",
  "range",
  "referer",
  "set-cookie",
  "user-agent",
  "vary",
  "via",
  "www-authenticate",
]);

/** The address under which the client reached us. */
export interface PublicAddress {
  readonly scheme: "http" | "https";
  /** As in a `Host` header: with the port unless it is the scheme's own. */
  readonly host: string;
  readonly port: string;
}

/** What both directions of one exchange must know to rewrite addresses. */
export interface Leg {
  readonly public: PublicAddress;
  readonly target: Target;
  /** The `Host` to send to the target: its own, or the client's where the policy says so. */
  readonly host: string;
}

/** Who is at the other end of the client's connection. */
export interface Peer {
  /** Without `::ffff:`; empty when unknown. */
  readonly address: string;
  /** A proxy of ours stands there: what it says about the client is believed. */
  readonly trusted: boolean;
}

/** Headers in which something may be meant for Paastis alone. */
export const SECRET_HEADERS = ["authorization", "cookie", "x-admin-token"] as const;

/** @returns the value as an app may see it; `null`: nothing of it */
export type WithoutSecrets = (
  name: (typeof SECRET_HEADERS)[number],
  value: string,
) => string | null;

/** What is said to the target about the client. */
export interface Forwarding {
  /** Left out: nothing is meant for us. */
  readonly withoutSecrets?: WithoutSecrets | undefined;
  readonly peer: Peer;
  readonly public: PublicAddress;
  /** Whether `X-Forwarded-*` and `Via` are sent, and an `X-Request-Id` where the client sent none. */
  readonly enabled: boolean;
  /** The id of a request that the client gave none; made when it is first needed, kept for each attempt. */
  requestId: string | null;
  readonly newRequestId: () => string;
}

/**
 * Header names, lower case, that a `Connection` header rightly declares to be for this connection
 * only.
 */
export function namedByConnection(connection: string): readonly string[] {
  return connection
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name) && !PROTECTED.has(name));
}

/** Removes, in place, what belongs to the connection the message came by. */
export function dropHopByHop(headers: Headers): void {
  const connection = headers.get("connection");
  if (connection !== null && connection !== "keep-alive") {
    for (const name of namedByConnection(connection)) headers.delete(name);
  }
  for (const name of HOP_BY_HOP) headers.delete(name);
}

/**
 * The address the client used: the request's own, or what a trusted proxy says that it was.
 * @param header the request's headers, by lower-case name
 * @param own scheme of our listener, and the raw `Host`
 */
export function publicAddressOf(
  header: (name: string) => string | null,
  own: { readonly scheme: "http" | "https"; readonly host: string },
  trusted: boolean,
): PublicAddress {
  const scheme = (trusted ? claimedScheme(header("x-forwarded-proto")) : null) ?? own.scheme;
  const host = (trusted ? firstOf(header("x-forwarded-host")) : null) ?? own.host;
  return { scheme, host, port: portOf(host) ?? (scheme === "https" ? "443" : "80") };
}

/**
 * Says, in place, who asked and for which address. An untrusted client's own claims are gone
 * afterwards, whether ours are sent or not.
 */
export function setForwarded(headers: Headers, forwarding: Forwarding): void {
  const { peer, withoutSecrets } = forwarding;
  if (!peer.trusted) dropClaims(headers);
  if (withoutSecrets !== undefined) dropSecrets(headers, withoutSecrets);
  if (!forwarding.enabled) return;
  if (peer.address !== "") append(headers, "x-forwarded-for", peer.address);
  headers.set("x-forwarded-proto", forwarding.public.scheme);
  headers.set("x-forwarded-host", forwarding.public.host);
  if (!headers.has("x-forwarded-port")) headers.set("x-forwarded-port", forwarding.public.port);
  // RFC 7239: a proxy adds itself to a list that is there; we begin none, X-Forwarded-* says the
  // same.
  if (headers.has("forwarded")) append(headers, "forwarded", `for=${forwardedNode(peer.address)}`);
  if (!headers.has("x-request-id")) headers.set("x-request-id", requestIdOf(forwarding));
  append(headers, "via", "1.1 paastis");
}

/** The id that we give a request which came without one. */
export function requestIdOf(forwarding: Forwarding): string {
  forwarding.requestId ??= forwarding.newRequestId();
  return forwarding.requestId;
}

/** One look at each name costs less than one deletion per claim. */
function dropClaims(headers: Headers): void {
  const claims: string[] = [];
  for (const name of headers.keys()) if (isClientClaim(name)) claims.push(name);
  for (const name of claims) headers.delete(name);
}

function dropSecrets(headers: Headers, withoutSecrets: WithoutSecrets): void {
  for (const name of SECRET_HEADERS) {
    const value = headers.get(name);
    if (value === null) continue;
    const rest = withoutSecrets(name, value);
    if (rest === null) headers.delete(name);
    else if (rest !== value) headers.set(name, rest);
  }
}

/**
 * Addresses the request, in place, to its target. Repeatable with another leg when `origin` is the
 * one the client sent.
 * @param origin the client's `Origin`; one that is the public address becomes the target's own, so
 *   that an app which compares it with `Host` sees the same site
 */
export function setDestination(headers: Headers, leg: Leg, origin: string | null): void {
  headers.set("host", leg.host);
  if (origin === null) return;
  const isOwn = leg.host === leg.target.host && isHttpUrlOf(origin, leg.public.host);
  headers.set("origin", isOwn ? leg.target.origin : origin);
}

/** Makes an answer, in place, one that comes from the public address. */
export function editAnswerHeaders(headers: Headers, leg: Leg): void {
  dropHopByHop(headers);
  for (const name of ["location", "content-location"]) {
    const value = headers.get(name);
    if (value !== null) headers.set(name, toPublicUrl(value, leg));
  }
  const refresh = headers.get("refresh");
  if (refresh !== null) headers.set("refresh", toPublicRefresh(refresh, leg));
  if (headers.has("set-cookie")) rewriteCookies(headers, leg);
}

/**
 * A URL of the target as a URL of the public address; any other is returned as it came, relative
 * ones too. A change of scheme that the app asks for (`http` to `https`) is kept.
 */
export function toPublicUrl(url: string, leg: Leg): string {
  const parts = /^(?:(https?):)?\/\/([^/?#]*)(.*)$/is.exec(url);
  if (parts === null) return url;
  const [, scheme, authority = "", rest = ""] = parts;
  if (!isSameAuthority(authority, leg.target, scheme)) return url;
  if (scheme === undefined) return `//${leg.public.host}${rest}`;
  const own = leg.target.origin.startsWith(`${scheme.toLowerCase()}:`);
  return `${own ? leg.public.scheme : scheme.toLowerCase()}://${leg.public.host}${rest}`;
}

/** The same for `Refresh: 5; url=…`. */
export function toPublicRefresh(refresh: string, leg: Leg): string {
  const parts = /^(.*?[;,]\s*url\s*=\s*)(["']?)(.*?)\2\s*$/is.exec(refresh);
  if (parts === null) return refresh;
  const [, before, quote, url = ""] = parts;
  return `${before}${quote}${toPublicUrl(url, leg)}${quote}`;
}

/** A `Set-Cookie` for the target's host as one for the public host; any other as it came. */
export function toPublicCookie(cookie: string, leg: Leg): string {
  return cookie.replace(
    /(;\s*domain\s*=\s*)\.?([^;\s]*)/gi,
    (whole, before: string, domain: string) =>
      domain.toLowerCase() === hostnameOf(leg.target.host).toLowerCase()
        ? `${before}${hostnameOf(leg.public.host)}`
        : whole,
  );
}

function rewriteCookies(headers: Headers, leg: Leg): void {
  const cookies = headers.getSetCookie();
  const rewritten = cookies.map((cookie) => toPublicCookie(cookie, leg));
  if (rewritten.every((cookie, index) => cookie === cookies[index])) return;
  headers.delete("set-cookie");
  for (const cookie of rewritten) headers.append("set-cookie", cookie);
}

function isSameAuthority(authority: string, target: Target, scheme: string | undefined): boolean {
  const host = authority.toLowerCase();
  const standard = scheme?.toLowerCase() === "https" ? ":443" : ":80";
  return host === target.host || (portOf(target.host) === null && host === target.host + standard);
}

/** Whether an `Origin` is `http(s)://host`. The scheme is left open: TLS may end in front of us. */
function isHttpUrlOf(origin: string, host: string): boolean {
  const rest = /^https?:\/\/(.*)$/i.exec(origin)?.[1];
  return rest !== undefined && rest.toLowerCase() === host.toLowerCase();
}

function append(headers: Headers, name: string, value: string): void {
  const before = headers.get(name);
  headers.set(name, before === null || before === "" ? value : `${before}, ${value}`);
}

function forwardedNode(address: string): string {
  if (address === "") return "unknown";
  return address.includes(":") ? `"[${address}]"` : address;
}

function claimedScheme(value: string | null): "http" | "https" | null {
  const scheme = firstOf(value)?.toLowerCase();
  return scheme === "http" || scheme === "https" ? scheme : null;
}

/** The entry next to the client: proxies append. */
function firstOf(list: string | null): string | null {
  const first = list?.split(",", 1)[0]?.trim();
  return first === undefined || first === "" ? null : first;
}

function portOf(host: string): string | null {
  return /:(\d+)$/.exec(host)?.[1] ?? null;
}

function hostnameOf(host: string): string {
  return host.replace(/:\d+$/, "");
}
