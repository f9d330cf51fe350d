/** A scripted cluster with one Deployment `demo` in `preview`, whose state a test sets by hand. */

import type { Clock } from "../../src/clock.ts";
import type { KubernetesConfig } from "../../src/config.ts";
import { createKubernetesProvider } from "../../src/providers/kubernetes.ts";
import type { Notice, Provider } from "../../src/providers/provider.ts";
import type { LogLine } from "./recording-log.ts";
import {
  clientOf,
  listAnswer,
  type OpenWatch,
  type ScriptedCluster,
  type SeenCall,
  startScriptedCluster,
  statusAnswer,
} from "./scripted-cluster.ts";

/** The id of the one app. */
export const DEMO = "preview/deployment/demo";

/** What a test may set at any time. */
export interface DemoState {
  /** `null`: there is no such workload. */
  replicas: number | null;
  ready: number;
  updated: number;
  status: object;
  annotations: Record<string, string>;
  labels: Record<string, string>;
  /** More of its metadata. */
  metadata: object;
  uid: string;
  generation: number;
  version: number;
  /** Whether its EndpointSlice has a ready address. */
  isReady: boolean;
  services: readonly object[];
  autoscalers: readonly object[];
  pods: readonly object[];
  /** Called before a PATCH is looked at; what it returns is answered instead. */
  beforePatch: (call: SeenCall) => Response | null;
  /** Answers instead of everything else; `null`: as usual. */
  instead: (call: SeenCall) => Response | null;
}

export interface DemoCluster extends AsyncDisposable {
  readonly cluster: ScriptedCluster;
  readonly provider: Provider;
  readonly state: DemoState;
  readonly notices: readonly Notice[];
  /** How often another list was asked for. */
  readonly listsWanted: () => number;
  /** Warnings and worse. */
  readonly said: () => readonly LogLine[];
  /** Path and body of every PATCH. */
  readonly patches: () => readonly (readonly [path: string, body: unknown])[];
  /** The workload as the cluster has it. */
  readonly object: () => object;
  /** The open watch of a kind. */
  readonly watchOf: (plural: string) => OpenWatch | undefined;
  /** Begins to watch, as the core does. */
  watch(): () => void;
}

const SERVICE = {
  metadata: { name: "demo", namespace: "preview", resourceVersion: "5" },
  spec: { selector: { app: "demo" }, clusterIP: "10.96.0.7", ports: [{ port: 80 }] },
};

/** Up, with two replicas, unless `state` says otherwise. */
export async function startDemoCluster(
  options: {
    readonly state?: Partial<DemoState>;
    readonly clock?: Clock;
    readonly config?: Partial<KubernetesConfig>;
  } = {},
): Promise<DemoCluster> {
  const cluster = startScriptedCluster();
  const client = await clientOf(cluster, options);
  const state: DemoState = {
    replicas: 2,
    ready: 2,
    updated: 2,
    status: {},
    annotations: { "paastis.dev/enabled": "true" },
    labels: {},
    metadata: {},
    uid: "u-1",
    generation: 1,
    version: 100,
    isReady: true,
    services: [SERVICE],
    autoscalers: [],
    pods: [],
    beforePatch: () => null,
    instead: () => null,
    ...options.state,
  };
  cluster.answer = (call) => state.instead(call) ?? answer(state, call);
  const provider = createKubernetesProvider(client.deps);
  const notices: Notice[] = [];
  let listsWanted = 0;
  return {
    ...{ cluster, provider, state, notices },
    listsWanted: () => listsWanted,
    said: () => client.lines.filter(({ level }) => level !== "debug"),
    patches: () =>
      cluster.calls.flatMap(({ method, path, body }) =>
        method === "PATCH" ? [[path, JSON.parse(body)] as const] : [],
      ),
    object: () => objectOf(state),
    watchOf: (plural) =>
      cluster.watches.findLast(({ path, isOpen }) => isOpen && path.includes(`/${plural}?`)),
    watch: () =>
      provider.watch?.({
        notice: (notice) => notices.push(notice),
        listAgain: () => {
          listsWanted += 1;
        },
      }) ?? (() => undefined),
    async [Symbol.asyncDispose]() {
      await provider.close();
      await client[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

function objectOf(state: DemoState): object {
  const { replicas, ready, updated, uid, generation, annotations, labels } = state;
  return {
    metadata: {
      ...{ name: "demo", namespace: "preview", uid, generation, annotations, labels },
      resourceVersion: `${state.version}`,
      ...state.metadata,
    },
    spec: {
      replicas,
      selector: { matchLabels: { app: "demo" } },
      template: { metadata: { labels: { app: "demo" } }, spec: { containers: [{ name: "web" }] } },
    },
    status: {
      observedGeneration: generation,
      replicas: updated,
      readyReplicas: ready,
      updatedReplicas: updated,
      ...state.status,
    },
  };
}

function answer(state: DemoState, call: SeenCall): Response | null {
  const { path } = call;
  if (path.includes("watch=1")) return null;
  const lists: Readonly<Record<string, readonly object[]>> = {
    "/deployments": state.replicas === null ? [] : [objectOf(state)],
    "/statefulsets": [],
    "/services": state.services,
    "/horizontalpodautoscalers": state.autoscalers,
    "/pods": state.pods,
    "/endpointslices": [{ endpoints: state.isReady ? [{ addresses: ["10.1.2.3"] }] : [] }],
  };
  if (path === "/version") return Response.json({ gitVersion: "v1.33.1" });
  for (const [end, items] of Object.entries(lists)) {
    if (path.split("?")[0]?.endsWith(end)) return listAnswer(items, `${state.version}`);
  }
  if (state.replicas === null || !path.includes("/deployments/demo")) return statusAnswer(404);
  return call.method === "PATCH" ? patch(state, call) : Response.json(objectOf(state));
}

interface PatchBody {
  readonly metadata?: {
    readonly resourceVersion?: string;
    readonly annotations?: Record<string, string>;
  };
  readonly spec?: { readonly replicas?: number };
}

function patch(state: DemoState, call: SeenCall): Response {
  const instead = state.beforePatch(call);
  if (instead !== null) return instead;
  const { metadata, spec } = JSON.parse(call.body) as PatchBody; // What the provider sends.
  const version = metadata?.resourceVersion;
  if (version !== undefined && version !== `${state.version}`) {
    return statusAnswer(409, { reason: "Conflict", message: "the object has been modified" });
  }
  state.version += 1;
  if (spec?.replicas === undefined) {
    state.annotations = { ...state.annotations, ...metadata?.annotations };
    return Response.json(objectOf(state));
  }
  state.generation += 1;
  state.replicas = spec.replicas;
  if (state.replicas === 0) state.ready = state.updated = 0;
  return Response.json({ kind: "Scale", metadata: {}, spec: { replicas: state.replicas } });
}
