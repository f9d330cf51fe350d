/** The top of the page: who this is, how the stream is doing, what sleep has saved. */

import { h, setAttribute, setText, svg } from "./dom.ts";
import type { Model } from "./model.ts";
import { LIST_ADDRESS } from "./places.ts";
import { savingsText } from "./savings-words.ts";
import { isLongLost } from "./troubles.ts";

/** The top of the page. */
export interface Masthead {
  readonly element: HTMLElement;
  draw(): void;
}

/** How far down the sun stands when no app is awake, and when all are, in CSS pixels. */
const SUN_LOW = 42;
const SUN_HIGH = 4;

/** Nothing is known yet. */
export function createMasthead(model: Model): Masthead {
  const sun = sunMarkup();
  const live = h("span", { class: "live" }, h("i"), h("span"));
  const liveWords = live.querySelector("span") ?? live;
  const instance = h("span", { class: "instance" });
  const saved = h("p", { class: "saved" });
  const element = h(
    "header",
    { class: "masthead" },
    h("div", { class: "sky", "aria-hidden": "true" }, sun, hills()),
    h(
      "div",
      { class: "masthead-words" },
      h("a", { class: "brand", href: LIST_ADDRESS }, "Paastis"),
      instance,
      live,
      saved,
    ),
  );
  return {
    element,
    draw() {
      sun.style.transform = `translateY(${sunHeight(model)}px)`;
      const isLost = isLongLost(model.connection(), Date.now());
      const kind = isLost
        ? "lost"
        : model.connection().kind === "connecting"
          ? "connecting"
          : "live";
      setAttribute(live, "data-connection", kind);
      setText(liveWords, { live: "Live", connecting: "Connecting…", lost: "Reconnecting…" }[kind]);
      setText(instance, instanceText(model));
      const savings = model.savings();
      setText(saved, savings === null ? "" : savingsText(savings));
    },
  };
}

function sunMarkup(): SVGSVGElement {
  return svg(
    "svg",
    { class: "sun", viewBox: "0 0 64 64" },
    svg("circle", { class: "glow", cx: 32, cy: 32, r: 30 }),
    svg("circle", { class: "disc", cx: 32, cy: 32, r: 17 }),
  );
}

/** Those of the waiting page, as wide as the window. */
function hills(): SVGSVGElement {
  return svg(
    "svg",
    { class: "hills", viewBox: "0 0 640 40", preserveAspectRatio: "none" },
    svg("path", { class: "far", d: "M0 26C80 6 170 8 250 17S410 28 490 14S600 4 640 11V40H0Z" }),
    svg("path", { class: "near", d: "M0 34Q150 16 330 28Q500 42 640 22V40H0Z" }),
  );
}

/** The more apps are awake, the higher. */
function sunHeight(model: Model): number {
  let awake = 0;
  for (const { phase } of model.apps.values()) if (phase !== "asleep") awake += 1;
  const share = model.apps.size === 0 ? 0 : awake / model.apps.size;
  return Math.round(SUN_LOW - (SUN_LOW - SUN_HIGH) * share);
}

function instanceText(model: Model): string {
  const registry = model.status()?.stores?.registry;
  if (registry === undefined || registry.otherInstances.length === 0) return "";
  return `Instance ${registry.instance}, with ${registry.otherInstances.join(", ")}`;
}
