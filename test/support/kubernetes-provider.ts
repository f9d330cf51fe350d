/** The Kubernetes provider in front of a fake cluster, for tests of the provider. */

import type { Snapshot } from "../../src/app.ts";
import { type Clock, createSystemClock } from "../../src/clock.ts";
import type { KubernetesConfig } from "../../src/config.ts";
import { createKubernetesProvider } from "../../src/providers/kubernetes.ts";
import { createRecovery } from "../../src/providers/platform-recovery.ts";
import type { Listing, Notice, Observation, Provider } from "../../src/providers/provider.ts";
import { finish, patient } from "../contract/provider.ts";
import { callsOf } from "../fakes/fake-journal.ts";
import {
  type FakeKubernetes,
  type FakeKubernetesOptions,
  startFakeKubernetes,
} from "../fakes/fake-kubernetes.ts";
import type { WorkloadControl } from "../fakes/fake-kubernetes-control.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";
import { until } from "./until.ts";

/** What a watcher was told. */
export interface Watching extends Disposable {
  readonly notices: readonly Notice[];
  /** How often a list was wanted. */
  readonly gaps: number;
  /** Phases that an app was told to be in, repetitions left out. */
  phasesOf(app: WorkloadControl): readonly string[];
}

export interface KubernetesTest extends AsyncDisposable {
  readonly fake: FakeKubernetes;
  readonly provider: Provider;
  readonly lines: readonly LogLine[];
  /** Kinds of all calls since the last time, oldest first. */
  callsSince(): readonly string[];
  /** Begins to watch, and waits until the cluster is followed. */
  watch(): Promise<Watching>;
  /** The same for a cluster that cannot be followed as it should: waits for nothing but the first list. */
  watchLoosely(): Promise<Watching>;
}

/** Every kind of object that is followed, once per namespace. */
export const FOLLOWED = [
  ...["deployments", "statefulsets", "services", "horizontalpodautoscalers"],
] as const;

/** Short durations over the real clock; in the cluster, with the service account of the fake's namespace. */
export async function startKubernetes(
  options: Partial<FakeKubernetesOptions> & {
    readonly config?: (fake: FakeKubernetes) => Partial<KubernetesConfig>;
  } = {},
): Promise<KubernetesTest> {
  const { config = () => ({}), ...rest } = options;
  const clock: Clock = rest.clock ?? createSystemClock();
  const fake = await startFakeKubernetes({
    ...{ bootMs: 30, stopMs: 20, controllerMs: 2, endpointMs: 2, dataPlaneMs: 1 },
    ...rest,
    clock,
  });
  const { log, lines } = recordingLog();
  // As every platform is made: it is told to those who wait when the cluster answers again.
  const recovery = createRecovery(fetch, clock);
  const own = createKubernetesProvider({
    config: {
      api: {
        ...{ kind: "in-cluster", host: "127.0.0.1", port: fake.port },
        serviceAccountDir: fake.files.serviceAccountDir,
      },
      namespaces: null,
      clusterDomain: "cluster.localhost",
      reach: "dns",
      ...config(fake),
    },
    clock,
    random: Math.random,
    log,
    fetch: recovery.fetch,
  });
  const provider: Provider = { untilBack: recovery.untilBack, ...own };
  let told = 0;
  return {
    fake,
    provider,
    lines,
    callsSince() {
      const kinds = callsOf(fake.api.journal, "*").map(({ kind }) => kind);
      const fresh = kinds.slice(told);
      told = kinds.length;
      return fresh;
    },
    watch: async () => {
      const watching = await beginWatch(provider);
      await untilFollowed(fake, provider);
      return watching;
    },
    watchLoosely: () => beginWatch(provider),
    async [Symbol.asyncDispose]() {
      await provider.close();
      await fake[Symbol.asyncDispose]();
    },
  };
}

async function beginWatch(provider: Provider): Promise<Watching> {
  const notices: Notice[] = [];
  const state = { gaps: 0 };
  const unwatch = provider.watch?.({
    notice: (notice) => void notices.push(notice),
    listAgain() {
      state.gaps += 1;
    },
  });
  await provider.list(patient());
  return {
    notices,
    get gaps() {
      return state.gaps;
    },
    phasesOf(app) {
      const phases = notices
        .filter(({ id }) => id === idOf(app))
        .map(({ observation }) => observation.phase);
      return phases.filter((phase, index) => phase !== phases[index - 1]);
    },
    [Symbol.dispose]: () => unwatch?.(),
  };
}

async function untilFollowed(fake: FakeKubernetes, provider: Provider): Promise<void> {
  await until(() => FOLLOWED.every((kind) => fake.watches.count(kind) > 0));
  // The provider hears of that a moment later: from then on a list costs nothing, and begins no watch anew.
  let quietSinceMs = performance.now();
  let calls = -1;
  await until(async () => {
    if (performance.now() - quietSinceMs < QUIET_MS) return false;
    await provider.list(patient());
    if (fake.api.count() === calls) return true;
    calls = fake.api.count();
    quietSinceMs = performance.now();
    return false;
  });
}

/** So long nothing was asked for, ms. */
const QUIET_MS = 30;

/** The provider's id of a workload. */
export function idOf({ namespace, resource, name }: WorkloadControl): string {
  return `${namespace}/${resource.slice(0, -1)}/${name}`;
}

/** A snapshot of one workload. @param written the size that was written on it then; left out: nobody looked */
export function snapshotOf(
  app: WorkloadControl,
  replicas: number,
  written?: number | null,
): Snapshot {
  const one = { id: idOf(app), replicas };
  return { kind: "replicas", workloads: [written === undefined ? one : { ...one, written }] };
}

/** Wakes an app and follows that to its end. */
export async function wakeFully(
  { provider }: KubernetesTest,
  app: WorkloadControl,
  snapshot: Snapshot | null = null,
) {
  const id = idOf(app);
  return await finish(provider, id, await provider.wake(id, snapshot, patient()));
}

/** Puts an app to sleep as the core does, and follows that to its end. */
export async function sleepFully(
  { provider }: KubernetesTest,
  app: WorkloadControl,
): Promise<Snapshot> {
  const id = idOf(app);
  const snapshot = await provider.takeSnapshot(id, patient());
  await finish(provider, id, await provider.sleep(id, snapshot, patient()));
  return snapshot;
}

/** One fresh look. */
export function lookAt({ provider }: KubernetesTest, app: WorkloadControl): Promise<Observation> {
  return provider.observe(idOf(app), patient());
}

/** Its entry in a new list. @throws when it has none */
export async function listingOf(
  { provider }: KubernetesTest,
  app: WorkloadControl,
): Promise<Listing> {
  const found = (await provider.list(patient())).find(({ id }) => id === idOf(app));
  if (found === undefined) throw new Error(`${idOf(app)} is not listed`);
  return found;
}
