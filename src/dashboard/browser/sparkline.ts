/** A day of activity as a row of small bars. */

import { activityText, barsPath, HEIGHT, STEP } from "./activity.ts";
import { setAttribute, setText, svg } from "./dom.ts";

/** A chart that can show other numbers. */
export interface Sparkline {
  readonly element: SVGSVGElement;
  /** @param counts by half hour, oldest first; `nowMs` is in the last one */
  show(counts: readonly number[], nowMs: number): void;
}

/** Shows nothing yet. */
export function createSparkline(): Sparkline {
  const bars = svg("path", { class: "bars" });
  const title = svg("title");
  const base = svg("path", { class: "base" });
  const element = svg(
    "svg",
    { class: "spark", role: "img", preserveAspectRatio: "none" },
    title,
    base,
    bars,
  );
  let shown: readonly number[] = [];
  return {
    element,
    show(counts, nowMs) {
      if (isSame(shown, counts)) return;
      shown = counts;
      setAttribute(element, "viewBox", `0 0 ${counts.length * STEP} ${HEIGHT}`);
      setAttribute(base, "d", `M0 ${HEIGHT - 0.5}h${counts.length * STEP}`);
      setAttribute(bars, "d", barsPath(counts));
      setText(title, activityText(counts, nowMs));
    },
  };
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}
