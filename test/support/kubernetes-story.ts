/** The fake cluster, as the story of a platform needs it. */

import { createSystemClock } from "../../src/clock.ts";
import { resetsAfter } from "../fakes/fake-faults.ts";
import {
  type FakeKubernetes,
  type FakeKubernetesOptions,
  startFakeKubernetes,
} from "../fakes/fake-kubernetes.ts";
import type { WorkloadControl } from "../fakes/fake-kubernetes-control.ts";
import { manifestRules } from "./kubernetes-rules.ts";
import type { StoryApp, StoryPlatform } from "./platform-story.ts";

/** A story's platform, and the fake itself for what only a cluster does. */
export interface KubernetesStory extends StoryPlatform {
  readonly fake: FakeKubernetes;
}

/** With short durations. The program runs as if it were in the cluster, and may do what the manifests allow. */
export async function startKubernetesStory(
  options: Partial<FakeKubernetesOptions> = {},
): Promise<KubernetesStory> {
  const fake = await startFakeKubernetes({
    ...{ clock: createSystemClock(), bootMs: 50, stopMs: 20, controllerMs: 5 },
    rules: manifestRules(["preview"]),
    ...options,
  });
  const { api } = fake;
  return {
    fake,
    env: {
      PROVIDER_NAME: "kubernetes",
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
      KUBERNETES_SERVICE_PORT: String(fake.port),
      PROVIDER_KUBERNETES_SERVICE_ACCOUNT_DIR: fake.files.serviceAccountDir,
      PROVIDER_KUBERNETES_CLUSTER_DOMAIN: "cluster.localhost",
    },
    richFormation: { web: 3 },
    addApp(name, formation = { web: 1 }) {
      return storyAppOf(fake.addWorkload(name, { replicas: formation.web ?? 1 }));
    },
    violations: fake.violations,
    get calls() {
      return {
        // What is watched is told without a call; how often a watch is begun anew is looked at elsewhere.
        all: api.count() - watchesOf(fake),
        lists: api.count("deployments.list") + api.count("statefulsets.list"),
        // The size that is written down before a sleep is another call, and changes nothing that runs.
        writes: api.count("deployments.scale.patch") + api.count("statefulsets.scale.patch"),
      };
    },
    loseNextWriteAnswer: () => api.fail("deployments.scale.patch", resetsAfter()),
    goDown: () => api.goDown("refuse"),
    comeUp: () => api.comeUp(),
    expireTokens: () => void fake.rotateToken(),
    revoke() {
      fake.refuse();
      endWatches(fake);
    },
    accept: () => fake.accept(),
    refuseCalls() {
      fake.refuseCalls();
      endWatches(fake);
    },
    allowCalls: () => fake.allowCalls(),
    get refusedCalls() {
      return fake.rateLimited;
    },
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

/** The cluster asks who calls when a watch begins, and not again. */
function endWatches(fake: FakeKubernetes): void {
  fake.watches.end({ kind: "end" });
}

/** Watches that were begun so far. */
export function watchesOf({ api }: FakeKubernetes): number {
  return api.journal.filter(({ kind }) => kind.endsWith(".watch")).length;
}

function storyAppOf(app: WorkloadControl): StoryApp {
  return {
    key: app.name,
    get formation() {
      return { web: app.replicas };
    },
    get requests() {
      return app.requests;
    },
    beginDeploy: () => app.beginRollout(),
    endDeploy: () => app.endRollout(),
    failNextWake: () => app.podsGo({ outcome: "crash-loop" }),
    delete: () => app.delete(),
  };
}
