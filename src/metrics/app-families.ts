/** What is exposed of each app. */

import type { App } from "../app.ts";
import {
  CLASSES,
  DURATION_BOUNDS_MS,
  durationMsOf,
  durationsOf,
  receivedBytesOf,
  sentBytesOf,
} from "../request-meter.ts";
import { type AppGroup, groupApps } from "./app-groups.ts";
import type { AppTimes } from "./app-times.ts";
import { type Family, histogram, type Labels, type Sample } from "./family.ts";
import type { LifecycleCounts } from "./lifecycle-counts.ts";

/** What it is read from. */
export interface AppFacts {
  /** The apps that are exposed now. */
  readonly apps: () => readonly App[];
  readonly times: AppTimes;
  readonly ends: LifecycleCounts;
  /** The essentials only. */
  readonly isFast: boolean;
}

/** By the first digit of the status; those without an answer first. */
const CLASS_NAMES: readonly string[] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/** In the order in which they are exposed. */
export function appFamilies(facts: AppFacts): readonly Family[] {
  const groups = () => groupApps(facts.apps());
  const requests = facts.isFast ? [] : meteredFamilies(groups);
  return [...trafficFamilies(groups), ...requests, ...lifeFamilies(facts, groups)];
}

type Groups = () => readonly AppGroup[];

function trafficFamilies(groups: Groups): readonly Family[] {
  return [
    {
      name: "paastis_requests_total",
      help: "Requests by class of the status that the client got; none: it got no answer.",
      type: "counter",
      samples: () => byClass(groups(), (app, digit) => app.traffic.statuses[digit] ?? 0),
    },
    perApp(groups, {
      name: "paastis_forward_failures_total",
      help: "Attempts to carry a request to its app, or the answer back, that failed.",
      type: "counter",
      read: ({ traffic }) => traffic.proxyErrors,
    }),
    perApp(groups, {
      name: "paastis_requests_in_flight",
      help: "Requests and upgraded connections under way, held ones included.",
      type: "gauge",
      read: ({ leases }) => leases,
    }),
    perApp(groups, {
      name: "paastis_requests_held",
      help: "Requests that wait for their app to wake.",
      type: "gauge",
      read: ({ waiting }) => waiting,
    }),
  ];
}

/** Kept by arrays that the path of requests adds to. */
function meteredFamilies(groups: Groups): readonly Family[] {
  return [
    {
      name: "paastis_request_duration_seconds",
      help: "From the head of a request to the last byte of its answer, waiting included; upgraded connections left out.",
      type: "histogram",
      samples: () => durationSamples(groups()),
    },
    {
      name: "paastis_response_bytes_total",
      help: "Bytes of apps' answers without their heads, and of upgraded connections, to clients; counted at the end.",
      type: "counter",
      samples: () => byClass(groups(), (app, digit) => sentBytesOf(app.traffic.meter, digit)),
    },
    {
      name: "paastis_request_bytes_total",
      help: "Bytes of requests without their heads, and of upgraded connections, from clients; counted at the end.",
      type: "counter",
      samples: () => byClass(groups(), (app, digit) => receivedBytesOf(app.traffic.meter, digit)),
    },
  ];
}

function lifeFamilies({ times, ends }: AppFacts, groups: Groups): readonly Family[] {
  return [
    {
      name: "paastis_app_phase",
      help: "1 for the phase that the app is in now; other phases have no sample.",
      type: "gauge",
      samples: () => phaseSamples(groups()),
    },
    perApp(groups, {
      name: "paastis_app_awake_seconds_total",
      help: "Time that the app was up, or about to be, since the start.",
      type: "counter",
      read: (app) => times.of(app).awakeMs / 1000,
    }),
    perApp(groups, {
      name: "paastis_app_asleep_seconds_total",
      help: "Time that the app slept since the start.",
      type: "counter",
      read: (app) => times.of(app).asleepMs / 1000,
    }),
    endFamily(groups, ends, "wake"),
    endFamily(groups, ends, "sleep"),
    {
      name: "paastis_crashes_total",
      help: "How often the app ended without anybody having asked it to.",
      type: "counter",
      samples: () => nonZero(groups(), (app) => ends.of(app)?.crashes ?? 0),
    },
  ];
}

