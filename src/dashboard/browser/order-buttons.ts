/** The buttons of one app: what is done most stands open, the rest in a menu. */

import type { AppSummary } from "../../admin/views.ts";
import { h, setAttribute, setText, svg } from "./dom.ts";
import type { Orders } from "./orders.ts";

/** Buttons that follow their app. */
export interface OrderButtons {
  readonly element: HTMLElement;
  show(app: AppSummary): void;
}

type Primary = "wake" | "sleep" | "resume";

const WORDS: Readonly<Record<Primary, string>> = { wake: "Wake", sleep: "Sleep", resume: "Resume" };

/** Shows nothing yet. */
export function createOrderButtons(orders: Orders): OrderButtons {
  let app: AppSummary | null = null;
  const withApp = (act: (app: AppSummary) => unknown) => () => {
    if (app !== null) act(app);
  };
  const word = h("span");
  const hidden = h("span", { class: "unseen" });
  const act = withApp((one) => {
    const primary = primaryOf(one);
    if (primary !== null && main.getAttribute("aria-disabled") !== "true")
      void orders[primary](one);
  });
  const main = h("button", { type: "button", class: "order", onclick: act }, word, hidden);
  const onMore = withApp((one) => openMenu(more, one, orders));
  const more = h(
    "button",
    {
      type: "button",
      class: "more",
      "aria-haspopup": "true",
      "aria-expanded": "false",
      onclick: onMore,
    },
    svg(
      "svg",
      { viewBox: "0 0 16 16", "aria-hidden": "true", class: "icon" },
      svg("path", {
        class: "solid",
        d: "M2 6.6h2.8v2.8H2zM6.6 6.6h2.8v2.8H6.6zM11.2 6.6H14v2.8h-2.8z",
      }),
    ),
  );
  return {
    element: h("div", { class: "orders" }, main, more),
    show(next) {
      app = next;
      const primary = primaryOf(next);
      setAttribute(main, "hidden", primary === null);
      if (primary === null) return setAttribute(more, "aria-label", `More for ${next.key}`);
      setText(word, WORDS[primary]);
      setText(hidden, ` ${next.key}`);
      setAttribute(main, "data-order", primary);
      setAttribute(
        main,
        "aria-disabled",
        orders.isBusy(next.key) || isUnderWay(next) ? "true" : null,
      );
      setAttribute(more, "aria-label", `More for ${next.key}`);
    },
  };
}

/** `null`: it is awake, and its platform alone puts it to sleep. */
function primaryOf({ pause, phase, sleepsByItself }: AppSummary): Primary | null {
  if (pause !== null) return "resume";
  if (sleepsByItself && phase === "awake") return null;
  return phase === "awake" || phase === "draining" || phase === "stopping" ? "sleep" : "wake";
}

/** What is wanted already happens. */
function isUnderWay({ pause, phase }: AppSummary): boolean {
  return pause === null && (phase === "waking" || phase === "stopping" || phase === "draining");
}

/** Closes by itself: Escape, a click elsewhere, or a choice. The focus then returns to its button. */
function openMenu(button: HTMLElement, app: AppSummary, orders: Orders): void {
  const item = (text: string, act: () => unknown) =>
    h(
      "button",
      {
        type: "button",
        onclick: () => {
          menu.hidePopover();
          void act();
        },
      },
      text,
    );
  const menu = h(
    "div",
    { class: "menu", popover: "auto", role: "group", "aria-label": `Orders for ${app.key}` },
    h("p", { class: "quiet" }, "Keep awake"),
    item("For 1 hour", () => orders.keepAwake(app, "1h")),
    item("For 8 hours", () => orders.keepAwake(app, "8h")),
    item("Until…", () => orders.keepAwakeUntil(app)),
    app.keptAwakeUntil === null ? null : item("No longer", () => orders.keepAwake(app, "0")),
    h("hr"),
    app.pause === null
      ? item("Pause…", () => orders.pause(app))
      : item("Resume", () => orders.resume(app)),
    app.phase === "awake" && !app.sleepsByItself
      ? item("Put to sleep", () => orders.sleep(app))
      : null,
    app.phase === "awake" ? null : item("Wake", () => orders.wake(app)),
  );
  menu.addEventListener("toggle", (event) => {
    // Chromium calls every toggle of a popover a ToggleEvent.
    const isOpen = (event as ToggleEvent).newState === "open";
    setAttribute(button, "aria-expanded", isOpen ? "true" : "false");
    if (isOpen) return;
    const isFocusLost =
      document.activeElement === document.body || menu.contains(document.activeElement);
    menu.remove();
    if (isFocusLost && button.isConnected) button.focus({ preventScroll: true });
  });
  menu.addEventListener("keydown", (event) => onMenuKey(menu, event));
  // Beside its button: who goes on with the tabulator key comes to it next.
  button.after(menu);
  menu.showPopover();
  place(menu, button);
  menu.querySelector("button")?.focus({ preventScroll: true });
}

function onMenuKey(menu: HTMLElement, event: KeyboardEvent): void {
  const items = [...menu.querySelectorAll("button")];
  const at = items.indexOf(document.activeElement as HTMLButtonElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  items[(to + items.length) % items.length]?.focus();
}

const GAP = 4;

function place(menu: HTMLElement, button: HTMLElement): void {
  const at = button.getBoundingClientRect();
  const { offsetHeight, offsetWidth } = menu;
  const isBelow = at.bottom + GAP + offsetHeight <= innerHeight;
  menu.style.top = `${Math.max(GAP, isBelow ? at.bottom + GAP : at.top - GAP - offsetHeight)}px`;
  menu.style.left = `${Math.max(GAP, Math.min(at.right, innerWidth - GAP) - offsetWidth)}px`;
}
