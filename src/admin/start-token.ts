/** Says once where the dashboard is, and what opens it, when nobody has configured a token. */

import type { AdminConfig, Config } from "../config.ts";
import type { Log } from "../log.ts";
import { DASHBOARD_PATH } from "./paths.ts";

/** What must be known to say it. */
export interface StartTokenFacts {
  readonly admin: Pick<AdminConfig, "hosts" | "isTls" | "startToken">;
  readonly config: Pick<Config, "defaultApp" | "host" | "logLevel">;
  readonly port: number;
  readonly log: Log;
}

/**
 * The token is in the line's text: a field of such a name would be hidden. It is said at any level: nobody can get in
 * without. Only a log that is to be silent has nothing.
 */
export function sayStartToken({ admin, config, port, log }: StartTokenFacts): void {
  const { hosts, isTls, startToken } = admin;
  if (startToken === undefined) return;
  const [ownHost] = hosts;
  const scheme = isTls ? "https" : "http";
  const dashboard = `${scheme}://${inUrl(ownHost ?? reachable(config.host))}:${port}${DASHBOARD_PATH}`;
  const say =
    log[config.logLevel === "warn" || config.logLevel === "error" ? config.logLevel : "info"];
  const until = "ADMIN_TOKEN is not set: until this program ends";
  if (ownHost === undefined && config.defaultApp !== null) {
    const next = "every host leads to an app: ADMIN_HOST names one that the dashboard is at";
    say({ next }, `${until} the admin endpoints open with the token ${startToken}`);
    return;
  }
  say({ dashboard }, `${until} ${dashboard} opens with the token ${startToken}`);
}

/** All addresses of this machine are none that a browser can go to. */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}

function inUrl(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
