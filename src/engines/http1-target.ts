/** What a request is addressed to: the forms of a target, and whether a Host is one host. */

import { isIPv6 } from "node:net";
import { consistsOf, DIGIT, HOST_NAME } from "./http1-characters.ts";
import { type Refusal, refuse, refuseHost } from "./http1-refusal.ts";

/** Where a request wants to go (RFC 9112, section 3.2). */
export interface RequestTarget {
  /** `authority`: CONNECT only. `asterisk`: OPTIONS only. */
  readonly form: "origin" | "absolute" | "authority" | "asterisk";
  /**
   * What a server that is not a proxy is asked for: path and query byte for byte. Of an absolute
   * form without a path `/`, or `*` for OPTIONS (section 3.2.4). Empty for CONNECT.
   */
  readonly path: string;
  /** Host and port of an absolute or authority form, as they came; otherwise `null`. */
  readonly authority: string | null;
}

/** Longest DNS name with brackets, colon and port; a longer Host is no host. */
const HOST_MAX = 261;
const PORT_DIGITS_MAX = 5;
const PORT_MAX = 65_535;

const SCHEMES = [
  { prefix: "http://", port: ":80" },
  { prefix: "https://", port: ":443" },
] as const;

/**
 * Reads the target of a request whose bytes were found allowed. Dot segments, `//`, `%2F` and the
 * like stay as they are: only whose they are is decided here.
 * @param host the request's one Host, found well-formed, or `null`
 */
export function readTarget(
  method: string,
  target: string,
  host: string | null,
): RequestTarget | Refusal {
  if (method === "CONNECT") return readAuthority(target);
  if (target.charCodeAt(0) === SLASH) return { form: "origin", path: target, authority: null };
  if (target === "*") {
    if (method === "OPTIONS") return { form: "asterisk", path: "*", authority: null };
    return refuse(400, "the target * is for OPTIONS only");
  }
  return readAbsolute(method, target, host);
}

const SLASH = 0x2f;

/** `host ":" port` (RFC 9112, section 3.2.3): both are needed to know where to connect. */
function readAuthority(target: string): RequestTarget | Refusal {
  const port = target.lastIndexOf(":") + 1;
  if (port > 0 && port < target.length && consistsOf(DIGIT, target, port) && isHost(target)) {
    return { form: "authority", path: "", authority: target };
  }
  return refuse(400, "the target of CONNECT is not a host with a port");
}

/**
 * A whole URL. RFC 9112, section 3.2.2, has its authority replace the Host; whoever sends both must
 * send the same (section 3.2), so a request in which they differ is refused: the next reader might
 * go by the other one.
 */
function readAbsolute(
  method: string,
  target: string,
  host: string | null,
): RequestTarget | Refusal {
  const start = target.slice(0, 8).toLowerCase();
  const scheme = SCHEMES.find(({ prefix }) => start.startsWith(prefix));
  if (scheme === undefined) {
    return refuse(400, "the target is neither a path nor an http or https URL");
  }
  const from = scheme.prefix.length;
  const end = endOfAuthority(target, from);
  const authority = target.slice(from, end);
  if (!isHost(authority)) {
    return refuseHost("the host in the target is not a host with an optional port");
  }
  if (host !== null && plain(authority, scheme.port) !== plain(host, scheme.port)) {
    return refuseHost("the host in the target is not the one in the Host header");
  }
  return { form: "absolute", path: pathOf(method, target.slice(end)), authority };
}

function endOfAuthority(target: string, from: number): number {
  for (let at = from; at < target.length; at += 1) {
    const character = target[at];
    if (character === "/" || character === "?") return at;
  }
  return target.length;
}

function pathOf(method: string, rest: string): string {
  if (rest.startsWith("/")) return rest;
  if (rest === "" && method === "OPTIONS") return "*";
  return `/${rest}`;
}

/** For comparison only: without case, and without the port that the scheme means anyway. */
function plain(host: string, schemePort: string): string {
  const lower = host.toLowerCase();
  if (lower.endsWith(schemePort)) return lower.slice(0, -schemePort.length);
  return lower.endsWith(":") ? lower.slice(0, -1) : lower;
}

/**
 * What is wrong with a request's Host. RFC 9112, section 3.2, has HTTP/1.1 come with exactly one,
 * and any version with at most one, well-formed. HTTP/1.0 may come without: then only an absolute
 * target names the host, and whether a request that names none is served is not decided here.
 * @param hosts value of each `Host` line
 * @param minor the x of the request's `HTTP/1.x`
 */
export function refusalOfHosts(hosts: readonly string[], minor: 0 | 1): Refusal | null {
  const [host] = hosts;
  if (host === undefined) return minor === 0 ? null : refuseHost("there is no Host header");
  if (hosts.length > 1) return refuseHost("there is more than one Host header");
  if (isHost(host)) return null;
  return refuseHost("the Host header is not one host with an optional port");
}

/**
 * Whether a Host is one host with an optional port (RFC 9110, section 7.2): a DNS name, underscores
 * allowed, or an address. Stricter than RFC 3986, section 3.2.2: no `%`, no comma and none of the
 * other characters that no DNS name has, no zone, and not the empty host, which names nothing.
 */
function isHost(host: string): boolean {
  if (host.length > HOST_MAX) return false;
  const end = host.charCodeAt(0) === BRACKET ? endOfAddress(host) : endOfName(host);
  return end > 0 && (end === host.length || isPort(host, end));
}

const BRACKET = 0x5b;

/** Index past the `]`, or 0. */
function endOfAddress(host: string): number {
  const close = host.indexOf("]");
  const address = host.slice(1, close);
  return close > 0 && !address.includes("%") && isIPv6(address) ? close + 1 : 0;
}

function endOfName(host: string): number {
  let at = 0;
  while (at < host.length && HOST_NAME[host.charCodeAt(at)] === 1) at += 1;
  return at;
}

/** A colon and, if anything, a port that exists; `host:` is allowed and means the scheme's own. */
function isPort(host: string, colon: number): boolean {
  if (host[colon] !== ":" || host.length - colon - 1 > PORT_DIGITS_MAX) return false;
  return consistsOf(DIGIT, host, colon + 1) && Number(host.slice(colon + 1)) <= PORT_MAX;
}
