/** A fake Kubernetes cluster: its API, its controllers, and Services that really answer, with all a test can do to them. */

import type { CancelTimer, Clock } from "../../src/clock.ts";
import { type Access, type AccessRule, leastRules } from "./fake-kubernetes-access.ts";
import { answerCall } from "./fake-kubernetes-api.ts";
import { controlOf, type WorkloadControl } from "./fake-kubernetes-control.ts";
import { type Controllers, startControllers } from "./fake-kubernetes-controllers.ts";
import { slicesOf } from "./fake-kubernetes-endpoints.ts";
import { type ClusterFiles, createClusterFiles } from "./fake-kubernetes-files.ts";
import { createLists, type Lists } from "./fake-kubernetes-lists.ts";
import {
  type NewService,
  type NewWorkload,
  newService,
  newWorkload,
} from "./fake-kubernetes-new.ts";
import type { WorkloadResource } from "./fake-kubernetes-objects.ts";
import { kindOf } from "./fake-kubernetes-paths.ts";
import { createPod } from "./fake-kubernetes-pods.ts";
import { holdPort } from "./fake-kubernetes-ports.ts";
import {
  type KubeCall,
  type KubernetesServer,
  startKubernetesServer,
} from "./fake-kubernetes-server.ts";
import { createStore, type Store } from "./fake-kubernetes-store.ts";
import { createEntrance, type Entrance } from "./fake-kubernetes-traffic.ts";
import { createWatches, type Watches } from "./fake-kubernetes-watches.ts";
import { type Durations, revisionOf, type World } from "./fake-kubernetes-world.ts";

/** Durations are in ms of `clock`. */
export interface FakeKubernetesOptions extends Partial<Durations> {
  /** Real, or virtual: then a test advances it. */
  readonly clock: Clock;
  /** What the token may do; default the least that Paastis needs, in the whole cluster. */
  readonly rules?: readonly AccessRule[];
  /** Of the service account and the kubeconfigs; default `preview`. */
  readonly namespace?: string;
  /** How long the pages of a list can be had; default 5 min. */
  readonly pageLifeMs?: number;
  /** Default 1 min. */
  readonly bookmarkEveryMs?: number;
  /** How a watch from a forgotten revision is refused; default `event`. */
  readonly tooOldAs?: "status" | "event";
  /** A `Scale` of 0 says so; default false: it leaves it out, as Go does. */
  readonly saysZero?: boolean;
  /** `status.terminatingReplicas` of Deployments, which new clusters have; default false. */
  readonly reportsTerminating?: boolean;
  /** Default 100. */
  readonly endpointsPerSlice?: number;
  /** EndpointSlices without `conditions.ready`, which then counts as true; default false. */
  readonly leavesOutReady?: boolean;
  /** Pods that are ending still take connections when no others do; default false: they stop to at once. */
  readonly servesWhileEnding?: boolean;
  /** More reads of the same URL within ten seconds than this are a violation; default unlimited. */
  readonly readsMax?: number;
}

/** The running fake. Ends with `await using`. */
export interface FakeKubernetes extends AsyncDisposable {
  /**
   * The API. Kinds of calls: `deployments.list`, `.watch`, `.get`, `.patch`, `.scale.get`, `.scale.patch`, `.scale.update`,
   * likewise `statefulsets`, `services`, `endpointslices`, `pods`, `horizontalpodautoscalers`; `version`, `discovery`, `self`.
   */
  readonly api: KubernetesServer;
  readonly lists: Lists;
  readonly watches: Watches;
  readonly controllers: Controllers;
  readonly store: Store;
  readonly files: ClusterFiles;
  /** What a test asserts to be empty. */
  readonly violations: readonly string[];
  /** `https://127.0.0.1:<port>`: the API server. */
  readonly url: string;
  readonly port: number;
  /** `http://127.0.0.1:<port>`: as `kubectl proxy` has it, without credentials. */
  readonly proxyUrl: string;
  readonly namespace: string;
  /** The one that is good now. */
  readonly token: string;
  /** @throws when there is one of this name in the namespace */
  addWorkload(name: string, options?: NewWorkload): WorkloadControl;
  /** One more Service for the same pods. @returns where it answers, one for each port */
  addService(
    workload: WorkloadControl,
    service: NewService & { readonly name: string },
  ): readonly Entrance[];
  /** A new token, in the folder of the service account too. The old one is good for `oldLifeMs` more; default 0. */
  rotateToken(oldLifeMs?: number): string;
  /** Every token gets 401 from now on, and certificates do, until `accept`. */
  refuse(): void;
  accept(): void;
  setRules(rules: readonly AccessRule[]): void;
  /** Every call gets 429 until `allowCalls`: from the queues as text, or from the server as a `Status`. */
  refuseCalls(as?: "queues" | "server", retryAfterSeconds?: number): void;
  allowCalls(): void;
  /** Calls that got a 429. */
  readonly rateLimited: number;
}

