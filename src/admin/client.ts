/** Who a request comes from, and how, as far as that can be believed. Pure. */

import { plainAddress } from "../client-address.ts";
import type { RequestHead } from "../engines/engine.ts";

/** A sender. */
export interface Client {
  /** Behind a trusted proxy the address that it names, otherwise the other end of the connection. */
  readonly address: string;
  /** Whether it speaks TLS with us, or with a trusted proxy. */
  readonly isSecure: boolean;
  /** The host that it asked for, with its port, in lower case. */
  readonly host: string;
}

/** What must be known. */
export interface ClientFacts {
  readonly isTrusted: (address: string) => boolean;
  /** Whether the listener speaks TLS. */
  readonly isTls: boolean;
}

/** Whatever is claimed by whom nobody trusts counts for nothing. */
export function clientOf(head: RequestHead, { isTrusted, isTls }: ClientFacts): Client {
  const host = head.host ?? "";
  const own = { address: head.clientAddress, isSecure: isTls, host: host.toLowerCase() };
  if (!isTrusted(head.clientAddress)) return own;
  const scheme = firstIn(head.header("x-forwarded-proto"));
  return {
    address: clientNamed(head, isTrusted),
    isSecure: scheme === null ? isTls : scheme === "https",
    host: firstIn(head.header("x-forwarded-host")) ?? own.host,
  };
}

/** Stands for an address that nobody can read: it is in no list. */
export const NAMED_OTHERWISE = "unknown, as its proxy names it by Forwarded alone";

/**
 * The header that is believed is one. A proxy that adds `Forwarded` alone (RFC 7239) may as well have passed on what a
 * client has made up: whose address that is, nobody knows.
 */
function clientNamed(head: RequestHead, isTrusted: (address: string) => boolean): string {
  const isOther = head.header("x-forwarded-for") === null && head.header("forwarded") !== null;
  return isOther ? NAMED_OTHERWISE : namedBy(head, isTrusted);
}

/** The last address of those named that is no trusted proxy's: each proxy adds the one that it was asked by. */
function namedBy(head: RequestHead, isTrusted: (address: string) => boolean): string {
  const named = (head.header("x-forwarded-for") ?? "")
    .split(",")
    .map(addressIn)
    .filter((address) => address !== "");
  return named.findLast((address) => !isTrusted(address)) ?? named[0] ?? head.clientAddress;
}

/** Some proxies add the port: `192.0.2.1:1234`, `[2001:db8::1]:1234`. */
function addressIn(entry: string): string {
  const text = entry.trim();
  const [, bracketed] = /^\[([^\]]*)\](?::\d+)?$/.exec(text) ?? [];
  const [, plain] = /^([\d.]+):\d+$/.exec(text) ?? [];
  return plainAddress(bracketed ?? plain ?? text);
}

/** The entry next to the client, in lower case. */
function firstIn(list: string | null): string | null {
  const first = list?.split(",", 1)[0]?.trim().toLowerCase() ?? "";
  return first === "" ? null : first;
}

/**
 * Whether a page of ours made a browser send this. A cookie goes along with what any page of the same site sends, so a
 * neighbour's, too; a header with a token does not. Browsers say who sent it by `Sec-Fetch-Site`, where they do not, as
 * without TLS, by `Origin` (Fetch Metadata, section 2; RFC 6454, section 7).
 */
export function isFromOwnPage(head: RequestHead, { host }: Client): boolean {
  const site = head.header("sec-fetch-site");
  if (site !== null) return site === "same-origin";
  const origin = head.header("origin")?.toLowerCase() ?? "";
  return origin === `http://${host}` || origin === `https://${host}`;
}
