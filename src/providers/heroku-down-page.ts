/** Telling the page of Heroku's own router from an answer of an app. Pure. */

/** Names that Heroku's routers put into `Server` where the app says nothing: the older one's, and the newer one's. */
const ROUTERS: ReadonlySet<string> = new Set(["cowboy", "heroku"]);
/** No web dynos, crashed, no boot in time, maintenance: 503. No app of that name, because it was renamed: 404. */
const STATUSES: ReadonlySet<number> = new Set([404, 503]);

/**
 * Whether this is the router's page and not the app's answer. Only status and headers are known here, and an app may
 * answer anything; but both routers add `Via` to whatever an app answers, without exception, and none to a page of
 * their own. So a 503 without `Via` is the router's, unless it looks like nothing that a router says. A page in every
 * way has to be: a 404, as there the app is not down but renamed, and all pages of an app that is surely up, as what
 * stands between may have removed `Via`.
 * Sources: heroku/vegur issues #111 (a page of the router, with all its headers) and #185 ("unconditionally added");
 * answers of apps behind the newer router, seen in public: `Server: Heroku`, `Via: 1.1 heroku-router`.
 */
export function isDownPage(
  status: number,
  header: (name: string) => string | null,
  isSurelyUp: boolean,
): boolean {
  if (!STATUSES.has(status) || header("via") !== null) return false;
  const server = (header("server") ?? "").toLowerCase();
  const type = header("content-type") ?? "";
  if (status === 503 && !isSurelyUp) {
    return (server === "" || ROUTERS.has(server)) && /^(?:text\/|$)/i.test(type);
  }
  const isForNow = /\bno-store\b/i.test(header("cache-control") ?? "");
  return ROUTERS.has(server) && /^text\/html\b/i.test(type) && isForNow;
}
