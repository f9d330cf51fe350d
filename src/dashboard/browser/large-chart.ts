/** A day of activity, large enough to read off hours and numbers. */

import { activityText, barsPath, HALF_HOUR_MS } from "./activity.ts";
import { h, setAttribute, setChildren, setText, svg } from "./dom.ts";
import { hourText, numberText } from "./words.ts";

/** A chart that can show other numbers. */
export interface LargeChart {
  readonly element: HTMLElement;
  /** @param counts by half hour, oldest first; `nowMs` is in the last one */
  show(counts: readonly number[], nowMs: number): void;
}

/** Half hours between two marks of the axis. */
const MARK_EVERY = 12;

/** Shows nothing yet. */
export function createLargeChart(): LargeChart {
  const bars = svg("path", { class: "bars" });
  const title = svg("title");
  const plot = svg(
    "svg",
    { class: "plot", role: "img", viewBox: "0 0 144 24", preserveAspectRatio: "none" },
    title,
    svg("path", { class: "base", d: "M0 23.9h144" }),
    bars,
  );
  const most = h("span", { class: "most", "aria-hidden": "true" });
  const axis = h("div", { class: "axis", "aria-hidden": "true" });
  return {
    element: h("div", { class: "large-chart" }, most, plot, axis),
    show(counts, nowMs) {
      setAttribute(bars, "d", barsPath(counts));
      setText(title, activityText(counts, nowMs));
      const peak = Math.max(0, ...counts);
      setText(most, peak === 0 ? "" : `at most ${numberText(peak)} in half an hour`);
      const endMs = (Math.floor(nowMs / HALF_HOUR_MS) + 1) * HALF_HOUR_MS;
      const hours = [4, 3, 2, 1].map((back) => hourText(endMs - back * MARK_EVERY * HALF_HOUR_MS));
      const texts = [...hours, "now"];
      if (axis.textContent !== texts.join(""))
        setChildren(
          axis,
          texts.map((text) => h("span", {}, text)),
        );
    },
  };
}