interface State {
  readonly options: FakeKubernetesOptions;
  readonly world: World;
  readonly access: Access;
  readonly timers: Set<CancelTimer>;
  /** By `namespace/name` of the Service. */
  readonly entrances: Map<string, readonly Entrance[]>;
  readonly addressPrefix: string;
  readonly files: ClusterFiles;
  readonly namespace: string;
  addresses: number;
  tokens: number;
  token: string;
}

const YEAR_MS = 365 * 24 * 3_600_000;

/** Starts the API and the controllers. */
export async function startFakeKubernetes(options: FakeKubernetesOptions): Promise<FakeKubernetes> {
  const state = createState(options);
  const { world, access, files, namespace } = state;
  const controllers = startControllers(world, {
    endpointsPerSlice: options.endpointsPerSlice ?? 100,
    leavesOutReady: options.leavesOutReady ?? false,
    connect: (key) => connect(state, key),
  });
  const { store, clock } = world;
  const lists = createLists({ store, clock, pageLifeMs: options.pageLifeMs ?? 300_000 });
  const watches = createWatches({
    ...{ store, clock, tooOldAs: options.tooOldAs ?? "event" },
    bookmarkEveryMs: options.bookmarkEveryMs ?? 60_000,
  });
  const writes = { store, clock, leavesOutZero: options.saysZero !== true };
  const onRead = createReadCheck(options);
  const held = { tls: holdPort(), plain: holdPort() };
  const api = await startKubernetesServer({
    clock,
    ports: { tls: held.tls.port, plain: held.plain.port },
    kindOf,
    answer: (call) => answerCall({ access, lists, watches, writes, onRead }, call),
    headersOf: () => apiHeaders(world),
    maps: ["labels", "annotations", "matchLabels", "selector", "fieldsV1"],
  });
  rotate(state, 0);
  return {
    ...{ api, lists, watches, controllers, store, files, namespace },
    violations: api.violations,
    url: `https://127.0.0.1:${held.tls.port}`,
    port: held.tls.port,
    proxyUrl: `http://127.0.0.1:${held.plain.port}`,
    get token() {
      return state.token;
    },
    addWorkload: (name, newOne = {}) => addWorkload(state, controllers, { ...newOne, name }),
    addService: (workload, service) =>
      addService(state, controllers, { workload: workload.object, service }).entrances,
    rotateToken: (oldLifeMs = 0) => rotate(state, oldLifeMs),
    refuse() {
      access.tokens.set(state.token, 0);
      access.takesCertificates = false;
    },
    accept() {
      access.tokens.set(state.token, clock.now() + YEAR_MS);
      access.takesCertificates = true;
    },
    setRules(rules) {
      access.rules = rules;
    },
    refuseCalls(as = "queues", retryAfterSeconds = 1) {
      access.limit = as;
      access.retryAfterSeconds = retryAfterSeconds;
    },
    allowCalls() {
      access.limit = null;
    },
    get rateLimited() {
      return access.refused;
    },
    async [Symbol.asyncDispose]() {
      controllers.end();
      for (const cancel of state.timers) cancel();
      await api[Symbol.asyncDispose]();
      for (const entrance of [...state.entrances.values()].flat()) entrance.close();
      for (const port of Object.values(held)) port.release();
      files[Symbol.dispose]();
    },
  };
}

function createState(options: FakeKubernetesOptions): State {
  const { clock, rules = leastRules(), namespace = "preview" } = options;
  const timers = new Set<CancelTimer>();
  let names = 0;
  let pods = 0;
  const world: World = {
    clock,
    store: createStore(),
    durations: {
      controllerMs: options.controllerMs ?? 20,
      bootMs: options.bootMs ?? 5_000,
      stopMs: options.stopMs ?? 2_000,
      endpointMs: options.endpointMs ?? 20,
      dataPlaneMs: options.dataPlaneMs ?? 10,
      autoscalerMs: options.autoscalerMs ?? 15_000,
    },
    plans: new Map(),
    owners: new Map(),
    rolledOut: new Map(),
    stuckSince: new Map(),
    reportsTerminating: options.reportsTerminating ?? false,
    nextSuffix() {
      names += 1;
      return names.toString(36).padStart(5, "x");
    },
    nextUid() {
      names += 1;
      return `5f0c1d2e-0000-4000-8000-${names.toString(16).padStart(12, "0")}`;
    },
    nextAddress() {
      pods += 1;
      return `10.244.${pods >> 8}.${pods & 255}`;
    },
    later(delayMs, action) {
      const cancel = clock.after(delayMs, () => {
        timers.delete(cancel);
        action();
      });
      timers.add(cancel);
    },
  };
  const access: Access = {
    clock,
    users: {
      token: `system:serviceaccount:${namespace}:paastis`,
      certificate: "paastis-client",
      proxy: "paastis-proxy",
    },
    tokens: new Map(),
    rules,
    takesCertificates: true,
    limit: null,
    retryAfterSeconds: 1,
    refused: 0,
  };
  const byte = () => Math.floor(Math.random() * 254) + 1;
  const addressPrefix = `127.${byte()}.${byte()}`;
  const files = createClusterFiles();
  const rest = { addresses: 0, tokens: 0, token: "" };
  const entrances = new Map<string, readonly Entrance[]>();
  return { options, world, access, timers, entrances, addressPrefix, files, namespace, ...rest };
}

