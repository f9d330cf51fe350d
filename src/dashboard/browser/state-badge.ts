/** The states of apps as a word and a shape each; the style sheet adds a colour. */

import { h, setAttribute, setText, svg } from "./dom.ts";
import { type ShownState, STATE_WORDS } from "./states.ts";

const HORIZON = "M1 13.5h14";
/** Drawn within 16 by 16: the sun is up, rises or sets, the moon is out. */
const SHAPES: Readonly<Record<ShownState, { readonly fill?: string; readonly line?: string }>> = {
  awake: {
    fill: "M8 4.6a3.4 3.4 0 1 1 0 6.8a3.4 3.4 0 0 1 0-6.8z",
    line: "M8 1v1.4M8 13.6V15M1 8h1.4M13.6 8H15M3.05 3.05l1 1M11.95 11.95l1 1M3.05 12.95l1-1M11.95 4.05l1-1",
  },
  waking: {
    fill: "M4 11.5a4 4 0 0 1 8 0z",
    line: `${HORIZON}M8 1.2v4M6 3.2l2-2l2 2`,
  },
  draining: {
    fill: "M4 11.5a4 4 0 0 1 8 0z",
    line: `${HORIZON}M8 1.2v4M6 3.2l2 2l2-2`,
  },
  stopping: { line: `${HORIZON}M4 11.5a4 4 0 0 1 8 0M8 1.2v4M6 3.2l2 2l2-2` },
  asleep: { fill: "M13.8 10.2A6.3 6.3 0 1 1 6.2 2.1a5 5 0 0 0 7.6 8.1z" },
  failed: {
    fill: "M8 1.2L15.4 14.4H.6z",
  },
  unknown: { line: "M5.6 5.6a2.4 2.4 0 1 1 3.6 2.1c-.8.5-1.2.9-1.2 1.9M8 12.2v.6" },
  paused: { fill: "M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z" },
  maintenance: { fill: "M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z" },
};

/** The shape alone, to stand beside a word. */
export function stateIcon(state: ShownState): SVGSVGElement {
  const { fill, line } = SHAPES[state];
  const icon = svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" });
  if (fill !== undefined) icon.append(svg("path", { d: fill, class: "solid" }));
  if (line !== undefined) icon.append(svg("path", { d: line, class: "line" }));
  if (state === "failed") icon.append(svg("path", { d: "M8 6v4M8 12v.6", class: "cut" }));
  return icon;
}

/** Shape and word, which can become those of another state. */
export interface StateBadge {
  readonly element: HTMLElement;
  show(state: ShownState): void;
}

/** Shows nothing yet. */
export function createStateBadge(): StateBadge {
  const word = h("span");
  const element = h("span", { class: "state" }, word);
  return {
    element,
    show(state) {
      if (element.dataset.state === state) return;
      setAttribute(element, "data-state", state);
      element.querySelector("svg")?.remove();
      element.prepend(stateIcon(state));
      setText(word, STATE_WORDS[state]);
    },
  };
}
