/** Who may use the admin endpoints. Pure. */

import { isIP } from "node:net";

import { createTrust, plainAddress } from "../client-address.ts";
import type { AdminConfig } from "../config.ts";
import type { RequestHead } from "../engines/engine.ts";
import { isThroughProxy } from "../public-why.ts";
import { type AdminAnswer, refusal } from "../switch-answers.ts";
import { createSecretCheck } from "./secret.ts";

/** Says why somebody may not; `null`: they may. */
export type AdminGuard = (head: RequestHead) => AdminAnswer | null;

/**
 * A guard for requests that come over TCP. The address that counts is the client's: behind a trusted proxy the one that
 * it names, otherwise the other end of the connection, whatever is claimed. Without a token they can only read, and only
 * directly: behind a proxy on this machine everybody has its address.
 */
export function createAdminGuard(config: AdminConfig): AdminGuard {
  const isListed = createTrust(config.allowlist);
  const isTrusted = createTrust(config.trustedProxies);
  const isToken = config.token === null ? null : createSecretCheck(config.token);
  return (head) => {
    const address = clientOf(head, isTrusted);
    if (!isListed(address)) {
      const who = isIP(address) === 0 ? "This client" : address;
      return forbidden(`${who} is not in ADMIN_ALLOWLIST`);
    }
    if (isToken === null) return whyNotWithoutToken(head);
    const given = head.header("x-admin-token");
    if (given !== null && isToken(given)) return null;
    const message =
      given === null
        ? "Send the token of ADMIN_TOKEN in the header x-admin-token"
        : "The token in the header x-admin-token is not that of ADMIN_TOKEN";
    return refusal(401, "Unauthorized", message);
  };
}

/** The last address of those named that is no trusted proxy's: each proxy adds the one that it was asked by. */
function clientOf(head: RequestHead, isTrusted: (address: string) => boolean): string {
  if (!isTrusted(head.clientAddress)) return head.clientAddress;
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

function whyNotWithoutToken(head: RequestHead): AdminAnswer | null {
  const isReading = head.method === "GET" || head.method === "HEAD";
  const remedy = "set it, or use the unix socket of ADMIN_UNIX_SOCKET";
  if (isThroughProxy(head)) {
    return forbidden(`Without ADMIN_TOKEN nobody is let in through a proxy: ${remedy}`);
  }
  if (isReading) return null;
  return forbidden(`Without ADMIN_TOKEN nothing can be changed over TCP: ${remedy}`);
}

function forbidden(message: string): AdminAnswer {
  return refusal(403, "Forbidden", message);
}
