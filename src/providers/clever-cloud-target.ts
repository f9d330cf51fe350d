/** Where a Clever Cloud app answers, from the domains that lead to it. */

import { type Target, targetOf } from "../app.ts";
import { aliasOf } from "./slug.ts";

const PLATFORM_DOMAIN = ".cleverapps.io";

/** A domain of an app, taken apart. */
interface Domain {
  /** Lower case, with a port where one was named. */
  readonly host: string;
  readonly hasPath: boolean;
}

/**
 * Pure. The best domain to reach an app by; `null` when it has none. The platform's own come first, as a domain
 * of the user may well lead to Paastis itself: the default one (`app-<uuid>.cleverapps.io`), then other names of
 * `cleverapps.io`, then the user's, then names that answer over plain HTTP only. Those that only take a path come
 * last, and wildcards never: they name no host.
 */
export function targetOfVhosts(appId: string, vhosts: readonly string[]): Target | null {
  const domains = vhosts.flatMap((fqdn) => domainOf(fqdn) ?? []);
  const best = domains.toSorted((one, other) => rank(appId, one) - rank(appId, other))[0];
  return best === undefined ? null : targetOf(`${schemeOf(best.host)}://${best.host}`);
}

function domainOf(fqdn: string): Domain | null {
  const [, host = "", path = ""] = /^([^/]*)(.*)$/.exec(fqdn.trim().toLowerCase()) ?? [];
  const isHost = /^[a-z0-9_.-]+(?::\d{1,5})?$/.test(host) && URL.canParse(`https://${host}`);
  return isHost ? { host, hasPath: path.replaceAll("/", "") !== "" } : null;
}

function rank(appId: string, { host, hasPath }: Domain): number {
  const last = hasPath ? 10 : 0;
  if (host.split(".")[0] === aliasOf(appId)) return last;
  if (schemeOf(host) === "http") return last + 3;
  return last + (host.endsWith(PLATFORM_DOMAIN) ? 1 : 2);
}

const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;

/**
 * Names two levels below `cleverapps.io` are covered by no certificate, nor are names of this machine and addresses.
 * Source: the domain rules of the platform's own client; RFC 6761, 6.3.
 */
function schemeOf(host: string): "http" | "https" {
  const name = host.replace(/:\d+$/, "");
  const isDeep = name.endsWith(PLATFORM_DOMAIN) && name.split(".").length > 3;
  const isBare = name === "localhost" || name.endsWith(".localhost") || IPV4.test(name);
  return isDeep || isBare ? "http" : "https";
}
