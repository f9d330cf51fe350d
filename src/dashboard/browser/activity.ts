/** A day of activity as the path of a chart, and in words. Pure. */

import { countText, hourText } from "./words.ts";

/** Units of a chart: how high it is, and how far its bars are apart. */
export const HEIGHT = 24;
export const STEP = 3;
const BAR = 2;
/** What one bar stands for, ms. */
export const HALF_HOUR_MS = 30 * 60_000;

/** Few requests are still seen. */
export function barsPath(counts: readonly number[]): string {
  const most = Math.max(1, ...counts);
  return counts
    .map((count, index) => {
      if (count === 0) return "";
      const height = Math.max(2, Math.round((count / most) * HEIGHT));
      return `M${index * STEP} ${HEIGHT}v-${height}h${BAR}v${height}z`;
    })
    .join("");
}

/** The chart in words. */
export function activityText(counts: readonly number[], nowMs: number): string {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return "No request within a day";
  const most = Math.max(...counts);
  const atMs = Math.floor(nowMs / HALF_HOUR_MS) * HALF_HOUR_MS;
  const peakMs = atMs - (counts.length - 1 - counts.lastIndexOf(most)) * HALF_HOUR_MS;
  return `${countText(total, "request")} within a day, most of them (${most}) at ${hourText(peakMs)}`;
}
