/** What is measured, and how a heap of measurements becomes one figure. */

import type { Limit } from "./limits.ts";

/** Who was measured: a contender, or `direct`, which is the upstream without any proxy. */
export type Subject = "nginx" | "haproxy" | "caddy" | "http-proxy" | "socket" | "fetch" | "direct";

/** One subject under one load, once. Rounds are told apart by their order. */
export interface Sample {
  /** Such as `1 KB x 100`. */
  readonly load: string;
  readonly subject: Subject;
  readonly values: Readonly<Partial<Record<Measure, number>>>;
}

/** How a figure is written, and what it is. */
export interface MeasureKind {
  readonly title: string;
  readonly digits: number;
  /** Whether it is counted rather than measured: then nothing excuses a single round. */
  readonly isCounted?: true;
}

/** All that can be measured. The order is that of the columns. */
export const MEASURES = {
  cpu: { title: "µs/request", digits: 1 },
  cpuMessage: { title: "µs/message", digits: 2 },
  carried: { title: "MB per CPU s", digits: 0 },
  mbPerSecond: { title: "MB/s", digits: 0 },
  perSecond: { title: "per second", digits: 0 },
  busy: { title: "busy %", digits: 0 },
  addedMs: { title: "added ms", digits: 2 },
  switchMs: { title: "switch ms", digits: 1 },
  sweepMs: { title: "sweep ms", digits: 1 },
  lookUpNs: { title: "look-up ns", digits: 0 },
  startMs: { title: "start ms", digits: 0 },
  p50: { title: "p50 ms", digits: 2 },
  p95: { title: "p95 ms", digits: 2 },
  p99: { title: "p99 ms", digits: 2 },
  bytesEach: { title: "bytes each", digits: 0 },
  residentMb: { title: "memory MB", digits: 1 },
  sockets: { title: "sockets", digits: 0 },
  requests: { title: "requests", digits: 0 },
  answered: { title: "answered %", digits: 2, isCounted: true },
  lost: { title: "lost", digits: 0, isCounted: true },
  calls: { title: "provider calls", digits: 0, isCounted: true },
} satisfies Record<string, MeasureKind>;

/** Name of a measure. */
export type Measure = keyof typeof MEASURES;

/** What is to be known of a measure. */
export function kindOf(measure: Measure): MeasureKind {
  return MEASURES[measure];
}

/** All rounds of one subject under one load. */
export interface Summary {
  readonly load: string;
  readonly subject: Subject;
  readonly rounds: number;
  readonly medians: Readonly<Partial<Record<Measure, number>>>;
  /** Least and most of the scenario's first measure: how far the rounds lie apart. */
  readonly spread: readonly [least: number, most: number];
  /** The first measure against nginx's: the median of the rounds' ratios; `null` without nginx. */
  readonly timesNginx: number | null;
}

/** What one scenario gave. */
export interface ScenarioResult {
  readonly name: string;
  readonly title: string;
  readonly seconds: number;
  /** Why it could not be run to its end; `null`: it was. */
  readonly failure: string | null;
  readonly samples: readonly Sample[];
}

/** The figure a scenario is about: the first measure, by the order above, that its samples have. */
export function firstMeasure(samples: readonly Sample[]): Measure | null {
  return measuresOf(samples)[0] ?? null;
}

/** The columns of a table of these. */
export function measuresOf(samples: readonly Sample[]): Measure[] {
  // Object.keys knows no more than `string`; these are the keys of MEASURES.
  const all = Object.keys(MEASURES) as Measure[];
  return all.filter((measure) => samples.some(({ values }) => values[measure] !== undefined));
}

/** One line per load and subject, in the order in which they were measured. */
export function summarize(samples: readonly Sample[]): Summary[] {
  const measures = measuresOf(samples);
  const [first] = measures;
  const groups = Map.groupBy(samples, ({ load, subject }) => `${load}\n${subject}`);
  return [...groups.values()].flatMap((rounds) => {
    const [one] = rounds;
    if (one === undefined || first === undefined) return [];
    const { load, subject } = one;
    const medians = Object.fromEntries(
      measures.flatMap((measure) => {
        const values = valuesOf(rounds, measure);
        return values.length === 0 ? [] : [[measure, medianOf(values)]];
      }),
    );
    const values = valuesOf(rounds, first);
    const spread = [Math.min(...values), Math.max(...values)] as const;
    const timesNginx = ratioOf(samples, { load, measure: first, subject, against: "nginx" });
    return [{ load, subject, rounds: rounds.length, medians, spread, timesNginx }];
  });
}

/** The median of the rounds' ratios, each to the other's in the same round; `null` if one of them is not there. */
export function ratioOf(
  samples: readonly Sample[],
  what: Pick<Limit, "load" | "measure" | "subject"> & { readonly against: Subject },
): number | null {
  const of = (subject: Subject) =>
    valuesOf(
      samples.filter((sample) => sample.load === what.load && sample.subject === subject),
      what.measure,
    );
  const others = of(what.against);
  const ratios = of(what.subject).flatMap((value, round) => {
    const other = others[round];
    return other === undefined || other === 0 ? [] : [value / other];
  });
  return ratios.length === 0 ? null : medianOf(ratios);
}

function valuesOf(rounds: readonly Sample[], measure: Measure): number[] {
  return rounds.flatMap(({ values }) => {
    const value = values[measure];
    return value === undefined ? [] : [value];
  });
}

/** The middle; `NaN` of none. */
export function medianOf(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** What so many of a hundred are not above; `NaN` of none. */
export function percentileOf(numbers: readonly number[], percent: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? NaN;
}
