/** What is exposed of Paastis itself: sweeps, platforms, registry, events, connections. */

import type { App, AppState } from "../app.ts";
import type { StoresState } from "../stores-state.ts";
import type { WebhookState } from "../webhook-queue.ts";
import { type Family, histogram, type Labels, type Sample, single } from "./family.ts";
import type { LifecycleCounts } from "./lifecycle-counts.ts";
import type { ProviderCalls } from "./provider-calls.ts";
import type { SweepCounts } from "./sweep-counts.ts";
import { webhookFamilies } from "./webhook-families.ts";

/** A platform, or another provider. */
export interface ProviderFacts {
  readonly name: string;
  /** Why its apps could not be listed the last time; `null`: they could. */
  readonly trouble: string | null;
  /** Calls that the platform still allows; `null`: it does not say. */
  readonly quotaLeft: number | null;
}

/** What it is read from. */
export interface ProgramFacts {
  readonly version: string;
  readonly engine: () => string | null;
  readonly apps: () => readonly App[];
  readonly ends: LifecycleCounts;
  readonly sweeps: SweepCounts;
  readonly calls: ProviderCalls;
  readonly providers: () => readonly ProviderFacts[];
  readonly stores: () => StoresState;
  readonly webhooks: () => readonly WebhookState[];
  /** Answers to requests that led to no app, by code. */
  readonly strays: ReadonlyMap<string, number>;
  /** Requests and waiting pages that wait now. */
  readonly held: () => number;
  /** Connections made to apps so far; `null`: nobody counts them. */
  readonly upstreamConnections: () => number | null;
}

/** In the order in which they are exposed. */
export function programFamilies(facts: ProgramFacts): readonly Family[] {
  return [
    {
      name: "paastis_build_info",
      help: "1, with the version and the engine that carries the bytes.",
      type: "gauge",
      samples: () => [
        { labels: { version: facts.version, engine: facts.engine() ?? "none" }, value: 1 },
      ],
    },
    {
      name: "paastis_apps",
      help: "Apps by provider and phase.",
      type: "gauge",
      samples: () => appCounts(facts.apps()),
    },
    {
      name: "paastis_stray_requests_total",
      help: "Requests that led to no app, by the code they were answered with.",
      type: "counter",
      samples: () => [...facts.strays].map(([code, value]) => ({ labels: { code }, value })),
    },
    single(
      {
        name: "paastis_visitors_waiting",
        help: "Requests and waiting pages that wait for some app.",
        type: "gauge",
      },
      facts.held,
    ),
    {
      name: "paastis_wake_duration_seconds",
      help: "From the first word to the platform until the app answered, of wakes that ended well.",
      type: "histogram",
      *samples() {
        for (const [provider, wakes] of facts.ends.wakes) yield* histogram({ provider }, wakes);
      },
    },
    ...providerFamilies(facts),
    ...sweepFamilies(facts.sweeps),
    ...storeFamilies(facts.stores),
    ...webhookFamilies(facts.webhooks),
    single(
      {
        name: "paastis_upstream_connections_total",
        help: "Connections made to apps; not known of the fetch engine.",
        type: "counter",
      },
      facts.upstreamConnections,
    ),
  ];
}

const PHASES: readonly AppState["kind"][] = [
  "unknown",
  "asleep",
  "waking",
  "awake",
  "draining",
  "stopping",
  "failed",
];

/** Phases that no app is in have a sample, too: what counts them must see a 0. */
function* appCounts(apps: readonly App[]): Generator<Sample> {
  const counts = new Map<string, Map<AppState["kind"], number>>();
  for (const { ref, state } of apps) {
    const known = counts.get(ref.provider) ?? new Map(PHASES.map((phase) => [phase, 0]));
    counts.set(ref.provider, known.set(state.kind, (known.get(state.kind) ?? 0) + 1));
  }
  for (const [provider, phases] of counts) {
    for (const [phase, value] of phases) yield { labels: { provider, phase }, value };
  }
}

function providerFamilies({ calls, providers }: ProgramFacts): readonly Family[] {
  return [
    {
      name: "paastis_provider_calls_total",
      help: "Calls sent to platforms, by outcome and class of status; none: there was no answer.",
      type: "counter",
      samples: () =>
        calls.counts().map(({ provider, outcome, statusClass, calls: value }) => ({
          labels: { provider, outcome, class: statusClass },
          value,
        })),
    },
    {
      name: "paastis_provider_quota_remaining",
      help: "Calls that the platform still allows, by its newest word; left out where it does not say.",
      type: "gauge",
      *samples() {
        for (const { name, quotaLeft } of providers()) {
          if (quotaLeft !== null) yield { labels: { provider: name }, value: quotaLeft };
        }
      },
    },
    {
      name: "paastis_provider_reachable",
      help: "1 when the newest list of its apps came, 0 while none of them is put to sleep as it did not.",
      type: "gauge",
      samples: () =>
        providers().map(({ name, trouble }) => flag({ provider: name }, trouble === null)),
    },
  ];
}

function sweepFamilies(counts: SweepCounts): readonly Family[] {
  return [
    {
      name: "paastis_sweep_duration_seconds",
      help: "Sweeps, from the question to the providers until all was decided.",
      type: "histogram",
      samples: () => histogram({}, counts.durations),
    },
    single(
      {
        name: "paastis_sweeps_skipped_total",
        help: "Sweeps that did nothing, as the one before was still under way.",
        type: "counter",
      },
      () => counts.skipped,
    ),
    {
      name: "paastis_sweep_decisions_total",
      help: "What sweeps decided, app by app: to put it to sleep, or to keep it as it is.",
      type: "counter",
      samples: () => [
        { labels: { decision: "sleep" }, value: counts.sleeps },
        { labels: { decision: "keep" }, value: counts.keeps },
      ],
    },
    single(
      {
        name: "paastis_sweep_last_timestamp_seconds",
        help: "When the newest sweep ended, since the epoch; left out until one has.",
        type: "gauge",
      },
      () => (counts.endedMs === null ? null : counts.endedMs / 1000),
    ),
  ];
}

function storeFamilies(stores: () => StoresState): readonly Family[] {
  return [
    {
      name: "paastis_registry_reachable",
      help: "1 when the registry can be read and written.",
      type: "gauge",
      samples: () => [flag({}, stores().registry.trouble === null)],
    },
    {
      name: "paastis_registry_leader",
      help: "1 when this instance is the one that puts apps to sleep.",
      type: "gauge",
      samples: () => [flag({}, stores().registry.isLeader)],
    },
    single(
      {
        name: "paastis_registry_other_instances",
        help: "Other instances that share the registry and were heard of lately.",
        type: "gauge",
      },
      () => stores().registry.others.length,
    ),
    {
      name: "paastis_events_store_reachable",
      help: "1 when events can be stored.",
      type: "gauge",
      samples: () => [flag({}, stores().events.trouble === null)],
    },
    single(
      {
        name: "paastis_events_waiting",
        help: "Events that are not stored yet.",
        type: "gauge",
      },
      () => stores().events.waiting,
    ),
    single(
      {
        name: "paastis_events_dropped_total",
        help: "Events that were lost, as too many waited or the store failed at the end.",
        type: "counter",
      },
      () => stores().events.dropped,
    ),
  ];
}

function flag(labels: Labels, isSet: boolean): Sample {
  return { labels, value: isSet ? 1 : 0 };
}
