/** Families as the text that Prometheus reads, made by prom-client. */

import { type Metric, Registry, type RegistryContentType } from "prom-client";
import type { Family, Labels, Sample } from "./family.ts";
import type { MetricsForm } from "./prometheus-asked.ts";

/** The two forms. */
export type TextForm = Exclude<MetricsForm, "json">;

/** What the answer says that it is. */
export function contentTypeOf(form: TextForm): RegistryContentType {
  return form === "text" ? Registry.PROMETHEUS_CONTENT_TYPE : Registry.OPENMETRICS_CONTENT_TYPE;
}

/** So many samples are written in one go: requests for apps wait no longer than that takes, a few milliseconds. */
const SAMPLES_AT_ONCE = 1000;

/**
 * Writes all families, a part at a time: of thousands of apps it is megabytes.
 * @param pause lets others have their turn
 */
export async function* expose(
  families: readonly Family[],
  options: { readonly form: TextForm; readonly pause: () => Promise<void> },
): AsyncGenerator<string> {
  const { form, pause } = options;
  const registry = new Registry<RegistryContentType>();
  registry.setContentType(contentTypeOf(form));
  let room = SAMPLES_AT_ONCE;
  for (const family of families) {
    for (const part of partsOf(family)) {
      yield await textOf(registry, { family, form, part });
      room -= part.samples.length;
      if (room > 0) continue;
      room = SAMPLES_AT_ONCE;
      await pause();
    }
  }
  if (form === "openmetrics") yield "# EOF\n";
}

interface Part {
  readonly samples: readonly Sample[];
  readonly isFirst: boolean;
}

/** A family that has no sample now has no part. */
function* partsOf(family: Family): Generator<Part> {
  let samples: Sample[] = [];
  let isFirst = true;
  for (const sample of family.samples()) {
    samples.push(sample);
    if (samples.length < SAMPLES_AT_ONCE) continue;
    yield { samples, isFirst };
    isFirst = false;
    samples = [];
  }
  if (samples.length > 0) yield { samples, isFirst };
}

/** Lines of `# HELP` and `# TYPE` before the samples. */
const HEAD_LINES = 2;

async function textOf(
  registry: Registry<RegistryContentType>,
  order: { readonly family: Family; readonly form: TextForm; readonly part: Part },
): Promise<string> {
  const { family, form, part } = order;
  // Its counters and histograms can only be counted up, one sample at a time: ours have been counted already.
  const metric = filledMetric(family, part.samples, form) as unknown as Metric;
  registry.registerMetric(metric);
  const text = await registry.getSingleMetricAsString(family.name);
  registry.removeSingleMetric(family.name);
  const lines = part.isFirst ? text : text.split("\n").slice(HEAD_LINES).join("\n");
  return `${lines}\n`;
}

/** What a registry of prom-client asks a metric for. */
function filledMetric(family: Family, samples: readonly Sample[], form: TextForm) {
  const { help, type } = family;
  // In OpenMetrics the name of a counter is without `_total`, and its samples' are with it: prom-client adds it there.
  const name =
    form === "openmetrics" && type === "counter" ? family.name.replace(/_total$/, "") : family.name;
  const values = samples.map(({ labels, value, bound, suffix = "" }) => ({
    value,
    ...(suffix === "" ? {} : { metricName: name + suffix }),
    // Written out once for all samples that have the same ones.
    sharedLabels: labels,
    labels: bound === undefined ? NONE : { le: bound },
  }));
  return { name: family.name, get: async () => ({ name, help, type, values }) };
}

const NONE: Labels = {};
