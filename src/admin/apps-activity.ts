/** How many requests each app had by half hour over the last day: counters that are read now and then. */

import type { App } from "../app.ts";
import type { Clock } from "../clock.ts";

/** Half hours of a day. */
export const HALF_HOURS = 48;
const HALF_HOUR_MS = 30 * 60_000;

/** Knows the half hours. */
export interface ActivityCharts {
  /** Reads the counters; to be called at least once in each half hour. Costs nothing for apps without requests. */
  sample(apps: readonly App[]): void;
  /** 48 numbers, oldest first, the half hour that goes on last. */
  of(app: App): readonly number[];
}

interface Chart {
  /** By number of the half hour, modulo 48. */
  readonly counts: Uint32Array;
  halfHour: number;
  /** The counter as it was read last. */
  requests: number;
}

/** Requests from before this program started are not known. */
export function createActivityCharts(clock: Pick<Clock, "now">): ActivityCharts {
  const charts = new WeakMap<App, Chart>();
  const read = (app: App) => {
    const halfHour = Math.floor(clock.now() / HALF_HOUR_MS);
    const chart = charts.get(app) ?? newChart(halfHour);
    charts.set(app, chart);
    advance(chart, halfHour);
    const { requests } = app.traffic;
    const slot = halfHour % HALF_HOURS;
    chart.counts[slot] = (chart.counts[slot] ?? 0) + Math.max(0, requests - chart.requests);
    chart.requests = requests;
    return chart;
  };
  return {
    sample(apps) {
      for (const app of apps) read(app);
    },
    of(app) {
      const { counts, halfHour } = read(app);
      return Array.from({ length: HALF_HOURS }, (_, step) => {
        return counts[(halfHour + 1 + step) % HALF_HOURS] ?? 0;
      });
    },
  };
}

function newChart(halfHour: number): Chart {
  return { counts: new Uint32Array(HALF_HOURS), halfHour, requests: 0 };
}

/** Empties what is a day old. */
function advance(chart: Chart, halfHour: number): void {
  const passed = Math.min(HALF_HOURS, halfHour - chart.halfHour);
  for (let step = 1; step <= passed; step += 1) {
    chart.counts[(chart.halfHour + step) % HALF_HOURS] = 0;
  }
  chart.halfHour = Math.max(chart.halfHour, halfHour);
}
