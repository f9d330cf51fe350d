/** What is in trouble beyond single apps: the live stream, stores, platforms. */

import type { BrowserClock } from "./browser-clock.ts";
import { h, setChildren, setText, svg } from "./dom.ts";
import type { Model } from "./model.ts";
import { isLongLost, troublesOf } from "./troubles.ts";
import { sentence } from "./words.ts";

/** Shows what is in trouble; empty while nothing is. */
export interface Banner {
  readonly element: HTMLElement;
  draw(): void;
}

/** @param onRetry somebody does not want to wait for the next attempt */
export function createBanner(model: Model, clock: BrowserClock, onRetry: () => void): Banner {
  const retry = h("button", { type: "button", onclick: onRetry }, "Try now");
  const lostWords = h("p");
  const lost = h("div", { class: "trouble lost" }, warning(), lostWords, retry);
  const troubles = new Map<string, HTMLElement>();
  const element = h("section", { class: "banner", role: "status", "aria-label": "Troubles" });
  return {
    element,
    draw() {
      const connection = model.connection();
      const isLost = isLongLost(connection, Date.now());
      if (isLost && connection.kind === "lost") {
        const why = sentence(connection.why);
        setText(
          lostWords,
          `No live updates: what you see may be out of date. ${why}. Reconnecting…`,
        );
      }
      const now = troublesOf(model.status(), clock.now());
      const boxes = now.map(({ what, why, so }) => {
        const box = troubles.get(what) ?? h("div", { class: "trouble" }, warning(), h("p"));
        troubles.set(what, box);
        const words = box.querySelector("p");
        if (words !== null) setText(words, `${what}: ${why}. ${so}`);
        return box;
      });
      setChildren(element, isLost ? [lost, ...boxes] : boxes);
    },
  };
}

function warning(): SVGSVGElement {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("path", { class: "solid", d: "M8 1.2L15.4 14.4H.6z" }),
    svg("path", { class: "cut", d: "M8 6v4M8 12v.6" }),
  );
}