function perApp(
  groups: Groups,
  family: Pick<Family, "name" | "help" | "type"> & { readonly read: (app: App) => number },
): Family {
  const { read, ...described } = family;
  return {
    ...described,
    *samples() {
      for (const { label, members } of groups()) {
        yield { labels: { app: label }, value: sumOf(members, read) };
      }
    },
  };
}

function* nonZero(groups: readonly AppGroup[], read: (app: App) => number): Generator<Sample> {
  for (const { label, members } of groups) {
    const value = sumOf(members, read);
    if (value > 0) yield { labels: { app: label }, value };
  }
}

/** Classes that never occurred have no sample: most apps know three of them. */
function* byClass(
  groups: readonly AppGroup[],
  read: (app: App, digit: number) => number,
): Generator<Sample> {
  for (const { label, members } of groups) {
    for (let digit = 0; digit < CLASSES; digit += 1) {
      const value = sumOf(members, (app) => read(app, digit));
      if (value > 0) yield { labels: classLabels(label, digit), value };
    }
  }
}

function* durationSamples(groups: readonly AppGroup[]): Generator<Sample> {
  for (const { label, members } of groups) {
    for (let digit = 0; digit < CLASSES; digit += 1) {
      const counts = countsOf(members, digit);
      if (!counts.some((count) => count > 0)) continue;
      const sumMs = sumOf(members, ({ traffic }) => durationMsOf(traffic.meter, digit));
      yield* histogram(classLabels(label, digit), { boundsMs: DURATION_BOUNDS_MS, counts, sumMs });
    }
  }
}

function countsOf(members: readonly App[], digit: number): Float64Array {
  const [only] = members;
  if (only !== undefined && members.length === 1) return durationsOf(only.traffic.meter, digit);
  const sums = new Float64Array(DURATION_BOUNDS_MS.length + 1);
  for (const { traffic } of members) {
    for (const [slot, count] of durationsOf(traffic.meter, digit).entries()) {
      sums[slot] = (sums[slot] ?? 0) + count;
    }
  }
  return sums;
}

function classLabels(app: string, digit: number): Labels {
  return { app, class: CLASS_NAMES[digit] ?? "none" };
}

function* phaseSamples(groups: readonly AppGroup[]): Generator<Sample> {
  for (const { label, members } of groups) {
    const phases = new Map<string, number>();
    for (const { ref, state } of members) {
      const key = `${ref.provider} ${state.kind}`;
      phases.set(key, (phases.get(key) ?? 0) + 1);
    }
    for (const [key, value] of phases) {
      const [provider = "", phase = ""] = key.split(" ");
      yield { labels: { app: label, provider, phase }, value };
    }
  }
}

function endFamily(groups: Groups, counts: LifecycleCounts, what: "wake" | "sleep"): Family {
  const help =
    what === "wake"
      ? "Wakes that came to an end, by kind of cause and by outcome."
      : "Sleeps that came to an end, or were called off, by kind of cause and by outcome.";
  return {
    name: `paastis_${what}s_total`,
    help,
    type: "counter",
    *samples() {
      for (const { label, members } of groups())
        yield* endSamples(label, members, { counts, what });
    },
  };
}

function* endSamples(
  label: string,
  members: readonly App[],
  { counts, what }: { readonly counts: LifecycleCounts; readonly what: "wake" | "sleep" },
): Generator<Sample> {
  const sums = new Map<string, { readonly labels: Labels; value: number }>();
  for (const app of members) {
    for (const { cause, count, outcome, what: which } of counts.of(app)?.ends ?? []) {
      if (which !== what) continue;
      const key = `${cause} ${outcome}`;
      const sum = sums.get(key) ?? { labels: { app: label, cause, outcome }, value: 0 };
      sum.value += count;
      sums.set(key, sum);
    }
  }
  yield* sums.values();
}

function sumOf(members: readonly App[], read: (app: App) => number): number {
  let sum = 0;
  for (const app of members) sum += read(app);
  return sum;
}
