/** On which hosts a path is ours, and on which it is an app's. Pure. */

import type { AdminConfig } from "../config.ts";
import { readHost } from "../router.ts";
import { kindOfPath } from "./paths.ts";

/** `always`: we answer, be it by a refusal; `with-credential`: only to who proves to be an operator. */
export type Claim = "always" | "with-credential";

/** What must be known about apps. */
export interface HostFacts {
  readonly config: Pick<AdminConfig, "hosts" | "soleApp">;
  /** Whether a host's first label leads to an app. */
  readonly isAppLabel: (label: string) => boolean;
  /** Whether hosts that name no app lead to one all the same. */
  readonly hasDefaultApp: boolean;
  /** Whether all apps have been listed, or will not be soon: before, a label that leads nowhere may be an app's. */
  readonly isSettled: () => boolean;
}

/** `admin`: of `ADMIN_HOST`; `nobody`: a name that is no app's. */
type HostKind = "address" | "admin" | "app" | "invalid" | "nobody";

/** The machine's own name for itself: never one that is only not listed yet. */
const LOCALHOST = "localhost";

/**
 * Who answers a request. On a host of `ADMIN_HOST` all that begins with `/__` is ours. Where a host leads to no app, too;
 * where it leads to one, by its label or as the app for all other hosts, we answer to operators alone, so that an app
 * keeps its paths. Two exceptions: the endpoints that scripts have always known are ours on hosts that are no app's by
 * their name, and on all hosts of the only app; and orchestrators, who ask by address, are answered there.
 * @param target in origin form
 * @returns `null`: it is none of our business
 */
export function claimOf(facts: HostFacts, target: string, host: string | null): Claim | null {
  const path = kindOfPath(target);
  if (path === null) return null;
  const { config, hasDefaultApp, isSettled } = facts;
  if (path === "established" && config.soleApp !== null) return "always";
  const kind = kindOfHost(facts, host);
  switch (kind) {
    case "admin":
      return "always";
    case "invalid":
      return null;
    case "app":
      return "with-credential";
    case "address":
      return path !== "other" || !hasDefaultApp ? "always" : "with-credential";
    case "nobody":
      if (path === "established") return "always";
      if (hasDefaultApp || !(isSettled() || nameIn(host) === LOCALHOST)) return "with-credential";
      return "always";
  }
}

function kindOfHost({ config, isAppLabel }: HostFacts, host: string | null): HostKind {
  const read = readHost(host);
  if (read.kind === "invalid") return "invalid";
  if (config.hosts.includes(nameIn(host))) return "admin";
  if (read.kind === "address") return "address";
  return isAppLabel(read.label) ? "app" : "nobody";
}

/** A host without its port, in lower case; addresses of IPv6 without brackets. */
function nameIn(host: string | null): string {
  return (host ?? "")
    .toLowerCase()
    .replace(/:\d*$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "");
}
