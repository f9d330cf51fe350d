/** Processor time per request of each contender, compared with nginx, as a table. */

/** One contender under one load, once. */
export interface Measurement {
  readonly scenario: string;
  readonly contender: string;
  /** Processor time per request, microseconds. */
  readonly micros: number;
  readonly perSecond: number;
}

/** One contender under one load, all rounds. */
export interface Summary {
  readonly scenario: string;
  readonly contender: string;
  /** Processor time per request, microseconds. */
  readonly minimum: number;
  readonly median: number;
  /** Middle of the rounds' ratios to nginx's in the same round. */
  readonly ratio: number;
  /** Requests per second, median. */
  readonly perSecond: number;
}

/** One line per scenario and contender, in the order in which they were measured. */
export function summarize(measurements: readonly Measurement[], baseline: string): Summary[] {
  const groups = Map.groupBy(measurements, (one) => `${one.scenario}\n${one.contender}`);
  return [...groups.values()].map((rounds) => {
    const [{ scenario, contender } = { scenario: "", contender: "" }] = rounds;
    const base = groups.get(`${scenario}\n${baseline}`) ?? [];
    const ratios = rounds.map((round, index) => round.micros / (base[index]?.micros ?? Number.NaN));
    const micros = rounds.map((round) => round.micros);
    return {
      scenario,
      contender,
      minimum: Math.min(...micros),
      median: medianOf(micros),
      ratio: medianOf(ratios),
      perSecond: medianOf(rounds.map((round) => round.perSecond)),
    };
  });
}

function medianOf(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** For README files and people. */
export function tableOf(summaries: readonly Summary[]): string {
  const head = "| load | contender | µs min | µs median | x nginx | requests/s |";
  const lines = summaries.map(({ scenario, contender, minimum, median, ratio, perSecond }) =>
    [
      "",
      scenario,
      contender,
      minimum.toFixed(1),
      median.toFixed(1),
      ratio.toFixed(2),
      perSecond.toFixed(0),
      "",
    ]
      .join(" | ")
      .trim(),
  );
  return [head, "| --- | --- | ---: | ---: | ---: | ---: |", ...lines].join("\n");
}

/** What is above its limit, in words; empty when all is well. */
export function excesses(
  summaries: readonly Summary[],
  {
    contender,
    limits,
  }: { readonly contender: string; readonly limits: ReadonlyMap<string, number> },
): string[] {
  return summaries.flatMap((summary) => {
    const limit = limits.get(summary.scenario);
    if (summary.contender !== contender || limit === undefined || summary.ratio <= limit) return [];
    return [
      `${summary.scenario}: ${contender} takes ${summary.ratio.toFixed(2)} x nginx's, limit ${limit}`,
    ];
  });
}
