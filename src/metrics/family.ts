/** What is exposed: families of samples, before anything is made of them. */

/** Of one sample. Values come from closed lists, and from the table of apps. */
export type Labels = Readonly<Record<string, string>>;

/** One number, as it is now. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** Of a histogram: the bound of the bucket, s. Left out: it is no bucket. */
  readonly bound?: string;
  /** Behind the family's name. Left out: nothing. */
  readonly suffix?: "_bucket" | "_sum" | "_count";
}

/** What has one name. */
export interface Family {
  /** As Prometheus wants it: with its unit, `_total` for counters. */
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** Reads the plain numbers, one sample after the other: there may be many. */
  readonly samples: () => Iterable<Sample>;
}

/** Durations by length. */
export interface Durations {
  /** Upper bounds, ms, ascending. */
  readonly boundsMs: readonly number[];
  /** How many were up to each bound and above the one before; those above all bounds come last. */
  readonly counts: ArrayLike<number>;
  /** All of them together, ms. */
  readonly sumMs: number;
}

/** The samples of one histogram, in seconds. */
export function* histogram(labels: Labels, durations: Durations): Generator<Sample> {
  const { boundsMs, counts, sumMs } = durations;
  let total = 0;
  for (const [index, boundMs] of boundsMs.entries()) {
    total += counts[index] ?? 0;
    yield { labels, value: total, bound: String(boundMs / 1000), suffix: "_bucket" };
  }
  total += counts[boundsMs.length] ?? 0;
  yield { labels, value: total, bound: "+Inf", suffix: "_bucket" };
  yield { labels, value: sumMs / 1000, suffix: "_sum" };
  yield { labels, value: total, suffix: "_count" };
}

/** A family of one number. @param read `null`: nobody knows it, and nothing is exposed */
export function single(
  family: Pick<Family, "name" | "help" | "type">,
  read: () => number | null,
): Family {
  return {
    ...family,
    *samples() {
      const value = read();
      if (value !== null) yield { labels: NONE, value };
    },
  };
}

const NONE: Labels = {};
