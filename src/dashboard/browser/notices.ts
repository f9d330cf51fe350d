/** What became of orders: short notices at the edge of the page. What went wrong stays until it is put away. */

import { h } from "./dom.ts";

/** One notice. */
export interface Notice {
  readonly text: string;
  /** More than fits into one sentence, such as what to do. */
  readonly more?: string;
  readonly isBad?: boolean;
  readonly undo?: { readonly word: string; readonly act: () => void };
}

/** Shows notices. */
export interface Notices {
  readonly element: HTMLElement;
  show(notice: Notice): void;
}

/** Long enough to read it and to take it back, ms. */
const STAYS_MS = 10_000;
const AT_ONCE_MAX = 4;

/** None is shown yet. Read out by screen readers as they come. */
export function createNotices(): Notices {
  const good = h("div", { role: "status", "aria-live": "polite" });
  const bad = h("div", { role: "alert" });
  const element = h("section", { class: "notices", "aria-label": "Notices" }, bad, good);
  return {
    element,
    show(notice) {
      const room = notice.isBad === true ? bad : good;
      const box = boxOf(notice, () => remove(box, element));
      room.append(box);
      while (room.childElementCount > AT_ONCE_MAX) room.firstElementChild?.remove();
      if (notice.isBad !== true) leaveLater(box, element);
    },
  };
}

function boxOf({ isBad, more, text, undo }: Notice, close: () => void): HTMLElement {
  const words = h("p", {}, text);
  const act = () => {
    close();
    undo?.act();
  };
  return h(
    "div",
    { class: isBad === true ? "notice bad" : "notice" },
    h("div", {}, words, more === undefined ? null : h("p", { class: "more" }, more)),
    undo === undefined ? null : h("button", { type: "button", onclick: act }, undo.word),
    h(
      "button",
      { type: "button", class: "bare", "aria-label": "Put the notice away", onclick: close },
      "×",
    ),
  );
}

/** Not while somebody is about to use it. */
function leaveLater(box: HTMLElement, region: HTMLElement): void {
  setTimeout(() => {
    if (box.matches(":hover, :focus-within")) leaveLater(box, region);
    else remove(box, region);
  }, STAYS_MS);
}

/** Focus that would get lost goes to the page's content. */
function remove(box: HTMLElement, region: HTMLElement): void {
  const hadFocus = box.contains(document.activeElement);
  box.remove();
  const next = region.querySelector("button") ?? document.querySelector<HTMLElement>("main");
  if (hadFocus) next?.focus({ preventScroll: true });
}