/** Of every answer. Source: Kubernetes, "API Priority and Fairness" and "Auditing". */
function apiHeaders(world: World): Record<string, string> {
  return {
    "audit-id": world.nextUid(),
    "cache-control": "no-cache, private",
    "x-kubernetes-pf-flowschema-uid": "0bd0f3a2-6a3c-4d46-a8a2-0d9b1f6e8a52",
    "x-kubernetes-pf-prioritylevel-uid": "7e6f3b1e-51b2-4c85-9e1a-5a3e0a2f7f10",
  };
}

function rotate(state: State, oldLifeMs: number): string {
  const { access, world, files, namespace } = state;
  const nowMs = world.clock.now();
  for (const [token, untilMs] of access.tokens) {
    access.tokens.set(token, Math.min(untilMs, nowMs + oldLifeMs));
  }
  state.tokens += 1;
  state.token = `fake-token-${state.tokens}.${world.nextUid()}`;
  access.tokens.set(state.token, nowMs + YEAR_MS);
  files.writeServiceAccount({ token: state.token, namespace });
  return state.token;
}

/** It has been there for long: its pods are up, and its Service answers. */
function addWorkload(
  state: State,
  controllers: Controllers,
  { name, ...newOne }: NewWorkload & { readonly name: string },
): WorkloadControl {
  const { world } = state;
  const kind = newOne.kind ?? "Deployment";
  const resource: WorkloadResource = kind === "Deployment" ? "deployments" : "statefulsets";
  const workload = world.store.create(resource, newWorkload(world, name, newOne));
  for (let ordinal = 0; ordinal < (workload.spec.replicas ?? 1); ordinal += 1) {
    const podName =
      resource === "statefulsets"
        ? `${name}-${ordinal}`
        : `${name}-${revisionOf(workload)}-${world.nextSuffix()}`;
    createPod(world, { resource, workload }, podName, true);
  }
  const { namespace } = workload.metadata;
  controllers.settle(resource, namespace, name);
  const { service = {} } = newOne;
  const made = service === null ? null : addService(state, controllers, { workload, service });
  return controlOf({
    ...{ world, controllers, resource, namespace, name },
    service: made?.name ?? null,
    entrances: made?.entrances ?? [],
  });
}

function addService(
  state: State,
  controllers: Controllers,
  { workload, service }: { workload: WorkloadControl["object"]; service: NewService },
): { readonly name: string; readonly entrances: readonly Entrance[] } {
  const { world, addressPrefix } = state;
  state.addresses += 1;
  const clusterIp = `${addressPrefix}.${(state.addresses % 254) + 1}`;
  const entrances = (service.ports ?? [{}]).map(() => createEntrance(clusterIp));
  const ports = entrances.map(({ port }) => port);
  const object = newService(world, workload, { ...service, at: { clusterIp, ports } });
  const { namespace, name } = object.metadata;
  state.entrances.set(`${namespace}/${name}`, entrances);
  world.store.create("services", object);
  controllers.settle("services", namespace, name);
  return { name, entrances };
}

/** Lets connections in, or not, as the slices of the Service say. */
function connect(state: State, key: string): void {
  const { world, entrances, options } = state;
  const [namespace = "", name = ""] = key.split("/");
  const isThere = world.store.get("services", namespace, name) !== null;
  const endpoints = slicesOf(world, namespace, name).flatMap((slice) => slice.endpoints ?? []);
  const ready = endpoints.filter(({ conditions }) => conditions.ready !== false).length;
  // Source: Kubernetes, "Service", traffic to terminating endpoints.
  const ending = endpoints.filter(({ conditions: c }) => c.serving && c.terminating).length;
  const last = options.servesWhileEnding === true ? ending : 0;
  const instances = isThere ? ready || last : 0;
  for (const entrance of entrances.get(key) ?? []) entrance.follow({ app: name, instances });
}

const READ_WINDOW_MS = 10_000;

/** Whoever watches need not ask again and again. */
function createReadCheck({ clock, readsMax = Number.POSITIVE_INFINITY }: FakeKubernetesOptions) {
  const reads = new Map<string, number[]>();
  return (call: KubeCall) => {
    const url = `${call.path}?${call.query}`;
    const nowMs = clock.now();
    const lately = (reads.get(url) ?? []).filter((time) => time > nowMs - READ_WINDOW_MS);
    reads.set(url, [...lately, nowMs]);
    if (lately.length === readsMax) call.violation("read again and again instead of watched");
  };
}
