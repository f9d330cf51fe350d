/** Telling the page of Heroku's own router from an answer of an app. Pure. */

/** Names that Heroku's routers put into `Server` where the app says nothing: the older one's, and the newer one's. */
const ROUTERS: ReadonlySet<string> = new Set(["cowboy", "heroku"]);
/** No web dynos, crashed, no boot in time, maintenance: 503. No app of that name, because it was renamed: 404. */
const STATUSES: ReadonlySet<number> = new Set([404, 503]);

/**
 * Whether this is the router's page and not the app's answer. Only status and headers are known here, and an app may
 * answer anything; but both routers add `Via` to whatever an app answers, without exception, and none to a page of
 * their own. In doubt it is the app: a page of the router that is taken for an answer does less harm.
 * Sources: heroku/vegur issues #111 (a page of the router, with all its headers) and #185 ("unconditionally added");
 * answers of apps behind the newer router, seen in public: `Server: Heroku`, `Via: 1.1 heroku-router`.
 */
export function isDownPage(status: number, header: (name: string) => string | null): boolean {
  if (!STATUSES.has(status) || header("via") !== null) return false;
  const isRouter = ROUTERS.has((header("server") ?? "").toLowerCase());
  const isPage = /^text\/html\b/i.test(header("content-type") ?? "");
  const isForNow = /\bno-store\b/i.test(header("cache-control") ?? "");
  return isRouter && isPage && isForNow;
}
