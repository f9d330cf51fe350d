/** What must be reached, in one table, and whether it was. */

import { kindOf, type Measure, medianOf, ratioOf, type Sample, type Subject } from "./sample.ts";

/** One thing that must be reached. */
export interface Limit {
  readonly scenario: string;
  readonly load: string;
  readonly subject: Subject;
  readonly measure: Measure;
  /** The figure is divided by this one's in the same round; `null`: it stands for itself. */
  readonly against: Subject | null;
  readonly most?: number;
  /** Below `most`: what is yet to be reached. That it is not fails nothing, and is shown. */
  readonly goal?: number;
  readonly least?: number;
  /** In runs of this kind only: the other does not have the load. */
  readonly only?: "quick" | "full";
}

/**
 * In a quick run a ratio may be so many times what it may be in a full one: it has fewer and shorter rounds, on a
 * machine that may not be ours alone. With ten other programs on its two cores, ratios of a quick run were up to a
 * quarter above those of a quiet machine. What is counted, such as requests lost, has no margin.
 */
export const QUICK_MARGIN = 1.25;

const CPU = { scenario: "throughput", measure: "cpu" } as const;

/**
 * Of large bodies it is not the speed that is compared, but what a second of the proxy's core can carry: here load,
 * upstream and proxy share two cores, and the load is what limits the speed.
 */
const BODIES = {
  scenario: "bodies",
  measure: "carried",
  subject: "socket",
  against: "nginx",
  least: 0.8,
} as const;

const NONE_LOST = { measure: "lost", against: null, most: 0 } as const;

/** All of them. Loads and scenarios are named as the scenarios name them. */
export const LIMITS: readonly Limit[] = [
  { ...CPU, load: "1 KB x 100", subject: "socket", against: "nginx", most: 1.6 },
  { ...CPU, load: "1 KB x 100", subject: "fetch", against: "nginx", most: 3.5, goal: 2.0 },
  { ...CPU, load: "1 KB x 100", subject: "socket", against: "caddy", most: 0.4 },
  { ...CPU, load: "1 KB x 100", subject: "fetch", against: "caddy", most: 0.9, goal: 0.4 },
  { ...CPU, load: "1 KB x 100", subject: "socket", against: "http-proxy", most: 0.4 },
  { ...CPU, load: "1 KB x 100", subject: "fetch", against: "http-proxy", most: 0.8, goal: 0.4 },
  { ...CPU, load: "16 KB x 100", subject: "socket", against: "nginx", most: 1.6 },
  { ...CPU, load: "64 KB x 100", subject: "socket", against: "nginx", most: 1.2 },
  { ...CPU, load: "1 KB x 500", subject: "socket", against: "nginx", most: 1.5 },
  { ...BODIES, load: "1 MB down" },
  { ...BODIES, load: "1 MB up" },
  { ...BODIES, load: "1 GB down", only: "full" },
  { ...BODIES, load: "1 GB up", only: "full" },
  { ...BODIES, load: "256 MB down", only: "quick" },
  { ...BODIES, load: "256 MB up", only: "quick" },
  {
    ...{ scenario: "websockets", load: "echo x 100", subject: "socket" },
    ...{ measure: "cpuMessage", against: "nginx", most: 1.3 },
  },
  { ...NONE_LOST, scenario: "websockets", load: "idle", subject: "socket" },
  {
    // Connections to the app are kept: not more are made than clients have.
    ...{ scenario: "connections", load: "made to the upstream for 100", subject: "socket" },
    ...{ measure: "sockets", against: null, most: 110 },
  },
  { ...NONE_LOST, scenario: "connections", load: "1 KB x 100, 5000 idle", subject: "socket" },
  { ...NONE_LOST, scenario: "switching", load: "each switch", subject: "socket" },
  { ...NONE_LOST, scenario: "switching", load: "each switch", subject: "fetch" },
  {
    ...{ scenario: "wake", load: "requests held", subject: "socket" },
    ...{ measure: "answered", against: null, least: 100 },
  },
  {
    // The runtime resets a few of ten thousand connections that are made at once on a starved machine.
    ...{ scenario: "wake", load: "requests held", subject: "fetch" },
    ...{ measure: "answered", against: null, least: 99 },
  },
  {
    ...{ scenario: "provider-calls", load: "10000 warm requests", subject: "socket" },
    ...{ measure: "calls", against: null, most: 0 },
  },
  {
    ...{ scenario: "provider-calls", load: "10000 warm requests", subject: "fetch" },
    ...{ measure: "calls", against: null, most: 0 },
  },
];

