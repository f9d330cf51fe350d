/** The dashboard: puts everything together, once, as the page is loaded. */

import { createAdminCalls } from "./admin-calls.ts";
import { createAppView } from "./app-view.ts";
import { createBanner } from "./banner.ts";
import { createBrowserClock } from "./browser-clock.ts";
import { h, setAttribute } from "./dom.ts";
import { createListView } from "./list-view.ts";
import { followLiveStream } from "./live-stream.ts";
import { logInAndComeBack, logOut } from "./log-in.ts";
import { createMasthead } from "./masthead.ts";
import { createModel } from "./model.ts";
import { createNotices } from "./notices.ts";
import { createOrders } from "./orders.ts";
import { showPlace } from "./places.ts";
import { createToolbar } from "./toolbar.ts";

const TICK_MS = 1000;
const STATUS_EVERY_MS = 10_000;
const SAVINGS_EVERY_MS = 60_000;

start();

function start(): void {
  const clock = createBrowserClock(Date.now);
  const calls = createAdminCalls({
    clock,
    fetch: (...request: Parameters<typeof fetch>) => fetch(...request),
    onLoggedOut: logInAndComeBack,
  });
  const model = createModel((draw) => requestAnimationFrame(draw));
  const notices = createNotices();
  const orders = createOrders({ calls, clock, model, notices });
  const list = createListView({ clock, model, orders, onWish: () => toolbar.draw() });
  const toolbar = createToolbar(model, list);
  const app = createAppView({ calls, clock, model, orders });
  const masthead = createMasthead(model);
  const stream = followLiveStream({ calls, follower: model, now: Date.now });
  const banner = createBanner(model, clock, stream.hurry);
  const overview = h(
    "div",
    { class: "overview" },
    h("h1", { class: "unseen", tabindex: -1 }, "Apps"),
    toolbar.element,
    list.element,
  );
  const main = h("main", { id: "main", tabindex: -1 }, banner.element, overview, app.element);
  document.body.append(
    h("a", { class: "skip", href: "#main", onclick: skipTo(main) }, "Skip to content"),
    masthead.element,
    main,
    footer(),
    notices.element,
  );
  model.subscribe(() => {
    masthead.draw();
    banner.draw();
    setAttribute(document.body, "data-stale", model.connection().kind === "lost");
    if (app.element.hidden) {
      toolbar.draw();
      list.draw();
    } else app.draw();
  });
  showPlace({ app, list, overview });
  toolbar.draw();
  list.draw();
  every(TICK_MS, () => {
    masthead.draw();
    banner.draw();
    if (app.element.hidden) list.tick();
    else app.tick();
  });
  // That nobody answers shows by the stream.
  every(STATUS_EVERY_MS, () => calls.status().then(model.onStatus, () => null), true);
  every(SAVINGS_EVERY_MS, () => calls.savings().then(model.onSavings, () => null), true);
  addEventListener("online", stream.hurry);
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    const isTyping =
      event.target instanceof Element && event.target.matches("input, select, dialog *");
    if (isTyping || !app.element.hidden) return;
    event.preventDefault();
    toolbar.search.focus();
  });
}

/** Nobody looks at a hidden page: it rests, and catches up when it is seen again. */
function every(ms: number, work: () => unknown, isAtOnce = false): void {
  if (isAtOnce) void work();
  setInterval(() => {
    if (!document.hidden) void work();
  }, ms);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) void work();
  });
}

function skipTo(main: HTMLElement) {
  return (event: Event) => {
    event.preventDefault();
    main.focus();
  };
}

function footer(): HTMLElement {
  return h(
    "footer",
    {},
    h("a", { href: "/__docs" }, "API"),
    h("button", { type: "button", class: "bare", onclick: () => void logOut() }, "Log out"),
    h(
      "span",
      { class: "keys" },
      h("kbd", {}, "/"),
      " searches, ",
      h("kbd", {}, "↑"),
      " ",
      h("kbd", {}, "↓"),
      " go through the list",
    ),
  );
}
