/** Which view is shown: by the address, so that the browser's ways back and forth work. */

import type { AppView } from "./app-view.ts";
import type { ListView } from "./list-view.ts";

/** The views there are. */
export interface Views {
  readonly app: AppView;
  readonly list: ListView;
  readonly overview: HTMLElement;
}

/** The address of the list. */
export const LIST_ADDRESS = "/__/";

/** The address of an app's own page. */
export function appAddress(key: string): string {
  return `${LIST_ADDRESS}apps/${encodeURIComponent(key)}`;
}

/** The app that an address is about; `null`: the list. Pure. @param path such as `/__/apps/shop` */
export function appOf(path: string): string | null {
  const key = /^\/__\/apps\/([^/]+)$/.exec(path)?.[1];
  try {
    return key === undefined ? null : decodeURIComponent(key);
  } catch {
    return null;
  }
}

/** Shows what the address says, now and whenever it changes; the focus goes along. Links within stay in the page. */
export function showPlace(views: Views): void {
  const { app, list, overview } = views;
  let shown = appOf(location.pathname);
  let listTop = 0;
  const show = (key: string | null) => {
    app.element.hidden = key === null;
    overview.hidden = key !== null;
    app.open(key);
    document.title = key === null ? "Paastis" : `${key} · Paastis`;
  };
  const follow = () => {
    const next = appOf(location.pathname);
    if (next === shown) return;
    const left = shown;
    shown = next;
    show(next);
    if (next !== null) {
      scrollTo({ top: 0, behavior: "instant" });
      app.title.focus({ preventScroll: true });
      return;
    }
    list.draw();
    scrollTo({ top: listTop, behavior: "instant" });
    list.draw();
    if (left !== null) list.focusApp(left);
  };
  history.scrollRestoration = "manual";
  show(shown);
  addEventListener("scroll", () => {
    if (shown === null) listTop = scrollY;
  });
  addEventListener("popstate", follow);
  document.addEventListener("click", (event) => {
    const path = pathWithin(event);
    if (path === null) return;
    event.preventDefault();
    if (path !== location.pathname) history.pushState(null, "", path);
    follow();
  });
}

/** Where a plain click on one of our own links leads; `null`: that is the browser's business. */
function pathWithin(event: MouseEvent): string | null {
  const { altKey, button, ctrlKey, defaultPrevented, metaKey, shiftKey, target } = event;
  if (defaultPrevented || button !== 0 || altKey || ctrlKey || metaKey || shiftKey) return null;
  const link = target instanceof Element ? target.closest("a") : null;
  if (link === null || link.origin !== location.origin) return null;
  const isOurs = link.pathname === LIST_ADDRESS || appOf(link.pathname) !== null;
  return isOurs ? link.pathname : null;
}