/** Whether a limit was kept. */
export interface Verdict {
  readonly limit: Limit;
  /**
   * `left out`: one of the two is not installed; `not measured`: both are, and there is no figure all the same, which
   * is as bad as one that is too high; `short`: kept, and the goal is not reached.
   */
  readonly kind: "kept" | "short" | "exceeded" | "left out" | "not measured";
  /** The figure or ratio; `null`: there is none. */
  readonly found: number | null;
  /** In words. */
  readonly text: string;
}

/** What was measured, by scenario. */
export type SamplesByScenario = ReadonlyMap<string, readonly Sample[]>;

/** How a run was made. */
export interface RunKind {
  readonly isQuick: boolean;
  /** Who is not installed. */
  readonly missing: ReadonlySet<string>;
  readonly limits?: readonly Limit[];
}

/** Compares all figures with all limits of the scenarios that were run. */
export function judge(samples: SamplesByScenario, run: RunKind): Verdict[] {
  const { limits = LIMITS, isQuick } = run;
  const kind = isQuick ? "quick" : "full";
  return limits.flatMap((limit) => {
    const own = samples.get(limit.scenario);
    const concerns = limit.only === undefined || limit.only === kind;
    return own === undefined || !concerns ? [] : [judgeOne(limit, own, run)];
  });
}

function judgeOne(limit: Limit, samples: readonly Sample[], run: RunKind): Verdict {
  const found = findFigure(limit, samples);
  const { subject, against, load, measure, scenario } = limit;
  const what = `${scenario} · ${load} · ${subject}: ${kindOf(measure).title}`;
  if (found === null) {
    const missing = [subject, against].filter((one) => one !== null && run.missing.has(one));
    if (missing.length === 0)
      return { limit, kind: "not measured", found, text: `${what} has no figure` };
    return { limit, kind: "left out", found, text: `${what}: ${missing.join(", ")} missing` };
  }
  const margin = run.isQuick && kindOf(measure).isCounted !== true ? QUICK_MARGIN : 1;
  const { most = Number.POSITIVE_INFINITY, least = Number.NEGATIVE_INFINITY } = limit;
  const isKept = found <= most * margin && found >= least / margin;
  const text = `${what} ${written(limit, found)} (${boundsOf(limit, margin)})`;
  if (!isKept) return { limit, kind: "exceeded", found, text };
  return { limit, kind: found > (limit.goal ?? most) * margin ? "short" : "kept", found, text };
}

function findFigure(limit: Limit, samples: readonly Sample[]): number | null {
  const { against, load, measure, subject } = limit;
  if (against !== null) return ratioOf(samples, { load, measure, subject, against });
  const values = samples.flatMap((sample) => {
    const value = sample.values[measure];
    return sample.load === load && sample.subject === subject && value !== undefined ? [value] : [];
  });
  return values.length === 0 ? null : ofRounds(values, limit);
}

/** What is counted must hold in every round; what is measured, in the middle of them. */
function ofRounds(values: readonly number[], { measure, most }: Limit): number {
  if (kindOf(measure).isCounted !== true) return medianOf(values);
  return most === undefined ? Math.min(...values) : Math.max(...values);
}

function written({ against, measure }: Limit, found: number): string {
  if (against !== null) return `${found.toFixed(2)} x ${against}'s`;
  return found.toFixed(kindOf(measure).digits);
}

function boundsOf({ goal, most, least }: Limit, margin: number): string {
  const yet = goal === undefined ? "" : `, ${goal} is the goal`;
  const bound = most === undefined ? `at least ${least}` : `at most ${most}${yet}`;
  if (margin === 1) return bound;
  return `${bound}, ${most === undefined ? "divided by" : "times"} ${margin} in a quick run`;
}

/** Whether a run with such verdicts passes. */
export function isPassed(verdicts: readonly Verdict[]): boolean {
  return verdicts.every(({ kind }) => kind !== "exceeded" && kind !== "not measured");
}
